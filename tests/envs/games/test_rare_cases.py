"""What random games seldom or never come to, set up by hand."""

from __future__ import annotations

import numpy as np

from keel.envs.games.games import make_game
from keel.envs.protocol import Array

from .played import step


def state(name: str, **cells: list[int]) -> Array:
    """An otherwise empty board [1 S] with the mover's stones on the cells `own` and the opponent's on `other`."""
    board = np.zeros((1, make_game(name).state_size), np.int8)
    board[0, cells.get("own", [])] = 1
    board[0, cells.get("other", [])] = -1
    return board


def test_who_takes_the_last_piece_wins_breakthrough() -> None:
    game, capture = make_game("breakthrough"), np.array([40 * 3 + 2])
    after, legal, ended, value = step(game, state("breakthrough", own=[40], other=[33]), capture)
    assert ended[0]
    assert value[0] == -1
    assert not legal.any()
    np.testing.assert_array_equal(after, state("breakthrough", other=[63 - 33]))
    _, legal, ended, value = step(game, state("breakthrough", own=[40], other=[33, 7]), capture)
    assert not ended[0]
    assert np.flatnonzero(legal).tolist() == [56 * 3 + 1, 56 * 3 + 2]  # the piece on 7 is now at the left edge


def test_nothing_moves_off_the_board_or_captures_straight_ahead() -> None:
    legal = make_game("breakthrough").legal(state("breakthrough", own=[40, 47], other=[32, 38]))
    assert np.flatnonzero(legal).tolist() == [40 * 3 + 2, 47 * 3, 47 * 3 + 1]


def test_six_in_a_row_win_gomoku() -> None:
    for name in ("gomoku", "gomoku_9x9"):
        *_, ended, value = step(make_game(name), state(name, own=[0, 1, 3, 4, 5]), np.array([2]))
        assert (bool(ended[0]), value[0]) == (True, -1.0)
        *_, ended, value = step(make_game(name), state(name, own=[0, 1, 3]), np.array([2]))
        assert (bool(ended[0]), value[0]) == (False, 0.0)


def test_lines_do_not_go_on_beyond_an_edge() -> None:
    """Cells that follow each other by number and stand at the end of one row and the beginning of the next."""
    *_, ended, _ = step(make_game("gomoku_9x9"), state("gomoku_9x9", own=[6, 7, 9, 10]), np.array([8]))
    assert not ended[0]
    *_, ended, _ = step(make_game("connect_four"), state("connect_four", own=[33, 34, 35]), np.array([1]))
    assert not ended[0]


def test_othello_passes_until_nobody_can_move() -> None:
    game, passing = make_game("othello_6x6"), 36
    after, legal, ended, _ = step(game, state("othello_6x6", own=[0, 5], other=[1, 4]), np.array([2]))
    np.testing.assert_array_equal(after, state("othello_6x6", own=[4], other=[0, 1, 2, 5]))
    assert np.flatnonzero(legal[0]).tolist() == [passing]
    np.testing.assert_array_equal(game.legal(after), legal)
    assert not ended[0]
    after, legal, ended, _ = step(game, after, np.array([passing]))
    np.testing.assert_array_equal(after, state("othello_6x6", own=[0, 1, 2, 5], other=[4]))
    assert np.flatnonzero(legal[0]).tolist() == [3]
    assert not ended[0]
    _, legal, ended, value = step(game, after, np.array([3]))
    assert not legal.any()
    assert (bool(ended[0]), value[0]) == (True, -1.0)


def test_othello_can_be_won_by_who_did_not_move_last_or_by_nobody() -> None:
    game = make_game("othello")
    for islands, worth in (([], -1.0), ([56, 58, 60], 0.0), ([56, 58, 60, 62], 1.0)):
        board = state("othello", own=[0], other=[1, *islands])  # discs apart from each other, which nothing encloses
        *_, ended, value = step(game, board, np.array([2]))
        assert (bool(ended[0]), value[0]) == (True, worth)
