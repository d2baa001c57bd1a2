"""The bound is not beaten by chance, and no set points are best everywhere."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import numpy as np
import pytest

from keel.envs.cooling import batch, bound, controllers, layout, tuning
from keel.envs.cooling.env import DataCenterCooling
from keel.envs.protocol import Array

from .plants import SEA_LEVEL_PASCALS, constant, run

LEAST, MOST = np.array([16.0, 0.3, 7.0, 0.1]), np.array([27.0, 1.0, 20.0, 1.0])
CELLS = [(0.5, 4.0), (0.3, -4.0), (0.7, 12.0), (0.5, 20.0)]
CORNERS = np.array(list(itertools.product(*zip(LEAST, MOST, strict=True))))


def best_of_cell(load: float, wet_bulb: float) -> tuple[Array, float]:
    """The table's set points and power for one load and wet bulb."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bound, "grid_axes", lambda: (np.array([load]), np.array([wet_bulb])))
        table, power = bound.optimal_table(SEA_LEVEL_PASCALS)
    return table[0, 0], float(power[0, 0])


def steady(load: float, wet_bulb: float, candidates: Array) -> tuple[Array, Array]:
    """Total power [C] and hottest inlet [C] of set points [C 4]: two hours to settle, then the mean of one."""
    start = tuning.steady_state(np.array([load]), np.array([wet_bulb]))
    tuning.operate(DataCenterCooling(controller="b2", days=1), start, 24)
    start[:, layout.STEP] = 0.0
    used = run(DataCenterCooling(days=1), start.repeat(len(candidates), axis=0), candidates, 36)
    return used["total_kw"][24:].mean(axis=0), used["inlet_max_celsius"][24:].max(axis=0)


@pytest.mark.parametrize(("load", "wet_bulb"), CELLS)
def test_no_random_set_points_beat_the_table(load: float, wet_bulb: float) -> None:
    """300 that keep the limit, half of them drawn near the table's own, within 0.3 % of the total power."""
    best, power = best_of_cell(load, wet_bulb)
    generator = np.random.default_rng(0)
    anywhere = generator.uniform(LEAST, MOST, (1500, 4))
    near = np.clip(best + generator.normal(size=(600, 4)) * (1.0, 0.06, 1.0, 0.1), LEAST, MOST)
    found = []
    for candidates in (anywhere, near):
        total, hottest = steady(load, wet_bulb, candidates)
        found.append(total[hottest <= 26.5][:150])
        assert len(found[-1]) == 150
    assert min(total.min() for total in found) >= 0.997 * power
    assert found[0].min() > power, "chance alone finds nothing as good"
    own, hottest = steady(load, wet_bulb, best[None])
    assert own[0] == pytest.approx(power, rel=1e-9)
    assert hottest[0] <= 26.5


def test_the_optimum_is_interior() -> None:
    """On a cool day at half load: every set point, moved far enough either way, costs more or is too warm."""
    load, wet_bulb = CELLS[0]
    best, power = best_of_cell(load, wet_bulb)
    widths = np.array([2.5, 0.1, 3.0, 0.3])
    assert (best - widths >= LEAST - 1e-9).all()
    assert (best + widths <= MOST + 1e-9).all()
    moved = np.array([best + sign * widths * part for part in np.eye(4) for sign in (-1.0, 1.0)])
    total, hottest = steady(load, wet_bulb, moved)
    assert ((total > power + 0.5) | (hottest > 26.5)).all(), (total - power, hottest)


def test_the_optimum_follows_the_weather() -> None:
    """Water and air are kept warmer in warm weather, when cold is dear."""
    cold, warm = best_of_cell(0.5, -4.0)[0], best_of_cell(0.5, 16.0)[0]
    assert (warm[[0, 1, 2, 3]] > cold[[0, 1, 2, 3]]).all()


def test_a_margin_of_air_ends_at_full_speed() -> None:
    table = np.full((2, 2, 4), 0.5)
    table[0, 0, 1] = 0.95
    wider = bound.with_air_margin(table, 0.1)
    assert wider[..., 1].tolist() == [[1.0, pytest.approx(0.55)], [pytest.approx(0.55)] * 2]
    np.testing.assert_array_equal(wider[..., [0, 2, 3]], table[..., [0, 2, 3]])
    assert table[0, 0, 1] == 0.95, "the given table is as it was"


