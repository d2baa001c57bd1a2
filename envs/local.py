"""Gymnasium environments stepped one after the other in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from keel.envs.actions import Actions
from keel.envs.backend import Fault, NotDeterministic, Outcome, plain
from keel.envs.batches import allocate, layout_of, write
from keel.envs.make import frames_per_second
from keel.envs.protocol import Array, Frame, Observation, State
from keel.envs.replay import EpisodeLog


class LocalBackend:
    """A list of Gymnasium environments that do not reset themselves; restored by replaying their episodes."""

    kind = "replay"
    episode_steps: int | None = None

    def __init__(self, envs: Sequence[gymnasium.Env[Any, Any]], metric_names: Sequence[str] = ()) -> None:
        self.num_envs = len(envs)
        self.observation_space = envs[0].observation_space
        self.action_space = envs[0].action_space
        self.frames_per_second = frames_per_second(envs[0])
        self._envs = envs
        self._metric_names = tuple(metric_names)
        self._layout = layout_of(self.observation_space)
        self._actions = Actions(self.action_space, self.num_envs)
        self._log = EpisodeLog(self.num_envs, self.action_space.shape or (), self._actions.dtype)

    def reset(self, indices: Array, seeds: Sequence[int]) -> Observation:
        self._log.begin(indices, seeds)
        observation = allocate(self._layout, len(indices))
        for row, (index, seed) in enumerate(zip(indices.tolist(), seeds, strict=True)):
            self._start(index, seed, observation, row)
        return observation

    def step(self, action: Array) -> Outcome:
        self._log.append(action)
        observation = allocate(self._layout, self.num_envs)
        reward = np.empty(self.num_envs)
        terminated, truncated = np.empty(self.num_envs, np.bool_), np.empty(self.num_envs, np.bool_)
        infos: list[dict[str, Any]] = []
        layout, index = self._layout, 0
        try:
            for index, (env, single) in enumerate(zip(self._envs, self._actions.singles(action), strict=True)):
                value, earned, terminated[index], truncated[index], info = env.step(single)
                write(layout, observation, index, value)
                reward[index] = earned if earned.__class__ is float else as_number(earned)
                infos.append(info)
        except Exception as error:
            raise Fault(index, blame(error)) from error
        return Outcome(observation, reward, terminated, truncated, self._metrics(infos))

    def state_dict(self) -> State:
        return self._log.state_dict()

    def load_state_dict(self, state: State) -> Observation:
        self._log.load_state_dict(state)
        observation = allocate(self._layout, self.num_envs)
        for index in range(self.num_envs):
            self.replay(index, *self._log.episode(index), observation)
        return observation

    def replay(self, index: int, seed: int, actions: Array, observation: Observation) -> None:
        """Bring world `index` to where these actions lead from this seed, and write its last observation.

        Raises: NotDeterministic where the episode ends on the way, which it did not the first time.
        """
        self._start(index, seed, observation, index)
        for step, single in enumerate(self._actions.singles(actions)):
            try:
                value, _, terminated, truncated, _ = self._envs[index].step(single)
                write(self._layout, observation, index, value)
            except Exception as error:
                raise Fault(index, blame(error)) from error
            if terminated or truncated:
                raise NotDeterministic(index, step + 1)

    def render(self) -> Frame | None:
        if self._envs[0].render_mode in (None, "human"):
            return None
        try:
            frame: Any = self._envs[0].render()
        except Exception as error:
            raise Fault(0, f"it cannot be drawn: {blame(error)}") from error
        return frame

    def close(self) -> None:
        for env in self._envs:
            env.close()

    def _start(self, index: int, seed: int, observation: Observation, row: int) -> None:
        try:
            write(self._layout, observation, row, self._envs[index].reset(seed=seed)[0])
        except Exception as error:
            raise Fault(index, f"reset: {blame(error)}") from error

    def _metrics(self, infos: list[dict[str, Any]]) -> dict[str, Array]:
        if not self._metric_names:
            return {}
        rows = [info.get("metrics", {}) for info in infos]
        return {name: np.array([row.get(name, np.nan) for row in rows], np.float64) for name in self._metric_names}


def as_number(reward: Any) -> float:
    """A reward as a float. Raises: ValueError for what is not one number: None, text, an array of several."""
    if isinstance(reward, int | float | np.number | np.bool_):
        return float(reward)
    if isinstance(reward, np.ndarray) and reward.size == 1 and reward.dtype.kind in "biuf":
        return float(reward.item())
    raise ValueError(f"the reward is {plain(reward)} ({type(reward).__name__}), it must be one finite number")


def blame(error: Exception) -> str:
    """An exception from a world in one line; Keel's own findings are ValueErrors and speak for themselves."""
    return str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
