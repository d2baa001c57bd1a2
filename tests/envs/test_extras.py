"""Families of worlds that need an extra: preprocessed as they are always used, and restored exactly all the same."""

from __future__ import annotations

import numpy as np
import pytest

from keel.envs.vector import make_vec

FAMILIES = [
    ("ALE/Pong-v5", "ale_py", (4, 84, 84), np.uint8),
    ("MiniGrid-DoorKey-5x5-v0", "minigrid", (7, 7, 20), np.bool_),
    ("BabyAI-GoToRedBall-v0", "minigrid", (7, 7, 20), np.bool_),
    ("MinAtar/SpaceInvaders-v0", "minatar", (10, 10, 6), np.bool_),
    ("HalfCheetah-v5", "mujoco", (17,), np.float64),
]


@pytest.mark.parametrize(("env_id", "module", "shape", "dtype"), FAMILIES, ids=[row[0] for row in FAMILIES])
def test_preprocessed_and_exactly_restored(env_id: str, module: str, shape: tuple[int, ...], dtype: type) -> None:
    pytest.importorskip(module, exc_type=ImportError)
    original, restored = make_vec(env_id, 2), make_vec(env_id, 2)
    observation = np.asarray(original.reset(0))
    assert observation.shape == (2, *shape)
    assert observation.dtype == dtype
    original.action_space.seed(0)
    actions = [np.stack([original.action_space.sample() for _ in range(2)]) for _ in range(60)]
    for action in actions[:30]:
        original.step(action)
    restored.load_state_dict(original.state_dict())
    for action in actions[30:]:
        one, other = original.step(action), restored.step(action)
        assert np.asarray(one.observation).tobytes() == np.asarray(other.observation).tobytes()
        assert one.reward.tobytes() == other.reward.tobytes()
    original.close()
    restored.close()
