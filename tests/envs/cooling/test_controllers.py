"""Controllers: their rules by hand, and what buildings with them are known to use."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keel.envs.cooling import batch, controllers, layout, tuning
from keel.envs.cooling.controllers import trim_and_respond
from keel.envs.cooling.env import DataCenterCooling
from keel.envs.cooling.tuning import Operation

from .plants import HALL, constant, constant_load_file

TUNED = {"supply_most": 22.0, "chilled_most": 18.0, "lift_most": 14.0, "air_margin": 0.1}
SITES = ("stockholm", "ashburn", "tampa")  # cold, mixed, hot and humid
WINTER, SUMMER = 2, 28

# Hours of a year with a wet bulb below 12 degC in the weather files whose monthly means the sites have.
HOURS_BELOW_12 = {"stockholm": 7217, "ashburn": 4944, "tampa": 1158, "ahmedabad": 633}


def options(site: str, controller: str, **others: Any) -> dict[str, Any]:
    return {"weather": site, "controller": controller, **(TUNED if controller == "b3" else {}), **others}


@cache
def week(site: str, controller: str, number: int, workload: str = "synthetic") -> Operation:
    """What a controller used in a week of the year."""
    world = DataCenterCooling(**options(site, controller, week=number, workload=workload))
    return tuning.operate(world, world.start(np.random.default_rng(number))[None], world.episode_steps)


def ratio(weeks: list[Operation], part: str, whole: str) -> float:
    return sum(float(getattr(used, part)[0]) for used in weeks) / sum(float(getattr(used, whole)[0]) for used in weeks)


def test_trim_and_respond_by_hand() -> None:
    supply = (0.1, -0.2, 0.6, 18.0, 22.0)  # of Guideline 36's supply air: trim, respond, at most, least, most
    assert trim_and_respond(20.0, 0, *supply) == pytest.approx(20.1)
    assert trim_and_respond(20.0, 2, *supply) == pytest.approx(20.1), "two requests are ignored"
    assert trim_and_respond(20.0, 3, *supply) == pytest.approx(19.9)
    assert trim_and_respond(20.0, 4, *supply) == pytest.approx(19.7)
    assert trim_and_respond(20.0, 5, *supply) == pytest.approx(19.5)
    assert trim_and_respond(20.0, 9, *supply) == pytest.approx(19.5), "at most 0.6 K"
    assert trim_and_respond(21.95, 0, *supply) == 22.0
    assert trim_and_respond(18.1, 9, *supply) == 18.0
    chilled = (-0.02, 0.03, 0.07, 0.0, 1.0)  # of the chilled water reset: it responds upwards
    assert trim_and_respond(0.5, 3, *chilled) == pytest.approx(0.51)
    assert trim_and_respond(0.5, 9, *chilled) == pytest.approx(0.55)
    assert trim_and_respond(0.01, 0, *chilled) == 0.0


def test_requests_by_hand() -> None:
    row = constant(0.5, 10.0, settle=1)
    row[HALL + layout.INLET : HALL + layout.INLET + 4] = (25.4, 25.6, 26.6, 27.1)  # 0, 1, 2, 3
    assert controllers.inlet_requests(row, HALL, 27.0) == 6
    for balance, requests in {0.2: 0, 0.1: 0, 0.09: 3, 0.07: 4, 0.0: 5, -0.3: 5}.items():
        row[HALL + layout.AIR_BALANCE] = balance
        assert controllers.air_requests(row, HALL, 0.1) == requests
    row[HALL + layout.SUPPLY_SET], row[HALL + layout.VALVE] = 20.0, 0.5
    for supply, valve, requests in [(20.0, 0.5, 0), (20.0, 0.96, 4), (22.5, 0.5, 8), (23.5, 1.0, 12)]:
        row[HALL + layout.SUPPLY_REPORTED], row[HALL + layout.VALVE] = supply, valve
        assert controllers.plant_requests(row, 1) == requests


def test_the_condenser_set_point_by_hand() -> None:
    """5.20.12: lift = A PLR + B within 12 K and the most, A = 1.1 (most - 12), B = most - A."""
    row = constant(0.5, 10.0, settle=1)
    row[layout.CHILLED_SET] = 15.0
    for part_load, lift in {0.0: 12.0, 0.2: 13.56, 0.5: 17.85, 0.8: 22.14, 1.0: 25.0, 1.03: 25.0}.items():
        row[layout.PART_LOAD] = part_load
        assert controllers.condenser_set_point(row, 25.0) == pytest.approx(15.0 + lift, abs=1e-12)


def test_fixed_set_points_and_the_return_air_loop_by_hand() -> None:
    row, target = constant(0.5, 10.0, settle=1), np.zeros(4)
    row[layout.CONDENSER_SUPPLY], row[layout.TOWER_INTEGRAL] = 25.0, 0.5
    controllers.fixed(row, 1, target)
    # PI of 0.05 a kelvin: the integral grows by a quarter of that.
    np.testing.assert_allclose(target, [18.0, 0.95, 7.0, 0.5 + 0.0125 + 0.05], rtol=1e-12)
    row[HALL + layout.RETURN], row[HALL + layout.RETURN_INTEGRAL] = 26.0, 0.3
    controllers.legacy(row, 1, target)
    # Two kelvin too warm: integral 0.3 + 0.2, output 0.7 of the way from 27 to 16 degC.
    assert target[0] == pytest.approx(27.0 - 0.7 * 11.0, abs=1e-12)
    assert row[HALL + layout.RETURN_INTEGRAL] == pytest.approx(0.5, abs=1e-12)


def test_guideline_36_waits_before_it_trims() -> None:
    """The hall's set points stand for 600 s, the chilled water for 900 s; then they creep by their trims."""
    row, target = constant(0.2, 0.0), np.zeros(4)
    row[HALL + layout.SUPPLY_SET], row[HALL + layout.CRAH_SET] = 19.0, 0.9
    row[HALL + layout.AIR_BALANCE], row[HALL + layout.VALVE] = 1.0, 0.5
    row[HALL + layout.SUPPLY_REPORTED] = 19.0
    controllers.begin(row, 1)
    seen = []
    for _ in range(5):
        controllers.guideline_36(row, 1, 22.0, 15.6, 25.0, 0.1, target)
        seen.append((*target[:3], row[layout.PLANT_RESET]))
    np.testing.assert_allclose([tick[0] for tick in seen], [19.0, 19.0, 19.1, 19.2, 19.3], rtol=1e-12)
    np.testing.assert_allclose([tick[1] for tick in seen], [0.9, 0.9, 0.88, 0.86, 0.84], rtol=1e-12)
    np.testing.assert_allclose([tick[3] for tick in seen], [0.5, 0.5, 0.5, 0.48, 0.46], rtol=1e-12)
    assert [tick[2] for tick in seen] == [15.6] * 5, "as warm as it may be while the reset is below a half"
    row[layout.PLANT_RESET] = 0.77
    controllers.guideline_36(row, 1, 22.0, 15.6, 25.0, 0.1, target)
    assert target[2] == pytest.approx(15.6 + 0.5 * (7.0 - 15.6), abs=1e-12)


