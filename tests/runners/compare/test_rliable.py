"""Statistics of a comparison beside rliable's, on the same scores and, where chance plays a part, the same draws."""

from __future__ import annotations

import numpy as np
import pytest

from keel.envs.protocol import Array
from keel.runners.seed_statistics import (
    band_of,
    bootstrap_interval,
    draw_runs,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
)

metrics = pytest.importorskip("rliable.metrics", reason="the oracle rliable is not installed (extra oracles)")
with pytest.MonkeyPatch.context() as patch:
    # arch, which rliable resamples with, decorates models of volatility with a tool that pandas 3 changed; none is used.
    patch.setattr("pandas.util._decorators.deprecate_kwarg", lambda *_, **__: lambda function: function)
    library = pytest.importorskip("rliable.library")

EXACT = 1e-9
RESAMPLES = 200


def scores_of(runs: int, tasks: int, seed: int, ties: bool = False) -> Array:
    scores = np.random.default_rng(seed).gamma(2.0, 50.0, size=(runs, tasks))
    return np.round(scores / 40) if ties else scores


def rliable_draws(shapes: list[tuple[int, int]], seed: int, resamples: int = RESAMPLES) -> list[list[Array]]:
    """What rliable draws after `numpy.random.seed(seed)`: for each array, and in it for each task, [resamples, runs]."""
    stream = np.random.RandomState(seed)
    drawn = [[stream.choice(shape[0], shape, replace=True) for shape in shapes] for _ in range(resamples)]
    stacked = [np.stack([once[index] for once in drawn]) for index in range(len(shapes))]
    return [list(np.moveaxis(chosen, 2, 0)) for chosen in stacked]


@pytest.mark.parametrize(("runs", "tasks"), [(3, 1), (5, 2), (10, 4), (23, 3)])
def test_interquartile_mean_and_its_interval(runs: int, tasks: int) -> None:
    scores = scores_of(runs, tasks, seed=runs)
    np.random.seed(1)
    points, intervals = library.get_interval_estimates(
        {"a": scores}, lambda x: np.array([metrics.aggregate_iqm(x)]), reps=RESAMPLES
    )
    (draws,) = rliable_draws([(runs, tasks)], 1)
    assert interquartile_mean(scores) == pytest.approx(points["a"][0], abs=EXACT)
    assert bootstrap_interval(list(scores.T), draws) == pytest.approx(intervals["a"][:, 0], abs=EXACT)


def test_interval_with_own_draws_is_within_monte_carlo_error() -> None:
    scores = scores_of(10, 3, seed=5)
    np.random.seed(0)
    _, intervals = library.get_interval_estimates(
        {"a": scores}, lambda x: np.array([metrics.aggregate_iqm(x)]), reps=4000
    )
    tasks = list(scores.T)
    ends = np.array([bootstrap_interval(tasks, draw_runs(tasks, seed)) for seed in range(20)])
    # The ends of 2000 resamples scatter with `spread`, those of rliable's 4000 with less: four of them together.
    spread = ends.std(axis=0)
    assert (np.abs(ends.mean(axis=0) - intervals["a"][:, 0]) < 4 * spread).all()
    assert (spread < 0.05 * np.diff(intervals["a"][:, 0])).all()


@pytest.mark.parametrize(("runs", "tasks", "ties"), [(5, 1, False), (8, 3, False), (8, 3, True)])
def test_performance_profile_with_its_band(runs: int, tasks: int, ties: bool) -> None:
    scores = scores_of(runs, tasks, seed=2, ties=ties)
    thresholds = np.unique(np.concatenate([scores.ravel(), np.linspace(0, 300, 20)]))  # ties with scores among them
    np.random.seed(7)
    profiles, bands = library.create_performance_profile({"a": scores}, thresholds, reps=RESAMPLES)
    (draws,) = rliable_draws([(runs, tasks)], 7)
    found = performance_profile(list(scores.T), thresholds, draws)
    np.testing.assert_allclose(found.share, profiles["a"], rtol=0, atol=EXACT)
    np.testing.assert_allclose([found.low, found.high], bands["a"], rtol=0, atol=EXACT)


@pytest.mark.parametrize("ties", [False, True])
def test_probability_of_improvement_with_its_interval(ties: bool) -> None:
    first, second = scores_of(7, 3, seed=3, ties=ties), scores_of(5, 3, seed=4, ties=ties) * 0.8
    np.random.seed(11)
    points, intervals = library.get_interval_estimates(
        {"a,b": [first, second]},
        lambda x, y: np.array([metrics.probability_of_improvement(x, y)]),
        reps=RESAMPLES,
    )
    draws, other_draws = rliable_draws([first.shape, second.shape], 11)
    found = probability_of_improvement(list(first.T), list(second.T), draws, other_draws)
    assert found.value == pytest.approx(metrics.probability_of_improvement(first, second), abs=EXACT)
    assert found.value == pytest.approx(points["a,b"][0], abs=EXACT)
    assert (found.low, found.high) == pytest.approx(intervals["a,b"][:, 0], abs=EXACT)


def test_a_curve_s_band_holds_rliable_s_mean_of_every_resample() -> None:
    """A band is a product of matrices; this is what it stands for: the same draws at every step, one by one."""
    values = np.sort(scores_of(6, 9, seed=8), axis=0)  # in order, as `band_of` puts them
    band = band_of(np.arange(9.0), values)
    (chosen,) = draw_runs([np.zeros(6)])
    resampled = [[metrics.aggregate_iqm(values[drawn, step]) for drawn in chosen] for step in range(9)]
    expected = np.percentile(np.array(resampled), [2.5, 97.5], axis=1)
    np.testing.assert_allclose([band.low, band.high], expected, rtol=0, atol=EXACT)
