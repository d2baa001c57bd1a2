"""R2D2 with networks that remember: the same memory in acting and learning, exactness, masks, and what it learns."""

import copy

import numpy as np
import pytest
import torch
from gymnasium import spaces

from keel.agents.pqn import PQN, PQNConfig
from keel.agents.r2d2 import R2D2, R2D2Config, rescale_inverse
from keel.agents.schedule import Schedule
from keel.networks.backbone import GRUConfig, LSTMConfig, MLPConfig
from keel.runners.loop import Loop

from .remembering import BACKBONES, CPU, VECTOR, CueWorlds, Play, make, score, train

ALL = pytest.mark.parametrize("kind", BACKBONES)
MASKED = spaces.Dict({"observation": VECTOR, "action_mask": spaces.MultiBinary(3)})


class TestMemory:
    @ALL
    def test_learning_sees_along_sequences_what_acting_saw(self, kind):
        """With unchanged weights, over ends of episodes, after burn-in, from the stored memory."""
        agent = make(kind, learning_starts=10_000, dueling=False)  # acting with an mlp knows advantages alone
        thought, final = {}, {}
        preferences = agent.network.preferences

        def spy(observation, memory, is_first, noise):
            result = preferences(observation, memory, is_first, noise)
            thought.update({tuple(seen): values for seen, values in zip(observation, result[0], strict=True)})
            return result

        agent.network.preferences = spy
        play = Play(agent)
        for _ in range(60):
            play.run(1)
            last = play.chance(play.t - 1)
            for b in np.flatnonzero(last[3] == 2):  # what the final observation would have made it think
                memory = tuple(part[:, b : b + 1] for part in play.memory)
                values, _, _ = preferences(last[1][b : b + 1], memory, np.zeros(1, bool), None)
                final[tuple(last[1][b])] = values[0]
        count = len(agent.replay)
        batch = agent.replay.sample((np.arange(count) + 0.5) / count)
        values, target_values, mask = agent._unroll(batch)
        assert mask is None
        torch.testing.assert_close(values.detach(), target_values, atol=1e-6, rtol=1e-5)
        assert (~batch.acts).sum() > 20
        for t, n in np.ndindex(values.shape[:2]):
            seen = tuple(batch.observation[t + 3, n])
            expected = (thought if batch.acts[t + 3, n] else final)[seen]
            np.testing.assert_allclose(values[t, n].detach().numpy(), expected, atol=1e-5)

    @pytest.mark.parametrize("kind", ["gru", "lstm", "transformer"])
    def test_the_stored_memory_is_that_of_a_run_from_the_beginning(self, kind):
        agent = make(kind, num_envs=1, learning_starts=10_000, prioritised=False)
        play = Play(agent)
        memories, cleared, memory, is_first = [], [], agent.initial_memory(1), np.ones(1, bool)
        for t in range(80):
            play.run(1)
            numbers, final, _, ends = play.chance(t)
            for seen in (numbers, final) if ends[0] == 2 else (numbers,):
                memories.append([part[:, 0].numpy() for part in memory])
                cleared.append(bool(is_first[0]))
                _, _, memory = agent.network.preferences(seen, memory, is_first, None)
                is_first = np.zeros(1, bool)
            is_first = ends > 0
        count = len(agent.replay)
        batch = agent.replay.sample((np.arange(count) + 0.5) / count)
        assert count == (len(memories) - 11) // 3 + 1
        assert batch.is_first[0].tolist() == cleared[: 3 * count : 3]
        for n in np.flatnonzero(~batch.is_first[0]):  # elsewhere it is cleared, whatever it was
            found, expected = [part[:, n] for part in batch.memory], memories[3 * n]
            if kind == "transformer":  # what lies in places that are not valid is of no account
                np.testing.assert_array_equal(found[1], expected[1])
                found, expected = ([part[0] * part[1][..., None]] for part in (found, expected))
            for ours, theirs in zip(found, expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)

    def test_without_stored_memory_sequences_begin_with_none(self):
        agent = make("gru", stored_memory=False, learning_starts=10_000)
        Play(agent).run(30)
        batch = agent.replay.sample(np.array([0.5, 0.7]))
        assert batch.memory == ()
        values, _, _ = agent._unroll(batch)
        encoded, first = torch.from_numpy(batch.observation), torch.from_numpy(batch.is_first)
        numbers, _ = agent.network(encoded, agent.network.initial_memory(2), first)
        torch.testing.assert_close(values, agent.network.values(numbers)[3:])


