"""Small wrappers round single Gymnasium environments, one purpose each, that Gymnasium itself does not have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from keel.envs.protocol import ACTION_MASK, Array

MOST_CHANNELS = 4  # an image whose last axis is longer has its channels first


def num_actions(space: spaces.Space[Any]) -> int:
    """How many bits a mask over this action space has. Raises: ValueError where actions cannot be counted."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return int(space.nvec.sum())
    raise ValueError(f"a mask of legal actions needs a Discrete or MultiDiscrete action space, this one is {space}")


class MaskInObservation(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Moves the legal actions from `info["action_mask"]` to the key `action_mask` of the observation.

    A plain observation becomes `{"observation": …, "action_mask": …}`. The mask has one bit an action (for
    MultiDiscrete the parts stand one after the other), 1 = legal. At an end, where worlds often report no mask,
    every action counts as legal; elsewhere the vector environment refuses a mask that allows none.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self._size = num_actions(env.action_space)
        self._plain = not isinstance(env.observation_space, spaces.Dict)
        inner = {"observation": env.observation_space} if self._plain else dict(env.observation_space.spaces)  # pyright: ignore
        self.observation_space = spaces.Dict({**inner, ACTION_MASK: spaces.MultiBinary(self._size)})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        return self._with_mask(observation, info, ended=False), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        ended = bool(terminated or truncated)
        return self._with_mask(observation, info, ended), reward, terminated, truncated, info

    def _with_mask(self, observation: Any, info: dict[str, Any], ended: bool) -> dict[str, Any]:
        inner = {"observation": observation} if self._plain else observation
        return {**inner, ACTION_MASK: self._mask(info.get(ACTION_MASK), ended)}

    def _mask(self, reported: Any, ended: bool) -> Array:
        if reported is None and ended:
            return np.ones(self._size, np.int8)
        parts: tuple[Any, ...] = reported if isinstance(reported, tuple) else (reported,)
        if reported is None or sum(np.size(part) for part in parts) != self._size:
            raise ValueError(f"info['{ACTION_MASK}'] is {reported!r}, it must have {self._size} bits")
        mask = np.concatenate([np.ravel(part) for part in parts]).astype(np.int8)
        return mask if mask.any() or not ended else np.ones(self._size, np.int8)


def stack_frames(env: gymnasium.Env[Any, Any], count: int) -> gymnasium.Env[Any, Any]:
    """The last `count` observations along a new first axis, or, for images of three axes, as further channels."""
    stacked = gymnasium.wrappers.FrameStackObservation(env, count)
    space = env.observation_space
    if not isinstance(space, spaces.Box) or len(space.shape) != 3:
        return stacked
    axis = 2 if space.shape[2] <= MOST_CHANNELS else 0

    def as_channels(frames: Sequence[Array]) -> Array:
        return np.concatenate(frames, axis=axis)

    whole = spaces.Box(as_channels([space.low] * count), as_channels([space.high] * count), dtype=space.dtype.type)
    return gymnasium.wrappers.TransformObservation(stacked, as_channels, whole)
