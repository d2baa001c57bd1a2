"""What a handful of runs says about an algorithm: robust means with intervals, and curves on a common axis.

The interquartile mean, its stratified bootstrap, performance profiles and the probability of improvement follow Agarwal
et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice": with few seeds a mean follows the
luckiest run, and a bare number hides its error.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from keel.envs.protocol import Array

Curve: TypeAlias = tuple[Array, Array]  # steps [N] increasing, values [N]
Scores: TypeAlias = Sequence[
    Array
]  # of each task its runs' scores, [runs]; tasks may differ in how many runs they have
Draws: TypeAlias = Sequence[Array]  # of each task the runs drawn again, [resamples, runs], each in 0 .. runs - 1

RESAMPLES = 2000


class Interval(NamedTuple):
    low: float
    high: float


class Estimate(NamedTuple):
    """A number with the interval around it."""

    value: float
    low: float
    high: float


class Profile(NamedTuple):
    """The share of runs that score more than each threshold, with its interval; each array [thresholds]."""

    share: Array
    low: Array
    high: Array


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
    count = math.prod(scores.shape[index] for index in axes)
    flat = np.moveaxis(scores, tuple(axes), tuple(range(-len(axes), 0))).reshape(*kept, count)
    if count == 0:
        raise ValueError("the interquartile mean of no scores does not exist")
    cut = count // 4
    return np.sort(flat, axis=-1)[..., cut : count - cut].mean(axis=-1)


def stratified_bootstrap_interval(
    scores: Array,
    seed: int = 0,
    *,
    statistic: Callable[..., Array] = interquartile_mean,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> Interval:
    """Percentile interval of `statistic` when the runs of each task are drawn again with replacement.

    Args:
        scores: [runs, tasks]. seed: the same seed gives the same interval.
        statistic: takes an array and `axis`, the axis to reduce. resamples: at least 1. confidence: in (0, 1).
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or 0 in scores.shape:
        raise ValueError(f"scores must be [runs, tasks] with at least one of each, got the shape {list(scores.shape)}")
    runs, tasks = scores.shape
    chosen = np.random.default_rng(seed).integers(runs, size=(resamples, runs, tasks))
    draws = list(np.moveaxis(chosen, 2, 0))
    return bootstrap_interval(list(scores.T), draws, statistic=statistic, confidence=confidence)


def bootstrap_interval(
    scores: Scores,
    draws: Draws,
    *,
    statistic: Callable[..., Array] = interquartile_mean,
    confidence: float = 0.95,
) -> Interval:
    """Percentile interval of `statistic` over the runs of all tasks together, for runs that were drawn already."""
    _check_scores(scores)
    pooled = np.concatenate([task[chosen] for task, chosen in zip(scores, draws, strict=True)], axis=1)
    low, high = _percentiles(statistic(pooled, axis=1), confidence)
    return Interval(float(low), float(high))


def draw_runs(scores: Scores, seed: int = 0, resamples: int = RESAMPLES) -> list[Array]:
    """For each task as many of its runs as it has, drawn with replacement, `resamples` times."""
    chance = np.random.default_rng(seed)
    return [chance.integers(len(task), size=(resamples, len(task))) for task in scores]


def performance_profile(scores: Scores, thresholds: Array, draws: Draws, confidence: float = 0.95) -> Profile:
    """The share of all runs of all tasks that score more than each threshold (Agarwal et al. 2021, section 4.2).

    Args:
        thresholds: [N]. draws: from `draw_runs`. confidence: of the interval at each threshold by itself, in (0, 1).
    """
    _check_scores(scores)
    above = [(task[:, None] > thresholds).astype(np.float64) for task in scores]
    runs = sum(len(task) for task in scores)
    resampled = np.sum([_counts(chosen) @ part for chosen, part in zip(draws, above, strict=True)], axis=0) / runs
    low, high = _percentiles(resampled, confidence)
    return Profile(np.concatenate(above).mean(axis=0), low, high)


