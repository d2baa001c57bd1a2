"""Players: they see what wins, and say how they expect the game to go on."""

from __future__ import annotations

import numpy as np
import pytest

from keel.agents.evaluators import RolloutEvaluator
from keel.agents.players import ScriptedPlayer, SearchPlayer
from keel.agents.search import SearchConfig
from keel.envs.games.games import make_game
from keel.envs.games.opponents import play


def rollouts(name: str, simulations: int) -> SearchPlayer:
    game = make_game(name)
    return SearchPlayer("rollouts", game, RolloutEvaluator(game, 0), SearchConfig(simulations=simulations, rule="puct"))


def position(name: str, moves: list[int]) -> np.ndarray:
    game = make_game(name)
    state = game.start()[None]
    for move in moves:
        state = play(game, state, np.array([move])).after
    return state


def test_games_by_lot_find_what_wins_and_what_must_be_stopped() -> None:
    chance, player = np.random.default_rng(0), rollouts("connect_four", 400)
    three = position("connect_four", [0, 1, 0, 1, 0, 2])  # column 0 wins
    threat = position("connect_four", [0, 1, 0, 1, 0])  # column 0 has to be closed
    assert player.choose(np.concatenate([three, threat]), chance).tolist() == [0, 0]


def test_the_variation_is_a_line_of_legal_moves_from_the_move_that_was_chosen() -> None:
    game, player = make_game("tic_tac_toe"), rollouts("tic_tac_toe", 500)
    state = position("tic_tac_toe", [0, 4])
    found = player.think(state)
    line = player.variation(0, int(found.action[0]))
    assert line[0] == found.action[0]
    assert len(line) > 2
    assert len(set(line)) == len(line), "no cell twice"
    for move in line:
        assert game.legal(state)[0, move]
        state = play(game, state, np.array([move])).after


def test_more_games_than_are_searched_at_once() -> None:
    player = rollouts("tic_tac_toe", 30)
    states = position("tic_tac_toe", [0, 3, 1, 4]).repeat(130, axis=0)  # cell 2 wins
    assert player.choose(states, np.random.default_rng(0)).tolist() == [2] * 130


def test_scripted_players_are_known_by_name() -> None:
    game = make_game("tic_tac_toe")
    player = ScriptedPlayer(game, "one_ply")
    assert player.choose(position("tic_tac_toe", [0, 3, 1, 4]), np.random.default_rng(0)).tolist() == [2]
    with pytest.raises(KeyError):
        ScriptedPlayer(game, "two_ply")
