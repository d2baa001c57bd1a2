"""Statistics over seeds against hand numbers and brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keel.runners.seed_statistics import (
    band_of,
    bootstrap_interval,
    common_axis,
    curve,
    draw_runs,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    smoothed,
    stratified_bootstrap_interval,
    summary,
    value_at,
)

numbers = st.floats(-1e6, 1e6)


def test_interquartile_mean_leaves_out_a_quarter_at_each_end() -> None:
    assert interquartile_mean(np.array([1.0, 2, 3, 4, 5, 6, 7, 1000])) == pytest.approx((3 + 4 + 5 + 6) / 4)
    assert interquartile_mean(np.array([9.0, 1, 2])) == pytest.approx(4)  # a quarter of three is none
    assert interquartile_mean(np.array([0.0, 10, 20, 30, 1e9])) == pytest.approx(20)


def test_interquartile_mean_over_both_axes_sees_all_scores_together() -> None:
    scores = np.array([[1.0, 5], [2, 6], [3, 7], [4, 1000]])
    assert interquartile_mean(scores, axis=(0, 1)) == pytest.approx(interquartile_mean(scores.ravel()))
    assert interquartile_mean(scores, axis=0) == pytest.approx([2.5, 6.5])


@given(st.lists(numbers, min_size=1, max_size=30))
def test_interquartile_mean_is_within_the_scores_and_ignores_their_order(scores: list[float]) -> None:
    result = interquartile_mean(np.array(scores))
    assert min(scores) - 1e-6 <= result <= max(scores) + 1e-6
    assert interquartile_mean(np.array(scores[::-1])) == pytest.approx(result)


def test_interquartile_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no scores"):
        interquartile_mean(np.array([]))


def test_bootstrap_interval_agrees_with_every_possible_resample() -> None:
    scores = np.array([1.0, 2.0, 4.0, 8.0, 9.0])
    every = [interquartile_mean(np.array(draw)) for draw in itertools.product(scores, repeat=5)]
    expected = np.percentile(np.array(every), [2.5, 97.5])
    found = stratified_bootstrap_interval(scores[:, None], seed=3, resamples=20_000)
    assert found == pytest.approx(expected, abs=0.15)


def test_bootstrap_draws_the_runs_within_each_task() -> None:
    # Within a task all runs are alike, so every stratified resample is the same set of scores.
    scores = np.tile([0.0, 100.0], (4, 1))
    assert stratified_bootstrap_interval(scores) == (50, 50)


def test_bootstrap_covers_the_truth_as_often_as_it_says() -> None:
    chance = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        low, high = stratified_bootstrap_interval(chance.normal(size=(40, 1)), resamples=300, statistic=np.mean)
        hits += low <= 0 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_bootstrap_is_repeatable_and_refuses_what_it_cannot_judge() -> None:
    scores = np.arange(10.0)[:, None]
    assert stratified_bootstrap_interval(scores, 5) == stratified_bootstrap_interval(scores, 5)
    assert stratified_bootstrap_interval(scores, 5) != stratified_bootstrap_interval(scores, 6)
    with pytest.raises(ValueError, match=r"\[runs, tasks\]"):
        stratified_bootstrap_interval(np.arange(3.0))
    with pytest.raises(ValueError, match="finite"):
        stratified_bootstrap_interval(np.array([[1.0], [np.nan]]))


def test_tasks_may_differ_in_how_many_runs_they_have() -> None:
    scores = [np.array([0.0, 0, 0, 0]), np.array([8.0, 8])]
    draws = draw_runs(scores, resamples=50)
    assert [chosen.shape for chosen in draws] == [(50, 4), (50, 2)]
    assert bootstrap_interval(scores, draws, statistic=np.mean) == pytest.approx((16 / 6, 16 / 6))
    one = np.arange(7.0)
    assert bootstrap_interval([one], draw_runs([one])) == stratified_bootstrap_interval(one[:, None])


def test_performance_profile_by_hand() -> None:
    scores = [np.array([1.0, 2.0]), np.array([3.0, 3.0, 3.0])]
    thresholds = np.array([0.0, 1.0, 2.0, 3.0])
    draws = [np.array([[0, 0], [0, 1], [1, 1]]), np.zeros((3, 3), int)]
    profile = performance_profile(scores, thresholds, draws, confidence=1 - 1e-12)
    assert profile.share == pytest.approx([1, 4 / 5, 3 / 5, 0])  # more than 1 is not 1 itself
    assert profile.low == pytest.approx([1, 3 / 5, 3 / 5, 0])
    assert profile.high == pytest.approx([1, 1, 3 / 5, 0])


def test_probability_of_improvement_by_hand() -> None:
    first, second = [np.array([1.0, 3.0])], [np.array([1.0, 2.0])]
    # Pairs: 1-1 is a tie, 1-2 is lost, 3-1 and 3-2 are won.
    draws = [np.array([[0, 1], [0, 0], [1, 1]])]
    other_draws = [np.array([[0, 1], [1, 1], [0, 1]])]
    found = probability_of_improvement(first, second, draws, other_draws, confidence=1 - 1e-12)
    assert found.value == pytest.approx(2.5 / 4)
    assert (found.low, found.high) == pytest.approx((0, 1))
    back = probability_of_improvement(second, first, other_draws, draws)
    assert back.value == pytest.approx(1 - found.value)


def test_probability_of_improvement_is_a_mean_over_tasks_however_many_runs_each_has() -> None:
    better = [np.array([5.0]), np.array([0.0, 0.0, 0.0])]
    other = [np.array([1.0, 2.0]), np.array([1.0])]
    draws, other_draws = draw_runs(better, 0), draw_runs(other, 1)
    assert probability_of_improvement(better, other, draws, other_draws) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("scores", [[], [np.array([])], [np.array([1.0, np.nan])], [np.ones((2, 2))]])
def test_scores_that_are_none_are_refused(scores: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="scores"):
        performance_profile(scores, np.array([0.0]), [])


def test_curve_leaves_out_rows_that_did_not_measure() -> None:
    rows = [
        {"global_step": 10, "eval/return": 1},
        {"global_step": 20},
        {"global_step": 30, "eval/return": float("nan")},
        {"global_step": 40, "eval/return": None},
        {"global_step": 50, "eval/return": 2.5},
    ]
    steps, values = curve(rows, "eval/return")
    assert steps.tolist() == [10, 50]
    assert values.tolist() == [1, 2.5]
    assert [len(part) for part in curve(rows, "unknown")] == [0, 0]


def test_value_at_is_the_latest_known() -> None:
    known = (np.array([10.0, 20, 40]), np.array([1.0, 2, 4]))
    values = value_at(np.array([5.0, 10, 19, 20, 39, 1000]), known)
    np.testing.assert_array_equal(values, [np.nan, 1, 1, 2, 2, 4])


def align(curves: list[tuple[np.ndarray, np.ndarray]], points: int = 200) -> tuple[np.ndarray, np.ndarray]:
    steps = common_axis([steps for steps, _ in curves], points)
    return steps, np.stack([value_at(steps, curve) for curve in curves])


def test_the_axis_keeps_to_where_every_run_was() -> None:
    first = (np.array([0.0, 10, 20, 30]), np.array([0.0, 1, 2, 3]))
    second = (np.array([5.0, 15, 25, 35]), np.array([10.0, 11, 12, 13]))
    steps, values = align([first, second])
    assert steps.tolist() == [5, 10, 15, 20, 25, 30]
    assert values.tolist() == [[0, 1, 1, 2, 2, 3], [10, 10, 11, 11, 12, 12]]


def test_the_axis_thins_long_curves_and_keeps_both_ends() -> None:
    long = (np.arange(5000.0), np.arange(5000.0))
    steps, values = align([long, long], points=100)
    assert len(steps) == 100
    assert (steps[0], steps[-1]) == (0, 4999)
    np.testing.assert_array_equal(values[0], steps)


def test_the_axis_of_runs_that_never_met_is_empty() -> None:
    steps, values = align([(np.array([1.0, 2]), np.zeros(2)), (np.array([5.0, 6]), np.zeros(2))])
    assert len(steps) == 0
    assert values.shape == (2, 0)


def test_a_common_axis_is_what_all_reported_and_no_more() -> None:
    axis = common_axis([np.array([0.5, 2.0, 9.0]), np.array([1.0, 2.0, 3.0])])
    assert axis.tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="at least one point"):
        common_axis([np.array([1.0]), np.array([])])


@pytest.mark.parametrize("runs", [3, 5, 12])
def test_a_band_is_the_bootstrap_interval_at_every_step(runs: int) -> None:
    values = np.random.default_rng(runs).normal(size=(runs, 6))
    found = band_of(np.arange(6.0), values)
    # Which run is called which does not matter to a bootstrap; the band has them in the order of their scores.
    expected = [stratified_bootstrap_interval(np.sort(column)[:, None]) for column in values.T]
    np.testing.assert_allclose([found.low, found.high], np.transpose(expected), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.center, [interquartile_mean(column) for column in values.T])


def test_a_band_of_runs_that_never_met_is_empty() -> None:
    found = band_of(np.empty(0), np.empty((4, 0)))
    assert [len(part) for part in found[:4]] == [0, 0, 0, 0]


def test_band_says_what_it_is() -> None:
    steps = np.array([1.0, 2])
    curves = [(steps, np.array([value, 2 * value])) for value in (1.0, 3.0, 8.0)]
    alone, pair, three = (band_of(*align(curves[:count])) for count in (1, 2, 3))
    assert alone.meaning == "one run"
    assert (pair.center.tolist(), pair.low.tolist(), pair.high.tolist()) == ([2, 4], [1, 2], [3, 6])
    assert "minimum" in pair.meaning
    assert three.center.tolist() == [4, 8]
    assert (three.low >= [1, 2]).all()
    assert (three.low <= three.center).all()
    assert (three.high >= three.center).all()
    assert "interquartile" in three.meaning


def test_smoothed_is_the_mean_of_a_centred_window() -> None:
    values = np.random.default_rng(0).normal(size=95)  # so the window is three to each side
    smooth = smoothed(values)
    assert smooth[0] == pytest.approx(values[:4].mean())
    assert smooth[50] == pytest.approx(values[47:54].mean())
    assert smooth[-1] == pytest.approx(values[-4:].mean())
    line = np.arange(95.0)
    np.testing.assert_allclose(smoothed(line)[3:-3], line[3:-3])  # no lag
    np.testing.assert_array_equal(smoothed(values[:29]), values[:29])


def test_smoothed_over_other_parts_of_the_curve() -> None:
    values = np.random.default_rng(0).normal(size=100)
    assert smoothed(values, 5)[50] == pytest.approx(values[40:61].mean())
    np.testing.assert_array_equal(smoothed(values[:9], 5), values[:9])


def test_summary_by_hand() -> None:
    assert summary([2.0, 4.0]) == {
        "count": 2, "mean": 3, "std": pytest.approx(2**0.5), "min": 2, "max": 4, "interquartile_mean": None,
        "interval": None,
    }  # fmt: skip
    assert summary([7.0])["std"] is None
    many = summary([1.0, 2, 3, 4])
    assert many["interquartile_mean"] == pytest.approx(2.5)
    with pytest.raises(ValueError, match="at least one"):
        summary([])
