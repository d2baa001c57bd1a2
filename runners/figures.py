"""Figures in one house style: quiet axes, colours that colour-blind readers can tell apart, light paper.

A figure is drawn twice at most: as PNG for documents, and as inline SVG for pages, where the colours become CSS
variables (`--ink`, `--series-1` …) so that the page, not the figure, decides between light and dark.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keel.envs.protocol import Array
from keel.runners.seed_statistics import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, with the yellow left out (too pale on paper) and a grey in place of black.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b7280")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)))  # a second and third round through the palette
INK, MUTED, GRID, PAPER = "#1f2933", "#66717d", "#e3e7ec", "#ffffff"

WIDE_INCHES, NARROW_INCHES = 8.0, 3.9
_MOST_POINTS = 500

_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Line:
    """One thing followed over training: a bold curve, perhaps inside a band, perhaps over the thin curves of its runs."""

    label: str
    curve: Curve
    band: tuple[Array, Array] | None = None  # low and high, at the steps of the curve
    thin: Sequence[Curve] = ()
    points: bool = False  # mark each value: for the few values of evaluations
    place: int | None = None  # in the palette; by default the line's place in the figure


def learning_curve(
    lines: Sequence[Line],
    *,
    title: str,
    y_label: str = "episode return",
    x_label: str = "environment steps",
    width_inches: float = WIDE_INCHES,
) -> Figure:
    """Curves over environment steps, or what `x_label` says, one colour a line, in the order given."""
    if not lines:
        raise ValueError("a figure needs at least one line, got none")
    with house_style():
        figure, axes = _new_figure(title, width_inches)
        for index, line in enumerate(lines):
            place = index if line.place is None else line.place
            _draw(axes, line, PALETTE[place % len(PALETTE)], DASHES[place // len(PALETTE) % len(DASHES)])
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.xaxis.set_major_formatter(lambda value, _: short_number(value))
        axes.yaxis.set_major_formatter(lambda value, _: short_number(value))
        axes.margins(x=0.01)
        _legend_below(figure, axes, lines, width_inches)
        return figure


def histogram(values: Sequence[float], *, title: str, x_label: str, width_inches: float = WIDE_INCHES) -> Figure:
    """How often each value came, with the mean as a line."""
    from matplotlib.ticker import MaxNLocator

    if len(values) == 0:
        raise ValueError("a histogram needs at least one value, got none")
    array = np.asarray(values, dtype=np.float64)
    with house_style():
        figure, axes = _new_figure(title, width_inches)
        spread = float(np.ptp(array))
        # Without a spread numpy would draw one bar of arbitrary width around the only value.
        edges = np.histogram_bin_edges(array, bins="auto" if spread else 1)
        bins = edges if len(edges) <= 41 else np.linspace(array.min(), array.max(), 41)
        axes.hist(array, bins=list(bins), color=PALETTE[0], edgecolor=PAPER, linewidth=0.8)
        axes.axvline(array.mean(), color=PALETTE[1], linewidth=1.6)
        if not spread:
            axes.set_xlim(array[0] - 3, array[0] + 3)
        axes.grid(axis="x", visible=False)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.xaxis.set_major_formatter(lambda value, _: short_number(value))
        axes.set_xlabel(f"{x_label} (line: mean {short_number(float(array.mean()))})")
        axes.set_ylabel("episodes")
        return figure


@dataclass(frozen=True)
class Dot:
    """A number with its interval."""

    label: str
    value: float
    interval: tuple[float, float]
    place: int  # in the palette


def intervals(dots: Sequence[Dot], *, title: str, x_label: str, middle: float | None = None) -> Figure:
    """Numbers with their intervals below one another, the first on top; `middle` is a line to compare them with."""
    from matplotlib.figure import Figure

    if not dots:
        raise ValueError("a figure needs at least one number, got none")
    with house_style():
        figure = Figure(figsize=(WIDE_INCHES, 1.1 + 0.3 * len(dots)), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
        axes = figure.subplots()
        for row, dot in enumerate(dots):
            colour = PALETTE[dot.place % len(PALETTE)]
            axes.plot(dot.interval, (row, row), color=colour, linewidth=7, alpha=0.3, solid_capstyle="butt")
            axes.plot(dot.value, row, marker="o", markersize=6, color=colour)
        if middle is not None:
            axes.axvline(middle, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_yticks(range(len(dots)), [dot.label for dot in dots])
        axes.set_ylim(len(dots) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_formatter(lambda value, _: short_number(value))
        axes.set_xlabel(x_label)
        return figure


def panels(
    title: str, rows: int, width_inches: float = WIDE_INCHES, row_inches: float = 1.7
) -> tuple[Figure, list[Axes]]:
    """An empty figure of `rows` panels above one another that share their x axis; draw inside `house_style()`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inches, 0.6 + rows * row_inches), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    return figure, list(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])


