"""The agent PPO: memory, exactness, settings."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from keel.agents.ppo import PPOConfig
from keel.envs.errors import KeelError
from keel.networks.backbone import GRUConfig, LSTMConfig, TransformerConfig


class TestMemory:
    """Whole sequences, the state handed over exactly."""

    @pytest.fixture(
        params=[
            GRUConfig(width=8),
            TransformerConfig(width=8, layers=1, heads=2, window=5),
            LSTMConfig(width=8, shared=False),
        ]
    )
    def agent(self, request, make_agent):
        return make_agent(backbone=request.param)

    def test_first_ratios_are_one_across_rollouts(self, agent, monkeypatch, gather):
        """Learning sees the log-probabilities of acting, also for a memory that began in the rollout before."""
        seen = []
        learn = agent._learn

        def spy(part, memory, clip_range):
            distribution, _ = agent.network(part["encoded"], None, memory, part["is_first"])
            seen.append((distribution.log_prob(part["sample"]) - part["old_log_prob"]).abs().max().item())
            return learn(part, memory, clip_range)

        monkeypatch.setattr(agent, "_learn", spy)
        gather(agent)
        agent.update()
        assert seen[0] < 1e-5
        assert seen[-1] > 1e-5  # later minibatches have moved

    def test_acting_and_learning_agree(self, agent, gather):
        """Step by step with the memory passed on, and all at once from the rollout's first memory."""
        chances = []
        act = agent.network.act

        def spy(observation, memory, is_first, noise):
            numbers, _, _ = agent.network._torch_numbers(observation, memory, is_first)
            chances.append(torch.log_softmax(torch.from_numpy(numbers), -1))
            return act(observation, memory, is_first, noise)

        agent.network.act = spy
        with torch.no_grad():
            gather(agent)
        batch, _, _ = agent._prepare()
        sample = batch["sample"]
        expected = torch.stack(chances).gather(-1, sample[..., None])[..., 0]
        torch.testing.assert_close(batch["old_log_prob"], expected, atol=1e-5, rtol=1e-5)

    def test_minibatches_must_be_whole_sequences(self, make_agent):
        with pytest.raises(ValueError, match=r"whole sequences of 16.*16 does"):
            make_agent(backbone=GRUConfig(), minibatch_size=8)


class TestExactness:
    def test_evaluation_disturbs_nothing(self, make_agent, gather):
        disturbed, plain = make_agent(), make_agent()
        for agent in (disturbed, plain):
            gather(agent, steps=5)
        disturbed.act(np.zeros((9, 4), np.float32), (), np.zeros(9, bool), explore=False)
        a = disturbed.act(np.zeros((4, 4), np.float32), (), np.zeros(4, bool), explore=True)
        b = plain.act(np.zeros((4, 4), np.float32), (), np.zeros(4, bool), explore=True)
        np.testing.assert_array_equal(a.action, b.action)

    def test_a_restored_agent_goes_on_bit_for_bit(self, make_agent, gather):
        settings = {"normalise_observation": True, "normalise_reward": True, "learning_rate_schedule": "linear"}
        straight = make_agent(**settings)
        gather(straight, 0)
        straight.update()
        saved = copy.deepcopy(straight.state_dict())
        gather(straight, 1)
        metrics = straight.update()
        resumed = make_agent(**settings)
        resumed.load_state_dict(saved)
        gather(resumed, 1)
        assert resumed.update() == metrics
        for a, b in zip(resumed.network.state_dict().values(), straight.network.state_dict().values(), strict=True):
            assert torch.equal(a, b)

    def test_the_global_streams_are_left_alone(self, make_agent, gather):
        torch.manual_seed(5)
        np.random.seed(5)
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        agent = make_agent()
        gather(agent)
        agent.update()
        assert torch.equal(before[0], torch.get_rng_state())
        np.testing.assert_array_equal(before[1], np.random.get_state()[1])

    def test_another_order_of_the_worlds_learns_the_same(self, make_agent, gather):
        """Whole-rollout minibatches do not depend on the order of the worlds."""
        agents = [make_agent(minibatch_size=64, epochs=1) for _ in range(2)]
        gather(agents[0])
        rollout, other = agents[0].rollout, agents[1].rollout
        gather(agents[1])
        order = [2, 0, 3, 1]
        for name in ("reward", "terminated", "truncated", "is_first", "observation", "sample"):
            setattr(other, name, np.ascontiguousarray(getattr(rollout, name)[:, order]))
        other._cuts = [
            (t, np.array([order.index(row) for row in rows]), final, memory) for t, rows, final, memory in rollout._cuts
        ]
        for agent in agents:
            agent.update()
        for a, b in zip(agents[0].network.parameters(), agents[1].network.parameters(), strict=True):
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


class TestSettings:
    def test_kl_stop(self, make_agent, gather):
        agent = make_agent(target_kl=1e-9, learning_rate=0.1, epochs=10)
        gather(agent)
        assert agent.update()["policy/gradient_steps"] < 3

    def test_learning_rate_falls_but_the_last_update_learns(self, make_agent, gather):
        agent = make_agent(learning_rate=1.0, learning_rate_schedule="linear")
        agent.global_step = agent.total_steps - 64
        gather(agent)
        assert agent.update()["policy/learning_rate"] == pytest.approx(64 / 10_000)

    def test_divergence_is_named(self, make_agent, gather):
        agent = make_agent()
        gather(agent)
        agent.rollout.reward[3, 1] = np.nan
        with pytest.raises(KeelError, match="diverged"):
            agent.update()

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("gamma", 1.5), ("gae_lambda", 95.0), ("clip_range", -0.2), ("learning_rate", -1.0), ("learning_rate", 0.0),
            ("num_steps", 0), ("epochs", 0), ("minibatch_size", 0), ("entropy_coefficient", -1.0), ("target_kl", 0.0),
            ("max_gradient_norm", float("nan")), ("clip_range_value", -1.0), ("learning_rate", float("inf")),
        ],
    )  # fmt: skip
    def test_values_out_of_range_are_refused_by_name(self, field, value):
        with pytest.raises(ValueError, match=rf"{field} is {value}: it must"):
            dataclasses.replace(PPOConfig(), **{field: value})

    def test_minibatches_that_do_not_divide_the_rollout(self, make_agent):
        with pytest.raises(ValueError, match=r"minibatch_size is 30.*= 64; 16 does"):
            make_agent(minibatch_size=30)
