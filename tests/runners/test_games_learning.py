"""The benchmark of board games: how games ended is counted, intervals are Wilson's, the bound is the game's own."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from keel.envs.games.games import make_game
from keel.envs.games.opponents import play
from keel.runners.benchmarks import games_learning
from keel.runners.benchmarks.games_learning import AGENTS, ENVS, MOST_WINS, table, tally
from keel.runners.presets.find import find_preset


def test_games_are_counted_by_how_they_ended() -> None:
    assert tally([1.0, -1.0, 0.0, 1.0, 1.0]) == {"wins": 3, "draws": 1, "losses": 1}


def test_nobody_wins_more_often_at_tic_tac_toe() -> None:
    """The largest chance to win against a player by lot, through every state."""
    game = make_game("tic_tac_toe")

    @functools.cache
    def best(state: bytes, mine: bool) -> float:
        row = np.frombuffer(state, np.int8)[None]
        moves = np.flatnonzero(game.legal(row)[0])
        chances = []
        for move in moves:
            after, _, ended, value = (part[0] for part in play(game, row, np.array([move])))
            chances.append(float(mine and value < 0) if ended else best(after.tobytes(), not mine))
        return max(chances) if mine else sum(chances) / len(chances)

    start = game.start().tobytes()
    most = (best(start, True) + best(start, False)) / 2
    assert most == pytest.approx(MOST_WINS["keel/TicTacToe-v0"], abs=5e-4)


def test_the_table_adds_up_the_seeds() -> None:
    row = {"env": "keel/ConnectFour-v0", "agent": "ppo", "steps": 1_000, "training_seconds": 2.0}
    sharper = {"wins": 250, "draws": 50, "losses": 700}
    rows = [
        row
        | {"seed": seed, "against": {"random": {"wins": wins, "draws": 4, "losses": 996 - wins}, "one_ply": sharper}}
        for seed, wins in enumerate((970, 940))
    ]
    text = table({"episodes": 1_000, "rows": rows})
    assert (
        "| keel/ConnectFour-v0, ppo | random | 95.5 % | 94.5 to 96.3 % | 0.4 % | 4.1 % | 97.0 %, 94.0 % | 1 of 2 |"
        in text
    )
    assert (
        "| keel/ConnectFour-v0, ppo | one_ply | 25.0 % | 23.2 to 26.9 % | 5.0 % | 70.0 % | 25.0 %, 25.0 % |  |" in text
    )
    assert "keel/TicTacToe-v0: nobody" not in text
    assert "keel/TicTacToe-v0: nobody wins more than 96.7 %" in table(
        {"episodes": 1_000, "rows": [rows[0] | {"env": "keel/TicTacToe-v0"}]}
    )


def test_every_agent_and_world_of_the_benchmark_is_trained() -> None:
    assert all(find_preset(agent, ENVS[0]) for agent in AGENTS)
    assert all(find_preset("dqn", env) for env in ENVS)


@pytest.mark.slow
def test_a_preset_wins_against_chance() -> None:
    row = games_learning.train_and_judge("ppo", "keel/ConnectFour-v0", 0)
    assert row["against"]["random"]["wins"] >= 950
