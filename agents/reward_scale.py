"""Rewards scaled by the spread of the discounted return, so that one learning rate fits many worlds."""

from __future__ import annotations

import numpy as np

from keel.envs.protocol import Array, State

LIMIT = 10.0


class RewardScale:
    """Divides rewards by the running standard deviation of R_t = gamma R_{t-1} + r_t.

    Source: Engstrom et al. 2020, Implementation matters in deep policy gradients, appendix A.2 (without centring).
    """

    def __init__(self, num_envs: int, gamma: float) -> None:
        self.gamma = gamma
        self.return_ = np.zeros(num_envs)
        self.mean = 0.0
        self.variance = 1.0
        self.count = 0.0

    def __call__(self, reward: Array, done: Array) -> Array:
        """Take in a rollout of rewards [T B] and of episode ends [T B], and return the rewards scaled and cut to ±10."""
        returns = np.empty_like(reward)
        for t in range(len(reward)):
            self.return_ = self.return_ * self.gamma + reward[t]
            returns[t] = self.return_
            self.return_[done[t]] = 0.0
        self._merge(returns)
        return np.clip(reward / np.sqrt(self.variance + 1e-8), -LIMIT, LIMIT)

    def _merge(self, batch: Array) -> None:
        total = self.count + batch.size
        difference = float(batch.mean()) - self.mean
        spread = self.variance * self.count + float(batch.var()) * batch.size
        spread += difference**2 * self.count * batch.size / total
        self.mean += difference * batch.size / total
        self.variance = spread / total
        self.count = total

    def state_dict(self) -> State:
        return {"return": self.return_.copy(), "mean": self.mean, "variance": self.variance, "count": self.count}

    def load_state_dict(self, state: State) -> None:
        self.return_ = np.array(state["return"])
        self.mean, self.variance, self.count = state["mean"], state["variance"], state["count"]
