"""Clicks mean moves: on columns, on cells, on a piece and then its goal; anything else does nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from keel.envs.games.draw_layout import cell_of
from keel.envs.games.games import GAMES, make_game
from keel.envs.games.opponents import play
from keel.runners.play.moves import Hand, Move, move_of

# Rows from the top: a8 is cell 0 and h1 cell 63.
A7, B8, A8, E4, E5, D5 = 8, 1, 0, 36, 28, 27


class NamedGame:
    """Moves are named by a list, as chess names its own."""

    name, height, width = "chess", 8, 8

    def __init__(self, *names: str) -> None:
        self.names = names

    def action_name(self, action: int, player: int) -> str:
        return self.names[action]


def hand(*names: str) -> Hand:
    game: Any = NamedGame(*names)
    return Hand(move_of(game, action, 0) for action in range(len(names)))


@pytest.mark.parametrize("name", GAMES)
def test_a_move_goes_to_the_cell_where_it_is_drawn(name: str) -> None:
    game, chance = make_game(name), np.random.default_rng(1)
    state, player, legal = game.start(), 0, game.legal(game.start()[None])[0]
    for _ in range(12):
        action = int(chance.choice(np.flatnonzero(legal)))
        move = move_of(game, action, player)
        played = play(game, state[None], np.array([action]))
        if played.ended[0]:
            break
        board = game.board(played.after[0], 1 - player)
        cell = cell_of(game, action, player, board)
        if cell is not None and name == "connect_four":
            cell %= game.width
        assert move.target == cell
        if move.source is not None:  # the piece has left
            assert board.flat[move.source] == 0
        state, player, legal = played.after[0], 1 - player, played.legal[0]


def test_one_click_where_stones_are_set() -> None:
    game = make_game("connect_four")
    columns = Hand(move_of(game, action, 0) for action in (0, 3))
    assert columns.marks == [0, 3]
    assert (columns.can(3), columns.can(4), columns.can(None)) == (True, False, False)
    assert columns.click(4) is None
    assert columns.click(None) is None
    chosen = columns.click(3)
    assert chosen is not None
    assert chosen.action == 3


def test_two_clicks_where_pieces_move() -> None:
    pieces = hand("e4e5", "e4d5", "a7a8")
    assert pieces.marks == []
    assert pieces.can(E4)
    assert not pieces.can(E5)
    assert pieces.click(E5) is None
    assert pieces.click(E4) is None
    assert (pieces.chosen, pieces.marks) == (E4, [D5, E5])
    move = pieces.click(D5)
    assert move == Move(1, "e4d5", E4, D5)


def test_a_piece_is_laid_down_or_changed_for_another() -> None:
    pieces = hand("e4e5", "a7a8")
    pieces.click(E4)
    pieces.click(E4)
    assert pieces.chosen is None
    pieces.click(E4)
    pieces.click(A7)
    assert pieces.chosen == A7
    pieces.click(E5)  # which only the other piece could reach
    assert pieces.chosen is None
    pieces.click(A7)
    assert pieces.release()
    assert not pieces.release()


def test_a_promotion_asks_for_the_piece() -> None:
    pawn = hand("a7a8q", "a7a8n", "a7b8q")
    pawn.click(A7)
    assert pawn.marks == [A8, B8]
    assert pawn.click(A8) is None
    assert [option.name for option in pawn.options] == ["a7a8q", "a7a8n"]
    assert pawn.click(None) is None
    assert pawn.options == []


def test_passing_touches_no_place() -> None:
    game = make_game("othello_6x6")
    move = move_of(game, game.actions - 1, 0)
    assert (move.name, move.source, move.target) == ("pass", None, None)
    assert Hand([move]).homeless == [move]
    assert Hand([move]).click(None) is None


def test_an_empty_hand_does_nothing() -> None:
    empty = Hand()
    assert SimpleNamespace(marks=empty.marks, click=empty.click(3)) == SimpleNamespace(marks=[], click=None)
