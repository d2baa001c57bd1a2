"""The board that a person plays on: what they point at, what they picked up, and what is hinted to them."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pygame

from keel.envs.games.draw import draw_board
from keel.envs.games.draw_layout import BY_COLUMN, Layout, Point, cell_at, cell_of, layout, origin_of
from keel.envs.games.draw_pieces import PAPER, WHITE, YELLOW, is_light, look_of, square, thick_line, thickness
from keel.envs.games.game import Game
from keel.envs.protocol import Array
from keel.runners.play.moves import Hand, Move
from keel.runners.play.paint import ACCENT, FINER
from keel.runners.play.table import Sitting

FADE_SECONDS = 0.16  # in which one position becomes the next
OPAQUE, GHOST, BAND = 255, 120, 26  # how much is seen of the piece that a click would place, and of the column below

Paint = Callable[[pygame.Surface, Layout], None]


class Pointing(NamedTuple):
    """What is to be seen on the board beside the position."""

    hand: Hand
    hover: int | None  # the place under the mouse
    shown: Move | None  # a hint, or a move of the agent's thinking that is pointed at


class BoardPicture:
    """Draws the board, and keeps what it has drawn until something changes."""

    def __init__(self, game: Game) -> None:
        self._game, self._look = game, look_of(game.name)
        self._accent = ACCENT if is_light(self._look.ground) else YELLOW
        self._base_key: object = None
        self._board = b""
        self._base, self._before = pygame.Surface((1, 1)), pygame.Surface((1, 1))
        self._changed_at = -math.inf
        self._overlay_key: object = None
        self._overlay: list[tuple[pygame.Surface, pygame.Rect]] = []

    @property
    def fading(self) -> bool:
        return time.perf_counter() - self._changed_at < FADE_SECONDS

    def place_at(self, area: pygame.Rect, point: Point) -> int | None:
        """The place of the board under a point of the window."""
        return cell_at(self._game, area.size, (point[0] - area.left, point[1] - area.top))

    def paint(self, surface: pygame.Surface, area: pygame.Rect, sitting: Sitting, pointing: Pointing) -> None:
        """Paint the area of the window."""
        board = sitting.board()
        self._refresh(area.size, board, sitting, pointing.hand)
        if self.fading:
            surface.blit(self._before, area)
            share = (time.perf_counter() - self._changed_at) / FADE_SECONDS
            self._base.set_alpha(min(255, round(255 * share)))
            surface.blit(self._base, area)
            self._base.set_alpha(None)
        else:
            surface.blit(self._base, area)
        self._point(area.size, board, sitting, pointing)
        for layer, box in self._overlay:
            surface.blit(layer, box.move(area.topleft), special_flags=pygame.BLEND_PREMULTIPLIED)

    def _refresh(self, size: tuple[int, int], board: Array, sitting: Sitting, hand: Hand) -> None:
        marks = self._marks(hand)
        last, origin = None, None
        if sitting.last is not None:
            last, origin = cell_of(self._game, *sitting.last, board), origin_of(self._game, *sitting.last)
        key = (size, board.tobytes(), last, origin, tuple(marks))
        if key == self._base_key:
            return
        if self._base.get_size() == size and board.tobytes() != self._board:
            self._before, self._changed_at = self._base, time.perf_counter()
        self._board = board.tobytes()
        self._base, self._base_key = pygame.Surface(size, depth=32), key
        draw_board(self._base, self._game, board, last=last, origin=origin, marks=marks)

    def _marks(self, hand: Hand) -> list[int]:
        """Cells that are marked: where the piece in the hand can go, and in some games where one can play."""
        return hand.marks if hand.chosen is not None or self._look.hinted else []

    def _point(self, size: tuple[int, int], board: Array, sitting: Sitting, pointing: Pointing) -> None:
        """Make the layers above the board anew if they have changed."""
        hand, hover, shown = pointing
        hover = hover if hand.can(hover) else None
        key = (size, board.tobytes(), sitting.person, hand.chosen, hover, shown)
        if key == self._overlay_key:
            return
        self._overlay_key, self._overlay = key, []
        at = layout(self._game, size)
        if hover is not None and hand.chosen is None and hover in hand.marks:
            self._ghost(at, self._landing(hover, board), hover, sitting.person)
        rings = [] if hand.chosen is None else [hand.chosen]
        if hover is not None and hover not in rings and (hand.chosen is not None or hover not in hand.marks):
            rings.append(hover)
        for cell in rings:
            self._ring(at, cell)
        if shown is not None and shown.target is not None:
            target = self._landing(shown.target, board)
            self._ring(at, target) if shown.source is None else self._arrow(at, shown.source, target)

    def _landing(self, place: int, board: Array) -> int:
        """The cell of a place: of a column the one to which a stone would fall."""
        if not self._game.name.startswith(BY_COLUMN):
            return place
        free = np.flatnonzero(board[:, place] == 0)
        return int(free[-1] if len(free) else 0) * self._game.width + place

    def _ghost(self, at: Layout, cell: int, place: int, player: int) -> None:
        """The piece that a click would place, and its whole column where one points at columns."""
        if self._game.name.startswith(BY_COLUMN):
            ends = [at.centre(row, place) for row in (0, at.height - 1)]
            self._add(at, ends, lambda canvas, at: _band(canvas, at, place), BAND)
        piece, colour = self._look.piece, self._look.colours[player]
        self._add(at, [at.centre_of(cell)], lambda canvas, at: piece(canvas, at, at.centre_of(cell), colour), GHOST)

    def _ring(self, at: Layout, cell: int) -> None:
        """Around a cell, with a light rim, so that it is seen on any ground."""

        def paint(canvas: pygame.Surface, at: Layout) -> None:
            centre = at.centre_of(cell)
            for colour, more, width in ((PAPER, 0.02, 0.11), (self._accent, 0.0, 0.07)):
                if self._look.tinted:
                    box = square(at, centre, 2 * (0.46 + more))
                    pygame.draw.rect(canvas, colour, box, thickness(at, width), border_radius=round(0.12 * at.pitch))
                else:
                    pygame.draw.circle(canvas, colour, centre, (0.46 + more) * at.pitch, thickness(at, width))

        self._add(at, [at.centre_of(cell)], paint)

    def _arrow(self, at: Layout, source: int, target: int) -> None:
        def paint(canvas: pygame.Surface, at: Layout) -> None:
            for colour, more in ((PAPER, 0.03 * at.pitch), (self._accent, 0.0)):
                _arrow(canvas, colour, at.centre_of(source), at.centre_of(target), 0.11 * at.pitch, more)

        self._add(at, [at.centre_of(source), at.centre_of(target)], paint)

    def _add(self, at: Layout, centres: list[Point], paint: Paint, share: int = OPAQUE) -> None:
        """A layer as large as the cells around these centres.

        It is painted large and opaque on an empty ground, so that made smaller its colours are multiplied by how much
        of them there is, which is what its blit expects.
        """
        box = _around(centres, 0.8 * at.pitch)
        canvas = pygame.Surface((FINER * box.width, FINER * box.height), pygame.SRCALPHA)
        paint(canvas, _enlarged(at, box))
        layer = pygame.transform.smoothscale(canvas, box.size)
        layer.fill((share, share, share, share), special_flags=pygame.BLEND_RGBA_MULT)
        self._overlay.append((layer, box))


def _around(points: list[Point], distance: float) -> pygame.Rect:
    """The pixels that are so near to the points' bounding box."""
    xs, ys = zip(*points, strict=True)
    left, top = math.floor(min(xs) - distance), math.floor(min(ys) - distance)
    return pygame.Rect(left, top, math.ceil(max(xs) + distance) - left, math.ceil(max(ys) + distance) - top)


