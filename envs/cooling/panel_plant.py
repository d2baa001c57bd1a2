"""The plant on the panel as a one-line diagram: halls, chilled water, economiser and chiller, condenser water, tower."""

from __future__ import annotations

from typing import NamedTuple

import pygame

from keel.envs.cooling import faults, layout, physics
from keel.envs.cooling.panel_history import View
from keel.envs.cooling.panel_paint import (
    BLUE,
    BOX,
    CARD,
    DIM,
    EDGE,
    LARGE,
    MEDIUM,
    ORANGE,
    RED,
    SMALL,
    SOFT,
    TEAL,
    TEXT,
    VIOLET,
    Colour,
    Pen,
    mix,
    water_colour,
)
from keel.envs.cooling.panel_words import hall_rows, span
from keel.envs.protocol import Array

WIDTH = 172  # of a machine
FAN_RADIANS = 0.55  # by which fans turn from frame to frame


class Machine(NamedTuple):
    """What a box of the diagram says."""

    name: str
    state: str
    colour: Colour  # where it runs
    runs: bool
    value: str
    pairs: tuple[tuple[str, str], ...]


def paint_plant(pen: Pen, view: View, area: pygame.Rect) -> None:
    """The whole diagram: the chilled loop at the left of economiser and chiller, the condenser loop at the right."""
    pen.card(area, "Cooling plant")
    row, step = view.row, int(view.row[layout.STEP])
    left, top = area.left + 16, area.top + 42
    right, middle = area.right - 16 - WIDTH, area.centerx - WIDTH // 2
    height = area.bottom - 16 - top
    economiser = pygame.Rect(middle, top, WIDTH, 112)
    chiller = pygame.Rect(middle, top + 138, WIDTH, height - 138)
    flows = bool(row[layout.CHILLED_FLOW] > 0.0)
    turns = bool(row[layout.CONDENSER_PUMP] > 0.0)
    high, low = top + 34, area.bottom - 50
    paint_loop(pen, row, (left + WIDTH, middle), (high, low), flows, step, layout.CHILLED_SUPPLY)
    paint_loop(pen, row, (right, middle + WIDTH), (high, low), turns, step, layout.CONDENSER_SUPPLY)
    for x, at, moves in (
        (middle + 30, layout.CHILLED_RETURN, flows),
        (middle + WIDTH - 30, layout.CONDENSER_SUPPLY, turns),
    ):
        between = [(x, economiser.bottom), (x, chiller.top)]
        pen.pipe(between, water_colour(float(row[at])), moves, step)
    paint_chilled_words(pen, view, (left + WIDTH + middle) // 2, (high, low))
    paint_condenser_words(pen, view, (right + middle + WIDTH) // 2, (high, low), turns)
    paint_machine(pen, air_handlers(view), pygame.Rect(left, top, WIDTH, height), step)
    paint_machine(pen, economiser_machine(view), economiser)
    paint_machine(pen, chiller_machine(view), chiller)
    paint_machine(pen, tower_machine(view), pygame.Rect(right, top, WIDTH, height), step)


def paint_loop(
    pen: Pen, row: Array, ends: tuple[int, int], heights: tuple[int, int], moves: bool, step: int, supply: int
) -> None:
    """The two pipes between a machine at the side (the first of `ends`) and those in the middle, and the pump.

    Chilled water returns to the middle above and leaves it below; condenser water the same, from the tower's view as
    supply and return.
    """
    outer, inner = ends
    above = layout.CHILLED_RETURN if supply == layout.CHILLED_SUPPLY else layout.CONDENSER_SUPPLY
    below = layout.CHILLED_SUPPLY if supply == layout.CHILLED_SUPPLY else layout.CONDENSER_RETURN
    pen.pipe([(outer, heights[0]), (inner, heights[0])], water_colour(float(row[above])), moves, step)
    pen.pipe([(inner, heights[1]), (outer, heights[1])], water_colour(float(row[below])), moves, step)
    pump_y = heights[1] if supply == layout.CHILLED_SUPPLY else heights[0]
    paint_pump(pen, (outer + inner) // 2, pump_y, moves)


def paint_pump(pen: Pen, x: int, y: int, runs: bool) -> None:
    """Both pumps push to the left."""
    colour = TEAL if runs else DIM
    pygame.draw.aacircle(pen.canvas, CARD, (x, y), 13)
    pygame.draw.aacircle(pen.canvas, colour, (x, y), 12, 2)
    pygame.draw.polygon(pen.canvas, colour, [(x - 8, y), (x + 5, y - 7), (x + 5, y + 7)])


def paint_chilled_words(pen: Pen, view: View, x: int, heights: tuple[int, int]) -> None:
    row, (high, low) = view.row, heights
    pen.text(f"return {row[layout.CHILLED_RETURN]:.1f} °C", x, high - 16, SMALL, SOFT, 0.5)
    pen.text("Chilled water", x, high + 62, SMALL, DIM, 0.5)
    pen.text(f"{row[layout.CHILLED_FLOW]:.1f} kg/s", x, high + 84, MEDIUM, TEXT, 0.5)
    pen.text(f"set point {row[layout.CHILLED_SET]:.1f} °C", x, high + 106, SMALL, SOFT, 0.5)
    pen.text(f"pump {row[layout.CHILLED_PUMP]:.1f} kW", x, low - 25, SMALL, SOFT, 0.5)
    pen.text(f"supply {row[layout.CHILLED_SUPPLY]:.1f} °C", x, low + 25, SMALL, SOFT, 0.5)


def paint_condenser_words(pen: Pen, view: View, x: int, heights: tuple[int, int], runs: bool) -> None:
    row, (high, low) = view.row, heights
    flow = view.halls * physics.CONDENSER_KILOGRAMS_PER_SECOND if runs else 0.0
    pen.text(f"supply {row[layout.CONDENSER_SUPPLY]:.1f} °C", x, high - 24, SMALL, SOFT, 0.5)
    pen.text(f"pump {row[layout.CONDENSER_PUMP]:.1f} kW", x, high + 25, SMALL, SOFT, 0.5)
    pen.text("Condenser water", x, high + 62, SMALL, DIM, 0.5)
    pen.text(f"{flow:.1f} kg/s", x, high + 84, MEDIUM, TEXT, 0.5)
    pen.text(f"return {row[layout.CONDENSER_RETURN]:.1f} °C", x, low + 18, SMALL, SOFT, 0.5)


def paint_machine(pen: Pen, machine: Machine, area: pygame.Rect, fan_step: int | None = None) -> None:
    """A box: name and state, its power, and what else there is to know; with a fan at the foot where it has one."""
    edge = machine.colour if machine.runs or machine.colour == RED else EDGE
    pen.box(area, mix(BOX, machine.colour, 0.06) if machine.runs else BOX, edge)
    left, right, y = area.left + 14, area.right - 14, area.top + 20
    pen.text(machine.name, left, y, SMALL, TEXT if machine.runs else SOFT)
    pen.text(machine.state, right, y, SMALL, edge if edge != EDGE else DIM, 1.0)
    pen.text(machine.value, left, y + 28, LARGE, TEXT if machine.runs else DIM)
    for index, (name, value) in enumerate(machine.pairs):
        pen.pair(name, value, left, y + 57 + 21 * index, right, TEXT if machine.runs else DIM)
    if fan_step is not None:
        angle = FAN_RADIANS * fan_step if machine.runs else 0.0
        pen.fan(area.centerx, area.bottom - 34, 22, edge if machine.runs else DIM, angle)


def air_handlers(view: View) -> Machine:
    row, halls = view.row, hall_rows(view)
    failed = int(row[layout.FAULT_NOW]) == faults.CRAH
    pairs = (
        ("Fans", span(100 * halls[:, layout.CRAH_SET], "%")),
        ("Valve", span(100 * halls[:, layout.VALVE], "%")),
        ("Supply", span(halls[:, layout.SUPPLY_REPORTED], "°C", 1)),
        ("Return", span(halls[:, layout.RETURN], "°C", 1)),
        ("Heat", f"{halls[:, layout.HALL_HEAT].sum():,.0f} kW"),
    )
    state = "FAULT" if failed else ""
    return Machine("Air handlers", state, RED if failed else BLUE, True, f"{row[layout.CRAH]:,.1f} kW", pairs)


def economiser_machine(view: View) -> Machine:
    row = view.row
    runs = bool(row[layout.ECONOMISER_ON] > 0.0)
    share, heat = 100 * row[layout.ECONOMISER_SHARE], row[layout.ECONOMISER_HEAT]
    pairs = (("of the heat", f"{heat:,.0f} kW"),)
    return Machine("Economiser", "ON" if runs else "OFF", TEAL, runs, f"{share:.0f} %", pairs)


def chiller_machine(view: View) -> Machine:
    row = view.row
    runs, tripped = bool(row[layout.CHILLER_ON] > 0.0), int(row[layout.FAULT_NOW]) == faults.CHILLER
    power, heat = float(row[layout.CHILLER]), float(row[layout.CHILLER_HEAT])
    pairs = (
        ("Part load", f"{100 * row[layout.PART_LOAD]:.0f} %"),
        ("COP", f"{heat / power:.1f}" if power > 0.05 else "–"),
    )
    state = "TRIPPED" if tripped else "ON" if runs else "OFF"
    return Machine("Chiller", state, RED if tripped else VIOLET, runs, f"{power:,.1f} kW", pairs)


def tower_machine(view: View) -> Machine:
    row = view.row
    runs = bool(row[layout.CONDENSER_PUMP] > 0.0)
    limited = int(row[layout.FAULT_NOW]) == faults.TOWER_FAN
    speed = min(row[layout.TOWER_SET], row[layout.FAULT_SIZE]) if limited else row[layout.TOWER_SET]
    pairs = (
        ("Fan", f"{100 * speed if runs else 0.0:.0f} %"),
        ("Water", f"{12 * row[layout.WATER]:,.0f} L/h"),
        ("Wet bulb", f"{row[layout.WET_BULB]:.1f} °C"),
        ("Approach", f"{row[layout.CONDENSER_SUPPLY] - row[layout.WET_BULB]:.1f} K"),
        ("Heat", f"{row[layout.TOWER_HEAT]:,.0f} kW"),
    )
    state = "FAULT" if limited else "" if runs else "IDLE"
    return Machine("Cooling tower", state, ORANGE if limited else TEAL, runs, f"{row[layout.TOWER]:,.1f} kW", pairs)
