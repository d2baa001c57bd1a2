"""Actions of many worlds: checked against the space, and handed to single worlds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from gymnasium import spaces

from keel.envs.backend import plain
from keel.envs.protocol import Array

SUPPORTED = "Discrete, MultiDiscrete, MultiBinary and Box"


class Actions:
    """The actions that B worlds take in one step: an array [B ...] of the kind the space says."""

    def __init__(self, space: spaces.Space[Any], num_envs: int) -> None:
        if not isinstance(space, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary | spaces.Box):
            raise ValueError(f"the action space is {space}, supported are {SUPPORTED}")
        assert space.shape is not None
        self._space = space
        self._shape = (num_envs, *space.shape)
        self._discrete = isinstance(space, spaces.Discrete)
        self.dtype = np.dtype(np.int64) if self._discrete else np.dtype(space.dtype)
        self._low, self._high = _limits(space)

    def check(self, action: Any) -> Array:
        """The actions as an array of the right type. Raises: ValueError, TypeError."""
        array = np.asarray(action)
        if array.shape != self._shape:
            raise ValueError(
                f"the actions have shape {array.shape}, {self._space} for {self._shape[0]} worlds needs {self._shape}"
            )
        if array.dtype != self.dtype and not self._is_convertible(array.dtype):
            raise TypeError(f"the actions are {array.dtype}, {self._space} needs {self.dtype}")
        # Written so that nan, which compares false with everything, is outside.
        inside = (array >= self._low) & (array <= self._high)
        if np.count_nonzero(inside) != inside.size:
            outside = np.argwhere(~inside)[0]
            raise ValueError(
                f"the action of world {outside[0]} is {plain(array[outside[0]])}, which is not in {self._space}"
            )
        return array if array.dtype == self.dtype else array.astype(self.dtype)

    def _is_convertible(self, dtype: np.dtype[Any]) -> bool:
        # Between whole numbers the range check that follows decides; what a float would lose is not its business.
        return dtype.kind in ("biuf" if self.dtype.kind == "f" else "biu")

    def singles(self, action: Array) -> Iterable[Any]:
        """What each world is given: an int for Discrete, otherwise its own row, which the world may write in."""
        return action.tolist() if self._discrete else action.copy()


def _limits(space: spaces.Space[Any]) -> tuple[Any, Any]:
    if isinstance(space, spaces.Discrete):
        return np.int64(space.start), np.int64(space.start + space.n - 1)
    if isinstance(space, spaces.MultiDiscrete):
        return space.start, space.start + space.nvec - 1
    if isinstance(space, spaces.Box):
        return space.low, space.high
    return np.int8(0), np.int8(1)
