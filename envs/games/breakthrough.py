"""Breakthrough: be the first to bring a piece to the far row."""

from __future__ import annotations

import numpy as np

from keel.envs.compiled import kernel
from keel.envs.games.squares import mirrored, square_name, stones
from keel.envs.protocol import Array

NONE, ONE, TWO = np.uint64(0), np.uint64(1), np.uint64(2)
DIRECTIONS = np.uint64(3)  # left and forward, forward, right and forward


@kernel
def fill_legal(board: Array, legal: Array, width: np.uint64) -> None:
    """Fill legal [A] with the moves of the own pieces on board [S], none of which stands on the far row.

    Nothing here branches on the board, as nothing foretells where a piece stands, and cells are counted without a sign,
    which spares asking whether an index counts from the end: together five times as fast.
    """
    size = np.uint64(len(board))
    legal[: width * DIRECTIONS] = False
    for cell in range(width, size):
        own, ahead, action = board[cell] == 1, cell - width, cell * DIRECTIONS
        legal[action] = own & (board[max(ahead, ONE) - ONE] != 1)
        legal[action + ONE] = own & (board[ahead] == 0)
        legal[action + TWO] = own & (board[ahead + ONE] != 1)
    for left in range(NONE, size, width):  # what would leave the board sideways
        legal[left * DIRECTIONS] = False
        legal[(left + width) * DIRECTIONS - ONE] = False


@kernel
def play_breakthrough(
    states: Array, actions: Array, after: Array, legal: Array, ended: Array, value: Array, width: np.uint64
) -> None:
    """`Game.play`."""
    for n in range(len(states)):
        board = after[n]
        last = np.uint64(len(board)) - ONE
        for i in range(last + ONE):
            board[last - i] = -states[n, i]
        action = np.uint64(actions[n])
        cell = action // DIRECTIONS
        to = cell - width + action % DIRECTIONS - ONE
        board[last - cell] = 0
        board[last - to] = -1
        pieces = 0
        for i in range(len(board)):
            pieces += board[i] == 1
        won = to < width or pieces == 0
        ended[n] = won
        value[n] = -1.0 if won else 0.0
        if won:
            legal[n] = False
        else:
            fill_legal(board, legal[n], width)


@kernel
def legal_breakthrough(states: Array, legal: Array, width: np.uint64) -> None:
    """`Game.legal`."""
    for n in range(len(states)):
        fill_legal(states[n], legal[n], width)


class Breakthrough:
    """Two players with two rows of pieces each move one of them in turn, a step forward, straight or diagonally.

    State: the board [H*W], which is turned by half a turn when the view changes: who moves always moves up. Planes: own
    pieces, the opponent's. Actions: 3 x the cell moved from + 0 left and forward, 1 forward, 2 right and forward, in
    the mover's view. Diagonally a piece may capture; straight ahead the cell must be empty. Who reaches the far row, or
    takes the last piece, wins; there is always a move, as nothing stops the foremost piece from a diagonal one.
    """

    planes = 2
    piece_moves = 3
    compiled = True

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.height = self.width = size
        self.state_size = size * size
        self.actions = self.state_size * 3
        self.most_legal = 2 * size * 3  # a bound: every piece can move in every direction
        # A bound: every piece of both players walks to the row before the far one, and one makes the last step.
        self.most_moves = 2 * size * ((size - 2) + (size - 3)) + 1
        self.cell_symmetries = mirrored(size, size)
        across = self.cell_symmetries[1, :, None] * 3 + np.arange(3)[::-1]
        self.action_symmetries = np.stack([np.arange(self.actions), across.ravel()])

    def start(self) -> Array:
        board = np.zeros((self.height, self.width), np.int8)
        board[:2] = -1
        board[-2:] = 1
        return board.ravel()

    def play(self, states: Array, actions: Array, after: Array, legal: Array, ended: Array, value: Array) -> None:
        play_breakthrough(states, actions, after, legal, ended, value, np.uint64(self.width))

    def legal(self, states: Array) -> Array:
        legal = np.empty((len(states), self.actions), np.bool_)
        legal_breakthrough(states, legal, np.uint64(self.width))
        return legal

    def observe(self, states: Array) -> Array:
        return stones(states, self.height, self.width)

    def board(self, state: Array, player: int) -> Array:
        board = state.astype(np.int8)
        return (board if player == 0 else -board[::-1]).reshape(self.height, self.width)

    def action_name(self, action: int, player: int) -> str:
        cell, direction = divmod(action, 3)
        row, column = divmod(cell, self.width)
        squares = [(row, column), (row - 1, column + direction - 1)]
        if player == 1:
            squares = [(self.height - 1 - row, self.width - 1 - column) for row, column in squares]
        return "".join(square_name(row, column, self.height, rows_from_top=False) for row, column in squares)
