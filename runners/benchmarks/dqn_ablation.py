"""What each part of Rainbow is worth: plain DQN with one part more, and Rainbow with one part less, on two MinAtar games
at a budget that two cores can do."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keel.agents.schedule import Schedule
from keel.runners.benchmark import markdown_table
from keel.runners.benchmarks.learning import silent
from keel.runners.benchmarks.trainings import run_trainings
from keel.runners.options import default_settings
from keel.runners.seed_statistics import interquartile_mean, stratified_bootstrap_interval
from keel.runners.subjects import evaluate_run
from keel.runners.train import train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EPISODES = 40
ENVS = ("MinAtar/Breakout-v1", "MinAtar/Freeway-v1")
SILENT = {"noisy": True, "epsilon": Schedule(0.0, 0.0)}
# Name -> agent whose preset it begins with, and what is changed.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "DQN (2015)": ("dqn-2015", {}),
    "+ double": ("dqn-2015", {"double": True}),
    "+ dueling": ("dqn-2015", {"dueling": True}),
    "+ 3 steps": ("dqn-2015", {"n_step": 3}),
    "+ priorities": ("dqn-2015", {"prioritised": True}),
    "+ categorical": ("dqn-2015", {"distribution": "categorical"}),
    "+ quantiles": ("dqn-2015", {"distribution": "quantile"}),
    "+ noisy": ("dqn-2015", SILENT),
    "Keel's dqn": ("dqn", {}),
    "Rainbow": ("rainbow", {}),
    "Rainbow - 3 steps": ("rainbow", {"n_step": 1}),
    "Rainbow - priorities": ("rainbow", {"prioritised": False}),
    "Rainbow - noisy": ("rainbow", {"noisy": False, "epsilon": Schedule(1.0, 0.02, 0.1)}),
}


def run(
    *,
    envs: list[str] | None = None,
    variants: list[str] | None = None,
    seeds: int = 3,
    total_steps: int = 50_000,
    jobs: int = 1,
) -> dict[str, Any]:
    """One row a training: mean return of 40 greedy episodes of the last weights.

    Args: envs, variants: these alone; jobs: trainings at a time, each on one thread of a process of its own.
    """
    work = [
        (name, env, seed, total_steps) for env in envs or ENVS for seed in range(seeds) for name in variants or VARIANTS
    ]
    rows = run_trainings(train_and_judge, work, jobs)
    return {"total_steps": total_steps, "episodes": EPISODES, "rows": rows}


def train_and_judge(variant: str, env: str, seed: int, total_steps: int) -> dict[str, Any]:
    agent, changes = VARIANTS[variant]
    preset = default_settings(agent, env, None, {})
    training = dataclasses.replace(
        preset.training, total_steps=total_steps, evaluate_every=0, checkpoint_every=0, video=False
    )
    settings = dataclasses.replace(
        preset, seed=seed, training=training, hyperparameters=dataclasses.replace(preset.hyperparameters, **changes)
    )
    with tempfile.TemporaryDirectory() as folder:
        result = train(settings, run_dir=Path(folder) / "run", console=silent)
        judged = evaluate_run(result.run, episodes=EPISODES, seed=seed, which="last", device="cpu")
    seconds = round(result.training_seconds, 1)
    return {"variant": variant, "env": env, "seed": seed, "mean": judged["mean"], "training_seconds": seconds}


def summary(result: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a world and variant: IQM over seeds with its 95 % interval."""
    rows = []
    for env in dict.fromkeys(row["env"] for row in result["rows"]):
        for variant in VARIANTS:
            found = [row for row in result["rows"] if (row["env"], row["variant"]) == (env, variant)]
            if not found:
                continue
            scores = np.array([row["mean"] for row in found])
            low, high = stratified_bootstrap_interval(scores[:, None])
            row = {"env": env, "variant": variant, "iqm": float(interquartile_mean(scores)), "low": low, "high": high}
            seconds = float(np.median([row["training_seconds"] for row in found]))
            rows.append(row | {"scores": scores.tolist(), "seconds": seconds})
    return rows


def table(result: dict[str, Any]) -> str:
    """One line a variant, two columns a world."""
    rows = summary(result)
    envs = list(dict.fromkeys(row["env"] for row in rows))
    found = {(row["env"], row["variant"]): row for row in rows}
    lines = []
    for variant in VARIANTS:
        if not all((env, variant) in found for env in envs):
            continue
        cells = [variant]
        for env in envs:
            row = found[env, variant]
            cells += [f"{row['iqm']:.2f}", f"{row['low']:.2f} … {row['high']:.2f}"]
        lines.append([*cells, f"{np.median([found[env, variant]['seconds'] for env in envs]):.0f}"])
    header = ["variant", *(cell for env in envs for cell in (env.split("/")[-1], "95 % interval")), "seconds, median"]
    seeds = 1 + max(row["seed"] for row in result["rows"])
    introduction = (
        f"{result['total_steps']:,} frames, {seeds} seeds; the last weights on {result['episodes']} greedy episodes; "
        "interquartile mean over seeds and its bootstrap interval. With so few frames and seeds the intervals are wide: "
        "where they overlap, nothing is shown."
    )
    return introduction + "\n\n" + markdown_table(header, lines)


def figures(result: dict[str, Any]) -> dict[str, Figure]:
    """Every world: the interval of every variant."""
    from keel.runners.benchmarks.intervals import interval_figure

    rows = summary(result)
    return {
        "parts": interval_figure(
            {
                env: [
                    (row["variant"], row["iqm"], row["low"], row["high"], row["scores"])
                    for row in rows
                    if row["env"] == env
                ]
                for env in dict.fromkeys(row["env"] for row in rows)
            },
            f"mean return of {EPISODES} greedy episodes after {result['total_steps']:,} frames (dots: seeds)",
        )
    }