def _enlarged(at: Layout, box: pygame.Rect) -> Layout:
    """The same board on a canvas that shows only this box of it, larger."""
    return dataclasses.replace(
        at,
        pitch=FINER * at.pitch,
        left=FINER * (at.left - box.left),
        top=FINER * (at.top - box.top),
        right=FINER * (at.right - box.left),
        bottom=FINER * (at.bottom - box.top),
        margin=FINER * at.margin,
        footer=FINER * at.footer,
    )


def _band(canvas: pygame.Surface, at: Layout, column: int) -> None:
    band = pygame.Rect(0, 0, round(0.94 * at.pitch), round(at.bottom - at.top))
    band.center = round(at.centre(0, column)[0]), round((at.top + at.bottom) / 2)
    pygame.draw.rect(canvas, WHITE, band, border_radius=round(0.2 * at.pitch))


def _arrow(
    canvas: pygame.Surface, colour: tuple[int, int, int], start: Point, end: Point, width: float, more: float
) -> None:
    """From a point to another, `more` pixels larger on all sides."""
    length = math.dist(start, end)
    along = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    across = -along[1], along[0]
    head, half = 2.6 * width, 1.7 * width
    neck = end[0] - head * along[0], end[1] - head * along[1]
    thick_line(canvas, colour, start, neck, width + 2 * more)
    pygame.draw.circle(canvas, colour, start, width / 2 + more)
    tip = end[0] + 1.8 * more * along[0], end[1] + 1.8 * more * along[1]
    back = neck[0] - more * along[0], neck[1] - more * along[1]
    wide = half + 1.5 * more
    corners = [(back[0] + sign * wide * across[0], back[1] + sign * wide * across[1]) for sign in (1, -1)]
    pygame.draw.polygon(canvas, colour, [tip, *corners])
