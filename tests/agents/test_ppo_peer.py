"""One whole update of PPO against Stable-Baselines3's, on the same tensors and weights."""

import gymnasium
import numpy as np
import pytest
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common import policies
from torch import nn

from keel.agents import ppo as ppo_module


class TestAgainstStableBaselines3:
    """One whole update on the same tensors and weights, in float64."""

    @pytest.mark.parametrize("actions", [spaces.Discrete(3), spaces.Box(-1, 1, (2,), np.float32)])
    def test_one_update_gives_the_same_weights(self, actions, monkeypatch, make_agent, gather):
        torch.set_default_dtype(torch.float64)
        try:
            settings = {"learning_rate": 1e-2, "entropy_coefficient": 0.01, "clip_range": 0.1, "epochs": 3}
            agent = make_agent(action_space=actions, **settings)
            for parameter in agent.network.parameters():
                nn.init.normal_(parameter, std=0.3)
            finals = gather(agent)
            assert agent.rollout.sample is not None
            agent.rollout.sample = agent.rollout.sample.astype(np.float32).astype(
                agent.rollout.sample.dtype
            )  # as SB3 does
            peer = self.peer_with_the_same(agent, finals, monkeypatch)
            orders = [np.random.default_rng(i).permutation(64) for i in range(3)]
            left = iter(orders)
            monkeypatch.setattr(np.random, "permutation", lambda count: next(left))
            monkeypatch.setattr(ppo_module, "generator", lambda *path: SameOrder(orders, agent.num_envs))
            peer.train()
            agent.update()
        finally:
            torch.set_default_dtype(torch.float32)
        for name, ours, theirs in matching_parameters(agent, peer):
            assert (ours - theirs).abs().max() < 1e-9, name

    def peer_with_the_same(self, agent, finals, monkeypatch):
        monkeypatch.setattr(policies, "preprocess_obs", lambda observation, *_, **__: observation.double())
        lent = agent.network.encoder.space, agent.network.actions.space
        config, rollout = agent.config, agent.rollout
        peer = stable_baselines3.PPO(
            "MlpPolicy",
            stable_baselines3.common.vec_env.DummyVecEnv(
                [lambda: Spaces(gymnasium.make("CartPole-v1"), *lent)] * agent.num_envs
            ),
            n_steps=config.num_steps,
            batch_size=config.minibatch_size,
            n_epochs=config.epochs,
            learning_rate=config.learning_rate,
            ent_coef=config.entropy_coefficient,
            clip_range=config.clip_range,
        )
        for _, ours, theirs in matching_parameters(agent, peer):
            theirs.data = ours.detach().clone()
        peer._logger = stable_baselines3.common.logger.configure(None, [])
        with torch.no_grad():
            value = peer.policy.predict_values(torch.from_numpy(rollout.observation.reshape(-1, 4)))
            final_value = peer.policy.predict_values(torch.from_numpy(finals.reshape(-1, 4)))
            shape = rollout.observation.shape[:2]
            value, final_value = value.reshape(shape).numpy(), final_value.reshape(rollout.reward.shape).numpy()
            sample = torch.from_numpy(rollout.sample[:-1].reshape(shape[0] * shape[1] - shape[1], -1)).squeeze(-1)
            states = torch.from_numpy(rollout.observation[:-1].reshape(-1, 4))
            log_prob = peer.policy.get_distribution(states).log_prob(sample)
        buffer = peer.rollout_buffer
        buffer.reset()
        buffer.observations = rollout.observation[:-1].astype(np.float64)
        buffer.actions = rollout.sample[:-1].reshape(buffer.actions.shape).astype(np.float64)
        buffer.rewards = rollout.reward + config.gamma * final_value * rollout.truncated
        buffer.episode_starts = rollout.is_first[:-1].astype(np.float64)
        buffer.values = value[:-1]
        buffer.log_probs = log_prob.numpy().reshape(rollout.reward.shape)
        buffer.advantages = np.zeros_like(buffer.values)
        buffer.compute_returns_and_advantage(torch.from_numpy(value[-1]), rollout.is_first[-1].astype(np.float64))
        buffer.full = True
        return peer


class Spaces(gymnasium.Wrapper):
    """A world that only lends its spaces."""

    def __init__(self, env, observation_space, action_space):
        super().__init__(env)
        self.observation_space, self.action_space = observation_space, action_space


class SameOrder:
    """SB3 numbers the steps world by world, Keel time by time: the same minibatches in both."""

    def __init__(self, orders, worlds):
        self.left, self.worlds = iter(orders), worlds

    def permutation(self, count):
        order = next(self.left)
        steps = count // self.worlds
        return (order % steps) * self.worlds + order // steps


def matching_parameters(agent, peer):
    network, policy = agent.network, peer.policy
    pairs = [
        *zip(network.actor.parameters(), policy.mlp_extractor.policy_net.parameters(), strict=True),
        *zip(network.critic.parameters(), policy.mlp_extractor.value_net.parameters(), strict=True),
        *zip(network.policy.linear.parameters(), policy.action_net.parameters(), strict=True),
        *zip(network.value.parameters(), policy.value_net.parameters(), strict=True),
    ]
    if network.policy.log_std is not None:
        pairs.append((network.policy.log_std, policy.log_std))
    return [(str(index), ours, theirs) for index, (ours, theirs) in enumerate(pairs)]
