"""Tiny worlds with known answers: an agent that gets one wrong has a fault that the docstring points at.

The first five follow Andy Jones, "Debugging Reinforcement Learning" (2021). Numbers in the observations are float32
unless a docstring says otherwise.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium import spaces

from keel.envs.protocol import ACTION_MASK, Array

Info: TypeAlias = dict[str, Any]


def _numbers(count: int) -> spaces.Box:
    return spaces.Box(-1.0, 1.0, (count,), np.float32)


def _number(value: float) -> Array:
    return np.array([value], np.float32)


class ConstantReward(gymnasium.Env[Array, np.int64]):
    """One action, observation 0, one step, reward 1.

    Answer: V = 1. A wrong value here is a fault of the value loss or of the optimiser.
    """

    observation_space = _numbers(1)
    action_space = spaces.Discrete(1)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Array, Info]:
        super().reset(seed=seed)
        return _number(0.0), {}

    def step(self, action: np.int64) -> tuple[Array, float, bool, bool, Info]:
        return _number(0.0), 1.0, True, False, {}


class ObservedReward(gymnasium.Env[Array, np.int64]):
    """One action, observation -1 or 1 by chance, one step, the reward is the observation.

    Answer: V(o) = o. A wrong value here, and not in ConstantReward, is a fault on the way of the observation.
    """

    observation_space = _numbers(1)
    action_space = spaces.Discrete(1)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Array, Info]:
        super().reset(seed=seed)
        self._sign = float(self.np_random.choice([-1.0, 1.0]))
        return _number(self._sign), {}

    def step(self, action: np.int64) -> tuple[Array, float, bool, bool, Info]:
        return _number(self._sign), self._sign, True, False, {}


class DelayedReward(gymnasium.Env[Array, np.int64]):
    """One action, observation 0 and then 1, reward 1 with the second and last step.

    Answer: V(0) = gamma, V(1) = 1. A wrong V(0) alone is a fault of the discount or of the bootstrap.
    """

    observation_space = _numbers(1)
    action_space = spaces.Discrete(1)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Array, Info]:
        super().reset(seed=seed)
        self._second = False
        return _number(0.0), {}

    def step(self, action: np.int64) -> tuple[Array, float, bool, bool, Info]:
        ends, self._second = self._second, True
        return _number(1.0), float(ends), ends, False, {}


class ActionReward(gymnasium.Env[Array, np.int64]):
    """Two actions, observation 0, one step; action 1 earns 1, action 0 earns -1.

    Answer: action 1 always, V = 1. A wrong action here is a fault of the advantage or of the policy loss.
    """

    observation_space = _numbers(1)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Array, Info]:
        super().reset(seed=seed)
        return _number(0.0), {}

    def step(self, action: np.int64) -> tuple[Array, float, bool, bool, Info]:
        return _number(0.0), 1.0 if action == 1 else -1.0, True, False, {}


class ContextualReward(gymnasium.Env[Array, np.int64]):
    """Two actions, observation -1 or 1 by chance, one step; action 0 earns 1 at -1, action 1 earns 1 at 1, else -1.

    Answer: action 0 at -1 and 1 at 1, V = 1. A fault here alone mixes up the rows of a batch.
    """

    observation_space = _numbers(1)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Array, Info]:
        super().reset(seed=seed)
        self._sign = float(self.np_random.choice([-1.0, 1.0]))
        return _number(self._sign), {}

    def step(self, action: np.int64) -> tuple[Array, float, bool, bool, Info]:
        return _number(self._sign), self._sign if action == 1 else -self._sign, True, False, {}


class Truncation(gymnasium.Env[Array, np.int64]):
    """One action, observation 0, reward 1 for ever; the registered world is cut after 10 steps.

    Answer: V = 1 / (1 - gamma). About 10 or less means that the cut is taken for an end.
    """

    observation_space = _numbers(1)
    action_space = spaces.Discrete(1)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Array, Info]:
        super().reset(seed=seed)
        return _number(0.0), {}

    def step(self, action: np.int64) -> tuple[Array, float, bool, bool, Info]:
        return _number(0.0), 1.0, False, False, {}


class Autoreset(gymnasium.Env[Array, np.int64]):
    """One action, two steps; the observation is (the episode's sign, progress), the last reward is the sign.

    The sign, -1 or 1 by chance, stays for the episode; progress is 0, 0.5 and, in the final observation, 1.
    Answer: V(sign, 0) = gamma * sign, V(sign, 0.5) = sign. Anything nearer to 0 means that rows of two episodes are
    joined; progress 1 is never acted on.
    """

    observation_space = _numbers(2)
    action_space = spaces.Discrete(1)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Array, Info]:
        super().reset(seed=seed)
        self._sign = float(self.np_random.choice([-1.0, 1.0]))
        self._steps = 0
        return self._observation(), {}

    def step(self, action: np.int64) -> tuple[Array, float, bool, bool, Info]:
        self._steps += 1
        ends = self._steps == 2
        return self._observation(), self._sign if ends else 0.0, ends, False, {}

    def _observation(self) -> Array:
        return np.array([self._sign, self._steps / 2], np.float32)


class ContinuousBound(gymnasium.Env[Array, Array]):
    """Actions from -1 to 1, observation 0, one step, the reward is the action.

    Answer: action 1, V = 1. Falling short, or a clipped action learnt from as if it had been drawn, shows here.
    """

    observation_space = _numbers(1)
    action_space = _numbers(1)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Array, Info]:
        super().reset(seed=seed)
        return _number(0.0), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, Info]:
        return _number(0.0), float(action[0]), True, False, {}


class MultiDiscrete(gymnasium.Env[Array, Array]):
    """Observation and action are MultiDiscrete [3 4], one step; each part that is copied earns 0.5.

    Answer: the action is the observation, V = 1. A fault here alone mixes up the parts of an action.
    """

    observation_space = spaces.MultiDiscrete([3, 4])
    action_space = spaces.MultiDiscrete([3, 4])

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Array, Info]:
        super().reset(seed=seed)
        self._goal = self.np_random.integers([3, 4])
        return self._goal.copy(), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, Info]:
        return self._goal.copy(), float(np.mean(action == self._goal)), True, False, {}


class MultiBinary(gymnasium.Env[Array, Array]):
    """Observation and action are MultiBinary 3, one step; each bit that is copied earns 1/3.

    Answer: the action is the observation, V = 1. A fault here alone mixes up the bits of an action.
    """

    observation_space = spaces.MultiBinary(3)
    action_space = spaces.MultiBinary(3)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Array, Info]:
        super().reset(seed=seed)
        self._goal = self.np_random.integers(0, 2, 3, np.int8)
        return self._goal.copy(), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, Info]:
        return self._goal.copy(), float(np.mean(action == self._goal)), True, False, {}


class MaskedAction(gymnasium.Env[Array, np.int64]):
    """Four actions of which two, by chance, are legal (`info["action_mask"]`); observation 0, one step.

    Action a earns a / 3 where it is legal and -1 where it is not.
    Answer: the higher legal action, and never an illegal one: V = 7/9, the mean over the six pairs.
    """

    observation_space = _numbers(1)
    action_space = spaces.Discrete(4)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Array, Info]:
        super().reset(seed=seed)
        self._legal = np.zeros(4, np.int8)
        self._legal[self.np_random.choice(4, 2, replace=False)] = 1
        return _number(0.0), {ACTION_MASK: self._legal.copy()}

    def step(self, action: np.int64) -> tuple[Array, float, bool, bool, Info]:
        reward = float(action) / 3 if self._legal[action] else -1.0
        return _number(0.0), reward, True, False, {ACTION_MASK: self._legal.copy()}


class NestedObservation(gymnasium.Env[dict[str, Any], np.int64]):
    """Two actions, one step; the action that copies observation["goal"]["side"] (Discrete 2) earns 1, the other -1.

    observation["goal"]["distance"] [1] and observation["noise"] [3] are chance and mean nothing.
    Answer: the action is the side, V = 1. A fault here alone loses or mixes up parts of the observation.
    """

    observation_space = spaces.Dict(
        {"goal": spaces.Dict({"distance": _numbers(1), "side": spaces.Discrete(2)}), "noise": _numbers(3)}
    )
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[dict[str, Any], Info]:
        super().reset(seed=seed)
        self._distance, *self._noise = self.np_random.uniform(-1.0, 1.0, 4)
        self._side = int(self.np_random.integers(2))
        return self._observation(), {}

    def step(self, action: np.int64) -> tuple[dict[str, Any], float, bool, bool, Info]:
        return self._observation(), 1.0 if action == self._side else -1.0, True, False, {}

    def _observation(self) -> dict[str, Any]:
        goal = {"distance": _number(self._distance), "side": np.int64(self._side)}
        return {"goal": goal, "noise": np.array(self._noise, np.float32)}


class Cue(gymnasium.Env[Array, np.int64]):
    """A cue of -1 or 1 is shown, then nothing for `delay` steps, then the question: action 0 is right for -1, 1 for 1.

    Observation [2]: the cue (0 after the first step), and 1 where the question is asked. A right answer earns 1, a
    wrong one -1, and ends the episode; before the question actions do nothing.
    Answer: what was shown. Without a memory V = 0 is the most; with one it is gamma^(delay + 1).

    Raises:
        ValueError: a negative delay.
    """

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, delay: int = 5) -> None:
        if delay < 0:
            raise ValueError(f"delay is {delay}: it must be at least 0")
        self.delay = delay

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Array, Info]:
        super().reset(seed=seed)
        self._cue, self._time = float(self.np_random.choice([-1.0, 1.0])), 0
        return np.array([self._cue, 0.0], np.float32), {}

    def step(self, action: np.int64) -> tuple[Array, float, bool, bool, Info]:
        asked = self._time > self.delay
        self._time += 1
        observation = np.array([0.0, float(self._time > self.delay)], np.float32)
        if not asked:
            return observation, 0.0, False, False, {}
        return observation, 1.0 if (action == 1) == (self._cue == 1.0) else -1.0, True, False, {}
