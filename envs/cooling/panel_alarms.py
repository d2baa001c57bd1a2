"""What an operator must know: inlets that are or will be too warm, and what has failed."""

from __future__ import annotations

from typing import NamedTuple

from keel.envs.cooling import faults, layout
from keel.envs.cooling.panel_history import View
from keel.envs.cooling.step import ALLOWABLE_CELSIUS, RECOMMENDED_CELSIUS
from keel.envs.protocol import Array

NOTICE, WARNING, CRITICAL = range(3)
SEVERITY_NAMES = ("notice", "warning", "critical")
TREND_STEPS = 3  # whose line is drawn on into the future
HORIZON_MINUTES = 60.0
STEP_MINUTES = layout.STEP_SECONDS / 60.0


class Alarm(NamedTuple):
    """One line of the list."""

    severity: int
    words: str
    minutes: float = 0.0  # until it matters more than now


def alarms(view: View) -> list[Alarm]:
    """Everything worth a line, worst and soonest first."""
    found = fault_alarms(view.row)
    for hall in range(view.halls):
        for group in range(layout.GROUPS):
            alarm = inlet_alarm(view.past, hall, group)
            if alarm is not None:
                found.append(alarm)
    return sorted(found, key=lambda alarm: (-alarm.severity, alarm.minutes))


def inlet_alarm(past: Array, hall: int, group: int) -> Alarm | None:
    """Of one group of racks: above a limit, or about to be."""
    readings = past[:, int(layout.hall_offset(hall)) + layout.INLET + group]
    now = float(readings[-1])
    place = f"Hall {hall + 1} group {'ABCD'[group]} inlet {now:.1f} °C"
    if now > ALLOWABLE_CELSIUS:
        return Alarm(CRITICAL, f"{place}: above {ALLOWABLE_CELSIUS:g} °C", -now)
    limit = ALLOWABLE_CELSIUS if now > RECOMMENDED_CELSIUS else RECOMMENDED_CELSIUS
    minutes = minutes_to_limit(past[:, layout.STEP], readings, limit)
    soon = None if minutes is None else f"{limit:g} °C in {max(minutes, 1.0):.0f} min"
    if now > RECOMMENDED_CELSIUS:
        words = soon or f"above {RECOMMENDED_CELSIUS:g} °C"
        return Alarm(WARNING, f"{place}: {words}", HORIZON_MINUTES + limit - now if minutes is None else minutes)
    return None if minutes is None else Alarm(NOTICE, f"{place}: {soon}", minutes)


def minutes_to_limit(steps: Array, readings: Array, limit: float) -> float | None:
    """When a line through the last three readings meets the limit; None where not within the hour.

    Args: steps, readings: [T], the control steps and what was read after them.
    """
    if len(readings) < TREND_STEPS:
        return None
    minutes = STEP_MINUTES * float(steps[-1] - steps[-TREND_STEPS])
    kelvin_per_minute = float(readings[-1] - readings[-TREND_STEPS]) / minutes
    if kelvin_per_minute <= 0.0:
        return None
    left = (limit - float(readings[-1])) / kelvin_per_minute
    return left if 0.0 <= left <= HORIZON_MINUTES else None


def fault_alarms(row: Array) -> list[Alarm]:
    """What acted in the last step, by name."""
    fault = int(row[layout.FAULT_NOW])
    if fault == 0:
        return []
    severity = CRITICAL if fault == faults.CHILLER else NOTICE if fault >= faults.HEAT_WAVE else WARNING
    return [Alarm(severity, fault_words(row))]


def fault_words(row: Array) -> str:
    """The fault of the last step in words."""
    fault, size, hall = int(row[layout.FAULT_NOW]), float(row[layout.FAULT_SIZE]), int(row[layout.FAULT_HALL]) + 1
    excess = float(row[layout.EXCESS])
    cap = f"{excess:,.0f} kW above the cap" if excess > 0.5 else "power is below the cap"
    return {
        faults.CRAH: f"Hall {hall}: {100 * size:.0f} % of the air handlers stopped",
        faults.COIL: f"Hall {hall}: coil fouled, {100 * size:.0f} % of its conductance",
        faults.VALVE: f"Hall {hall}: chilled water valve stuck",
        faults.SENSOR: f"Hall {hall}: supply air sensor wrong by {size:+.1f} K",
        faults.TOWER_FAN: f"Cooling tower: fan at {100 * size:.0f} % at most",
        faults.CHILLER: "Chiller tripped",
        faults.HEAT_WAVE: f"Heat wave: up to {size:.0f} K above the usual",
        faults.LOAD_SPIKE: f"Load spike: {100 * size:.0f} % of full load more",
        faults.DEMAND_RESPONSE: f"Demand response: {cap}",
    }[fault]
