"""Learning curves of a world's groups: over steps, seconds and episodes, at several strengths of smoothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from keel.envs.protocol import Array
from keel.runners.compare.figures import LineFigure, RunPoints, Series
from keel.runners.compare.groups import Group
from keel.runners.compare.read import Measured
from keel.runners.seed_statistics import Band, band_of, common_axis, smoothed, value_at

METRICS = {  # metric -> how its files are called, what it is, and the label of its axis
    "eval/return": ("evaluation", "return of greedy evaluation", "episode return"),
    "train/episode_return": ("training", "return of training episodes", "episode return"),
    "eval/elo": ("elo", "Elo of the evaluated network", "Elo"),
}
AXES = {"steps": "environment steps", "seconds": "seconds of training", "episodes": "episodes"}
SMOOTHING = {"off": 0, "light": 45, "medium": 15, "strong": 5}  # of how many parts a window is one
_POINTS_IN_ALL = 40_000  # of single runs, in one figure


def curve_figure(
    env: str,
    groups: Sequence[Group],
    measured: Mapping[Path, Measured],
    metric: str,
    places: Mapping[str, int],
    stem: str,
) -> LineFigure | None:
    """The figure of one metric; only runs that measured it count as seeds. None where no run did.

    Args:
        measured: by the run's folder. places: by label, in the palette.
    """
    own = {group.label: [run for run in group.runs if metric in measured[run.path].curves] for group in groups}
    own = {label: runs for label, runs in own.items() if runs}
    if not own:
        return None
    known = [measured[run.path] for runs in own.values() for run in runs]
    longest = max(len(one.curves[metric][0]) for one in known)
    levels = [name for name, parts in SMOOTHING.items() if longest >= 2 * parts]
    drawn = levels.index("medium") if metric.startswith("train/") and "medium" in levels else 0
    points = int(np.clip(_POINTS_IN_ALL // len(known), 60, 400))
    series = []
    for label, runs in own.items():
        lines = {run.name: _smoothed_lines(measured[run.path], metric, levels) for run in runs}
        on_axes = {run.name: _on_axes(measured[run.path], metric) for run in runs}
        bands = _bands(list(on_axes.values()), list(lines.values()))
        thin = {name: _thinned(on_axes[name], lines[name], points) for name in lines}
        series.append(Series(label, places[label], bands, thin, f"{len(runs)} seed{'s' * (len(runs) != 1)}"))
    axes = {name: label for name, label in AXES.items() if any(name in one.bands for one in series)}
    kind, words, y_label = METRICS[metric]
    caption = _caption(series, levels[drawn], longest > points)
    return LineFigure(f"{stem}-{kind}", env, words, y_label, axes, series, caption, levels, drawn)


def _smoothed_lines(measured: Measured, metric: str, levels: Sequence[str]) -> list[Array]:
    values = measured.curves[metric][1]
    return [smoothed(values, SMOOTHING[name]) if SMOOTHING[name] else values for name in levels]


def _on_axes(measured: Measured, metric: str) -> dict[str, Array]:
    steps = measured.curves[metric][0]
    found = {axis: measured.along(axis, steps) for axis in AXES}
    return {axis: values for axis, values in found.items() if values is not None}


def _bands(on_axes: Sequence[Mapping[str, Array]], lines: Sequence[Sequence[Array]]) -> dict[str, list[Band]]:
    """On each axis that all runs of the group measured, their band at each level of smoothing."""
    bands = {}
    for axis in AXES:
        if all(axis in own for own in on_axes):
            grid = common_axis([own[axis] for own in on_axes])
            bands[axis] = [
                band_of(
                    grid,
                    np.stack(
                        [value_at(grid, (own[axis], line[level])) for own, line in zip(on_axes, lines, strict=True)]
                    ),
                )
                for level in range(len(lines[0]))
            ]
    return bands


def _thinned(axes: Mapping[str, Array], lines: Sequence[Array], points: int) -> RunPoints:
    """At most as many points as a screen can show."""
    count = len(lines[0])
    if count <= points:
        return RunPoints(axes, lines)
    chosen = np.linspace(0, count - 1, points).round().astype(int)
    return RunPoints({axis: values[chosen] for axis, values in axes.items()}, [line[chosen] for line in lines])


def _caption(series: Sequence[Series], smoothing: str, thinned: bool) -> str:
    meanings = dict.fromkeys(bands[0].meaning for one in series for bands in [next(iter(one.bands.values()))])
    sentences = [f"Line: {'; '.join(meanings)}."]
    if smoothing != "off":
        sentences.append("Runs are smoothed by a centred moving average before their line and band are computed.")
    if any(len(one.runs) > 1 for one in series):
        sentences.append("Thin lines are single runs.")
    if thinned:
        sentences.append("Of a long run every so many points are drawn; line and band come from all.")
    return " ".join(sentences)
