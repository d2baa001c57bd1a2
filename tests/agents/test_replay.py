"""Replay against plain lists of everything that ever happened, searched step by step."""

import io
import tracemalloc

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.agents.replay import FrameStack, Replay
from keel.envs.protocol import Step
from keel.runners.state_format import decode, encode, plan_tensors, read_json, read_tensors, tensor_chunks, write_json

from .scripted import GAMMA, GOES_ON, TRUNCATES, Worlds, assert_same, chi_square, row, scripts


def check_everything(replay, worlds, slots, n):
    """Every valid transition can be sampled, no other, and all of them are right."""
    valid = worlds.valid(slots, n)
    assert len(replay) == len(valid)
    if not valid:
        with pytest.raises(ValueError, match="sampling takes more than n_step"):
            replay.sample(np.zeros(1))
        return
    # One chance for each transition, in the middle of its share.
    batch = replay.sample(
        (np.arange(len(valid)) + 0.5) / len(valid) if replay._tree is None else np.full(len(valid), 0.5)
    )
    num_envs, now = len(worlds.stacks), len(worlds.seen)
    found = set()
    for i, index in enumerate(batch.index):
        slot, b = divmod(int(index), num_envs)
        t = now - 1 - (now - 1 - slot) % slots
        found.add((t, b))
        observation, action, return_, discount, following = worlds.transition(t, b, n)
        assert_same(row(batch.observation, i), observation)
        assert (batch.action[i], batch.return_[i], batch.discount[i]) == (action, return_, discount)
        if discount:
            assert_same(row(batch.next_observation, i), following)
    assert found == valid
    assert [part.dtype for part in batch[1:4]] == [np.int64, np.float32, np.float32]
    assert (batch.weight == 1).all()
    assert batch.weight.dtype == np.float32
    assert batch.index.dtype == np.int64


@settings(max_examples=150, deadline=None)
@given(scripts())
def test_every_transition_is_right_at_every_time(script) -> None:
    replay, worlds = script.make()
    for ends in script.steps:
        worlds.step(replay, ends)
        check_everything(replay, worlds, script.slots, script.n)


@settings(max_examples=50, deadline=None)
@given(scripts(), st.integers(1, 60))
def test_recent_observations(script, steps) -> None:
    replay, worlds = script.make()
    for ends in script.steps:
        worlds.step(replay, ends)
    now = len(worlds.seen)
    whole = now if now <= script.slots else script.slots - script.count + 1
    recent = replay.recent(steps)
    times = range(now - min(whole, steps), now)
    assert len(recent["observation"] if isinstance(recent, dict) else recent) == len(times)
    for i, t in enumerate(times):
        assert_same(row(recent, i), worlds.seen[t].observation)


def run(replay, worlds, steps, seed):
    """Add, sample and update; returns all that was sampled, as bytes."""
    random, sampled = np.random.default_rng(seed), []
    for ends in steps:
        worlds.step(replay, ends)
        chance = random.random(6)
        if len(replay):
            batch = replay.sample(chance, beta=0.4)
            replay.update_priorities(batch.index, chance * 5)
            sampled.append(as_bytes(batch._asdict()))
    return sampled


def as_bytes(state):
    document, arrays = encode(state)
    return write_json(document), b"".join(tensor_chunks(plan_tensors(arrays)))


def from_bytes(document, tensors):
    file = io.BytesIO(tensors)
    return decode(read_json(document), read_tensors(file.readinto, len(tensors)))


@settings(max_examples=100, deadline=None)
@given(scripts(), st.data())
def test_stopping_and_resuming_changes_nothing(script, data) -> None:
    stop = data.draw(st.integers(0, len(script.steps)))
    replay, worlds = script.make()
    run(replay, worlds, script.steps[:stop], 0)
    document, tensors = as_bytes(replay.state_dict())
    assert as_bytes(replay.state_dict()) == (document, tensors)
    resumed, twin = script.make()
    run(resumed, twin, script.steps[: data.draw(st.integers(0, stop))], 1)  # what it held before must not matter
    resumed.load_state_dict(from_bytes(document, tensors))
    assert as_bytes(resumed.state_dict()) == (document, tensors)
    _, twin = script.make()
    run(script.make()[0], twin, script.steps[:stop], 0)
    assert run(resumed, twin, script.steps[stop:], 2) == run(replay, worlds, script.steps[stop:], 2)
    assert as_bytes(resumed.state_dict()) == as_bytes(replay.state_dict())


