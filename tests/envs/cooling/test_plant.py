"""Halls and plant together: heat is conserved, cooling cools, a loss of cooling heats as halls were seen to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keel.envs.cooling import assets, faults, hall, layout, plant, step
from keel.envs.cooling.env import DataCenterCooling
from keel.envs.protocol import Array

from .plants import HALL, INLETS, constant, run, seconds, without

WATER = list(range(layout.CHILLED_SUPPLY, layout.CONDENSER_RETURN + 1))
POWERS = ("it_kw", "server_fan_kw", "crah_kw", "chiller_kw", "tower_kw", "chilled_pump_kw", "condenser_pump_kw")


def random_week(world: DataCenterCooling, count: int) -> tuple[dict[str, Array], Array]:
    """Measures [steps B] of episodes of random actions, and the states where they end."""
    generator = np.random.default_rng(0)
    states = np.stack([world.start(np.random.default_rng(seed)) for seed in range(count)])
    size = (world.episode_steps, count, world.action_space.shape[0])
    actions = generator.uniform(-1.0, 1.0, size)
    reward, ended, metrics = np.empty(count), np.empty(count, np.bool_), np.empty((len(actions), count, 31))
    for k, action in enumerate(actions):
        world.step(states, action, reward, ended, metrics[k])
    return dict(zip(layout.READING_NAMES, np.moveaxis(metrics, -1, 0), strict=True)), states


@pytest.mark.parametrize(("halls", "fault"), [(1, "none"), (1, "any"), (3, "any")])
def test_energy_closes_in_every_step_and_nothing_is_negative(halls: int, fault: str) -> None:
    used, states = random_week(DataCenterCooling(weather="any", halls=halls, fault=fault), 32)
    assert (np.abs(used["energy_residual_watts"]) < 1e-6 * 1000.0 * used["it_kw"]).all()
    for name in (*POWERS, "ups_kw", "lights_kw", "water_litres", "cost", "excess_kw"):
        assert used[name].min() >= 0.0, name
    assert used["economiser_share"].max() <= 1.0
    for index in range(halls):
        at = layout.hall_offset(index)
        assert states[:, at + layout.WATER_FLOW].min() > 0.0
        assert states[:, at + layout.GROUP_FLOW : at + layout.GROUP_FLOW + 4].min() > 0.0
        assert ((states[:, at + layout.VALVE] >= 0.1) & (states[:, at + layout.VALVE] <= 1.0)).all()


def test_energy_closes_over_a_year() -> None:
    world = DataCenterCooling(days=365, controller="b2", week=0)
    used = run(world, world.start(np.random.default_rng(0))[None], np.zeros(4), world.episode_steps)
    assert len(used["it_kw"]) == 105_120
    assert abs(used["energy_residual_watts"].sum()) < 1e-4 * 1000.0 * used["it_kw"].sum()
    assert used["economiser_share"].min() == 0.0, "the year has summer"
    assert used["chiller_kw"].min() == 0.0, "and winter"


def stored(row: Array, halls: int) -> float:
    """Heat in all stores, J: counted again from the state."""
    joules = halls * plant.CHILLED_STORE * row[[layout.CHILLED_SUPPLY, layout.CHILLED_RETURN]].sum()
    joules += halls * plant.CONDENSER_STORE * row[[layout.CONDENSER_SUPPLY, layout.CONDENSER_RETURN]].sum()
    for index in range(halls):
        at = layout.PLANT + layout.HALL * index
        joules += row[at : at + 3] @ np.array([hall.COLD_STORE, hall.HOT_STORE, hall.MASS_STORE])
        joules += hall.COLD_MASS_STORE * row[at + layout.COLD_MASS]
    return float(joules)


@pytest.mark.parametrize(("halls", "wet_bulb"), [(1, 8.0), (1, 24.0), (3, 16.0)])
def test_a_steps_heat_is_what_its_meters_say(halls: int, wet_bulb: float) -> None:
    """Electricity into hall and water less the tower's heat is what the stores gain; the tower's fan stands outside."""
    world, state = DataCenterCooling(days=1, halls=halls), constant(0.6, wet_bulb, halls)[None]
    before = stored(state[0], halls)
    used = run(world, state, np.array([24.0, 0.8] * halls + [17.0, 0.9]), 1)
    electric = 300.0 * 1000.0 * sum(used[name][0, 0] for name in POWERS if name != "tower_kw")
    rejected = 300.0 * 1000.0 * state[0, layout.TOWER_HEAT]
    gained = stored(state[0], halls) - before
    assert abs(gained) > 1e6, "something moved"
    assert electric - rejected == pytest.approx(gained, abs=1e-6 * electric)


def warm_hall() -> Array:
    """A steady hall at half load, its hottest inlet just below 27 degC, on chilled water of 16 degC."""
    state = constant(0.5, 22.0, settle=24)[None]
    run(DataCenterCooling(days=1), state, np.array([25.9, 0.6, 16.0, 0.7]), 200)
    state[:, layout.STEP] = 0.0
    assert 26.5 < state[0, INLETS].max() < 27.0
    return state[0]


def crossing(hottest: Array, celsius: float) -> int:
    """Seconds until it is as hot as this."""
    assert hottest[-1] > celsius
    return int(np.argmax(hottest >= celsius))


def test_without_any_cooling_a_hall_heats_as_observed() -> None:
    """The hall as a whole, without credit for moving air, is 5 K warmer within 1 to 5 minutes (as from 27 to 32 degC);
    its hottest inlet rises by about 2 K a minute once the cold aisle's air is used up. No heat goes into the water."""
    sizes = np.array([hall.COLD_STORE, hall.HOT_STORE, hall.MASS_STORE, hall.COLD_MASS_STORE])
    row, means = without(warm_hall(), faults.COIL), []

    def look() -> None:
        temperatures = row[[HALL + part for part in (layout.COLD, layout.HOT, layout.MASS, layout.COLD_MASS)]]
        means.append(temperatures @ sizes / sizes.sum())

    hottest = seconds(row, 1200, fault=faults.COIL, each=look)
    assert 60 <= crossing(np.array(means), means[0] + 5.0) <= 300
    assert 1.5 < (hottest[900] - hottest[300]) / 10.0 < 2.5


