"""Which stones have won, for those who look at the board; the rules themselves never ask."""

from __future__ import annotations

from itertools import takewhile

from keel.envs.games.game import Game
from keel.envs.games.hex import NEIGHBOURS
from keel.envs.protocol import Array

LINES = {"tic_tac_toe": 3, "connect_four": 4, "gomoku": 5}  # stones in a row that win
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))

Cell = tuple[int, int]  # row, column


def winning_cells(game: Game, board: Array) -> list[int]:
    """The cells of the line, chain or pawn that won, sorted; none in Othello, where all discs count, or without a win.

    Args: board: [H W] as people see it, 1 for the first player's stones, -1 for the second's.
    """
    stones = {(row, column): int(board[row, column]) for row, column in zip(*board.nonzero(), strict=True)}
    found: set[Cell] = set()
    for name, length in LINES.items():
        if game.name.startswith(name):
            found = _lines(stones, length)
    if game.name.startswith("hex"):
        found = _chain(stones, 1, game.height) | _chain(stones, -1, game.width)
    if game.name.startswith("breakthrough"):
        far = {1: 0, -1: game.height - 1}
        found = {cell for cell, player in stones.items() if cell[0] == far[player]}
    return sorted(int(row) * game.width + int(column) for row, column in found)


def _lines(stones: dict[Cell, int], length: int) -> set[Cell]:
    """Of every line of at least `length` like stones."""
    found: set[Cell] = set()
    for (row, column), player in stones.items():
        for down, right in DIRECTIONS:
            ahead = ((row + step * down, column + step * right) for step in range(length))
            line = list(takewhile(lambda cell, player=player: stones.get(cell) == player, ahead))
            if len(line) == length:
                found.update(line)
    return found


def _chain(stones: dict[Cell, int], player: int, size: int) -> set[Cell]:
    """Of a shortest chain that joins the two edges of a player in Hex: top and bottom, for -1 left and right."""
    axis = 0 if player == 1 else 1
    came_from: dict[Cell, Cell | None] = {
        cell: None for cell, owner in stones.items() if owner == player and cell[axis] == 0
    }
    waiting = list(came_from)
    for at in waiting:  # grows meanwhile: breadth first
        if at[axis] == size - 1:
            chain: set[Cell] = set()
            cell: Cell | None = at
            while cell is not None:
                chain.add(cell)
                cell = came_from[cell]
            return chain
        for down, right in NEIGHBOURS:
            beside = at[0] + down, at[1] + right
            if stones.get(beside) == player and beside not in came_from:
                came_from[beside] = at
                waiting.append(beside)
    return set()
