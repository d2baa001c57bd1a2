"""What the operator's panel remembers: the last 24 hours, and what was saved since it was first shown an episode."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from keel.envs.cooling import layout
from keel.envs.protocol import Array

HOURS_PER_STEP = layout.STEP_SECONDS / 3600.0


class View(NamedTuple):
    """All that a picture or a text of one moment is made of."""

    halls: int
    days: int
    place: str
    controller: str | None  # that decides instead of an agent
    past: Array  # [T, plant and halls of a row], the last 24 hours, now last
    totals: Totals

    @property
    def row(self) -> Array:
        return self.past[-1]

    @property
    def has_reference(self) -> bool:
        """Whether the power of the reference controller is known."""
        return bool(self.row[layout.BASELINE] > 0.0)


@dataclass
class Totals:
    """Energy, money and carbon dioxide: used, and saved against the reference controller."""

    first_step: int = 0  # that was shown
    used_kwh: float = 0.0
    used_usd: float = 0.0
    used_co2_kg: float = 0.0
    saved_kwh: float = 0.0
    saved_usd: float = 0.0
    saved_co2_kg: float = 0.0

    def add(self, row: Array, steps: int) -> None:
        """Count `steps` steps like the one that ended in `row`, at that step's price and carbon intensity."""
        total, baseline = float(row[layout.TOTAL]), float(row[layout.BASELINE])
        self.used_kwh += total * HOURS_PER_STEP * steps
        self.used_usd += float(row[layout.MONEY]) * steps
        self.used_co2_kg += float(row[layout.CO2]) * steps
        if total <= 0.0 or baseline <= 0.0:
            return
        # The row's own price is that of the next step already, so this step's comes from what it paid.
        share = baseline / total - 1.0
        self.saved_kwh += (baseline - total) * HOURS_PER_STEP * steps
        self.saved_usd += share * float(row[layout.MONEY]) * steps
        self.saved_co2_kg += share * float(row[layout.CO2]) * steps


class History:
    """Rows without their traces, at most those of the last 24 hours, and running totals."""

    def __init__(self, halls: int) -> None:
        self._width = layout.PLANT + halls * layout.HALL
        self._rows: deque[Array] = deque()
        self.totals = Totals()

    def show(self, row: Array) -> None:
        """Remember a row. Another episode, or an earlier step, starts afresh; the same step again replaces itself."""
        row = row[: self._width].copy()
        step = row[layout.STEP]
        if self._rows and not follows(row, self._rows[-1]):
            self._rows.clear()
        if not self._rows:
            self.totals = Totals(int(step))
        if self._rows and self._rows[-1][layout.STEP] == step:
            self._rows[-1] = row
            return
        # A frame left out counts as the next one; the readings of step 0 are from before the episode.
        steps = int(step - self._rows[-1][layout.STEP]) if self._rows else min(int(step), 1)
        self.totals.add(row, steps)
        self._rows.append(row)
        while self._rows[0][layout.STEP] <= step - layout.STEPS_PER_DAY:
            self._rows.popleft()

    @property
    def past(self) -> Array:
        """[T, plant and halls of a row], in order of time."""
        return np.stack(self._rows)


def follows(row: Array, before: Array) -> bool:
    """Whether `row` is of the same episode as `before`, and no earlier."""
    same = row[layout.NOISE_SEED] == before[layout.NOISE_SEED] and row[layout.FIRST_HOUR] == before[layout.FIRST_HOUR]
    return bool(same and row[layout.STEP] >= before[layout.STEP])


def reference_cooling_kilowatts(past: Array) -> Array:
    """[T]: what the reference controller would spend on cooling: its total less all that is no cooling now."""
    columns = [layout.IT, layout.SERVER_FAN, layout.UPS, layout.LIGHTS]
    return np.maximum(past[:, layout.BASELINE] - past[:, columns].sum(1), 0.0)


def day_ratio(past: Array, top: int, scale: float = 1.0) -> float:
    """The sum of a reading over the history beside that of the power that reached the servers: PUE and WUE of the day."""
    served = past[:, layout.IT].sum() + past[:, layout.SERVER_FAN].sum()
    return float(scale * past[:, top].sum() / max(served, 1e-9))
