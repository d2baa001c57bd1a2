"""What actions mean, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keel.envs.cooling import actions, layout, step
from keel.envs.cooling.env import DataCenterCooling
from keel.envs.protocol import Array

from .plants import HALL, constant, run

MOVES = np.array([0.5, 0.05, 0.5, 0.1])
START = np.array([21.0, 0.6, 14.0, 0.5])


def state_at(set_points: Array, halls: int = 1) -> Array:
    """States [1 S] whose set points are these."""
    state = constant(0.5, 10.0, halls=halls)[None]
    for index in range(halls):
        at = layout.hall_offset(index)
        state[0, at + layout.SUPPLY_SET], state[0, at + layout.CRAH_SET] = set_points[2 * index : 2 * index + 2]
    state[0, layout.CHILLED_SET], state[0, layout.TOWER_SET] = set_points[-2:]
    return state


def set_points(state: Array) -> Array:
    row = state[0]
    return row[[HALL + layout.SUPPLY_SET, HALL + layout.CRAH_SET, layout.CHILLED_SET, layout.TOWER_SET]]


def after(kind: Any, action: Any, start: Array = START) -> Array:
    """Set points after one step of a world with this kind of actions."""
    world, state = DataCenterCooling(days=1, actions=kind), state_at(start)
    reward, ended, metrics = np.empty(1), np.empty(1, np.bool_), np.empty((1, len(layout.READING_NAMES)))
    world.step(state, np.array([action], world.action_space.dtype), reward, ended, metrics)
    return set_points(state)


@pytest.mark.parametrize("action", range(81))
def test_the_digits_of_81_lower_keep_or_raise(action: int) -> None:
    digits = [action % 3, action // 3 % 3, action // 9 % 3, action // 27]
    np.testing.assert_allclose(after(81, action), START + (np.array(digits) - 1) * MOVES, rtol=1e-12)
    np.testing.assert_allclose(after("multi", digits), START + (np.array(digits) - 1) * MOVES, rtol=1e-12)


@pytest.mark.parametrize("action", range(9))
def test_one_of_nine_moves_one_set_point(action: int) -> None:
    expected = START.copy()
    if action > 0:
        expected[(action - 1) // 2] += MOVES[(action - 1) // 2] * (-1.0 if action % 2 else 1.0)
    np.testing.assert_allclose(after(9, action), expected, rtol=1e-12)


def test_moves_end_at_the_ranges() -> None:
    lowest, highest = np.array([16.0, 0.3, 7.0, 0.1]), np.array([27.0, 1.0, 20.0, 1.0])
    np.testing.assert_allclose(after(81, 0, lowest + 0.4 * MOVES), lowest, rtol=1e-12)
    np.testing.assert_allclose(after(81, 80, highest - 0.4 * MOVES), highest, rtol=1e-12)
    np.testing.assert_allclose(after("box", [-1.0] * 4, lowest), lowest, rtol=1e-12)


def test_a_box_holds_set_points_between_their_least_and_most() -> None:
    box = actions.SetPoints(1)
    state = state_at(START)
    for action, expected in [
        ([-1.0, -1.0, -1.0, -1.0], [16.0, 0.3, 7.0, 0.1]),
        ([1.0, 1.0, 1.0, 1.0], [27.0, 1.0, 20.0, 1.0]),
        ([0.0, 0.0, 0.0, 0.0], [21.5, 0.65, 13.5, 0.55]),
        ([0.5, -0.5, 0.2, 3.0], [24.25, 0.475, 14.8, 1.0]),  # beyond the box is its end
    ]:
        targets = box.targets(state, np.array([action]))
        np.testing.assert_allclose(targets[0], expected, rtol=1e-12)
        np.testing.assert_allclose(box.action(targets)[0], np.clip(action, -1, 1), atol=1e-6)


def test_set_points_move_no_faster_than_an_operator_lets_them() -> None:
    """1 K, 0.1, 1 K and 0.2 in a step."""
    slew = np.array([1.0, 0.1, 1.0, 0.2])
    np.testing.assert_allclose(after("box", [1.0] * 4), START + slew, rtol=1e-12)
    np.testing.assert_allclose(after("box", [-1.0] * 4), START - slew, rtol=1e-12)


def test_a_box_of_several_halls_has_the_plant_last() -> None:
    wanted = np.array([21.5, 0.65, 20.5, 0.55, 21.3, 0.62, 14.5, 0.6])
    world = DataCenterCooling(days=1, halls=3)
    state = state_at(np.array([21.0, 0.6] * 3 + [14.0, 0.5]), halls=3)
    run(world, state, wanted, 1)
    own = [state[0, layout.hall_offset(h) + part] for h in range(3) for part in (layout.SUPPLY_SET, layout.CRAH_SET)]
    np.testing.assert_allclose([*own, state[0, layout.CHILLED_SET], state[0, layout.TOWER_SET]], wanted, rtol=1e-12)


def test_the_mean_move_is_a_share_of_the_ranges() -> None:
    row = state_at(START)[0]
    step.move_set_points(row, START + np.array([0.55, 0.0, -0.65, 0.09]), 1, 1.0)
    assert row[layout.MOVED] == pytest.approx((0.55 / 11 + 0.0 + 0.65 / 13 + 0.09 / 0.9) / 4, rel=1e-12)
