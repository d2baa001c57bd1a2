"""How long it takes to be good enough: steps and seconds until a run first reaches a return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import gymnasium
import numpy as np

from keel.envs.protocol import Array
from keel.envs.registry import find_entry
from keel.runners.compare.curves import AXES
from keel.runners.compare.figures import LineFigure, Series
from keel.runners.compare.groups import Group
from keel.runners.compare.read import Measured
from keel.runners.seed_statistics import Band, smoothed


class Reached(NamedTuple):
    """How many of a group's runs reached the threshold, and when half of all had; None where half never did."""

    threshold: float
    reached: int
    runs: int
    steps: float | None
    seconds: float | None


def known_threshold(env: str) -> float | None:
    """The return at which a world counts as solved by its own word; None where it has none."""
    if (entry := find_entry(env)) is not None:
        return entry.reward_threshold
    try:
        return gymnasium.spec(env).reward_threshold
    except gymnasium.error.Error:  # a board game, or a world of a package that is not imported
        return None


def first_reached(measured: Measured, threshold: float) -> float | None:
    """The step of the first evaluation with that return; of training, smoothed, where there is none. None: never."""
    if "eval/return" in measured.curves:
        steps, values = measured.curves["eval/return"]
    else:
        steps, values = measured.curves["train/episode_return"]
        values = smoothed(values)
    good = np.flatnonzero(values >= threshold)
    return float(steps[good[0]]) if len(good) else None


def time_to_threshold(group: Group, measured: Mapping[Path, Measured], threshold: float) -> Reached:
    """The median over all runs of the group, where those that never reached it count as later than all others."""
    runs = [measured[run.path] for run in group.runs]
    times = {axis: _times(runs, axis, threshold) for axis in ("steps", "seconds")}
    reached = int(np.isfinite(times["steps"]).sum())
    return Reached(threshold, reached, len(runs), *(_median(times[axis]) for axis in ("steps", "seconds")))


def _times(runs: Sequence[Measured], axis: str, threshold: float) -> Array:
    """When each run reached it, on that axis: infinity for never, NaN where the run did not measure the axis."""
    times = []
    for run in runs:
        step = first_reached(run, threshold)
        along = run.along(axis, np.array([np.inf if step is None else step]))
        times.append(np.nan if along is None else np.inf if step is None else float(along[0]))
    return np.array(times)


def _median(times: Array) -> float | None:
    """The least time at which at least half of the runs had reached it."""
    if np.isnan(times).any():
        return None
    middle = float(np.sort(times)[(len(times) - 1) // 2])
    return middle if np.isfinite(middle) else None


def threshold_figure(
    env: str,
    groups: Sequence[Group],
    measured: Mapping[Path, Measured],
    threshold: float,
    places: Mapping[str, int],
    stem: str,
) -> LineFigure | None:
    """The share of runs that had reached the threshold by each step; None where all groups are single runs."""
    if all(len(group.runs) < 2 for group in groups):
        return None
    series = []
    for group in groups:
        runs = [measured[run.path] for run in group.runs]
        bands = {axis: [band] for axis in AXES if (band := _share(runs, axis, threshold)) is not None}
        note = f"{int(np.isfinite(_times(runs, 'steps', threshold)).sum())} of {len(runs)}"
        series.append(Series(group.label, places[group.label], bands, note=note))
    axes = {name: label for name, label in AXES.items() if any(name in one.bands for one in series)}
    caption = (
        f"The share of runs that had reached {threshold:g} by then: in an evaluation, or without any in the smoothed return "
        "of training. "
        "The line ends where the group's longest run ends."
    )
    title = f"runs that reached {threshold:g}"
    ends = (-0.02, 1.02)
    return LineFigure(f"{stem}-threshold", env, title, "share of runs", axes, series, caption, y_range=ends)


def _share(runs: Sequence[Measured], axis: str, threshold: float) -> Band | None:
    """Stairs: 0 until the first run is there, and up at each further one."""
    times = _times(runs, axis, threshold)
    ends = [run.along(axis, np.array([float(run.steps)])) for run in runs]
    if np.isnan(times).any() or any(end is None for end in ends):
        return None
    there = np.sort(times[np.isfinite(times)])
    shares = np.arange(len(there) + 1) / len(runs)
    x = np.concatenate([[0.0], np.repeat(there, 2), [max(float(end[0]) for end in ends if end is not None)]])
    y = np.repeat(shares, 2)
    return Band(x, y, y, y, "share of runs")


def read_thresholds(texts: Sequence[str], envs: Sequence[str]) -> dict[str, float]:
    """`--threshold VALUE` for all worlds, or `--threshold WORLD=VALUE`; by default what a world says of itself.

    Raises:
        ValueError: no number, or a world that no run is of.
    """
    found = {env: value for env in envs if (value := known_threshold(env)) is not None}
    for text in texts:
        env, separator, number = text.rpartition("=")
        if separator and env not in envs:
            raise ValueError(f"--threshold {text}: no run is of the world '{env}'; there are: {', '.join(envs)}")
        try:
            value = float(number)
        except ValueError:
            raise ValueError(f"--threshold {text}: '{number}' is not a number; write VALUE or WORLD=VALUE") from None
        if not np.isfinite(value):
            raise ValueError(f"--threshold {text}: it must be a finite number")
        found |= {env: value} if separator else dict.fromkeys(envs, value)
    return found
