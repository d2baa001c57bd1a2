"""The halls on the panel: racks in the colours of their inlet temperatures."""

from __future__ import annotations

from functools import cache

import pygame

from keel.envs.cooling import layout, panel_paint
from keel.envs.cooling.panel_history import View
from keel.envs.cooling.panel_paint import CARD, DIM, MEDIUM, SMALL, SOFT, TEXT, Pen, envelope_colour, mix
from keel.envs.cooling.panel_words import hall_rows
from keel.envs.protocol import Array

RACKS = 6  # drawn for each group
GAP = 8
LEGEND_CELSIUS = (14.0, 36.0)
HOT_AISLE, COLD_AISLE = (74, 44, 40), (28, 54, 84)


def paint_halls(pen: Pen, view: View, area: pygame.Rect) -> None:
    """All halls in one card, in two columns from four halls on."""
    pen.card(area, "Server inlets", "recommended 18–27 °C, allowable to 32 °C")
    columns = 1 if view.halls <= 3 else 2
    lines = -(-view.halls // columns)
    space = pygame.Rect(area.left + 16, area.top + 34, area.width - 32, area.height - 82)
    width, height = (space.width - GAP * (columns - 1)) // columns, (space.height - GAP * (lines - 1)) // lines
    for index, hall in enumerate(hall_rows(view)):
        column, line = index % columns, index // columns
        left, top = space.left + column * (width + GAP), space.top + line * (height + GAP)
        paint_hall(pen, index, hall, pygame.Rect(left, top, width, height))
    paint_legend(pen, area.left + 16, area.bottom - 38, area.width - 32)


def paint_hall(pen: Pen, index: int, hall: Array, area: pygame.Rect) -> None:
    """One hall: its load, the hot aisle above its racks, the cold aisle below, inlets as numbers."""
    pen.text(f"Hall {index + 1}", area.left, area.top + 7, SMALL, TEXT)
    facts = f"{100 * hall[layout.LOAD]:.0f} % · {hall[layout.HALL_IT]:.0f} kW"
    pen.text(facts if area.width < 300 else f"load {facts}", area.right, area.top + 7, SMALL, SOFT, 1.0)
    roomy = area.height > 160
    title, aisle, numbers = (18, 24, 44) if roomy else (16, 3, 16)
    racks = pygame.Rect(area.left, area.top + title + aisle, area.width, area.height - title - 2 * aisle - numbers)
    hot = pygame.Rect(area.left, racks.top - aisle, area.width, aisle)
    cold = pygame.Rect(area.left, racks.bottom, area.width, aisle)
    pygame.draw.rect(pen.canvas, HOT_AISLE, hot, border_top_left_radius=4, border_top_right_radius=4)
    pygame.draw.rect(pen.canvas, COLD_AISLE, cold, border_bottom_left_radius=4, border_bottom_right_radius=4)
    if roomy:
        pen.text(f"hot aisle {hall[layout.HOT]:.1f} °C", hot.centerx, hot.centery, SMALL, (232, 170, 150), 0.5)
        pen.text(f"cold aisle {hall[layout.COLD]:.1f} °C", cold.centerx, cold.centery, SMALL, (150, 196, 240), 0.5)
    for group in range(layout.GROUPS):
        left = racks.left + group * (racks.width + 6) // layout.GROUPS
        own = pygame.Rect(left, racks.top, (racks.width + 6) // layout.GROUPS - 6, racks.height)
        paint_group(pen, "ABCD"[group], float(hall[layout.INLET + group]), own, cold.bottom, roomy)


def paint_group(pen: Pen, name: str, inlet: float, area: pygame.Rect, below: int, roomy: bool) -> None:
    """Racks side by side, and their inlet below."""
    colour = envelope_colour(inlet)
    dark = mix(colour, CARD, 0.28)
    for rack in range(RACKS):
        left = area.left + rack * (area.width + 2) // RACKS
        own = pygame.Rect(left, area.top + 1, (area.width + 2) // RACKS - 2, area.height - 2)
        pygame.draw.rect(pen.canvas, colour, own, border_radius=2)
        if own.height > 50 and own.width > 10:
            for top in range(own.top + 8, own.bottom - 4, 8):
                pygame.draw.line(pen.canvas, dark, (own.left + 2, top), (own.right - 3, top))
    bright = mix(colour, TEXT, 0.45)
    if roomy:
        pen.text(f"{inlet:.1f} °C", area.centerx, below + 15, MEDIUM, bright, 0.5)
        pen.text(f"group {name}", area.centerx, below + 35, SMALL, DIM, 0.5)
    else:
        words = f"{name}  {inlet:.1f} °C" if area.width > 70 else f"{inlet:.1f}"
        pen.text(words, area.centerx, below + 9, SMALL, bright, 0.5)


@cache
def legend_strip(width: int) -> pygame.Surface:
    """The colours of the envelope from left to right."""
    strip, (low, high) = pygame.Surface((width, 8)), LEGEND_CELSIUS
    for x in range(width):
        pygame.draw.line(strip, envelope_colour(low + (high - low) * x / width), (x, 0), (x, 7))
    return strip


def paint_legend(pen: Pen, left: int, top: int, width: int) -> None:
    """The colours of the envelope, with its limits."""
    low, high = LEGEND_CELSIUS
    pen.canvas.blit(legend_strip(width), (left, top))
    for celsius in sorted({edge for band in panel_paint.ENVELOPE for edge in band[:2] if low < edge < high}):
        x = left + (celsius - low) / (high - low) * width
        pen.text(f"{celsius:g}", x, top + 20, SMALL, DIM, 0.5)
    pen.text("°C", left + width, top + 20, SMALL, DIM, 1.0)
