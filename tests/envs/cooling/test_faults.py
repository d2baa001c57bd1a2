"""Faults: how they are drawn, when they act, and which way they push the plant."""

from __future__ import annotations

import numpy as np
import pytest

from keel.envs.cooling import faults, layout
from keel.envs.cooling.env import DataCenterCooling
from keel.envs.cooling.faults import FAULTS, draw_fault
from keel.envs.protocol import Array

from .plants import HALL, constant, run, without

BASE = np.array([20.0, 0.75, 12.0, 0.7])

# Shortest and longest, hours, and smallest and largest size, as the simulator's description has them.
DRAWN = {
    "crah": ((1.0, 6.0), (0.2, 0.2)),
    "coil": ((6.0, 48.0), (0.7, 0.7)),
    "valve": ((1.0, 6.0), (0.0, 0.0)),
    "sensor": ((2.0, 12.0), (-2.0, 2.0)),
    "tower-fan": ((1.0, 6.0), (0.5, 0.5)),
    "chiller": ((1 / 6, 1 / 6), (0.0, 0.0)),
    "heat-wave": ((72.0, 72.0), (6.0, 10.0)),
    "load-spike": ((1.0, 4.0), (0.3, 0.3)),
    "demand-response": ((1.0, 4.0), (0.0, 0.0)),
}


@pytest.mark.parametrize("name", DRAWN)
def test_what_is_drawn_is_within_its_ranges_and_fills_them(name: str) -> None:
    (shortest, longest), (smallest, largest) = DRAWN[name]
    drawn = np.array([draw_fault(np.random.default_rng(seed), name, 7, 3) for seed in range(1000)])
    assert set(drawn[:, 0]) == {FAULTS[name][0]}
    assert drawn[:, 1].min() >= 201, "a tenth of the episode goes before"
    assert drawn[:, 2].max() <= 2015
    steps = drawn[:, 2] - drawn[:, 1] + 1  # the last step is one of them
    assert steps.min() >= round(12 * shortest)
    assert steps.max() <= round(12 * longest)
    for values, low, high in [(steps / 12, shortest, longest), (drawn[:, 3], smallest, largest)]:
        assert values.min() <= low + 0.05 * (high - low) + 1e-9
        assert values.max() >= high - 0.05 * (high - low) - 1e-9
    assert drawn[:, 3].min() >= smallest
    assert drawn[:, 3].max() <= largest
    assert set(drawn[:, 4]) == {0.0, 1.0, 2.0}


def test_any_draws_every_kind_about_equally_often() -> None:
    drawn = [draw_fault(np.random.default_rng(seed), "any", 7, 1)[0] for seed in range(1800)]
    kinds, counts = np.unique(drawn, return_counts=True)
    assert kinds.tolist() == list(range(1, 10))
    assert counts.min() > 150
    assert draw_fault(np.random.default_rng(0), "none", 7, 1).tolist() == [0.0] * 5


@pytest.mark.parametrize("name", DRAWN)
def test_a_fault_fits_into_a_day(name: str) -> None:
    for seed in range(200):
        _, first, last, _, _ = draw_fault(np.random.default_rng(seed), name, 1, 1)
        assert 0 < first <= last <= 287


def test_it_acts_in_its_window_only() -> None:
    world, state = DataCenterCooling(days=1), constant(0.5, 20.0)[None]
    state[0, layout.FAULT : layout.FAULT + 5] = (faults.CRAH, 10, 15, 0.2, 0)
    used = run(world, state, BASE, 30)
    assert np.flatnonzero(used["fault"][:, 0]).tolist() == list(range(10, 16))
    assert set(used["fault"][10:16, 0]) == {1.0}


def twins(
    kind: int, size: float, steps: int = 24, load: float = 0.6, wet_bulb: float = 22.0
) -> tuple[Array, Array, dict[str, Array]]:
    """States without and with the fault, and their measures [steps 2], from a plant at rest."""
    world, state = DataCenterCooling(days=1), constant(load, wet_bulb)[None]
    run(world, state, BASE, 120)
    state[:, layout.STEP] = 0.0
    both = np.concatenate([state, without(state[0], kind, size)[None]])
    used = run(world, both, BASE, steps)
    return both[0], both[1], used


