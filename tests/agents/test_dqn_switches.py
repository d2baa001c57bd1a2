"""Every combination of DQN's switches learns; priorities are the errors; nothing mixes devices."""

import copy
import itertools

import numpy as np
import pytest
import torch
from gymnasium import spaces

from keel.agents.dqn import categorical_loss, categorical_projection, quantile_loss, td_loss
from keel.agents.replay import FrameStack
from keel.envs.protocol import Step
from keel.networks.backbone import CNNConfig

SWITCHES = {
    "double": (False, True),
    "dueling": (False, True),
    "n_step": (1, 3),
    "prioritised": (False, True),
    "distribution": ("none", "categorical", "quantile"),
    "noisy": (False, True),
}
COMBINATIONS = [dict(zip(SWITCHES, values, strict=True)) for values in itertools.product(*SWITCHES.values())]


def name(switches):
    return "-".join(str(value) for value in switches.values())


@pytest.mark.parametrize("switches", COMBINATIONS, ids=name)
def test_every_combination_learns(switches, make_dqn, play):
    """Finite numbers, and no parameter that is left out."""
    agent = make_dqn(report_every=60, atoms=7, **switches)
    before = {name: part.detach().clone() for name, part in agent.network.named_parameters()}
    _, rows = play(agent, 0, 15)
    assert rows[0]["policy/gradient_steps"] == 5
    assert all(np.isfinite(list(rows[0].values())))
    assert rows[0]["loss/td"] > 0
    for name, part in agent.network.named_parameters():
        assert torch.isfinite(part).all(), name
        assert not torch.equal(part, before[name]), name


class TestPriorities:
    """What the tree holds after a gradient step, from the batch and the weights before it."""

    @staticmethod
    def learn(agent, monkeypatch):
        """One gradient step; returns the network before it, the batch, its targets and the tree's leaves for it."""
        agent.plain = None  # the numpy form is compared with torch's in tests/networks/test_plain_q.py
        before, batches, targets = copy.deepcopy(agent.network), [], []
        sample, target = agent.replay.sample, agent._target
        monkeypatch.setattr(agent.replay, "sample", lambda *args: batches.append(sample(*args)) or batches[-1])
        monkeypatch.setattr(agent, "_target", lambda *args: targets.append(target(*args)) or targets[-1])
        agent._learn()
        (batch,), (goal,) = batches, targets
        with torch.no_grad():
            x = torch.from_numpy(batch.observation)
            numbers, _ = before(x[None], (), torch.zeros(1, len(x)).bool())
        chosen = numbers[0][torch.arange(len(x)), torch.from_numpy(batch.action)].double().numpy()
        return chosen, batch, goal.double().numpy(), agent.replay._tree.leaves[batch.index]

    @pytest.mark.parametrize("exponent", [0.5, 1.0])
    @pytest.mark.parametrize("distribution", ["none", "categorical", "quantile"])
    def test_they_are_the_errors(self, distribution, exponent, make_dqn, play, monkeypatch):
        agent = make_dqn(
            prioritised=True, priority_exponent=exponent, distribution=distribution, atoms=5, lowest_value=-3.0,
            highest_value=3.0, update_every=10_000,
        )  # fmt: skip
        play(agent, 0, 40)
        assert set(agent.replay._tree.leaves) == {0.0, 1.0}  # as yet none has been learnt from
        chosen, batch, goal, leaves = self.learn(agent, monkeypatch)
        match distribution:
            case "none":
                error = np.abs(chosen[:, 0] - goal)
            case "categorical":
                error = -(goal * (chosen - np.log(np.exp(chosen).sum(axis=1, keepdims=True)))).sum(axis=1)
            case _:
                error = np.zeros(len(goal))
                for i, j in np.ndindex(5, 5):
                    u = goal[:, j] - chosen[:, i]
                    size = np.where(abs(u) <= 1, u * u / 2, abs(u) - 0.5)
                    error += np.where(u < 0, 0.9 - 0.2 * i, 0.1 + 0.2 * i) * size / 5
        np.testing.assert_allclose(leaves, (error + 1e-6) ** exponent, rtol=1e-4)
        assert len(np.unique(leaves)) > 5
        untouched = np.setdiff1d(np.arange(len(agent.replay._tree.leaves)), batch.index)
        assert set(agent.replay._tree.leaves[untouched]) <= {0.0, 1.0}

    def test_without_them_weights_are_one_and_nothing_is_kept(self, make_dqn, play, monkeypatch):
        agent = make_dqn(prioritised=False)
        monkeypatch.setattr(agent.replay, "update_priorities", lambda *args: pytest.fail("there are no priorities"))
        play(agent, 0, 20)
        assert agent.updates == 10
        assert agent.replay._tree is None


