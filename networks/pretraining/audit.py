"""What a classifier is worth beyond its accuracy: confusions, groups it serves worse, and whether its confidence is meant."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from keel.networks.pretraining.data import Array

Z_95 = 1.959964  # the normal quantile of a 95 % interval

GOLDEN = (math.sqrt(5) - 1) / 2


class Served(NamedTuple):
    """How well one group is served."""

    name: str
    examples: int
    accuracy: float
    low: float  # of the 95 % interval
    high: float
    worse: bool  # its interval lies below the accuracy of everyone else


class Bin(NamedTuple):
    """Examples whose confidence lies between `low` and `high`."""

    low: float
    high: float
    examples: int
    confidence: float  # means; nan where there are no examples
    accuracy: float


def probabilities(logits: Array) -> Array:
    """[N K] logits to [N K] float64 probabilities."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def confusion(labels: Array, predicted: Array, classes: int) -> Array:
    """[K K] counts: rows are what it was, columns what it was taken for."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def wilson(successes: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a rate (Wilson 1927): it holds for small counts and for rates near 0 and 1.

    Raises:
        ValueError: `count` is 0.
    """
    if count < 1:
        raise ValueError(f"count is {count}: a rate needs at least one example")
    rate, z2 = successes / count, Z_95**2
    center = (rate + z2 / (2 * count)) / (1 + z2 / count)
    half = Z_95 / (1 + z2 / count) * math.sqrt(rate * (1 - rate) / count + z2 / (4 * count**2))
    return max(0.0, center - half), min(1.0, center + half)


def by_group(correct: Array, groups: Array) -> list[Served]:
    """The accuracy of each group, the worst first. `correct` [N] bool, `groups` [N] of names."""
    result = []
    for name in np.unique(groups):
        inside = groups == name
        count, right = int(inside.sum()), int(correct[inside].sum())
        low, high = wilson(right, count)
        others = correct[~inside]
        result.append(Served(str(name), count, right / count, low, high, bool(len(others) and high < others.mean())))
    return sorted(result, key=lambda served: (served.accuracy, served.name))


def reliability(confidence: Array, correct: Array, bins: int = 10) -> list[Bin]:
    """Equally wide bins of confidence from 0 to 1, each with how often its examples are right."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    result = []
    for number in range(bins):
        inside = place == number
        means = (confidence[inside].mean(), correct[inside].mean()) if inside.any() else (math.nan, math.nan)
        result.append(Bin(number / bins, (number + 1) / bins, int(inside.sum()), float(means[0]), float(means[1])))
    return result


def expected_calibration_error(bins: list[Bin]) -> float:
    """sum over bins of n / N |accuracy - confidence| (Guo et al. 2017, On calibration, equation 3), from 0 to 1."""
    total = sum(part.examples for part in bins)
    return sum(part.examples / total * abs(part.accuracy - part.confidence) for part in bins if part.examples)


def temperature(logits: Array, labels: Array) -> float:
    """The number that logits [N K] are to be divided by for their confidence to be meant: the least cross-entropy of
    `labels`, between 1/20 and 20 (Guo et al. 2017, section 4.2). Fit it on data that are not judged by it.
    """
    chosen = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scaled = probabilities(logits / math.exp(log_temperature))[chosen, labels]
        return float(-np.log(np.maximum(scaled, 1e-300)).mean())

    low, high = -math.log(20), math.log(20)
    for _ in range(40):  # by golden section: the loss has one valley
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return math.exp((low + high) / 2)


def worst_mistakes(probability: Array, labels: Array, most: int) -> Array:
    """Indices of wrong answers, the most confident first. `probability` [N K]."""
    predicted = probability.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    return wrong[np.argsort(-probability[wrong, predicted[wrong]], kind="stable")][:most]
