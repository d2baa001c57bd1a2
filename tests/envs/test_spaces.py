"""Every kind of observation and action passes through the vector environment unharmed; the others are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from faulty import SPACES, Sampler
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from keel.envs.batches import layout_of, leaves
from keel.envs.errors import KeelError
from keel.envs.protocol import Observation
from keel.envs.seeding import derive_seed
from keel.envs.vector import make_vec

OBSERVATIONS = [name for name in SPACES if name not in ("text", "tuple")]
ACTIONS = ["discrete", "discrete_from_3", "multi_discrete", "multi_binary", "box", "box64"]


def row(observation: Observation, index: int) -> Any:
    if isinstance(observation, dict):
        return {key: row(part, index) for key, part in observation.items()}
    return observation[index]


def assert_equal(one: Any, other: Any) -> None:
    if isinstance(other, dict):
        assert one.keys() == other.keys()
        for key in other:
            assert_equal(one[key], other[key])
    else:
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", OBSERVATIONS)
@pytest.mark.parametrize("action", ACTIONS)
def test_observations_and_actions_arrive_as_they_were_sent(name: str, action: str) -> None:
    vector = make_vec("test/Sampler-v0", 3, env_options={"observation": name, "action": action})
    observation = vector.reset(2)
    singles = [Sampler(name, action) for _ in range(3)]
    for index, single in enumerate(singles):
        assert_equal(row(observation, index), single.reset(seed=derive_seed(2, index, 0))[0])
    vector.action_space.seed(0)
    for step_number in range(1, 6):
        actions = np.stack([vector.action_space.sample() for _ in range(3)])
        step = vector.step(actions)
        for index, single in enumerate(singles):
            expected, reward, _, _, _ = single.step(actions[index])
            assert_equal(row(step.observation, index), expected)
            assert step.reward[index] == reward
        np.testing.assert_array_equal(step.metrics["steps"], np.full(3, step_number, np.float64))
        assert np.isnan(step.metrics["absent"]).all()
        assert step.metrics.keys() == {"steps", "absent"}


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_batches_have_the_type_of_the_space(name: str) -> None:
    space = SPACES[name]
    vector = make_vec("test/Sampler-v0", 2, env_options={"observation": name})
    observation = vector.reset(0)
    if isinstance(space, spaces.Discrete):
        assert isinstance(observation, np.ndarray)
        assert observation.dtype == np.int64
        assert observation.shape == (2,)
    elif not isinstance(space, spaces.Dict):
        assert isinstance(observation, np.ndarray)
        assert observation.dtype == space.dtype
        assert observation.shape == (2, *(space.shape or ()))
    for index in range(2):
        assert space.contains(row(observation, index))


@pytest.mark.parametrize(("name", "message"), [("text", r"observation\['words'\] is a Text"), ("tuple", "Tuple")])
def test_observations_without_a_fixed_shape_are_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_vec("test/Sampler-v0", 1, env_options={"observation": name})


def test_actions_without_an_array_are_refused() -> None:
    with pytest.raises(ValueError, match="action space is Tuple"):
        make_vec("test/Sampler-v0", 1, env_options={"action": "tuple"})


@pytest.mark.parametrize("name", ["box", "discrete", "multi_discrete"])
def test_lists_and_plain_numbers_are_taken_as_the_array_they_mean(name: str) -> None:
    plain = make_vec("test/Sampler-v0", 2, env_options={"observation": name, "listed": True})
    array = make_vec("test/Sampler-v0", 2, env_options={"observation": name})
    np.testing.assert_array_equal(plain.reset(0), array.reset(0))  # pyright: ignore


def test_masks_in_info_become_the_reserved_key() -> None:
    vector = make_vec("test/Masked-v0", 2)
    assert vector.observation_space == spaces.Dict(
        {"observation": spaces.Box(-1.0, 1.0, (1,), np.float32), "action_mask": spaces.MultiBinary(5)}
    )
    observation = vector.reset(0)
    assert isinstance(observation, dict)
    np.testing.assert_array_equal(observation["action_mask"], [[1, 0, 0, 0, 0]] * 2)  # pyright: ignore
    for legal in (2, 3, 4):
        step = vector.step(np.array([0, 0]))
        assert isinstance(step.observation, dict)
        assert np.asarray(step.observation["action_mask"]).sum(axis=1).tolist() == [legal, legal]
    step = vector.step(np.array([0, 0]))
    assert isinstance(step.final_observation, dict)
    np.testing.assert_array_equal(step.final_observation["action_mask"], np.ones((2, 5)))  # pyright: ignore
    assert isinstance(step.observation, dict)
    np.testing.assert_array_equal(step.observation["action_mask"], [[1, 0, 0, 0, 0]] * 2)  # pyright: ignore


def test_masks_of_several_parts_stand_one_after_the_other() -> None:
    observation = make_vec("test/Masked-v0", 1, env_options={"action": "multi_discrete"}).reset(0)
    assert isinstance(observation, dict)
    assert np.asarray(observation["action_mask"])[0].tolist() == [1, 0, 1, 0, 0, 0, 0, 1, 0, 0]


@pytest.mark.parametrize("env_id", ["test/Masked-v0", "test/MaskInDict-v0"])
@pytest.mark.parametrize("illegal_at", [0, 2])
def test_a_mask_without_a_legal_action_is_refused(env_id: str, illegal_at: int) -> None:
    vector = make_vec(env_id, 2, env_options={"illegal_at": illegal_at})

    def play() -> None:
        vector.reset(0)
        for _ in range(3):
            vector.step(np.array([0, 0]))

    with pytest.raises(KeelError, match=rf"world 0, .*step {illegal_at}.*: .*action_mask is \[0.*no legal action"):
        play()


def test_every_part_of_an_action_needs_a_legal_choice() -> None:
    vector = make_vec("test/Masked-v0", 1, env_options={"action": "multi_discrete", "illegal_at": 1})
    vector.reset(0)
    with pytest.raises(KeelError, match=r"step 1, .*action_mask is \[1, 1, 1, 1, 0, 0, 0, 0, 0, 0\]"):
        vector.step(np.array([[0, 0, 0]]))


@pytest.mark.parametrize(("action", "illegal_at"), [("discrete", 3), ("multi_binary", 1)])
def test_a_mask_without_a_legal_action_is_fine_at_an_end_and_for_switches(action: str, illegal_at: int) -> None:
    vector = make_vec("test/MaskInDict-v0", 2, env_options={"action": action, "illegal_at": illegal_at})
    vector.reset(0)
    ends = [vector.step(np.zeros((2, *(vector.action_space.shape or ())), int)).terminated.all() for _ in range(6)]
    assert ends == [False, False, True] * 2


@pytest.mark.parametrize(
    ("name", "value", "limits"),
    [
        ("multi_discrete", [1, 7, 0], r"is \[1, 7, 0\], the space says \[0, 0, 0\] to \[1, 4, 2\]"),
        ("many", [[0, 1], [0, 3]], r"to \[\[1, 3\],.*\[3, 2\]\]"),
        ("many", [[0, 0], [0, 0]], r"says \[\[ 0,  1\],.*\[ 0, -2\]\] to"),
        ("multi_binary", [0, 1, 2, 0], r"is \[0, 1, 2, 0\], the space says 0 to 1"),
        ("discrete_from_3", 7, "is 7, the space says 3 to 6"),
    ],
)
def test_counted_values_outside_their_space_are_refused(name: str, value: Any, limits: str) -> None:
    vector = make_vec("test/OutOfRange-v0", 1, env_options={"observation": name, "value": value})
    with pytest.raises(KeelError, match=rf"(?s)reset: the observation .*{limits}"):
        vector.reset(0)


nested_spaces = st.recursive(
    st.sampled_from([SPACES[name] for name in OBSERVATIONS if name != "nested"]),
    lambda parts: st.dictionaries(st.text("abc", min_size=1), parts, min_size=1, max_size=3).map(spaces.Dict),
    max_leaves=6,
)


@given(space=nested_spaces, seed=st.integers(0, 1000))
def test_any_nesting_is_laid_out_and_read_back(space: spaces.Space[Any], seed: int) -> None:
    from keel.envs.batches import allocate, write

    layout = layout_of(space)
    batch = allocate(layout, 3)
    space.seed(seed)
    samples = [space.sample() for _ in range(3)]
    for index in (2, 0, 1):
        write(layout, batch, index, samples[index])
    for index, sample in enumerate(samples):
        assert_equal(row(batch, index), sample)
    assert all(len(array) == 3 for _, array in leaves(batch))
