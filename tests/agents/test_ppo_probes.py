"""PPO on probe worlds whose answer is known: a broken learner is seen within a second or two."""

import numpy as np
import pytest
import torch

from keel.agents.ppo import PPO, PPOConfig
from keel.envs.vector import make_vec
from keel.networks.backbone import MLPConfig
from keel.runners.loop import Loop

CPU = torch.device("cpu")


def train(env_id, steps, *, num_envs=8, **settings):
    worlds = make_vec(env_id, num_envs)
    config = {"num_steps": 32, "minibatch_size": 64, "learning_rate": 3e-3, "epochs": 8, "gae_lambda": 0.9}
    agent = PPO(
        worlds.observation_space,
        worlds.action_space,
        num_envs=num_envs,
        total_steps=steps,
        config=PPOConfig(**(config | settings)),
        backbone=MLPConfig(hidden=(32,)),
        seed=0,
        device=CPU,
    )
    loop = Loop(agent, worlds, seed=0)
    loop.start()
    loop.run(steps, lambda metrics: False)
    worlds.close()
    return agent, worlds


def values(agent, observation):
    encoded, _ = agent.network.encoder(observation)
    with torch.no_grad():
        return agent.network.estimate(encoded[None], (), torch.zeros(1, len(encoded)).bool())[0].numpy()


def greedy(agent, observation):
    batch = len(next(iter(observation.values())) if isinstance(observation, dict) else observation)
    return agent.act(observation, agent.initial_memory(batch), np.ones(batch, bool), explore=False).action


class TestProbes:
    """Worlds whose answer is known (Jones 2021, Debugging RL without the agonizing pain)."""

    def test_constant_reward(self):
        agent, worlds = train("keel/ProbeConstantReward-v0", 4_000)
        np.testing.assert_allclose(values(agent, worlds.reset(0)), 1.0, atol=0.05)

    def test_observed_reward(self):
        agent, _ = train("keel/ProbeObservedReward-v0", 6_000)
        np.testing.assert_allclose(values(agent, np.array([[-1.0], [1.0]], np.float32)), [-1.0, 1.0], atol=0.1)

    def test_delayed_reward(self):
        agent, worlds = train("keel/ProbeDelayedReward-v0", 8_000, gamma=0.5)
        np.testing.assert_allclose(values(agent, worlds.reset(0)), 0.5, atol=0.05)

    def test_truncation(self):
        """The value goes on past the limit: 1 / (1 - 0.8) = 5 everywhere, where 10 steps alone are worth 4.5."""
        agent, worlds = train("keel/ProbeTruncation-v0", 24_000, gamma=0.8)
        np.testing.assert_allclose(values(agent, worlds.reset(0)), 5.0, atol=0.15)

    def test_action_reward(self):
        agent, worlds = train("keel/ProbeActionReward-v0", 4_000)
        observation = worlds.reset(0)
        action = greedy(agent, observation)
        assert (worlds.step(action).reward == 1.0).all()

    @pytest.mark.parametrize(
        ("probe", "steps", "settings"),
        [
            ("ContextualReward", 8_000, {}),
            ("MultiDiscrete", 12_000, {}),
            ("MultiBinary", 12_000, {}),
            ("NestedObservation", 12_000, {}),
        ],
    )
    def test_the_best_action_is_taken(self, probe, steps, settings):
        agent, worlds = train(f"keel/Probe{probe}-v0", steps, **settings)
        observation, best = worlds.reset(7), 0.0
        for _ in range(20):
            step = worlds.step(greedy(agent, observation))
            observation, best = step.observation, best + float(step.reward.mean())
        assert best / 20 > 0.95

    def test_the_best_legal_action_is_taken(self):
        agent, worlds = train("keel/ProbeMaskedAction-v0", 12_000)
        for seed in range(20):
            observation = worlds.reset(seed)
            assert isinstance(observation, dict)
            best_legal = 3 - observation["action_mask"][:, ::-1].argmax(axis=1)
            np.testing.assert_array_equal(greedy(agent, observation), best_legal)

    def test_continuous_bound(self):
        agent, worlds = train("keel/ProbeContinuousBound-v0", 30_000)
        action = greedy(agent, worlds.reset(0))
        space = worlds.action_space
        distance = np.minimum(np.abs(action - space.low), np.abs(action - space.high))
        assert distance.max() < 0.1 * float((space.high - space.low).max())
        assert worlds.step(action).reward.mean() > -0.2
