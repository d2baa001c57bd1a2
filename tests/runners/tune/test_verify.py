"""The verdict on held-out seeds, beside brute force and rliable."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from keel.runners.tune.score import Objective, Outcome
from keel.runners.tune.verify import Verification, difference_interval, judged, probability_of_improvement

STEPS = Objective("steps", 100_000, 475.0)


def outcomes(steps: list[int]) -> list[Outcome]:
    return [
        Outcome(f"r{seed}", seed, True, count, count / 1000, 480.0, 480.0, 300.0) for seed, count in enumerate(steps)
    ]


def test_probability_of_improvement_is_that_of_rliable() -> None:
    metrics = pytest.importorskip("rliable.metrics")
    random = np.random.default_rng(0)
    tuned, before = random.integers(0, 9, 12).astype(float), random.integers(2, 12, 10).astype(float)
    more = probability_of_improvement(tuned, before, fewer=False)
    assert more == pytest.approx(metrics.probability_of_improvement(tuned[:, None], before[:, None]), abs=1e-12)
    assert probability_of_improvement(tuned, before, fewer=True) == pytest.approx(1 - more)


def test_the_difference_of_equal_sides_is_around_zero_and_of_shifted_ones_around_the_shift() -> None:
    side = np.arange(20.0)
    low, high = difference_interval(side, side)
    assert low < 0 < high
    assert low == pytest.approx(-high, abs=1.0)
    assert difference_interval(side - 100, side) == pytest.approx((low - 100, high - 100))


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        tuned, before = random.normal(-1.0, 1.0, 20), random.normal(0.0, 1.0, 20)
        low, high = difference_interval(tuned, before)
        hits += low <= -1.0 <= high
    assert hits >= 175  # 190 are promised; a bootstrap of 20 seeds is a little too sure of itself


@pytest.mark.parametrize(
    ("tuned", "verdict"),
    [
        ([5_000, 6_000, 7_000, 5_500, 6_500], "better"),
        ([30_000, 31_000, 35_000, 32_000, 33_000], "worse"),
        ([12_000, 16_000, 14_000, 13_000, 15_500], "undecided"),
    ],
)
def test_the_verdict(tuned: list[int], verdict: str) -> None:
    before = [12_000, 13_000, 15_000, 14_000, 16_000]
    found = judged(STEPS, Verification(4, outcomes(tuned), outcomes(before)))
    assert (found["verdict"], found["trial"], found["seeds"]) == (verdict, 4, 5)
    assert found["tuned"]["median"] == found["tuned"]["median_steps"] == sorted(tuned)[2]
    assert found["before"]["interquartile_mean"] == 14_000  # of 13, 14 and 15 thousand
    assert found["before"]["median_seconds"] == 14.0
    assert found["before"]["solved"] == 5
    low, high = found["before"]["interval"]
    assert 12_000 <= low <= 14_000 <= high <= 16_000
    word = {"better": "are better", "worse": "are worse", "undecided": "cannot be said"}[verdict]
    assert word in found["words"]


def test_more_can_be_better() -> None:
    tuned = [dataclasses.replace(outcome, final_return=9.0 + outcome.seed) for outcome in outcomes([1] * 5)]
    before = [dataclasses.replace(outcome, final_return=1.0 + outcome.seed) for outcome in outcomes([1] * 5)]
    found = judged(Objective("final", 1), Verification(0, tuned, before))
    assert found["verdict"] == "better"
    assert found["probability_of_improvement"] == 1.0


@pytest.mark.parametrize("count", [0, 2])
def test_few_seeds_decide_nothing(count: int) -> None:
    found = judged(STEPS, Verification(4, outcomes([1] * count), outcomes([9] * count), failed=3))
    assert (found["verdict"], found["failed"]) == ("undecided", 3)
