"""Small wrappers round single Gymnasium environments, one purpose each, that Gymnasium itself does not have."""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from keel.envs.protocol import ACTION_MASK, Array


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


class OneHotGrid(gymnasium.Wrapper[Any, Any, Any, Any]):
    """MiniGrid's image [V V 3] of an object, its colour and its state in each cell, one-hot: bool [V V 20].

    The channels are 11 objects, 6 colours and 3 states (open, closed, locked). Direction and mission are left out.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        constants = importlib.import_module("minigrid.core.constants")
        numbers = [sorted(getattr(constants, f"{kind}_TO_IDX").values()) for kind in ("OBJECT", "COLOR", "STATE")]
        self._parts = np.repeat(np.arange(3), [len(part) for part in numbers])
        self._numbers = np.concatenate(numbers).astype(np.uint8)
        assert isinstance(env.observation_space, spaces.Dict)
        image = env.observation_space["image"]
        assert image.shape is not None
        shape = (*image.shape[:2], len(self._numbers))
        self.observation_space = spaces.Box(0, 1, shape, np.bool_)  # pyright: ignore

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        return self._one_hot(observation["image"]), info

    def step(self, action: Any) -> tuple[Array, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._one_hot(observation["image"]), reward, terminated, truncated, info

    def _one_hot(self, image: Array) -> Array:
        return image.take(self._parts, axis=2) == self._numbers


def channels_come_last(shape: tuple[int, ...]) -> bool:
    """Whether an image shape reads H W C: by its two equal sides, otherwise because the last axis is the smallest.

    networks.observations reads shapes in the same way. Where all sides are equal the channels are last, as Gymnasium's
    worlds have them.
    """
    if (shape[0] == shape[1]) != (shape[1] == shape[2]):
        return shape[0] == shape[1]
    return shape[2] <= shape[0]


def stack_frames(env: gymnasium.Env[Any, Any], count: int) -> gymnasium.Env[Any, Any]:
    """The last `count` observations along a new first axis, or, for images of three axes, as further channels.

    Where legal actions stand beside other parts, every part is stacked by itself and the mask is that of now.
    """
    stacked = gymnasium.wrappers.FrameStackObservation(env, count)
    space = env.observation_space
    if not isinstance(space, spaces.Dict):
        if not is_image(space):
            return stacked
        return gymnasium.wrappers.TransformObservation(
            stacked, lambda frames: _joined(space, frames), _joined_space(space, stacked.observation_space)
        )
    if ACTION_MASK not in space.spaces:
        return stacked
    assert isinstance(stacked.observation_space, spaces.Dict)
    whole = {name: _joined_space(space[name], part) for name, part in stacked.observation_space.items()}
    whole[ACTION_MASK] = space[ACTION_MASK]

    def with_mask_of_now(parts: dict[str, Any]) -> dict[str, Any]:
        joined = {name: _joined(space[name], frames) for name, frames in parts.items()}
        return joined | {ACTION_MASK: parts[ACTION_MASK][-1]}

    return gymnasium.wrappers.TransformObservation(stacked, with_mask_of_now, spaces.Dict(whole))


def stack_axis(stacked: spaces.Space[Any], count: int) -> int | None:
    """Along which axis of a space that `stack_frames` made `count` frames lie; None where its shape does not tell.

    Three axes are grey pictures behind one another, or images whose channels were joined: first or last ones.
    """
    if isinstance(stacked, spaces.Dict) or not stacked.shape:
        return None
    if not is_image(stacked):
        return 0 if stacked.shape[0] == count else None
    a, b, c = stacked.shape
    first = a == count or (a % count == 0 and not channels_come_last((a // count, b, c)))
    last = c % count == 0 and channels_come_last((a, b, c // count))
    if first == last:
        return None
    return 0 if first else 2


def is_image(space: spaces.Space[Any]) -> bool:
    """A Box of three axes."""
    return isinstance(space, spaces.Box) and len(space.shape) == 3


def _joined(space: spaces.Space[Any], frames: Any) -> Any:
    """Frames [count ...] of one space: of an image as further channels, otherwise as they are."""
    if not is_image(space):
        return frames
    return np.concatenate(list(frames), axis=_channel_axis(space))


def _joined_space(space: spaces.Space[Any], stacked: spaces.Space[Any]) -> spaces.Space[Any]:
    if not (isinstance(space, spaces.Box) and isinstance(stacked, spaces.Box) and is_image(space)):
        return stacked
    return spaces.Box(_joined(space, stacked.low), _joined(space, stacked.high), dtype=space.dtype.type)


def _channel_axis(space: spaces.Space[Any]) -> int:
    assert space.shape is not None
    return 2 if channels_come_last(space.shape) else 0
