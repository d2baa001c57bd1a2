"""A hundred updates of DQN on given batches against Stable-Baselines3's, and against references in plain torch."""

from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
import stable_baselines3
import torch
from stable_baselines3.common import policies
from stable_baselines3.common.logger import configure
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import nn

from keel.agents.replay import Batch
from keel.networks.backbone import MLPConfig

UPDATES, ROWS, TARGET_EVERY, GAMMA, RATE = 100, 16, 7, 0.97, 1e-2


@pytest.fixture
def double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def draw(number, *, n_step=1, weighted=False):
    """Batch `number`: numbers large enough that the loss bends and some gradients are clipped, some ends."""
    random = np.random.default_rng(number)
    observation, following = random.normal(0, 20, (2, ROWS, 4))
    terminated, length = random.random(ROWS) < 0.3, random.integers(1, n_step + 1, ROWS)
    return Batch(
        observation,
        random.integers(0, 3, ROWS),
        random.normal(0, 100 if number % 3 == 0 else 1, ROWS),
        GAMMA**length * ~terminated,
        following,
        random.uniform(0.1, 1, ROWS) if weighted else np.ones(ROWS),
        np.arange(ROWS),
    )


@pytest.fixture
def make_agent(make_dqn, double_precision, monkeypatch):
    """A DQN in double precision that learns from the batches of `draw`, one each step."""

    def make(hidden=(64, 64), weighted=False, **settings):
        agent = make_dqn(
            num_envs=1,
            total_steps=10_000,
            backbone=MLPConfig(hidden=hidden, activation="relu"),
            **{
                "learning_rate": RATE,
                "learning_starts": 10,
                "update_every": 1,
                "batch_size": ROWS,
                "target_every": TARGET_EVERY,
                "gamma": GAMMA,
                "report_every": 10_000,
            }
            | settings,
        )
        agent.global_step = agent.config.learning_starts
        n_step = agent.config.n_step
        monkeypatch.setattr(
            agent.replay, "sample", lambda chance, beta: draw(agent.updates, n_step=n_step, weighted=weighted)
        )
        return agent

    return make


def learn_once(agent):
    agent.global_step += 1
    before = agent.updates
    agent.update()
    assert agent.updates == before + 1
    return agent.rows[-1]


def assert_equal(network, peer, what):
    for index, (ours, theirs) in enumerate(zip(network.parameters(), peer, strict=True)):
        torch.testing.assert_close(
            ours, theirs, rtol=0, atol=1e-9, msg=lambda text, index=index: f"{what}, parameter {index}: {text}"
        )


class TestAgainstStableBaselines3:
    """The settings of Mnih et al. 2015, all weights and all target weights after each of the updates."""

    @pytest.mark.parametrize("mix", [1.0, 0.1])
    def test_every_update_gives_the_same_weights(self, mix, make_agent, monkeypatch):
        plain = {"double": False, "dueling": False, "n_step": 1, "prioritised": False, "loss": "huber"}
        agent = make_agent(**plain, target_mix=mix, adam_epsilon=1e-8, max_gradient_norm=10.0)
        peer = self.peer_of(agent, mix, monkeypatch)
        start = [parameter.detach().clone() for parameter in agent.network.parameters()]
        clipped = 0
        for number in range(UPDATES):
            batch = draw(number)
            column = [torch.from_numpy(part).reshape(-1, 1) for part in (batch.action, batch.return_)]
            ended = torch.from_numpy((batch.discount == 0).astype(float)).reshape(-1, 1)
            samples = ReplayBufferSamples(
                torch.from_numpy(batch.observation), column[0], torch.from_numpy(batch.next_observation), ended,
                column[1],
            )  # fmt: skip
            monkeypatch.setattr(peer.replay_buffer, "sample", lambda size, env, samples=samples: samples)
            peer.train(gradient_steps=1, batch_size=ROWS)
            peer._on_step()
            row = learn_once(agent)
            assert row[0].item() == pytest.approx(peer.logger.name_to_value["train/loss"], rel=1e-9)
            clipped += int(row[3] > 10)
            assert_equal(agent.network, peer.q_net.parameters(), f"update {number}")
            assert_equal(agent.target, peer.q_net_target.parameters(), f"target {number}")
        assert 0 < clipped < UPDATES
        moved = [(a - b).abs().max().item() for a, b in zip(agent.network.parameters(), start, strict=True)]
        assert min(moved) > 0.05

    def peer_of(self, agent, mix, monkeypatch):
        monkeypatch.setattr(
            policies, "preprocess_obs", lambda observation, *_, **__: observation
        )  # no single precision
        world = gymnasium.make("CartPole-v1")
        world.action_space = agent.network.actions.space
        peer = stable_baselines3.DQN(
            "MlpPolicy",
            world,
            learning_rate=RATE,
            gamma=GAMMA,
            tau=mix,
            target_update_interval=TARGET_EVERY,
            max_grad_norm=10,
            buffer_size=10,
        )
        peer.set_logger(configure(None, []))
        for ours, theirs in zip(agent.network.parameters(), peer.q_net.parameters(), strict=True):
            theirs.data.copy_(ours.detach())
        peer.q_net_target.load_state_dict(peer.q_net.state_dict())
        assert_equal(agent.target, peer.q_net_target.parameters(), "at the start")
        return peer


