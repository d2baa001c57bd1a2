"""How each board game looks: its colours, its empty board, and its pieces. Needs pygame.

Everything is painted several times larger than it is shown, so shapes need no smooth edges of their own. The two colours
of a game differ in brightness too, so that they can be told apart without seeing colours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import pygame

from keel.envs.games.draw_layout import Layout, Point

Colour = tuple[int, int, int]

PAPER: Colour = (244, 241, 234)
INK: Colour = (38, 42, 48)
WHITE: Colour = (250, 250, 246)
BLACK: Colour = (28, 30, 34)
BLUE: Colour = (0, 92, 158)
ORANGE: Colour = (240, 165, 40)
DEEP_RED: Colour = (196, 40, 34)
YELLOW: Colour = (252, 212, 64)

FRAME: Colour = (24, 76, 156)  # of Connect Four
FRAME_DARK: Colour = (15, 55, 120)
HOLE: Colour = (214, 224, 238)
FELT: Colour = (38, 128, 82)
FELT_LINE: Colour = (20, 84, 52)
RAIL: Colour = (58, 48, 42)
WOOD: Colour = (225, 180, 112)
WOOD_LINE: Colour = (96, 68, 38)
CELL: Colour = (250, 248, 242)
CELL_LINE: Colour = (186, 180, 168)
LIGHT_SQUARE: Colour = (234, 216, 184)
DARK_SQUARE: Colour = (166, 128, 94)

Piece = Callable[[pygame.Surface, Layout, Point, Colour], None]


@dataclass(frozen=True)
class Look:
    """One game's."""

    players: tuple[str, str]
    """What the first and the second player are called."""
    colours: tuple[Colour, Colour]
    ground: Colour
    """On which their pieces stand."""
    board: Callable[[pygame.Surface, Layout], None]
    piece: Piece
    radius: float
    """Of a piece, in distances between two cells."""
    tinted: bool = False
    """Whether the last move and the winners are shown by the colour of their cells, else by rings."""
    hinted: bool = False
    """Whether legal moves are shown while a game is watched."""
    kinds: bool = False
    """Whether pieces are of several kinds: `draw_chess` draws them then, and `piece` is a token of a player."""


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`share` 0 is the first colour, 1 the second."""
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(first, second, strict=True))
    return red, green, blue


def is_light(colour: Colour) -> bool:
    return 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2] > 128


def cells_box(at: Layout, around: float) -> pygame.Rect:
    """The cells, and so many pixels around them."""
    corner = at.left - around, at.top - around
    return pygame.Rect(*map(round, (*corner, at.right - at.left + 2 * around, at.bottom - at.top + 2 * around)))


def thickness(at: Layout, share: float) -> int:
    return max(1, round(share * at.pitch))


def cell_centres(at: Layout) -> list[Point]:
    return [at.centre_of(cell) for cell in range(at.height * at.width)]


def connect_four_board(canvas: pygame.Surface, at: Layout) -> None:
    box = cells_box(at, 0.22 * at.margin)
    pygame.draw.rect(canvas, FRAME_DARK, box.move(0, round(0.1 * at.margin)), border_radius=round(0.4 * at.margin))
    pygame.draw.rect(canvas, FRAME, box, border_radius=round(0.4 * at.margin))
    for centre in cell_centres(at):
        pygame.draw.circle(canvas, FRAME_DARK, centre, 0.44 * at.pitch)
        pygame.draw.circle(canvas, HOLE, centre, 0.40 * at.pitch)


def connect_four_disc(canvas: pygame.Surface, at: Layout, centre: Point, colour: Colour) -> None:
    pygame.draw.circle(canvas, mix(colour, BLACK, 0.28), centre, 0.40 * at.pitch)
    pygame.draw.circle(canvas, colour, centre, 0.37 * at.pitch)
    pygame.draw.circle(canvas, mix(colour, BLACK, 0.18), centre, 0.29 * at.pitch, thickness(at, 0.03))


def othello_board(canvas: pygame.Surface, at: Layout) -> None:
    pygame.draw.rect(canvas, RAIL, cells_box(at, 0.24 * at.margin), border_radius=round(0.24 * at.margin))
    pygame.draw.rect(canvas, FELT, cells_box(at, 0))
    line = thickness(at, 0.03)
    for column in range(at.width + 1):
        pygame.draw.line(
            canvas, FELT_LINE, at.centre(-0.5, column - 0.5), at.centre(at.height - 0.5, column - 0.5), line
        )
    for row in range(at.height + 1):
        pygame.draw.line(canvas, FELT_LINE, at.centre(row - 0.5, -0.5), at.centre(row - 0.5, at.width - 0.5), line)
    for row in (1.5, at.height - 2.5):
        for column in (1.5, at.width - 2.5):
            pygame.draw.circle(canvas, FELT_LINE, at.centre(row, column), 0.06 * at.pitch)


def stone(canvas: pygame.Surface, at: Layout, centre: Point, colour: Colour, radius: float, ground: Colour) -> None:
    """A round stone with its shadow, a rim, and a gleam up left that leaves the middle alone."""
    x, y = centre
    size = radius * at.pitch
    pygame.draw.circle(canvas, mix(ground, BLACK, 0.45), (x + 0.07 * size, y + 0.1 * size), size)
    pygame.draw.circle(canvas, mix(colour, BLACK, 0.3) if is_light(colour) else BLACK, centre, size)
    pygame.draw.circle(canvas, mix(colour, WHITE, 0.16), (x - 0.01 * size, y - 0.02 * size), 0.95 * size)
    pygame.draw.circle(canvas, colour, (x + 0.04 * size, y + 0.05 * size), 0.88 * size)


def gomoku_board(canvas: pygame.Surface, at: Layout) -> None:
    box = cells_box(at, 0.16 * at.margin)
    pygame.draw.rect(
        canvas, mix(WOOD, BLACK, 0.35), box.move(0, round(0.08 * at.margin)), border_radius=round(0.1 * at.margin)
    )
    pygame.draw.rect(canvas, WOOD, box, border_radius=round(0.1 * at.margin))
    for column in range(at.width):
        edge = thickness(at, 0.06 if column in (0, at.width - 1) else 0.035)
        pygame.draw.line(canvas, WOOD_LINE, at.centre(0, column), at.centre(at.height - 1, column), edge)
    for row in range(at.height):
        edge = thickness(at, 0.06 if row in (0, at.height - 1) else 0.035)
        pygame.draw.line(canvas, WOOD_LINE, at.centre(row, 0), at.centre(row, at.width - 1), edge)
    inward, middle = (3 if at.height > 12 else 2), at.height // 2
    for row in (inward, middle, at.height - 1 - inward):
        for column in (inward, middle, at.width - 1 - inward):
            pygame.draw.circle(canvas, WOOD_LINE, at.centre(row, column), 0.1 * at.pitch)


def hex_board(canvas: pygame.Surface, at: Layout) -> None:
    """The sides lie below the cells, which hide their inner half."""
    top, bottom, left, right = at.sides()
    width = 0.34 * at.pitch
    for colour, sides in ((BLUE, (top, bottom)), (ORANGE, (left, right))):
        for side in sides:
            # Where two sides meet, each goes on until their outer edges do: they turn by 60 degrees there.
            begin = beyond(side[1], side[0], width / 2 * math.tan(math.radians(30)))
            for start, end in pairwise([begin, *side[1:]]):
                thick_line(canvas, colour, start, end, width, ends=end != side[-1])
    for centre in cell_centres(at):
        corners = at.hexagon(centre)
        pygame.draw.polygon(canvas, CELL_LINE, corners)
        pygame.draw.polygon(canvas, CELL, shrunk(corners, centre, 0.94))


def hex_tile(canvas: pygame.Surface, at: Layout, centre: Point, colour: Colour) -> None:
    corners = at.hexagon(centre)
    pygame.draw.polygon(canvas, mix(colour, BLACK, 0.3), shrunk(corners, centre, 0.94))
    pygame.draw.polygon(canvas, colour, shrunk(corners, centre, 0.84))


def shrunk(corners: list[Point], centre: Point, share: float) -> list[Point]:
    return [(centre[0] + share * (x - centre[0]), centre[1] + share * (y - centre[1])) for x, y in corners]


def beyond(start: Point, end: Point, length: float) -> Point:
    """The point `length` pixels further than the end of a line."""
    share = length / math.dist(start, end)
    return end[0] + share * (end[0] - start[0]), end[1] + share * (end[1] - start[1])


def thick_line(
    canvas: pygame.Surface, colour: Colour, start: Point, end: Point, width: float, *, ends: bool = True
) -> None:
    """With square corners at any slope, which pygame's own lines have not; `ends` rounds the far one."""
    length = math.dist(start, end)
    across = -(end[1] - start[1]) / length * width / 2, (end[0] - start[0]) / length * width / 2
    corners = [
        (x + sign * across[0], y + sign * across[1]) for (x, y), sign in ((start, 1), (end, 1), (end, -1), (start, -1))
    ]
    pygame.draw.polygon(canvas, colour, corners)
    if ends:
        pygame.draw.circle(canvas, colour, end, width / 2)