def probability_of_improvement(
    scores: Scores, others: Scores, draws: Draws, other_draws: Draws, confidence: float = 0.95
) -> Estimate:
    """How probable it is that a run of the first scores more than one of the others, as a mean over tasks.

    A tie counts half, which makes it the statistic of Mann and Whitney (Agarwal et al. 2021, section 4.3).

    Args:
        scores, others: of the same tasks in the same order. draws, other_draws: from `draw_runs`, independent.
    """
    _check_scores(scores)
    _check_scores(others)
    wins = [
        (task[:, None] > other) + 0.5 * (task[:, None] == other) for task, other in zip(scores, others, strict=True)
    ]
    resampled = [
        (_counts(chosen) @ won * _counts(other_chosen)).sum(axis=1) / won.size
        for won, chosen, other_chosen in zip(wins, draws, other_draws, strict=True)
    ]
    low, high = _percentiles(np.mean(resampled, axis=0), confidence)
    return Estimate(float(np.mean([won.mean() for won in wins])), float(low), float(high))


def _check_scores(scores: Scores) -> None:
    if len(scores) == 0 or any(np.ndim(task) != 1 or len(task) == 0 for task in scores):
        raise ValueError(f"every task needs the scores of at least one run, got {[np.shape(task) for task in scores]}")
    if not all(np.isfinite(task).all() for task in scores):
        raise ValueError("scores must be finite numbers, got NaN or infinity")


def _counts(chosen: Array) -> Array:
    """How often each run was drawn: [resamples, runs] of indices -> [resamples, runs] of counts."""
    resamples, runs = chosen.shape
    flat = (chosen + runs * np.arange(resamples)[:, None]).ravel()
    return np.bincount(flat, minlength=resamples * runs).reshape(resamples, runs).astype(np.float64)


def _percentiles(statistics: Array, confidence: float) -> Array:
    """The lower and the upper end, [2, ...], of what lies between over the first axis."""
    tail = 50 * (1 - confidence)
    return np.percentile(statistics, [tail, 100 - tail], axis=0)


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


def common_axis(axes: Sequence[Array], points: int = 200) -> Array:
    """At most `points` of the steps (or seconds, or episodes) that some run reported, increasing.

    They go from where every run has begun to where the first ends, so that no run is extended beyond what it did and
    every point means the same set of runs.

    Raises:
        ValueError: if there is no axis, or one is empty.
    """
    if not axes or any(len(axis) == 0 for axis in axes):
        raise ValueError("every curve needs at least one point")
    begin, end = max(axis[0] for axis in axes), min(axis[-1] for axis in axes)
    reported = np.unique(np.concatenate(axes))
    reported = reported[(reported >= begin) & (reported <= end)]
    if len(reported) > points:
        reported = reported[np.linspace(0, len(reported) - 1, points).round().astype(int)]
    return reported


def band_of(steps: Array, values: Array) -> Band:
    """Several runs as a line with a band: interquartile mean and its 95 % interval from three runs on.

    Args: steps: [N], see `common_axis`. values: [runs, N].
    """
    if len(values) < 3:
        low, high = values.min(axis=0), values.max(axis=0)
        meaning = "mean, band from minimum to maximum" if len(values) > 1 else "one run"
        return Band(steps, values.mean(axis=0), low, high, meaning)
    ordered = np.sort(values, axis=0)
    low, high = _percentiles(_interquartile_weights(len(values)) @ ordered, 0.95)
    meaning = "interquartile mean, band of 95 % (bootstrap over seeds)"
    return Band(steps, interquartile_mean(values, axis=0), low, high, meaning)


@functools.lru_cache(maxsize=32)
def _interquartile_weights(runs: int) -> Array:
    """What each of the ordered runs counts in the interquartile mean of each resample: [RESAMPLES, runs].

    Which runs are drawn does not depend on their scores, so the same draws, put in order once, serve every point of
    every curve: resampling becomes a product of matrices.
    """
    (chosen,) = draw_runs([np.zeros(runs)])
    cut = runs // 4
    kept = np.sort(chosen, axis=1)[:, cut : runs - cut]
    weights = np.zeros((len(chosen), runs))
    np.add.at(weights, (np.arange(len(chosen))[:, None], kept), 1 / kept.shape[1])
    return weights


def smoothed(values: Array, parts: int = 15) -> Array:
    """Centred moving average [N] over about one of `parts` of the curve, at its ends over what there is of the window.

    Being centred it does not lag behind learning. A curve of less than 2 * `parts` values stays as it is.
    """
    values = np.asarray(values, dtype=np.float64)
    count = len(values)
    half_window = count // (2 * parts)
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
