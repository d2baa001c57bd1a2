"""Test 6 of the cooling world's validation: all cooling stops in a hall, and how fast it heats up."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from keel.envs.cooling import faults, hall, layout, physics, plant, step, tuning
from keel.envs.cooling.env import DataCenterCooling
from keel.envs.protocol import Array

STORES = {
    layout.COLD: hall.COLD_STORE,
    layout.HOT: hall.HOT_STORE,
    layout.MASS: hall.MASS_STORE,
    layout.COLD_MASS: hall.COLD_MASS_STORE,
}


def loss(minutes: int = 40) -> dict[str, Any]:
    """At half load; the fans go on, without water or with what is in the pipes."""
    result: dict[str, Any] = {"minutes": (np.arange(60 * minutes + 1) / 60.0)[::10].tolist()}
    for name in ("dry", "inventory"):
        inlets, means = heating(name == "inventory", 60 * minutes).T
        at = {celsius: minutes_to(inlets, celsius) for celsius in (27.0, 32.0, 40.0)}
        result[f"{name}_to_32"] = at[32.0] - at[27.0]
        result[f"{name}_until_32"], result[f"{name}_until_40"] = at[32.0], at[40.0]
        result[f"{name}_sustained"] = float(inlets[1200] - inlets[300]) / 15.0  # of the 5th to the 20th minute
        result[f"{name}_mean_plus_5"] = minutes_to(means, means[0] + 5.0)
        result[name] = inlets[::10].tolist()
    return result


def minutes_to(seconds: Array, value: float) -> float:
    """When a trace of seconds first reaches a value, min; infinite where it never does."""
    reached = np.flatnonzero(seconds >= value)
    return float(reached[0]) / 60.0 if len(reached) else math.inf


def heating(with_water: bool, seconds: int) -> Array:
    """The hottest inlet and the mean of the hall's stores of heat each second, [seconds + 1, 2] degC, from a hall at rest
    at half load, 26 degC wet bulb and 27 degC inlet on.

    With water, the pumps turn what is in the pipes; chiller and economiser are off.
    """
    row, first = steady_hall()
    row[layout.ECONOMISER_ON], row[layout.ECONOMISER_SECONDS] = 0.0, -math.inf  # it never starts
    density = physics.air_density(row[layout.PRESSURE])
    kept = [look(row, first)]
    for _ in range(seconds):
        if with_water:
            plant.advance_plant(row, 1, density, faults.CHILLER, 1.0)
        else:
            hall.advance_hall(row, first, density, 1.0, 0.0, 1.0, 0.0, 1.0)  # a coil that conducts nothing
        kept.append(look(row, first))
    return np.array(kept)


def look(row: Array, first: int) -> tuple[float, float]:
    """Hottest inlet and mean temperature of the hall that begins at `first`, degC."""
    mean = sum(store * row[first + part] for part, store in STORES.items()) / sum(STORES.values())
    return step.hottest_inlet(row, 1), float(mean)


def steady_hall() -> tuple[Array, int]:
    """A state at rest at half load and 26 degC wet bulb with the hottest inlet at 27 degC, and where its hall begins."""
    state = tuning.steady_state(np.array([0.5]), np.array([26.0]))
    tuning.operate(DataCenterCooling(controller="b2", days=1), state, 48)
    row, first = state[0], int(layout.hall_offset(0))
    for _ in range(6):  # warmer supply air, in small steps because the servers' fans answer, until the inlet is there
        row[first + layout.SUPPLY_SET] += 0.7 * (step.RECOMMENDED_CELSIUS - step.hottest_inlet(row, 1))
        for _ in range(24):
            step.advance(row, 1, 1, step.SUBSTEPS, np.zeros((step.REFERENCE_LOADS, step.REFERENCE_WET_BULBS)))
            row[layout.STEP] = 0.0
    return row, first
