"""The noise that exploration is made of."""

from __future__ import annotations

import numpy as np

from keel.envs.protocol import Array


def correlated(noise: Array, correlation: float) -> Array:
    """Standard normal noise [T ...] made to hang together along T, each step still standard normal by itself.

        z_0 = e_0,  z_t = rho z_{t-1} + sqrt(1 - rho^2) e_t

    Source: Hollenstein et al. 2024, Colored noise in PPO, which uses other spectra for the same purpose.
    """
    if correlation == 0.0:
        return noise
    result = noise.copy()
    for t in range(1, len(noise)):
        result[t] = correlation * result[t - 1] + np.sqrt(1 - correlation**2) * noise[t]
    return result
