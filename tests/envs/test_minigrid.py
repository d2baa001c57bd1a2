"""MiniGrid's images: what stands in each cell, one-hot."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from keel.envs.make import make_single

pytest.importorskip("minigrid", exc_type=ImportError)

IDS = ("MiniGrid-DoorKey-5x5-v0", "MiniGrid-LockedRoom-v0", "MiniGrid-Dynamic-Obstacles-5x5-v0", "BabyAI-GoToObj-v0")


@pytest.mark.parametrize("env_id", IDS)
def test_images_are_one_hot_as_minigrids_own_wrapper_has_them(env_id: str) -> None:
    env = make_single(env_id)
    theirs: Any = importlib.import_module("minigrid.wrappers").OneHotPartialObsWrapper(env.unwrapped)
    observation, _ = env.reset(seed=1)
    actions = np.random.default_rng(0).integers(0, env.action_space.n, 60)  # pyright: ignore
    for action in actions.tolist():
        assert (observation.shape, observation.dtype) == ((7, 7, 20), np.bool_)
        assert env.observation_space.contains(observation)
        assert (observation.sum(axis=2) == 3).all(), "an object, a colour and a state in each cell"
        raw = env.unwrapped.gen_obs()  # pyright: ignore
        np.testing.assert_array_equal(observation, theirs.observation(raw)["image"])
        np.testing.assert_array_equal(observation[..., :11].argmax(axis=2), raw["image"][..., 0])
        np.testing.assert_array_equal(observation[..., 11:17].argmax(axis=2), raw["image"][..., 1])
        np.testing.assert_array_equal(observation[..., 17:].argmax(axis=2), raw["image"][..., 2])
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            observation, _ = env.reset()


def test_a_wider_view_is_wider() -> None:
    env = make_single("MiniGrid-Empty-8x8-v0", env_options={"agent_view_size": 9})
    observation, _ = env.reset(seed=0)
    assert observation.shape == env.observation_space.shape == (9, 9, 20)
