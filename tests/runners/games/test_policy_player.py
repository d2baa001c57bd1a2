"""A policy of PPO or DQN as a player does what it does in its own world."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keel
from keel.agents.players import ScriptedPlayer
from keel.envs.games.as_env import BoardGame
from keel.envs.games.games import make_game
from keel.envs.games.opponents import play
from keel.runners.arena.match import play_match
from keel.runners.games.policy_player import PolicyPlayer, policy_game
from keel.runners.run import Run

SMALL: dict[str, Any] = {"video": False, "evaluate_every": 0, "evaluate_episodes": 1, "num_envs": 2}
TIC_TAC_TOE = make_game("tic_tac_toe")


def trained(folder: Path, agent: str = "ppo", env: str = "keel/TicTacToe-v0", **settings: Any) -> Run:
    run = keel.train(agent, env=env, total_steps=64, run_dir=folder, **(SMALL | settings))
    return Run.open(Path(str(getattr(run, "path", run))))


@pytest.fixture(scope="module")
def ppo(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keel.runners.train.write_report", lambda *_, **__: None)
        return trained(tmp_path_factory.mktemp("runs") / "ppo", num_steps=16, minibatch_size=32)


def positions(count: int) -> Any:
    """Of games by lot."""
    chance, found = np.random.default_rng(0), []
    while len(found) < count:
        state, legal, ended = TIC_TAC_TOE.start()[None], np.ones((1, 9), bool), np.zeros(1, bool)
        while not ended[0]:
            found.append(state[0])
            state, legal, ended, _ = play(TIC_TAC_TOE, state, chance.choice(np.flatnonzero(legal[0]), 1))
    return np.stack(found[:count])


def test_it_plays_what_the_policy_says_in_its_world(ppo: Run) -> None:
    """The world's own observations: the player sees the same from the states that lie below them."""
    player, policy = PolicyPlayer(ppo, TIC_TAC_TOE, checkpoint="last"), keel.load(ppo.path, "last")
    world = BoardGame("tic_tac_toe", opponent="random", seat="any")
    chance, asked = np.random.default_rng(0), 0
    for seed in range(6):
        observation, _ = world.reset(seed=seed)
        ended = False
        while not ended:
            action = int(policy.act(observation))
            state = world._state
            assert player.choose(state[None], chance).tolist() == [action]
            observation, _, ended, _, _ = world.step(action)
            asked += 1
    assert asked >= 18


def test_many_positions_at_once_are_judged_as_each_alone(ppo: Run) -> None:
    player, chance = PolicyPlayer(ppo, TIC_TAC_TOE), np.random.default_rng(0)
    states = positions(150)
    together = player.choose(states, chance)
    assert together.dtype == np.int32
    assert together.tolist() == [int(player.choose(state[None], chance)[0]) for state in states]
    assert TIC_TAC_TOE.legal(states)[np.arange(150), together].all()


def test_it_takes_part_in_matches(ppo: Run) -> None:
    player = PolicyPlayer(ppo, TIC_TAC_TOE)
    match = play_match(TIC_TAC_TOE, player, ScriptedPlayer(TIC_TAC_TOE, "random"), 10, 0, opening_moves=1)
    assert match.first == ppo.name
    assert match.tally().games == 10


@pytest.mark.usefixtures("without_report")
def test_dqn_takes_part_too(tmp_path: Path) -> None:
    run = trained(tmp_path / "dqn", "dqn", learning_starts=32)
    states = positions(20)
    actions = PolicyPlayer(run, TIC_TAC_TOE, checkpoint="last").choose(states, np.random.default_rng(0))
    assert TIC_TAC_TOE.legal(states)[np.arange(20), actions].all()


def test_whose_game_it_is(ppo: Run, tmp_path: Path) -> None:
    assert policy_game(ppo) == "tic_tac_toe"
    with pytest.raises(ValueError, match="ppo plays tic_tac_toe, and the game is hex_7x7"):
        PolicyPlayer(ppo, make_game("hex_7x7"))
    hex_run = Run(tmp_path, {"name": "x", "env": "keel/Hex7x7-v0", "training": {"env_options": {"game": "hex"}}})
    assert policy_game(hex_run) == "hex"
    with pytest.raises(ValueError, match="x acts in CartPole-v1, which is no board game"):
        policy_game(Run(tmp_path, {"name": "x", "env": "CartPole-v1"}))


@pytest.mark.usefixtures("without_report")
def test_who_remembers_cannot_take_part(tmp_path: Path) -> None:
    run = trained(tmp_path / "lstm", backbone="lstm", num_steps=16, minibatch_size=32)
    with pytest.raises(
        ValueError, match=r"lstm remembers \(the backbone lstm\), and a player is shown single positions"
    ):
        PolicyPlayer(run, TIC_TAC_TOE, checkpoint="last")
