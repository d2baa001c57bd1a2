"""What can go wrong in a hall or in its plant, and what that does to the equipment."""

from __future__ import annotations

import numpy as np

from keel.envs.compiled import kernel
from keel.envs.cooling.layout import (
    FAULT,
    FAULT_FIRST_STEP,
    FAULT_HALL,
    FAULT_LAST_STEP,
    FAULT_SIZE,
    STEP,
    STEPS_PER_DAY,
    STEPS_PER_HOUR,
)
from keel.envs.protocol import Array

# name: (number, shortest and longest in hours, smallest and largest size)
FAULTS: dict[str, tuple[int, tuple[float, float], tuple[float, float]]] = {
    "none": (0, (0.0, 0.0), (0.0, 0.0)),
    "crah": (1, (1.0, 6.0), (0.2, 0.2)),  # one of five air handlers stands still
    "coil": (2, (6.0, 48.0), (0.7, 0.7)),  # a fouled coil: conductance times this
    "valve": (3, (1.0, 6.0), (0.0, 0.0)),  # the chilled water valve is stuck
    "sensor": (4, (2.0, 12.0), (-2.0, 2.0)),  # the supply air sensor is wrong by this many kelvin
    "tower-fan": (5, (1.0, 6.0), (0.5, 0.5)),  # the tower's fan reaches no more than this speed
    "chiller": (6, (1.0 / 6.0, 1.0 / 6.0), (0.0, 0.0)),  # a trip: ten minutes until the spare runs
    "heat-wave": (7, (72.0, 72.0), (6.0, 10.0)),  # kelvin above the usual weather
    "load-spike": (8, (1.0, 4.0), (0.3, 0.3)),  # of full load, within five minutes
    "demand-response": (9, (1.0, 4.0), (0.0, 0.0)),  # the grid asks for less than a cap
}
NUMBERS = {name: number for name, (number, _, _) in FAULTS.items()}
NAMES = tuple(FAULTS)
CRAH, COIL, VALVE, SENSOR, TOWER_FAN, CHILLER, HEAT_WAVE, LOAD_SPIKE, DEMAND_RESPONSE = range(1, 10)
HEAT_WAVE_RAMP_HOURS = 12.0
DEMAND_RESPONSE_SHARE = 0.97  # of the reference power: the cap during an event


def draw_fault(generator: np.random.Generator, name: str, days: int, halls: int) -> Array:
    """[kind, first step, last step, size, hall] of the episode's fault; `any` draws one of all kinds.

    It begins in the second tenth of the episode at the earliest, so that there is a life before it.
    """
    if name == "any":
        name = NAMES[1 + int(generator.integers(len(NAMES) - 1))]
    number, (shortest, longest), (smallest, largest) = FAULTS[name]
    if number == 0:
        return np.zeros(5)
    last_step = STEPS_PER_DAY * days - 1
    duration = max(1, round(generator.uniform(shortest, longest) * STEPS_PER_HOUR))
    earliest = last_step // 10
    first = int(generator.integers(earliest, max(earliest + 1, last_step - duration)))
    size = generator.uniform(smallest, largest)
    return np.array([number, first, min(first + duration - 1, last_step), size, generator.integers(halls)], np.float64)


def heat_wave_kelvin(fault: Array, hours: int) -> Array:
    """What a heat wave adds to the dry bulb in each hour of the episode: it comes and goes within half a day."""
    hour = np.arange(hours)
    first, last = fault[1] / STEPS_PER_HOUR, fault[2] / STEPS_PER_HOUR
    ramp = np.minimum((hour - first) / HEAT_WAVE_RAMP_HOURS, (last - hour) / HEAT_WAVE_RAMP_HOURS)
    return fault[3] * np.clip(ramp, 0.0, 1.0)


@kernel
def active_fault(row: Array) -> int:
    """The number of the fault that acts in this step, 0 for none."""
    if row[FAULT] > 0.0 and row[FAULT_FIRST_STEP] <= row[STEP] <= row[FAULT_LAST_STEP]:
        return int(row[FAULT])
    return 0


@kernel
def hall_effects(row: Array, fault: int, hall: int) -> tuple[float, float, float, float]:
    """Of a hall: share of its air handlers that run, share of its coil's conductance, whether the valve moves (1) or
    is stuck (0), and by how much the supply air sensor is wrong, K."""
    if fault == 0 or row[FAULT_HALL] != hall:
        return 1.0, 1.0, 1.0, 0.0
    size = row[FAULT_SIZE]
    if fault == CRAH:
        return 1.0 - size, 1.0, 1.0, 0.0
    if fault == COIL:
        return 1.0, size, 1.0, 0.0
    if fault == VALVE:
        return 1.0, 1.0, 0.0, 0.0
    if fault == SENSOR:
        return 1.0, 1.0, 1.0, size
    return 1.0, 1.0, 1.0, 0.0
