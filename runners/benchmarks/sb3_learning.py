"""What algorithms of Stable-Baselines3 reach with Keel's backbones, beside Keel's own agents in the same worlds."""

from __future__ import annotations

from typing import Any

from keel.runners.benchmarks import learning
from keel.runners.benchmarks.learning import Goal

GOALS = (
    Goal("sb3-sac", "Pendulum-v1", -180.0, 3, published="RL zoo -157.0 (20k steps)"),
    Goal("sb3-td3", "Pendulum-v1", -180.0, 3, published="RL zoo -151.9 (20k steps)"),
    Goal("ppo", "Pendulum-v1", -200.0, 3, published="RL zoo -172.2 (100k steps)"),
    Goal("sb3-dqn", "CartPole-v1", 490.0, 3, published="RL zoo 500"),
    Goal("dqn", "CartPole-v1", 490.0, 3, published="CleanRL 488.7, RL zoo 500"),
)


def run(*, envs: list[str] | None = None, seeds: int | None = None, jobs: int = 1) -> dict[str, Any]:
    """See `learning.learn`."""
    return learning.learn(GOALS, envs, seeds, jobs)


def table(result: dict[str, Any]) -> str:
    """One line an agent and world."""
    return learning.table(GOALS, result)
