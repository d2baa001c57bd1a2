"""DQN on two MinAtar games beside the example that MinAtar itself brings, for the same number of frames."""

from __future__ import annotations

from typing import Any, NamedTuple

from keel.runners.benchmark import markdown_table
from keel.runners.benchmarks import learning
from keel.runners.benchmarks.learning import Goal, mean_interval


class Example(NamedTuple):
    """What examples/dqn.py of MinAtar 1.0.15 reached on 500,000 frames (NUM_FRAMES there; nothing else was changed)."""

    greedy: float  # mean of 100 greedy episodes of its last weights, sticky actions on as in training
    training: float  # mean of its last 100 training episodes, which are 10 % random
    seed: int
    seconds: float


EXAMPLES = {
    "MinAtar/Breakout-v0": Example(10.11, 7.04, 0, 3_781.0),
    "MinAtar/Freeway-v0": Example(40.44, 29.71, 0, 4_666.0),
}


def run(*, envs: list[str] | None = None, seeds: int = 3, jobs: int = 1) -> dict[str, Any]:
    """One row a seed of the preset, whose 500,000 steps are frames, on all six actions as the example has them."""
    goals = [Goal("dqn", env, example.greedy, seeds) for env, example in EXAMPLES.items()]
    result = learning.learn(goals, envs, seeds, jobs)
    return result | {"example": {env: example._asdict() for env, example in EXAMPLES.items()}}


def table(result: dict[str, Any]) -> str:
    """One line a game."""
    header = ["game", "example, greedy", "example, training", "Keel's best, mean", "95 % interval", "range over seeds"]
    lines = []
    for env in dict.fromkeys(row["env"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["env"] == env]
        best, last = [row["best_mean"] for row in rows], [row["last_mean"] for row in rows]
        interval = mean_interval(best)
        lines.append(
            [
                env,
                f"{result['example'][env]['greedy']:.2f}",
                f"{result['example'][env]['training']:.2f}",
                f"{sum(best) / len(best):.2f}",
                f"{interval.low:.2f} … {interval.high:.2f}",
                f"{min(best):.2f} … {max(best):.2f}",
                f"{sum(last) / len(last):.2f}",
                f"{sum(row['training_seconds'] for row in rows) / len(rows):.0f}",
            ]
        )
    introduction = (
        "500,000 frames, the mean of 100 greedy episodes; the interval of the mean over seeds is Student's. The example "
        "is examples/dqn.py of MinAtar 1.0.15 with all its settings, run on the same kind of machine, one seed a game; "
        "its figures are recorded here, not measured by this command."
    )
    return introduction + "\n\n" + markdown_table([*header, "last, mean", "seconds, mean"], lines)
