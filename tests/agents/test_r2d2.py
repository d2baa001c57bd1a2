"""R2D2: targets and rescaling by hand and by brute force, one gradient step against loops, what it refuses."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.agents.r2d2 import R2D2Config, rescale, rescale_inverse, sequence_error, sequence_targets
from keel.envs.errors import KeelError

from .remembering import BACKBONES, Play, make
from .scripted import GOES_ON, TERMINATES, TRUNCATES, Worlds

ALL = pytest.mark.parametrize("kind", BACKBONES)


class TestRescaling:
    def test_by_hand(self):
        value = torch.tensor([0.0, 3.0, -3.0, 99.0, -0.21], dtype=torch.float64)
        expected = [0.0, 1.003, -1.003, 9.099, -0.10021]
        np.testing.assert_allclose(rescale(value).numpy()[:4], expected[:4], rtol=1e-12)
        assert rescale(value)[4] == pytest.approx(-(1.21**0.5 - 1) - 0.00021)

    @given(st.floats(-1e6, 1e6))
    def test_the_inverse(self, number):
        value = torch.tensor(number, dtype=torch.float64)
        assert float(rescale_inverse(rescale(value))) == pytest.approx(number, rel=1e-9, abs=1e-9)
        assert float(rescale(rescale_inverse(value / 100))) == pytest.approx(number / 100, rel=1e-9, abs=1e-9)

    def test_single_precision_keeps_its_digits(self):
        """The textbook form loses four of them."""
        value = torch.logspace(-1, 4, 200)
        torch.testing.assert_close(rescale_inverse(rescale(value)), value, rtol=2e-6, atol=1e-6)


@st.composite
def pieces(draw):
    """Sequences [T N] as the replay gives them, each world's elements drawn as a life."""
    n_step, length, batch = draw(st.integers(1, 5)), draw(st.integers(1, 8)), draw(st.integers(1, 3))
    size = length + n_step
    terminated, acts = np.zeros((size, batch), bool), np.ones((size, batch), bool)
    for b in range(batch):
        for t in range(size):
            if t and acts[t - 1, b] and not terminated[t - 1, b] and draw(st.integers(0, 4)) == 0:
                acts[t, b] = False  # the step before was truncated
            else:
                terminated[t, b] = draw(st.integers(0, 4)) == 0
    numbers = np.random.default_rng(draw(st.integers(0, 1000))).normal(size=(2, size, batch))
    return n_step, numbers[0] * acts, terminated, acts, numbers[1]


class TestTargets:
    @settings(max_examples=200, deadline=None)
    @given(pieces())
    def test_brute_force(self, piece):
        n_step, reward, terminated, acts, value = piece
        found = sequence_targets(*(torch.from_numpy(part) for part in piece[1:]), gamma=0.9, n_step=n_step).numpy()
        assert found.shape == (len(reward) - n_step, reward.shape[1])
        for t, b in np.argwhere(acts[: len(found)]):
            rewards, now, looks_on = [], t, True
            while looks_on and len(rewards) < n_step and acts[now, b]:
                rewards.append(reward[now, b])
                looks_on = not terminated[now, b]
                now += 1
            expected = sum(0.9**k * r for k, r in enumerate(rewards))
            expected += 0.9 ** len(rewards) * value[now, b] if looks_on else 0.0
            assert found[t, b] == pytest.approx(expected)

    def test_by_hand(self):
        """Three steps, of which the second is truncated; its final observation is worth 8. Then one that terminates."""
        reward = torch.tensor([[1.0], [2.0], [0.0], [4.0], [16.0], [0.0]])
        acts = torch.tensor([[True], [True], [False], [True], [True], [True]])
        terminated = torch.tensor([[False], [False], [False], [True], [False], [False]])
        value = torch.tensor([[100.0], [100.0], [8.0], [100.0], [100.0], [32.0]])
        found = sequence_targets(reward, terminated, acts, value, gamma=0.5, n_step=2)[:, 0].tolist()
        assert found[:2] == [1 + 0.5 * 2 + 0.25 * 8, 2 + 0.5 * 8]
        assert found[3] == 4.0

    def test_what_lies_beyond_an_end_plays_no_part_even_if_it_is_no_number(self):
        yes, no, zero = torch.tensor([[True]] * 3), torch.tensor([[False]] * 3), torch.zeros(3, 1)
        value = torch.tensor([[0.0], [float("inf")], [0.0]])
        terminated = torch.tensor([[True], [False], [False]])
        assert sequence_targets(zero, terminated, yes, value, gamma=0.9, n_step=2)[0].tolist() == [0.0]
        assert torch.isinf(sequence_targets(zero, no, yes, value, gamma=0.9, n_step=1)[0]).all()

    def test_the_error_of_a_sequence(self):
        error = torch.tensor([[1.0, 0.0], [-3.0, 9.0], [2.0, 4.0]])
        acts = torch.tensor([[True, True], [True, False], [True, True]])
        torch.testing.assert_close(sequence_error(error, acts), torch.tensor([0.9 * 3 + 0.1 * 2, 0.9 * 4 + 0.1 * 2]))
        assert sequence_error(error[:1], ~acts[:1]).tolist() == [0.0, 0.0]


