"""Observations by hand, and sensors as bad as they are said to be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from keel.envs.cooling import layout
from keel.envs.cooling.env import DataCenterCooling
from keel.envs.cooling.sensors import observe
from keel.envs.protocol import Array

from .plants import HALL, constant, run

INLET_PLACES = slice(36, 40)  # of an observation of one hall
COUNT = 20_000


def seen(states: Array, perfect: bool, halls: int = 1, days: int = 1) -> Array:
    out = np.empty((len(states), 28 + 13 * halls), np.float32)
    observe(states, halls, days, perfect, out)
    return out


def inlets(states: Array) -> Array:
    """What real sensors report of the four groups, degC [B 4]."""
    return seen(states, perfect=False)[:, INLET_PLACES].astype(np.float64) * 3.0 + 24.0


def moments(step: int | Array, count: int = COUNT, log: tuple[float, ...] = (25.0,) * 4) -> Array:
    """States [count S] at `step`, each with noise of its own; the log's temperatures of 0 to 3 steps ago."""
    states = np.repeat(constant(0.5, 10.0)[None], count, axis=0)
    states[:, layout.STEP] = step
    states[:, layout.NOISE_SEED] = np.random.default_rng(0).integers(2**32, size=count)
    for ago, celsius in enumerate(log):
        place = layout.PLANT + layout.HALL + (states[:, layout.STEP].astype(int) - ago) % 4 * 10
        for sensor in range(10):
            states[np.arange(count), place + sensor] = celsius
    return states


def plain(row: Array, halls: int) -> list[float]:
    """The observation's table computed in plain Python, without the forecast."""
    day, hours = layout.STEPS_PER_DAY, row[layout.STEP] / 12.0
    year = (row[layout.FIRST_HOUR] + hours) % 8760 / 8760
    turn = 2 * math.pi
    out = [math.sin(turn * row[layout.STEP] / day), math.cos(turn * row[layout.STEP] / day)]
    out += [math.sin(turn * year), math.cos(turn * year)]
    out += [(row[layout.DRY_BULB] - 15) / 15, (row[layout.WET_BULB] - 12) / 12, 2 * row[layout.HUMIDITY] - 1]
    out += [(row[layout.PRESSURE] / 1000 - 95) / 10, math.nan, math.nan, math.nan]
    out += [(row[layout.PRICE] - 0.2) / 0.1, (row[layout.CARBON] - 400) / 200, 0.0]
    out += [(row[layout.CHILLED_SUPPLY] - 14) / 6, (row[layout.CHILLED_RETURN] - 22) / 6]
    out += [(row[layout.CONDENSER_SUPPLY] - 20) / 8, (row[layout.CONDENSER_RETURN] - 24) / 8]
    out += [2 * row[layout.CHILLED_FLOW] / (44 * halls) - 1]
    out += [row[layout.ECONOMISER_ON], min(row[layout.ECONOMISER_SECONDS] / 1200, 1), row[layout.ECONOMISER_SHARE]]
    out += [row[layout.CHILLER_ON], min(row[layout.CHILLER_SECONDS] / 1200, 1), row[layout.PART_LOAD]]
    out += [(row[layout.CHILLED_SET] - 13.5) / 6.5, (row[layout.TOWER_SET] - 0.55) / 0.45]
    out += [(row[layout.TOTAL] - row[layout.BASELINE]) / (100 * halls)]
    for index in range(halls):
        own = row[layout.PLANT + layout.HALL * index :]
        out += [2 * own[layout.LOAD] - 1, 2 * own[layout.LOAD_MEAN] - 1, (own[layout.HALL_IT] - 700) / 300]
        out += [(own[layout.SUPPLY] - 22) / 5, (own[layout.RETURN] - 34) / 5, 2 * own[layout.VALVE] - 1]
        out += [(own[layout.SUPPLY_SET] - 21.5) / 5.5, (own[layout.CRAH_SET] - 0.65) / 0.35]
        out += [(inlet - 24) / 3 for inlet in own[layout.INLET : layout.INLET + 4]]
        out += [5 * own[layout.AIR_BALANCE]]
    return out


@pytest.mark.parametrize("halls", [1, 3])
def test_the_observation_is_its_table(halls: int) -> None:
    world = DataCenterCooling(halls=halls, price="time-of-use", carbon="solar", weather="denver")
    state = world.start(np.random.default_rng(1))[None]
    generator = np.random.default_rng(0)
    for _ in range(20):
        run(world, state, generator.uniform([16, 0.3] * halls + [7, 0.1], [27, 1] * halls + [20, 1]), 7)
        expected = np.array(plain(state[0], halls))
        own = world.observe(state)[0]
        known = ~np.isnan(expected)
        np.testing.assert_allclose(own[known], expected[known], rtol=1e-5, atol=1e-6)
        assert (np.abs(own) < 20).all()