@settings(max_examples=50, deadline=None)
@given(scripts(exponents=(0.7,)))
def test_only_valid_transitions_have_a_priority(script) -> None:
    replay, worlds = script.make()
    random, largest = np.random.default_rng(0), 1.0
    for ends in script.steps:
        before = worlds.valid(script.slots, script.n)
        worlds.step(replay, ends)
        valid = worlds.valid(script.slots, script.n)
        leaves = replay._tree.leaves.copy()
        rows = {(t, b): t % script.slots * script.num_envs + b for t, b in valid}
        assert set(np.flatnonzero(leaves)) == set(rows.values())
        assert all(leaves[rows[each]] == largest for each in valid - before)
        if valid:
            # Every index there is, so that those of old batches are among them.
            error = random.exponential(1, script.slots * script.num_envs)
            replay.update_priorities(np.arange(len(error)), error)
            expected = (error + 1e-6) ** 0.7
            kept = np.array(sorted(rows.values()))
            np.testing.assert_array_equal(np.flatnonzero(replay._tree.leaves), kept)
            np.testing.assert_array_equal(replay._tree.leaves[kept], expected[kept])
            largest = max(largest, expected[kept].max())


def prioritised(exponent=0.6, count=40, worlds=2):
    """A replay that has wrapped, with known errors for all that can be sampled."""
    replay, world = Replay(count * worlds, worlds, n_step=2, gamma=GAMMA, priority_exponent=exponent), Worlds(worlds)
    for _ in range(count + 13):
        world.step(replay, [GOES_ON] * worlds)
    indices = np.flatnonzero(replay._tree.leaves)
    error = np.random.default_rng(5).exponential(1, len(indices)) * np.where(indices % 2, 1, -1)
    replay.update_priorities(indices, error)
    return replay, indices, error


def chances_of(indices, error, exponent, size):
    chance = np.zeros(size)
    chance[indices] = (np.abs(error) + 1e-6) ** exponent
    return chance / chance.sum()


@pytest.mark.parametrize("exponent", [0.6, 1.0])
def test_prioritised_draws_follow_the_priorities(exponent) -> None:
    """Strata make the counts more even than independent draws would, so chi-square errs on the safe side here."""
    replay, indices, error = prioritised(exponent)
    random = np.random.default_rng(2)
    drawn = np.concatenate([replay.sample(random.random(25)).index for _ in range(40_000)])
    counts = np.bincount(drawn, minlength=80)
    assert chi_square(counts, chances_of(indices, error, exponent, 80)) > 1e-3
    assert chi_square(counts, chances_of(indices, error, exponent + 0.02, 80)) < 1e-3


def test_single_draws_are_independent_of_the_strata() -> None:
    replay, indices, error = prioritised()
    random = np.random.default_rng(3)
    counts = np.bincount([replay.sample(random.random(1)).index[0] for _ in range(20_000)], minlength=80)
    assert chi_square(counts, chances_of(indices, error, 0.6, 80)) > 1e-3


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_importance_weights(beta) -> None:
    replay, indices, error = prioritised()
    batch = replay.sample(np.random.default_rng(4).random(32), beta)
    chance = chances_of(indices, error, 0.6, 80)[batch.index]
    weight = (len(replay) * chance) ** -beta
    np.testing.assert_allclose(batch.weight, weight / weight.max(), rtol=2e-7)
    assert batch.weight.max() == 1


def test_one_draw_in_each_stratum() -> None:
    replay, indices, error = prioritised()
    chance = chances_of(indices, error, 0.6, 80)
    index = replay.sample(np.random.default_rng(6).random(10**6)).index
    assert (np.diff(index) >= 0).all()
    assert np.abs(np.bincount(index, minlength=80) - chance * 10**6).max() <= 2
    np.testing.assert_array_equal(replay.sample(np.full(1, 1 - 2**-53)).index, indices[-1:])


