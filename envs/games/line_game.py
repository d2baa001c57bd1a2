"""n in a row: Tic-tac-toe, Gomoku, and Connect Four, where a stone falls to the lowest free cell of its column."""

from __future__ import annotations

import numpy as np

from keel.envs.compiled import kernel
from keel.envs.games.squares import dihedral, mirrored, square_name, stones, turned_to_first
from keel.envs.protocol import Array


@kernel
def makes_line(board: Array, cell: int, height: int, width: int, length: int) -> bool:
    """Whether the stone on `cell` of board [S] stands in a row, column or diagonal of at least `length` like it."""
    stone = board[cell]
    row, column = cell // width, cell % width
    left, right = min(column, length - 1), min(width - 1 - column, length - 1)
    up, down = min(row, length - 1), min(height - 1 - row, length - 1)
    # For each direction the step between cells, and how many steps lie behind and before the stone on the board.
    for step, behind, before in (
        (1, left, right),
        (width, up, down),
        (width + 1, min(left, up), min(right, down)),
        (width - 1, min(right, up), min(left, down)),
    ):
        if behind + before + 1 < length:
            continue
        count, at = 1, cell - step
        while behind > 0 and board[at] == stone:
            count, at, behind = count + 1, at - step, behind - 1
        at = cell + step
        while before > 0 and board[at] == stone:
            count, at, before = count + 1, at + step, before - 1
        if count >= length:
            return True
    return False


@kernel
def play_line_game(
    states: Array,
    actions: Array,
    after: Array,
    legal: Array,
    ended: Array,
    value: Array,
    height: int,
    width: int,
    length: int,
    gravity: bool,
) -> None:
    """`Game.play`. A move is legal where the cell of its number is free: with gravity these are the top row's."""
    for n in range(len(states)):
        board, may = after[n], legal[n]
        for i in range(len(board)):
            board[i] = -states[n, i]
        cell = actions[n]
        if gravity:
            cell += (height - 1) * width
            while board[cell] != 0:
                cell -= width
        board[cell] = -1
        won = makes_line(board, cell, height, width, length)
        choices = 0
        for action in range(len(may)):
            free = (board[action] == 0) & (not won)
            may[action] = free
            choices += free
        ended[n] = choices == 0
        value[n] = -1.0 if won else 0.0


class LineGame:
    """Two players set stones in turn; who first has `length` or more in a row, column or diagonal wins.

    State: the board [H*W]. Planes: own stones, the opponent's. Actions: the cell, or with gravity the column.
    A full board is a draw.

    Args: name, height, width: of the board. length: of a line that wins. gravity: stones fall.
    """

    planes = 2
    piece_moves = 0
    compiled = True

    def __init__(self, name: str, height: int, width: int, length: int, gravity: bool = False) -> None:
        self.name = name
        self.height = height
        self.width = width
        self.actions = self.most_legal = width if gravity else height * width
        self.most_moves = self.state_size = height * width
        self.cell_symmetries = dihedral(height) if height == width and not gravity else mirrored(height, width)
        self.action_symmetries = self.cell_symmetries[:, : self.actions]  # the top row stays on top where stones fall
        self._length, self._gravity = length, gravity

    def start(self) -> Array:
        return np.zeros(self.state_size, np.int8)

    def play(self, states: Array, actions: Array, after: Array, legal: Array, ended: Array, value: Array) -> None:
        play_line_game(
            states, actions, after, legal, ended, value, self.height, self.width, self._length, self._gravity
        )

    def legal(self, states: Array) -> Array:
        return states[:, : self.actions] == 0

    def observe(self, states: Array) -> Array:
        return stones(states, self.height, self.width)

    def board(self, state: Array, player: int) -> Array:
        return turned_to_first(state, player).reshape(self.height, self.width)

    def action_name(self, action: int, player: int) -> str:
        name = square_name(*divmod(action, self.width), self.height, rows_from_top=False)
        return name[0] if self._gravity else name
