"""Hex: join your two edges of a rhombus of hexagons before the opponent joins theirs."""

from __future__ import annotations

import numpy as np

from keel.envs.compiled import kernel
from keel.envs.games.squares import half_turned, square_name, stones
from keel.envs.protocol import Array

NEIGHBOURS = ((0, 1), (0, -1), (1, 0), (-1, 0), (-1, 1), (1, -1))


def neighbours_of(size: int) -> Array:
    """The cells beside each one, [size*size 6] int64; at an edge the cell itself stands for those that are missing."""
    rows, columns = np.divmod(np.arange(size * size), size)
    table = []
    for down, right in NEIGHBOURS:
        row, column = rows + down, columns + right
        inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
        table.append(np.where(inside, row * size + column, np.arange(size * size)))
    return np.stack(table, axis=1)


@kernel
def joins_left_and_right(
    board: Array, cell: int, size: int, neighbours: Array, seen: Array, mark: int, waiting: Array
) -> bool:
    """Whether the stones joined to the one on `cell` reach both the left and the right edge of board [S].

    Args: seen: [S], holds `mark` nowhere at first. waiting: [S], room for the cells whose neighbours are still to come.
    """
    stone = board[cell]
    left, right = False, False
    seen[cell] = mark
    waiting[0] = cell
    count = 1
    while count > 0:
        count -= 1
        at = waiting[count]
        column = at % size
        left |= column == 0
        right |= column == size - 1
        if left and right:
            return True
        for k in range(neighbours.shape[1]):
            beside = neighbours[at, k]
            if board[beside] == stone and seen[beside] != mark:
                seen[beside] = mark
                waiting[count] = beside
                count += 1
    return False


@kernel
def play_hex(
    states: Array,
    actions: Array,
    after: Array,
    legal: Array,
    ended: Array,
    value: Array,
    size: int,
    neighbours: Array,
) -> None:
    """`Game.play`. In the view of the next player the one who moved joins left and right."""
    seen = np.full(size * size, -1, np.int64)
    waiting = np.empty(size * size, np.int64)
    for n in range(len(states)):
        board, may = after[n], legal[n]
        for row in range(size):
            for column in range(size):
                board[column * size + row] = -states[n, row * size + column]
        row, column = actions[n] // size, actions[n] % size
        cell = column * size + row
        board[cell] = -1
        won = joins_left_and_right(board, cell, size, neighbours, seen, n, waiting)
        for action in range(len(may)):
            may[action] = (board[action] == 0) & (not won)
        ended[n] = won
        value[n] = -1.0 if won else 0.0


class Hex:
    """Two players set stones in turn; the first joins top and bottom, the second left and right, one of them must win.

    State: the board [H*W], which is transposed when the view changes: who moves always joins top and bottom. Cell (row,
    column) touches those beside it, above and below it, and the ones up right and down left. Planes: own stones, the
    opponent's. Actions: the cell, in the mover's view. There is no swap of the first stone.
    """

    planes = 2
    piece_moves = 0
    compiled = True

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.height = self.width = size
        self.actions = self.most_legal = self.most_moves = self.state_size = size * size
        self.cell_symmetries = self.action_symmetries = half_turned(size, size)
        self._neighbours = neighbours_of(size)

    def start(self) -> Array:
        return np.zeros(self.state_size, np.int8)

    def play(self, states: Array, actions: Array, after: Array, legal: Array, ended: Array, value: Array) -> None:
        play_hex(states, actions, after, legal, ended, value, self.width, self._neighbours)

    def legal(self, states: Array) -> Array:
        return states == 0

    def observe(self, states: Array) -> Array:
        return stones(states, self.height, self.width)

    def board(self, state: Array, player: int) -> Array:
        board = state.reshape(self.height, self.width).astype(np.int8)
        return board if player == 0 else -board.T

    def action_name(self, action: int, player: int) -> str:
        row, column = divmod(action, self.width)
        if player == 1:
            row, column = column, row
        return square_name(row, column, self.height, rows_from_top=True)
