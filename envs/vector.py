"""The vector environment: the one place that knows autoreset, episode seeds and when an episode is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from keel.envs import batches
from keel.envs.actions import Actions
from keel.envs.backend import Backend, Fault, NotDeterministic, plain
from keel.envs.errors import KeelError
from keel.envs.local import LocalBackend
from keel.envs.make import check_options, find_spec, make_single, metric_names, native_world_path
from keel.envs.masks import find_without_choice, parts_of_mask
from keel.envs.protocol import Array, Frame, Observation, State, Step, VecEnv
from keel.envs.seeding import derive_seed


class Vector:
    """B worlds in step over a backend that only steps them and starts them when told to.

    A world that ends is started anew in the same call; episode k of world i is seeded by (seed, i, k) alone, so no
    world's course depends on the others. Rewards and observations that are nan or infinite stop the run, and so do
    masks that leave no action to choose.

    A world's own measures are those of `info["metrics"]`, a dict of floats whose names the first reset declares.

    Args: drawn: whether the first world was made to be drawn into frames, and so is once more where its episode ends.
    """

    resume: Literal["exact", "approximate"] = "exact"

    def __init__(self, env_id: str, backend: Backend, *, drawn: bool = False) -> None:
        self.env_id = env_id
        self.num_envs = backend.num_envs
        self.observation_space = backend.observation_space
        self.action_space = backend.action_space
        self.frames_per_second = backend.frames_per_second
        self.episode_steps = backend.episode_steps
        batches.layout_of(self.observation_space)  # refuses what has no place in an array
        self._backend = backend
        self._actions = Actions(self.action_space, self.num_envs)
        self._mask_parts = parts_of_mask(self.observation_space, self.action_space)
        self._seed = 0
        self._episode = np.zeros(self.num_envs, np.int64)
        self._length = np.zeros(self.num_envs, np.int64)  # steps taken in the episode
        self._drawn = drawn
        # How the first world looked when the last step ended its episode; None where it went on or is not drawn.
        self.final_frame: Frame | None = None
        self._current: Observation | None = None  # our own copy: the one handed out is the receiver's

    def reset(self, seed: int) -> Observation:
        """Start every world anew; episode k of world i is seeded by (seed, i, k) alone."""
        self._seed = int(seed)
        self._episode[:] = 0
        self._length[:] = 0
        observation = self._start(np.arange(self.num_envs))
        self._current = batches.copy(observation)
        return observation

    def step(self, action: Array) -> Step:
        """One step of every world. Raises: ValueError or TypeError (the actions), KeelError (a world failed)."""
        if self._current is None:
            raise RuntimeError(
                "a step needs a reset first (also after a world has failed): call reset(seed) or load_state_dict(state)"
            )
        action = self._actions.check(action)
        self._current = None  # until the step is done: worlds that failed half-way have to be reset
        self._length += 1
        try:
            outcome = self._backend.step(action)
        except Fault as fault:
            raise self._report(fault.index, fault.what, action) from fault.__cause__
        except NotDeterministic as error:  # a lost worker could not be brought back
            raise self._not_deterministic(error.index, error.step) from None
        ended = outcome.terminated | outcome.truncated
        bad = batches.find_non_finite(outcome.reward, "reward") or batches.find_non_finite(outcome.observation)
        if bad is None and self._mask_parts is not None:
            bad = find_without_choice(outcome.observation, self._mask_parts, ended)
        if bad is not None:
            raise self._report(bad.index, bad.what, action)
        observation, final_observation = outcome.observation, None
        self.final_frame = self.render() if self._drawn and ended[0] else None
        if np.count_nonzero(ended):
            observation, final_observation = self._start_next(ended, observation), observation
        self._current = batches.copy(observation)
        return Step(
            observation, outcome.reward, outcome.terminated, outcome.truncated, final_observation, outcome.metrics
        )

    def state_dict(self) -> State:
        """Where every world is. Raises: RuntimeError before the first reset and after a failure."""
        if self._current is None:
            raise RuntimeError("there is no state before the first reset or after a world has failed")
        return {
            **self._identity(),
            "seed": self._seed,
            "episode": self._episode.copy(),
            "length": self._length.copy(),
            "observation": batches.copy(self._current),
            "worlds": self._backend.state_dict(),
        }

    def load_state_dict(self, state: State) -> Observation:
        """Continue where `state` was taken; returns the observation that the next action answers.

        Raises: ValueError where the state is of other worlds, KeelError where a world cannot be brought back exactly.
        """
        for name, own in self._identity().items():
            if state.get(name) != own:
                raise ValueError(f"this state has {name} {state.get(name)!r}, the environment here has {own!r}")
        self._current = None
        self._seed = int(state["seed"])
        self._episode[:], self._length[:] = state["episode"], state["length"]
        try:
            observation = self._backend.load_state_dict(state["worlds"])
        except NotDeterministic as error:
            raise self._not_deterministic(error.index, error.step) from None
        except Fault as fault:
            raise self._report(fault.index, f"while its episode was replayed: {fault.what}", None) from fault.__cause__
        different = batches.first_difference(observation, state["observation"])
        if different is not None:
            raise self._not_deterministic(different, int(self._length[different]))
        self._current = batches.copy(observation)
        return observation

    def render(self) -> Frame | None:
        """The first world as it looks now, or None where it was not made to be drawn. Raises: KeelError."""
        try:
            return self._backend.render()
        except Fault as fault:
            raise self._report(fault.index, fault.what, None) from fault.__cause__
        except NotDeterministic as error:  # a lost worker could not be brought back
            raise self._not_deterministic(error.index, error.step) from None

    def close(self) -> None:
        """Release windows, processes and memory."""
        self._backend.close()

    def _identity(self) -> dict[str, str | int]:
        return {
            "env": self.env_id,
            "num_envs": self.num_envs,
            "observation_space": str(self.observation_space),
            "action_space": str(self.action_space),
            "backend": self._backend.kind,
        }

    def _start(self, indices: Array) -> Observation:
        try:
            observation = self._backend.reset(indices, [self._episode_seed(index) for index in indices.tolist()])
        except Fault as fault:
            raise self._report(fault.index, fault.what, None) from fault.__cause__
        except NotDeterministic as error:
            raise self._not_deterministic(error.index, error.step) from None
        bad = batches.find_non_finite(observation)
        if bad is None and self._mask_parts is not None:
            bad = find_without_choice(observation, self._mask_parts)
        if bad is not None:
            raise self._report(int(indices[bad.index]), f"reset: {bad.what}", None)
        return observation

    def _start_next(self, ended: Array, observation: Observation) -> Observation:
        indices = np.flatnonzero(ended)
        self._episode[indices] += 1
        self._length[indices] = 0
        following = batches.copy(observation)
        batches.put(following, indices, self._start(indices))
        return following

    def _episode_seed(self, index: int) -> int:
        return derive_seed(self._seed, index, int(self._episode[index]))

    def _report(self, index: int, what: str, action: Array | None) -> KeelError:
        where = [
            f"episode {self._episode[index]} (seed {self._episode_seed(index)})",
            f"step {self._length[index]}",
        ]
        if action is not None:
            where.append(f"action {plain(action[index])}")
        return KeelError(f"environment {self.env_id}, world {index}, {', '.join(where)}: {what}")

    def _not_deterministic(self, index: int, step: int) -> KeelError:
        return KeelError(
            f"environment {self.env_id} is not replay-deterministic at step {step} of episode {self._episode[index]} "
            f"of world {index}: the same seed {self._episode_seed(index)} and actions led elsewhere, or the saved state "
            "was changed; the run cannot go on exactly from here"
        )


def make_vec(
    env_id: str,
    num_envs: int = 1,
    *,
    workers: int = 0,
    frame_stack: int = 0,
    env_options: Mapping[str, Any] | None = None,
    render_mode: str | None = None,
    backend: Literal["auto", "envpool"] = "auto",
    step_timeout_seconds: float = 60.0,
) -> VecEnv:
    """B worlds of one id: Keel's own compiled ones where there are, otherwise any Gymnasium environment.

    Args:
        env_id: a Gymnasium id, or "module:id" where importing the module registers it.
        num_envs: B, at least 1.
        workers: processes to spread the worlds over; 0 steps them in this one.
        frame_stack: so many last observations stacked, along a new first axis or, for images of three axes, as
            further channels; 0 or 1 for none (Atari: 4).
        env_options: what the environment's constructor takes.
        render_mode: "human", "rgb_array" or "ansi" for the first world, which is then not compiled.
        backend: "envpool" for EnvPool's worlds (extra `fast`), which resume approximately.
        step_timeout_seconds: how long a worker process may take for one step of its worlds.
    Raises: ValueError (a bad argument, an unknown id or option, a space that has no place in an array), ImportError
        (a missing extra, with the line that installs it), KeelError (the world fails at its first reset).
    """
    for name, value, least in (("num_envs", num_envs, 1), ("workers", workers, 0), ("frame_stack", frame_stack, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} is {value!r}, it must be a whole number of at least {least}")
    if not step_timeout_seconds > 0:
        raise ValueError(f"step_timeout_seconds is {step_timeout_seconds!r}, it must be above 0")
    options = dict(env_options or {})
    if backend == "envpool":
        from keel.envs.envpool import make_envpool

        return make_envpool(env_id, num_envs, options)
    if backend != "auto":
        raise ValueError(f"backend is {backend!r}, it must be 'auto' or 'envpool'")
    drawn = render_mode in ("rgb_array", "ansi")
    if workers:
        from keel.envs.workers import WorkersBackend

        return Vector(
            env_id,
            WorkersBackend(
                env_id,
                num_envs,
                min(workers, num_envs),
                step_timeout_seconds,
                frame_stack=frame_stack,
                env_options=options,
                render_mode=render_mode,
            ),
            drawn=drawn,
        )
    world = native_world_path(env_id)
    if world is not None and render_mode is None and frame_stack <= 1:
        return Vector(env_id, _native_backend(find_spec(env_id), world, [options], num_envs))
    return Vector(env_id, _local_backend(env_id, num_envs, frame_stack, options, render_mode), drawn=drawn)


def make_variants(env_id: str, variants: Sequence[Mapping[str, Any]]) -> VecEnv:
    """One of Keel's own worlds for each of the mappings of options, which differ in how an episode starts alone.

    Raises: ValueError where the world is not one of Keel's compiled ones, or for a bad option.
    """
    world = native_world_path(env_id)
    if world is None:
        raise ValueError(f"'{env_id}' is not one of Keel's compiled worlds, whose options could differ")
    spec = find_spec(env_id)
    return Vector(env_id, _native_backend(spec, world, [dict(variant) for variant in variants], len(variants)))


def _native_backend(spec: EnvSpec, world: str, variants: list[dict[str, Any]], num_envs: int) -> Backend:
    from keel.envs.native import NativeBackend, load_world  # numba takes half a second to import

    defaults = {name: value for name, value in spec.kwargs.items() if name != "world"}
    limit = spec.max_episode_steps
    for options in variants:
        check_options(spec, options)
        chosen = options.pop("max_episode_steps", None)
        limit = limit if chosen is None else int(chosen)
    worlds = [load_world(world, **(defaults | options)) for options in variants]
    return NativeBackend(worlds, num_envs, None if limit == -1 else limit)


def _local_backend(
    env_id: str, num_envs: int, frame_stack: int, options: dict[str, Any], render_mode: str | None
) -> Backend:
    envs: list[gymnasium.Env[Any, Any]] = [
        make_single(
            env_id, frame_stack=frame_stack, env_options=options, render_mode=render_mode if index == 0 else None
        )
        for index in range(num_envs)
    ]
    return LocalBackend(envs, metric_names(envs[0]))
