"""Advantages and lambda returns against their definitions written out as sums, hand numbers and Stable-Baselines3."""

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import RolloutBuffer

from keel.agents.returns import explained_variance, gae, lambda_returns


def by_definition(reward, value, next_value, terminated, truncated, gamma, gae_lambda):
    """A_t = sum over k of (gamma lambda)^k delta_{t+k}, up to the end of the episode."""
    td_error = reward + gamma * next_value * (1 - terminated) - value
    advantage = np.zeros_like(td_error)
    for b in range(reward.shape[1]):
        for t in range(len(reward)):
            for k in range(t, len(reward)):
                advantage[t, b] += (gamma * gae_lambda) ** (k - t) * td_error[k, b]
                if terminated[k, b] or truncated[k, b]:
                    break
    return advantage


@st.composite
def rollouts(draw):
    steps, worlds = draw(st.integers(1, 12)), draw(st.integers(1, 3))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    reward, value, next_value = random.normal(size=(3, steps, worlds))
    ends = random.choice(3, size=(steps, worlds), p=[0.6, 0.2, 0.2])
    return reward, value, next_value, ends == 1, ends == 2


@given(rollouts(), st.floats(0, 1), st.floats(0, 1))
def test_gae_is_the_discounted_sum_within_the_episode(rollout, gamma, gae_lambda):
    found = gae(*rollout, gamma=gamma, gae_lambda=gae_lambda)
    np.testing.assert_allclose(found, by_definition(*rollout, gamma, gae_lambda), atol=1e-9)


@given(rollouts(), st.floats(0, 1))
def test_lambda_0_is_the_td_error(rollout, gamma):
    reward, value, next_value, terminated, truncated = rollout
    expected = reward + gamma * next_value * ~terminated - value
    found = gae(reward, value, next_value, terminated, truncated, gamma=gamma, gae_lambda=0.0)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_hand_numbers():
    """Three steps, the second truncated, the third terminated; gamma 0.5, lambda 0.5."""
    column = [np.array(x)[:, None] for x in ([1.0, 2.0, 3.0], [0.0, 1.0, 2.0], [1.0, 8.0, 99.0])]
    terminated, truncated = (np.array(x, bool)[:, None] for x in ([0, 0, 1], [0, 1, 0]))
    # deltas: 1 + 0.5 * 1 - 0 = 1.5; 2 + 0.5 * 8 - 1 = 5 (the value goes on); 3 - 2 = 1 (it does not)
    found = gae(*column, terminated, truncated, gamma=0.5, gae_lambda=0.5)
    np.testing.assert_allclose(found[:, 0], [1.5 + 0.25 * 5.0, 5.0, 1.0])


@pytest.mark.parametrize("seed", range(3))
def test_equals_stable_baselines3(seed):
    """SB3 adds gamma * V(final) to the reward of a truncated step; the advantages are the same."""
    random = np.random.default_rng(seed)
    steps, worlds, gamma, gae_lambda = 16, 3, 0.97, 0.9
    reward, value, final_value = random.normal(size=(3, steps, worlds))
    last_value = random.normal(size=worlds)
    ends = random.choice(3, size=(steps, worlds), p=[0.8, 0.1, 0.1])
    terminated, truncated = ends == 1, ends == 2
    done = terminated | truncated
    next_value = np.where(truncated, final_value, np.vstack([value[1:], last_value]))
    found = gae(reward, value, next_value, terminated, truncated, gamma=gamma, gae_lambda=gae_lambda)

    space = gymnasium.spaces.Box(-1, 1, (1,))
    buffer = RolloutBuffer(steps, space, space, gae_lambda=gae_lambda, gamma=gamma, n_envs=worlds)
    buffer.rewards = reward + gamma * final_value * truncated
    buffer.values = value
    buffer.episode_starts = np.vstack([np.ones(worlds), done[:-1]]).astype(float)
    buffer.advantages = np.zeros((steps, worlds))
    buffer.compute_returns_and_advantage(torch.as_tensor(last_value), done[-1])
    np.testing.assert_allclose(found, buffer.advantages, atol=1e-12)


