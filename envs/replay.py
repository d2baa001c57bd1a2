"""The episodes in progress as seeds and actions: all it takes to bring a deterministic world back to where it was."""

from __future__ import annotations

from typing import Any

import numpy as np

from keel.envs.protocol import Array, State

LEAST_ROWS = 64


class EpisodeLog:
    """For each of B worlds the seed of its episode and the actions since, in one array that all worlds share.

    A step costs one row. Rows that no running episode needs any more are dropped when the array is full.
    """

    def __init__(self, num_envs: int, action_shape: tuple[int, ...], action_dtype: np.dtype[Any]) -> None:
        self._seed = np.zeros(num_envs, np.int64)
        self._start = np.zeros(num_envs, np.int64)  # the row of each world's first action
        self._rows = np.zeros((LEAST_ROWS, num_envs, *action_shape), action_dtype)
        self._count = 0

    def begin(self, indices: Array, seeds: Any) -> None:
        """These worlds start an episode from these seeds."""
        self._seed[indices] = seeds
        self._start[indices] = self._count

    def append(self, action: Array) -> None:
        """Every world takes its action, [B ...]."""
        if self._count == len(self._rows):
            self._make_room()
        self._rows[self._count] = action
        self._count += 1

    def episode(self, index: int) -> tuple[int, Array]:
        """The seed of a world's episode and the actions taken in it, [T ...]."""
        return int(self._seed[index]), self._rows[self._start[index] : self._count, index]

    def state_dict(self) -> State:
        episodes = [self.episode(index)[1] for index in range(len(self._seed))]
        return {
            "seed": self._seed.copy(),
            "length": np.array([len(actions) for actions in episodes], np.int64),
            "actions": np.concatenate(episodes),  # world after world, [sum of lengths ...]
        }

    def load_state_dict(self, state: State) -> None:
        """Raises: ValueError where the arrays do not belong together."""
        seed, length, actions = (np.asarray(state[name]) for name in ("seed", "length", "actions"))
        num_envs, action_shape = len(self._seed), self._rows.shape[2:]
        if seed.shape != (num_envs,) or length.shape != (num_envs,) or (length < 0).any():
            raise ValueError(f"the saved episodes are of {seed.shape} worlds, here are {num_envs}")
        if actions.shape != (length.sum(), *action_shape) or actions.dtype != self._rows.dtype:
            raise ValueError(
                f"the saved actions are {actions.dtype} {actions.shape}, "
                f"needed are {self._rows.dtype} {(int(length.sum()), *action_shape)}"
            )
        self._count = int(length.max())
        self._rows = np.zeros((max(LEAST_ROWS, 2 * self._count), num_envs, *action_shape), self._rows.dtype)
        self._seed[:], self._start[:] = seed, self._count - length
        for index, episode in enumerate(np.split(actions, np.cumsum(length)[:-1])):
            self._rows[self._start[index] : self._count, index] = episode

    def _make_room(self) -> None:
        needed = self._rows[self._start.min() : self._count]
        rows = np.zeros((max(LEAST_ROWS, 2 * len(needed)), *self._rows.shape[1:]), self._rows.dtype)
        rows[: len(needed)] = needed
        self._start -= self._start.min()
        self._rows, self._count = rows, len(needed)
