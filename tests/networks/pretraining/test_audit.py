"""The measures of an audit beside numbers by hand and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from keel.networks.pretraining import audit


def test_confusions_are_those_of_scikit_learn() -> None:
    chance = np.random.default_rng(0)
    labels, predicted = chance.integers(0, 4, (2, 100))
    assert (audit.confusion(labels, predicted, 4) == confusion_matrix(labels, predicted)).all()
    assert audit.confusion(np.array([2]), np.array([0]), 3).tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_wilson_intervals() -> None:
    assert audit.wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    assert audit.wilson(0, 10) == pytest.approx((0.0, 0.2775328), abs=1e-6)
    assert audit.wilson(10, 10) == pytest.approx((0.7224672, 1.0), abs=1e-6)
    with pytest.raises(ValueError, match="count is 0"):
        audit.wilson(0, 0)


def test_a_group_that_is_served_worse_is_named() -> None:
    groups = np.array(["a"] * 200 + ["b"] * 50 + ["c"] * 3)
    correct = np.array([True] * 190 + [False] * 10 + [True] * 30 + [False] * 20 + [True, True, False])
    worst, small, best = audit.by_group(correct, groups)
    assert (worst.name, worst.examples, worst.accuracy, worst.worse) == ("b", 50, 0.6, True)
    assert (worst.low, worst.high) == audit.wilson(30, 50)
    assert (small.name, small.worse) == ("c", False)  # two of three prove nothing
    assert (best.name, best.worse) == ("a", False)


def test_one_group_alone_is_not_worse() -> None:
    assert not audit.by_group(np.array([False, False]), np.array(["a", "a"]))[0].worse


def test_calibration_by_hand() -> None:
    confidence = np.array([0.95, 0.85, 0.85, 1.0])
    correct = np.array([True, True, False, False])
    bins = audit.reliability(confidence, correct)
    assert [part.examples for part in bins] == [0] * 8 + [2, 2]
    assert (bins[8].confidence, bins[8].accuracy) == pytest.approx((0.85, 0.5))
    assert math.isnan(bins[0].accuracy)
    assert audit.expected_calibration_error(bins) == pytest.approx(0.5 * 0.35 + 0.5 * (0.975 - 0.5))


def test_the_temperature_undoes_what_was_done_to_the_logits() -> None:
    chance = np.random.default_rng(0)
    logits = chance.normal(size=(20_000, 3)) * 2
    labels = np.array([chance.choice(3, p=row) for row in audit.probabilities(logits)])
    assert audit.temperature(logits * 3, labels) == pytest.approx(3, rel=0.05)
    assert audit.temperature(logits / 2, labels) == pytest.approx(0.5, rel=0.05)


def test_the_worst_mistakes_come_first() -> None:
    probability = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
    assert audit.worst_mistakes(probability, np.array([1, 1, 1, 0]), 5).tolist() == [0, 3, 1]
    assert audit.worst_mistakes(probability, np.array([1, 1, 1, 0]), 2).tolist() == [0, 3]


def test_probabilities_of_large_logits() -> None:
    assert audit.probabilities(np.array([[1000.0, 1000.0 + math.log(3)]]))[0] == pytest.approx([0.25, 0.75])