class TestMasks:
    @staticmethod
    def look(numbers):
        legal = numbers[:, :3] > 0.3
        legal[np.arange(len(numbers)), numbers[:, :3].argmax(axis=1)] = True
        return {"observation": numbers, "action_mask": legal.astype(np.int8)}

    @pytest.mark.parametrize("kind", ["gru", "mlp"])
    def test_no_illegal_action_is_chosen_or_looked_on_to(self, kind):
        agent, free = make(kind, MASKED, epsilon=Schedule(1.0, 0.3, 0.02)), 0
        act, next_value = agent.act, agent._next_value

        def spy(observation, *rest, **kwargs):
            nonlocal free
            decision, legal = act(observation, *rest, **kwargs), observation["action_mask"].astype(bool)
            assert legal[np.arange(4), decision.action].all()
            free += int(((legal.sum(axis=1) > 1) & (decision.action != legal.argmax(axis=1))).sum())
            return decision

        def check(values, target_values, mask):
            found = next_value(values, target_values, mask)
            best = torch.where(mask, values, -torch.inf).argmax(dim=-1, keepdim=True)
            torch.testing.assert_close(found, rescale_inverse(target_values.gather(-1, best)[..., 0]))
            return found

        agent.act, agent._next_value = spy, check
        play = Play(agent, self.look).run(80)
        assert agent.updates == 32
        assert free > 30
        assert play.rows

    def test_a_final_observation_without_a_legal_action_is_worth_something(self):
        agent, values = make(rescale_value=False), torch.tensor([[[1.0, 5.0, 3.0]]])
        assert agent._next_value(values, values, torch.zeros(1, 1, 3, dtype=torch.bool)).tolist() == [[5.0]]


PLAIN = {"prioritised": False, "stored_memory": False, "target_mix": 0.1, "rescale_value": False}


class TestExactness:
    @pytest.mark.parametrize(
        ("kind", "steps", "changes"),
        [("gru", 30, {}), ("gru", 130, PLAIN), ("lstm", 130, {}), ("transformer", 130, {}), ("mlp", 130, PLAIN)],
    )
    def test_a_restored_agent_goes_on_bit_for_bit(self, kind, steps, changes):
        """Before the replay is full, and after it went round; `steps` times 4 is no multiple of the report."""
        changes = changes | {"normalise_observation": True, "learning_rate_schedule": "linear", "report_every": 40}
        straight = Play(make(kind, **changes)).run(steps)
        fresh = make(kind, **changes)
        fresh.load_state_dict(copy.deepcopy(straight.agent.state_dict()))
        assert_same_state(fresh.state_dict(), straight.agent.state_dict())
        twin = straight.onto(fresh)
        expected, found = straight.run(40), twin.run(40)
        np.testing.assert_array_equal(found.actions, expected.actions[-40:])
        assert found.rows == expected.rows[-4:]
        assert_same_state(fresh.state_dict(), straight.agent.state_dict())

    def test_a_training_that_stops_halfway(self):
        """In real worlds, by way of the loop."""
        config = R2D2Config(
            burn_in=4, length=8, n_step=2, batch_size=8, update_every=32, learning_starts=200, replay_capacity=1_000,
            report_every=500, epsilon=Schedule(1.0, 0.1, 0.5),
        )  # fmt: skip

        def begin():
            worlds = CueWorlds(8)
            common = {"num_envs": 8, "total_steps": 3_000, "seed": 1, "device": CPU, "backbone": BACKBONES["gru"]}
            return Loop(R2D2(worlds.observation_space, worlds.action_space, config=config, **common), worlds, 1)

        straight, first, second = begin(), begin(), begin()
        straight.start()
        straight.run(3_000, lambda metrics: False)
        first.start()
        first.run(1_500, lambda metrics: False)
        assert 1_500 <= first.global_step < 1_600
        second.agent.load_state_dict(copy.deepcopy(first.agent.state_dict()))
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        second.run(3_000, lambda metrics: False)
        assert second.agent.updates == straight.agent.updates == 87
        assert_same_state(second.agent.state_dict(), straight.agent.state_dict())

    def test_runs_are_functions_of_the_seed_and_leave_the_global_streams_alone(self):
        torch.manual_seed(5)
        before = torch.get_rng_state()
        one, two, other = (Play(make(seed=seed)).run(60) for seed in (3, 3, 4))
        assert torch.equal(before, torch.get_rng_state())
        np.testing.assert_array_equal(one.actions, two.actions)
        assert torch.equal(one.agent.optimiser.vector, two.agent.optimiser.vector)
        assert not torch.equal(one.agent.optimiser.vector, other.agent.optimiser.vector)
        assert (np.array(one.actions) != np.array(other.actions)).any()


