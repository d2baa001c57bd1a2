"""The operator's panel: what a control room would show of the data centre, as a picture or as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keel.envs.cooling.panel_history import History, View
from keel.envs.cooling.panel_words import describe
from keel.envs.protocol import Array

if TYPE_CHECKING:
    import pygame

GAP = 10
HEADER = 52
TOP_HEIGHT, BOTTOM_HEIGHT = 324, 312
SAVINGS_HEIGHT = 136
WIDE, NARROW = 440, 398


class Panel:
    """Shows one state after another, and remembers the last 24 hours of them.

    Args: place: whose weather it is. controller: the name of the one that decides instead of an agent.
    """

    def __init__(self, halls: int, days: int, place: str, controller: str | None = None) -> None:
        self._halls, self._days, self._place, self._controller = halls, days, place, controller
        self._history = History(halls)

    def draw(self, row: Array, canvas: pygame.Surface) -> None:
        """Paint one state [S] on a canvas of 1280 by 720 pixels."""
        paint(self._see(row), canvas)

    def text(self, row: Array) -> str:
        """One state [S] in words."""
        return describe(self._see(row))

    def _see(self, row: Array) -> View:
        self._history.show(row)
        past, totals = self._history.past, self._history.totals
        return View(self._halls, self._days, self._place, self._controller, past, totals)


def paint(view: View, canvas: pygame.Surface) -> None:
    """All cards in their places: halls and plant above; power, set points, savings and alarms below."""
    import pygame

    # These need pygame as soon as they are imported, and text needs none of it.
    from keel.envs.cooling import panel_cards, panel_charts, panel_halls, panel_paint, panel_plant

    pen = panel_paint.Pen(canvas)
    canvas.fill(panel_paint.BACKGROUND)
    left, top = 12, HEADER + GAP
    below, right = top + TOP_HEIGHT + GAP, left + WIDE + GAP
    last = right + NARROW + GAP
    panel_cards.paint_header(pen, view, pygame.Rect(0, 0, canvas.get_width(), HEADER))
    panel_halls.paint_halls(pen, view, pygame.Rect(left, top, WIDE, TOP_HEIGHT))
    panel_plant.paint_plant(pen, view, pygame.Rect(right, top, 2 * NARROW + GAP, TOP_HEIGHT))
    panel_charts.paint_power(pen, view, pygame.Rect(left, below, WIDE, BOTTOM_HEIGHT))
    panel_charts.paint_trends(pen, view, pygame.Rect(right, below, NARROW, BOTTOM_HEIGHT))
    panel_cards.paint_savings(pen, view, pygame.Rect(last, below, NARROW, SAVINGS_HEIGHT))
    rest = pygame.Rect(last, below + SAVINGS_HEIGHT + GAP, NARROW, BOTTOM_HEIGHT - SAVINGS_HEIGHT - GAP)
    panel_cards.paint_alarms(pen, view, rest)
