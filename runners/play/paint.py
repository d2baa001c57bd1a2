"""Smooth shapes and words for the window in which one plays. Needs pygame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pygame

from keel.envs.fonts import fitted, font, rendered
from keel.envs.games.draw import WIN_EDGE
from keel.envs.games.draw_layout import Layout, Point
from keel.envs.games.draw_pieces import INK, PAPER, Colour, Look, mix

FINER = 4  # shapes are painted this many times larger and then made smaller, which smooths their edges

CARD: Colour = (253, 252, 249)
SOFT: Colour = mix(PAPER, INK, 0.68)
FAINT: Colour = mix(PAPER, INK, 0.42)
RULE: Colour = mix(PAPER, INK, 0.14)
TRACK: Colour = mix(PAPER, INK, 0.06)
ACCENT: Colour = WIN_EDGE
THOUGHT: Colour = (74, 116, 160)

Align = Literal["left", "middle", "right"]


class Pen:
    """Paints in a rectangle of a surface: shapes as they come, and all words on top of them in the end.

    Points are those of the surface. Args: area: what is painted, its ground included.
    """

    def __init__(self, area: pygame.Rect, ground: Colour) -> None:
        self._area = area
        self._canvas = pygame.Surface((FINER * area.width, FINER * area.height), depth=32)
        self._canvas.fill(ground)
        self._words: list[tuple[pygame.Surface, Point]] = []

    def box(self, box: pygame.Rect, colour: Colour, radius: float = 0, edge: Colour | None = None) -> None:
        """A rectangle with round corners, and with a line around it of a pixel and a half where `edge` is given."""
        large = pygame.Rect(*(round(FINER * v) for v in (*self._moved(box.topleft), *box.size)))
        if edge is not None:
            pygame.draw.rect(self._canvas, edge, large, border_radius=round(FINER * radius))
            large = large.inflate(-3 * FINER, -3 * FINER)
            radius -= 1.5
        pygame.draw.rect(self._canvas, colour, large, border_radius=max(0, round(FINER * radius)))

    def line(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        """Through all the points, with round joints."""
        large = [self._large(point) for point in points]
        if len(large) > 1:
            pygame.draw.lines(self._canvas, colour, False, large, round(FINER * width))
        for point in large:
            pygame.draw.circle(self._canvas, colour, point, FINER * width / 2)

    def area(self, points: Sequence[Point], colour: Colour) -> None:
        pygame.draw.polygon(self._canvas, colour, [self._large(point) for point in points])

    def disc(self, centre: Point, radius: float, colour: Colour) -> None:
        pygame.draw.circle(self._canvas, colour, self._large(centre), FINER * radius)

    def piece(self, look: Look, player: int, box: pygame.Rect) -> None:
        """One of the game's own pieces on a tile of its ground."""
        self.box(box, look.ground, 0.2 * box.width, RULE)
        look.piece(self._canvas, _cell(FINER * 0.92 * box.width), self._large(box.center), look.colours[player])

    def words(
        self,
        words: str,
        point: Point,
        size: int,
        colour: Colour = INK,
        *,
        align: Align = "left",
        width: float | None = None,
    ) -> None:
        """A line whose middle height is at the point; what is wider than `width` pixels is cut off."""
        if width is not None:
            words = fitted(words, size, max(1, round(width)))
        image = rendered(words, size, colour)
        across = {"left": 0.0, "middle": 0.5, "right": 1.0}[align] * image.get_width()
        self._words.append((image, (point[0] - across, point[1] - image.get_height() / 2)))

    def finish(self, surface: pygame.Surface) -> None:
        """Put everything on the surface."""
        surface.blit(pygame.transform.smoothscale(self._canvas, self._area.size), self._area)
        for image, (x, y) in self._words:
            surface.blit(image, (round(x), round(y)))

    def _moved(self, point: Point) -> Point:
        return point[0] - self._area.left, point[1] - self._area.top

    def _large(self, point: Point) -> Point:
        x, y = self._moved(point)
        return FINER * x, FINER * y


def width_of(words: str, size: int) -> int:
    """Pixels."""
    return font(size).size(words)[0]


def _cell(pitch: float) -> Layout:
    """A board of which only the size of a cell counts."""
    return Layout(1, 1, False, False, pitch, 0.0, 0.0, pitch, pitch, 0.0, 0.0)
