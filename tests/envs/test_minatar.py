"""MinAtar's games: the package's own rules, and episodes that follow from their seed alone."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from keel.envs import minatar
from keel.envs.make import find_spec, make_single
from keel.envs.protocol import Array
from keel.envs.vector import make_vec

pytest.importorskip("minatar", exc_type=ImportError)

# Channels, and the actions that the game heeds: 0 none, 1 left, 2 up, 3 right, 4 down, 5 fire.
GAMES = {
    "Asterix": (4, [0, 1, 2, 3, 4]),
    "Breakout": (4, [0, 1, 3]),
    "Freeway": (7, [0, 2, 4]),
    "Seaquest": (10, [0, 1, 2, 3, 4, 5]),
    "SpaceInvaders": (6, [0, 1, 3, 5]),
}
IDS = [f"MinAtar/{game}-v{version}" for game in GAMES for version in (0, 1)]


def play(env: Any, actions: Array) -> list[tuple[bytes, float, bool]]:
    """What follows each action, to the end of the episode at most."""
    seen = []
    for action in actions.tolist():
        observation, reward, terminated, _, _ = env.step(action)
        seen.append((observation.tobytes(), reward, terminated))
        if terminated:
            break
    return seen


@pytest.mark.parametrize("env_id", IDS)
def test_games_keep_gymnasiums_contract(env_id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make_single(env_id, render_mode="rgb_array").unwrapped)


@pytest.mark.parametrize("env_id", IDS)
def test_spaces_are_those_of_the_game(env_id: str) -> None:
    channels, minimal = GAMES[env_id[8:-3]]
    env = make_single(env_id)
    assert env.observation_space.shape == (10, 10, channels)
    assert env.observation_space.dtype == np.bool_
    assert env.action_space == gymnasium.spaces.Discrete(6 if env_id.endswith("v0") else len(minimal))
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert observation.any()


@pytest.mark.parametrize("env_id", IDS)
def test_a_game_is_the_packages_own(env_id: str) -> None:
    """Bit for bit, where both have the same stream of chance."""
    _, minimal = GAMES[env_id[8:-3]]
    actions = list(range(6)) if env_id.endswith("v0") else minimal
    env = make_single(env_id)
    own: Any = importlib.import_module("minatar").Environment(find_spec(env_id).kwargs["game"])
    chosen, ends = np.random.default_rng(1), 0
    for seed in range(4):
        observation, _ = env.reset(seed=seed)
        chance = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
        own.random = own.env.random = np.random.RandomState(chance.bit_generator)
        own.last_action = 0
        own.reset()
        for _ in range(300):
            np.testing.assert_array_equal(observation, own.state())
            action = int(chosen.integers(len(actions)))
            observation, reward, terminated, truncated, _ = env.step(action)
            assert own.act(actions[action]) == (reward, terminated)
            assert not truncated
            if terminated:
                ends += 1
                break
    assert ends > 0 or "Freeway" in env_id


@pytest.mark.parametrize("game", GAMES)
def test_an_episode_follows_from_its_seed_alone(game: str) -> None:
    """Whatever was played before, down to the action that a sticky one repeats."""
    used, fresh = (make_single(f"MinAtar/{game}-v0", env_options={"sticky_action_prob": 0.5}) for _ in range(2))
    actions = np.random.default_rng(0).integers(0, 6, 200)
    for seed in range(8):
        used.reset(seed=100 + seed)
        for action in (*actions[:3].tolist(), 1 + seed % 5):
            used.step(action)
        first, again = used.reset(seed=seed)[0], fresh.reset(seed=seed)[0]
        assert first.tobytes() == again.tobytes()
        assert play(used, actions) == play(fresh, actions)


@pytest.mark.parametrize("game", GAMES)
def test_seeds_make_different_episodes(game: str) -> None:
    env, actions = make_single(f"MinAtar/{game}-v0"), np.random.default_rng(0).integers(0, 6, 200)
    episodes = []
    for seed in range(4):
        env.reset(seed=seed)
        episodes.append(tuple(play(env, actions)))
    assert len(set(episodes)) == 4


def test_a_sticky_action_repeats_the_one_before_and_at_the_start_none() -> None:
    stuck, idle = (make_single("MinAtar/Asterix-v0", env_options={"sticky_action_prob": p}) for p in (1.0, 0.0))
    for seed in range(3):
        stuck.reset(seed=seed)
        idle.reset(seed=seed)
        assert play(stuck, np.full(60, 1 + seed)) == play(idle, np.zeros(60, np.int64))


def test_a_saved_game_goes_on_exactly_in_worker_processes_too() -> None:
    # Both are put in the middle of an episode, and go on over its end.
    actions = np.random.default_rng(0).integers(0, 6, (260, 2))
    here, there = (make_vec("MinAtar/Asterix-v0", 2, workers=workers) for workers in (0, 2))
    try:
        first, other = here.reset(3), there.reset(3)
        np.testing.assert_array_equal(first, other)  # pyright: ignore
        ends = 0
        for index, action in enumerate(actions):
            one, two = here.step(action), there.step(action)
            ends += one.final_observation is not None
            assert np.asarray(one.observation).tobytes() == np.asarray(two.observation).tobytes()
            assert (one.reward.tolist(), one.terminated.tolist()) == (two.reward.tolist(), two.terminated.tolist())
            if index == 100:
                there.load_state_dict(there.state_dict())
        assert ends > 2
    finally:
        here.close()
        there.close()


def test_a_game_without_end_is_cut_unless_that_is_not_wanted() -> None:
    """Seaquest's submarine is safe as long as it rests at the surface."""
    for options, expected in (
        ({}, [minatar.MAX_EPISODE_STEPS - 1]),
        ({"max_episode_steps": 7_000}, [6_999]),
        ({"max_episode_steps": -1}, []),
    ):
        env = make_single("MinAtar/Seaquest-v1", env_options=options)
        env.reset(seed=0)
        cuts = []
        for step in range(minatar.MAX_EPISODE_STEPS + 10):
            _, _, terminated, truncated, _ = env.step(0)
            assert not terminated
            if truncated:
                cuts.append(step)
                break
        assert cuts == expected


