"""What a memory saves in a data centre whose sensors are late, noisy and drifting: PPO with and without one."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keel.runners.benchmark import markdown_table
from keel.runners.benchmarks.learning import mean_interval, silent
from keel.runners.benchmarks.trainings import run_trainings
from keel.runners.cooling_report import year_figures
from keel.runners.options import default_settings
from keel.runners.subjects import controller_subject, evaluate_subject, run_subject
from keel.runners.train import train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENV = "keel/DataCenterCoolingPO-v0"
BACKBONES = ("mlp", "lstm")
YARDSTICK = "b3"
YEAR_SEED = 2_026  # the same weather and load for everyone, which no training ever drew


def run(
    *, backbones: list[str] | None = None, seeds: int = 3, jobs: int = 1, total_steps: int | None = None
) -> dict[str, Any]:
    """One row a training: 52 weeks of the best checkpoint, beside a controller that sees the same sensors.

    Args: backbones: these alone; seeds: 1 to 10; jobs: trainings at a time; total_steps: instead of the preset's.
    """
    if not 1 <= seeds <= 10:
        raise ValueError(f"seeds is {seeds}: 1 to 10 would be right")
    work = [(backbone, seed, total_steps) for seed in range(seeds) for backbone in backbones or BACKBONES]
    rows = run_trainings(train_and_judge, work, jobs)
    yardstick = year_figures(evaluate_subject(controller_subject(ENV, YARDSTICK), seed=YEAR_SEED, year=True))
    return {"env": ENV, "controller": YARDSTICK, "yardstick": yardstick, "rows": rows}


def train_and_judge(backbone: str, seed: int, total_steps: int | None) -> dict[str, Any]:
    preset = default_settings("ppo", ENV, backbone, {})
    steps = total_steps or preset.training.total_steps
    training = dataclasses.replace(preset.training, total_steps=steps, checkpoint_every=0, video=False)
    settings = dataclasses.replace(preset, seed=seed, training=training)
    with tempfile.TemporaryDirectory() as folder:
        result = train(settings, run_dir=Path(folder) / "run", console=silent)
        year = evaluate_subject(run_subject(result.run, "best"), seed=YEAR_SEED, year=True)
    return {
        "backbone": backbone,
        "seed": seed,
        "return": year["mean"],
        "year": year_figures(year),
        "steps": result.global_step,
        "training_seconds": round(result.training_seconds, 1),
    }


def saved_percent(result: dict[str, Any], row: dict[str, Any]) -> float:
    """Of the controller's cooling energy."""
    return 100.0 * (1.0 - row["year"]["cooling_mwh"] / result["yardstick"]["cooling_mwh"])


def of_backbone(result: dict[str, Any], backbone: str) -> list[dict[str, Any]]:
    return [row for row in result["rows"] if row["backbone"] == backbone]


def table(result: dict[str, Any]) -> str:
    """One line a backbone, and what the memory adds."""
    lines = []
    for backbone in BACKBONES:
        rows = of_backbone(result, backbone)
        if not rows:
            continue
        saved = [saved_percent(result, row) for row in rows]
        low, high = mean_interval(saved) if len(saved) > 1 else (saved[0], saved[0])
        lines.append(
            [
                backbone,
                f"{statistics.mean(saved):.1f} %",
                f"{low:.1f} to {high:.1f}",
                ", ".join(f"{value:.1f}" for value in saved),
                f"{statistics.mean(row['year']['total_mwh'] for row in rows):,.0f}",
                ", ".join(f"{row['year']['violation_minutes']:.0f}" for row in rows),
                f"{statistics.mean(row['return'] for row in rows):.0f}",
                f"{rows[0]['steps']:,}",
                f"{statistics.median(row['training_seconds'] for row in rows):.0f}",
            ]
        )
    name = result["controller"].upper()
    header = ["backbone", "cooling saved, mean", "95 % of the mean", "seeds", "facility MWh"]
    header += ["minutes > 27 °C", "return of a week", "steps", "training seconds"]
    introduction = (
        f"{result['env']}: 52 weeks of the best checkpoint; saved beside {name} with the same sensors, weather and load, "
        f"whose cooling uses {result['yardstick']['cooling_mwh']:,.0f} MWh and has "
        f"{result['yardstick']['violation_minutes']:.0f} minutes above 27 °C. Without shield. Both backbones train with the "
        "same settings and steps."
    )
    return introduction + "\n\n" + markdown_table(header, lines)


def figures(result: dict[str, Any]) -> dict[str, Figure]:
    """Each backbone's mean over seeds, its interval, and the seeds."""
    from keel.runners.benchmarks.intervals import interval_figure

    lines = []
    for backbone in BACKBONES:
        saved = [saved_percent(result, row) for row in of_backbone(result, backbone)]
        if saved:
            low, high = mean_interval(saved) if len(saved) > 1 else (saved[0], saved[0])
            lines.append((backbone, statistics.mean(saved), low, high, saved))
    label = f"cooling energy saved beside {result['controller'].upper()}, % (dots: seeds; bars: 95 % of the mean)"
    return {"saved": interval_figure({ENV: lines}, label)}