class TestLearning:
    @ALL
    @pytest.mark.parametrize("changes", [{}, {"prioritised": False, "rescale_value": False, "double": False}])
    def test_one_step_equals_loops_over_sequences(self, kind, changes):
        torch.set_default_dtype(torch.float64)
        try:
            agent = make(kind, max_gradient_norm=0.1, learning_rate=1e-2, learning_starts=200, **changes)
            Play(agent).run(50)
            agent.optimiser.vector.add_(0.1 * torch.sin(torch.arange(len(agent.optimiser.vector))))  # not the target
            sample, batches, peer = agent.replay.sample, [], copy.deepcopy(agent.network)
            agent.replay.sample = lambda *args: batches.append(sample(*args)) or batches[-1]
            found = agent._learn()
        finally:
            torch.set_default_dtype(torch.float32)
        (batch,) = batches
        losses, errors, values, targets = self.loops(agent, peer, batch)
        loss = torch.stack([w * x for w, row in zip(batch.weight, losses, strict=True) for x in row]).mean()
        expected = [loss.item(), np.mean(values), np.mean(targets)]  # not rescaled
        assert found[:3].tolist() == pytest.approx(expected)
        parameters = list(peer.parameters())
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = gradient
        norm = torch.nn.utils.clip_grad_norm_(parameters, 0.1).item()
        assert norm > 0.1
        assert found[3].item() == pytest.approx(norm)
        torch.optim.Adam(parameters, 1e-2, eps=1e-8).step()
        for ours, theirs in zip(agent.network.parameters(), parameters, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-8)
        if agent.config.prioritised:
            expected = [0.9 * max(row) + 0.1 * np.mean(row) for row in errors]
            found = dict(zip(batch.index, (np.array(expected) + 1e-6) ** 0.9, strict=True))  # the last of twins counts
            for index, priority in found.items():
                assert agent.replay._tree.leaves[index] == pytest.approx(priority)

    def loops(self, agent, peer, batch):
        """Losses and absolute errors of the steps with actions, one list a sequence, and values and targets of all."""
        config, losses, errors, values, targets = agent.config, [], [], [], []
        bend, unbend = (rescale, rescale_inverse) if config.rescale_value else ((lambda x: x),) * 2
        for n in range(config.batch_size):
            own, theirs = (self.walk(net, batch, n, config.burn_in) for net in (peer, agent.target))
            chooser = own if config.double else theirs
            value = [unbend(b[a.argmax()]).item() for a, b in zip(chooser, theirs, strict=True)]
            losses.append([])
            errors.append([])
            for t in range(config.burn_in, config.burn_in + config.length):
                if not batch.acts[t, n]:
                    continue
                target, scale, now = 0.0, 1.0, t
                for _ in range(config.n_step):
                    target += scale * float(batch.reward[now, n])
                    scale *= 0.0 if batch.terminated[now, n] else config.gamma
                    now += 1
                    if scale == 0.0 or not batch.acts[now, n]:
                        break
                targets.append(target + scale * value[now])
                values.append(unbend(own[t][batch.action[t, n]]).item())
                error = own[t][batch.action[t, n]] - bend(torch.tensor(targets[-1], dtype=torch.float64))
                size = error.abs()
                losses[-1].append(torch.where(size < 1, error.square() / 2, size - 0.5))
                errors[-1].append(size.item())
        return losses, errors, values, targets

    def walk(self, network, batch, n, burn_in):
        """The values of every step of sequence n, one step at a time."""
        memory, result = tuple(torch.from_numpy(part[:, n : n + 1]) for part in batch.memory), []
        for t in range(len(batch.action)):
            seen = torch.from_numpy(batch.observation[t, n]).double().reshape(1, 1, 4)
            numbers, memory = network(seen, memory, torch.tensor([[bool(batch.is_first[t, n])]]))
            if t < burn_in:
                memory = tuple(part.detach() for part in memory)
            result.append(numbers[0, 0, :, 0])
        return result

    def test_gradient_steps_and_targets_come_on_time(self):
        agent = make(num_envs=3, update_every=7, target_every=3, learning_starts=50)
        play, start = Play(agent), agent.target_vector.clone()
        for step in range(3, 302, 3):
            play.run(1)
            assert agent.global_step == step
            assert agent.updates == agent.optimiser.steps == max(step - 50, 0) // 7
            if agent.updates % 3 == 0 and agent.updates:
                assert torch.equal(agent.target_vector, agent.optimiser.vector) or step % 7 > 2
            assert torch.equal(agent.target_vector, start) == (agent.updates < 3)
        assert [row["policy/gradient_steps"] for row in play.rows] == [7, 14, 14]
        assert agent.epsilon < 1

    @pytest.mark.parametrize("kind", ["gru", "transformer"])
    def test_a_gradient_step_on_another_device(self, kind):
        """The meta device computes nothing but refuses to mix devices, as a GPU would."""
        space = spaces.Box(-1, 1, (2,), np.float32)
        agent = make(kind, space, device=torch.device("meta"), prioritised=False, num_envs=1, stored_memory=False)
        worlds = Worlds(1)
        for t in range(30):
            worlds.step(agent.replay, [(GOES_ON, TERMINATES, GOES_ON, TRUNCATES)[t % 4]])
        agent.replay._action %= 3
        assert agent._learn().device.type == "meta"


