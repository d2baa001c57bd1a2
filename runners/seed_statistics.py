"""What a handful of runs says about an algorithm: robust means with intervals, and curves on a common step axis.

The interquartile mean and its stratified bootstrap follow Agarwal et al. 2021, "Deep Reinforcement Learning at the
Edge of the Statistical Precipice": with few seeds a mean follows the luckiest run, and a bare number hides its error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from keel.envs.protocol import Array

Curve: TypeAlias = tuple[Array, Array]  # steps [N] increasing, values [N]


class Interval(NamedTuple):
    low: float
    high: float


class Band(NamedTuple):
    """Several runs as one line: `center` between `low` and `high` at every step; each array [N]."""

    steps: Array
    center: Array
    low: Array
    high: Array
    meaning: str  # what center and band are, in words for a legend


def interquartile_mean(scores: Array, axis: int | tuple[int, ...] | None = None) -> Array:
    """Mean of what is left without the lowest and the highest floor(N / 4) of N scores.

    Args:
        scores: any shape, without NaN. axis: the axes that the mean is over, by default all.
    Returns: `scores` without these axes.
    """
    scores = np.asarray(scores, dtype=np.float64)
    axes = range(scores.ndim) if axis is None else np.atleast_1d(axis) % scores.ndim
    kept = [size for index, size in enumerate(scores.shape) if index not in axes]
    flat = np.moveaxis(scores, tuple(axes), tuple(range(-len(axes), 0))).reshape(*kept, -1)
    count = flat.shape[-1]
    if count == 0:
        raise ValueError("the interquartile mean of no scores does not exist")
    cut = count // 4
    return np.sort(flat, axis=-1)[..., cut : count - cut].mean(axis=-1)


def stratified_bootstrap_interval(
    scores: Array,
    seed: int = 0,
    *,
    statistic: Callable[..., Array] = interquartile_mean,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Percentile interval of `statistic` when the runs of each task are drawn again with replacement.

    Args:
        scores: [runs, tasks]. seed: the same seed gives the same interval.
        statistic: takes an array and `axis`, the axes to reduce. resamples: at least 1. confidence: in (0, 1).
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or 0 in scores.shape:
        raise ValueError(f"scores must be [runs, tasks] with at least one of each, got the shape {list(scores.shape)}")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite numbers, got NaN or infinity")
    runs, tasks = scores.shape
    chosen = np.random.default_rng(seed).integers(runs, size=(resamples, runs, tasks))
    statistics = statistic(scores[chosen, np.arange(tasks)], axis=(1, 2))
    tail = 50 * (1 - confidence)
    low, high = np.percentile(statistics, [tail, 100 - tail])
    return Interval(float(low), float(high))


def curve(rows: Sequence[Mapping[str, Any]], metric: str) -> Curve:
    """One metric of the rows of metrics.jsonl as a curve; rows without it, or where it is not finite, are left out."""
    points = [(row["global_step"], row[metric]) for row in rows if _is_finite(row.get(metric))]
    array = np.array(points, dtype=np.float64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def value_at(steps: Array, curve: Curve) -> Array:
    """The curve's value at each of `steps`: the latest one known then (piecewise constant), NaN before the first."""
    known_steps, values = curve
    index = np.searchsorted(known_steps, steps, side="right") - 1
    return np.where(index >= 0, np.asarray(values, dtype=np.float64)[np.maximum(index, 0)], np.nan)


def align(curves: Sequence[Curve], points: int = 200) -> tuple[Array, Array]:
    """The curves on one step axis: steps [N], values [runs, N], N <= points.

    The axis holds steps that some run reported, from the step where every run has begun to the one where the first
    ends, so that no run is extended beyond what it did and every point means the same set of runs.

    Raises:
        ValueError: if there is no curve, or one is empty.
    """
    if not curves or any(len(steps) == 0 for steps, _ in curves):
        raise ValueError("every curve needs at least one point")
    begin = max(steps[0] for steps, _ in curves)
    end = min(steps[-1] for steps, _ in curves)
    reported = np.unique(np.concatenate([steps for steps, _ in curves]))
    reported = reported[(reported >= begin) & (reported <= end)]
    if len(reported) > points:
        reported = reported[np.linspace(0, len(reported) - 1, points).round().astype(int)]
    values = [value_at(reported, curve) for curve in curves]
    return reported, np.stack(values)


def band(curves: Sequence[Curve], points: int = 200) -> Band:
    """Several runs of one thing as a line with a band: interquartile mean and its 95 % interval from three runs on."""
    steps, values = align(curves, points)
    if len(curves) < 3:
        low, high = values.min(axis=0), values.max(axis=0)
        meaning = "mean, band from minimum to maximum" if len(curves) > 1 else "one run"
        return Band(steps, values.mean(axis=0), low, high, meaning)
    intervals = np.array([stratified_bootstrap_interval(column[:, None]) for column in values.T]).reshape(-1, 2)
    meaning = "interquartile mean, band of 95 % (bootstrap over seeds)"
    return Band(steps, interquartile_mean(values, axis=0), intervals[:, 0], intervals[:, 1], meaning)


def smoothed(values: Array) -> Array:
    """Centred moving average [N] over about a fifteenth of the curve, at its ends over what there is of the window.

    Being centred it does not lag behind learning. A curve of less than 30 values stays as it is.
    """
    values = np.asarray(values, dtype=np.float64)
    count = len(values)
    half_window = count // 30
    if half_window == 0:
        return values
    begin = np.maximum(np.arange(count) - half_window, 0)
    end = np.minimum(np.arange(count) + half_window + 1, count)
    total = np.concatenate([[0.0], np.cumsum(values)])
    return (total[end] - total[begin]) / (end - begin)


def summary(scores: Sequence[float]) -> dict[str, float | int | list[float] | None]:
    """One score a seed in numbers: count, mean, std (over N - 1), min, max; from three seeds on IQM and 95 % interval."""
    array = np.asarray(scores, dtype=np.float64)
    if array.size == 0:
        raise ValueError("a summary needs at least one score")
    enough = len(array) >= 3
    return {
        "count": len(array),
        "mean": float(array.mean()),
        "std": float(array.std(ddof=1)) if len(array) > 1 else None,
        "min": float(array.min()),
        "max": float(array.max()),
        "interquartile_mean": float(interquartile_mean(array)) if enough else None,
        "interval": list(stratified_bootstrap_interval(array[:, None])) if enough else None,
    }
