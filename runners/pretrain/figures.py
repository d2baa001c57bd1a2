"""Figures about classifiers: what is taken for what, who is served how well, and whether confidence is meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keel.envs.protocol import Array
from keel.networks.pretraining.audit import Bin, Served
from keel.runners.figures import INK, MUTED, PALETTE, WIDE_INCHES, house_style, short_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

MOST_CLASSES = 25  # beyond that no cell of the matrix could be read
RIGHT, WRONG = PALETTE[0], PALETTE[1]


def confusion_figure(counts: Array, classes: Sequence[str], width_inches: float = WIDE_INCHES) -> MatplotlibFigure:
    """Counts [K K] as a matrix: rows are what it was, columns what it was taken for, colours shares of a row."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    size = min(width_inches, 6.2)
    small = 9 if width_inches > 5 and len(classes) <= 12 else 6
    with house_style():
        figure = Figure(figsize=(size, size * 0.92), layout="constrained")
        axis = figure.subplots()
        for row, column in np.argwhere(counts > 0):
            share = counts[row, column] / counts[row].sum()
            colour, alpha = (RIGHT, 0.15 + 0.6 * share) if row == column else (WRONG, min(1.0, 0.25 + 3 * share))
            axis.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colour, alpha=alpha, linewidth=0))
            axis.text(column, row, f"{counts[row, column]}", ha="center", va="center", fontsize=small, color=INK)
        ticks = range(len(classes))
        turned = 0 if max(map(len, classes)) <= 2 else 90
        axis.set_xticks(ticks, classes, fontsize=small, rotation=turned)
        axis.set_yticks(ticks, classes, fontsize=small)
        axis.set(xlim=(-0.5, len(classes) - 0.5), ylim=(len(classes) - 0.5, -0.5), aspect="equal")
        axis.set_xlabel("taken for")
        axis.set_ylabel("what it is")
        axis.grid(False)
        return figure


def served_figure(served: Sequence[Served], overall: float, width_inches: float = WIDE_INCHES) -> MatplotlibFigure:
    """The accuracy of each group with its 95 % interval, and that of all as a line."""
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(width_inches, 0.9 + 0.26 * len(served)), layout="constrained")
        axis = figure.subplots()
        for place, group in enumerate(served):
            colour = WRONG if group.worse else RIGHT
            axis.plot([100 * group.low, 100 * group.high], [place, place], color=colour, linewidth=5, alpha=0.3)
            axis.plot([100 * group.accuracy], [place], "o", color=colour, markersize=5)
        axis.axvline(100 * overall, color=MUTED, linewidth=1)
        axis.set_yticks(range(len(served)), [f"{group.name} (n {group.examples})" for group in served])
        axis.set_ylim(len(served) - 0.5, -0.5)
        axis.set_xlabel(f"accuracy in percent, 95 % intervals (line: all, {100 * overall:.2f})")
        axis.grid(axis="y", visible=False)
        return figure


def reliability_figure(bins: Sequence[Bin], width_inches: float = WIDE_INCHES) -> MatplotlibFigure:
    """How often answers of each confidence are right, and how many there are."""
    from matplotlib.figure import Figure

    filled = [part for part in bins if part.examples]
    with house_style():
        figure = Figure(figsize=(min(width_inches, 5.0), 4.2), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        upper.plot([part.confidence for part in filled], [part.accuracy for part in filled], "o-", color=RIGHT)
        upper.set(ylabel="part that is right", xlim=(0, 1), ylim=(0, 1.02))
        middles, width = [(part.low + part.high) / 2 for part in bins], bins[0].high - bins[0].low
        lower.bar(middles, [part.examples for part in bins], width=0.9 * width, color=RIGHT, alpha=0.6)
        lower.set(ylabel="examples", xlabel="confidence of the answer", yscale="symlog")
        most = max(part.examples for part in bins)
        lower.set_yticks([0, *(10**power for power in range(len(str(most))))])
        lower.yaxis.set_major_formatter(lambda value, _: short_number(value))
        lower.yaxis.set_minor_formatter("")
        return figure
