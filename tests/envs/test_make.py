"""From ids and options to worlds, and the messages for those that do not exist."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np
import pytest

from keel.envs import make
from keel.envs.errors import KeelError
from keel.envs.vector import make_vec


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("CartPol-v1", "did you mean 'CartPole-v"),
        ("CartPole-v9", "unknown environment 'CartPole-v9'"),
        ("LunarLander-v2", "LunarLander-v3"),
        ("keel/CartPol-v0", "did you mean 'keel/CartPole-v0'"),
        ("no_such_module:World-v0", "no_such_module"),
        ("", "unknown environment"),
    ],
)
def test_unknown_ids_are_refused_with_the_nearest_one(env_id: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_vec(env_id, 1)


@pytest.mark.parametrize(
    ("env_id", "options", "message"),
    [
        ("CartPole-v1", {"sutton_barto": True}, "takes no option 'sutton_barto'.*did you mean 'sutton_barto_reward'"),
        ("LunarLander-v3", {"gravty": -5.0}, "did you mean 'gravity'.*it takes: .*wind_power"),
        ("keel/CartPole-v0", {"gravity": 5}, "takes no option 'gravity'.*it takes: max_episode_steps"),
        ("keel/ProbeTruncation-v0", {"length": 5}, "takes no option 'length'"),
    ],
)
@pytest.mark.parametrize("render_mode", [None, "rgb_array"])
def test_unknown_options_are_refused_with_those_there_are(
    env_id: str, options: dict[str, Any], message: str, render_mode: str | None
) -> None:
    with pytest.raises(ValueError, match=message):
        make_vec(env_id, 1, env_options=options, render_mode=render_mode)


def test_options_reach_the_environment() -> None:
    for env_id in ("CartPole-v1", "keel/CartPole-v0"):
        vector = make_vec(env_id, 1, env_options={"max_episode_steps": 3})
        vector.reset(0)
        assert [bool(vector.step(np.array([t % 2])).truncated[0]) for t in range(6)] == [False, False, True] * 2


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"num_envs": 0}, "num_envs is 0"),
        ({"num_envs": 2.5}, "num_envs is 2.5"),
        ({"num_envs": 2, "workers": -1}, "workers is -1"),
        ({"num_envs": 2, "frame_stack": -4}, "frame_stack is -4"),
        ({"num_envs": 2, "step_timeout_seconds": 0.0}, "step_timeout_seconds is 0.0"),
        ({"num_envs": 2, "step_timeout_seconds": float("nan")}, "step_timeout_seconds is nan"),
        ({"num_envs": 2, "backend": "envpol"}, "backend is 'envpol'"),
        ({"num_envs": 2, "render_mode": "rgb"}, "render_mode is 'rgb'"),
    ],
)
def test_bad_arguments_are_refused(argument: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_vec("CartPole-v1", **argument)


@pytest.mark.parametrize(
    ("env_id", "module", "extra"),
    [
        ("ALE/Pong-v5", "ale_py", "atari"),
        ("BreakoutNoFrameskip-v4", "ale_py", "atari"),
        ("MiniGrid-Empty-5x5-v0", "minigrid", "minigrid"),
        ("MinAtar/Breakout-v0", "minatar", "minigrid"),
        ("LunarLander-v3", "gymnasium.envs.box2d", "box2d"),
        ("HalfCheetah-v5", "gymnasium.envs.mujoco", "mujoco"),
    ],
)
def test_a_missing_extra_is_named_with_the_line_that_installs_it(
    env_id: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name.startswith(module):
            raise ModuleNotFoundError(f"No module named '{name}'")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(ImportError, match=rf"needs the extra '{extra}': pip install 'keel-rl\[{extra}\]'"):
        make_vec(env_id, 1)


def test_without_envpool_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envpool", None)  # so that importing it fails
    with pytest.raises(ImportError, match=r"needs the extra 'fast': pip install 'keel-rl\[fast\]'"):
        make_vec("CartPole-v1", 1, backend="envpool")


def test_frames_are_stacked_oldest_first_and_afresh_in_every_episode() -> None:
    single, stacked = make_vec("keel/ProbeAutoreset-v0", 1), make_vec("keel/ProbeAutoreset-v0", 1, frame_stack=2)
    first = np.asarray(single.reset(0))
    frames = np.asarray(stacked.reset(0))
    np.testing.assert_array_equal(frames, np.stack([first, first], axis=1))
    for _ in range(6):
        last, step, both = first, single.step(np.array([0])), stacked.step(np.array([0]))
        first = np.asarray(step.observation)
        expected = [first, first] if step.final_observation is not None else [last, first]
        np.testing.assert_array_equal(both.observation, np.stack(expected, axis=1))  # pyright: ignore


@pytest.mark.parametrize(("image", "axis", "shape"), [("image", 3, (5, 4, 6)), ("image_channels_first", 1, (6, 5, 8))])
def test_frames_of_colour_images_are_stacked_as_channels(image: str, axis: int, shape: tuple[int, ...]) -> None:
    options = {"observation": image}
    single = make_vec("test/Sampler-v0", 2, env_options=options)
    stacked = make_vec("test/Sampler-v0", 2, env_options=options, frame_stack=2)
    assert stacked.observation_space.shape == shape
    first = np.asarray(single.reset(0))
    assert np.concatenate([first, first], axis=axis).tobytes() == np.asarray(stacked.reset(0)).tobytes()
    action = np.array([0, 0])
    second, frames = np.asarray(single.step(action).observation), np.asarray(stacked.step(action).observation)
    assert np.concatenate([first, second], axis=axis).tobytes() == frames.tobytes()


def test_the_part_before_a_colon_is_imported_and_the_rest_is_the_id() -> None:
    one, other = make_vec("keel:keel/CartPole-v0", 2), make_vec("keel/CartPole-v0", 2)
    np.testing.assert_array_equal(one.reset(0), other.reset(0))  # pyright: ignore
    assert make_vec("keel:keel/ProbeAutoreset-v0", 2).observation_space.shape == (2,)


def test_a_limit_of_minus_one_is_none_at_all() -> None:
    for env_id in ("keel/ProbeTruncation-v0", "keel/CartPole-v0"):
        vector = make_vec(env_id, 1, env_options={"max_episode_steps": -1})
        vector.reset(0)
        assert not any(vector.step(np.array([0])).truncated[0] for _ in range(15))


@pytest.mark.parametrize("steps", [0, -5, 2.5, True, "100", float("nan")])
@pytest.mark.parametrize("env_id", ["keel/CartPole-v0", "CartPole-v1"])
def test_a_limit_that_is_none_is_refused(env_id: str, steps: Any) -> None:
    with pytest.raises(ValueError, match=f"max_episode_steps is {steps!r}, it must be a whole number of at least 1"):
        make_vec(env_id, 1, env_options={"max_episode_steps": steps})


def test_without_a_value_the_limit_is_the_usual_one() -> None:
    for env_id in ("keel/CartPole-v0", "CartPole-v1"):
        vector = make_vec(env_id, 1, env_options={"max_episode_steps": None})
        observation = vector.reset(0)
        truncated = []
        for _ in range(500):  # pushing to where the pole leans keeps it up
            assert isinstance(observation, np.ndarray)
            step = vector.step((observation[:, 2] + observation[:, 3] + 0.1 * observation[:, 0] > 0).astype(int))
            observation = step.observation
            truncated.append(bool(step.truncated[0]))
        assert truncated == [False] * 499 + [True]


def test_options_that_the_environment_itself_refuses_are_reported() -> None:
    with pytest.raises(
        ValueError, match=r"'LunarLander-v3' cannot be made with the options \{'gravity': 5.0\}: Assertion"
    ):
        make_vec("LunarLander-v3", 1, env_options={"gravity": 5.0})


def test_a_native_world_is_used_only_where_nothing_has_to_be_drawn_or_stacked() -> None:
    assert make.native_world_path("keel/CartPole-v0") == "keel.envs.cartpole:CartPole"
    assert make.native_world_path("CartPole-v1") is None
    assert make_vec("keel/CartPole-v0", 2).render() is None
    drawn = make_vec("keel/CartPole-v0", 2, render_mode="rgb_array")
    drawn.reset(0)
    frame = drawn.render()
    assert isinstance(frame, np.ndarray)
    assert frame.shape == (405, 720, 3)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_world_that_cannot_be_drawn_says_so(workers: int) -> None:
    with pytest.raises((ValueError, KeelError), match=r"test/Sampler-v0.* cannot be drawn: .*takes no render_mode"):
        make_vec("test/Sampler-v0", 1, workers=workers, render_mode="rgb_array")
    broken = make_vec("test/Undrawable-v0", 1, workers=workers, render_mode="rgb_array")
    try:
        broken.reset(0)
        with pytest.raises(KeelError, match=r"test/Undrawable-v0, world 0, .*cannot be drawn: RuntimeError: no screen"):
            broken.render()
    finally:
        broken.close()


def test_worlds_say_at_what_speed_they_are_seen() -> None:
    ids = ("CartPole-v1", "keel/CartPole-v0", "FrozenLake-v1", "keel/ProbeAutoreset-v0")
    assert [make_vec(env_id, 1).frames_per_second for env_id in ids] == [50, 50, 4, 30]