def test_a_demand_response_event_is_announced() -> None:
    state = constant(0.5, 10.0)
    state[layout.FAULT : layout.FAULT + 3] = (9, 3, 5)
    flags = []
    for step in range(8):
        state[layout.STEP] = step
        flags.append(float(seen(state[None], perfect=True)[0, 13]))
    assert flags == [0, 0, 0, 1, 1, 1, 0, 0]


def test_forecasts_are_unbiased_and_worse_for_later() -> None:
    states = moments(30)
    at = int(layout.hourly_offset(layout.WET_BULB_TRACE, 1, 1))
    states[:, at : at + layout.hourly_count(1)] = 10.0 + np.arange(layout.hourly_count(1)) * 0.7
    forecast = seen(states, perfect=True)[:, 8:11].astype(np.float64) * 12.0 + 12.0
    for place, ahead in enumerate((1, 3, 6)):
        error = forecast[:, place] - (10.0 + 0.7 * (2.5 + ahead))
        spread = 0.3 * math.sqrt(ahead)
        assert abs(error.mean()) < 4 * spread / math.sqrt(COUNT)
        assert error.std() == pytest.approx(spread, rel=0.03)


def test_perfect_sensors_report_the_truth_of_now() -> None:
    states = moments(9, 3, (20.0, 30.0, 40.0, 50.0))
    np.testing.assert_allclose(seen(states, perfect=True)[:, INLET_PLACES], (20.0 - 24.0) / 3.0, rtol=1e-6)


def test_real_sensors_are_noisy_by_three_tenths_of_a_kelvin() -> None:
    readings = inlets(moments(9))
    expected = math.sqrt(0.3**2 + 0.1**2 / 12)  # with the error of rounding to tenths
    assert readings.std() == pytest.approx(expected, rel=0.01)
    assert readings.mean() == pytest.approx(25.0, abs=0.01)
    assert abs(np.corrcoef(readings.T)[0, 1]) < 0.03, "each sensor has noise of its own"


def test_real_sensors_report_tenths() -> None:
    tenths = inlets(moments(9)) * 10.0
    np.testing.assert_allclose(tenths, np.round(tenths), atol=1e-3)
    assert len(np.unique(np.round(tenths))) > 10


def test_real_sensors_report_ten_minutes_late_and_sometimes_the_reading_before() -> None:
    """By a log in which every step is far from the others: 1 % come from three steps ago, none from now."""
    readings = inlets(moments(9, log=(0.0, 100.0, 200.0, 300.0)))
    late = np.abs(readings - 200.0) < 3.0
    later = np.abs(readings - 300.0) < 3.0
    assert (late | later).all()
    assert later.mean() == pytest.approx(0.01, abs=0.0015)


def test_a_lost_reading_repeats_the_one_before() -> None:
    """From one step to the next: where a reading is lost, and the one before was not, both are equal."""
    before = moments(9, log=(30.0, 60.0, 90.0, 120.0))
    after = moments(10, log=(0.0, 30.0, 60.0, 90.0))
    first, second = inlets(before), inlets(after)
    lost = (np.abs(second - 90.0) < 3.0) & (np.abs(first - 90.0) < 3.0)
    assert lost.sum() > 500
    np.testing.assert_allclose(second[lost], first[lost], atol=1e-4)


def test_real_sensors_drift_by_up_to_a_twentieth_of_a_kelvin_a_day() -> None:
    """The same sensors (seeds) at many steps of a week: the mean of their errors after a day's fraction."""
    sensors, steps = 100, np.arange(1, 2016, 5)
    slopes = []
    states = moments(0, sensors)
    seeds = states[:, layout.NOISE_SEED]
    errors = np.empty((len(steps), sensors, 4))
    for k, step in enumerate(steps):
        now = moments(int(step), sensors)
        now[:, layout.NOISE_SEED] = seeds
        errors[k] = inlets(now) - 25.0
    days = steps / 288.0
    slopes = np.einsum("k,kbg->bg", days, errors) / (days @ days)
    noise = 0.31 / math.sqrt(days @ days)  # of a slope
    assert np.abs(slopes).max() < 0.05 + 4 * noise
    assert slopes.std() == pytest.approx(math.hypot(0.05 / math.sqrt(3), noise), rel=0.15)
    assert abs(slopes.mean()) < 0.006


def test_real_halls_know_no_wet_bulb() -> None:
    states = moments(9, 50)
    unknown = [5, 8, 9, 10]
    assert (seen(states, perfect=False)[:, unknown] == 0.0).all()
    assert (seen(states, perfect=True)[:, unknown] != 0.0).all()


def test_noise_belongs_to_the_state() -> None:
    """Looking twice shows the same; another seed shows something else."""
    states = moments(9, 2)
    assert seen(states, perfect=False).tobytes() == seen(states, perfect=False).tobytes()
    assert (inlets(states)[0] != inlets(states)[1]).any()
    assert HALL == layout.PLANT