def test_an_air_handler_that_stands_still_moves_a_fifth_of_the_air() -> None:
    well, ill, used = twins(faults.CRAH, 0.2)
    assert (1.0 + ill[HALL + layout.AIR_BALANCE]) / (1.0 + well[HALL + layout.AIR_BALANCE]) == pytest.approx(
        0.8, abs=0.01
    )
    assert used["crah_kw"][-1, 1] == pytest.approx(0.8 * used["crah_kw"][-1, 0], rel=1e-9)
    assert ill[HALL + layout.RETURN] > well[HALL + layout.RETURN] + 0.5, "the same heat in less air"


def test_a_fouled_coil_needs_more_water() -> None:
    well, ill, used = twins(faults.COIL, 0.7)
    assert ill[HALL + layout.WATER_FLOW] > 1.1 * well[HALL + layout.WATER_FLOW]
    assert ill[HALL + layout.SUPPLY] == pytest.approx(well[HALL + layout.SUPPLY], abs=0.05)
    assert used["chilled_pump_kw"][-1, 1] > used["chilled_pump_kw"][-1, 0]


def test_a_stuck_valve_stays_where_it_is() -> None:
    world, state = DataCenterCooling(days=1), constant(0.6, 22.0)[None]
    both = np.concatenate([state, without(state[0], faults.VALVE)[None]])
    before = both[:, HALL + layout.VALVE].copy()
    run(world, both, BASE + np.array([3.0, 0.0, 0.0, 0.0]), 24)
    assert both[1, HALL + layout.VALVE] == before[1]
    assert abs(both[0, HALL + layout.VALVE] - before[0]) > 0.05


@pytest.mark.parametrize("size", [-2.0, 2.0])
def test_a_wrong_sensor_moves_the_air_the_other_way(size: float) -> None:
    well, ill, _ = twins(faults.SENSOR, size, steps=48)
    assert ill[HALL + layout.SUPPLY] - well[HALL + layout.SUPPLY] == pytest.approx(-size, abs=0.1)


def test_a_weak_tower_fan_warms_the_condenser_water() -> None:
    well, ill, used = twins(faults.TOWER_FAN, 0.5)
    assert ill[layout.CONDENSER_SUPPLY] > well[layout.CONDENSER_SUPPLY] + 0.3
    at_half = -0.00931516 + 0.05123340 * 0.5 - 0.08383647 * 0.25 + 1.04191823 * 0.125
    density_ratio = 101325.0 / (287.05 * 295.0) / 1.2
    assert used["tower_kw"][-1, 1] == pytest.approx(26.0 * at_half * density_ratio, rel=1e-9)
    assert used["chiller_kw"][-1, 1] > used["chiller_kw"][-1, 0]


def test_a_weak_tower_fan_moves_no_more_air_for_evaporation_than_it_can() -> None:
    """Make-up water belongs to the air that the fan moves, not to what was asked of it (hot dry air takes up most)."""
    world = DataCenterCooling(days=1)
    state = constant(0.6, 22.0)[None]
    at = int(layout.dynamic_size(1))
    state[0, at : at + layout.hourly_count(1)] = 40.0
    state[0, at + 2 * layout.hourly_count(1) : at + 3 * layout.hourly_count(1)] = 0.21
    weak = np.concatenate([state, without(state[0], faults.TOWER_FAN, 0.5)[None]])
    targets = np.array([[*BASE[:3], 0.5], [*BASE[:3], 1.0]])
    used = run(world, weak, targets, 60)
    assert used["tower_kw"][-1, 1] == pytest.approx(used["tower_kw"][-1, 0], rel=1e-9), "the same fan"
    assert used["water_litres"][-1, 1] == pytest.approx(used["water_litres"][-1, 0], rel=1e-6)


