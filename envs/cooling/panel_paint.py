"""The panel's pencils: its colours, its type, and the few shapes of which everything is made. Needs pygame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pygame

from keel.envs.fonts import fitted, font, rendered
from keel.envs.protocol import Array

Colour = tuple[int, int, int]
Point = tuple[float, float]

BACKGROUND: Colour = (9, 14, 20)
CARD: Colour = (17, 24, 33)
BOX: Colour = (24, 34, 46)
EDGE: Colour = (38, 52, 68)
GRID: Colour = (31, 42, 55)
TEXT: Colour = (231, 238, 245)
SOFT: Colour = (168, 184, 200)
DIM: Colour = (124, 142, 160)
BLUE: Colour = (84, 160, 226)
TEAL: Colour = (66, 190, 165)
VIOLET: Colour = (146, 128, 226)
SAND: Colour = (206, 168, 104)
GREEN: Colour = (80, 190, 130)
YELLOW: Colour = (242, 200, 62)
ORANGE: Colour = (245, 146, 62)
RED: Colour = (240, 84, 84)

SMALL, MEDIUM, LARGE = 13, 16, 20  # pixels

# Inlet temperatures, degC: from, to, and the colours there. Below the recommended range, comfortable, warm but
# recommended, allowable, too hot (ASHRAE TC 9.9, class A1).
ENVELOPE: tuple[tuple[float, float, Colour, Colour], ...] = (
    (10.0, 18.0, (40, 72, 150), (78, 148, 232)),
    (18.0, 25.0, (22, 134, 118), (104, 188, 98)),
    (25.0, 27.0, (206, 202, 74), (246, 196, 44)),
    (27.0, 32.0, (245, 152, 56), (226, 92, 36)),
    (32.0, 40.0, (228, 48, 58), (160, 16, 44)),
)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`share` 0 is the first colour, 1 the second."""
    share = min(max(share, 0.0), 1.0)
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(first, second, strict=True))
    return red, green, blue


def envelope_colour(celsius: float) -> Colour:
    """Of an inlet: smooth within each range of the envelope, a clear step between two. A limit itself is kept."""
    for low, high, first, second in ENVELOPE:
        if celsius < high or (celsius == high and high > 18.0):
            return mix(first, second, (celsius - low) / (high - low))
    return ENVELOPE[-1][3]


def water_colour(celsius: float) -> Colour:
    """Of water in a pipe: blue at 8 degC, lilac at 22, orange at 36."""
    cold, mild, warm = (64, 146, 222), (142, 124, 190), (226, 132, 72)
    return mix(cold, mild, (celsius - 8.0) / 14.0) if celsius < 22.0 else mix(mild, warm, (celsius - 22.0) / 14.0)


class Pen:
    """Draws on one canvas."""

    def __init__(self, canvas: pygame.Surface) -> None:
        self.canvas = canvas

    def text(
        self,
        words: str,
        x: float,
        y: float,
        size: int = SMALL,
        colour: Colour = SOFT,
        align: float = 0.0,
        width: int | None = None,
    ) -> pygame.Rect:
        """Words in one line around the height `y`; `align` says which part of them is at `x`: 0 left, 0.5, 1 right."""
        image = rendered(words if width is None else fitted(words, size, width), size, colour)
        corner = round(x - align * image.get_width()), round(y - image.get_height() / 2)
        return self.canvas.blit(image, corner)

    def pair(self, name: str, value: str, x: float, y: float, right: float, colour: Colour = TEXT) -> None:
        """A name at the left and its value at the right of one line."""
        self.text(name, x, y, SMALL, DIM)
        self.text(value, right, y, SMALL, colour, 1.0)

    def box(self, area: pygame.Rect, fill: Colour = CARD, edge: Colour | None = EDGE, radius: int = 8) -> None:
        pygame.draw.rect(self.canvas, fill, area, border_radius=radius)
        if edge is not None:
            pygame.draw.rect(self.canvas, edge, area, 1, border_radius=radius)

    def card(self, area: pygame.Rect, title: str, note: str = "") -> None:
        """A part of the panel with its title, and a note at the right of it."""
        self.box(area, CARD, GRID)
        self.text(title, area.left + 16, area.top + 19, SMALL, SOFT)
        self.text(note, area.right - 16, area.top + 19, SMALL, DIM, 1.0)

    def badge(self, words: str, right: float, y: float, colour: Colour) -> float:
        """Words in a coloured pill that ends at `right`; returns where it begins."""
        width = font(SMALL).size(words)[0] + 24
        area = pygame.Rect(round(right - width), round(y - 13), width, 26)
        self.box(area, mix(CARD, colour, 0.22), colour, 13)
        self.text(words, area.centerx, y, SMALL, mix(colour, TEXT, 0.35), 0.5)
        return area.left

    def line(self, points: list[Point], colour: Colour) -> None:
        """A smooth line two pixels wide with a dot at its end."""
        pygame.draw.aacircle(self.canvas, colour, points[-1], 3)
        for offset in (-0.5, 0.5) if len(points) > 1 else ():
            pygame.draw.aalines(self.canvas, colour, False, [(x, y + offset) for x, y in points])

    def dashes(self, points: list[Point], colour: Colour, keys: Array) -> None:
        """A line of which every second bit is left out; `keys` are whole numbers that say where, so that dashes move
        along with what they show."""
        for index, key in enumerate(keys[1:]):
            if int(key) % 12 < 7:
                (x, y), (end_x, end_y) = points[index], points[index + 1]
                pygame.draw.line(self.canvas, colour, (x, round(y)), (end_x, round(end_y)), 2)

    def pipe(self, points: Sequence[Point], colour: Colour, moving: bool, step: int) -> None:
        """A pipe; arrowheads travel along it where the water moves."""
        colour = colour if moving else EDGE
        pygame.draw.lines(self.canvas, colour, False, points, 6)
        for x, y in points[1:-1]:
            pygame.draw.aacircle(self.canvas, colour, (x, y), 3)
        if not moving:
            return
        for (x, y), (end_x, end_y) in pairwise(points):
            length = math.hypot(end_x - x, end_y - y)
            along = np.array([end_x - x, end_y - y]) / length
            across = np.array([-along[1], along[0]])
            spacing = min(24, int(length) // 2)
            for distance in np.arange(5 + step * 5 % spacing, length - 4, spacing):
                tip = np.array([x, y]) + along * (distance + 3)
                ends = tip - 5 * along - 3 * across, tip - 5 * along + 3 * across
                pygame.draw.polygon(self.canvas, CARD, [tip.tolist(), ends[0].tolist(), ends[1].tolist()])

    def fan(self, x: float, y: float, radius: float, colour: Colour, angle: float) -> None:
        """A fan seen from the front."""
        pygame.draw.aacircle(self.canvas, colour, (x, y), radius, 2)
        for blade in range(3):
            turn = angle + blade * 2.0 * math.pi / 3.0
            tip = x + 0.78 * radius * math.cos(turn), y + 0.78 * radius * math.sin(turn)
            back = turn - 0.75
            edge = x + 0.62 * radius * math.cos(back), y + 0.62 * radius * math.sin(back)
            pygame.draw.polygon(self.canvas, colour, [(x, y), edge, tip])
        pygame.draw.aacircle(self.canvas, colour, (x, y), 3)
