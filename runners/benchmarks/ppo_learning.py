"""What PPO's presets reach: trained to a goal, then judged on 100 greedy episodes that chose nothing."""

from __future__ import annotations

from typing import Any

from keel.runners.benchmarks import learning
from keel.runners.benchmarks.learning import Goal

GOALS = (
    Goal("ppo", "CartPole-v1", 475.0, 5, 475.0, seconds=3.0),
    Goal("ppo", "LunarLander-v3", 200.0, 3, 215.0, seconds=60.0),
    Goal("ppo", "Acrobot-v1", -90.0, 3, -84.0),
    Goal("ppo", "Pendulum-v1", -200.0, 3, -185.0),
    Goal("ppo", "MountainCarContinuous-v0", 85.0, 3, 90.0),
    Goal("ppo", "MountainCar-v0", -115.0, 3, -112.0),
    Goal("ppo", "LunarLanderContinuous-v3", 200.0, 3, 220.0),
    Goal("ppo", "BipedalWalker-v3", 250.0, 1, 270.0),
)


def run(*, envs: list[str] | None = None, seeds: int | None = None, jobs: int = 1) -> dict[str, Any]:
    """See `learning.learn`."""
    return learning.learn(GOALS, envs, seeds, jobs)


def table(result: dict[str, Any]) -> str:
    """One line a world."""
    rows = [{"agent": "ppo", **row} for row in result["rows"]]
    return learning.table(GOALS, result | {"rows": rows})
