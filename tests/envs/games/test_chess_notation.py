"""Games and moves of chess as text."""

from __future__ import annotations

import io

import chess
import chess.pgn
import numpy as np
import pytest

from keel.envs.games.chess_boards import state_of
from keel.envs.games.chess_game import ChessGame
from keel.envs.games.chess_notation import move_of, parse, pgn, san

from .played import step

GAME = ChessGame("chess")
PROMOTING = "3r4/P3P1k1/8/8/8/8/8/4K2R w K - 0 1"


def test_a_random_game_is_read_back_by_python_chess() -> None:
    generator, state, actions, moves = np.random.default_rng(0), GAME.start(), [], []
    legal, ended, value = GAME.legal(state[None])[0], False, 0.0
    while not ended:
        actions.append(int(generator.choice(np.flatnonzero(legal))))
        moves.append(move_of(state, actions[-1]))
        (state,), (legal,), (ended,), (value,) = step(GAME, state[None], np.array(actions[-1:]))
    text = pgn(actions, {"White": "one", "Black": "other"})
    game = chess.pgn.read_game(io.StringIO(text))
    assert game.errors == []
    assert list(game.mainline_moves()) == moves
    assert (game.headers["White"], game.headers["Black"], game.headers["Event"]) == ("one", "other", "?")
    won = {0.0: "1/2-1/2", -1.0: "1-0" if len(moves) % 2 else "0-1"}
    assert game.headers["Result"] == won[float(value)]
    assert text.split()[-1] == won[float(value)]


def actions_of(moves: str) -> list[int]:
    state, actions = GAME.start(), []
    for text in moves.split():
        actions.append(parse(state, text))
        state = step(GAME, state[None], np.array(actions[-1:]))[0][0]
    return actions


@pytest.mark.parametrize(
    ("moves", "result"),
    [("f3 e5 g4 Qh4#", "0-1"), ("e4 e5 Bc4 Nc6 Qh5 Nf6 Qxf7#", "1-0"), ("Nf3 Nf6 Ng1 Ng8 " * 2, "1/2-1/2"), ("", "*")],
)
def test_results_are_written(moves: str, result: str) -> None:
    text = pgn(actions_of(moves))
    assert f'[Result "{result}"]' in text
    assert [word for word in text.splitlines()[-1].split() if not word.endswith(".")] == [*moves.split(), result]


def test_what_cannot_be_written_is_refused() -> None:
    (e4,) = actions_of("e4")
    with pytest.raises(ValueError, match=r"the action 0 is not legal in 'rnbqkbnr/pppppppp/8/8/4P3"):
        pgn([e4, 0])
    with pytest.raises(ValueError, match="has ended after 4 moves"):
        pgn([*actions_of("f3 e5 g4 Qh4#"), e4])


def test_moves_are_read_in_both_notations_and_written() -> None:
    state = state_of(chess.Board(PROMOTING))
    for words, uci, written in (
        (("e7d8q", "e7d8", "exd8=Q"), "e7d8q", "exd8=Q"),
        (("e7e8n", "e8=N", "e8=N+"), "e7e8n", "e8=N+"),
        (("a7a8r", "a8=R"), "a7a8r", "a8=R"),
        (("e1g1", "O-O", "0-0", "e1h1"), "e1g1", "O-O"),
        (("h1h7", "Rh7", "Rh7+"), "h1h7", "Rh7+"),
    ):
        (action,) = {parse(state, text) for text in words}
        assert move_of(state, action).uci() == uci
        assert san(state, action) == written


@pytest.mark.parametrize("text", ["e7e9", "Nf3", "e1e3", "", "0000", "--", "e8=K"])
def test_what_is_no_move_is_named_with_the_right_ones(text: str) -> None:
    with pytest.raises(ValueError, match=rf"the move is '{text}'; in '3r4.* would be right: .*O-O"):
        parse(state_of(chess.Board(PROMOTING)), text)