def test_uniform_draws_hold_at_the_edges() -> None:
    replay, world = Replay(8, 1, n_step=1, gamma=GAMMA), Worlds(1)
    for _ in range(4):
        world.step(replay, [GOES_ON])
    edges = [0, 1 / 3 - 1e-9, 1 / 3 + 1e-9, 1 - 2**-53]
    np.testing.assert_array_equal(replay.sample(np.array(edges)).index, [0, 0, 1, 2])
    replay.update_priorities(np.array([0]), np.array([3.0]))
    np.testing.assert_array_equal(replay.sample(np.array([0.99])).index, [2])


class Counting(gym.Env):
    """Its frames are all different; episodes end after 1, 2, 3 … steps."""

    observation_space = spaces.Box(0, 255, (3, 2), np.uint8)
    action_space = spaces.Discrete(2)
    frame = episode = 0

    def _look(self):
        self.frame += 1
        return (self.frame * 6 + np.arange(6).reshape(3, 2)).astype(np.uint8)

    def reset(self, *, seed=None, options=None):
        self.episode, self.age = self.episode + 1, 0
        return self._look(), {}

    def step(self, action):
        self.age += 1
        return self._look(), 1.0, self.age >= self.episode, False, {}


def test_stacks_are_those_of_gymnasium() -> None:
    env, whole = gym.wrappers.FrameStackObservation(Counting(), 4), []
    replay = Replay(50, 1, n_step=1, gamma=GAMMA, frames=FrameStack(4, 0))
    observation, first, ended = env.reset()[0], True, np.zeros(1, bool)
    for _ in range(30):
        following, _, done, _, _ = env.step(0)
        whole.append(observation)
        step = Step(following[None], np.ones(1), np.array([done]), ended, following[None] if done else None, {})
        replay.add(observation[None], np.zeros(1, int), step, np.array([first]))
        observation, first = env.reset()[0] if done else following, done
    assert_same(replay.sample((np.arange(29) + 0.5) / 29).observation, np.stack(whole[:29]))
    assert_same(replay.recent(7), np.stack(whole[-7:])[:, None])


def image_replay(slots, folder=None):
    """What one million Atari transitions are stored as, in small."""
    replay = Replay(slots, 1, n_step=3, gamma=GAMMA, frames=FrameStack(4, 0), priority_exponent=0.5, folder=folder)
    no = np.zeros(1, bool)
    for t in range(slots + 2):
        image = np.full((1, 4, 84, 84), t % 256, np.uint8)
        replay.add(image, no, Step(image, np.ones(1), no, no, None, {}), np.array([t == 0]))
    return replay


def test_a_million_images_fit_in_seven_gigabytes(tmp_path) -> None:
    tracemalloc.start()
    try:
        replay = image_replay(10_000)
        measured = tracemalloc.get_traced_memory()[0]
        in_file = image_replay(10_000, tmp_path)
        beside_the_file = tracemalloc.get_traced_memory()[0] - measured
    finally:
        tracemalloc.stop()
    assert measured * 100 <= 7.2e9
    assert 0.99 * measured < replay.nbytes <= measured
    assert beside_the_file < 0.02 * measured
    state = replay.state_dict()
    stored = state["arrays"]["observation"]
    assert np.shares_memory(stored, replay._observations.ring)
    assert np.shares_memory(state["priorities"], replay._tree.leaves)
    assert as_bytes(in_file.state_dict()) == as_bytes(state)
    assert list(tmp_path.iterdir()) == []


def test_only_what_is_filled_is_saved() -> None:
    replay, world = Replay(1000, 2, n_step=1, gamma=GAMMA, priority_exponent=1), Worlds(2)
    assert replay.nbytes == 0
    for _ in range(3):
        world.step(replay, [GOES_ON] * 2)
    state = replay.state_dict()
    assert {name: array.shape for name, array in state["arrays"].items() if name != "observation"} == {
        name: (3, 2) for name in ("action", "reward", "terminated", "truncated", "final_number")
    }
    assert state["arrays"]["observation"].shape == (3, 2, 2)
    assert state["priorities"].shape == (6,)


