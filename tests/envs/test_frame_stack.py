"""Stacked frames: how they lie in an observation, and what is said of it."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from faulty import Sampler
from gymnasium import spaces

from keel.envs.make import frame_stack_of, make_single
from keel.envs.vector import make_vec
from keel.envs.wrappers import stack_frames

ID = "test/Sampler-v0"

# One observation, how many are stacked, and along which axis they lie.
STACKS = [
    ((), 3, 0),
    ((5,), 2, 0),
    ((2,), 2, 0),
    ((6, 7), 4, 0),
    ((84, 84), 4, 0),
    ((84, 84, 3), 4, 2),
    ((96, 96, 1), 3, 2),
    ((5, 4, 3), 2, 2),
    ((7, 7, 20), 2, 2),
    ((10, 10, 10), 4, 2),
    ((3, 84, 84), 4, 0),
    ((1, 84, 84), 4, 0),
    ((3, 5, 8), 3, 0),
    ((2, 3, 4, 5), 2, 0),
]


class Boxes(Sampler):
    """Observations of a shape; the first axis may be the stack's own."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)


def frames_of(observation: Any, count: int, axis: int, shape: tuple[int, ...]) -> list[Any]:
    return [part.reshape(shape) for part in np.split(observation, count, axis=axis)]


@pytest.mark.parametrize(("shape", "count", "axis"), STACKS)
def test_frames_lie_where_it_is_said_oldest_first(shape: tuple[int, ...], count: int, axis: int) -> None:
    plain, stacked = Boxes(shape), stack_frames(Boxes(shape), count)
    assert frame_stack_of(ID, count, stacked.observation_space) == (count, axis)
    frames = [plain.reset(seed=3)[0]] * count  # the first one stands for those before it
    observation, _ = stacked.reset(seed=3)
    for _ in range(6):
        assert stacked.observation_space.contains(observation)
        for frame, expected in zip(frames_of(observation, count, axis, shape), frames, strict=True):
            np.testing.assert_array_equal(frame, expected)
        frames = [*frames[1:], plain.step(1)[0]]
        observation = stacked.step(1)[0]


@pytest.mark.parametrize("name", ["discrete", "multi_discrete", "multi_binary", "many", "box64"])
def test_frames_of_other_kinds_lie_along_a_new_first_axis(name: str) -> None:
    worlds = make_vec(ID, 1, env_options={"observation": name}, frame_stack=3)
    assert frame_stack_of(ID, 3, worlds.observation_space) == (3, 0)
    single = make_vec(ID, 1, env_options={"observation": name})
    first, stacked = np.asarray(single.reset(0)), np.asarray(worlds.reset(0))
    np.testing.assert_array_equal(stacked, np.repeat(first[:, None], 3, axis=1))


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_stacked_is_nothing(count: int) -> None:
    for shape in ((4,), (4, 84, 84), (84, 84, 4)):
        assert frame_stack_of("CartPole-v1", count, spaces.Box(0, 255, shape, np.uint8)) is None


def test_shapes_that_can_be_read_both_ways_tell_nothing() -> None:
    """(10, 10, 8) may be two images [10 10 4] or two [5 10 8]; a wrong answer would mix up a replay."""
    for shape, count in (((10, 10, 8), 2), ((4, 8, 8), 4), ((84, 84, 84), 4)):
        assert frame_stack_of(ID, count, spaces.Box(0, 255, shape, np.uint8)) is None


def test_spaces_that_are_not_stacked_so_tell_nothing() -> None:
    for space in (
        spaces.Box(0, 1, (5,), np.float32),
        spaces.Box(0, 255, (83, 85, 7), np.uint8),
        spaces.Discrete(4),
        spaces.Dict({"a": spaces.Box(0, 1, (3, 5)), "b": spaces.Box(0, 1, (3, 5))}),
    ):
        assert frame_stack_of(ID, 3, space) is None


def test_atari_stacks_four_unless_told_otherwise() -> None:
    for env_id in ("ALE/Pong-v5", "BreakoutNoFrameskip-v4"):
        assert frame_stack_of(env_id, 0, spaces.Box(0, 255, (4, 84, 84), np.uint8)) == (4, 0)
        assert frame_stack_of(env_id, 2, spaces.Box(0, 255, (2, 84, 84), np.uint8)) == (2, 0)
        assert frame_stack_of(env_id, 1, spaces.Box(0, 255, (84, 84), np.uint8)) is None


@pytest.mark.parametrize(
    ("env_id", "module", "count", "shape"),
    [
        ("ALE/Pong-v5", "ale_py", 0, (4, 84, 84)),
        ("MiniGrid-Empty-5x5-v0", "minigrid", 3, (7, 7, 60)),
        ("MinAtar/Seaquest-v0", "minatar", 4, (10, 10, 40)),
    ],
)
def test_families_are_stacked_as_it_is_said(env_id: str, module: str, count: int, shape: tuple[int, ...]) -> None:
    pytest.importorskip(module, exc_type=ImportError)
    stacked = make_single(env_id, frame_stack=count)
    assert stacked.observation_space.shape == shape
    frames = count or 4
    assert frame_stack_of(env_id, count, stacked.observation_space) == (frames, 0 if shape[0] == frames else 2)
    observation, _ = stacked.reset(seed=0)
    assert observation.dtype == stacked.observation_space.dtype
    assert stacked.observation_space.contains(observation)


class MaskedBoxes(gymnasium.Env[Any, Any]):
    """Says in a Dict of its own how many steps were taken, and which of three actions is legal: another each step."""

    action_space = spaces.Discrete(3)

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self.observation_space = spaces.Dict(
            {"observation": spaces.Box(0, 255, shape, np.uint8), "action_mask": spaces.MultiBinary(3)}
        )

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        return self._seen(), 0.0, False, False, {}

    def _seen(self) -> Any:
        mask = (np.arange(3) == self._steps % 3).astype(np.int8)
        return {"observation": np.full(self._shape, self._steps, np.uint8), "action_mask": mask}


@pytest.mark.parametrize(("shape", "axis", "whole"), [((5,), 0, (2, 5)), ((9, 9, 3), 2, (9, 9, 6))])
def test_beside_a_mask_the_observation_is_stacked_and_the_mask_is_that_of_now(
    shape: tuple[int, ...], axis: int, whole: tuple[int, ...]
) -> None:
    env = stack_frames(MaskedBoxes(shape), 2)
    assert env.observation_space["observation"].shape == whole  # pyright: ignore
    assert env.observation_space["action_mask"] == spaces.MultiBinary(3)  # pyright: ignore
    assert frame_stack_of(ID, 2, env.observation_space) == (2, axis)
    observation, _ = env.reset(seed=0)
    for step in range(5):
        assert env.observation_space.contains(observation)
        frames = frames_of(observation["observation"], 2, axis, shape)
        assert [int(frame.flat[0]) for frame in frames] == [max(step - 1, 0), step]
        assert observation["action_mask"].tolist() == [int(index == step % 3) for index in range(3)]
        observation = env.step(0)[0]


def test_a_mask_from_info_stands_beside_stacked_frames() -> None:
    worlds = make_vec("test/Masked-v0", 1, frame_stack=3)
    assert frame_stack_of("test/Masked-v0", 3, worlds.observation_space) == (3, 0)
    observation = worlds.reset(0)
    assert observation["observation"].shape == (1, 3, 1)
    assert observation["action_mask"].shape == (1, 5)
