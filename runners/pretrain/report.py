"""The page of a pre-training run: what it reached, how it learnt, and what its kind of data has to say."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keel.networks.pretraining.data import SplitName
from keel.networks.pretraining.learner import Learner
from keel.runners import figures, page
from keel.runners.files import write_text
from keel.runners.pretrain.settings import PretrainSettings, field_of
from keel.runners.pretrain.trainer import PretrainResult
from keel.runners.report import duration, provenance_line, settings_table
from keel.runners.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATES = ("accuracy",)  # metrics that are parts of a whole, shown in percent


def write_pretrain_report(run: Run, settings: PretrainSettings, learner: Learner, result: PretrainResult) -> Path:
    """Write report.html and learning_curve.png; `learner` holds the network of the best epoch."""
    parts = importlib.import_module(field_of(settings.kind, settings.task).report).report(learner, run)
    rows = [row for row in run.metrics() if any(name.startswith("train/") for name in row)]
    body = [
        page.tiles(_tiles(learner, result)),
        *_sample_note(learner),
        *_learning(run, learner, rows),
        *parts,
        "<h2>Settings</h2>",
        page.card(settings_table(run)),
        "<h2>Where it was made</h2>",
        page.card(provenance_line(run)),
    ]
    title = f"{settings.kind.upper()} on {settings.task}"
    write_text(run.path / "report.html", page.page(title, body, subtitle=f"{run.name} · seed {settings.seed}"))
    return run.path / "report.html"


def shown(name: str, value: float) -> str:
    """A metric as people read it."""
    return f"{100 * value:.2f} %" if name in RATES else f"{value:.4g}"


def _tiles(learner: Learner, result: PretrainResult) -> dict[str, str]:
    score = learner.score
    values = {f"{score} on held-out test data": shown(score, result.test[score])}
    if result.best_score is not None:
        values[f"best validation {score}, after epoch {result.best_epoch}"] = shown(score, result.best_score)
    values["epochs"] = str(result.epochs)
    values["training time"] = duration(result.training_seconds)
    return values


def _sample_note(learner: Learner) -> list[str]:
    data = learner.data
    sizes = ", ".join(f"{len(data.split(name)):,} {what}" for name, what in SPLITS.items())
    title = f"<strong>{page.text(data.title)}</strong>" if data.is_sample else f"Data: {page.text(data.title)}"
    return ["<h2>Data</h2>", page.card(f"<p>{title}.</p><p class='note'>{sizes}.</p>")]


SPLITS: dict[SplitName, str] = {"train": "to learn from", "validation": "to choose the epoch by", "test": "held out"}


def _learning(run: Run, learner: Learner, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [name for name in (learner.score, "loss") if any(f"{split}/{name}" in rows[0] for split in SPLITS)]
    extra = sorted({n.removeprefix("train/") for n in rows[0] if n.startswith("train/") and n.endswith("_loss")})
    figures.save_png(curves(rows, [*names, *extra]), run.path / "learning_curve.png")
    svg = figures.inline_svg(
        lambda width: curves(rows, [*names, *extra], width),
        name="learning",
        description=f"{' and '.join([*names, *extra])} over epochs, on training and validation data",
    )
    note = (
        "Training figures are of the data as they are learnt, changed by augmentation and by a network with dropout, so "
        "they can be the worse ones."
    )
    return ["<h2>Learning</h2>", page.card(svg, f'<p class="note">{note}</p>')]


def curves(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], width_inches: float = figures.WIDE_INCHES
) -> Figure:
    """One panel a metric over epochs: training and validation."""
    from matplotlib.ticker import MaxNLocator

    with figures.house_style():
        figure, axes = figures.panels("Learning", len(names), width_inches)
        for axis, name in zip(axes, names, strict=True):
            for place, split in enumerate(("train", "validation")):
                points = [(row["global_step"], row[f"{split}/{name}"]) for row in rows if f"{split}/{name}" in row]
                if points:
                    axis.plot(*zip(*points, strict=True), color=figures.PALETTE[place], marker=".", label=split)
            axis.set_ylabel(name.replace("_", " "))
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            axis.legend(fontsize=8, loc="best")
        axes[-1].set_xlabel("epochs")
        return figure