class TestAgainstPlainTorch:
    """Networks, targets and losses written out in a few lines, torch's own Adam and clipping."""

    def test_double_dueling_n_step_with_weights(self, make_agent, monkeypatch):
        """van Hasselt et al. 2016: r + d Q'(s', argmax Q(s', a)); Wang et al. 2016; weights of Schaul et al. 2016."""
        agent = make_agent(weighted=True, double=True, dueling=True, n_step=3, prioritised=True, max_gradient_norm=5.0)
        told = []
        monkeypatch.setattr(agent.replay, "update_priorities", lambda index, error: told.append((index, error)))
        here = self.copy_of(agent)
        there, adam = self.copy_of(agent), torch.optim.Adam(here.parameters(), RATE)
        differ = 0
        for number in range(UPDATES):
            batch = SimpleNamespace(**{
                name: torch.from_numpy(part) for name, part in draw(number, n_step=3, weighted=True)._asdict().items()
            })  # fmt: skip
            rows = torch.arange(ROWS)
            with torch.no_grad():
                best, other = here(batch.next_observation).argmax(1), there(batch.next_observation).argmax(1)
                target = batch.return_ + batch.discount * there(batch.next_observation)[rows, best]
            differ += int((best != other).any())
            value = here(batch.observation)[rows, batch.action]
            loss = (batch.weight * nn.functional.huber_loss(value, target, reduction="none")).mean()
            adam.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(here.parameters(), 5.0)
            adam.step()
            if (number + 1) % TARGET_EVERY == 0:
                there.load_state_dict(here.state_dict())
            learn_once(agent)
            assert_equal(agent.network, here.parameters(), f"update {number}")
            assert_equal(agent.target, there.parameters(), f"target {number}")
            index, error = told[-1]
            assert index.tolist() == list(range(ROWS))
            np.testing.assert_allclose(abs(error), (value - target).detach().abs().numpy(), rtol=0, atol=1e-9)
        assert differ > UPDATES // 4  # else it would not matter who chooses

    def copy_of(self, agent):
        peer = Dueling()
        for ours, theirs in zip(agent.network.parameters(), peer.parameters(), strict=True):
            theirs.data.copy_(ours.detach())
        return peer


class Dueling(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.advantage, self.value = nn.Linear(64, 3), nn.Linear(64, 1)

    def forward(self, x):
        x = self.body(x)
        advantage = self.advantage(x)
        return self.value(x) + advantage - advantage.mean(dim=1, keepdim=True)


@pytest.mark.parametrize("distribution", ["categorical", "quantile"])
@pytest.mark.parametrize("double", [False, True])
def test_the_targets_of_distributions(distribution, double, make_agent, monkeypatch):
    """The distribution of the chosen next action is what is moved; who chooses is told apart by the mean values."""
    agent = make_agent(
        double=double, dueling=False, distribution=distribution, atoms=5, lowest_value=-2.0, highest_value=2.0
    )
    with torch.no_grad():
        for number, network in enumerate((agent.network, agent.target)):
            chance = torch.Generator().manual_seed(number)
            for parameter in network.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=chance) / parameter.shape[-1] ** 0.5)
    batch, support = draw(1), torch.linspace(-2, 2, 5)
    following = torch.from_numpy(batch.next_observation)

    def numbers(network):
        x = following
        for layer in network.backbone.layers:
            x = layer(x)
        return network.head.advantage.layers[0](x).reshape(ROWS, 3, 5)

    def means(numbers):
        return (numbers.softmax(-1) * support).sum(-1) if distribution == "categorical" else numbers.mean(-1)

    with torch.no_grad():
        there, here = numbers(agent.target), numbers(agent.network)
        chooser = means(here if double else there).argmax(-1)
        assert (means(here).argmax(-1) != means(there).argmax(-1)).any()
        chosen = there[torch.arange(ROWS), chooser].numpy()
    found = agent._target(
        batch.next_observation, torch.from_numpy(batch.return_), torch.from_numpy(batch.discount), None, None
    )
    moved = batch.return_[:, None] + batch.discount[:, None] * (
        support.numpy() if distribution == "categorical" else chosen
    )
    if distribution == "quantile":
        np.testing.assert_allclose(found.numpy(), moved, rtol=0, atol=1e-12)
        return
    chance = np.exp(chosen) / np.exp(chosen).sum(axis=1, keepdims=True)
    near = np.clip(1 - abs(np.clip(moved, -2, 2)[:, :, None] - support.numpy()), 0, 1)  # the spacing is 1
    np.testing.assert_allclose(found.numpy(), np.einsum("nj,nji->ni", chance, near), rtol=0, atol=1e-12)
