"""The numpy form of a small Q-network and of DQN's gradient step: equal to torch's own, or not offered."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from keel.agents.dqn import DQN, DQNConfig
from keel.agents.replay import Batch
from keel.networks.backbone import CNNConfig, MLPConfig
from keel.networks.plain_q import PlainQ
from keel.networks.q_network import QNetwork

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float32)
ACTIONS = spaces.Discrete(3)


def make(dueling=False, activation="relu", **options):
    torch.manual_seed(0)
    return QNetwork(VECTOR, ACTIONS, MLPConfig(hidden=(16, 12), activation=activation), dueling=dueling, **options)


@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
class TestFunction:
    def test_values(self, dueling, activation):
        network = make(dueling, activation)
        x = np.random.default_rng(0).standard_normal((9, 5)).astype(np.float32)
        expected, _ = network(torch.from_numpy(x)[None], (), torch.zeros(1, 9).bool())
        values, _ = PlainQ(network).forward(x)
        np.testing.assert_allclose(values, expected[0, :, :, 0].detach().numpy(), rtol=1e-5, atol=1e-6)

    def test_gradient(self, dueling, activation):
        network, random = make(dueling, activation), np.random.default_rng(1)
        x, slope = (random.standard_normal((9, n)).astype(np.float32) for n in (5, 3))
        values, _ = network(torch.from_numpy(x)[None], (), torch.zeros(1, 9).bool())
        (values[0, :, :, 0] * torch.from_numpy(slope)).sum().backward()
        expected = torch.cat([parameter.grad.flatten() for parameter in network.parameters()]).numpy()
        plain = PlainQ(network)
        _, inputs = plain.forward(x)
        np.testing.assert_allclose(plain.backward(inputs, slope), expected, rtol=1e-4, atol=1e-5)

    def test_a_step_in_place_shows(self, dueling, activation):
        network = make(dueling, activation)
        plain, x = PlainQ(network), np.ones((1, 5), np.float32)
        before, _ = plain.forward(x)
        with torch.no_grad():
            network.head.advantage.layers[0].bias.add_(torch.tensor([1.0, 0.0, 0.0]))
        moved = plain.forward(x)[0] - before
        expected = [[2 / 3, -1 / 3, -1 / 3]] if dueling else [[1.0, 0.0, 0.0]]
        np.testing.assert_allclose(moved, expected, atol=1e-6)


@pytest.mark.parametrize(
    "network",
    [
        make(noisy=True),
        make(distribution="quantile", numbers=4),
        make(hidden=8),
        make(activation="silu"),
        make().double(),
        QNetwork(VECTOR, ACTIONS, MLPConfig(hidden=(300,), activation="relu")),
        QNetwork(VECTOR, ACTIONS, MLPConfig(layer_norm=True)),
        QNetwork(spaces.Box(0, 255, (36, 36, 3), np.uint8), ACTIONS, CNNConfig()),
        QNetwork(spaces.Dict(a=VECTOR, action_mask=spaces.MultiBinary(3)), ACTIONS, MLPConfig()),
    ],
)
def test_other_networks_have_no_such_form(network):
    assert not PlainQ.fits(network)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("loss", ["huber", "mse"])
@pytest.mark.parametrize("prioritised", [False, True])
def test_ten_gradient_steps_are_those_of_torch(monkeypatch, double, dueling, loss, prioritised):
    config = DQNConfig(
        double=double,
        dueling=dueling,
        loss=loss,
        prioritised=prioritised,
        batch_size=8,
        learning_rate=0.01,
        target_every=3,
    )
    random = np.random.default_rng(2)

    def batch():
        x, y = (random.standard_normal((8, 5)).astype(np.float32) for _ in range(2))
        numbers = [random.uniform(low, 1.0, 8).astype(np.float32) for low in (-5.0, 0.0, 0.1)]
        weight = numbers[2] if prioritised else np.ones(8, np.float32)
        return Batch(x, random.integers(0, 3, 8), numbers[0], numbers[1], y, weight, np.arange(8))

    batches = [batch() for _ in range(10)]
    weights, priorities = [], []
    for plain in (True, False):
        agent = DQN(
            VECTOR,
            ACTIONS,
            num_envs=1,
            total_steps=100,
            config=config,
            backbone=MLPConfig(hidden=(16, 12), activation="relu"),
            seed=0,
            device=torch.device("cpu"),
        )
        assert agent.plain is not None
        agent.plain = agent.plain if plain else None
        given = iter(batches)
        seen = []
        monkeypatch.setattr(agent.replay, "sample", lambda chance, beta, given=given: next(given))
        monkeypatch.setattr(
            agent.replay, "update_priorities", lambda index, error, seen=seen: seen.append(np.abs(error))
        )
        agent.global_step = 1_000 + 10 * config.update_every
        metrics = agent.update()
        weights.append((agent.optimiser.vector.numpy().copy(), agent.target_vector.numpy().copy(), metrics))
        priorities.append(seen if prioritised else [])
    for ours, theirs in zip(weights[0][:2], weights[1][:2], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
    assert weights[0][2] == pytest.approx(weights[1][2], rel=1e-3)
    assert len(priorities[0]) == len(priorities[1]) == (10 if prioritised else 0)
    np.testing.assert_allclose(priorities[0], priorities[1], atol=1e-4)
