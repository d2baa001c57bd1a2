"""Correlated noise: standard normal in every step, correlated from step to step as asked, and itself at zero."""

import numpy as np
import pytest

from keel.agents.exploration import correlated


@pytest.mark.parametrize("correlation", [0.5, 0.95])
def test_spread_and_correlation(correlation):
    noise = np.random.default_rng(0).standard_normal((40, 20_000))
    found = correlated(noise, correlation)
    np.testing.assert_allclose(found.std(axis=1), 1.0, atol=0.03)  # from the first step to the last
    for lag in (1, 3):
        measured = np.mean(found[5] * found[5 + lag])
        assert measured == pytest.approx(correlation**lag, abs=0.03)


def test_without_correlation_nothing_changes():
    noise = np.random.default_rng(0).standard_normal((5, 3))
    assert correlated(noise, 0.0) is noise


def test_the_given_noise_is_not_written_to():
    noise = np.ones((4, 2))
    correlated(noise, 0.9)
    assert (noise == 1).all()
