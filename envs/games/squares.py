"""What all boards share: how cells are numbered, named, turned and seen. Cells go row by row, the top row first."""

from __future__ import annotations

import numpy as np

from keel.envs.protocol import Array


def cells_as(turned: Array) -> Array:
    """A board [H W] of cell numbers as a row of `cell_symmetries`: which cell comes to lie on each, [H*W] int64."""
    return turned.astype(np.int64).ravel()


def mirrored(height: int, width: int) -> Array:
    """As it is, and left and right swapped: [2 H*W] int64."""
    cells = np.arange(height * width).reshape(height, width)
    return np.stack([cells_as(cells), cells_as(cells[:, ::-1])])


def half_turned(height: int, width: int) -> Array:
    """As it is, and turned by half a turn: [2 H*W] int64."""
    cells = np.arange(height * width).reshape(height, width)
    return np.stack([cells_as(cells), cells_as(cells[::-1, ::-1])])


def dihedral(size: int) -> Array:
    """The eight ways to lay a square board: four turns, and four turns of the mirrored one. [8 H*W] int64."""
    cells = np.arange(size * size).reshape(size, size)
    return np.stack([cells_as(np.rot90(side, turns)) for side in (cells, cells[:, ::-1]) for turns in range(4)])


def stones(states: Array, height: int, width: int) -> Array:
    """Two planes of states [N S] that begin with the board: own stones, the opponent's. [N 2 H W] float32."""
    board = states[:, : height * width]
    planes = np.empty((len(states), 2, height * width), np.float32)
    np.equal(board, 1, out=planes[:, 0])
    np.equal(board, -1, out=planes[:, 1])
    return planes.reshape(-1, 2, height, width)


def turned_to_first(board: Array, player: int) -> Array:
    """A board seen by `player`, with the first player's stones as 1 and the second's as -1; cells stay where they are."""
    return (board if player == 0 else -board).astype(np.int8)


def square_name(row: int, column: int, height: int, *, rows_from_top: bool) -> str:
    """A letter for the column and a number for the row, which counts from 1 at the top or at the bottom."""
    return f"{chr(ord('a') + column)}{row + 1 if rows_from_top else height - row}"
