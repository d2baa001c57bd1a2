"""Players that search as opponents in worlds: what they play follows from the state and the world's chance alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from keel.envs.games.as_env import BoardGame
from keel.envs.games.game import Game
from keel.envs.games.games import make_game
from keel.envs.games.opponents import find_opponent
from keel.envs.protocol import ACTION_MASK, Array
from keel.envs.vector import make_vec
from keel.networks.backbone import BoardConfig
from keel.networks.policy_value import PolicyValueNetwork
from keel.runners import checkpoint
from keel.runners.games import opponents
from keel.runners.games.players import make_player
from keel.runners.run import Run
from keel.runners.selfplay.settings import AGENT, default_settings

X_WINS_AT_2 = np.array([1, 1, 0, -1, -1, 0, 0, 0, 0], np.int8)


def test_rollouts_win_where_they_can_and_do_not_remember() -> None:
    game = make_game("tic_tac_toe")
    opponent = find_opponent("rollouts:50", game)
    start = game.start()
    assert opponent(game, X_WINS_AT_2, np.random.default_rng(0)) == 2
    few = find_opponent("rollouts:20", game)
    moves = [few(game, start, np.random.default_rng(seed)) for seed in range(20)]
    assert moves == [few(game, start, np.random.default_rng(seed)) for seed in range(20)]
    assert len(set(moves)) > 1


def test_rollouts_beat_chance() -> None:
    env, chooser, rewards = BoardGame("connect_four", "rollouts:100"), np.random.default_rng(0), []
    for seed in range(10):
        observation, _ = env.reset(seed=seed)
        ended, reward = False, 0.0
        while not ended:
            action = chooser.choice(np.flatnonzero(observation[ACTION_MASK]))
            observation, reward, ended, _, _ = env.step(action)
        rewards.append(reward)
    assert np.mean(rewards) < -0.5


def test_worlds_in_workers_have_the_same_opponents_and_resume_exactly() -> None:
    options = {"opponent": "rollouts:5"}
    local = make_vec("keel/ConnectFour-v0", 2, env_options=options)
    workers = make_vec("keel/ConnectFour-v0", 2, env_options=options, workers=1)
    try:
        observation: Any = local.reset(3)
        np.testing.assert_equal(workers.reset(3), observation)
        for _ in range(12):
            action = np.argmax(observation[ACTION_MASK], axis=1)
            observation = local.step(action).observation
            np.testing.assert_equal(workers.step(action).observation, observation)
        fresh = make_vec("keel/ConnectFour-v0", 2, env_options=options)
        np.testing.assert_equal(fresh.load_state_dict(local.state_dict()), observation)
        action = np.argmax(observation[ACTION_MASK], axis=1)
        np.testing.assert_equal(fresh.step(action).observation, workers.step(action).observation)
    finally:
        workers.close()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which players were made; each plays the first legal move."""
    words: list[str] = []

    def make_player(name: str, game: Game, **_: Any) -> Any:
        words.append(name)
        choose: Callable[[Array, Any], Array] = lambda states, chance: game.legal(states).argmax(axis=1)
        return SimpleNamespace(name=name, choose=choose)

    monkeypatch.setattr(opponents, "make_player", make_player)
    monkeypatch.setattr(opponents, "_PLAYERS", {})
    return words


@pytest.fixture
def run(runs_directory: Path) -> Run:
    return Run.create("connect_four", "alphazero", 0, {}, name="mine")


def test_a_runs_network_is_loaded_once_for_all_worlds_and_again_after_a_new_checkpoint(
    run: Run, made: list[str]
) -> None:
    options = {"opponent": "run:mine:16", "seat": "first"}
    worlds = make_vec("keel/ConnectFour-v0", 3, env_options=options)
    assert made == ["mine:16"]
    worlds.reset(0)
    observation: Any = worlds.step(np.array([6, 6, 6])).observation
    assert observation["observation"][:, 1, 5, 0].tolist() == [1, 1, 1]
    make_vec("keel/TicTacToe-v0", 1, env_options={"opponent": "run:mine"})
    assert made == ["mine:16", "mine"]
    (run.checkpoints / "step-1").mkdir()
    make_vec("keel/ConnectFour-v0", 1, env_options=options)
    assert made == ["mine:16", "mine", "mine:16"]


def test_a_network_moves_in_a_world_as_its_player_does(runs_directory: Path) -> None:
    settings = default_settings("connect_four")
    settings = dataclasses.replace(settings, backbone=BoardConfig(blocks=0, channels=4, squeeze=2, features=8))
    network = PolicyValueNetwork((2, 6, 7), 7, settings.backbone)
    run = Run.create("connect_four", AGENT, 0, settings.to_json(), name="mine")
    about = {"agent": AGENT, "global_step": 0}
    checkpoint.save(run.checkpoints, "best", {"network": dict(network.state_dict())}, about=about)
    env = BoardGame("connect_four", "run:mine:8", seat="second")
    state, player = env.game.start(), make_player("mine:8", env.game)
    (move,) = player.choose(state[None], np.random.default_rng(0))
    observation, _ = env.reset(seed=0)
    assert observation["observation"][1, 5].nonzero()[0].tolist() == [move]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("run:latest", "'run:latest': another run would soon be the latest one"),
        ("run:latest:16", "another run would soon be the latest one"),
        ("run:nobody", "nobody"),
        ("run:", "'' is no run"),
        ("rollouts:many", "'many' simulations; a whole number"),
    ],
)
def test_opponents_that_are_none_are_refused_before_anything_starts(name: str, said: str, runs_directory: Path) -> None:
    with pytest.raises(ValueError, match=said):
        make_vec("keel/ConnectFour-v0", 1, env_options={"opponent": name})
