"""Keel's worlds as Stable-Baselines3 takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv as SB3VecEnv

from keel.envs.protocol import Array, Observation, Step, VecEnv
from keel.runners.sb3.agent import as_worlds_take


class SB3Worlds(SB3VecEnv):
    """B worlds of Keel behind the interface of Stable-Baselines3.

    Where an episode ended, `infos` hold its last observation, and whether it was cut by a limit, so that the value goes
    on. Seeds are Keel's: episode k of world i is seeded by (seed, i, k), and `seed()` changes nothing.

    Args: on_step: called with each step as Keel's worlds gave it.
    """

    def __init__(self, worlds: VecEnv, seed: int, on_step: Callable[[Step], None]) -> None:
        self.worlds = worlds
        self._first_seed = seed
        self._on_step = on_step
        super().__init__(worlds.num_envs, worlds.observation_space, worlds.action_space)

    def reset(self) -> Any:
        return self.worlds.reset(self._first_seed)

    def step_async(self, actions: Array) -> None:
        self._action = as_worlds_take(self.action_space, actions)

    def step_wait(self) -> Any:
        step = self.worlds.step(self._action)
        self._on_step(step)
        ended = step.terminated | step.truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row in np.flatnonzero(ended).tolist():
            infos[row]["terminal_observation"] = row_of(step.final_observation, row)
            infos[row]["TimeLimit.truncated"] = not step.terminated[row]
        return step.observation, step.reward.astype(np.float32), ended, infos

    def close(self) -> None:
        self.worlds.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The only attribute of single worlds that the algorithms ask for: they are not drawn."""
        if attr_name != "render_mode":
            raise AttributeError(f"Keel's worlds have no '{attr_name}' for Stable-Baselines3")
        return [None for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise AttributeError(f"Keel's worlds have no '{attr_name}' for Stable-Baselines3")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        raise AttributeError(f"Keel's worlds have no '{method_name}' for Stable-Baselines3")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> Sequence[bool]:  # type: ignore[override]
        return [False for _ in self._get_indices(indices)]


def row_of(observation: Observation | None, row: int) -> Any:
    """What one world showed, of observations [B ...]."""
    if isinstance(observation, dict):
        return {key: row_of(part, row) for key, part in observation.items()}
    assert observation is not None
    return observation[row]
