"""Rules of thumb at chess: what is worth what, that captures are looked through, and that it wins."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from keel.agents.players import ScriptedPlayer, SearchPlayer
from keel.agents.search import Search, SearchConfig
from keel.envs.games.games import make_game
from keel.envs.games.opponents import play
from keel.runners.arena.match import play_match

chess = pytest.importorskip("chess")

from keel.envs.games.chess_boards import action_of, state_of
from keel.envs.games.chess_judgement import DEPTH, judge, settled, standing

GAME = make_game("chess")


def value(fen: str) -> float:
    return float(judge(state_of(chess.Board(fen))[None])[1][0])


def boards_by_lot(count: int, seed: int) -> list[Any]:
    """Positions of games by lot, from the second to the sixtieth move."""
    chance, boards, board = np.random.default_rng(seed), [], chess.Board()
    while len(boards) < count:
        moves = list(board.legal_moves)
        if not moves or board.is_insufficient_material() or len(board.move_stack) > 120:
            board = chess.Board()
            continue
        board.push(moves[chance.integers(len(moves))])
        if len(board.move_stack) % 7 == 2 and any(board.legal_moves):
            boards.append(board.copy(stack=False))
    return boards


def all_captures(board: Any, depth: int) -> float:
    """The same as `settled`, without leaving out anything."""
    best = standing(board)
    if depth:
        for move in list(board.generate_legal_captures()):
            board.push(move)
            best = max(best, -all_captures(board, depth - 1))
            board.pop()
    return best


def test_the_start_is_even_and_a_queen_is_nine_pawns() -> None:
    assert value(chess.STARTING_FEN) == 0.0
    ahead = 9.0  # and nothing else differs: 9 / (9 + 5); a king without a queen against it wants no shelter
    assert value("3qk3/8/8/8/8/8/8/3QK3 w - - 0 1") == 0.0
    assert value("4k3/p7/8/8/8/8/P7/3QK3 w - - 0 1") == pytest.approx(ahead / (ahead + 5.0), abs=0.1)


def test_colours_make_no_difference() -> None:
    for board in boards_by_lot(60, seed=0):
        assert standing(board) == pytest.approx(standing(board.mirror()))
        other = board.copy()
        other.turn = not other.turn
        assert standing(other) == pytest.approx(-standing(board))


def test_captures_are_looked_through_as_if_none_were_left_out() -> None:
    differs = 0
    for board in boards_by_lot(60, seed=1):
        ours, theirs = settled(board, -math.inf, math.inf, 3), all_captures(board, 3)
        assert ours == pytest.approx(theirs)
        differs += ours > standing(board) + 0.5
    assert differs > 10  # that there was something to take


def test_what_hangs_is_taken_and_what_is_defended_is_not() -> None:
    hanging = "4k3/8/8/3q4/4P3/8/8/4K3 w - - 0 1"
    defended = "4k3/8/2p5/3p4/8/8/8/3QK3 w - - 0 1"  # the queen would be lost for a pawn
    assert settled(chess.Board(hanging), -math.inf, math.inf, DEPTH) > standing(chess.Board(hanging)) + 8.0
    assert settled(chess.Board(defended), -math.inf, math.inf, DEPTH) == standing(chess.Board(defended))
    for fen, move, best in ((hanging, "e4d5", True), (defended, "d1d5", False)):
        board = chess.Board(fen)
        logits = judge(state_of(board)[None])[0][0]
        legal = [action_of(move, board.turn) for move in board.legal_moves]
        asked = action_of(chess.Move.from_uci(move), board.turn)
        assert (logits[asked] == logits[legal].max()) == best
        assert (logits[asked] == logits[legal].min()) == (not best)
        assert not np.delete(logits, legal).any()


@pytest.mark.slow
@pytest.mark.parametrize("fen", ["8/8/8/8/4k3/8/8/3QK3 w - - 0 1", "8/8/8/8/4k3/8/8/R3K2R w - - 0 1"])
def test_a_won_ending_is_won(fen: str) -> None:
    """Against somebody who plays as well: queen or two rooks against a bare king, in less than thirty moves."""
    search = Search(GAME, SearchConfig(simulations=160, rule="puct", c_init=0.5), 1)
    state = state_of(chess.Board(fen))[None]
    played, plies = play(GAME, state, search.run(state, judge).action), 1
    while not played.ended[0]:
        played, plies = play(GAME, played.after, search.run(played.after, judge).action), plies + 1
    assert (played.value[0], plies % 2) == (-1.0, 1)  # white has mated
    assert plies < 60


@pytest.mark.slow
def test_it_beats_who_looks_one_move_ahead() -> None:
    player = SearchPlayer("rules of thumb", GAME, judge, SearchConfig(simulations=60, rule="puct", c_init=0.5))
    match = play_match(GAME, player, ScriptedPlayer(GAME, "one_ply"), 10, 0, opening_moves=2)
    assert match.tally().wins >= 8
    assert match.tally().losses == 0