@settings(max_examples=20, deadline=None)
@given(scripts())
def test_in_a_folder_it_is_the_same(tmp_path_factory, script) -> None:
    folder = tmp_path_factory.mktemp("replay")
    (replay, worlds), (twin, other_worlds) = script.make(), script.make(folder)
    assert run(replay, worlds, script.steps, 0) == run(twin, other_worlds, script.steps, 0)
    assert as_bytes(replay.state_dict()) == as_bytes(twin.state_dict())
    assert list(folder.iterdir()) == []


def test_final_observations_take_no_more_rows_than_live_at_once() -> None:
    replay, world = Replay(60, 3, n_step=1, gamma=GAMMA), Worlds(3)
    for t in range(500):
        world.step(replay, [TRUNCATES, TRUNCATES if t % 2 else GOES_ON, GOES_ON])
    assert replay._finals.next == 750
    assert replay._finals.next - replay._finals.first == 30
    assert replay._finals.length == 32
    check_everything(replay, world, 20, 1)


def test_numbers_of_final_observations_may_wrap() -> None:
    """After 2^31 truncated episodes they begin anew."""
    replay, world = Replay(30, 1, n_step=1, gamma=GAMMA), Worlds(1)
    replay._finals.first = replay._finals.next = 2**31 - 20
    for _ in range(70):
        world.step(replay, [TRUNCATES])
        check_everything(replay, world, 30, 1)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        (
            {"capacity": 15},
            "capacity is 15, which is 7 steps of 2 worlds; n_step 3 and stacks of 4 frames need at least 16",
        ),
        ({"n_step": 0}, "n_step is 0; it must be at least 1"),
    ],
)
def test_impossible_settings(settings_, message) -> None:
    with pytest.raises(ValueError, match=message):
        Replay(**{"capacity": 16, "num_envs": 2, "n_step": 3, "gamma": GAMMA, "frames": FrameStack(4, 0)} | settings_)


@pytest.mark.parametrize(
    ("shape", "axis", "message"),
    [
        ((6, 2), 0, "frames.count is 4, which does not divide the 6 entries of axis 0"),
        ((4, 2), -1, "frames.count is 4, which does not divide the 2 entries of axis -1"),
        ((4, 2), 2, "frames.axis is 2, but one observation has the shape"),
        (None, 0, "no array 'observation'"),
        ((4, 2), 0, "an episode began with a stack of different frames"),
    ],
)
def test_what_is_no_stack_is_refused(shape, axis, message) -> None:
    replay = Replay(50, 1, n_step=1, gamma=GAMMA, frames=FrameStack(4, axis))
    look = {"pixels": np.zeros((1, 4))} if shape is None else np.arange(np.prod(shape)).reshape(1, *shape)
    no = np.zeros(1, bool)
    with pytest.raises(ValueError, match=message):
        replay.add(look, no, Step(look, np.zeros(1), no, no, None, {}), ~no)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"capacity": 61}, "another replay: slots 25 instead of 30$"),
        ({"num_envs": 1}, "slots 25 instead of 50, num_envs 2 instead of 1"),
        ({"n_step": 2}, "n_step 3 instead of 2"),
        ({"frames": FrameStack(2, 0)}, r"frames None instead of \[2, 0\]"),
        ({"priority_exponent": 0.5}, "priorities False instead of True"),
    ],
)
def test_the_state_of_another_replay_is_refused(change, message) -> None:
    options = {"capacity": 50, "num_envs": 2, "n_step": 3, "gamma": GAMMA}
    with pytest.raises(ValueError, match=message):
        Replay(**(options | change)).load_state_dict(Replay(**options).state_dict())


def test_errors_that_are_no_numbers_are_refused() -> None:
    replay, indices, _ = prioritised()
    with pytest.raises(ValueError, match="infinite or nan"):
        replay.update_priorities(indices[:2], np.array([1.0, np.nan]))
