"""The panel's charts of the last 24 hours: power of the cooling, set points and what followed them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pygame

from keel.envs.cooling import layout, step
from keel.envs.cooling.panel_history import View, reference_cooling_kilowatts
from keel.envs.cooling.panel_paint import (
    BLUE,
    CARD,
    DIM,
    GRID,
    LARGE,
    MEDIUM,
    SAND,
    SMALL,
    SOFT,
    TEAL,
    TEXT,
    VIOLET,
    Colour,
    Pen,
    Point,
    mix,
)
from keel.envs.cooling.panel_words import moment
from keel.envs.protocol import Array

LAYERS: tuple[tuple[str, Colour, tuple[int, ...]], ...] = (
    ("Air handlers", BLUE, (layout.CRAH,)),
    ("Pumps", SAND, (layout.CHILLED_PUMP, layout.CONDENSER_PUMP)),
    ("Tower", TEAL, (layout.TOWER,)),
    ("Chiller", VIOLET, (layout.CHILLER,)),
)
LABEL_HOURS = 6  # of the clock, at which the time axis is marked


class Trend(NamedTuple):
    """One small chart: what is asked for, what is measured, and the range of both."""

    name: str
    unit: str
    decimals: int
    scale: float  # of the numbers in the row
    least: float
    most: float
    asked: int
    measured: int | None
    colour: Colour


def trends() -> tuple[Trend, ...]:
    """Supply air and fans of the first hall, chilled water, tower."""
    hall = int(layout.hall_offset(0))
    supply = step.SUPPLY_LEAST, step.SUPPLY_MOST, hall + layout.SUPPLY_SET, hall + layout.SUPPLY_REPORTED
    chilled = step.CHILLED_LEAST, step.CHILLED_MOST, layout.CHILLED_SET, layout.CHILLED_SUPPLY
    return (
        Trend("Supply air, hall 1", "°C", 1, 1.0, *supply, BLUE),
        Trend("Chilled water", "°C", 1, 1.0, *chilled, VIOLET),
        Trend("Air handlers' fans, hall 1", "%", 0, 100.0, 0.0, 100.0, hall + layout.CRAH_SET, None, BLUE),
        Trend("Tower fan", "%", 0, 100.0, 0.0, 100.0, layout.TOWER_SET, None, TEAL),
    )


def abscissas(past: Array, area: pygame.Rect) -> Array:
    """[T]: where each row of the past stands, now at the right, a day ago at the left."""
    ages = past[-1, layout.STEP] - past[:, layout.STEP]
    return area.right - 1 - ages / (layout.STEPS_PER_DAY - 1) * (area.width - 1)


def ordinates(values: Array, least: float, most: float, area: pygame.Rect) -> Array:
    """[... T]: the heights of values, kept within the area."""
    shares = np.clip((values - least) / (most - least), 0.0, 1.0)
    return area.bottom - 1 - shares * (area.height - 1)


def points(x: Array, y: Array) -> list[Point]:
    return list(zip(x.tolist(), y.tolist(), strict=True))


def round_limit(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(max(value, 1.0)))
    return next(power * factor for factor in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if value <= power * factor)


def paint_hours(pen: Pen, view: View, area: pygame.Rect, labelled: bool) -> None:
    """Upright lines at 0, 6, 12 and 18 o'clock."""
    now = moment(view.row)
    hours = now.hour + now.minute / 60.0
    for back in range(24):
        age = hours % 1.0 + back
        if (now.hour - back) % LABEL_HOURS:
            continue
        x = round(area.right - 1 - age / 24.0 * (area.width - 1))
        pygame.draw.line(pen.canvas, GRID, (x, area.top), (x, area.bottom - 1))
        if labelled and area.left + 12 < x < area.right - 12:
            pen.text(f"{(now.hour - back) % 24:02d}:00", x, area.bottom + 11, SMALL, DIM, 0.5)


