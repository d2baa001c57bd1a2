"""Who acts and where: a run's checkpoint or a world's own controller, on the worlds that are asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from gymnasium import spaces

from keel.agents.agent import Agent, Decision, Memory
from keel.envs.errors import closest
from keel.envs.protocol import Array, Observation, VecEnv
from keel.envs.registry import find_entry
from keel.envs.seeding import derive_seed
from keel.envs.vector import make_variants, make_vec
from keel.runners.agents import load_policy
from keel.runners.evaluate import MAX_WORLDS, evaluate_agent
from keel.runners.run import Run
from keel.runners.settings import Training


class Onlooker:
    """Acts where a world's own controller decides: its actions are zeros that nobody heeds."""

    def __init__(self, action_space: spaces.Space[Any]) -> None:
        self._action = np.zeros(action_space.shape or (), action_space.dtype)

    def initial_memory(self, batch: int) -> Memory:
        return ()

    def act(self, observation: Observation, memory: Memory, is_first: Array, *, explore: bool) -> Decision:
        return Decision(np.stack([self._action] * len(is_first)), (), memory, is_first, {})


class Subject(NamedTuple):
    """Someone who acts in worlds of a kind."""

    agent: Any  # its acting half: initial_memory and act
    env: str
    training: Training  # how its worlds are made
    about: dict[str, Any]

    @property
    def title(self) -> str:
        return f"{self.env} · {self.about.get('agent') or self.about.get('controller')}"

    def worlds(self, num_envs: int, render_mode: str | None = None) -> VecEnv:
        training = self.training
        return make_vec(
            self.env,
            num_envs,
            frame_stack=training.frame_stack,
            env_options=training.env_options,
            render_mode=render_mode,
            backend=training.backend if render_mode is None else "auto",
        )

    def year(self) -> VecEnv:
        """A whole year at once: one world for each part of it. Raises: ValueError for worlds that know no year."""
        entry = find_entry(self.env)
        if entry is None or not entry.year:
            raise ValueError(f"'{self.env}' knows no year: leave out --year and give --episodes")
        if self.training.frame_stack > 1:
            raise ValueError(f"frame_stack is {self.training.frame_stack}: a year is for worlds without stacked frames")
        ((option, parts),) = entry.year.items()
        if self.training.env_options.get(option) is not None:
            raise ValueError(
                f"{option} is {self.training.env_options[option]!r}, and a year has all of them: leave it out"
            )
        return make_variants(self.env, [self.training.env_options | {option: part} for part in parts])


def run_subject(
    run: Run,
    which: Literal["best", "last"] = "best",
    *,
    device: str = "cpu",
    env_options: Mapping[str, Any] | None = None,
) -> Subject:
    """A run's checkpoint, in the run's worlds with `env_options` changed."""
    policy = load_policy(run, which, device=device)
    settings = policy.settings
    options = settings.training.env_options | dict(env_options or {})
    if options.get("controller") is not None:
        raise ValueError("--env.controller lets a controller act under the run's name: leave out RUN, use --controller")
    training = dataclasses.replace(settings.training, env_options=options)
    about = {"run": str(run.path), "agent": settings.agent, "checkpoint": which}
    about["global_step"] = policy.checkpoint.about["global_step"]
    return Subject(policy.agent, settings.env, training, about | {"env_options": options})


def controller_subject(env: str, controller: str, env_options: Mapping[str, Any] | None = None) -> Subject:
    """A world's own controller. Raises: ValueError where the world has none of that name."""
    entry = find_entry(env)
    known = entry.controllers if entry is not None else ()
    if controller not in known:
        have = ", ".join(known) or "none"
        raise ValueError(f"'{env}' has no controller '{controller}'{closest(controller, known)}; it has: {have}")
    options = dict(env_options or {}) | {"controller": controller}
    worlds = make_vec(env, 1, env_options=options)
    space = worlds.action_space
    worlds.close()
    about = {"controller": controller, "env": env, "env_options": options}
    return Subject(Onlooker(space), env, Training(env_options=options), about)


def yardsticks(env: str, env_options: Mapping[str, Any]) -> dict[str, Subject]:
    """Every controller of the world, in the same worlds as an agent but without what helps agents alone."""
    entry = find_entry(env)
    if entry is None:
        return {}
    options = {name: value for name, value in env_options.items() if name not in entry.aids}
    return {name: controller_subject(env, name, options) for name in entry.controllers}


def evaluate_subject(subject: Subject, *, episodes: int = 100, seed: int = 0, year: bool = False) -> dict[str, Any]:
    """Greedy episodes that chose nothing: the summary of `Evaluation`, and what it is of.

    Args: year: one episode for each part of a whole year instead of `episodes` of chance.
    Raises: ValueError: `episodes` below 1, or a world that knows no year.
    """
    if episodes < 1:
        raise ValueError(f"episodes is {episodes}: it must be at least 1")
    worlds = subject.year() if year else subject.worlds(min(episodes, MAX_WORLDS))
    episodes = worlds.num_envs if year else episodes
    try:
        agent: Agent = subject.agent
        evaluation = evaluate_agent(agent, worlds, episodes=episodes, seed=derive_seed(seed, "evaluation"))
    finally:
        worlds.close()
    return subject.about | {"seed": seed, "year": year} | evaluation.summary()


def evaluate_run(
    run: Run, *, episodes: int, seed: int, which: Literal["best", "last"], device: str = "cpu"
) -> dict[str, Any]:
    """Greedy episodes of a run's checkpoint. Raises: ValueError, CheckpointError (none such, or a damaged one)."""
    return evaluate_subject(run_subject(run, which, device=device), episodes=episodes, seed=seed)
