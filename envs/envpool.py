"""EnvPool's C++ worlds behind the same contract: the fastest for the ids it has, at the price of exact resume.

What its API does not allow: worlds are seeded when the pool is made, once, so an episode's seed is not (seed, i, k)
and cannot be reported; and no world can be brought back to where it was, so a resumed run starts new episodes.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from keel.envs import batches
from keel.envs.actions import Actions
from keel.envs.backend import plain
from keel.envs.errors import KeelError, closest
from keel.envs.make import USUAL_FRAMES_PER_SECOND
from keel.envs.protocol import Array, Observation, State, Step
from keel.envs.seeding import derive_seed

PRECISION = ".*precision lowered.*"  # EnvPool gives the bounds of its spaces in more digits than the spaces hold


class EnvPoolVector:
    """B worlds of EnvPool. Where one ends it is reset at once, by its number, so no action is ever swallowed."""

    resume: Literal["exact", "approximate"] = "approximate"
    episode_steps: int | None = None
    frames_per_second = USUAL_FRAMES_PER_SECOND

    def __init__(self, env_id: str, num_envs: int, options: Mapping[str, Any]) -> None:
        self.env_id = env_id
        self.num_envs = num_envs
        self._options = dict(options)
        self._pool = self._make(0)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=PRECISION)
            self.observation_space = _with_true_bounds(self._pool.observation_space)
            self.action_space: spaces.Space[Any] = self._pool.action_space
        self._layout = batches.layout_of(self.observation_space)
        self._actions = Actions(self.action_space, num_envs)
        self._seed = 0
        self._steps = 0

    def reset(self, seed: int) -> Observation:
        """Make the pool anew from `seed`."""
        self._seed, self._steps = int(seed), 0
        return self._restart(derive_seed(self._seed, "envpool"))

    def step(self, action: Array) -> Step:
        """One step of every world. Raises: ValueError or TypeError (the actions), KeelError (nan or infinity)."""
        action = self._actions.check(action)
        raw, reward, terminated, truncated, _ = self._pool.step(self._as_pool_takes_it(action))
        self._steps += 1
        observation, reward = self._as_declared(raw), reward.astype(np.float64)
        bad = batches.find_non_finite(reward, "reward") or batches.find_non_finite(observation)
        if bad is not None:
            what = f"step {self._steps} since the reset with seed {self._seed}, action {plain(action[bad.index])}"
            raise KeelError(f"environment {self.env_id} (EnvPool), world {bad.index}, {what}: {bad.what}")
        final_observation = None
        ended = terminated | truncated
        if ended.any():
            indices = np.flatnonzero(ended)
            first = self._as_declared(self._pool.reset(indices.astype(np.int32))[0])
            final_observation, observation = observation, batches.copy(observation)
            batches.put(observation, indices, first)
        return Step(observation, reward, terminated.copy(), truncated.copy(), final_observation, {})

    def state_dict(self) -> State:
        """The seed and the number of steps: all that can be known."""
        return {"env": self.env_id, "num_envs": self.num_envs, "seed": self._seed, "steps": self._steps}

    def load_state_dict(self, state: State) -> Observation:
        """Start new episodes, other than those already seen. Every observation returned is a first one.

        Raises: ValueError where the state is of other worlds.
        """
        for name, own in (("env", self.env_id), ("num_envs", self.num_envs)):
            if state.get(name) != own:
                raise ValueError(f"this state has {name} {state.get(name)!r}, the environment here has {own!r}")
        self._seed, self._steps = int(state["seed"]), int(state["steps"])
        return self._restart(derive_seed(self._seed, "envpool", self._steps))

    def render(self) -> None:
        """EnvPool's worlds are not drawn here: watch the same id with the ordinary backend."""

    def close(self) -> None:
        """Release the pool's threads."""
        self._pool.close()

    def _make(self, seed: int) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=PRECISION)
            return _library().make(
                self.env_id, env_type="gymnasium", num_envs=self.num_envs, seed=seed, **self._options
            )

    def _restart(self, seed: int) -> Observation:
        self._pool.close()
        self._pool = self._make(seed)
        return self._as_declared(self._pool.reset()[0])

    def _as_declared(self, raw: Any) -> Observation:
        return _converted(self._layout, raw)

    def _as_pool_takes_it(self, action: Array) -> Array:
        return action.astype(np.int32) if action.dtype.kind == "i" else action


def make_envpool(env_id: str, num_envs: int, options: Mapping[str, Any]) -> EnvPoolVector:
    """Raises: ImportError without the extra `fast`, ValueError for an id or an option that EnvPool does not have."""
    known = _library().list_all_envs()
    if env_id not in known:
        raise ValueError(f"EnvPool has no environment '{env_id}'{closest(env_id, known)}; leave out the backend option")
    try:
        return EnvPoolVector(env_id, num_envs, options)
    except (TypeError, AssertionError) as error:
        if not options:
            raise
        raise ValueError(f"EnvPool's '{env_id}' does not take the options {dict(options)}: {error}") from error


def _library() -> Any:
    try:
        return importlib.import_module("envpool")
    except ImportError as error:
        raise ImportError("the backend 'envpool' needs the extra 'fast': pip install 'keel-rl[fast]'") from error


def _with_true_bounds(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """The space with ±inf where EnvPool writes the least or greatest float it knows (it takes C++'s `min` for least)."""
    if not isinstance(space, spaces.Box) or space.dtype.kind != "f":
        return space
    numbers = np.finfo(space.dtype)
    low = np.where((space.low == numbers.tiny) | (space.low <= numbers.min), -np.inf, space.low)
    high = np.where(space.high >= numbers.max, np.inf, space.high)
    return spaces.Box(low.astype(space.dtype), high.astype(space.dtype), dtype=space.dtype.type)


def _converted(layout: batches.Layout, raw: Any) -> Observation:
    if isinstance(layout, dict):
        return {key: _converted(part, raw[key]) for key, part in layout.items()}
    return np.array(raw, layout.dtype)
