"""Returns and advantages: arrays in, arrays out. Axes are time T and world B; flags at t belong to what followed the
action at t."""

from __future__ import annotations

import numpy as np

from keel.envs.protocol import Array


def gae(
    reward: Array,
    value: Array,
    next_value: Array,
    terminated: Array,
    truncated: Array,
    *,
    gamma: float,
    gae_lambda: float,
) -> Array:
    """Generalised advantage estimates.

        delta_t = r_t + gamma * (1 - terminated_t) * next_value_t - value_t
        A_t     = delta_t + gamma * lambda * (1 - terminated_t) * (1 - truncated_t) * A_{t+1}

    Termination ends all value; truncation only ends the sum, and the value goes on in `next_value`.

    Args:
        reward, value, terminated, truncated: [T B].
        next_value: [T B] value of the observation that followed, of the same episode: the final one where it ended.

    Returns:
        [T B] advantages; plus `value` they are the lambda returns.

    Source: Schulman et al. 2016, High-dimensional continuous control using generalized advantage estimation, eq. 16;
        truncation as in Pardo et al. 2018, Time limits in reinforcement learning, eq. 6.
    """
    td_error = reward + gamma * next_value * ~terminated - value
    decay = (gamma * gae_lambda) * ~(terminated | truncated)
    advantage = np.empty_like(td_error)
    carried = np.zeros_like(td_error[0])
    for t in range(len(td_error) - 1, -1, -1):
        carried = td_error[t] + decay[t] * carried
        advantage[t] = carried
    return advantage


def lambda_returns(
    reward: Array,
    next_value: Array,
    terminated: Array,
    truncated: Array,
    *,
    gamma: float,
    lambda_: float,
) -> Array:
    """Lambda returns of greedy values, cut where exploration is not (Peng's).

        G_t = r_t + gamma * ((1 - lambda) * V_{t+1} + lambda * G_{t+1}),  V = max_a Q

    Where the world terminated, G_t = r_t; where the episode was truncated, and after the last step, G_{t+1} is V_{t+1}.

    Args:
        reward, terminated, truncated: [T B].
        next_value: [T B] greedy value of the observation that followed, of the same episode.

    Returns:
        [T B].

    Source: Peng and Williams 1996, Incremental multi-step Q-learning; as in Gallici et al. 2024, eq. 8.
    """
    following = np.where(terminated, 0.0, next_value)
    goes_on = lambda_ * ~(terminated | truncated)
    result = np.empty_like(reward)
    carried = following[-1]
    for t in range(len(reward) - 1, -1, -1):
        carried = reward[t] + gamma * (following[t] + goes_on[t] * (carried - following[t]))
        result[t] = carried
    return result


def explained_variance(estimate: Array, target: Array) -> float:
    """1 - Var(target - estimate) / Var(target): 1 is perfect, 0 no better than the mean; 0 for a constant target."""
    variance = float(np.var(target))
    return 1.0 - float(np.var(target - estimate)) / variance if variance > 0 else 0.0