def two_tone_board(canvas: pygame.Surface, at: Layout) -> None:
    pygame.draw.rect(canvas, RAIL, cells_box(at, 0.14 * at.margin), border_radius=round(0.14 * at.margin))
    for row in range(at.height):
        for column in range(at.width):
            colour = DARK_SQUARE if (at.height - 1 - row + column) % 2 == 0 else LIGHT_SQUARE
            pygame.draw.rect(canvas, colour, square(at, at.centre(row, column)))


def square(at: Layout, centre: Point, share: float = 1.0) -> pygame.Rect:
    """Around a centre; neighbours of full size touch."""
    half = share * at.pitch / 2
    left, top = round(centre[0] - half), round(centre[1] - half)
    return pygame.Rect(left, top, round(centre[0] + half) - left, round(centre[1] + half) - top)


def pawn(canvas: pygame.Surface, at: Layout, centre: Point, colour: Colour) -> None:
    """The outline first, as the same shape a little larger."""
    outline = INK if is_light(colour) else mix(colour, WHITE, 0.75)
    (x, y), unit = centre, at.pitch
    for shade, more in ((outline, 0.026), (colour, 0.0)):
        foot = pygame.Rect(0, 0, round((0.5 + 2 * more) * unit), round((0.13 + 2 * more) * unit))
        foot.center = round(x), round(y + 0.285 * unit)
        neck, hem = (0.09 + more) * unit, (0.2 + more) * unit
        high, low = y - 0.1 * unit, y + 0.26 * unit
        pygame.draw.polygon(canvas, shade, [(x - neck, high), (x + neck, high), (x + hem, low), (x - hem, low)])
        pygame.draw.rect(canvas, shade, foot, border_radius=round(0.05 * unit))
        pygame.draw.circle(canvas, shade, (x, y - 0.19 * unit), (0.155 + more) * unit)