class TestLambdaReturns:
    """The lambda return is a mean of n-step returns, which are written out here one by one."""

    @staticmethod
    def n_step(reward, next_value, terminated, truncated, gamma, t, n):
        """Up to n rewards of one world and what follows, and whether episode or rollout ended on the way."""
        total = 0.0
        for k in range(n):
            total += gamma**k * reward[t + k]
            if terminated[t + k]:
                return total, True
            if k + 1 == n or truncated[t + k] or t + k + 1 == len(reward):
                cut = bool(truncated[t + k]) or t + k + 1 == len(reward)
                return total + gamma ** (k + 1) * next_value[t + k], cut
        raise AssertionError

    def by_definition(self, reward, next_value, terminated, truncated, gamma, lambda_):
        """(1 - lambda) sum over n of lambda^(n-1) G^(n), where the last of the n has all the weight that is left."""
        result = np.zeros_like(reward)
        for t, b in np.ndindex(reward.shape):
            column = [part[:, b] for part in (reward, next_value, terminated, truncated)]
            weight, ended, n = 1.0, False, 0
            while not ended:
                n += 1
                return_, ended = self.n_step(*column, gamma, t, n)
                share = weight if ended else weight * (1 - lambda_)
                result[t, b] += share * return_
                weight -= share
        return result

    @given(rollouts(), st.floats(0, 1), st.floats(0, 1))
    @settings(deadline=None)
    def test_equals_the_mean_of_n_step_returns(self, rollout, gamma, lambda_):
        reward, _, *others = rollout
        found = lambda_returns(reward, *others, gamma=gamma, lambda_=lambda_)
        np.testing.assert_allclose(found, self.by_definition(reward, *others, gamma, lambda_), atol=1e-9)

    @given(rollouts(), st.floats(0, 1))
    @settings(deadline=None)
    def test_lambda_0_is_one_step(self, rollout, gamma):
        reward, _, next_value, terminated, truncated = rollout
        found = lambda_returns(reward, next_value, terminated, truncated, gamma=gamma, lambda_=0.0)
        np.testing.assert_allclose(found, reward + gamma * next_value * ~terminated, atol=1e-12)

    @given(rollouts(), st.floats(0, 1))
    @settings(deadline=None)
    def test_lambda_1_is_monte_carlo_to_the_cut(self, rollout, gamma):
        reward, _, next_value, terminated, truncated = rollout
        found = lambda_returns(reward, next_value, terminated, truncated, gamma=gamma, lambda_=1.0)
        for b in range(reward.shape[1]):
            column = [part[:, b] for part in (reward, next_value, terminated, truncated)]
            for t in range(len(reward)):
                expected, _ = self.n_step(*column, gamma, t, len(reward) - t)
                assert found[t, b] == pytest.approx(expected, abs=1e-9)

    def test_hand_numbers(self):
        """Four steps, the second truncated, the third terminated; gamma 0.5, lambda 0.5; values 4, 8, 99, 2."""
        column = [np.array(x, float)[:, None] for x in ([1, 2, 3, 4], [4, 8, 99, 2])]
        terminated, truncated = (np.array(x, bool)[:, None] for x in ([0, 0, 1, 0], [0, 1, 0, 0]))
        found = lambda_returns(*column, terminated, truncated, gamma=0.5, lambda_=0.5)
        # 4 + 0.5 * 2; 3; 2 + 0.5 * 8; 1 + 0.5 * (0.5 * 4 + 0.5 * 6)
        assert found[:, 0].tolist() == [3.5, 6.0, 3.0, 5.0]

    def test_both_ends_at_once_is_an_end(self):
        one = np.ones((1, 1), bool)
        found = lambda_returns(np.array([[2.0]]), np.array([[50.0]]), one, one, gamma=0.9, lambda_=0.7)
        assert found.tolist() == [[2.0]]


def test_explained_variance():
    target = np.array([1.0, 2.0, 3.0, 4.0])
    assert explained_variance(target, target) == 1.0
    assert explained_variance(np.full(4, 2.5), target) == 0.0
    assert explained_variance(-target, target) == pytest.approx(-3.0)
    assert explained_variance(target, np.ones(4)) == 0.0