class TestImages:
    """Stacks of three frames of 8x7, as a replay that keeps each frame once gives them back."""

    SPACE = spaces.Box(0, 255, (8, 7, 3), np.uint8)

    def run(self, agent):
        random, batch = np.random.default_rng(0), agent.num_envs
        stacks = np.repeat(random.integers(0, 256, (batch, 8, 7, 1), np.uint8), 3, axis=-1)
        is_first = np.ones(batch, bool)
        for _ in range(60):
            ends = random.choice(3, batch, p=[0.8, 0.1, 0.1])
            frame, first = random.integers(0, 256, (2, batch, 8, 7, 1), np.uint8)
            final = np.concatenate([stacks[..., 1:], frame], axis=-1)
            following = np.where(ends[:, None, None, None] > 0, np.repeat(first, 3, axis=-1), final)
            decision = agent.act(stacks, (), is_first, explore=True)
            step = Step(following, random.normal(size=batch), ends == 1, ends == 2, final, {})
            if agent.observe(stacks, decision, step):
                agent.update()
            stacks, is_first = following, ends > 0
        assert agent.updates == 50
        return agent.optimiser.vector.numpy().tobytes()

    @pytest.mark.parametrize("switches", [{}, {"prioritised": True, "noisy": True, "distribution": "categorical"}])
    def test_frames_kept_once_or_in_a_file_learn_the_same(self, switches, make_dqn, tmp_path):
        small = {"backbone": CNNConfig(variant="small", channels=(4,), features=8), "update_every": 4} | switches
        whole = self.run(make_dqn(self.SPACE, **small))
        assert self.run(make_dqn(self.SPACE, frames=FrameStack(3, 2), **small)) == whole
        assert self.run(make_dqn(self.SPACE, replay_folder=str(tmp_path), **small)) == whole
        assert self.run(make_dqn(self.SPACE, seed=1, **small)) != whole


class TestAnotherDevice:
    """The meta device computes nothing but refuses to mix devices, as a GPU would."""

    META = torch.device("meta")

    @pytest.mark.parametrize(
        "switches", [switches for switches in COMBINATIONS if not switches["prioritised"]], ids=name
    )
    def test_a_whole_gradient_step(self, switches, make_dqn, play):
        """The agent is there from its start; only what it was fed comes from an agent here."""
        here = make_dqn(atoms=7, **switches)
        play(here, 0, 10)
        agent = make_dqn(atoms=7, device=self.META, head_hidden=8, **switches)
        agent.replay.load_state_dict(here.replay.state_dict())
        row = agent._learn()
        assert row.device.type == "meta"
        assert row.shape == (4,)
        assert {part.device.type for part in agent.network.state_dict().values()} == {"meta"}
        assert agent.optimiser.vector.device.type == agent.target_vector.device.type == "meta"
        agent.target_vector.lerp_(agent.optimiser.vector, 0.5)

    @pytest.mark.parametrize("kind", ["huber", "mse"])
    def test_losses(self, kind):
        with self.META:
            value, numbers = torch.zeros(8, requires_grad=True), torch.zeros(8, 5, requires_grad=True)
            target, chance, support = torch.zeros(8), torch.zeros(8, 5), torch.zeros(5)
        projected = categorical_projection(chance, support, target, target)
        losses = (
            td_loss(value, target, kind), categorical_loss(numbers, projected), quantile_loss(numbers, chance, kind)
        )  # fmt: skip
        for loss, leaf in zip(losses, (value, numbers, numbers), strict=True):
            assert loss.shape == (8,)
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
            assert gradient.device.type == "meta"
            assert gradient.shape == leaf.shape