class TestRefusals:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("gamma", 1.5), ("learning_rate", 0.0), ("batch_size", 0), ("burn_in", -1), ("length", 0), ("n_step", 0),
            ("update_every", 0), ("learning_starts", -1), ("replay_capacity", 0), ("priority_exponent", 1.5),
            ("target_every", 0), ("target_mix", 0.0), ("target_mix", 1.5), ("max_gradient_norm", 0.0),
            ("adam_epsilon", 0.0), ("report_every", 0), ("head_hidden", -1),
        ],
    )  # fmt: skip
    def test_values_out_of_range_are_refused_by_name(self, field, value):
        with pytest.raises(ValueError, match=rf"{field} is {value}: it must"):
            dataclasses.replace(R2D2Config(), **{field: value})

    def test_a_start_before_a_sequence_is_whole(self):
        with pytest.raises(ValueError, match=r"learning_starts is 43: with 4 worlds .* = 11 .* after 44 steps"):
            make(learning_starts=43)
        Play(make(learning_starts=44, update_every=1)).run(12)

    def test_a_replay_below_a_sequence(self):
        with pytest.raises(
            ValueError, match=r"replay_capacity is 40, .*4 worlds do not always keep a whole sequence of 11 steps"
        ):
            make(replay_capacity=40)

    def test_memories_that_would_not_fit(self):
        changes = {"replay_capacity": 10**9, "prioritised": False}
        with pytest.raises(ValueError, match=r"would keep \d+\.\d GiB of the network's memory: set stored_memory"):
            make("lstm", **changes)
        make("lstm", stored_memory=False, **changes)  # nothing is claimed before it is needed

    def test_actions_that_are_not_discrete(self):
        with pytest.raises(ValueError, match=r"the actions are Box.*: Q-learning needs Discrete ones"):
            make(actions=spaces.Box(-1, 1, (2,), np.float32))

    def test_divergence_is_named(self):
        agent = make(prioritised=True)
        play = Play(agent).run(15)
        agent.replay._reward[:] = np.nan
        with pytest.raises(KeelError, match=r"loss/td is nan in update 0, step 68: training has diverged"):
            play.run(2)
