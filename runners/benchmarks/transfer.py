"""What a pre-trained backbone is worth: steps to a fixed score in a control task from pixels, beside a fresh one."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import io
import multiprocessing
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keel.runners.benchmark import markdown_table
from keel.runners.benchmarks.learning import silent
from keel.runners.options import default_settings
from keel.runners.train import train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENV, TASK = "keel/DigitLine-v0", "mnist5k"
# Name -> (begins with the pre-trained backbone, keeps it as it is).
ARMS = {"pretrained": (True, False), "fresh": (False, False), "frozen": (True, True)}


def run(
    *, arms: list[str] | None = None, seeds: int = 5, most_steps: int = 250_000, goal: float = 0.8, jobs: int = 1
) -> dict[str, Any]:
    """One row a training, which ends at the first evaluation that reaches the goal and is confirmed by a second one.

    Args: arms: these alone; most_steps: where a training without success ends; jobs: trainings at a time.
    """
    work = [(arm, seed) for seed in range(seeds) for arm in arms or ARMS]
    with tempfile.TemporaryDirectory() as folder:
        accuracy = pretrain_backbone(Path(folder) / "donor")
        rows = []
        with concurrent.futures.ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
            tasks = [pool.submit(learn, arm, seed, folder, most_steps, goal) for arm, seed in work]
            for task in tasks:
                rows.append(task.result())
                print(
                    rows[-1]["arm"],
                    rows[-1]["seed"],
                    rows[-1]["solved"],
                    rows[-1]["steps"],
                    file=sys.stderr,
                    flush=True,
                )
    return {"env": ENV, "task": TASK, "donor_accuracy": accuracy, "goal": goal, "most_steps": most_steps, "rows": rows}


def pretrain_backbone(folder: Path) -> float:
    """Pre-train the preset's backbone; returns its accuracy on held-out pictures."""
    from keel.runners import pretrain, pretrain_settings
    from keel.runners.pretrain_console import EpochConsole

    backbone = default_settings("ppo", ENV, None, {}).backbone
    settings = dataclasses.replace(pretrain_settings.default_settings("cnn", TASK), backbone=backbone)
    console = functools.partial(EpochConsole, stream=io.StringIO())
    return pretrain.pretrain(settings, run_dir=folder, console=console).test["accuracy"]


def learn(arm: str, seed: int, folder: str, most_steps: int, goal: float) -> dict[str, Any]:
    begins, freeze = ARMS[arm]
    pretrained = {"pretrained": str(Path(folder) / "donor")} if begins else {}
    preset = default_settings("ppo", ENV, None, {}, **pretrained)
    training = dataclasses.replace(
        preset.training, total_steps=most_steps, stop_at_return=goal, freeze=freeze, checkpoint_every=0, video=False
    )
    result = train(
        dataclasses.replace(preset, seed=seed, training=training),
        run_dir=Path(folder) / f"{arm}-{seed}",
        console=silent,
    )
    curve = [(row["global_step"], row["eval/return"]) for row in result.run.metrics() if "eval/return" in row]
    return {
        "arm": arm,
        "seed": seed,
        "solved": result.solved,
        "steps": result.global_step,
        "training_seconds": round(result.training_seconds, 1),
        "curve": curve,
    }


def table(result: dict[str, Any]) -> str:
    """One line an arm, and what it says."""
    lines, median = [], {}
    for arm in ARMS:
        rows = [row for row in result["rows"] if row["arm"] == arm]
        if not rows:
            continue
        median[arm] = statistics.median(row["steps"] for row in rows)
        lines.append(
            [
                arm,
                f"{sum(row['solved'] for row in rows)} of {len(rows)}",
                ", ".join(f"{row['steps']:,}" if row["solved"] else f"over {row['steps']:,}" for row in rows),
                f"{statistics.mean(max(value for _, value in row['curve']) for row in rows):.2f}",
            ]
        )
    introduction = (
        f"PPO in {result['env']}: walk to the place that a handwritten digit names and stop there (reward 1; a wrong stop "
        f"0; who cannot read earns 0.1, a perfect reader 0.97). The backbone of `pretrained` and `frozen` learnt {result['task']} "
        f"first (SAMPLE DATA, {result['donor_accuracy']:.1%} on held-out pictures, which are those of this world). All "
        f"train with the same settings until an evaluation reaches {result['goal']:g} and a second one confirms it, or for "
        f"{result['most_steps']:,} steps."
    )
    header = ["backbone", "seeds that reach it", "steps, seed by seed", "best evaluation, mean"]
    text = introduction + "\n\n" + markdown_table(header, lines)
    if "fresh" in median and "pretrained" in median:
        text += (
            f"\n\nMedian steps: pretrained {median['pretrained']:,.0f}, fresh {median['fresh']:,.0f} or more: "
            f"{median['pretrained'] / median['fresh']:.2f} of them."
        )
    frozen = [row["solved"] for row in result["rows"] if row["arm"] == "frozen"]
    if frozen and not any(frozen):  # said of what was measured, and of nothing else
        text += (
            "\n\nWhere it does not help: kept frozen. No digit that the backbone was trained on had the marker of the "
            "agent's own place, and what it throws away no layer behind it can bring back."
        )
    return text


def figures(result: dict[str, Any]) -> dict[str, Figure]:
    """Evaluations by steps, a line a seed."""
    from matplotlib.figure import Figure

    from keel.runners.figures import PALETTE, WIDE_INCHES, house_style

    with house_style():
        figure = Figure(figsize=(WIDE_INCHES, 3.2), layout="constrained")
        axis = figure.subplots()
        for colour, arm in zip(PALETTE, ARMS, strict=False):
            for number, row in enumerate(row for row in result["rows"] if row["arm"] == arm):
                steps, values = zip(*row["curve"], strict=True)
                axis.plot(steps, values, color=colour, alpha=0.8, linewidth=1.3, label=None if number else arm)
        axis.axhline(result["goal"], color="#888888", linewidth=0.8, linestyle="--")
        axis.set_xlabel("environment steps")
        axis.set_ylabel("mean return of greedy episodes")
        axis.legend(frameon=False)
        return {"steps": figure}
