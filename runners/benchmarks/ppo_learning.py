"""What PPO's presets reach: trained to a goal, then judged on 100 greedy episodes that chose nothing."""

from __future__ import annotations

import dataclasses
import io
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from keel.runners.benchmark import markdown_table
from keel.runners.console import Console
from keel.runners.options import default_settings
from keel.runners.subjects import evaluate_run
from keel.runners.train import train

EPISODES = 100


class Goal(NamedTuple):
    """A mean return that has been published or asked for, and in how many seconds of training, where that counts."""

    return_: float
    stop_at: float  # training stops at an evaluation this good that a second one confirms
    seeds: int
    seconds: float | None = None


GOALS = {
    "CartPole-v1": Goal(475.0, 475.0, 5, 3.0),
    "LunarLander-v3": Goal(200.0, 215.0, 3, 60.0),
    "Acrobot-v1": Goal(-90.0, -84.0, 3),
    "Pendulum-v1": Goal(-200.0, -185.0, 3),
    "MountainCarContinuous-v0": Goal(85.0, 90.0, 3),
    "MountainCar-v0": Goal(-115.0, -112.0, 3),
    "LunarLanderContinuous-v3": Goal(200.0, 220.0, 3),
    "BipedalWalker-v3": Goal(250.0, 270.0, 1),
}


def run(*, envs: list[str] | None = None, seeds: int | None = None) -> dict[str, Any]:
    """One row a seed. The clock leaves out imports and evaluations, and stops at the first evaluation that reaches the
    goal and is confirmed by a second one on other episodes."""
    rows = []
    for env in envs or GOALS:
        for seed in range(seeds or GOALS[env].seeds):
            rows.append(_row(env, seed, GOALS[env].stop_at))
            print(rows[-1], file=sys.stderr, flush=True)
    return {"episodes": EPISODES, "rows": rows}


def _row(env: str, seed: int, stop_at: float) -> dict[str, Any]:
    preset = default_settings("ppo", env, None, {})
    training = dataclasses.replace(preset.training, stop_at_return=stop_at, video=False)
    settings = dataclasses.replace(preset, seed=seed, training=training)
    with tempfile.TemporaryDirectory() as folder:
        result = train(settings, run_dir=Path(folder) / "run", console=_silent)
        judged = {
            which: evaluate_run(result.run, episodes=EPISODES, seed=seed, which=which, device="cpu")
            for which in ("best", "last")
        }
    return {
        "env": env,
        "seed": seed,
        "solved": result.solved,
        "steps": result.global_step,
        "training_seconds": round(result.training_seconds, 3),
        "best_mean": judged["best"]["mean"],
        "best_std": judged["best"]["std"],
        "last_mean": judged["last"]["mean"],
    }


def _silent(run: Any, total_steps: int) -> Console:
    return Console(run, total_steps, stream=io.StringIO())


def table(result: dict[str, Any]) -> str:
    """One line a world."""
    lines = []
    for env in dict.fromkeys(row["env"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["env"] == env]
        goal, best = GOALS[env], [row["best_mean"] for row in rows]
        wanted = f"{goal.return_:g}" + (f" in {goal.seconds:g} s" if goal.seconds else "")
        spread = f"{min(best):.1f} … {max(best):.1f}"
        reached = sum(value >= goal.return_ for value in best)
        seconds = statistics.median(row["training_seconds"] for row in rows)
        steps = statistics.median(row["steps"] for row in rows)
        last = statistics.mean(row["last_mean"] for row in rows)
        lines.append(
            [
                env,
                wanted,
                f"{reached} of {len(rows)}",
                f"{statistics.mean(best):.1f}",
                spread,
                f"{last:.1f}",
                f"{steps:,.0f}",
                f"{seconds:.1f}",
            ]
        )
    header = ["world", "wanted", "seeds that reach it", "best, mean", "range over seeds", "last, mean"]
    return markdown_table([*header, "steps, median", "training seconds, median"], lines)
