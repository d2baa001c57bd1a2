"""From clicks to moves: which places of the board a move touches, and what a click on one of them does."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from keel.envs.games.draw_layout import BY_COLUMN
from keel.envs.games.game import Game
from keel.envs.games.text import FROM_TOP


class Move(NamedTuple):
    """An action and the places that a person clicks for it, as `draw_layout.cell_at` numbers them."""

    action: int
    name: str
    source: int | None  # where the piece stands that moves; None for a game in which pieces are put on the board
    target: int | None  # None for a pass


def move_of(game: Game, action: int, player: int) -> Move:
    """What `player`'s action touches, read from its name: "d" a column, "e3" a cell, "a2a3" two; "pass" none."""
    name = game.action_name(action, player)
    if game.name.startswith(BY_COLUMN):
        return Move(action, name, None, ord(name) - ord("a"))
    cells = [_cell(game, letter, int(number)) for letter, number in re.findall(r"([a-z])(\d+)", name)]
    return Move(action, name, cells[-2] if len(cells) > 1 else None, cells[-1] if cells else None)


class Hand:
    """What a person points at while they choose one of the moves; several that share their places need a last choice.

    Args: moves: the legal ones; none while it is not the person's turn.
    """

    def __init__(self, moves: Iterable[Move] = ()) -> None:
        self.moves = list(moves)
        self.chosen: int | None = None
        """The place of the piece that was picked up."""
        self.options: list[Move] = []
        """Moves from which one must still be chosen, as in a promotion."""

    @property
    def marks(self) -> list[int]:
        """The places to which the chosen piece can go; without pieces to choose, all where something can be put."""
        return sorted({m.target for m in self.moves if m.target is not None and m.source == self.chosen})

    @property
    def homeless(self) -> list[Move]:
        """Moves that touch no place, as to pass."""
        return [move for move in self.moves if move.target is None]

    def can(self, place: int | None) -> bool:
        """Whether a click there would do something useful."""
        if place is None:
            return False
        return place in self.marks or any(move.source == place for move in self.moves)

    def click(self, place: int | None) -> Move | None:
        """The move that a click makes, if it does; else a piece is picked up, or laid down again."""
        self.options = []
        meant = [m for m in self.moves if place is not None and m.target == place and m.source == self.chosen]
        if len(meant) == 1:
            return meant[0]
        if meant:
            self.options = meant
            return None
        ready = place is not None and place != self.chosen and any(move.source == place for move in self.moves)
        self.chosen = place if ready else None
        return None

    def release(self) -> bool:
        """Forget what was chosen; False if there was nothing."""
        held = self.chosen is not None or bool(self.options)
        self.chosen, self.options = None, []
        return held


def _cell(game: Game, letter: str, number: int) -> int:
    row = number - 1 if game.name.startswith(FROM_TOP) else game.height - number
    return row * game.width + ord(letter) - ord("a")
