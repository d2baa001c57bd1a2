"""The overlay: a panel beside the frame that says who acts, what it has earned, what it thinks and what it sees.

Needs pygame. Colours and type are those of the data centre's panel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pygame

from keel.envs.cooling.panel_paint import (
    BACKGROUND,
    BLUE,
    BOX,
    CARD,
    DIM,
    GREEN,
    MEDIUM,
    SAND,
    SMALL,
    SOFT,
    TEAL,
    TEXT,
    Colour,
    Pen,
    mix,
)
from keel.runners.watch.names import short
from keel.runners.watch.rows import HEADINGS, ActionRow, Overlay, action_rows, most_telling, sensor_rows

if TYPE_CHECKING:
    from keel.runners.watch.moment import Moment

PANEL_WIDTH, LEAST_HEIGHT = 340, 440  # pixels
GAP, INSIDE = 8, 14  # between cards; from a card's edge to its words
HEADER, NUMBERS, ROW, HEADING = 62, 62, 22, 30  # heights
FEWEST_SENSORS, FEWEST_ACTIONS = 3, 4  # rows that each has before the other takes what is left
PAST, FEWEST_PAST = 120, 30  # steps that a small curve shows; fewer take a part of its width
NAME_SHARE = 0.4  # of an action's row


def paint_panel(surface: pygame.Surface, overlay: Overlay, moment: Moment) -> None:
    """All of the surface, of any height of at least `LEAST_HEIGHT`."""
    surface.fill(BACKGROUND)
    pen = Pen(surface)
    width, height = surface.get_size()
    area = pygame.Rect(GAP, GAP, width - 2 * GAP, height - 2 * GAP)
    top = paint_header(pen, area, overlay, moment)
    rewards = moment.rewards[: moment.step]
    last = f"last reward {rewards[-1]:+.4g}" if rewards else ""
    top = paint_number(pen, area, top, "Return so far", short(moment.return_), last, rewards, GREEN)
    view = moment.view
    insight = None if view is None else view.insight
    if insight is not None and insight.value is not None:
        note = f"of {insight.scale}" if insight.scale else "still expected, discounted"
        values = moment.values[: moment.step + 1]
        top = paint_number(pen, area, top, "Value", short(insight.value), note, values, SAND)
    if view is None:
        return
    rows = [] if insight is None else action_rows(insight, view.action, overlay.action_space, overlay.names)
    sensors = sensor_rows(view.observation, overlay.names)
    for_actions, for_sensors = share_rows((area.bottom - top), len(rows), len(sensors))
    if insight is not None and for_actions:
        heading = HEADINGS[insight.kind]
        scale = "worst to best" if insight.kind == "value" else ""
        note = scale if len(rows) <= for_actions else f"{for_actions} of {len(rows)}"
        top = paint_actions(pen, area, top, heading, note, most_telling(rows, for_actions))
    if for_sensors:
        note = "" if len(sensors) <= for_sensors else f"{for_sensors} of {len(sensors)}"
        paint_sensors(pen, area, top, note, sensors[:for_sensors])


def share_rows(height: int, actions: int, sensors: int) -> tuple[int, int]:
    """How many rows of actions and of sensors fit into `height` pixels: both have a few before either has all."""
    headings = sum(HEADING + GAP + 6 for count in (actions, sensors) if count)
    room = max(0, (height + GAP - headings) // ROW)
    few_sensors = min(sensors, FEWEST_SENSORS)
    for_actions = min(actions, max(room - few_sensors, min(FEWEST_ACTIONS, room)))
    if actions > for_actions > FEWEST_ACTIONS:  # not all fit anyway: the most likely ones tell enough
        for_actions = max(FEWEST_ACTIONS, min(for_actions, room - min(sensors, room // 2)))
    return for_actions, min(sensors, room - for_actions)


def paint_header(pen: Pen, area: pygame.Rect, overlay: Overlay, moment: Moment) -> int:
    """The world, who acts, and where in which episode it is; returns where the next card begins."""
    width = area.width - 8
    pen.text(overlay.world, area.left + 4, area.top + 10, MEDIUM, TEXT, width=width)
    agent = f"{overlay.agent}  ·  {moment.note}" if moment.note else overlay.agent
    pen.text(agent, area.left + 4, area.top + 31, SMALL, SOFT, width=width)
    where = f"episode {moment.episode}  ·  step {moment.step}"
    pen.text(where, area.left + 4, area.top + 51, SMALL, DIM)
    if moment.outcome:
        pen.badge(moment.outcome, area.right, area.top + 48, SAND)
    return area.top + HEADER + GAP


def paint_number(
    pen: Pen, area: pygame.Rect, top: int, name: str, number: str, note: str, past: Sequence[float], colour: Colour
) -> int:
    """A large number with its name, a note, and a small curve of the last steps."""
    card = pygame.Rect(area.left, top, area.width, NUMBERS)
    pen.box(card)
    left, middle = card.left + INSIDE, card.left + 0.46 * card.width
    pen.text(name, left, card.top + 17, SMALL, SOFT)
    pen.text(number, left, card.top + 42, 22, colour)
    pen.text(note, card.right - INSIDE, card.top + 17, SMALL, DIM, 1.0, width=round(card.right - middle))
    paint_curve(pen, pygame.Rect(round(middle), card.top + 29, round(card.right - INSIDE - middle), 24), past, colour)
    return card.bottom + GAP


def paint_curve(pen: Pen, area: pygame.Rect, past: Sequence[float], colour: Colour) -> None:
    """The last numbers, between the least and the most of them; what never changed is a line in the middle."""
    numbers = np.asarray(past[-PAST:], np.float64)
    if len(numbers) < 2:
        return
    low, high = numbers.min(), numbers.max()
    heights = np.full(len(numbers), 0.5) if high == low else (numbers - low) / (high - low)
    across = area.left + area.width * np.arange(len(numbers)) / (max(len(numbers), FEWEST_PAST) - 1)
    points = [(float(x), float(area.bottom - y * area.height)) for x, y in zip(across, heights, strict=True)]
    pen.line(points, mix(CARD, colour, 0.8))


def paint_card(pen: Pen, area: pygame.Rect, top: int, title: str, note: str, rows: int) -> pygame.Rect:
    """A card for so many rows; returns where they are."""
    card = pygame.Rect(area.left, top, area.width, HEADING + rows * ROW + 6)
    pen.box(card)
    pen.text(title, card.left + INSIDE, card.top + 17, SMALL, SOFT)
    pen.text(note, card.right - INSIDE, card.top + 17, SMALL, DIM, 1.0)
    return pygame.Rect(card.left + INSIDE, card.top + HEADING, card.width - 2 * INSIDE, rows * ROW)


def paint_actions(pen: Pen, area: pygame.Rect, top: int, title: str, note: str, rows: Sequence[ActionRow]) -> int:
    """A bar a choice, the one that is taken in colour; for real actions the mean within its bounds."""
    inside = paint_card(pen, area, top, title, note, len(rows))
    numbers = 118 if rows[0].spread is not None else 66
    left = round(inside.left + NAME_SHARE * inside.width) if numbers == 66 else round(inside.left + 0.34 * inside.width)
    for index, row in enumerate(rows):
        y = inside.top + index * ROW + ROW // 2
        ink = TEXT if row.chosen else SOFT if row.legal else mix(CARD, DIM, 0.65)
        pen.text(row.name, inside.left, y, SMALL, ink, width=left - inside.left - 6)
        pen.text(row.text, inside.right, y, SMALL, ink, 1.0)
        track = pygame.Rect(left, y - 4, inside.right - numbers - left, 8)
        pen.box(track, BOX, None, 4)
        colour = TEAL if row.chosen else mix(CARD, BLUE, 0.55)
        if row.spread is None and rows[0].spread is None and title != HEADINGS["mean"]:
            if row.share > 0:
                pen.box(pygame.Rect(track.left, track.top, max(4, round(row.share * track.width)), 8), colour, None, 4)
            continue
        paint_mean(pen, track, row)
    return inside.bottom + 6 + GAP


def paint_mean(pen: Pen, track: pygame.Rect, row: ActionRow) -> None:
    """A mark where the mean is, and a band of one deviation to both sides, as far as the bounds go."""
    if row.spread is not None:
        low, high = max(row.share - row.spread, 0.0), min(row.share + row.spread, 1.0)
        band = pygame.Rect(track.left + round(low * track.width), track.top, round((high - low) * track.width), 8)
        pen.box(band, mix(CARD, TEAL, 0.45), None, 4)
    mark = pygame.Rect(0, 0, 4, 14)
    mark.center = round(track.left + row.share * track.width), track.centery
    pen.box(mark, TEAL, None, 2)


def paint_sensors(pen: Pen, area: pygame.Rect, top: int, note: str, rows: Sequence[tuple[str, str]]) -> None:
    inside = paint_card(pen, area, top, "What it sees", note, len(rows))
    for index, (name, value) in enumerate(rows):
        pen.text(name, inside.left, inside.top + index * ROW + ROW // 2, SMALL, DIM, width=inside.width - 90)
        pen.text(value, inside.right, inside.top + index * ROW + ROW // 2, SMALL, TEXT, 1.0)
