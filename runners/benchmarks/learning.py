"""What presets reach: trained to a goal, then judged on 100 greedy episodes that chose nothing."""

from __future__ import annotations

import dataclasses
import io
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keel.runners.benchmark import markdown_table
from keel.runners.benchmarks.trainings import run_trainings
from keel.runners.console import Console
from keel.runners.options import default_settings
from keel.runners.seed_statistics import Interval
from keel.runners.subjects import evaluate_run
from keel.runners.train import train

EPISODES = 100
# Of Student's t with n - 1 degrees of freedom, for n = 2 to 10 means.
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


class Goal(NamedTuple):
    """A mean return that has been published or asked for, and in how many seconds of training, where that counts."""

    agent: str
    env: str
    return_: float
    seeds: int
    stop_at: float | None = None  # training stops at an evaluation this good that a second one confirms
    seconds: float | None = None
    published: str = ""


def learn(goals: Sequence[Goal], envs: list[str] | None, seeds: int | None, jobs: int) -> dict[str, Any]:
    """One row a seed. The clock leaves out imports and evaluations, and stops at the first evaluation that reaches the
    goal and is confirmed by a second one on other episodes.

    Args: envs: of these worlds only; seeds: instead of each goal's own number; jobs: trainings at a time, each on one
        thread of a process of its own.
    """
    work = [(goal, seed) for goal in goals if envs is None or goal.env in envs for seed in range(seeds or goal.seeds)]
    rows = run_trainings(train_and_judge, work, jobs)
    return {"episodes": EPISODES, "rows": rows}


def train_and_judge(goal: Goal, seed: int) -> dict[str, Any]:
    preset = default_settings(goal.agent, goal.env, None, {})
    training = dataclasses.replace(preset.training, stop_at_return=goal.stop_at, video=False, checkpoint_every=0)
    settings = dataclasses.replace(preset, seed=seed, training=training)
    with tempfile.TemporaryDirectory() as folder:
        result = train(settings, run_dir=Path(folder) / "run", console=silent)
        judged = {
            which: evaluate_run(result.run, episodes=EPISODES, seed=seed, which=which, device="cpu")
            for which in ("best", "last")
        }
    return {
        "agent": goal.agent,
        "env": goal.env,
        "seed": seed,
        "solved": result.solved,
        "steps": result.global_step,
        "training_seconds": round(result.training_seconds, 3),
        "best_mean": judged["best"]["mean"],
        "best_std": judged["best"]["std"],
        "last_mean": judged["last"]["mean"],
    }


def mean_interval(values: Sequence[float]) -> Interval:
    """The 95 % interval of the mean of 2 to 10 independent values, by Student's t."""
    half = T_975[len(values) - 2] * statistics.stdev(values) / len(values) ** 0.5
    return Interval(statistics.mean(values) - half, statistics.mean(values) + half)


def silent(run: Any, total_steps: int) -> Console:
    return Console(run, total_steps, stream=io.StringIO())


def table(goals: Sequence[Goal], result: dict[str, Any]) -> str:
    """One line an agent and world."""
    known = {(goal.agent, goal.env): goal for goal in goals}
    lines = []
    for agent, env in dict.fromkeys((row["agent"], row["env"]) for row in result["rows"]):
        rows = [row for row in result["rows"] if (row["agent"], row["env"]) == (agent, env)]
        goal, best = known[agent, env], [row["best_mean"] for row in rows]
        wanted = f"{goal.return_:g}" + (f" in {goal.seconds:g} s" if goal.seconds else "")
        digits = 3 if abs(goal.return_) < 5 else 1
        reached = sum(value >= goal.return_ for value in best)
        last = statistics.mean(row["last_mean"] for row in rows)
        lines.append(
            [
                f"{env}, {agent}",
                goal.published,
                wanted,
                f"{statistics.mean(best):.{digits}f}",
                f"{min(best):.{digits}f} … {max(best):.{digits}f}",
                f"{reached} of {len(rows)}",
                f"{last:.{digits}f}",
                f"{statistics.median(row['steps'] for row in rows):,.0f}",
                f"{statistics.median(row['training_seconds'] for row in rows):.1f}",
            ]
        )
    header = ["world, agent", "published", "wanted", "best, mean", "range over seeds", "seeds that reach it"]
    return markdown_table([*header, "last, mean", "steps, median", "training seconds, median"], lines)