def test_the_table_is_read_between_its_points() -> None:
    """A table that is linear in load and wet bulb is read exactly, and held beyond its ends."""
    loads, wet_bulbs = tuning.grid_axes()
    table = np.stack(
        [a + b * loads[:, None] + c * wet_bulbs for a, b, c in [(1, 2, 3), (4, 5, 6), (7, 8, 9), (0, 1, 2)]]
    )
    row, target = constant(0.5, 10.0, settle=1), np.zeros(4)
    for load, wet_bulb in [(0.0, -20.0), (0.37, 3.1), (0.99, 31.9), (0.5, -30.0)]:
        row[HALL + layout.LOAD], row[layout.WET_BULB] = load, wet_bulb
        batch.look_up(row, np.moveaxis(table, 0, -1).copy(), 1, target)
        held = max(wet_bulb, -20.0)
        expected = [1 + 2 * load + 3 * held, 4 + 5 * load + 6 * held, 7 + 8 * load + 9 * held, load + 2 * held]
        np.testing.assert_allclose(target, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("controller", ["b0", "b1", "b2", "b3"])
def test_no_minute_too_warm_on_a_smooth_load(site: str, controller: str, tmp_path: Path) -> None:
    path = constant_load_file(tmp_path)
    for number in (WINTER, SUMMER):
        used = week(site, controller, number, path)
        assert used.violation_minutes[0] == 0.0
        assert 20.0 < used.hottest_celsius[0] <= 27.0


@pytest.mark.parametrize("site", SITES)
def test_better_controllers_use_less(site: str, tmp_path: Path) -> None:
    """PUE of a winter and a summer week: fixed, Guideline 36, Guideline 36 tuned."""
    path = constant_load_file(tmp_path)
    fixed, guideline, tuned = (
        ratio([week(site, name, number, path) for number in (WINTER, SUMMER)], "total_kwh", "it_kwh")
        for name in ("b0", "b2", "b3")
    )
    assert fixed > 1.05 * guideline
    assert guideline > tuned


@pytest.mark.parametrize("site", SITES)
def test_a_year_of_guideline_36_has_the_pue_and_the_water_of_real_sites(site: str) -> None:
    weeks = [week(site, "b2", number) for number in range(52)]
    assert 1.10 <= ratio(weeks, "total_kwh", "it_kwh") <= 1.25
    assert 1.0 <= ratio(weeks, "water_litres", "it_kwh") <= 2.2


def test_the_colder_the_site_the_lower_its_pue() -> None:
    pues = [ratio([week(site, "b2", number) for number in range(52)], "total_kwh", "it_kwh") for site in SITES]
    assert pues[0] + 0.005 < pues[1] < pues[2] - 0.005


def test_the_economiser_runs_where_it_is_cool() -> None:
    """Steps in which it cools, over a year of weeks, are ordered as the hours of a wet bulb below 12 degC."""
    shares = []
    for site in sorted(HOURS_BELOW_12, key=HOURS_BELOW_12.__getitem__):
        world = DataCenterCooling(**options(site, "b2"))
        states = tuning.year({"weather": site}, range(0, 52, 2))
        reward, ended, metrics = np.empty(26), np.empty(26, np.bool_), np.empty((26, len(layout.READING_NAMES)))
        share = np.zeros(26)
        for _ in range(world.episode_steps):
            world.step_to(states, np.zeros((26, 4)), reward, ended, metrics)
            share += metrics[:, layout.READING_NAMES.index("economiser_share")] > 0.0
        shares.append(share.sum() / (26 * world.episode_steps))
    assert (np.diff(shares) > 0).all(), shares
    assert shares[-1] > 0.8
