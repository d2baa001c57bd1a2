"""Othello (Reversi): enclose the opponent's discs between your own, which turns them over; most discs win.

A board is held as two numbers of 64 bits, own discs and the opponent's, so that all cells move at once. Cell (row,
column) is bit 8 row + column for every size of board: on smaller ones the bits beyond the edge stay empty.
"""

from __future__ import annotations

import numpy as np

from keel.envs.compiled import kernel
from keel.envs.games.squares import dihedral, square_name, stones, turned_to_first
from keel.envs.protocol import Array

STRIDE = 8
ONE = np.uint64(1)
NOTHING = np.uint64(0)
# From a cell to the next one right, down, down left and down right; shifted the other way the four opposite ones.
SHIFTS = (np.uint64(1), np.uint64(STRIDE), np.uint64(STRIDE - 1), np.uint64(STRIDE + 1))
DOWN = SHIFTS[1]


@kernel
def moves_of(own: np.uint64, other: np.uint64, board: np.uint64, inner: np.uint64) -> np.uint64:
    """The empty cells from which a straight line of the opponent's discs leads to an own one.

    Args: board: all cells. inner: those in neither the first nor the last column, the only ones that a line may pass
        sideways, as a shift beyond an edge comes out on the other side.
    """
    found = NOTHING
    for shift in SHIFTS:
        through = other if shift == DOWN else other & inner
        forward, backward = (own << shift) & through, (own >> shift) & through
        for _ in range(STRIDE - 3):  # no line of discs between two others is longer
            forward |= (forward << shift) & through
            backward |= (backward >> shift) & through
        found |= (forward << shift) | (backward >> shift)
    return found & board & ~(own | other)


@kernel
def turned_by(move: np.uint64, own: np.uint64, other: np.uint64, inner: np.uint64) -> np.uint64:
    """The opponent's discs that an own one on the bit `move` encloses."""
    turned = NOTHING
    for shift in SHIFTS:
        through = other if shift == DOWN else other & inner
        line, at = NOTHING, move << shift
        while at & through:
            line |= at
            at <<= shift
        if at & own:
            turned |= line
        line, at = NOTHING, move >> shift
        while at & through:
            line |= at
            at >>= shift
        if at & own:
            turned |= line
    return turned


@kernel
def pack(state: Array, size: int) -> tuple[np.uint64, np.uint64]:
    """Own discs and the opponent's of state [S]."""
    own, other = NOTHING, NOTHING
    for row in range(size):
        for column in range(size):
            disc = state[row * size + column]
            bit = np.uint64(row * STRIDE + column)
            own |= np.uint64(disc == 1) << bit
            other |= np.uint64(disc == -1) << bit
    return own, other


@kernel
def count_bits(bits: np.uint64) -> int:
    count = 0
    while bits:
        bits &= bits - ONE
        count += 1
    return count


@kernel
def unpack_legal(moves: np.uint64, size: int, legal: Array) -> None:
    """Fill legal [A] with the cells of `moves`, and no pass."""
    for row in range(size):
        for column in range(size):
            bit = np.uint64(row * STRIDE + column)
            legal[row * size + column] = (moves >> bit) & ONE
    legal[size * size] = False


@kernel
def play_othello(
    states: Array,
    actions: Array,
    after: Array,
    legal: Array,
    ended: Array,
    value: Array,
    size: int,
    board: np.uint64,
    inner: np.uint64,
) -> None:
    """`Game.play`."""
    for n in range(len(states)):
        other, own = pack(states[n], size)  # already named as the next player sees them
        action = actions[n]
        if action < size * size:
            move = ONE << np.uint64(action // size * STRIDE + action % size)
            turned = turned_by(move, other, own, inner)
            other |= move | turned
            own &= ~turned
        for row in range(size):
            for column in range(size):
                bit = np.uint64(row * STRIDE + column)
                after[n, row * size + column] = np.int8((own >> bit) & ONE) - np.int8((other >> bit) & ONE)
        moves = moves_of(own, other, board, inner)
        unpack_legal(moves, size, legal[n])
        ended[n] = False
        value[n] = 0.0
        if moves == NOTHING:
            if moves_of(other, own, board, inner):
                legal[n, size * size] = True
            else:
                ended[n] = True
                value[n] = np.sign(count_bits(own) - count_bits(other))


@kernel
def legal_othello(states: Array, legal: Array, size: int, board: np.uint64, inner: np.uint64) -> None:
    """`Game.legal`."""
    for n in range(len(states)):
        own, other = pack(states[n], size)
        moves = moves_of(own, other, board, inner)
        unpack_legal(moves, size, legal[n])
        legal[n, size * size] = moves == NOTHING


class Othello:
    """Two players set discs in turn, each so that it encloses some of the opponent's, which are turned over.

    State: the board [H*W]. Planes: own discs, the opponent's. Actions: the cell, or H*W to pass, which is for a player
    who cannot move, and only for them. When neither can move the game ends, and who has more discs wins. The first
    player is black, and four discs stand crosswise in the middle, black's on the rising diagonal (e4 and d5 of 8 by 8).

    Args: size: of the board, even, from 4 to 8.
    """

    planes = 2
    piece_moves = 0
    compiled = True

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.height = self.width = size
        self.actions = size * size + 1
        # Bounds: every empty cell of the start; and every move that sets a disc followed by a pass, but for the last.
        self.most_legal = size * size - 4
        self.most_moves = 2 * (size * size - 4) - 1
        self.state_size = size * size
        self.cell_symmetries = dihedral(size)
        passing = np.full((len(self.cell_symmetries), 1), size * size)
        self.action_symmetries = np.concatenate([self.cell_symmetries, passing], axis=1)
        cells = [(row, column) for row in range(size) for column in range(size)]
        self._board = bits_of(cells)
        self._inner = bits_of([(row, column) for row, column in cells if 0 < column < size - 1])

    def start(self) -> Array:
        board = np.zeros((self.height, self.width), np.int8)
        middle = self.height // 2
        board[middle - 1 : middle + 1, middle - 1 : middle + 1] = [[-1, 1], [1, -1]]
        return board.ravel()

    def play(self, states: Array, actions: Array, after: Array, legal: Array, ended: Array, value: Array) -> None:
        play_othello(states, actions, after, legal, ended, value, self.width, self._board, self._inner)

    def legal(self, states: Array) -> Array:
        legal = np.empty((len(states), self.actions), np.bool_)
        legal_othello(states, legal, self.width, self._board, self._inner)
        return legal

    def observe(self, states: Array) -> Array:
        return stones(states, self.height, self.width)

    def board(self, state: Array, player: int) -> Array:
        return turned_to_first(state, player).reshape(self.height, self.width)

    def action_name(self, action: int, player: int) -> str:
        if action == self.state_size:
            return "pass"
        return square_name(*divmod(action, self.width), self.height, rows_from_top=True)


def bits_of(cells: list[tuple[int, int]]) -> np.uint64:
    """The number in which the bits of these cells (row, column) are set."""
    return np.uint64(sum(1 << (STRIDE * row + column) for row, column in cells))
