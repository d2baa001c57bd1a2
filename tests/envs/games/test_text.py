"""Boards as text, drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest

from keel.envs.games.game import Game
from keel.envs.games.games import GAMES, make_game
from keel.envs.games.text import board_text

from .played import step

CONNECT_FOUR = """
  a b c d e f g
6 . . . . . . .
5 . . . . . . .
4 . . . . . . .
3 . . . . . . .
2 . . . O . . .
1 X . . X . . .
"""
OTHELLO_6X6 = """
  a b c d e f
1 . . . . . .
2 . . X . . .
3 . . X X . .
4 . . X O . .
5 . . . . . .
6 . . . . . .
"""
HEX_7X7 = """
  a b c d e f g
1 . . . X . . .
 2 . . . . . . .
  3 . . . . . . O
   4 . . . . . . .
    5 . . . . . . .
     6 . . . . . . .
      7 . . . . . . .
"""
BREAKTHROUGH = """
  a b c d e f g h
8 O O O O O O O O
7 . O O O O O O O
6 . O . . . . . .
5 . . . . . . . .
4 . . . . . . . .
3 X . . . . . . .
2 X . X X X X X X
1 X X X X X X X X
"""


def after(game: Game, *moves: str) -> tuple[np.ndarray, int]:
    """The state after moves by their names, and who is next."""
    state, player = game.start(), 0
    for move in moves:
        names = {game.action_name(action, player): action for action in np.flatnonzero(game.legal(state[None])[0])}
        state, player = step(game, state[None], np.array([names[move]]))[0][0], 1 - player
    return state, player


@pytest.mark.parametrize(
    ("name", "moves", "drawn"),
    [
        ("connect_four", ("d", "d", "a"), CONNECT_FOUR),
        ("othello_6x6", ("c2",), OTHELLO_6X6),
        ("hex_7x7", ("d1", "g3"), HEX_7X7),
        ("breakthrough", ("b2a3", "a7b6"), BREAKTHROUGH),
    ],
)
def test_boards_look_as_drawn_by_hand(name: str, moves: tuple[str, ...], drawn: str) -> None:
    game = make_game(name)
    assert board_text(game, *after(game, *moves)) == drawn.strip("\n")


@pytest.mark.parametrize("name", sorted(set(GAMES) - {"connect_four", "breakthrough"}))
def test_a_stone_stands_where_its_name_says(name: str) -> None:
    game = make_game(name)
    for action in np.flatnonzero(game.legal(game.start()[None])[0]).tolist():
        square = game.action_name(action, 0)
        lines = board_text(game, *after(game, square)).splitlines()
        rows = {line.split()[0]: line.split()[1:] for line in lines[1:]}
        assert rows[square[1:]][lines[0].split().index(square[0])] == "X"


def test_large_boards_keep_their_columns_in_line() -> None:
    lines = board_text(make_game("gomoku"), make_game("gomoku").start(), 0).splitlines()
    assert lines[0] == "   a b c d e f g h i j k l m n o"
    assert lines[1] == "15 . . . . . . . . . . . . . . ."
    assert lines[-1] == " 1 . . . . . . . . . . . . . . ."
