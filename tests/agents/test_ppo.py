"""The agent: one update against Stable-Baselines3, probe worlds with known answers, every action space, exactness."""

import copy
import dataclasses

import gymnasium
import numpy as np
import pytest
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common import policies
from torch import nn

from keel.agents import ppo as ppo_module
from keel.agents.ppo import PPO, PPOConfig
from keel.envs.errors import KeelError
from keel.envs.protocol import Step
from keel.envs.vector import make_vec
from keel.networks import actor_critic
from keel.networks.backbone import MLPConfig
from keel.runners.loop import Loop

CPU = torch.device("cpu")
VECTOR = spaces.Box(-10, 10, (4,), np.float32)


def make_agent(observation_space=VECTOR, action_space=None, *, num_envs=4, backbone=None, **settings):
    config = PPOConfig(**({"num_steps": 16, "minibatch_size": 32} | settings))
    return PPO(
        observation_space,
        action_space or spaces.Discrete(3),
        num_envs=num_envs,
        total_steps=10_000,
        config=config,
        backbone=backbone or MLPConfig(),
        seed=0,
        device=CPU,
    )


def gather(agent, seed=0, steps=None):
    """Fill the agent's rollout with random experience in which episodes end in both ways."""
    random = np.random.default_rng(seed)
    batch, finals = agent.num_envs, []
    observation = random.normal(size=(batch, 4)).astype(np.float32)
    is_first = np.ones(batch, bool)
    memory = agent.initial_memory(batch)
    for _ in range(steps or agent.config.num_steps):
        decision = agent.act(observation, memory, is_first, explore=True)
        ends = random.choice(3, batch, p=[0.8, 0.1, 0.1])
        following, final = random.normal(size=(2, batch, 4)).astype(np.float32)
        step = Step(following, random.normal(size=batch), ends == 1, ends == 2, final, {})
        agent.observe(observation, decision, step)
        finals.append(final)
        observation, is_first, memory = following, ends > 0, decision.memory
    assert agent.rollout.full or steps
    return np.array(finals)


class TestAgainstStableBaselines3:
    """One whole update on the same tensors and weights, in float64."""

    @pytest.mark.parametrize("actions", [spaces.Discrete(3), spaces.Box(-1, 1, (2,), np.float32)])
    def test_one_update_gives_the_same_weights(self, actions, monkeypatch):
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
            ("MultiDiscrete", 24_000, {}),
            ("MultiBinary", 24_000, {}),
            ("NestedObservation", 24_000, {}),
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


class Recurrent(nn.Module):
    """The smallest backbone with memory: a GRU cell, cleared where is_first."""

    def __init__(self, inputs):
        super().__init__()
        self.features = 8
        self.cell = nn.GRUCell(inputs, 8)

    def initial_state(self, batch):
        return (torch.zeros(1, batch, 8),)

    def forward(self, observation, state, is_first):
        (hidden,), outputs = state, []
        hidden = hidden[0]
        for x, first in zip(observation, is_first, strict=True):
            hidden = self.cell(x, hidden * ~first[:, None])
            outputs.append(hidden)
        return torch.stack(outputs), (hidden[None],)


class TestMemory:
    """The seam for recurrent backbones: whole sequences, the state handed over exactly."""

    @pytest.fixture
    def agent(self, monkeypatch):
        monkeypatch.setattr(actor_critic, "build_backbone", lambda shape, config: Recurrent(shape[0]))
        return make_agent(backbone=MLPConfig(shared=True))

    def test_first_ratios_are_one_across_rollouts(self, agent, monkeypatch):
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

    def test_acting_and_learning_agree(self, agent):
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

    def test_minibatches_must_be_whole_sequences(self, monkeypatch):
        monkeypatch.setattr(actor_critic, "build_backbone", lambda shape, config: Recurrent(shape[0]))
        with pytest.raises(ValueError, match=r"whole sequences of 16.*16 does"):
            make_agent(backbone=MLPConfig(shared=True), minibatch_size=8)
        with pytest.raises(ValueError, match="shared"):
            make_agent(backbone=MLPConfig(shared=False))


class TestExactness:
    def test_evaluation_disturbs_nothing(self):
        disturbed, plain = make_agent(), make_agent()
        for agent in (disturbed, plain):
            gather(agent, steps=5)
        disturbed.act(np.zeros((9, 4), np.float32), (), np.zeros(9, bool), explore=False)
        a = disturbed.act(np.zeros((4, 4), np.float32), (), np.zeros(4, bool), explore=True)
        b = plain.act(np.zeros((4, 4), np.float32), (), np.zeros(4, bool), explore=True)
        np.testing.assert_array_equal(a.action, b.action)

    def test_a_restored_agent_goes_on_bit_for_bit(self):
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

    def test_the_global_streams_are_left_alone(self):
        torch.manual_seed(5)
        np.random.seed(5)
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        agent = make_agent()
        gather(agent)
        agent.update()
        assert torch.equal(before[0], torch.get_rng_state())
        np.testing.assert_array_equal(before[1], np.random.get_state()[1])

    def test_another_order_of_the_worlds_learns_the_same(self):
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
    def test_kl_stop(self):
        agent = make_agent(target_kl=1e-9, learning_rate=0.1, epochs=10)
        gather(agent)
        assert agent.update()["policy/gradient_steps"] < 3

    def test_learning_rate_falls_but_the_last_update_learns(self):
        agent = make_agent(learning_rate=1.0, learning_rate_schedule="linear")
        agent.global_step = agent.total_steps - 64
        gather(agent)
        assert agent.update()["policy/learning_rate"] == pytest.approx(64 / 10_000)

    def test_divergence_is_named(self):
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

    def test_minibatches_that_do_not_divide_the_rollout(self):
        with pytest.raises(ValueError, match=r"minibatch_size is 30.*= 64; 16 does"):
            make_agent(minibatch_size=30)
