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
from keel.envs.games.chess_judgement import DEPTH, driven, judge, promise, settled, standing

GAME = make_game("chess")
EDGES = ("4k3/8/8/8/8/8/8/R3K2R", "4k3/8/4K3/8/8/8/8/R6R")


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
    assert value("3qk3/8/8/8/8/8/8/3QK3 w - - 0 1") == 0.0
    assert value("q3k3/8/8/8/8/8/8/2QQK3 w - - 0 1") == pytest.approx(9.0 / (9.0 + 5.0))
    assert value("q3k3/8/8/8/8/8/8/2QQK3 w - - 50 90") == pytest.approx(6.75 / (6.75 + 5.0))  # a quarter is gone


def test_the_king_that_loses_is_worse_off_at_the_edge_and_beside_the_other_one() -> None:
    centre, edge, beside = (value(f"{place} w - - 0 1") for place in ("8/8/8/4k3/8/8/8/R3K2R", *EDGES))
    assert 0.5 < centre < edge < beside < 1.0


def test_a_king_in_its_corner_counts_while_there_is_a_queen_to_fear() -> None:
    fen = "{}/pppppppp/8/8/8/8/PPPPPPPP/{} w - - 0 1"
    assert value(fen.format("3qk3", "3Q2K1")) == pytest.approx(0.4 / 5.4)
    assert value(fen.format("4k3", "6K1")) == 0.0


def test_rows_are_judged_alone() -> None:
    """With castling, taking in passing and a pawn that becomes another piece on the board before."""
    fens = [
        "r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1",
        "4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 2",
        "1n2k3/P7/8/8/8/8/8/4K3 w - - 0 1",
        "r3k2r/8/8/8/8/8/8/R3K2R b - - 3 1",
    ]
    states = np.stack([state_of(chess.Board(fen)) for fen in fens])
    for together, alone in zip(judge(states), zip(*(judge(state[None]) for state in states), strict=True), strict=True):
        np.testing.assert_array_equal(together, np.concatenate(alone))


def test_colours_make_no_difference() -> None:
    for board in boards_by_lot(60, seed=0):
        assert standing(board) == pytest.approx(standing(board.mirror()))
        other = board.copy()
        other.turn = not other.turn
        assert standing(other) == pytest.approx(-standing(board))
        ours, theirs = (judge(state_of(each)[None]) for each in (board, board.mirror()))
        np.testing.assert_allclose(ours[0], theirs[0], atol=1e-5)
        np.testing.assert_allclose(ours[1], theirs[1], atol=1e-5)


def test_captures_are_looked_through_as_if_none_were_left_out() -> None:
    boards = [board for board in boards_by_lot(400, seed=1) if sum(1 for _ in board.generate_legal_captures()) < 6]
    gained = 0
    for board in boards:
        ours, theirs = settled(board, -math.inf, math.inf, 3), all_captures(board, 3)
        assert ours == pytest.approx(theirs)
        gained += ours > standing(board) + 0.5
    assert len(boards) > 250
    assert gained > 60  # that there was something to take


@pytest.mark.parametrize(
    ("fen", "move", "pawns"),
    [
        ("4k3/8/8/8/8/8/8/R3K3 w Q - 0 1", "a1b1", 0.0),
        (
            "4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 2",
            "e5d6",
            1.25 + 0.4 - 0.25 - 0.1,
        ),  # both stood in the centre, ours on the fifth row
        ("1n2k3/P7/8/8/8/8/8/4K3 w - - 0 1", "a7b8q", 3.0 - 0.2 + 9.0 - 1.0 - 1.0),  # on the rim; ours was on the 7th
        ("1n2k3/P7/8/8/8/8/8/4K3 w - - 0 1", "a7b8n", 3.0 - 0.2 + 3.0 - 0.2 - 1.0 - 1.0),
        ("3rk3/8/7b/8/8/5N2/8/4K3 w - - 0 1", "f3d2", -3.0),  # two attack it, and the king alone defends it
        ("3k4/8/8/8/R7/4K3/8/r7 w - - 0 1", "a4a2", 0.0),  # along the line on which it is attacked
        ("3k4/8/8/8/R7/4K3/8/r7 w - - 0 1", "a4a6", 0.0),  # and away on it
        ("4k3/8/8/8/2p5/8/3PK3/8 w - - 0 1", "d2d3", 0.0),  # it is defended by the king
        ("4k3/1r6/P7/8/8/8/8/R3K3 w - - 0 1", "a6a7", 1.0 - 0.4),  # by the rook behind it
        ("r1bqkbnr/1ppp1ppp/p1n5/4p2Q/2B1P3/8/PPPP1PPP/RNB1K1NR w KQkq - 0 4", "h5f7", 1.0),  # a king takes no queen
    ],
)
def test_what_a_move_promises(fen: str, move: str, pawns: float) -> None:
    """By hand; squares and kings that play no part stand as before."""
    board = chess.Board(fen)
    now = standing(board) + driven(board, standing(board))
    drive = driven(board, standing(board))
    board.push_uci(move)
    drive = -driven(board, standing(board)) - drive
    board.pop()
    assert promise(board, chess.Move.from_uci(move), now) - drive == pytest.approx(pawns)


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
    """Against somebody who plays as well: queen or two rooks against a bare king, in thirty moves at most."""
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
    assert match.tally().wins >= 9
    assert match.tally().losses == 0
