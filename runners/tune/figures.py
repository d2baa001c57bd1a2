"""The figures of a study: how the search went, what mattered, each setting by itself, and the verification."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keel.runners.figures import INK, MUTED, PALETTE, WIDE_INCHES, house_style, short_number
from keel.runners.tune.plan import Plan
from keel.runners.tune.score import Objective
from keel.runners.tune.space import Range
from keel.runners.tune.study import Trial
from keel.runners.tune.verify import Verification

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

BLUE, RED, GREEN = PALETTE[0], PALETTE[1], PALETTE[2]


def history(plan: Plan, trials: Sequence[Trial], width_inches: float = WIDE_INCHES) -> Figure:
    """The value of every whole trial, the best so far, and where trials were given up or failed."""
    from matplotlib.ticker import MaxNLocator

    whole = [trial for trial in trials if trial.value is not None]
    with house_style():
        figure, axes = _figure("How the search went", width_inches, 3.6)
        axes.plot([trial.number for trial in whole], _values(whole), "o", color=BLUE, markersize=5, label="whole trial")
        best = _best_so_far(plan.objective, whole)
        axes.step([trial.number for trial in whole], best, where="post", color=GREEN, label="best so far")
        for state, mark, colour in (("pruned", "x", MUTED), ("failed", "v", RED)):
            numbers = [trial.number for trial in trials if trial.state == state]
            if numbers:  # they have no value: they stand on the edge
                edge = axes.get_xaxis_transform()
                axes.plot(
                    numbers, [0.02] * len(numbers), mark, color=colour, transform=edge, clip_on=False, label=state
                )
        _value_axis(axes, plan.objective, whole)
        axes.set_xlabel("trial")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(loc="outside lower left", ncols=4 if width_inches > 5 else 2, fontsize=8.5, handlelength=1.6)
        return figure


def importances(shares: Mapping[str, float], method: str, width_inches: float = WIDE_INCHES) -> Figure:
    """How much of the differences between whole trials each setting explains; the first stands at the top."""
    ordered = sorted(shares.items(), key=lambda item: item[1])
    with house_style():
        figure, axes = _figure(f"What mattered ({method})", width_inches, 0.9 + 0.27 * len(ordered))
        axes.barh([name for name, _ in ordered], [share for _, share in ordered], color=BLUE, height=0.65)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("share of the differences explained")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        return figure


def slices(plan: Plan, trials: Sequence[Trial], width_inches: float = WIDE_INCHES) -> Figure:
    """For each setting the whole trials' values over its own; later trials are darker."""
    from matplotlib.figure import Figure

    whole = [trial for trial in trials if trial.value is not None]
    columns = min(3 if width_inches > 5 else 1, len(plan.space))
    rows = math.ceil(len(plan.space) / columns)
    best = _best(plan.objective, whole)
    with house_style():
        figure = Figure(figsize=(width_inches, 0.5 + 1.75 * rows), layout="constrained")
        figure.suptitle("Each setting by itself", x=0.01, ha="left", fontsize=10.5, fontweight="bold")
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten()
        for axes, (name, dimension) in zip(grid, plan.space.items(), strict=False):
            shade = [0.3 + 0.7 * (trial.number + 1) / (trials[-1].number + 1) for trial in whole]
            places = [_place(dimension, trial.values[name]) for trial in whole]
            axes.scatter(places, _values(whole), s=18, color=BLUE, alpha=shade, linewidths=0)
            if best is not None:
                axes.plot([_place(dimension, best.values[name])], [best.value], "o", color=GREEN, markersize=6.5)
            _setting_axis(axes, name, dimension)
            _value_axis(axes, plan.objective, whole, label="")
        for axes in grid[len(plan.space) :]:
            axes.set_visible(False)
        figure.supylabel(_label(plan.objective), fontsize=8.5, color=MUTED)
        return figure


def verification(objective: Objective, found: Verification, width_inches: float = WIDE_INCHES) -> Figure:
    """A dot for every held-out seed, tuned and before; the thick line holds the middle half, the mark the median."""
    import numpy as np

    sides = {"tuned": (found.tuned, GREEN), "before": (found.before, BLUE)}
    with house_style():
        figure, axes = _figure("On held-out seeds", width_inches, 1.9)
        everything: list[float] = []
        for place, (outcomes, colour) in enumerate(sides.values()):
            scores = [objective.score(outcome) for outcome in outcomes]
            everything += scores
            low, middle, high = np.percentile(scores, [25, 50, 75])
            axes.plot([low, high], [place, place], color=colour, linewidth=8, alpha=0.25, solid_capstyle="butt")
            height = place + 0.16 * np.sin(2.4 * np.arange(len(scores)))  # apart, so that equal seeds can be counted
            axes.plot(scores, height, ".", color=colour, alpha=0.75, markersize=6)
            axes.plot([middle], [place], "|", color=INK, markersize=16, markeredgewidth=2)
        axes.set_yticks([0, 1], list(sides))
        axes.set_ylim(1.5, -0.5)
        axes.grid(axis="y", visible=False)
        if objective.fewer and max(everything) > 4 * min(everything):
            axes.set_xscale("log")
            _log_ticks(axes.xaxis)
        axes.xaxis.set_major_formatter(lambda value, _: short_number(value))
        axes.set_xlabel(_label(objective))
        return figure


def _figure(title: str, width_inches: float, height_inches: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    return figure, figure.subplots()


def _value_axis(axes: Axes, objective: Objective, whole: Sequence[Trial], label: str | None = None) -> None:
    values = _values(whole)
    if objective.fewer and values and min(values) > 0 and max(values) > 4 * min(values):
        axes.set_yscale("log")
        _log_ticks(axes.yaxis)
    axes.yaxis.set_major_formatter(lambda value, _: short_number(value))
    axes.set_ylabel(_label(objective) if label is None else label)


def _log_ticks(axis: Axis, within_decade: Sequence[float] = (1, 2, 5)) -> None:
    """Few ticks, each of them named: two values within a decade would have no named one otherwise."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=within_decade))
    axis.set_minor_locator(NullLocator())


def _label(objective: Objective) -> str:
    return {"steps": "steps until solved", "seconds": "seconds until solved", "final": "final return"}.get(
        objective.name, "best return" if objective.name == "best" else "mean return"
    )


def _setting_axis(axes: Axes, name: str, dimension: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel(name, color=INK, fontsize=8.5)
    if not isinstance(dimension, Range):
        axes.set_xticks(range(len(dimension.values)), [_short(value) for value in dimension.values], fontsize=7.5)
        axes.set_xlim(-0.5, len(dimension.values) - 0.5)
        return
    if dimension.log:
        axes.set_xscale("log")
        _log_ticks(axes.xaxis, (1, 3))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=dimension.whole))
    axes.xaxis.set_major_formatter(lambda value, _: short_number(value))


def _place(dimension: Any, value: Any) -> float:
    return float(value) if isinstance(dimension, Range) else dimension.ends().index(value)


def _short(value: Any) -> str:
    return "×".join(str(item) for item in value) if isinstance(value, list | tuple) else f"{value}"


def _values(whole: Sequence[Trial]) -> list[float]:
    return [trial.value for trial in whole if trial.value is not None]


def _best(objective: Objective, whole: Sequence[Trial]) -> Trial | None:
    sign = 1 if objective.fewer else -1
    return min(whole, key=lambda trial: sign * (trial.value or 0.0), default=None)


def _best_so_far(objective: Objective, whole: Sequence[Trial]) -> list[float]:
    pick = min if objective.fewer else max
    values = _values(whole)
    return [pick(values[: count + 1]) for count in range(len(values))]
