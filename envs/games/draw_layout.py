"""Where everything of a drawn board is, and which cell a point belongs to. In pixels, from the top left; no pygame."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from string import ascii_lowercase

import numpy as np

from keel.envs.games.game import Game
from keel.envs.games.text import FROM_TOP, SLANTED
from keel.envs.protocol import Array

Point = tuple[float, float]

ROW_STEP = math.sqrt(3) / 2  # between rows of hexagons, of the distance between two centres
CORNER = 1 / math.sqrt(3)  # of a hexagon, from its centre
MARGIN = 0.075  # around the cells, of their longer side; the coordinates stand in it
FOOTER = 0.09  # for the title below, likewise
FRAME_WIDTH = 720  # pixels, where nobody asks for another size
BY_COLUMN = "connect_four"  # games in which one points at a column and not at a cell
LETTERS = {"go_": "abcdefghjklmnopqrst"}  # of the columns, of games that skip some: Go has no i
SQUARES = re.compile(r"[a-z]\d+")  # in the name of a move


@dataclass(frozen=True)
class Layout:
    """A board of `height` x `width` cells on a picture; `layout` makes it."""

    height: int
    width: int
    hexagonal: bool
    from_top: bool
    """Whether rows are numbered from the top."""
    pitch: float
    """Pixels between the centres of two cells beside each other."""
    left: float
    top: float
    """Of the cells, without the margin."""
    right: float
    bottom: float
    margin: float
    footer: float
    """Pixels; the footer begins below the lower margin."""
    letters: str = ascii_lowercase
    """Of the columns."""

    def centre(self, row: float, column: float) -> Point:
        """Of the cell; also of one beyond an edge, or of a place between two."""
        if self.hexagonal:
            x, y = column + (row + 1) / 2, row * ROW_STEP + CORNER
        else:
            x, y = column + 0.5, row + 0.5
        return self.left + x * self.pitch, self.top + y * self.pitch

    def centre_of(self, cell: int) -> Point:
        return self.centre(*divmod(cell, self.width))

    def cell(self, point: Point) -> int | None:
        """The cell whose square or hexagon holds the point, None beyond the board."""
        x, y = (point[0] - self.left) / self.pitch, (point[1] - self.top) / self.pitch
        row, column = _hexagon(x, y) if self.hexagonal else (math.floor(y), math.floor(x))
        inside = 0 <= row < self.height and 0 <= column < self.width
        return row * self.width + column if inside else None

    def labels(self) -> list[tuple[str, Point]]:
        """The coordinates and their middles: letters above the columns, numbers left of the rows."""
        away = 0.58 * self.margin
        labels = [(self.letters[column], (self.centre(0, column)[0], self.top - away)) for column in range(self.width)]
        for row in range(self.height):
            x, y = self.centre(row, -0.5)
            labels.append((str(row + 1 if self.from_top else self.height - row), (x - away, y)))
        return labels

    def title(self) -> Point:
        """The middle of the title."""
        return (self.left + self.right) / 2, self.bottom + self.margin * 0.6 + self.footer / 2

    def hexagon(self, centre: Point) -> list[Point]:
        """The corners around a centre, clockwise from the lower right one."""
        radius, turns = self.pitch * CORNER, [math.radians(30 + 60 * corner) for corner in range(6)]
        return [(centre[0] + radius * math.cos(turn), centre[1] + radius * math.sin(turn)) for turn in turns]

    def sides(self) -> tuple[list[Point], list[Point], list[Point], list[Point]]:
        """The outline of a board of hexagons as four jagged lines: top, bottom, left, right.

        Each begins at a sharp corner of the rhombus. At the blunt ones an edge of a hexagon is shared: half of it each.
        """
        top, left = [], []
        for column in range(self.width):
            corners = self.hexagon(self.centre(0, column))
            top += corners[3:5]  # upper left, highest
        for row in range(self.height):
            corners = self.hexagon(self.centre(row, 0))
            left += [corners[3], corners[2]]  # upper left, lower left
        blunt_right, blunt_left = (
            self.hexagon(self.centre(*cell)) for cell in ((0, self.width - 1), (self.height - 1, 0))
        )
        top.append(_middle(*blunt_right[4:6]))
        left.append(_middle(*blunt_left[1:3]))
        turned = [[(self.left + self.right - x, self.top + self.bottom - y) for x, y in side] for side in (top, left)]
        return top, turned[0], left, turned[1]


def layout(game: Game, size: tuple[int, int]) -> Layout:
    """The board with its margins as large as fits a picture of this width and height, in the middle of it."""
    hexagonal = game.name.startswith(SLANTED)
    across, down = _extent(game)
    longer = max(across, down)
    wide, high = _natural_size(game)
    pitch = min(size[0] / wide, size[1] / high)
    left = (size[0] - pitch * across) / 2
    top = (size[1] - pitch * high) / 2 + pitch * MARGIN * longer
    return Layout(
        height=game.height,
        width=game.width,
        hexagonal=hexagonal,
        from_top=game.name.startswith(FROM_TOP),
        pitch=pitch,
        left=left,
        top=top,
        right=left + pitch * across,
        bottom=top + pitch * down,
        margin=pitch * MARGIN * longer,
        footer=pitch * FOOTER * longer,
        letters=letters_of(game),
    )


def letters_of(game: Game) -> str:
    """Of the columns, from the left."""
    return next((letters for name, letters in LETTERS.items() if game.name.startswith(name)), ascii_lowercase)


def frame_size(game: Game, width: int = FRAME_WIDTH) -> tuple[int, int]:
    """Width and height, even numbers of pixels, of a picture that the board fills."""
    wide, high = _natural_size(game)
    return 2 * round(width / 2), 2 * round(width * high / wide / 2)


def cell_at(game: Game, size: tuple[int, int], point: Point) -> int | None:
    """What a click on a picture of this width and height means, as people see the board.

    Returns: the cell, row by row from the top left (Connect Four: the column), or None beyond the board.
    """
    cell = layout(game, size).cell(point)
    return cell % game.width if cell is not None and game.name.startswith(BY_COLUMN) else cell


def cell_of(game: Game, action: int, player: int, board: Array) -> int | None:
    """The cell, as people see the board, to which a move went; None for a pass.

    Args: player: who moved. board: [H W], after the move, as `Game.board` gives it.
    """
    name = game.action_name(action, player)
    if name == "pass":
        return None
    square = (SQUARES.findall(name) or [name])[-1]
    column = letters_of(game).index(square[0])
    if game.name.startswith(BY_COLUMN):
        row = int(np.flatnonzero(board[:, column])[0])  # the stone that fell last lies on top
    else:
        return _cell_named(game, square)
    return row * game.width + column


def origin_of(game: Game, action: int, player: int) -> int | None:
    """The cell, as people see the board, that a piece left with a move; None where moves set stones.

    Args: player: who moved.
    """
    squares = SQUARES.findall(game.action_name(action, player))
    return _cell_named(game, squares[0]) if len(squares) > 1 else None


def _cell_named(game: Game, square: str) -> int:
    number = int(square[1:])
    row = number - 1 if game.name.startswith(FROM_TOP) else game.height - number
    return row * game.width + letters_of(game).index(square[0])


def _extent(game: Game) -> Point:
    """Width and height of all cells, in distances between two centres."""
    if game.name.startswith(SLANTED):
        return game.width + (game.height - 1) / 2, 2 * CORNER + (game.height - 1) * ROW_STEP
    return float(game.width), float(game.height)


def _natural_size(game: Game) -> Point:
    """Width and height of the whole picture, likewise."""
    across, down = _extent(game)
    longer = max(across, down)
    return across + 2 * MARGIN * longer, down + (2 * MARGIN + FOOTER) * longer


def _hexagon(x: float, y: float) -> tuple[int, int]:
    """Row and column of the hexagon of a point, exactly.

    Three coordinates whose sum is 0 count the steps along the axes of the grid; rounded they may miss that sum, and the
    one that rounding moved furthest is then the one to mend.
    """
    row = (y - CORNER) / ROW_STEP
    column = x - (row + 1) / 2
    rounded = [round(row), round(column), round(-row - column)]
    moved = [abs(a - b) for a, b in zip(rounded, (row, column, -row - column), strict=True)]
    worst = moved.index(max(moved))
    rounded[worst] -= sum(rounded)
    return rounded[0], rounded[1]


def _middle(first: Point, second: Point) -> Point:
    return (first[0] + second[0]) / 2, (first[1] + second[1]) / 2