def test_freeway_ends_by_its_own_clock() -> None:
    env = make_single("MinAtar/Freeway-v1")
    env.reset(seed=0)
    ends = [env.step(1)[2:4] for _ in range(2501)]
    assert ends == [(False, False)] * 2500 + [(True, False)]


@pytest.mark.parametrize("game", GAMES)
def test_every_kind_of_thing_has_its_colour(game: str) -> None:
    env = make_single(f"MinAtar/{game}-v0", render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    palette = minatar.colours(observation.shape[2])
    assert len({tuple(colour) for colour in palette.tolist()}) == observation.shape[2] + 1
    for action in np.random.default_rng(0).integers(0, 6, 30).tolist():
        frame: Any = env.render()
        assert (frame.shape, frame.dtype) == ((320, 320, 3), np.uint8)
        for y, x in np.ndindex(10, 10):
            cell = frame[32 * y : 32 * y + 32, 32 * x : 32 * x + 32].reshape(-1, 3)
            things = np.flatnonzero(observation[y, x])
            assert (cell == (palette[1 + things[-1]] if len(things) else 0)).all()
        observation, _, terminated, _, _ = env.step(action)
        if terminated:
            observation, _ = env.reset()
    assert make_single(f"MinAtar/{game}-v0").render() is None


def test_the_packages_own_registration_does_not_come_between() -> None:
    for env_id in IDS:
        gymnasium.registry.pop(env_id, None)
    importlib.import_module("minatar.gym").register_envs()
    assert {find_spec(env_id).entry_point for env_id in IDS} == {minatar.ENTRY_POINT}
    before = [gymnasium.spec(env_id) for env_id in IDS]
    assert all(find_spec(env_id) is spec for env_id, spec in zip(IDS, before, strict=True))


@pytest.mark.parametrize(
    ("env_id", "options", "message"),
    [
        ("MinAtar/Breakou-v0", {}, "did you mean 'MinAtar/Breakout-v0'"),
        ("MinAtar/Pong-v0", {}, "unknown environment 'MinAtar/Pong-v0'"),
        ("MinAtar/Breakout-v0", {"sticky": 0.0}, "takes no option 'sticky'.*it takes: .*sticky_action_prob"),
        ("MinAtar/Breakout-v0", {"sticky_action_prob": 1.5}, "sticky_action_prob is 1.5, it must be from 0 to 1"),
        ("MinAtar/Breakout-v0", {"game": "pong"}, "game is 'pong', it must be one of asterix"),
    ],
)
def test_what_there_is_not_is_refused(env_id: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_vec(env_id, 1, env_options=options)
