"""Reward scaling against Stable-Baselines3's VecNormalize and against itself in pieces."""

import numpy as np

from keel.agents.reward_scale import RewardScale


def spread_of_returns(reward, done, gamma):
    returns, carried = [], np.zeros(reward.shape[1])
    for r, d in zip(reward, done, strict=True):
        carried = gamma * carried + r
        returns.append(carried.copy())
        carried[d] = 0
    return np.std(returns)


def test_divides_by_the_spread_of_the_discounted_return():
    random = np.random.default_rng(0)
    reward, done = random.normal(3, 2, size=(200, 4)), random.random((200, 4)) < 0.05
    scaled = RewardScale(4, 0.9)(reward, done)
    np.testing.assert_allclose(scaled, np.clip(reward / spread_of_returns(reward, done, 0.9), -10, 10), rtol=1e-6)


def test_pieces_give_the_same_statistics_as_the_whole():
    random = np.random.default_rng(1)
    reward, done = random.normal(size=(90, 3)), random.random((90, 3)) < 0.1
    whole, pieces = RewardScale(3, 0.99), RewardScale(3, 0.99)
    whole(reward, done)
    for start in range(0, 90, 30):
        pieces(reward[start : start + 30], done[start : start + 30])
    np.testing.assert_allclose(pieces.variance, whole.variance)
    np.testing.assert_allclose(pieces.return_, whole.return_)


def test_state_continues_exactly():
    random = np.random.default_rng(2)
    reward, done = random.normal(size=(60, 2)), random.random((60, 2)) < 0.1
    straight, first, second = (RewardScale(2, 0.95) for _ in range(3))
    straight(reward[:30], done[:30])
    first(reward[:30], done[:30])
    second.load_state_dict(first.state_dict())
    np.testing.assert_array_equal(second(reward[30:], done[30:]), straight(reward[30:], done[30:]))
