"""How good an agent is: greedy episodes on seeds of their own."""

from __future__ import annotations

from itertools import chain
from typing import Any, Literal, NamedTuple

import numpy as np

from keel.agents.agent import Agent
from keel.envs.protocol import Array, VecEnv
from keel.envs.seeding import derive_seed
from keel.runners.agents import load_policy, make_worlds
from keel.runners.run import Run

MAX_WORLDS = 100  # of one evaluation: enough to fill a batch, few enough to hold
MAX_EPISODE_STEPS = 40_000  # where an episode is cut in a world that has no limit of its own


class Evaluation(NamedTuple):
    """Undiscounted, unshaped returns [N] and lengths [N] of whole episodes."""

    returns: Array
    lengths: Array

    @property
    def mean(self) -> float:
        return float(self.returns.mean())

    def metrics(self) -> dict[str, float]:
        """As a row of metrics.jsonl has them."""
        return {
            "eval/return": self.mean,
            "eval/return_std": float(self.returns.std()),
            "eval/length": float(self.lengths.mean()),
        }

    def summary(self) -> dict[str, Any]:
        """As a report and `--json` have them."""
        return {
            "episodes": len(self.returns),
            "mean": self.mean,
            "std": float(self.returns.std()),
            "min": float(self.returns.min()),
            "max": float(self.returns.max()),
            "length_mean": float(self.lengths.mean()),
            "returns": self.returns.tolist(),
        }


def evaluate_agent(agent: Agent, envs: VecEnv, *, episodes: int, seed: int) -> Evaluation:
    """Play `episodes` greedy episodes; nothing of the agent or of its training changes.

    World i plays its first ceil or floor of episodes / B ones, whatever their length, so that short episodes are not
    counted more often than long ones; each has a seed of its own, so the same call gives the same answer. An episode
    that has not ended after MAX_EPISODE_STEPS counts with its return so far, and ends the part of its world.
    """
    batch = envs.num_envs
    quota = np.full(batch, episodes // batch)
    quota[: episodes % batch] += 1
    observation, memory = envs.reset(seed), agent.initial_memory(batch)
    is_first = np.ones(batch, bool)
    return_, length = np.zeros(batch), np.zeros(batch, np.int64)
    returns: list[list[float]] = [[] for _ in range(batch)]
    lengths: list[list[int]] = [[] for _ in range(batch)]
    while any(len(done) < wanted for done, wanted in zip(returns, quota, strict=True)):
        decision = agent.act(observation, memory, is_first, explore=False)
        step = envs.step(decision.action)
        return_ += step.reward
        length += 1
        observation, memory = step.observation, decision.memory
        is_first = step.terminated | step.truncated
        for row in np.flatnonzero(is_first | (length >= MAX_EPISODE_STEPS)):
            if len(returns[row]) < quota[row]:
                returns[row].append(float(return_[row]))
                lengths[row].append(int(length[row]))
            if length[row] >= MAX_EPISODE_STEPS:
                quota[row] = len(returns[row])
            return_[row] = length[row] = 0
    return Evaluation(np.array([*chain(*returns)]), np.array([*chain(*lengths)]))


def evaluate_run(run: Run, *, episodes: int, seed: int, which: Literal["best", "last"], device: str) -> dict[str, Any]:
    """Greedy episodes of a run's checkpoint on episodes that chose nothing; the summary of `Evaluation` and what it is of.

    Raises:
        ValueError: `episodes` below 1. CheckpointError: no such checkpoint, or a damaged one.
    """
    if episodes < 1:
        raise ValueError(f"episodes is {episodes}: it must be at least 1")
    policy = load_policy(run, which, device=device)
    worlds = make_worlds(policy.settings, min(episodes, MAX_WORLDS))
    try:
        seed_of_episodes = derive_seed(seed, "evaluation")
        evaluation = evaluate_agent(policy.agent, worlds, episodes=episodes, seed=seed_of_episodes)
    finally:
        worlds.close()
    about = {"run": str(run.path), "checkpoint": which, "global_step": policy.checkpoint.about["global_step"]}
    return about | {"seed": seed} | evaluation.summary()
