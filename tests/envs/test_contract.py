"""Every world that Keel brings keeps Gymnasium's and Stable-Baselines3's contracts."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

from keel.envs import registry
from keel.envs.batches import leaves
from keel.envs.native import load_world
from keel.envs.registry import BY_ID, ENTRIES
from keel.envs.vector import make_vec

# What the checkers remark on purpose: velocities have no bound, and SB3 has no nested observations.
REMARKS = (
    ".*minimum value is -infinity.*",
    ".*maximum value is infinity.*",
    "Nested observation spaces.*",
    "The minimal resolution for an image.*",  # of its own CnnPolicy
    "Treating image space as channels-last.*",  # its guess at the planes of chess
    "It seems that your observation .*is an image.*",  # planes of boards hold 0 and 1
    # Gymnasium's own Pendulum has torques of -2 to 2.
    ".*we recommend using a symmetric and normalized space.*",
    "We recommend you to use a symmetric and normalized Box.*",
)


@pytest.mark.parametrize("env_id", BY_ID)
def test_both_checkers_pass_without_warnings(env_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for remark in REMARKS:
            warnings.filterwarnings("ignore", message=remark)
        check_env(gymnasium.make(env_id, disable_env_checker=True).unwrapped)
        check_env_for_sb3(gymnasium.make(env_id, disable_env_checker=True), warn=True)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.env_id)
def test_every_world_is_documented(entry: registry.Entry) -> None:
    documentation = type(load_world(entry.path)).__doc__ or ""
    needed = ("Observation", "Actions", "Reward", "Start", "Terminated", "Truncated", "Source")
    for word in ("Answer:",) if "Probe" in entry.env_id else needed:
        assert word in documentation
    assert entry.summary


@pytest.mark.parametrize("env_id", BY_ID)
def test_worlds_are_functions_of_seed_and_actions(env_id: str) -> None:
    one, other = make_vec(env_id, 3), make_vec(env_id, 3)
    pairs: list[Any] = [(one.reset(1), other.reset(1))]
    one.action_space.seed(0)
    for _ in range(40):
        action = np.stack([one.action_space.sample() for _ in range(3)])
        left, right = one.step(action), other.step(action)
        pairs += [(left.observation, right.observation), (left.reward, right.reward)]
    for a, b in pairs:
        for (_, x), (_, y) in zip(leaves(a), leaves(b), strict=True):
            np.testing.assert_array_equal(x, y)


def test_registering_twice_changes_nothing() -> None:
    before = {env_id: gymnasium.spec(env_id) for env_id in BY_ID}
    registry.register_all()
    assert all(gymnasium.spec(env_id) is spec for env_id, spec in before.items())


def test_describing_names_every_world() -> None:
    assert [row["id"] for row in registry.describe()] == list(BY_ID)


def test_the_registry_imports_no_world() -> None:
    code = (
        "import sys; from keel.envs.registry import register_all; register_all();"
        "print([m for m in sys.modules if m.split('.')[0] in ('numba', 'pygame', 'torch') or m.endswith('.probe')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
