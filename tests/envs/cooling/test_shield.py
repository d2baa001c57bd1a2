"""The shield: invisible while all is safe, and no server too hot when it is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from keel.envs.cooling import faults, layout, shield, step
from keel.envs.cooling.env import DataCenterCooling
from keel.envs.protocol import Array

from .plants import HALL, constant, run, without

HOT_CORNER = np.array([27.0, 0.3, 20.0, 0.1])  # action [1, -1, 1, -1]
LIMIT = 27.0
EPISODES = 100
Policy = Callable[[np.random.Generator], Array]


def random_targets(generator: np.random.Generator) -> Array:
    return generator.uniform((16.0, 0.3, 7.0, 0.1), (27.0, 1.0, 20.0, 1.0), (EPISODES, 4))


def hot_targets(generator: np.random.Generator) -> Array:
    return np.tile(HOT_CORNER, (EPISODES, 1))


def hundred_weeks(policy: Policy, on: bool) -> dict[str, Array]:
    """Measures [2016 100] of 100 episodes in a hot and humid place, in each of which an air handler stands still."""
    world, generator = DataCenterCooling(shield=on, fault="crah", weather="tampa"), np.random.default_rng(1)
    states = np.stack([world.start(np.random.default_rng(seed)) for seed in range(EPISODES)])
    return run(world, states, lambda _: policy(generator), world.episode_steps)


def test_what_is_safe_passes_bit_for_bit() -> None:
    states = constant(0.5, 18.0)[None].repeat(2, axis=0)
    generator = np.random.default_rng(0)
    targets = generator.uniform((17.0, 0.8, 8.0, 0.3), (22.0, 1.0, 15.0, 1.0), (200, 4))
    first, second = states[:1], states[1:]
    plain = run(DataCenterCooling(days=1), first, lambda k: targets[k], 200)
    shielded = run(DataCenterCooling(days=1, shield=True), second, lambda k: targets[k], 200)
    assert first.tobytes() == second.tobytes()
    assert plain["total_kw"].tobytes() == shielded["total_kw"].tobytes()
    assert shielded["intervention"].max() == 0.0
    assert np.ptp(plain["total_kw"]) > 10.0, "the actions differ"


def test_the_look_ahead_is_what_happens() -> None:
    """With constant load and weather, ten minutes ahead, bit for bit; and looking changes nothing."""
    world = DataCenterCooling(days=1)
    for load, wet_bulb, target in [(0.5, 18.0, HOT_CORNER), (0.8, 24.0, np.array([19.0, 0.9, 9.0, 0.8]))]:
        state = constant(load, wet_bulb)[None]
        before = state.tobytes()
        foreseen = shield.foresee(state[0], target, 1, 1.0, shield.scratch_row(1))
        assert state.tobytes() == before
        used = run(world, state, target, shield.LOOK_AHEAD_STEPS)
        assert foreseen == used["inlet_max_celsius"].max()


def test_it_foresees_the_faults_that_controls_report_and_no_others() -> None:
    row, target, scratch = constant(0.8, 24.0), np.array([18.0, 0.6, 14.0, 0.5]), shield.scratch_row(1)
    usual = shield.foresee(row, target, 1, 1.0, scratch)
    for kind, size, known in [
        (faults.CRAH, 0.2, True),
        (faults.CHILLER, 0.0, True),
        (faults.COIL, 0.7, False),
        (faults.SENSOR, 2.0, False),
        (faults.VALVE, 0.0, False),
    ]:
        assert (shield.foresee(without(row, kind, size), target, 1, 1.0, scratch) > usual) == known


def test_an_unsafe_action_is_drawn_to_safety_no_further_than_needed() -> None:
    """It becomes asked + k / 4 (safe - asked) with the least k that stays below the limit."""
    margin, scratch = 0.4, shield.scratch_row(1)
    safe, seen = np.array([18.0, 1.0, 7.0, 1.0]), set()
    for load in np.linspace(0.3, 1.0, 15).tolist():
        row = constant(load, 20.0)
        row[HALL + layout.CRAH_SET] -= 0.05
        own, target = row.copy(), HOT_CORNER.copy()
        assert shield.foresee(row, target, 1, 1.0, scratch) > LIMIT - margin
        assert shield.correct(own, target, 1, margin, scratch) == 1.0
        shares = (target - HOT_CORNER) / (safe - HOT_CORNER)
        k = round(4.0 * shares[0])
        np.testing.assert_allclose(shares, k / 4, atol=1e-12)
        seen.add(k)
        assert shield.foresee(row, target, 1, 1.0, scratch) <= LIMIT - margin
        less = HOT_CORNER + (k - 1) / 4 * (safe - HOT_CORNER)
        assert shield.foresee(row, less, 1, 1.0, scratch) > LIMIT - margin
        own[layout.MODE] = row[layout.MODE]
        assert own.tobytes() == row.tobytes(), "nothing but the mode has changed"
    assert len(seen) > 1, "more than one way to safety was tried"


def test_in_an_emergency_guideline_36_takes_over_for_an_hour() -> None:
    """A hall that was let grow hot: no action helps at once, set points hurry, and for twelve steps the fallback decides."""
    world = DataCenterCooling(days=1, shield=True)
    state = constant(0.9, 20.0)[None]
    run(DataCenterCooling(days=1), state, HOT_CORNER, 24)
    before = state[0, [HALL + layout.SUPPLY_SET, HALL + layout.CRAH_SET]]
    used = run(world, state, HOT_CORNER, 1)
    assert used["inlet_max_celsius"][0, 0] > 32.0
    moved = state[0, [HALL + layout.SUPPLY_SET, HALL + layout.CRAH_SET]] - before
    np.testing.assert_allclose(moved, [-3.0, 0.3], atol=1e-12)
    assert (used["intervention"][0, 0], used["fallback"][0, 0], state[0, layout.MODE]) == (1.0, 0.0, 1.0)
    used = run(world, state, HOT_CORNER, 12)
    assert used["fallback"][:, 0].tolist() == [1.0] * 12
    assert used["intervention"][:, 0].tolist() == [1.0] * 12
    assert state[0, layout.MODE] == 2.0
    assert used["inlet_max_celsius"][-1, 0] < LIMIT
    used = run(world, state, np.array([18.0, 1.0, 10.0, 1.0]), 2)
    assert used["fallback"].max() == 0.0
    assert state[0, layout.MODE] == 0.0


def test_the_mode_is_the_agents_without_a_shield() -> None:
    state = constant(0.5, 20.0)[None]
    used = run(DataCenterCooling(days=1), state, HOT_CORNER, 50)
    assert used["intervention"].max() == used["fallback"].max() == state[0, layout.MODE] == 0.0
    assert used["violation_minutes"].sum() > 100.0


def test_a_wider_margin_keeps_it_cooler() -> None:
    """Air of 27 degC is asked for, with all else as it should be."""
    hottest = []
    for margin in (0.0, 1.0, 2.0, 3.0):
        world = DataCenterCooling(days=1, shield=True, shield_margin=margin)
        used = run(world, constant(0.6, 20.0)[None], np.array([27.0, 0.9, 12.0, 0.8]), 200)
        hottest.append(used["inlet_max_celsius"].max())
        assert used["intervention"].max() == 1.0
        assert hottest[-1] <= LIMIT - margin
    assert hottest[0] > hottest[3] + 1.0


@pytest.mark.parametrize("policy", [random_targets, hot_targets])
def test_with_an_air_handler_down_no_minute_is_above_32_degrees(policy: Policy) -> None:
    """100 weeks; without the shield the same actions violate."""
    used = hundred_weeks(policy, on=True)
    assert (used["fault"] == faults.CRAH).sum(axis=0).min() >= 12, "an hour at least in every episode"
    assert used["allowable_violation_minutes"].sum() == 0.0
    assert used["inlet_max_celsius"].max() <= step.ALLOWABLE_CELSIUS
    assert hundred_weeks(policy, on=False)["allowable_violation_minutes"].sum() > 1000.0


def test_the_hottest_corner_is_harmless_with_the_shield() -> None:
    """A week in each season: no minute above 32 degC, and above 27 only where load jumps, which nobody foresees."""
    for week in (2, 15, 28, 41):
        world = DataCenterCooling(shield=True, week=week)
        used = run(world, world.start(np.random.default_rng(week))[None], HOT_CORNER, world.episode_steps)
        assert used["allowable_violation_minutes"].sum() == 0.0
        assert used["violation_minutes"].sum() < 0.01 * 5.0 * world.episode_steps
        assert used["intervention"].mean() > 0.9
