"""The picture of several learners in several worlds: a dot and an interval each, and every seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from keel.runners.figures import INK, PALETTE, WIDE_INCHES, house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

Line: TypeAlias = tuple[str, float, float, float, Sequence[float]]  # name, center, low, high, seeds


def interval_figure(panels: Mapping[str, Sequence[Line]], label: str) -> MatplotlibFigure:
    """One panel a world, side by side; the first name of a panel stands at the top."""
    from matplotlib.figure import Figure

    with house_style():
        most = max(len(lines) for lines in panels.values())
        figure = Figure(figsize=(WIDE_INCHES, 0.9 + 0.36 * most), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, (title, lines) in zip(axes, panels.items(), strict=True):
            for place, (_, center, low, high, seeds) in enumerate(lines):
                colour = PALETTE[place % len(PALETTE)]
                axis.plot([low, high], [place, place], color=colour, linewidth=6, alpha=0.3, solid_capstyle="butt")
                axis.plot(seeds, [place] * len(seeds), ".", color=colour, alpha=0.6, markersize=4)
                axis.plot([center], [place], "o", color=colour, markersize=6)
            axis.set_title(title, loc="left", color=INK, fontsize=9, fontweight="bold")
            axis.set_yticks(range(len(lines)), [name for name, *_ in lines])
            axis.set_ylim(len(lines) - 0.5, -0.5)
            axis.grid(axis="y", visible=False)
        figure.supxlabel(label, fontsize=8.5)
        return figure