def test_with_fans_and_pumps_the_chilled_water_lasts_some_minutes() -> None:
    """27 to 32 degC within 5 to 15 minutes on the water's inventory alone: neither chiller nor economiser."""
    row = without(warm_hall(), faults.CHILLER)

    def without_economiser() -> None:
        row[layout.ECONOMISER_ON], row[layout.ECONOMISER_SECONDS] = 0.0, 0.0

    hottest = seconds(row, 1800, fault=faults.CHILLER, each=without_economiser)
    assert 300 <= crossing(hottest, 32.0) - crossing(hottest, 27.0) <= 900


# Where each set point can be felt in the racks: with little air, or where the local loops are at their ends. The load,
# the wet bulb, and the set points of halls and plant.
FELT = {
    0: (0.5, 16.0, (22.0, 0.4), (14.0, 0.6)),  # little air
    1: (0.5, 16.0, (22.0, 0.4), (14.0, 0.6)),
    2: (0.6, 22.0, (16.0, 0.8), (17.0, 0.6)),  # valve open, chiller on
    3: (0.5, 5.0, (16.0, 0.8), (7.0, 0.5)),  # valve open, economiser alone (the chiller stands still) and at its end
}


@pytest.mark.parametrize("halls", [1, 3])
@pytest.mark.parametrize("part", FELT)
def test_every_set_point_is_felt(part: int, halls: int) -> None:
    """An hour with one set point higher, beside its twin: total power and temperatures of every group of racks."""
    load, wet_bulb, air, water = FELT[part]
    world, base = DataCenterCooling(days=1, halls=halls), np.array(air * halls + water)
    state = constant(load, wet_bulb, halls)[None]
    state = without(state[0], faults.CHILLER)[None] if part == 3 else state
    run(world, state, base, 60)
    state[:, layout.STEP] = 0.0
    mine = range(halls) if part < 2 else [0]
    for own in mine:
        place = 2 * own + part if part < 2 else 2 * halls + part - 2
        targets = np.stack([base, base])
        targets[1, place] += (1.0, 0.1, 1.0, 0.2)[part]
        twins = np.repeat(state, 2, axis=0)
        used = run(world, twins, targets, 12)
        assert abs(np.diff(used["total_kw"][-1])[0]) > 0.05
        for index in range(halls):
            at = layout.hall_offset(index) + layout.INLET
            moved = np.abs(twins[1, at : at + 4] - twins[0, at : at + 4])
            if part >= 2 or index == own:
                assert moved.min() > 0.02, "every group of racks"
            else:
                assert moved.max() < 0.02, "another hall's air"


