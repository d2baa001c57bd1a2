"""The panel's words and numbers: header, savings, alarms."""

from __future__ import annotations

import pygame

from keel.envs.cooling import layout
from keel.envs.cooling.panel_alarms import alarms, fault_alarms
from keel.envs.cooling.panel_history import View, day_ratio
from keel.envs.cooling.panel_paint import (
    BLUE,
    CARD,
    DIM,
    EDGE,
    GREEN,
    GRID,
    LARGE,
    MEDIUM,
    ORANGE,
    RED,
    SMALL,
    SOFT,
    TEXT,
    YELLOW,
    Colour,
    Pen,
)
from keel.envs.cooling.panel_words import amounts, date, day_of, fault_name, mode_name, place_name

MODE_COLOURS = (GREEN, YELLOW, ORANGE)
SEVERITY_COLOURS = (YELLOW, ORANGE, RED)
ALARM_LINES = 5
ALARM_HEIGHT = 24


def paint_header(pen: Pen, view: View, area: pygame.Rect) -> None:
    """Place, time, the air outside, price and carbon of the grid, who decides, what has failed."""
    row = view.row
    pygame.draw.rect(pen.canvas, CARD, area)
    pygame.draw.line(pen.canvas, EDGE, area.bottomleft, area.bottomright)
    pen.text("Keel data centre", area.left + 16, area.centery - 10, LARGE, TEXT)
    pen.text(place_name(view.place), area.left + 16, area.centery + 14, SMALL, SOFT, width=170)
    pen.text(date(row), 216, area.centery - 10, MEDIUM, TEXT)
    pen.text(day_of(view), 216, area.centery + 14, SMALL, DIM)
    facts = (
        ("Dry bulb", f"{row[layout.DRY_BULB]:.1f} °C"),
        ("Wet bulb", f"{row[layout.WET_BULB]:.1f} °C"),
        ("Humidity", f"{100 * row[layout.HUMIDITY]:.0f} %"),
        ("Price", f"{row[layout.PRICE]:.3g} USD/kWh"),
        ("Carbon", f"{row[layout.CARBON]:.0f} g/kWh"),
    )
    for (name, value), x in zip(facts, (404, 500, 596, 690, 834), strict=True):
        pen.text(value, x, area.centery - 10, MEDIUM, TEXT)
        pen.text(name, x, area.centery + 14, SMALL, DIM)
    mode = int(row[layout.MODE])
    colour = BLUE if mode == 0 and view.controller else MODE_COLOURS[mode]
    left = pen.badge(mode_name(view), area.right - 16, area.centery, colour)
    for alarm in fault_alarms(row):
        pen.badge(f"FAULT: {fault_name(row).upper()}", left - 10, area.centery, SEVERITY_COLOURS[alarm.severity])


def paint_savings(pen: Pen, view: View, area: pygame.Rect) -> None:
    """What was saved since the episode began, and how good the facility is at it."""
    row, totals = view.row, view.totals
    compared = view.has_reference
    since = "since the episode began" if totals.first_step <= 1 else f"since step {totals.first_step:,}"
    pen.card(area, "Saved against the reference" if compared else "Used", since)
    saved = (totals.saved_kwh, totals.saved_usd, totals.saved_co2_kg)
    for index, (words, value) in enumerate(zip(amounts(view), saved, strict=True)):
        colour = TEXT if not compared or value == 0.0 else GREEN if value > 0.0 else ORANGE
        paint_number(pen, area, index, 46, words, ("energy", "money", "carbon dioxide")[index], colour)
    pygame.draw.line(pen.canvas, GRID, (area.left + 16, area.top + 80), (area.right - 17, area.top + 80))
    pue, wue = day_ratio(view.past, layout.TOTAL), day_ratio(view.past, layout.WATER, 12.0)
    paint_number(pen, area, 0, 98, f"{row[layout.PUE]:.3f}", f"PUE, day {pue:.3f}")
    paint_number(pen, area, 1, 98, f"{row[layout.WUE]:.2f} L/kWh", f"WUE, day {wue:.2f}")
    served = row[layout.IT] + row[layout.SERVER_FAN]
    paint_number(pen, area, 2, 98, f"{row[layout.TOTAL]:,.0f} kW", f"servers {served:,.0f} kW")


def paint_number(
    pen: Pen, area: pygame.Rect, column: int, top: int, words: str, name: str, colour: Colour = TEXT
) -> None:
    """A number in one of three columns of a card, and what it is."""
    x = area.left + 16 + column * (area.width - 32) // 3
    pen.text(words, x, area.top + top, MEDIUM, colour)
    pen.text(name, x, area.top + top + 20, SMALL, DIM)


def paint_alarms(pen: Pen, view: View, area: pygame.Rect) -> None:
    """The list, worst first; what does not fit is counted."""
    found = alarms(view)
    pen.card(area, "Alarms", str(len(found)) if found else "")
    left, y = area.left + 16, area.top + 46
    if not found:
        pygame.draw.aacircle(pen.canvas, GREEN, (left + 6, y), 6)
        pen.text("No alarms", left + 22, y, MEDIUM, GREEN)
        return
    shown = found if len(found) <= ALARM_LINES else found[: ALARM_LINES - 1]
    for alarm in shown:
        colour = SEVERITY_COLOURS[alarm.severity]
        pygame.draw.polygon(pen.canvas, colour, [(left, y + 5), (left + 6, y - 6), (left + 12, y + 5)])
        pen.text(alarm.words, left + 22, y, SMALL, TEXT, width=area.width - 54)
        y += ALARM_HEIGHT
    if len(shown) < len(found):
        pen.text(f"and {len(found) - len(shown)} more", left + 22, y, SMALL, DIM)