def tic_tac_toe_board(canvas: pygame.Surface, at: Layout) -> None:
    for between in (0.5, 1.5):
        for start, end in (((-0.45, between), (2.45, between)), ((between, -0.45), (between, 2.45))):
            ends = at.centre(*start), at.centre(*end)
            thick_line(canvas, mix(PAPER, INK, 0.7), *ends, 0.03 * at.pitch)
            pygame.draw.circle(canvas, mix(PAPER, INK, 0.7), ends[0], 0.015 * at.pitch)


def cross_or_ring(canvas: pygame.Surface, at: Layout, centre: Point, colour: Colour) -> None:
    """A cross for the first player's colour, a ring for the second's."""
    if colour != BLUE:
        pygame.draw.circle(canvas, colour, centre, 0.33 * at.pitch, thickness(at, 0.11))
        return
    reach, width = 0.26 * at.pitch, 0.11 * at.pitch
    for right in (-1, 1):
        start, end = ((centre[0] + sign * right * reach, centre[1] + sign * reach) for sign in (-1, 1))
        thick_line(canvas, colour, start, end, width)
        pygame.draw.circle(canvas, colour, start, width / 2)


LOOKS = {
    "tic_tac_toe": Look(("X", "O"), (BLUE, ORANGE), PAPER, tic_tac_toe_board, cross_or_ring, 0.33, tinted=True),
    "connect_four": Look(("red", "yellow"), (DEEP_RED, YELLOW), HOLE, connect_four_board, connect_four_disc, 0.4),
    "othello": Look(
        ("black", "white"), (BLACK, WHITE), FELT, othello_board, partial(stone, radius=0.41, ground=FELT), 0.41,
        hinted=True,
    ),
    "gomoku": Look(
        ("black", "white"), (BLACK, WHITE), WOOD, gomoku_board, partial(stone, radius=0.45, ground=WOOD), 0.45
    ),
    "go_": Look(("black", "white"), (BLACK, WHITE), WOOD, gomoku_board, partial(stone, radius=0.45, ground=WOOD), 0.45),
    "hex": Look(("blue", "orange"), (BLUE, ORANGE), CELL, hex_board, hex_tile, 0.36),
    "breakthrough": Look(
        ("white", "black"), (WHITE, BLACK), LIGHT_SQUARE, two_tone_board, pawn, 0.35, tinted=True
    ),
    "chess": Look(
        ("white", "black"), (WHITE, BLACK), LIGHT_SQUARE, two_tone_board, pawn, 0.35, tinted=True, kinds=True
    ),
}  # fmt: skip


def look_of(name: str) -> Look:
    """Of the game of this name; boards of other sizes, whose names begin alike, look alike.

    Raises: ValueError for a game that nobody drew: it can be seen as text.
    """
    for beginning, look in LOOKS.items():
        if name.startswith(beginning):
            return look
    raise ValueError(f"{name} cannot be drawn: there is no picture of its board; render it as text, mode 'ansi'")
