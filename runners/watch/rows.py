"""What the overlay says of a moment, as rows of names and numbers: the panel paints them, the terminal prints them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from gymnasium import spaces

from keel.envs.protocol import Array, Observation
from keel.runners.watch.names import Names, described, short, vector_in

if TYPE_CHECKING:
    from keel.runners.watch.insight import Insight
    from keel.runners.watch.moment import Moment

HEADINGS = {"probability": "Action probabilities", "value": "Action values", "mean": "Action, mean ± deviation"}
MOST_LINES = 8  # of actions and of sensors in a terminal


class Overlay(NamedTuple):
    """What the overlay knows beside the moment: the world, who acts, and how the world's numbers are called."""

    world: str
    agent: str
    names: Names
    action_space: spaces.Space[Any]


class ActionRow(NamedTuple):
    """One choice of an action, or one axis of it.

    Attributes:
        share: where the number lies between the ends of the bar, 0 to 1; spread: the deviation, in the same measure.
        chosen: whether the agent takes it now; for axes always.
    """

    name: str
    text: str
    share: float
    spread: float | None
    chosen: bool
    legal: bool


def action_rows(insight: Insight, action: Array, space: spaces.Space[Any], names: Names) -> list[ActionRow]:
    """A row a number of the insight, in the order of the actions."""
    numbers = insight.numbers
    if numbers is None:
        return []
    chosen = chosen_of(action, space, len(numbers))
    legal = np.ones(len(numbers), bool) if insight.legal is None else insight.legal
    if isinstance(space, spaces.Box):
        return _axis_rows(insight, space, names)
    low, high = 0.0, 1.0
    if insight.kind == "value":  # bars from the worst legal action to the best; the worst keeps a stub
        possible = numbers[legal] if legal.any() else numbers
        high, low = float(possible.max()), float(possible.min())
        low -= 0.08 * (high - low)
    shares = np.clip((numbers - low) / (high - low or 1.0), 0.0, 1.0)
    rows = []
    for index, number in enumerate(numbers):
        text = f"{100 * number:.1f} %" if insight.kind == "probability" else short(float(number))
        text = text if legal[index] else "not legal"
        share = float(shares[index]) if legal[index] else 0.0
        rows.append(ActionRow(names.actions[index], text, share, None, bool(chosen[index]), bool(legal[index])))
    return rows


def _axis_rows(insight: Insight, space: spaces.Box, names: Names) -> list[ActionRow]:
    assert insight.numbers is not None
    spread = insight.spread if insight.spread is not None else np.full(len(insight.numbers), np.nan)
    rows = []
    for index, (mean, one) in enumerate(zip(insight.numbers, spread, strict=True)):
        low, high = float(space.low.ravel()[index]), float(space.high.ravel()[index])
        if not np.isfinite(high - low):
            low, high = -1.0, 1.0
        deviation = "" if np.isnan(one) else f" ± {short(float(one))}"
        share, wide = (float(mean) - low) / (high - low), None if np.isnan(one) else float(one) / (high - low)
        text = f"{short(float(mean))}{deviation}"
        rows.append(ActionRow(names.actions[index], text, min(max(share, 0.0), 1.0), wide, True, True))
    return rows


def chosen_of(action: Array, space: spaces.Space[Any], count: int) -> Array:
    """Which of the K numbers of an insight belong to the action: [K] bool."""
    chosen = np.zeros(count, bool)
    match space:
        case spaces.Discrete():
            chosen[int(action) - int(space.start)] = True
        case spaces.MultiDiscrete():
            begins = np.cumsum([0, *space.nvec[:-1]])
            chosen[begins + np.asarray(action) - space.start] = True
        case spaces.MultiBinary():
            chosen = np.asarray(action).astype(bool).ravel()
        case _:
            chosen[:] = True
    return chosen


def most_telling(rows: list[ActionRow], room: int) -> list[ActionRow]:
    """As many rows as there is room for: all in their order, or else the highest bars, the action taken first."""
    if len(rows) <= room:
        return rows
    return sorted(rows, key=lambda row: (not row.chosen, not row.legal, -row.share))[:room]


def sensor_rows(observation: Observation, names: Names) -> list[tuple[str, str]]:
    """Names and values of what the agent sees: the known sensors, else the numbers of its vector; images by shape."""
    vector = vector_in(observation)
    if vector is None:
        return list(described(observation))
    if names.sensors:
        return [(sensor.name, sensor.text(vector)) for sensor in names.sensors]
    rows = [(f"observation {index}", short(float(number))) for index, number in enumerate(vector)]
    return [*rows, *(described(observation) if isinstance(observation, dict) else [])]


def overlay_lines(moment: Moment, overlay: Overlay) -> list[str]:
    """The overlay for a terminal: the value, the actions (the one taken is marked) and what the agent sees."""
    view = moment.view
    if view is None:
        return []
    lines = []
    insight = view.insight
    if insight is not None and insight.value is not None:
        lines.append(f"value {short(insight.value)}")
    if insight is not None:
        rows = most_telling(action_rows(insight, view.action, overlay.action_space, overlay.names), MOST_LINES)
        marked = ((">" if row.chosen else " ", row) for row in rows)
        lines += [f"{mark} {row.name:<24} {row.text}" for mark, row in marked]
    return [
        *lines,
        *(f"  {name:<24} {text}" for name, text in sensor_rows(view.observation, overlay.names)[:MOST_LINES]),
    ]
