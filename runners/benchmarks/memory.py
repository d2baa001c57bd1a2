"""What a memory is worth: PPO with and without one in worlds that show less than all."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from keel.runners.benchmark import markdown_table
from keel.runners.benchmarks.learning import mean_interval, silent
from keel.runners.benchmarks.trainings import run_trainings
from keel.runners.options import default_settings
from keel.runners.subjects import evaluate_run
from keel.runners.train import train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EPISODES = 100


class Case(NamedTuple):
    """A world, the backbones that are tried in it, what those with memory shall reach, and what is published."""

    env: str
    backbones: tuple[str, ...]
    wanted: float
    published: str


CASES = (
    Case("keel/CartPoleNoVelocity-v0", ("mlp", "lstm", "gru", "transformer"), 450.0, "RL zoo's PPO-LSTM 500"),
    Case("keel/PendulumNoVelocity-v0", ("mlp", "lstm"), -250.0, "RL zoo's PPO-LSTM -217"),
    Case("MiniGrid-MemoryS7-v0", ("cnn", "transformer"), 0.9, ""),
)


def run(
    *, envs: list[str] | None = None, backbones: list[str] | None = None, seeds: int = 3, jobs: int = 1
) -> dict[str, Any]:
    """One row a training: 100 greedy episodes, on seeds that chose nothing, of the best and of the last weights.

    Args: envs, backbones: these alone; jobs: trainings at a time, each on one thread of a process of its own.
    """
    work = [
        (case.env, backbone, seed)
        for case in CASES
        if envs is None or case.env in envs
        for backbone in case.backbones
        if backbones is None or backbone in backbones
        for seed in range(seeds)
    ]
    rows = run_trainings(train_and_judge, work, jobs)
    return {"episodes": EPISODES, "rows": rows}


def train_and_judge(env: str, backbone: str, seed: int) -> dict[str, Any]:
    preset = default_settings("ppo", env, backbone, {})
    training = dataclasses.replace(preset.training, checkpoint_every=0, video=False)
    settings = dataclasses.replace(preset, seed=seed, training=training)
    with tempfile.TemporaryDirectory() as folder:
        result = train(settings, run_dir=Path(folder) / "run", console=silent)
        best, last = (
            evaluate_run(result.run, episodes=EPISODES, seed=seed, which=which, device="cpu")["mean"]
            for which in ("best", "last")
        )
    return {
        "env": env,
        "backbone": backbone,
        "seed": seed,
        "best_mean": best,
        "last_mean": last,
        "steps": result.global_step,
        "training_seconds": round(result.training_seconds, 1),
    }


def groups(result: dict[str, Any]) -> list[tuple[Case, str, list[dict[str, Any]]]]:
    """The rows of each world and backbone."""
    found = []
    for case in CASES:
        for backbone in case.backbones:
            rows = [row for row in result["rows"] if (row["env"], row["backbone"]) == (case.env, backbone)]
            if rows:
                found.append((case, backbone, rows))
    return found


def table(result: dict[str, Any]) -> str:
    """One line a world and backbone."""
    lines = []
    for case, backbone, rows in groups(result):
        best, last = ([row[f"{which}_mean"] for row in rows] for which in ("best", "last"))
        digits = 2 if abs(case.wanted) < 5 else 1
        lines.append(
            [
                case.env,
                backbone,
                f"{statistics.mean(best):.{digits}f}",
                ", ".join(f"{value:.{digits}f}" for value in best),
                f"{statistics.mean(last):.{digits}f}",
                f"{rows[0]['steps']:,}",
                f"{statistics.median(row['training_seconds'] for row in rows):.0f}",
                case.published,
            ]
        )
    header = ["world", "backbone", "best, mean", "seeds", "last, mean", "steps", "training seconds", "published"]
    introduction = (
        f"{result['episodes']} greedy episodes on seeds that chose nothing. All backbones of a world train with the same "
        "settings and steps; mlp and cnn have no memory."
    )
    return introduction + "\n\n" + markdown_table(header, lines)


def figures(result: dict[str, Any]) -> dict[str, Figure]:
    """A picture a world: each backbone's mean over seeds, its interval, and the seeds."""
    from keel.runners.benchmarks.intervals import interval_figure

    worlds: dict[str, list[tuple[str, float, float, float, list[float]]]] = {}
    for case, backbone, rows in groups(result):
        best = [row["best_mean"] for row in rows]
        low, high = mean_interval(best) if len(best) > 1 else (best[0], best[0])
        worlds.setdefault(case.env, []).append((backbone, statistics.mean(best), low, high, best))
    label = f"mean return of {EPISODES} greedy episodes, best checkpoint (dots: seeds; bars: 95 % of the mean)"
    return {env.split("/")[-1].lower(): interval_figure({env: lines}, label) for env, lines in worlds.items()}
