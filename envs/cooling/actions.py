"""What an action means: set points themselves, or steps up and down from where they are."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from gymnasium import spaces

from keel.envs.cooling import layout
from keel.envs.cooling.step import (
    CHILLED_LEAST,
    CHILLED_MOST,
    CRAH_LEAST,
    CRAH_MOST,
    SUPPLY_LEAST,
    SUPPLY_MOST,
    TOWER_LEAST,
    TOWER_MOST,
)
from keel.envs.protocol import Array

MOVES = np.array([0.5, 0.05, 0.5, 0.1])  # K, speed, K, speed
ROUNDING = 1e-6  # of a move: a set point so near to its bound is there, since sums of moves round
BITS = np.array([1, 2, 4, 8])
# Where the state keeps the set points of a single hall and its plant.
SINGLE_HALL = [
    layout.PLANT + layout.SUPPLY_SET,
    layout.PLANT + layout.CRAH_SET,
    layout.CHILLED_SET,
    layout.TOWER_SET,
]


class Actions(Protocol):
    """From actions [B ...] to set points [B, 2 halls + 2]."""

    space: spaces.Space[Any]
    choices: Array | None  # [A 4], what each bit of a mask would move; None where there is nothing to count

    def targets(self, state: Array, action: Array) -> Array: ...


def ranges(halls: int) -> tuple[Array, Array]:
    """Least and most of every set point."""
    least = [SUPPLY_LEAST, CRAH_LEAST] * halls + [CHILLED_LEAST, TOWER_LEAST]
    most = [SUPPLY_MOST, CRAH_MOST] * halls + [CHILLED_MOST, TOWER_MOST]
    return np.array(least), np.array(most)


def check_range(action: Array, count: int) -> None:
    """Raises: ValueError for an action that is not one of 0 to `count` - 1."""
    if np.min(action) < 0 or np.max(action) >= count:
        raise ValueError(f"action is {np.asarray(action).tolist()}: every number must be from 0 to {count - 1}")


class SetPoints:
    """Each number from -1 to 1 is a set point between its least and its most."""

    choices = None

    def __init__(self, halls: int) -> None:
        self.space = spaces.Box(-1.0, 1.0, (2 * halls + 2,), np.float32)
        self._least, most = ranges(halls)
        self._half = (most - self._least) / 2

    def targets(self, state: Array, action: Array) -> Array:
        if not np.isfinite(action).all():
            raise ValueError(f"action is {action.tolist()}: every number must be finite, from -1 to 1")
        return self._least + (np.clip(action, -1.0, 1.0) + 1.0) * self._half

    def action(self, targets: Array) -> Array:
        """The action that asks for these set points."""
        return ((targets - self._least) / self._half - 1.0).astype(np.float32)


class AllMoves:
    """Discrete 81: each digit in base 3 lowers, keeps or raises one set point."""

    def __init__(self, halls: int) -> None:
        self.space = spaces.Discrete(81)
        digits = np.arange(81)[:, None] // 3 ** np.arange(4) % 3
        self.choices = (digits - 1) * MOVES

    def targets(self, state: Array, action: Array) -> Array:
        check_range(action, len(self.choices))
        return state[:, SINGLE_HALL] + self.choices[action]


class OneMove:
    """Discrete 9: keep all, or lower or raise one set point."""

    def __init__(self, halls: int) -> None:
        self.space = spaces.Discrete(9)
        self.choices = np.zeros((9, 4))
        for part, move in enumerate(MOVES):
            self.choices[2 * part + 1, part], self.choices[2 * part + 2, part] = -move, move

    def targets(self, state: Array, action: Array) -> Array:
        check_range(action, len(self.choices))
        return state[:, SINGLE_HALL] + self.choices[action]


class SeparateMoves:
    """MultiDiscrete [3 3 3 3]: each set point is lowered, kept or raised."""

    def __init__(self, halls: int) -> None:
        self.space = spaces.MultiDiscrete([3, 3, 3, 3])
        self.choices = np.kron(np.diag(MOVES), [[-1.0], [0.0], [1.0]])

    def targets(self, state: Array, action: Array) -> Array:
        check_range(action, 3)
        return state[:, SINGLE_HALL] + (np.asarray(action) - 1) * MOVES


class Masks:
    """The legal ones of some actions: those that leave no set point where it is which they would move.

    A move that a bound shortens is legal, or the bound itself could not be reached. An action that is not legal does
    what a legal one does, the one that keeps the set points which are at their bounds.
    """

    def __init__(self, choices: Array) -> None:
        self.size = len(choices)  # A, bits of a mask
        least, most = ranges(1)
        self._lowest, self._highest = least + ROUNDING * MOVES, most - ROUNDING * MOVES
        moves = np.concatenate([choices < 0.0, choices > 0.0], axis=1)  # [A 8]: down, then up
        spent = np.arange(256)[:, None] >> np.arange(8) & 1  # [256 8], every set of moves without room
        self._legal = (spent @ moves.T.astype(np.int64) == 0).astype(np.int8)

    def of(self, state: Array) -> Array:
        """[B A] int8, 1 = legal, of the states [B S]."""
        now = state.take(SINGLE_HALL, axis=1)
        return self._legal[(now < self._lowest) @ BITS + (now > self._highest) @ (BITS << 4)]


def make_masks(kind: str | int, actions: Actions) -> Masks:
    """Raises: ValueError for actions of which none is ever illegal."""
    if actions.choices is None:
        raise ValueError(
            f"masks is true and actions is {kind!r}, set points of which all are legal: use actions 9, 81 or 'multi', "
            "or leave masks out"
        )
    return Masks(actions.choices)