def paint_power(pen: Pen, view: View, card: pygame.Rect) -> None:
    """The parts of the cooling on top of each other, and what the reference would need."""
    past = view.past
    pen.card(card, "Cooling power, last 24 hours", "kW")
    area = pygame.Rect(card.left + 48, card.top + 44, 258, card.height - 78)
    parts = np.stack([past[:, list(columns)].sum(1) for _, _, columns in LAYERS])
    reference = reference_cooling_kilowatts(past)
    most = round_limit(1.02 * max(parts.sum(0).max(), reference.max() if view.has_reference else 0.0))
    for share in (0.0, 0.5, 1.0):
        y = round(area.bottom - 1 - share * (area.height - 1))
        pygame.draw.line(pen.canvas, GRID, (area.left, y), (area.right - 1, y))
        pen.text(f"{share * most:,g}", area.left - 8, y, SMALL, DIM, 1.0)
    paint_hours(pen, view, area, labelled=True)
    x = abscissas(past, area)
    heights = ordinates(np.concatenate([np.zeros((1, len(past))), parts.cumsum(0)]), 0.0, most, area)
    for index in reversed(range(len(LAYERS))):  # from the top, so that the edge of a layer without power is covered
        paint_layer(pen, x, heights[index], heights[index + 1], LAYERS[index][1])
    if view.has_reference:
        pen.dashes(points(x, ordinates(reference, 0.0, most, area)), TEXT, past[:, layout.STEP])
    paint_power_legend(pen, view, area.right + 18, card.right - 16, area.top, parts[:, -1], float(reference[-1]))


def paint_layer(pen: Pen, x: Array, low: Array, high: Array, colour: Colour) -> None:
    """One part of the power; a single step is drawn a few pixels wide."""
    if len(x) == 1:
        x, low, high = np.array([x[0] - 3, x[0]]), np.repeat(low, 2), np.repeat(high, 2)
    outline = points(x, high) + points(x[::-1], low[::-1])
    pygame.draw.polygon(pen.canvas, mix(CARD, colour, 0.62), outline)
    pygame.draw.aalines(pen.canvas, colour, False, points(x, high))


def paint_power_legend(
    pen: Pen, view: View, left: int, right: int, top: int, now: Array, reference_kilowatts: float
) -> None:
    """Names and powers of now, in the order in which they lie on each other."""
    pen.text("Cooling now", left, top + 2, SMALL, DIM)
    pen.text(f"{now.sum():,.{0 if now.sum() >= 1000.0 else 1}f} kW", left, top + 24, LARGE, TEXT)
    for index, (name, colour, _) in enumerate(reversed(LAYERS)):
        y = top + 62 + 38 * index
        pygame.draw.rect(pen.canvas, colour, (left, y - 5, 10, 10), border_radius=2)
        pen.text(name, left + 17, y, SMALL, SOFT)
        pen.text(f"{now[len(now) - 1 - index]:,.1f} kW", left + 17, y + 17, SMALL, TEXT)
    if view.has_reference:
        y = top + 62 + 38 * len(LAYERS)
        for x in (left, left + 6):
            pygame.draw.line(pen.canvas, TEXT, (x, y), (x + 3, y), 2)
        pen.text("Reference", left + 17, y, SMALL, SOFT)
        pen.text(f"{reference_kilowatts:,.1f} kW", left + 17, y + 17, SMALL, TEXT)


def paint_trends(pen: Pen, view: View, card: pygame.Rect) -> None:
    """Small charts below each other."""
    pen.card(card, "Set points, last 24 hours", "dashed: set point")
    shown = trends()
    height = (card.height - 44) // len(shown)
    for index, trend in enumerate(shown):
        paint_trend(
            pen, view, trend, pygame.Rect(card.left + 16, card.top + 38 + index * height, card.width - 32, height)
        )


def paint_trend(pen: Pen, view: View, trend: Trend, area: pygame.Rect) -> None:
    past = view.past
    pen.text(trend.name, area.left + 34, area.top + 8, SMALL, SOFT)
    plot = pygame.Rect(area.left + 34, area.top + 19, area.width - 136, area.height - 27)
    asked = trend.scale * past[:, trend.asked]
    measured = asked if trend.measured is None else trend.scale * past[:, trend.measured]
    least, most = min(trend.least, math.floor(measured.min())), max(trend.most, math.ceil(measured.max()))
    for value, y in ((least, plot.bottom - 1), (most, plot.top)):
        pygame.draw.line(pen.canvas, GRID, (plot.left, y), (plot.right - 1, y))
        pen.text(f"{value:g}", plot.left - 8, y, SMALL, DIM, 1.0)
    paint_hours(pen, view, plot, labelled=False)
    x = abscissas(past, plot)
    if trend.measured is not None:
        pen.dashes(points(x, ordinates(asked, least, most, plot)), SOFT, past[:, layout.STEP])
        pen.text(f"set {asked[-1]:.{trend.decimals}f} {trend.unit}", area.right, plot.centery + 14, SMALL, SOFT, 1.0)
    pen.line(points(x, ordinates(measured, least, most, plot)), trend.colour)
    pen.text(f"{measured[-1]:.{trend.decimals}f} {trend.unit}", area.right, plot.centery - 6, MEDIUM, TEXT, 1.0)