def assert_same_state(left, right, path="state"):
    """The same keys, types, and bytes."""
    assert type(left) is type(right), path
    if isinstance(left, dict):
        assert left.keys() == right.keys(), path
        for key in left:
            assert_same_state(left[key], right[key], f"{path}.{key}")
    elif isinstance(left, torch.Tensor | np.ndarray):
        assert (left.dtype, left.shape) == (right.dtype, right.shape), path
        assert np.asarray(left).tobytes() == np.asarray(right).tobytes(), path
    else:
        assert left == right, path


R2D2_CUE = {
    "burn_in": 4, "length": 12, "n_step": 1, "batch_size": 16, "update_every": 16, "learning_starts": 400, "gamma": 0.9,
    "target_every": 20, "learning_rate": 5e-3, "epsilon": Schedule(1.0, 0.1, 0.5), "replay_capacity": 5_000,
}  # fmt: skip
PQN_CUE = {
    "num_steps": 20, "minibatch_size": 160, "epochs": 4, "learning_rate": 1e-2, "gamma": 0.9,
    "epsilon": Schedule(1.0, 0.1, 0.5),
}  # fmt: skip


class TestCue:
    """The answer lies five steps back: whoever remembers finds it, and who does not has half of it by luck."""

    @pytest.mark.parametrize(
        ("kind", "changes"),
        [
            ("gru", {}),
            pytest.param("gru", {"stored_memory": False, "burn_in": 10}, marks=pytest.mark.slow),
            pytest.param("lstm", {"n_step": 3, "prioritised": False}, marks=pytest.mark.slow),
        ],
    )
    def test_r2d2_with_a_memory(self, kind, changes):
        backbone = {"gru": GRUConfig(width=16, hidden=(16,)), "lstm": LSTMConfig(width=16, hidden=(16,))}[kind]
        assert score(train(R2D2, R2D2Config(**(R2D2_CUE | changes)), backbone, 4_000)) > 0.95

    def test_pqn_with_a_memory(self):
        assert score(train(PQN, PQNConfig(**PQN_CUE), GRUConfig(width=16, hidden=(16,)), 6_000, num_envs=16)) > 0.95

    @pytest.mark.parametrize(("agent", "config"), [(R2D2, R2D2Config(**R2D2_CUE)), (PQN, PQNConfig(**PQN_CUE))])
    def test_neither_without(self, agent, config):
        assert score(train(agent, config, MLPConfig(hidden=(16,)), 4_000, num_envs=16)) < 0.6
