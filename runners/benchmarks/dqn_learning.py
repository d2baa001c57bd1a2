"""What the presets of DQN and PQN reach: trained, then judged on 100 greedy episodes that chose nothing."""

from __future__ import annotations

from typing import Any

from keel.runners.benchmarks import learning
from keel.runners.benchmarks.learning import Goal

GOALS = (
    Goal("dqn", "CartPole-v1", 490.0, 5, 490.0, published="CleanRL 488.7, RL zoo 500"),
    Goal("pqn", "CartPole-v1", 475.0, 5, 475.0, seconds=6.0, published="CleanRL 495.1"),
    Goal("dqn", "Acrobot-v1", -90.0, 5, -82.0, published="CleanRL -91.5, RL zoo -76.6"),
    Goal("dqn", "MountainCar-v0", -115.0, 5, -108.0, published="CleanRL -194.9, RL zoo -100.8"),
    Goal("dqn", "LunarLander-v3", 200.0, 5, 240.0, published="RL zoo 154.4 (v2, 100k steps)"),
    Goal("dqn", "MiniGrid-DoorKey-5x5-v0", 0.95, 5, 0.958, published="RL zoo's PPO 0.964"),
    Goal("ppo", "MiniGrid-DoorKey-5x5-v0", 0.95, 5, 0.958, published="RL zoo 0.964"),
)


def run(*, envs: list[str] | None = None, seeds: int | None = None, jobs: int = 1) -> dict[str, Any]:
    """See `learning.learn`."""
    return learning.learn(GOALS, envs, seeds, jobs)


def table(result: dict[str, Any]) -> str:
    """One line an agent and world."""
    return learning.table(GOALS, result)
