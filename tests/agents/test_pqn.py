"""The agent PQN: its targets, one update against plain torch, exactness, exploration, what it refuses."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from keel.agents.pqn import Part, PQNConfig
from keel.agents.schedule import Schedule
from keel.envs.errors import KeelError
from keel.envs.protocol import Step
from keel.networks.backbone import CNNConfig, GRUConfig, LSTMConfig, MLPConfig, TransformerConfig


def fill(agent, seed=0, memory=(), is_first=True):
    """A rollout of random experience in which episodes end in both ways; returns the final observations [T B 4]."""
    random = np.random.default_rng(seed)
    batch, finals, full = agent.num_envs, [], False
    observation, is_first = random.normal(size=(batch, 4)).astype(np.float32), np.full(batch, is_first)
    for _ in range(agent.config.num_steps):
        decision = agent.act(observation, memory, is_first, explore=True)
        ends = random.choice(4, batch, p=[0.7, 0.1, 0.1, 0.1])  # the last: both at once
        following, final = random.normal(size=(2, batch, 4)).astype(np.float32)
        terminated, truncated = (ends == 1) | (ends == 3), ends >= 2
        step = Step(following, random.normal(size=batch), terminated, truncated, final if ends.any() else None, {})
        full = agent.observe(observation, decision, step)
        finals.append(final)
        observation, is_first, memory = following, ends > 0, decision.memory
    assert full
    return np.array(finals)


class Peer(nn.Module):
    """Linear, layer norm, ReLU, then a value for each of three actions, in one stream or two."""

    def __init__(self, agent, dueling):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 16), nn.LayerNorm(16), nn.ReLU())
        self.advantage, self.value = nn.Linear(16, 3), nn.Linear(16, 1) if dueling else None
        for ours, theirs in zip(agent.network.parameters(), self.parameters(), strict=True):
            theirs.data = ours.detach().clone()

    def forward(self, x):
        x = self.body(x)
        advantage = self.advantage(x)
        if self.value is None:
            return advantage
        return self.value(x) + advantage - advantage.mean(dim=-1, keepdim=True)


def by_definition(agent, values, final_values):
    """Targets [T B] from greedy values [T+1 B] and those of the final observations [T B], by walking through every world
    backwards (Gallici et al. 2024, algorithm 1)."""
    rollout, config = agent.rollout, agent.config
    result = np.zeros(rollout.reward.shape)
    for b in range(agent.num_envs):
        following = None
        for t in reversed(range(config.num_steps)):
            if rollout.terminated[t, b]:
                result[t, b] = rollout.reward[t, b]
            elif rollout.truncated[t, b]:
                result[t, b] = rollout.reward[t, b] + config.gamma * final_values[t, b]
            else:
                value = values[t + 1, b]
                look = value if following is None else (1 - config.lambda_) * value + config.lambda_ * following
                result[t, b] = rollout.reward[t, b] + config.gamma * look
            following = result[t, b]
    return result


class TestLearning:
    @pytest.mark.parametrize("dueling", [False, True])
    @pytest.mark.parametrize("lambda_", [0.0, 0.65, 1.0])
    def test_targets_are_those_of_a_walk_backwards(self, lambda_, dueling, make_pqn):
        agent = make_pqn(lambda_=lambda_, gamma=0.9, num_steps=16, dueling=dueling)
        finals = fill(agent)
        (encoded, action, return_, *_), fit = agent._prepare()
        peer = Peer(agent, dueling)
        with torch.no_grad():
            greedy, final_greedy = (
                peer(torch.from_numpy(seen)).amax(dim=-1).double().numpy()
                for seen in (agent.rollout.observation, finals)
            )
        expected = by_definition(agent, greedy, final_greedy)
        np.testing.assert_allclose(return_.numpy(), expected, atol=1e-5)
        np.testing.assert_array_equal(encoded.numpy(), agent.rollout.observation[:-1])
        np.testing.assert_array_equal(action.numpy(), agent.rollout.sample[:-1])
        with torch.no_grad():
            chosen = peer(encoded).gather(-1, action[..., None])[..., 0].double().numpy()
        assert fit == pytest.approx(1 - np.var(expected - chosen) / np.var(expected), abs=1e-5)

    @pytest.mark.parametrize("kind", ["mse", "huber"])
    def test_one_update_equals_plain_torch(self, kind, make_pqn):
        """Whole-rollout minibatches, so that no order matters, in two epochs on the same targets."""
        torch.set_default_dtype(torch.float64)
        try:
            agent = make_pqn(
                loss=kind, dueling=True, minibatch_size=32, epochs=2, max_gradient_norm=0.5, learning_rate=1e-2,
                learning_rate_schedule="constant",
            )  # fmt: skip
            fill(agent)
            agent.rollout.observation = agent.rollout.observation.astype(np.float64)
            peer = Peer(agent, True)
            (encoded, action, return_, *_), _ = agent._prepare()
            adam, losses, norms = torch.optim.Adam(peer.parameters(), 1e-2, eps=1e-5), [], []
            for _ in range(2):
                value = peer(encoded).gather(-1, action[..., None])[..., 0]
                loss = nn.MSELoss()(value, return_) if kind == "mse" else nn.SmoothL1Loss()(value, return_)
                adam.zero_grad()
                loss.backward()
                norms.append(nn.utils.clip_grad_norm_(peer.parameters(), 0.5).item())
                adam.step()
                losses.append(loss.item())
            metrics = agent.update()
        finally:
            torch.set_default_dtype(torch.float32)
        for ours, theirs in zip(agent.network.parameters(), peer.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
        assert metrics["loss/td"] == pytest.approx(np.mean(losses))
        assert metrics["loss/gradient_norm"] == pytest.approx(np.mean(norms))
        assert metrics["value/target"] == pytest.approx(return_.mean().item())
        assert max(norms) > 0.5

    def test_every_epoch_sees_every_step_once(self, make_pqn, monkeypatch):
        agent = make_pqn(num_steps=8, minibatch_size=8, epochs=3)
        fill(agent)
        learn, parts = agent._learn, []
        monkeypatch.setattr(agent, "_learn", lambda part: parts.append(part) or learn(part))
        rollout = agent.rollout
        rows = np.concatenate([rollout.observation[:-1], rollout.sample[:-1, :, None]], axis=-1).reshape(32, 5)
        metrics = agent.update()
        assert metrics["policy/gradient_steps"] == len(parts) == 12
        orders = []
        for epoch in range(3):
            seen = [np.column_stack([part.encoded[0], part.action[0]]) for part in parts[epoch * 4 : epoch * 4 + 4]]
            orders.append(np.concatenate(seen))
            np.testing.assert_allclose(sorted(orders[-1].tolist()), sorted(rows.tolist()), atol=1e-6)
        assert (orders[0] != orders[1]).any()
        assert (orders[1] != orders[2]).any()

    def test_every_update_has_orders_of_its_own(self, make_pqn, monkeypatch):
        agent, numbers = make_pqn(num_steps=8, minibatch_size=8, epochs=2), torch.arange(32).reshape(8, 4)
        orders = [
            np.concatenate([part.encoded[0] for part in agent._minibatches(Part(*[numbers] * 4, ()))])
            for agent.updates in (0, 1, 0)
        ]
        assert orders[0].shape == (64,)
        np.testing.assert_array_equal(orders[0], orders[2])
        assert (orders[0] != orders[1]).any()

    def test_updates_come_with_full_rollouts_and_name_their_numbers(self, make_pqn, play):
        agent = make_pqn(num_steps=8, total_steps=400, epsilon=Schedule(1.0, 0.2, 0.5), learning_rate=1e-3)
        _, rows = play(agent, 0, 30)
        assert len(rows) == 3
        assert agent.updates == 3
        assert rows[0].keys() == {
            "loss/td", "value/mean", "value/target", "loss/gradient_norm", "loss/explained_variance", "policy/epsilon",
            "policy/learning_rate", "policy/gradient_steps",
        }  # fmt: skip
        np.testing.assert_allclose([row["policy/epsilon"] for row in rows], [0.872, 0.744, 0.616])  # after 32, 64, 96
        np.testing.assert_allclose([row["policy/learning_rate"] for row in rows], [1e-3, 9.2e-4, 8.4e-4])

    def test_the_last_update_still_learns(self, make_pqn, play):
        _, rows = play(make_pqn(num_steps=8, total_steps=64, learning_rate=1e-3), 0, 16)
        assert rows[-1]["policy/learning_rate"] == pytest.approx(5e-4)

    def test_the_scale_is_that_of_what_was_seen(self, make_pqn, play):
        agent, seen = make_pqn(normalise_observation=True), []

        def look(numbers):
            return numbers * 3 + 5

        add = agent.rollout.add
        agent.rollout.add = lambda observation, *rest: seen.append(observation) or add(observation, *rest)
        play(agent, 0, 24, look=look)
        seen = np.concatenate(seen).astype(np.float64)
        np.testing.assert_allclose(agent.network.encoder.normaliser.mean.numpy(), seen.mean(axis=0), rtol=1e-9)
        np.testing.assert_allclose(agent.network.encoder.normaliser.variance.numpy(), seen.var(axis=0), rtol=1e-9)

    @pytest.mark.parametrize("cnn", [False, True])
    def test_a_gradient_step_on_another_device(self, cnn, make_pqn):
        """The meta device computes nothing but refuses to mix devices, as a GPU would."""
        space = spaces.Box(0, 255, (10, 10, 3), np.uint8) if cnn else spaces.Box(-1, 1, (4,))
        small = CNNConfig(variant="small", channels=(4,), features=8, layer_norm=True)
        backbone = small if cnn else MLPConfig(hidden=(8,), layer_norm=True)
        agent = make_pqn(space, backbone=backbone, device=torch.device("meta"), dueling=True)
        encoded = torch.zeros(1, 16, 3, 10, 10, device="meta") if cnn else torch.zeros(1, 16, 4, device="meta")
        action, first = (torch.zeros(1, 16, dtype=dtype, device="meta") for dtype in (torch.long, torch.bool))
        row = agent._learn(Part(encoded, action, torch.zeros(1, 16, device="meta"), first, ()))
        assert row.device.type == "meta"
        assert row.shape == (4,)


REMEMBERING = {
    "gru": GRUConfig(width=8, layers=2, hidden=(8,)),
    "lstm": LSTMConfig(width=8, hidden=()),
    "transformer": TransformerConfig(width=8, layers=2, heads=2, window=3, hidden=(8,)),
}


@pytest.mark.parametrize("kind", REMEMBERING)
class TestMemory:
    """Whole sequences are learnt from, and the memory goes from rollout to rollout."""

    @pytest.fixture
    def agent(self, kind, make_pqn):
        return make_pqn(backbone=REMEMBERING[kind], num_steps=8, minibatch_size=16, gamma=0.9)

    def second_rollout(self, agent):
        """Of one whose memory began before it; returns the final observations and what acting thought [T B A]."""
        memory, thought = agent.initial_memory(4), []
        preferences = agent.network.preferences

        def spy(*args):
            result = preferences(*args)
            thought.append(result[0])
            return result

        fill(agent, 1, memory)
        memory = agent.act(np.ones((4, 4), np.float32), agent.rollout.memory, np.zeros(4, bool), explore=True).memory
        agent.rollout.clear()
        agent.network.preferences = spy
        finals = fill(agent, 2, memory, is_first=False)
        agent.network.preferences = preferences
        assert agent.rollout.truncated.sum() > 3
        return finals, np.array(thought)

    def test_learning_sees_what_acting_saw(self, agent):
        _, thought = self.second_rollout(agent)
        whole, _ = agent._prepare()
        seen = [agent.network.values(agent.network(whole.encoded, whole.memory, whole.is_first)[0]).detach()]
        part = next(iter(agent._minibatches(whole)))
        seen.append(agent.network.values(agent.network(part.encoded, part.memory, part.is_first)[0]).detach())
        np.testing.assert_allclose(seen[0].numpy(), thought, atol=1e-6)
        columns = [np.flatnonzero((whole.return_ == part.return_[:, i, None]).all(dim=0).numpy()) for i in range(2)]
        np.testing.assert_allclose(seen[1].numpy(), thought[:, np.concatenate(columns)], atol=1e-6)
        forgetful = agent.network.values(agent.network(whole.encoded, (), whole.is_first)[0])
        assert not np.allclose(forgetful.detach().numpy(), thought, atol=1e-3)  # the memory matters

    def test_targets_look_on_with_the_memory_that_led_there(self, agent):
        """Every value by running through its episode one step after the other."""
        finals, thought = self.second_rollout(agent)
        rollout = agent.rollout
        values, final_values = np.zeros((9, 4)), np.zeros((8, 4))
        for b in range(4):
            memory = tuple(part[:, b : b + 1] for part in rollout.memory)
            for t in range(9):
                first = np.array([rollout.is_first[t, b]])
                now, _, memory = agent.network.preferences(rollout.observation[t, b : b + 1], memory, first, None)
                values[t, b] = now.max()
                if t < 8:
                    final, _, _ = agent.network.preferences(finals[t, b : b + 1], memory, np.zeros(1, bool), None)
                    final_values[t, b] = final.max()
        np.testing.assert_allclose(values[:8], thought.max(axis=-1), atol=1e-6)
        whole, _ = agent._prepare()
        np.testing.assert_allclose(whole.return_.numpy(), by_definition(agent, values, final_values), atol=1e-5)

    def test_every_epoch_sees_every_world_once_and_whole(self, agent):
        self.second_rollout(agent)
        whole, _ = agent._prepare()
        parts = list(agent._minibatches(whole))
        assert len(parts) == 4
        for epoch in (parts[:2], parts[2:]):
            joined = torch.cat([part.return_ for part in epoch], dim=1)
            order = [int((whole.return_ == joined[:, i, None]).all(dim=0).nonzero()) for i in range(4)]
            assert sorted(order) == [0, 1, 2, 3]
            for name in ("encoded", "action", "is_first"):
                values = torch.cat([getattr(part, name) for part in epoch], dim=1)
                assert torch.equal(values, getattr(whole, name)[:, order])
            for number, memory in enumerate(whole.memory):
                assert torch.equal(torch.cat([part.memory[number] for part in epoch], dim=1), memory[:, order])

    def test_a_restored_agent_goes_on_bit_for_bit(self, kind, agent, make_pqn):
        fresh = make_pqn(backbone=REMEMBERING[kind], num_steps=8, minibatch_size=16, gamma=0.9)
        memory = agent.initial_memory(4)
        fill(agent, 1, memory)
        memory = tuple(part + 0.1 if part.is_floating_point() else ~part for part in memory)
        agent.update()
        fresh.load_state_dict(copy.deepcopy(agent.state_dict()))
        for one in (agent, fresh):
            fill(one, 2, memory, is_first=False)
        assert agent.update() == fresh.update()
        assert torch.equal(agent.optimiser.vector, fresh.optimiser.vector)


class TestActing:
    def test_epsilon_decides(self, make_pqn):
        agent = make_pqn(num_envs=50, num_steps=4, minibatch_size=50, epsilon=Schedule(0.3, 0.3))
        observation, first = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32), np.zeros(50, bool)
        best = agent.act(observation, (), first, explore=False).action
        with torch.no_grad():
            np.testing.assert_array_equal(best, Peer(agent, False)(torch.from_numpy(observation)).argmax(-1).numpy())
        others = []
        for step in range(200):
            agent.global_step = step * 50
            others.append(agent.act(observation, (), first, explore=True).action != best)
        assert np.mean(others) == pytest.approx(0.3 * 2 / 3, abs=0.02)

    def test_evaluation_draws_nothing(self, make_pqn, monkeypatch):
        agent = make_pqn()
        monkeypatch.setattr(agent.acting_chance, "row", lambda index: pytest.fail("chance was drawn"))
        assert agent.act(np.zeros((9, 4), np.float32), (), np.zeros(9, bool), explore=False).action.shape == (9,)

    def test_actions_that_do_not_start_at_zero(self, make_pqn, play):
        agent = make_pqn(action_space=spaces.Discrete(3, start=5), epsilon=Schedule(1.0, 1.0))
        actions, _ = play(agent, 0, 8)
        assert set(np.unique(actions)) == {5, 6, 7}
        np.testing.assert_array_equal(agent.rollout.sample[:8], actions - 5)


class TestExactness:
    SETTINGS = ({}, {"normalise_observation": True, "loss": "huber", "dueling": True, "epsilon": Schedule(0.9, 0.1)})

    @pytest.mark.parametrize("settings", SETTINGS)
    def test_a_restored_agent_goes_on_bit_for_bit(self, settings, make_pqn, play):
        straight = make_pqn(**settings)
        play(straight, 0, 24)
        saved = copy.deepcopy(straight.state_dict())
        expected, expected_rows = play(straight, 24, 72)
        fresh = make_pqn(**settings)
        fresh.load_state_dict(saved)
        found, rows = play(fresh, 24, 72)
        np.testing.assert_array_equal(found, expected)
        assert rows == expected_rows
        assert len(rows) == 6
        assert (fresh.global_step, fresh.updates) == (straight.global_step, straight.updates) == (288, 9)
        for a, b in zip(fresh.network.state_dict().values(), straight.network.state_dict().values(), strict=True):
            assert a.numpy().tobytes() == b.numpy().tobytes()

    @pytest.mark.parametrize("settings", SETTINGS)
    def test_runs_are_functions_of_the_seed(self, settings, make_pqn, play):
        agents = [make_pqn(seed=seed, **settings) for seed in (3, 3, 4)]
        actions = [play(agent, 0, 24)[0] for agent in agents]
        np.testing.assert_array_equal(actions[0], actions[1])
        assert torch.equal(agents[0].optimiser.vector, agents[1].optimiser.vector)
        assert (actions[0] != actions[2]).any()
        assert not torch.equal(agents[0].optimiser.vector, agents[2].optimiser.vector)

    def test_the_global_streams_are_left_alone(self, make_pqn, play):
        torch.manual_seed(5)
        np.random.seed(5)
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        play(make_pqn(), 0, 16)
        assert torch.equal(before[0], torch.get_rng_state())
        np.testing.assert_array_equal(before[1], np.random.get_state()[1])


class TestRefusals:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("gamma", 1.5), ("lambda_", -0.1), ("lambda_", 65.0), ("learning_rate", 0.0), ("num_steps", 0),
            ("epochs", 0), ("minibatch_size", 0), ("max_gradient_norm", 0.0), ("adam_epsilon", float("nan")),
        ],
    )  # fmt: skip
    def test_values_out_of_range_are_refused_by_name(self, field, value):
        with pytest.raises(ValueError, match=rf"{field} is {value}: it must"):
            dataclasses.replace(PQNConfig(), **{field: value})

    def test_minibatches_that_do_not_divide_the_rollout(self, make_pqn):
        with pytest.raises(ValueError, match=r"minibatch_size is 24.*= 32; 16 does"):
            make_pqn(minibatch_size=24)

    def test_actions_that_are_not_discrete(self, make_pqn):
        with pytest.raises(ValueError, match=r"the actions are Box.*: Q-learning needs Discrete ones; PPO takes these"):
            make_pqn(action_space=spaces.Box(-1, 1, (2,), np.float32))

    def test_minibatches_that_are_no_whole_sequences(self, make_pqn):
        with pytest.raises(ValueError, match=r"minibatch_size is 4, .* into whole sequences of 8; 8 does"):
            make_pqn(minibatch_size=4, backbone=GRUConfig(width=8))

    def test_divergence_is_named(self, make_pqn):
        agent = make_pqn()
        fill(agent)
        agent.rollout.reward[3, 1] = np.nan
        with pytest.raises(KeelError, match=r"loss/td is nan in update 1, step 32: training has diverged"):
            agent.update()
