"""The values that DQN and its kin, and PQN, learn in probe worlds whose answer is known: a broken learner is seen
within a second. What they do there: test_dqn_probe_actions.py."""

import numpy as np
import pytest
import torch

from keel.agents.dqn import DQN, DQNConfig
from keel.agents.pqn import PQN, PQNConfig
from keel.agents.schedule import Schedule
from keel.envs.vector import make_vec
from keel.networks.backbone import MLPConfig
from keel.runners.loop import Loop

KINDS = {
    "dqn": {"double": True, "dueling": True, "n_step": 3},
    "2015": {"double": False, "dueling": False, "n_step": 1},
    "rainbow": {
        "prioritised": True,
        "distribution": "categorical",
        "lowest_value": -2.0,
        "highest_value": 6.0,
        "atoms": 33,
        "noisy": True,
        "epsilon": Schedule(0.0, 0.0),
    },
    "quantile": {"distribution": "quantile", "atoms": 8, "prioritised": True},
}
ALL = pytest.mark.parametrize("kind", [*KINDS, "pqn"])
DQN_SETTINGS = {
    "learning_starts": 200,
    "batch_size": 32,
    "update_every": 8,
    "target_every": 10,
    "replay_capacity": 2_000,
    "epsilon": Schedule(1.0, 0.1, 0.5),
}
PQN_SETTINGS = {"num_steps": 16, "minibatch_size": 64, "epochs": 4, "epsilon": Schedule(1.0, 0.1)}
RATE = {"learning_rate": 2e-2, "learning_rate_schedule": "linear"}


def train(kind, probe, steps, activation="tanh", seed=0, **settings):
    """Where the observation is always 0, rectified units would all be at their bend."""
    settings = RATE | settings
    worlds = make_vec(f"keel/Probe{probe}-v0", 8)
    common = {"num_envs": 8, "total_steps": steps, "seed": seed, "device": torch.device("cpu")}
    spaces = worlds.observation_space, worlds.action_space
    if kind == "pqn":
        backbone = MLPConfig(hidden=(32,), activation=activation, layer_norm=True)
        agent = PQN(*spaces, config=PQNConfig(**(PQN_SETTINGS | settings)), backbone=backbone, **common)
    else:
        config = DQNConfig(**(DQN_SETTINGS | KINDS[kind] | settings))
        agent = DQN(*spaces, config=config, backbone=MLPConfig(hidden=(32,), activation=activation), **common)
    loop = Loop(agent, worlds, seed=seed)
    loop.start()
    loop.run(steps, lambda metrics: False)
    worlds.close()
    return agent, worlds


def values(agent, observation):
    """Of every action [B A]."""
    encoded, _ = agent.network.encoder(observation)
    with torch.no_grad():
        numbers, _ = agent.network(encoded[None], (), torch.zeros(1, len(encoded)).bool())
        return agent.network.values(numbers[0]).numpy()


def numbers(*rows):
    return np.array(rows, np.float32)


@ALL
class TestValues:
    def test_constant_reward(self, kind):
        agent, _ = train(kind, "ConstantReward", 1_500)
        np.testing.assert_allclose(values(agent, numbers([0.0])), [[1.0]], atol=0.05)

    def test_observed_reward(self, kind):
        agent, _ = train(kind, "ObservedReward", 1_500)
        np.testing.assert_allclose(values(agent, numbers([-1.0], [1.0])), [[-1.0], [1.0]], atol=0.1)

    def test_delayed_reward(self, kind):
        agent, _ = train(kind, "DelayedReward", 1_500, gamma=0.5)
        np.testing.assert_allclose(values(agent, numbers([0.0], [1.0])), [[0.5], [1.0]], atol=0.05)

    def test_truncation(self, kind):
        """The value goes on past the limit: 1 / (1 - 0.8) = 5 everywhere, where 10 steps alone are worth 4.5."""
        agent, _ = train(kind, "Truncation", 3_000, gamma=0.8)
        np.testing.assert_allclose(values(agent, numbers([0.0])), [[5.0]], atol=0.15)

    def test_autoreset(self, kind):
        agent, _ = train(kind, "Autoreset", 2_000, "relu", gamma=0.5)
        seen = numbers([-1.0, 0.0], [-1.0, 0.5], [1.0, 0.0], [1.0, 0.5])
        np.testing.assert_allclose(values(agent, seen), [[-0.5], [-1.0], [0.5], [1.0]], atol=0.1)
