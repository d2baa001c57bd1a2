"""What every test shares: fakes for the seams between worlds, agents and trackers, and a quiet, small process."""

from __future__ import annotations

import os

os.environ["SDL_VIDEODRIVER"] = "dummy"  # before pygame is imported by anything

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from keel.agents.agent import Decision, Memory, Metrics
from keel.envs.protocol import Array, Observation, State, Step

torch.set_num_threads(1)


class ConstantAgent:
    """Always chooses the same action, counts what it sees, and asks for an update every `update_every` steps."""

    def __init__(self, action: int = 0, update_every: int = 4) -> None:
        self.action = action
        self.update_every = update_every
        self.steps = 0
        self.updates = 0

    def initial_memory(self, batch: int) -> Memory:
        return ()

    def act(self, observation: Observation, memory: Memory, is_first: Array, *, explore: bool) -> Decision:
        return Decision(np.full(len(is_first), self.action), (), memory, is_first, {})

    def observe(self, observation: Observation, decision: Decision, step: Step) -> bool:
        self.steps += 1
        return self.steps % self.update_every == 0

    def update(self) -> Metrics:
        self.updates += 1
        return {"loss/updates": float(self.updates)}

    def state_dict(self) -> State:
        return {"steps": self.steps, "updates": self.updates}

    def load_state_dict(self, state: State) -> None:
        self.steps, self.updates = state["steps"], state["updates"]


class CountingEnv:
    """Worlds whose observation is the step within the episode; episodes end in turn after `length + index` steps.

    The reward is 1 a step. Worlds with an even index terminate, the others are truncated.
    """

    resume = "exact"
    episode_steps = None
    frames_per_second = 30.0

    def __init__(self, num_envs: int = 2, length: int = 3) -> None:
        self.num_envs = num_envs
        self.length = length + np.arange(num_envs)
        self.observation_space = spaces.Box(0, np.inf, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.count = np.zeros(num_envs, np.int64)
        self.closed = False

    def reset(self, seed: int) -> Observation:
        self.count[:] = 0
        return self._observation()

    def step(self, action: Array) -> Step:
        assert action.shape == (self.num_envs,)
        self.count += 1
        final = self._observation()
        done = self.count >= self.length
        even = np.arange(self.num_envs) % 2 == 0
        self.count[done] = 0
        reward = np.ones(self.num_envs)
        return Step(self._observation(), reward, done & even, done & ~even, final if done.any() else None, {})

    def state_dict(self) -> State:
        return {"count": self.count.copy()}

    def load_state_dict(self, state: State) -> Observation:
        self.count = state["count"].copy()
        return self._observation()

    def render(self) -> Array | None:
        return None

    def close(self) -> None:
        self.closed = True

    def _observation(self) -> Array:
        return self.count[:, None].astype(np.float32)


class ListTracker:
    """Keeps what it is told, in order."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.videos: list[tuple[int, Path]] = []
        self.status: str | None = None

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self.rows.append({"global_step": step, **metrics})

    def video(self, step: int, path: Path) -> None:
        self.videos.append((step, path))

    def finish(self, status: str) -> None:
        self.status = status


@pytest.fixture
def constant_agent() -> type[ConstantAgent]:
    return ConstantAgent


@pytest.fixture
def counting_env() -> type[CountingEnv]:
    return CountingEnv


@pytest.fixture
def list_tracker() -> type[ListTracker]:
    return ListTracker


@pytest.fixture
def runs_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, so that results/runs is nobody else's."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results" / "runs"
