"""What forecasts are measured by: simple ones that learn little or nothing, and intervals that know days hang together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keel.networks.pretraining.data import Array
from keel.networks.pretraining.series import WEEK, Windows

BLOCK_DAYS = 20  # trading days that the bootstrap keeps together: about a month
RESAMPLES = 2_000


class Estimate(NamedTuple):
    """A figure and the 95 % interval around it."""

    value: float
    low: float
    high: float


class Measured(NamedTuple):
    """Errors as their ratio to those of the forecast that nothing changes, below 1 where a forecast is better; and the
    part of the forecast directions that are right, where there is any and something changed."""

    squared_error: Estimate
    absolute_error: Estimate
    direction: Estimate | None


def simple_forecasts(train: Windows, test: Windows, names: tuple[str, ...], target: str) -> dict[str, Array]:
    """Forecast changes [N] of `test`, in the units of its targets, by what was fitted to `train` alone.

    `nothing changes` is the naive one. `historical mean`: the mean change of a price; for a volatility the change back
    to its mean. `linear autoregression`: on the returns of the last five days; for a volatility on those of a day, a
    week and a month (Corsi 2009, A simple approximate long-memory model of realized volatility). `linear regression`:
    on all features of the last five days.

    Args: names: of the features, in the order of the inputs' last axis.
    """
    mean = train.target.mean() if target == "return" else train.level.mean() - test.level
    autoregressive = returns_of_a_week if target == "return" else day_week_and_month
    chosen = {"linear autoregression": autoregressive, "linear regression": all_of_a_week}
    linear = {
        name: least_squares(regressors(train, names), train.target, regressors(test, names))
        for name, regressors in chosen.items()
    }
    zero = np.zeros(len(test.target))
    return {"nothing changes": zero, "historical mean": zero + mean, **linear}


def returns_of_a_week(windows: Windows, names: tuple[str, ...]) -> Array:
    return windows.inputs[:, -WEEK:, names.index("return")]


def day_week_and_month(windows: Windows, names: tuple[str, ...]) -> Array:
    today = windows.inputs[:, -1]
    volatility = [today[:, names.index(name)] for name in ("week_volatility", "month_volatility")]
    return np.stack([np.abs(today[:, names.index("return")]), *volatility, windows.level], axis=1)


def all_of_a_week(windows: Windows, names: tuple[str, ...]) -> Array:
    return windows.inputs[:, -WEEK:].reshape(len(windows.inputs), -1)


def least_squares(known: Array, target: Array, asked: Array) -> Array:
    """Fits target [N] = a + known [N K] b and gives its values [M] at asked [M K]."""
    center, spread = known.mean(axis=0), known.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)  # so that no unit is too small to be seen beside another
    known, asked = ((part - center) / spread for part in (known, asked))
    weights = np.linalg.lstsq(known, target - target.mean(), rcond=None)[0]
    return target.mean() + asked @ weights


def ratio(numerator: Array, denominator: Array, date: Array, chance: np.random.Generator) -> Estimate:
    """sum numerator / sum denominator, with the 2.5th and 97.5th percentiles of a moving-block bootstrap over days.

    What happens on one day stays together, over all symbols, and so do `BLOCK_DAYS` days in a row; blocks that pass the
    end go on at the beginning (Politis and Romano 1992, the circular block bootstrap). The mean squared error of a
    forecast over that of another is such a ratio, and so is the rate of right directions.

    Args: all [N]; date: of each forecast.

    Raises:
        ValueError: the denominator is 0 altogether.
    """
    if not denominator.sum():
        raise ValueError("the denominator is 0 on all days: nothing to compare with")
    days, place = np.unique(date, return_inverse=True)
    above, below = (np.bincount(place, part.astype(np.float64), len(days)) for part in (numerator, denominator))
    block = min(BLOCK_DAYS, len(days))
    starts = chance.integers(0, len(days), (RESAMPLES, -(-len(days) // block)))
    drawn = ((starts[:, :, None] + np.arange(block)) % len(days)).reshape(RESAMPLES, -1)[:, : len(days)]
    totals = below[drawn].sum(axis=1)
    ratios = above[drawn].sum(axis=1)[totals > 0] / totals[totals > 0]
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Estimate(float(above.sum() / below.sum()), float(low), float(high))


def measure(forecast: Array, change: Array, date: Array, chance: np.random.Generator) -> Measured:
    """Forecast changes [N] beside those that came, and beside the forecast that nothing changes."""
    index = chance.integers(2**62)

    def beside(numerator: Array, denominator: Array) -> Estimate:  # all on the same resamples
        return ratio(numerator, denominator, date, np.random.default_rng(index))

    error, moved = forecast - change, (forecast != 0) & (change != 0)
    return Measured(
        beside(np.square(error), np.square(change)),
        beside(np.abs(error), np.abs(change)),
        beside((np.sign(forecast) == np.sign(change)) & moved, moved) if moved.any() else None,
    )
