"""The one visible environment loop: act, step, observe, update, and what the loop carries from update to update."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Literal, Protocol

import numpy as np
import torch

from keel.agents.agent import Agent, Metrics
from keel.envs.protocol import Array, State, Step, VecEnv
from keel.envs.seeding import derive_seed


class TrainingLoop(Protocol):
    """What a trainer knows of a loop: Keel's own below, or that of another library."""

    agent: Agent
    envs: VecEnv
    global_step: int

    @property
    def resume(self) -> Literal["exact", "approximate", "none"]:
        """How a stopped run goes on."""
        ...

    def start(self) -> None: ...

    def run(self, total_steps: int, on_update: Callable[[Metrics], bool]) -> None: ...

    def state_dict(self) -> State: ...


class Loop:
    """An agent in its worlds. Between two updates its `state_dict` and the agent's are all that an exact continuation
    needs."""

    def __init__(self, agent: Agent, envs: VecEnv, seed: int) -> None:
        self.agent = agent
        self.envs = envs
        self.seed = seed
        self.global_step = 0
        self.episodes = EpisodeStatistics(envs.num_envs)

    @property
    def resume(self) -> Literal["exact", "approximate"]:
        return self.envs.resume

    def start(self) -> None:
        """Reset every world for a run that begins."""
        seed_global_chance(derive_seed(self.seed, "global"))
        self.observation = self.envs.reset(self.seed)
        self.memory = self.agent.initial_memory(self.envs.num_envs)
        self.is_first = np.ones(self.envs.num_envs, bool)

    def run(self, total_steps: int, on_update: Callable[[Metrics], bool]) -> None:
        """Train to the first row of metrics at or after `total_steps`, or until `on_update`, called with each row,
        returns True."""
        finished = self.global_step >= total_steps
        while not finished:
            decision = self.agent.act(self.observation, self.memory, self.is_first, explore=True)
            step = self.envs.step(decision.action)
            self.episodes.add(step)
            enough = self.agent.observe(self.observation, decision, step)
            self.observation, self.memory = step.observation, decision.memory
            self.is_first = step.terminated | step.truncated
            self.global_step += self.envs.num_envs
            if enough and (metrics := self.agent.update()):
                stop = on_update(metrics | self.episodes.collect())
                finished = stop or self.global_step >= total_steps

    def state_dict(self) -> State:
        return {
            "envs": self.envs.state_dict(),
            "memory": {str(index): part for index, part in enumerate(self.memory)},
            "is_first": self.is_first,
            "episodes": self.episodes.state_dict(),
            "global_step": self.global_step,
            "chance": global_chance(),
        }

    def load_state_dict(self, state: State) -> None:
        self.observation = self.envs.load_state_dict(state["envs"])
        fresh = self.agent.initial_memory(self.envs.num_envs)
        self.memory = tuple(state["memory"][str(index)].to(part) for index, part in enumerate(fresh))
        self.is_first = np.array(state["is_first"])
        self.episodes.load_state_dict(state["episodes"])
        if self.envs.resume == "approximate":  # the worlds began new episodes
            self.is_first[:] = True
            self.episodes.forget_unfinished()
        self.global_step = state["global_step"]
        restore_global_chance(state["chance"])


class EpisodeStatistics:
    """Returns and lengths of training episodes, and the worlds' own measures, since they were last collected."""

    def __init__(self, num_envs: int) -> None:
        self.return_ = np.zeros(num_envs)
        self.length = np.zeros(num_envs, np.int64)
        self.episodes = 0
        self._clear()

    def _clear(self) -> None:
        self._returns: list[float] = []
        self._lengths: list[int] = []
        self._sums: dict[str, float] = {}
        self._steps = 0

    def add(self, step: Step) -> None:
        self.return_ += step.reward
        self.length += 1
        self._steps += 1
        for name, values in step.metrics.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(values.mean())
        done = step.terminated | step.truncated
        if np.count_nonzero(done):
            self._finish(np.flatnonzero(done))

    def _finish(self, rows: Array) -> None:
        self._returns += self.return_[rows].tolist()
        self._lengths += self.length[rows].tolist()
        self.episodes += len(rows)
        self.return_[rows] = 0.0
        self.length[rows] = 0

    def collect(self) -> Metrics:
        """Means over the episodes that ended and the steps that were made since the last call."""
        metrics = {f"world/{name}": total / self._steps for name, total in self._sums.items()}
        metrics["train/episodes"] = float(self.episodes)
        if self._returns:
            metrics["train/episode_return"] = float(np.mean(self._returns))
            metrics["train/episode_length"] = float(np.mean(self._lengths))
        self._clear()
        return metrics

    def forget_unfinished(self) -> None:
        """Every world begins a new episode."""
        self.return_[:] = 0.0
        self.length[:] = 0

    def state_dict(self) -> State:
        return {"return": self.return_.copy(), "length": self.length.copy(), "episodes": self.episodes}

    def load_state_dict(self, state: State) -> None:
        self.return_, self.length = np.array(state["return"]), np.array(state["length"])
        self.episodes = state["episodes"]


def seed_global_chance(seed: int) -> None:
    """Start the process-wide random streams, so that equal runs save equal bytes in whatever process they run."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def global_chance() -> State:
    """The process-wide random streams. Keel draws from none of them; worlds written by others may."""
    version, words, gauss = random.getstate()
    _, key, position, has_gauss, cached = np.random.get_state(legacy=True)  # type: ignore[misc]
    return {
        "python": {"version": version, "words": list(words), "gauss": gauss},
        "numpy": {"key": np.array(key), "position": position, "has_gauss": has_gauss, "cached": cached},
        "torch": torch.get_rng_state(),
    }


def restore_global_chance(state: dict[str, Any]) -> None:
    python, legacy = state["python"], state["numpy"]
    random.setstate((python["version"], tuple(python["words"]), python["gauss"]))
    np.random.set_state(("MT19937", legacy["key"], legacy["position"], legacy["has_gauss"], legacy["cached"]))
    torch.set_rng_state(state["torch"])
