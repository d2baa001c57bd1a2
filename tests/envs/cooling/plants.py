"""Plants for tests: rows with constant load and weather, and ways to run them with given set points."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from keel.envs.cooling import assets, batch, layout, plant
from keel.envs.cooling.env import DataCenterCooling, begin_plant
from keel.envs.protocol import Array

NAMES = layout.READING_NAMES
HALL = layout.PLANT  # where the first hall begins
INLETS = [HALL + layout.INLET + group for group in range(layout.GROUPS)]
SEA_LEVEL_PASCALS = 101325.0
MILD = (22.0, 0.7, 15.0, 0.6)  # supply air, air handlers, chilled water, tower


def constant(load: float, wet_bulb: float, halls: int = 1, days: int = 1, settle: int = 48) -> Array:
    """The state [S] of plants with this load and wet bulb throughout, 5 K warmer by the dry bulb, after B2 has run."""
    row = np.zeros(layout.state_size(halls, days))
    row[layout.PRESSURE] = SEA_LEVEL_PASCALS
    at, hours = int(layout.dynamic_size(halls)), layout.hourly_count(days)
    loads = at + layout.HOURLY_TRACES * hours
    row[at:loads] = np.repeat((wet_bulb + 5.0, wet_bulb, 0.6, 0.12, 380.0), hours)
    row[loads:] = load
    begin_plant(row, halls, days)
    batch.settle(row, halls, days, settle, assets.reference_table())
    return row


def run(
    world: DataCenterCooling, state: Array, targets: Callable[[int], Array] | Array, steps: int
) -> dict[str, Array]:
    """Every measure [steps B] of the states [B S], which are changed, with these set points [B 2 halls + 2]."""
    count = len(state)
    reward, ended, metrics = np.empty(count), np.empty(count, np.bool_), np.empty((steps, count, len(NAMES)))
    for k in range(steps):
        wanted = targets(k) if callable(targets) else targets
        world.step_to(state, np.array(np.broadcast_to(wanted, (count, 2 * world.halls + 2))), reward, ended, metrics[k])
    return dict(zip(NAMES, np.moveaxis(metrics, -1, 0), strict=True))


def seconds(state: Array, count: int, dt: float = 1.0, fault: int = 0, each: Callable[[], None] | None = None) -> Array:
    """The hottest inlet [count] of a plant of one hall after each `dt` seconds, its set points as they are."""
    density, hottest = SEA_LEVEL_PASCALS / (287.05 * 295.0), np.empty(count)
    for k in range(count):
        if each is not None:
            each()
        plant.advance_plant(state, 1, density, fault, dt)
        hottest[k] = state[INLETS].max()
    return hottest


def without(state: Array, fault: int, size: float = 0.0) -> Array:
    """A copy of `state` [S] with a fault that lasts."""
    faulty = state.copy()
    faulty[layout.FAULT : layout.FAULT + 5] = (fault, 0.0, 1e9, size, 0.0)
    return faulty


def constant_load_file(folder: Path, load: float = 0.5) -> str:
    """A CSV file of a load that never changes."""
    path = folder / f"load{load:g}.csv"
    path.write_text("utilisation\n" + f"{load}\n" * 24)
    return str(path)
