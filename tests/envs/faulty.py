"""Worlds that go wrong on purpose, and worlds of every kind of space. Registered by tests/envs/conftest.py."""

from __future__ import annotations

import copy
import multiprocessing
import os
import time
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

FAULTS: dict[str, Any] = {
    "reward_nan": lambda observation: (observation, float("nan")),
    "reward_inf": lambda observation: (observation, float("inf")),
    "reward_none": lambda observation: (observation, None),
    "reward_text": lambda observation: (observation, "1.0"),
    "reward_pair": lambda observation: (observation, np.ones(2)),
    "observation_nan": lambda observation: (observation * np.nan, 0.0),
    "observation_shape": lambda observation: (observation[:1], 0.0),
    "observation_text": lambda observation: (np.array(["a", "b"]), 0.0),
    "observation_ragged": lambda observation: ([[1.0], [1.0, 2.0]], 0.0),
}


class Faulty(gymnasium.Env[Any, Any]):
    """Well-behaved, with episodes of 10 steps, but for one step of the first episode."""

    observation_space = spaces.Box(-10.0, 10.0, (2,), np.float32)
    action_space = spaces.Discrete(3)

    def __init__(self, fault: str, at_step: int = 4) -> None:
        if fault == "in_worker" and multiprocessing.parent_process() is not None:
            raise RuntimeError("not in this process")
        self._fault = fault
        self._at_step = at_step
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        if self._fault == "reset" and seed:  # 0 is what an environment is looked at with when it is made
            raise RuntimeError("the reset broke")
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self._steps += 1
        observation, reward = self._observation(), 1.0
        if self._steps == self._at_step:
            observation, reward = self._go_wrong(observation)
        return observation, reward, self._steps == 10, False, {}

    def _observation(self) -> Any:
        return np.array([self._steps, self.np_random.normal()], np.float32)

    def _go_wrong(self, observation: Any) -> Any:
        if self._fault == "raise":
            raise RuntimeError("the motor broke")
        if self._fault == "exit":
            os._exit(7)
        if self._fault == "hang":
            time.sleep(3600)
        return FAULTS[self._fault](observation)


class Drifting(Faulty):
    """Its observations hold chance that no seed governs."""

    def __init__(self) -> None:
        super().__init__("none", at_step=-1)

    def _observation(self) -> Any:
        return np.array([self._steps, int.from_bytes(os.urandom(3), "little")], np.float32)


class ShortOnReplay(Faulty):
    """The first episode of each object is long, the second one, though from the same seed, ends after 3 steps."""

    def __init__(self) -> None:
        super().__init__("none", at_step=-1)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, _, _, info = super().step(action)
        return (
            np.zeros_like(observation),
            reward,
            bool(os.environ.get("KEEL_TEST_SHORT")) and self._steps == 3,
            False,
            info,
        )


SPACES: dict[str, spaces.Space[Any]] = {
    "box": spaces.Box(-1.0, 1.0, (3,), np.float32),
    "box64": spaces.Box(-1.0, 1.0, (2, 2), np.float64),
    "image": spaces.Box(0, 255, (5, 4, 3), np.uint8),
    "image_channels_first": spaces.Box(0, 255, (3, 5, 8), np.uint8),
    "discrete": spaces.Discrete(5),
    "discrete_from_3": spaces.Discrete(4, start=3),
    "multi_discrete": spaces.MultiDiscrete([2, 5, 3]),
    "multi_binary": spaces.MultiBinary(4),
    "nested": spaces.Dict(
        {
            "camera": spaces.Box(0, 255, (2, 2, 1), np.uint8),
            "body": spaces.Dict({"gear": spaces.Discrete(3), "speed": spaces.Box(-1.0, 1.0, (1,), np.float32)}),
        }
    ),
    "text": spaces.Dict({"words": spaces.Text(5), "number": spaces.Discrete(2)}),
    "many": spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[0, 1], [0, -2]]),
    "tuple": spaces.Tuple([spaces.Discrete(2), spaces.Discrete(2)]),
}


class Sampler(gymnasium.Env[Any, Any]):
    """Observations drawn from a space; the reward adds up the action, so that what arrives is seen."""

    def __init__(self, observation: str = "box", action: str = "discrete", listed: bool = False) -> None:
        self.observation_space = copy.deepcopy(SPACES[observation])  # each world its own chance
        self.action_space = copy.deepcopy(SPACES[action])
        self._listed = listed  # give lists and plain numbers where a space says array

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self._steps = 0
        return self._sample(), {"metrics": {"steps": 0.0, "absent": 0.0}}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self._steps += 1
        return self._sample(), np.float32(np.sum(action)), False, self._steps == 6, {"metrics": {"steps": self._steps}}

    def _sample(self) -> Any:
        sample = self.observation_space.sample()
        return sample.tolist() if self._listed else sample


class DiesAtStart(Faulty):
    """Ends every worker process that makes it."""

    def __init__(self) -> None:
        super().__init__("none", at_step=-1)
        if multiprocessing.parent_process() is not None:
            os._exit(3)


class Undrawable(Faulty):
    """Can be made to be drawn, and then cannot."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"]}  # pyright: ignore

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__("none", at_step=-1)
        self.render_mode = render_mode

    def render(self) -> Any:
        raise RuntimeError("no screen")


class OutOfRange(gymnasium.Env[Any, Any]):
    """Every observation lies outside a space that counts its values, in the type of that space."""

    action_space = spaces.Discrete(2)
    observation_space: spaces.Space[Any]

    def __init__(self, observation: str, value: Any) -> None:
        self.observation_space = SPACES[observation]
        self._value = np.array(value, self.observation_space.dtype)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._value, {}


class Masked(gymnasium.Env[Any, Any]):
    """Reports legal actions in `info`; one more action is legal with every step; at the end it reports none.

    After `illegal_at` steps no action (of the last part) is legal.
    """

    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, action: str = "discrete", illegal_at: int = -1) -> None:
        self.action_space = copy.deepcopy(SPACES[action])
        self._illegal_at = illegal_at

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return np.zeros(1, np.float32), {"action_mask": self._mask()}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self._steps += 1
        ends = self._steps == 4
        return np.zeros(1, np.float32), 0.0, ends, False, {} if ends else {"action_mask": self._mask()}

    def _mask(self) -> Any:
        if isinstance(self.action_space, spaces.MultiDiscrete):
            parts = [(np.arange(n) <= self._steps).astype(np.int8) for n in self.action_space.nvec]
            parts[-1] *= self._steps != self._illegal_at
            return tuple(parts)
        assert isinstance(self.action_space, spaces.Discrete)
        return (np.arange(self.action_space.n) <= self._steps) & (self._steps != self._illegal_at)


class MaskInDict(gymnasium.Env[Any, Any]):
    """Reports legal actions in its own observation: none at step `illegal_at`, whatever follows; ends at step 3."""

    observation_space = spaces.Dict({"action_mask": spaces.Box(0, 1, (5,), np.float32), "x": SPACES["discrete"]})

    def __init__(self, action: str = "discrete", illegal_at: int = -1) -> None:
        self.action_space = copy.deepcopy(SPACES[action])
        self._illegal_at = illegal_at

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self._steps += 1
        return self._observation(), 0.0, self._steps == 3, False, {}

    def _observation(self) -> Any:
        return {"action_mask": np.full(5, self._steps != self._illegal_at, np.float32), "x": 0}