def test_a_chiller_that_trips_is_back_after_ten_minutes() -> None:
    world, state = DataCenterCooling(days=1), constant(0.6, 24.0)[None]
    run(world, state, BASE, 60)
    state[:, layout.STEP] = 0.0
    event = draw_fault(np.random.default_rng(0), "chiller", 1, 1)
    first = int(event[1])
    state[0, layout.FAULT : layout.FAULT + 5] = event
    used = run(world, state, BASE, first + 20)
    off = np.flatnonzero(used["chiller_kw"][:, 0] == 0.0)
    assert off[0] == first
    assert len(off) * 5 == 10, "minutes"
    assert used["chiller_kw"][first + 4, 0] > used["chiller_kw"][first - 1, 0], "the water has become warm"


def test_a_heat_wave_warms_the_weather_and_keeps_its_water() -> None:
    usual = DataCenterCooling(week=28).start(np.random.default_rng(3))
    for seed in range(3):
        hot = DataCenterCooling(week=28, fault="heat-wave").start(np.random.default_rng(seed))
        usual = DataCenterCooling(week=28).start(np.random.default_rng(seed))
        at, hours = int(layout.dynamic_size(1)), layout.hourly_count(7)
        dry = hot[at : at + hours] - usual[at : at + hours]
        wet = hot[at + hours : at + 2 * hours] - usual[at + hours : at + 2 * hours]
        assert 6.0 <= hot[layout.FAULT_SIZE] <= 10.0
        assert dry.max() == pytest.approx(hot[layout.FAULT_SIZE], abs=0.05)
        assert dry.min() == 0.0
        assert 72 - 2 <= np.count_nonzero(dry) <= 72
        assert np.abs(np.diff(dry)).max() <= hot[layout.FAULT_SIZE] / 12.0 + 1e-9
        assert ((wet > -1e-6) & (wet < dry + 1e-6)).all()
        assert wet.max() > 1.0
        humidity = slice(at + 2 * hours, at + 3 * hours)
        assert (hot[humidity] <= usual[humidity] + 1e-6).all()


def test_a_load_spike_is_three_tenths_of_full_load() -> None:
    for seed in range(5):
        busy = DataCenterCooling(fault="load-spike").start(np.random.default_rng(seed))
        usual = DataCenterCooling().start(np.random.default_rng(seed))
        at = int(layout.load_offset(0, 1, 7))
        first, last = int(busy[layout.FAULT_FIRST_STEP]), int(busy[layout.FAULT_LAST_STEP])
        expected = usual[at:].copy()
        expected[first : last + 1] = np.minimum(expected[first : last + 1] + 0.3, 1.0)
        np.testing.assert_array_equal(busy[at:], expected)


def test_demand_response_counts_what_is_above_the_cap() -> None:
    """The cap is 97 % of the reference controller's power; what is above it costs the agent once more."""
    world = DataCenterCooling(days=1)
    state = constant(0.6, 24.0)[None].repeat(2, axis=0)
    state[1] = without(state[1], faults.DEMAND_RESPONSE)
    reward, ended, metrics = np.empty(2), np.empty(2, np.bool_), np.empty((2, len(layout.READING_NAMES)))
    world.step_to(state, np.tile([18.0, 0.95, 7.0, 0.9], (2, 1)), reward, ended, metrics)
    used = dict(zip(layout.READING_NAMES, metrics.T, strict=True))
    excess = used["total_kw"][1] - 0.97 * used["baseline_kw"][1]
    assert excess > 10.0
    assert used["excess_kw"].tolist() == [0.0, pytest.approx(excess, rel=1e-12)]
    assert reward[0] - reward[1] == pytest.approx(excess / 10.0, rel=1e-9)


def test_a_fault_of_one_hall_leaves_the_others_alone() -> None:
    world, state = DataCenterCooling(days=1, halls=3), constant(0.5, 20.0, halls=3)[None]
    ill = without(state[0], faults.CRAH, 0.2)[None]
    ill[0, layout.FAULT_HALL] = 1.0
    both = np.concatenate([state, ill])
    run(world, both, np.array([20.0, 0.75] * 3 + [12.0, 0.7]), 3)
    for index, same in enumerate((True, False, True)):
        at = layout.hall_offset(index) + layout.AIR_BALANCE
        assert (both[0, at] == pytest.approx(both[1, at], abs=1e-6)) == same