@pytest.mark.parametrize(
    ("load", "wet_bulb", "machines"), [(0.5, 24.0, (0, 1)), (0.4, 8.0, (1, 0)), (0.6, 15.0, (1, 1))]
)
def test_half_the_step_is_half_the_error(load: float, wet_bulb: float, machines: tuple[int, int]) -> None:
    """Of all temperatures after one control step in which nothing is switched, beside a run of many substeps."""
    row, reference = constant(load, wet_bulb), assets.reference_table()
    step.move_set_points(row, np.array([23.0, 0.75, 14.0, 0.8]), 1, 1.0)

    def after(substeps: int) -> Array:
        own = row.copy()
        step.advance(own, 1, 1, substeps, reference)
        assert (own[layout.ECONOMISER_ON], own[layout.CHILLER_ON]) == machines
        return own[[*WATER, *(HALL + part for part in (layout.COLD, layout.HOT, layout.MASS, layout.COLD_MASS))]]

    exact = after(5 * 2**11)
    errors = np.array([np.linalg.norm(after(5 * 2**k) - exact) for k in range(6)])
    np.testing.assert_allclose(errors[:-1] / errors[1:], 2.0, atol=0.3)


def at_rest(load: float, wet_bulb: float, targets: Array) -> tuple[Array, Array]:
    """States [B S] after sixty hours with the set points [B 4], and the hottest inlets of the last four hours."""
    states = np.repeat(constant(load, wet_bulb)[None], len(targets), axis=0)
    hottest = np.empty((0, len(targets)))
    for _ in range(3):
        states[:, layout.STEP] = 0.0
        hottest = run(DataCenterCooling(days=1), states, targets, 240)["inlet_max_celsius"][-48:]
    return states, hottest


LOADS, WET_BULBS = st.floats(0.05, 0.9), st.floats(-10.0, 28.0)
SET_POINTS = st.tuples(st.floats(17.0, 26.0), st.floats(0.4, 0.9), st.floats(8.0, 20.0), st.floats(0.2, 1.0))


@pytest.mark.parametrize(("part", "change"), [(0, -1.0), (1, 0.1), (2, -1.0)])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(LOADS, WET_BULBS, SET_POINTS)
def test_more_cooling_never_warms(
    part: int, change: float, load: float, wet_bulb: float, set_points: tuple[float, float, float, float]
) -> None:
    """Colder air, more air or colder water, at rest. More air counts where the valve can still open: at its end the
    coil gives what it can, and more air takes less heat each."""
    targets = np.array([set_points, set_points])
    targets[1, part] += change
    states, hottest = at_rest(load, wet_bulb, targets)
    assume(np.ptp(hottest, axis=0).max() < 1e-6)  # where machines come and go there is no rest
    assume(part != 1 or states[:, HALL + layout.VALVE].max() < 1.0)
    assert hottest[-1, 1] <= hottest[-1, 0] + 1e-6


@pytest.mark.parametrize("set_points", [(21.0, 0.8, 8.0, 0.9), (24.0, 0.85, 8.5, 0.9)])
def test_colder_water_never_warms_a_full_hall(set_points: tuple[float, float, float, float]) -> None:
    """A chiller at the end of its capacity gives what it can, and the water becomes as cold as that allows."""
    targets = np.array([set_points, set_points])
    targets[1, 2] -= 1.0
    _, hottest = at_rest(0.98, 22.0, targets)
    assert hottest[:, 1].max() <= hottest[:, 0].max() + 1e-6
