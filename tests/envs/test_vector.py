"""The vector environment against single Gymnasium environments that the tests reset by hand."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.envs.errors import KeelError
from keel.envs.protocol import Array, Step
from keel.envs.seeding import derive_seed
from keel.envs.vector import make_vec


class ByHand:
    """World `index` of a run as one Gymnasium environment: the law that the vector environment must follow."""

    def __init__(self, env_id: str, run_seed: int, index: int, **options: Any) -> None:
        self._env = gymnasium.make(env_id, **options)
        self._place = (run_seed, index)
        self._episode = 0
        self.observation = self._reset()

    def _reset(self) -> Any:
        seed, index = self._place
        return self._env.reset(seed=derive_seed(seed, index, self._episode))[0]

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Any]:
        last, reward, terminated, truncated, _ = self._env.step(action)
        self.observation = last
        if terminated or truncated:
            self._episode += 1
            self.observation = self._reset()
        return self.observation, float(reward), terminated, truncated, last


def assert_row(step: Step, index: int, expected: tuple[Any, float, bool, bool, Any]) -> None:
    observation, reward, terminated, truncated, last = expected
    assert isinstance(step.observation, np.ndarray)
    np.testing.assert_array_equal(step.observation[index], observation)
    assert (step.reward[index], step.terminated[index], step.truncated[index]) == (reward, terminated, truncated)
    if terminated or truncated:
        assert isinstance(step.final_observation, np.ndarray)
        np.testing.assert_array_equal(step.final_observation[index], last)


def random_actions(space: gymnasium.Space[Any], steps: int, num_envs: int, seed: int = 0) -> list[Array]:
    space.seed(seed)
    return [np.stack([space.sample() for _ in range(num_envs)]) for _ in range(steps)]


@pytest.mark.parametrize(
    ("env_id", "num_envs", "steps"),
    [
        ("CartPole-v1", 1, 200),
        ("CartPole-v1", 3, 300),
        ("keel/CartPole-v0", 1, 200),
        ("keel/CartPole-v0", 5, 300),
        ("Pendulum-v1", 2, 450),
        ("LunarLander-v3", 2, 250),
        ("FrozenLake-v1", 3, 100),
        ("keel/ProbeAutoreset-v0", 3, 20),
        ("keel/ProbeTruncation-v0", 2, 35),
    ],
)
def test_each_world_is_the_single_environment_reset_by_hand(env_id: str, num_envs: int, steps: int) -> None:
    vector = make_vec(env_id, num_envs)
    first = vector.reset(7)
    singles = [ByHand(env_id, 7, index) for index in range(num_envs)]
    for index, single in enumerate(singles):
        assert isinstance(first, np.ndarray)
        np.testing.assert_array_equal(first[index], single.observation)
    ends = 0
    for actions in random_actions(vector.action_space, steps, num_envs):
        step = vector.step(actions)
        expected = [single.step(action) for single, action in zip(singles, actions, strict=True)]
        for index, row in enumerate(expected):
            assert_row(step, index, row)
        ended = any(row[2] or row[3] for row in expected)
        assert (step.final_observation is not None) == ended
        ends += ended
    assert ends > 0


@pytest.mark.parametrize("env_id", ["CartPole-v1", "keel/CartPole-v0", "keel/ProbeAutoreset-v0"])
@given(
    actions=st.lists(st.integers(0, 2**6 - 1), min_size=1, max_size=60),
    seed=st.integers(0, 2**31),
    few=st.integers(1, 5),
)
@settings(max_examples=15, deadline=None)
def test_a_world_does_not_depend_on_how_many_stand_beside_it(
    env_id: str, actions: list[int], seed: int, few: int
) -> None:
    many, less = make_vec(env_id, 6), make_vec(env_id, few)
    many.reset(seed)
    less.reset(seed)
    limit = 1 if "Probe" in env_id else 2
    for bits in actions:
        action = np.array([(bits >> index) % limit for index in range(6)])
        one, other = many.step(action), less.step(action[:few])
        for name in ("observation", "reward", "terminated", "truncated"):
            np.testing.assert_array_equal(getattr(one, name)[:few], getattr(other, name))


@pytest.mark.parametrize("env_id", ["CartPole-v1", "keel/CartPole-v0"])
def test_other_seeds_give_other_episodes_and_the_same_seed_the_same(env_id: str) -> None:
    vector = make_vec(env_id, 4)
    one, again, other = (np.asarray(vector.reset(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    rows = np.concatenate([one, other])
    assert len(np.unique(rows, axis=0)) == 8


@pytest.mark.parametrize("env_id", ["CartPole-v1", "keel/CartPole-v0"])
def test_what_is_handed_out_is_never_written_again(env_id: str) -> None:
    vector = make_vec(env_id, 3)
    kept: list[Array] = [vector.reset(0)]  # pyright: ignore[reportAssignmentType]
    copies = [kept[0].copy()]
    for actions in random_actions(vector.action_space, 60, 3):
        step = vector.step(actions)
        for array in (step.observation, step.reward, step.terminated, step.truncated, step.final_observation):
            if isinstance(array, np.ndarray):
                kept.append(array)
                copies.append(array.copy())
    for array, original in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(array, original)
    for array in kept:
        array.fill(0)  # the receiver's own, so the worlds must not notice
    untouched = make_vec(env_id, 3)
    untouched.reset(0)
    for actions in random_actions(vector.action_space, 60, 3):
        expected = untouched.step(actions)
    state, expected_state = vector.state_dict(), untouched.state_dict()
    np.testing.assert_array_equal(state["observation"], expected.observation)  # pyright: ignore
    np.testing.assert_array_equal(state["observation"], expected_state["observation"])


def test_truncation_is_not_termination() -> None:
    vector = make_vec("keel/ProbeTruncation-v0", 2)
    vector.reset(0)
    steps = [vector.step(np.zeros(2, np.int64)) for _ in range(20)]
    assert [bool(step.truncated.all()) for step in steps] == ([False] * 9 + [True]) * 2
    assert not any(step.terminated.any() for step in steps)


def test_the_final_observation_is_the_last_of_the_old_episode() -> None:
    vector = make_vec("keel/ProbeAutoreset-v0", 4)
    signs = np.asarray(vector.reset(3))[:, 0]
    for _ in range(5):
        middle, last = vector.step(np.zeros(4, np.int64)), vector.step(np.zeros(4, np.int64))
        np.testing.assert_array_equal(middle.observation, np.column_stack([signs, np.full(4, 0.5)]))
        np.testing.assert_array_equal(last.final_observation, np.column_stack([signs, np.ones(4)]))  # pyright: ignore
        np.testing.assert_array_equal(last.reward, signs)
        signs = np.asarray(last.observation)[:, 0]
        np.testing.assert_array_equal(np.asarray(last.observation)[:, 1], np.zeros(4))


@pytest.mark.parametrize(
    ("env_id", "action", "message"),
    [
        ("CartPole-v1", np.array([0, 2]), "world 1 is 2"),
        ("CartPole-v1", np.array([-1, 0]), "world 0 is -1"),
        ("CartPole-v1", np.array([0, 1, 1]), r"shape \(3,\)"),
        ("CartPole-v1", np.array([[0], [1]]), r"shape \(2, 1\)"),
        ("keel/CartPole-v0", np.array([0, 2]), "world 1 is 2"),
        ("Pendulum-v1", np.array([[0.0], [2.5]]), r"world 1 is \[2.5\]"),
        ("Pendulum-v1", np.array([[np.nan], [0.0]]), r"world 0 is \[nan\]"),
        ("keel/ProbeMultiDiscrete-v0", np.array([[0, 4], [0, 0]]), r"world 0 is \[0, 4\]"),
        ("keel/ProbeMultiBinary-v0", np.array([[0, 1, 0], [0, 2, 0]]), r"world 1 is \[0, 2, 0\]"),
    ],
)
def test_actions_outside_the_space_are_refused(env_id: str, action: Array, message: str) -> None:
    vector = make_vec(env_id, 2)
    vector.reset(0)
    with pytest.raises(ValueError, match=message):
        vector.step(action)


def test_actions_of_the_wrong_kind_are_refused() -> None:
    vector = make_vec("CartPole-v1", 2)
    vector.reset(0)
    with pytest.raises(TypeError, match="float64"):
        vector.step(np.array([0.0, 1.0]))


def test_a_step_before_the_first_reset_is_refused() -> None:
    with pytest.raises(RuntimeError, match="reset"):
        make_vec("keel/CartPole-v0", 2).step(np.array([0, 1]))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", "RuntimeError: the motor broke"),
        ("reward_nan", "the reward is nan"),
        ("reward_inf", "the reward is inf"),
        ("reward_none", "the reward is None"),
        ("reward_text", "the reward is '1.0'"),
        ("reward_pair", "the reward is"),
        ("observation_nan", r"the observation is \[nan, nan\]"),
        ("observation_shape", r"shape \(1,\), the space says \(2,\)"),
        ("observation_text", "not numeric"),
        ("observation_ragged", "no array of one shape"),
    ],
)
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_fault_is_named_with_world_seed_step_and_action(fault: str, message: str, workers: int) -> None:
    vector = make_vec("test/Faulty-v0", 2, workers=workers, env_options={"fault": fault, "at_step": 4})
    vector.reset(11)
    for _ in range(3):
        vector.step(np.array([1, 2]))
    where = rf"test/Faulty-v0, world 0, episode 0 \(seed {derive_seed(11, 0, 0)}\), step 4, action 1: .*"
    with pytest.raises(KeelError, match=where + message):
        vector.step(np.array([1, 2]))
    vector.close()


def test_after_a_fault_nothing_goes_on_until_a_reset() -> None:
    vector = make_vec("test/Faulty-v0", 2, env_options={"fault": "raise", "at_step": 1})
    vector.reset(0)
    with pytest.raises(KeelError):
        vector.step(np.array([0, 0]))
    with pytest.raises(RuntimeError, match="reset"):
        vector.step(np.array([0, 0]))
    with pytest.raises(RuntimeError, match="no state"):
        vector.state_dict()
    vector.reset(0)
    assert vector.state_dict()["length"].tolist() == [0, 0]


def test_a_fault_in_reset_is_named() -> None:
    vector = make_vec("test/Faulty-v0", 1, env_options={"fault": "reset"})
    with pytest.raises(KeelError, match=r"world 0, episode 0 .*: reset: RuntimeError: the reset broke"):
        vector.reset(1)


def test_large_but_finite_numbers_pass_the_guard() -> None:
    from keel.envs.batches import find_non_finite

    large = np.array([1e300, -1e300])
    assert find_non_finite(large) is None
    bad = find_non_finite(np.array([[0.0, 1.0], [np.inf, 0.0]]))
    assert bad is not None
    assert bad.index == 1