def save_png(figure: Figure, path: Path) -> Path:
    """Write the figure with twice the pixels of a plain screen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=200, metadata={"Software": None})
    return path


def inline_svg(draw: Callable[[float], Figure], *, name: str, description: str) -> str:
    """A figure for a page: `draw` is called for a wide and for a narrow screen, and the page's style shows one.

    Args:
        draw: makes the figure for a width in inches. name: unique in the page. description: for those who cannot see.
    """
    views = {"wide": WIDE_INCHES, "narrow": NARROW_INCHES}
    parts = [
        f'<div class="{view}">{_svg(draw(width), f"{name}-{view}", description)}</div>' for view, width in views.items()
    ]
    return "\n".join(parts)


def short_number(value: float) -> str:
    """A number as an axis shows it: 1500000 -> 1.5M, 20000 -> 20k, 0.25 -> 0.25."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit and not (suffix == "k" and abs(value) < 1e4):
            return f"{value / limit:.4g}{suffix}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


def house_style() -> Any:
    """A context in which figures are drawn in the house style."""
    import matplotlib

    return matplotlib.rc_context(_STYLE)


def _new_figure(title: str, width_inches: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    height_inches = 4.0 if width_inches > 5 else 3.2
    figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    return figure, figure.subplots()


def _draw(axes: Axes, line: Line, colour: str, dashes: Any) -> None:
    for curve in line.thin:
        axes.plot(*_thinned(curve), color=colour, linewidth=0.7, alpha=0.35)
    if line.band is not None:
        axes.fill_between(line.curve[0], *line.band, color=colour, alpha=0.18, linewidth=0)
    marker = "o" if line.points or len(line.curve[0]) == 1 else None
    axes.plot(*_thinned(line.curve), color=colour, linestyle=dashes, marker=marker, markersize=3.5, label=line.label)


def _thinned(curve: Curve) -> Curve:
    """At most as many points as a screen can show."""
    steps, values = curve
    if len(steps) <= _MOST_POINTS:
        return curve
    chosen = np.linspace(0, len(steps) - 1, _MOST_POINTS).round().astype(int)
    return steps[chosen], values[chosen]


def _legend_below(figure: Figure, axes: Axes, lines: Sequence[Line], width_inches: float) -> None:
    longest = max(len(line.label) for line in lines)
    columns = int(np.clip(width_inches * 13 // (longest + 6), 1, len(lines)))
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, fontsize=8.5, handlelength=1.6)


def _svg(figure: Figure, name: str, description: str) -> str:
    import html

    import matplotlib

    text = io.StringIO()
    # The salt makes the ids inside unique to this figure and the same in every run of the program.
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(description, quote=True)}"', 1)
    for variable, colour in _variables().items():
        svg = svg.replace(colour, f"var(--{variable})")
    return svg


def _variables() -> dict[str, str]:
    series = {f"series-{index + 1}": colour for index, colour in enumerate(PALETTE)}
    return {**series, "ink": INK, "muted": MUTED, "grid": GRID, "paper": PAPER}
