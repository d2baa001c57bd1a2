"""The yardsticks' own tables: B2's steady power, and B3's limits for a climate by grid search."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from keel.envs.compiled import kernel
from keel.envs.cooling import batch, layout, step
from keel.envs.cooling.env import DataCenterCooling, begin_plant
from keel.envs.protocol import Array

# Limits that B3 is tried with: warmest supply air, warmest chilled water (degC), most lift (K), margin of air.
GRID = (
    (18.0, 19.0, 20.0, 21.0, 22.0, 23.0, 24.0),
    (14.0, 15.0, 16.0, 17.0, 18.0, 19.0, 20.0),
    (12.0, 14.0, 17.0, 21.0),
    (0.1, 0.15, 0.2, 0.25, 0.3),
)
SCREENED_WEEKS = 8  # all of the grid is first tried on every eighth week
FINALISTS = 20  # judged on the whole year at a time
STEADY_STEPS = 72  # six hours, of which the last two are averaged: trim and respond goes round in less
AVERAGED_STEPS = 24
STANDARD_PRESSURE = 101325.0


class Operation(NamedTuple):
    """What a stretch of operation used, one number for each world [B]."""

    total_kwh: Array
    cooling_kwh: Array
    it_kwh: Array  # with the servers' own fans
    water_litres: Array
    violation_minutes: Array
    hottest_celsius: Array

    @staticmethod
    def from_sums(sums: Array) -> Operation:
        """From the readings of the steps [B M], summed (the hottest inlet: its maximum)."""
        named = dict(zip(layout.READING_NAMES, sums.T, strict=True))
        hours = layout.STEP_SECONDS / 3600.0
        return Operation(
            named["total_kw"] * hours,
            named["cooling_kw"] * hours,
            (named["it_kw"] + named["server_fan_kw"]) * hours,
            named["water_litres"],
            named["violation_minutes"],
            named["inlet_max_celsius"],
        )


@kernel
def sum_readings(readings: Array, sums: Array) -> None:
    """Add a step's readings [M] to `sums` [M]; of the hottest inlet the maximum is kept."""
    hottest = layout.INLET_MAX - layout.READINGS
    for k in range(len(sums)):
        sums[k] = max(sums[k], readings[k]) if k == hottest else sums[k] + readings[k]


@kernel
def operate_batch(
    state: Array, steps: int, halls: int, days: int, settings: Array, reference: Array, table: Array, sums: Array
) -> None:
    """Let the settings' controller run for `steps`; `sums` [B M] gathers the readings."""
    count = len(state)
    targets, reward, ended = np.zeros((count, 2 * halls + 2)), np.zeros(count), np.zeros(count, np.bool_)
    readings = np.zeros((count, len(layout.READING_NAMES)))
    for _ in range(steps):
        batch.step_batch(state, targets, halls, days, settings, reference, table, reward, ended, readings)
        for i in range(count):
            sum_readings(readings[i], sums[i])


def operate(world: DataCenterCooling, state: Array, steps: int) -> Operation:
    """The world's controller from the states [B S], which are changed, for so many steps."""
    sums = np.zeros((len(state), len(layout.READING_NAMES)))
    operate_batch(state, steps, world.halls, world.days, world.settings, world.reference, world.table, sums)
    return Operation.from_sums(sums)


def year(world_options: dict[str, Any], weeks: range = range(52), seed: int = 0) -> Array:
    """The states [weeks S] in which the weeks of a year begin."""
    states = []
    for week in weeks:
        world = DataCenterCooling(**world_options, week=week)
        states.append(world.start(np.random.default_rng([seed, week])))
    return np.array(states)


def steady_state(loads: Array, wet_bulbs: Array, pressure: float = STANDARD_PRESSURE) -> Array:
    """States [B S] of one day with this load and wet bulb throughout, at rest, 5 K warmer by the dry bulb."""
    states = np.zeros((len(loads), layout.state_size(1, 1)))
    for row, load, wet_bulb in zip(states, loads, wet_bulbs, strict=True):
        row[layout.PRESSURE] = pressure
        traces = (wet_bulb + 5.0, wet_bulb, 0.6, 0.12, 380.0)
        at = int(layout.dynamic_size(1))
        row[at : at + layout.HOURLY_TRACES * layout.hourly_count(1)] = np.repeat(traces, layout.hourly_count(1))
        row[at + layout.HOURLY_TRACES * layout.hourly_count(1) :] = load
        begin_plant(row, 1, 1)
        batch.settle(row, 1, 1, 1, np.zeros((step.REFERENCE_LOADS, step.REFERENCE_WET_BULBS)))
    return states


def grid_axes() -> tuple[Array, Array]:
    """Utilisations and wet bulbs of the tables."""
    wet_bulbs = step.REFERENCE_WET_BULB_FIRST + step.REFERENCE_WET_BULB_STEP * np.arange(step.REFERENCE_WET_BULBS)
    return np.linspace(0.0, 1.0, step.REFERENCE_LOADS), wet_bulbs


def make_reference_table() -> Array:
    """Total power in kW of one hall under B2 in steady state [loads, wet bulbs]."""
    loads, wet_bulbs = grid_axes()
    pairs = np.array(list(itertools.product(loads, wet_bulbs)))
    states = steady_state(pairs[:, 0], pairs[:, 1])
    world = DataCenterCooling(controller="b2", days=1)
    operate(world, states, STEADY_STEPS - AVERAGED_STEPS)
    used = operate(world, states, AVERAGED_STEPS)
    return (used.total_kwh / (AVERAGED_STEPS / layout.STEPS_PER_HOUR)).reshape(len(loads), len(wet_bulbs))


def tune(world_options: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    """B3's limits for a climate: least total energy over the weeks of a year without a minute above 27 degC.

    All of the grid is tried on every eighth week; the best, twenty at a time, on the whole year, until one keeps to
    the limit. Where none does, the one with the fewest minutes is taken.
    """
    weeks = year(world_options, seed=seed)
    order = sorted(
        itertools.product(*GRID), key=lambda limits: _verdict(world_options, limits, weeks[::SCREENED_WEEKS])
    )
    judged: list[tuple[tuple[float, float], tuple[float, ...]]] = []
    for first in range(0, len(order), FINALISTS):
        judged += [(_verdict(world_options, limits, weeks), limits) for limits in order[first : first + FINALISTS]]
        if any(minutes == 0.0 for (minutes, _), _ in judged):
            break
    (minutes, total), limits = min(judged)
    used = operate_b3(world_options, limits, weeks)
    return {
        "limits": list(limits),
        "violation_minutes": minutes,
        "total_kwh": round(total, 1),
        "cooling_kwh": round(float(used.cooling_kwh.sum()), 1),
        "tried": len(order),
        "judged_on_the_year": len(judged),
    }


def _verdict(world_options: dict[str, Any], limits: tuple[float, ...], states: Array) -> tuple[float, float]:
    """Minutes above the limit, and total energy in kWh: the smaller, the better."""
    used = operate_b3(world_options, limits, states)
    return float(used.violation_minutes.sum()), float(used.total_kwh.sum())


def operate_b3(world_options: dict[str, Any], limits: tuple[float, ...], states: Array) -> Operation:
    """B3 with these limits through whole episodes from the states [B S]."""
    names = dict(zip(("supply_most", "chilled_most", "lift_most", "air_margin"), limits, strict=True))
    world = DataCenterCooling(**world_options, controller="b3", **names)
    return operate(world, states.copy(), world.episode_steps)
