"""Replay of sequences against lists that remember everything: what is stored, what can be sampled, and how often."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.agents.sequence_replay import SequenceReplay
from keel.envs.protocol import Step

from .scripted import BOTH, GOES_ON, TEARS, TERMINATES, TRUNCATES, Worlds, assert_same, chi_square, row

FIELDS = ("action", "reward", "terminated", "acts", "is_first")


def memory_at(t, num_envs):
    """Of every world before step t: two parts of different types, each number another."""
    numbers = t * 10.0 + torch.arange(num_envs)
    return (numbers.repeat(3, 1).unsqueeze(-1) + torch.tensor([0.1, 0.2]), (numbers % 3 == 0).reshape(1, -1, 1))


class Teller:
    """Stands between the scripted worlds and the replay: adds what the network remembered."""

    def __init__(self, replay, num_envs, t=0, stored=True):
        self.replay, self.num_envs, self.t, self.stored = replay, num_envs, t, stored

    def add(self, *args):
        memories = (memory_at(self.t, self.num_envs), memory_at(self.t + 1, self.num_envs)) if self.stored else ()
        self.replay.add(*args, *memories)
        self.t += 1


def lives(worlds):
    """Of each world the list of its elements so far, as they should be."""
    result = []
    for b in range(len(worlds.stacks)):
        life, first = [], True
        for t, step in enumerate(worlds.seen):
            end, now = step.ends[b], memory_at(t, len(worlds.stacks))
            common = {"time": t, "memory": [part[:, b].numpy() for part in now]}
            reward = np.float32(step.reward[b])
            ended = end in (TERMINATES, BOTH)
            life.append(
                SimpleNamespace(
                    **common, observation=row(step.observation, b), action=step.action[b], reward=reward,
                    terminated=ended, acts=True, is_first=first,
                )
            )  # fmt: skip
            first = end != GOES_ON
            if end == TRUNCATES or (end == TEARS and t + 1 < len(worlds.seen)):  # torn: seen when the next one begins
                then = [part[:, b].numpy() for part in memory_at(t + 1, len(worlds.stacks))]
                life.append(
                    SimpleNamespace(
                        time=t, memory=then, observation=row(step.final, b), action=0, reward=np.float32(0),
                        terminated=False, acts=False, is_first=False,
                    )
                )  # fmt: skip
        result.append(life)
    return result


def whole(worlds, slots, length, stride):
    """All sequences that can be sampled, each as a list of elements."""
    return [
        life[start : start + length]
        for life in lives(worlds)
        for start in range(0, len(life) - length + 1, stride)
        if start >= len(life) - slots
    ]


def assert_sequence(found, number, expected, stored=True):
    """Sequence `number` of a sampled batch is the expected list of elements."""
    for t, element in enumerate(expected):
        assert_same(
            row(row(found.observation, t), number) if not isinstance(found.observation, dict)
            else {key: part[t, number] for key, part in found.observation.items()},
            element.observation,
        )  # fmt: skip
        for name in FIELDS:
            assert getattr(found, name)[t, number] == getattr(element, name), (name, t)
    if stored:
        for part, memory in zip(found.memory, expected[0].memory, strict=True):
            assert_same(part[:, number], memory)


def everything(replay):
    """One batch with each sequence once."""
    return replay.sample((np.arange(len(replay)) + 0.5) / len(replay))


@st.composite
def scripts(draw):
    """Settings, and the ends of up to three rounds of the ring."""
    length, stride, num_envs = draw(st.integers(1, 7)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    slots = (-(-(length + stride - 1) // stride) + draw(st.integers(0, 4))) * stride
    ends = st.sampled_from([GOES_ON] * draw(st.integers(1, 8)) + [TERMINATES, TRUNCATES, BOTH, TEARS])
    steps = draw(st.lists(st.lists(ends, min_size=num_envs, max_size=num_envs), min_size=1, max_size=3 * slots))
    kind, exponent = draw(st.sampled_from(["vector", "dict"])), draw(st.sampled_from([None, 0.7]))
    capacity = slots * num_envs + draw(st.integers(0, stride * num_envs - 1))

    def make():
        replay = SequenceReplay(capacity, num_envs, length=length, stride=stride, priority_exponent=exponent)
        return replay, Worlds(num_envs, kind)

    return SimpleNamespace(
        make=make, steps=steps, slots=slots, length=length, stride=stride, num_envs=num_envs, exponent=exponent
    )


class TestContents:
    @settings(max_examples=150, deadline=None)
    @given(scripts())
    def test_every_sequence_is_a_piece_of_a_life(self, script):
        replay, worlds = script.make()
        teller = Teller(replay, script.num_envs)
        for ends in script.steps:
            worlds.step(teller, ends)
        expected = whole(worlds, script.slots, script.length, script.stride)
        assert len(replay) == len(expected)
        if not expected:
            with pytest.raises(ValueError, match=rf"a sequence has {script.length} steps, and at most \d+ were added"):
                replay.sample(np.zeros(1))
            return
        found = everything(replay)
        assert found.action.shape == (script.length, len(expected))
        assert len(set(found.index.tolist())) == len(expected)
        # Worlds and times are told apart by their memory, and a final observation from the first one after it by acts.
        order = np.argsort([sequence[0].memory[0][0, 0] + 0.5 * sequence[0].acts for sequence in expected])
        theirs = np.argsort(found.memory[0][0, :, 0] + 0.5 * found.acts[0])
        for ours, number in zip(order, theirs, strict=True):
            assert_sequence(found, number, expected[ours])

    def test_a_truncation_and_a_termination_by_hand(self):
        replay, worlds = SequenceReplay(40, 1, length=7, stride=7), Worlds(1)
        for end in (GOES_ON, TRUNCATES, GOES_ON, TERMINATES, GOES_ON, GOES_ON):
            worlds.step(replay, [end])
        found = replay.sample(np.array([0.5]))
        assert found.acts[:, 0].tolist() == [True, True, False, True, True, True, True]
        assert found.is_first[:, 0].tolist() == [True, False, False, True, False, True, False]
        assert found.terminated[:, 0].tolist() == [False, False, False, False, True, False, False]
        # Frames are numbered as they are made: 1 the first, 2 and 3 what followed, of which 3 is the final one.
        assert (np.asarray(found.observation)[:, 0, 0] / 100).tolist() == [1, 2, 3, 4, 5, 7, 8]
        assert found.memory == ()

    def test_worlds_drift_apart(self):
        """World 0 is truncated at every step and so writes twice as many elements."""
        replay, worlds = SequenceReplay(16, 2, length=4, stride=2), Worlds(2)
        for _ in range(4):
            worlds.step(replay, [TRUNCATES, GOES_ON])
        assert replay._written.tolist() == [8, 4]
        assert len(replay) == 3 + 1
        acts = {tuple(column) for column in everything(replay).acts.T.tolist()}
        assert acts == {(True, False, True, False), (True, True, True, True)}

    def test_each_element_is_stored_once(self):
        replay, worlds = SequenceReplay(1000, 1, length=100, stride=10), Worlds(1)
        worlds.step(Teller(replay, 1), [GOES_ON])
        element = 2 * 4 + 8 + 4 + 1 + 1 + 1  # two float32, an int64, a float32, three flags
        memory = 3 * 2 * 4 + 1
        assert replay.nbytes == 1000 * element + 100 * memory
        assert replay.sequences == 100

    def test_recent(self):
        replay, worlds = SequenceReplay(24, 2, length=4, stride=2), Worlds(2)
        with pytest.raises(ValueError, match="no step"):
            replay.recent(1)
        for steps in range(1, 31):
            worlds.step(replay, [GOES_ON, GOES_ON])
            for wanted in (1, 5, 100):
                have = min(wanted, steps, 12)
                expected = np.array([step.observation for step in worlds.seen[-have:]])
                assert_same(replay.recent(wanted), expected)


class TestPriorities:
    def fill(self, exponent=0.7, steps=40):
        replay = SequenceReplay(48, 2, length=6, stride=3, priority_exponent=exponent)
        worlds, random = Worlds(2), np.random.default_rng(0)
        for _ in range(steps):
            worlds.step(Teller(replay, 2, len(worlds.seen)), random.choice([GOES_ON, TERMINATES, TRUNCATES], 2))
        return replay, worlds

    @settings(max_examples=60, deadline=None)
    @given(scripts())
    def test_exactly_what_is_whole_has_a_priority(self, script):
        replay, worlds = script.make()
        for t, ends in enumerate(script.steps):
            worlds.step(Teller(replay, script.num_envs, t), ends)
            if replay._tree is not None:
                expected = len(whole(worlds, script.slots, script.length, script.stride))
                assert np.count_nonzero(replay._tree.leaves) == expected == len(replay)
                if expected and t % 5 == 0:
                    batch = replay.sample(np.array([0.3, 0.6]))
                    replay.update_priorities(batch.index, np.array([t * 1.0, t * 2.0]))

    def test_chances_and_weights(self):
        replay, _ = self.fill()
        plain = everything(replay)
        error = np.linspace(0.0, 3.0, len(plain.index))
        replay.update_priorities(plain.index, error)
        chances = np.zeros(replay.sequences)
        chances[plain.index] = (error + 1e-6) ** 0.7
        chances /= chances.sum()
        random, counts = np.random.default_rng(1), np.zeros(replay.sequences)
        for _ in range(500):
            batch = replay.sample(random.random(8), 0.4)
            np.add.at(counts, batch.index, 1)
            expected = chances[batch.index] ** -0.4
            np.testing.assert_allclose(batch.weight, expected / expected.max(), rtol=1e-5)
        assert chi_square(counts, chances) > 1e-3

    def test_uniform_chances(self):
        replay, _ = self.fill(exponent=None)
        index = everything(replay).index
        random, counts = np.random.default_rng(1), np.zeros(replay.sequences)
        for _ in range(300):
            batch = replay.sample(random.random(8))
            np.add.at(counts, batch.index, 1)
            assert (batch.weight == 1).all()
        chances = np.zeros(replay.sequences)
        chances[index] = 1 / len(index)
        assert chi_square(counts, chances) > 1e-3
        replay.update_priorities(index, np.ones(len(index)))  # does nothing

    def test_a_new_sequence_has_the_largest_so_far(self):
        replay, worlds = self.fill()
        index = everything(replay).index
        replay.update_priorities(index[:2], np.array([7.0, 2.0]))
        before = replay._tree.leaves.copy()
        for _ in range(3):
            worlds.step(Teller(replay, 2), [GOES_ON, GOES_ON])
        new = replay._tree.leaves[(replay._tree.leaves != before) & (replay._tree.leaves > 0)]
        assert len(new) == 2
        np.testing.assert_allclose(new, (7.0 + 1e-6) ** 0.7)

    def test_errors_that_are_no_numbers(self):
        replay, _ = self.fill()
        with pytest.raises(ValueError, match="an error of a sequence is infinite or nan"):
            replay.update_priorities(replay.sample(np.zeros(1)).index, np.array([np.nan]))


class TestState:
    @settings(max_examples=60, deadline=None)
    @given(scripts(), st.data())
    def test_a_restored_replay_is_the_same_and_goes_on_alike(self, script, data):
        replay, worlds = script.make()
        stop = data.draw(st.integers(0, len(script.steps)))
        for t, ends in enumerate(script.steps[:stop]):
            worlds.step(Teller(replay, script.num_envs, t), ends)
        if len(replay):
            replay.update_priorities(replay.sample(np.array([0.2, 0.9])).index, np.array([0.5, 3.0]))
        fresh, _ = script.make()
        fresh.load_state_dict(copy.deepcopy(replay.state_dict()))
        assert_same(fresh.state_dict(), replay.state_dict())
        twins = copy.deepcopy(worlds)
        for t, ends in enumerate(script.steps[stop:], stop):
            worlds.step(Teller(replay, script.num_envs, t), ends)
            twins.step(Teller(fresh, script.num_envs, t), ends)
        assert_same(fresh.state_dict(), replay.state_dict())
        if len(replay):
            ours, theirs = (one.sample(np.linspace(0, 0.99, 9), 0.5)._asdict() for one in (replay, fresh))
            assert_same({**ours, "memory": {}}, {**theirs, "memory": {}})
            for left, right in zip(ours["memory"], theirs["memory"], strict=True):
                assert_same(left, right)

    def test_what_is_not_filled_is_not_saved(self):
        replay, worlds = SequenceReplay(2_000, 2, length=6, stride=3, priority_exponent=0.5), Worlds(2)
        for t in range(10):
            worlds.step(Teller(replay, 2, t), [TRUNCATES, GOES_ON])
        state = replay.state_dict()
        assert state["arrays"]["action"].shape == (40,)  # world 0 has 20 elements
        assert state["memory"]["0"].shape == (14, 3, 2)
        assert state["priorities"].shape == (14,)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"length": 7}, "length 6 instead of 7"),
            ({"stride": 2}, "stride 3 instead of 2"),
            ({"priority_exponent": 0.5}, "priorities False instead of True"),
            ({"capacity": 60}, "slots 24 instead of 30"),
        ],
    )
    def test_another_shape_is_refused(self, settings, message):
        common = {"capacity": 48, "num_envs": 2, "length": 6, "stride": 3}
        with pytest.raises(ValueError, match=f"the state is that of another replay: {message}"):
            SequenceReplay(**(common | settings)).load_state_dict(SequenceReplay(**common).state_dict())


def test_a_capacity_in_which_no_sequence_is_whole_at_times_is_refused():
    message = r"replay_capacity is 31, .*2 worlds do not always keep a whole sequence of 11 steps: .*at least 32"
    with pytest.raises(ValueError, match=message):
        SequenceReplay(31, 2, length=11, stride=4)


@pytest.mark.parametrize(("length", "stride", "least"), [(11, 4, 16), (63, 20, 100), (5, 5, 10), (7, 1, 7), (4, 9, 18)])
def test_at_the_least_capacity_a_sequence_is_whole_at_any_moment(length, stride, least):
    replay = SequenceReplay(least, 1, length=length, stride=stride)
    step = Step(np.zeros((1, 1)), np.zeros(1), np.zeros(1, bool), np.zeros(1, bool), None, {})
    with pytest.raises(ValueError, match="replay_capacity"):
        SequenceReplay(least - 1, 1, length=length, stride=stride)
    for number in range(1, 5 * least):
        replay.add(np.zeros((1, 1)), np.zeros(1, np.int64), step, np.array([number == 1]))
        assert (len(replay) > 0) == (number >= length)