def whole_table(cell: Array) -> Array:
    """A table that is the same everywhere."""
    return np.tile(cell, (11, 14, 1))


def test_the_replay_asks_for_the_tables_set_points() -> None:
    cell = np.array([21.0, 0.55, 15.0, 0.6])
    world, state = DataCenterCooling(days=1), constant(0.5, 8.0)[None]
    replayed = bound.replay({"days": 1}, state, whole_table(cell))
    used = run(world, state.copy(), cell, world.episode_steps)
    assert replayed.total_kwh[0] == pytest.approx(used["total_kw"].sum() / 12.0, rel=1e-12)
    assert replayed.cooling_kwh[0] == pytest.approx(used["cooling_kw"].sum() / 12.0, rel=1e-12)
    assert replayed.hottest_celsius[0] == used["inlet_max_celsius"].max()
    assert state[0, layout.STEP] == 0.0, "the given states are as they were"


def test_the_safe_table_has_the_least_margin_that_is_safe() -> None:
    """Too little air for this load, until there is more of it."""
    state, table = constant(0.7, 8.0)[None], whole_table(np.array([23.0, 0.5, 14.0, 0.6]))
    used, margin = bound.safe_table({"days": 1}, state, table)
    assert used.violation_minutes[0] == 0.0
    assert margin > 0.02
    less = bound.replay({"days": 1}, state, bound.with_air_margin(table, margin - 0.02))
    assert less.violation_minutes[0] > 0.0


@pytest.mark.slow
def test_the_planner_betters_a_careless_table() -> None:
    """A day with one table for all loads, cold and with much air: there is something to find, and no heat to hide."""
    state, table = constant(0.5, 12.0)[None], whole_table(np.array([20.0, 0.7, 13.0, 0.8]))
    planned, replayed = bound.plan({"days": 1}, state, table), bound.replay({"days": 1}, state, table)
    assert planned.cooling_kwh[0] < 0.98 * replayed.cooling_kwh[0]
    assert planned.total_kwh[0] < replayed.total_kwh[0]
    assert planned.violation_minutes[0] == 0.0
    assert planned.it_kwh[0] == pytest.approx(replayed.it_kwh[0], rel=0.01), "the same work"
    again = bound.plan({"days": 1}, state, table)
    assert again.total_kwh[0] == planned.total_kwh[0], "the same seed, the same plan"


@cache
def full_table() -> Array:
    return bound.optimal_table(SEA_LEVEL_PASCALS)[0]


def four_weeks(site: str) -> Array:
    return tuning.year({"weather": site}, range(2, 52, 13))


@pytest.mark.slow
def test_the_planner_is_no_worse_than_the_table_on_a_changing_day() -> None:
    options: dict[str, Any] = {"weather": "ashburn", "days": 1}
    states = tuning.year(options, range(2, 52, 13))
    used, margin = bound.safe_table(options, states, full_table())
    planned = bound.plan(options, states, bound.with_air_margin(full_table(), margin / 2))
    assert (planned.total_kwh <= used.total_kwh).all()


@pytest.mark.slow
def test_no_constant_corner_is_near_the_bound_in_all_climates() -> None:
    """Cooling energy of a week in each season: 5 % above the table's at least, somewhere, or minutes too warm."""
    near = np.ones(len(CORNERS), np.bool_)
    for site in ("tampa", "ashburn", "stockholm"):
        states, options = four_weeks(site), {"weather": site}
        best, _ = bound.safe_table(options, states, full_table())
        assert best.violation_minutes.sum() == 0.0
        for index, corner in enumerate(CORNERS):
            used = bound.replay(options, states, whole_table(corner))
            good = used.cooling_kwh.sum() <= 1.05 * best.cooling_kwh.sum()
            near[index] &= bool(good and used.violation_minutes.sum() == 0.0)
    assert not near.any(), CORNERS[near]


def test_the_tables_controller_is_not_one_that_can_be_asked_for() -> None:
    assert controllers.TABLE not in controllers.NUMBERS.values()
    world = DataCenterCooling(days=1)
    assert world.settings[batch.CONTROLLER] == controllers.AGENT
