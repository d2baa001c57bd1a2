"""What could be achieved: the best steady set points replayed through the dynamic plant, and a planner that knows the
future.

The first is a policy that anyone could run: a table over load and wet bulb, found by brute force in steady state, with
as much air to spare as it takes to stay below the limit. The second starts from it and improves each half hour of each
week by the cross-entropy method with perfect foresight of load and weather. The better of the two, week by week, is
the bound; it is what has been found, not a proof that nothing better exists.

Source: Rubinstein (1999), "The cross-entropy method for combinatorial and continuous optimization".
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from keel.envs.compiled import kernel
from keel.envs.cooling import batch, controllers, layout, step
from keel.envs.cooling.actions import ranges
from keel.envs.cooling.env import DataCenterCooling
from keel.envs.cooling.tuning import Operation, grid_axes, operate, steady_state, sum_readings
from keel.envs.protocol import Array

SETTLE_STEPS, AVERAGED_STEPS = 24, 12
STEADY_LIMIT_CELSIUS = 26.5
COARSE = (
    np.arange(17.0, 27.1, 2.0),
    np.arange(0.3, 1.01, 0.1),
    np.arange(8.0, 20.1, 2.0),
    np.array([0.2, 0.4, 0.6, 0.8, 1.0]),
)
REFINEMENTS = ((1.0, 0.05, 1.0, 0.1), (0.5, 0.025, 0.5, 0.05), (0.25, 0.0125, 0.25, 0.025))

REPLAN_STEPS = 6  # half an hour
KNOTS = 2  # half hours that a plan decides; behind them the table goes on, so that no plan lives on borrowed heat
HORIZON_STEPS = 42
SAMPLES, ELITES, ROUNDS = 64, 8, 3
SPREAD = np.array([0.6, 0.03, 0.6, 0.08])  # of the first samples around the table's set points
LEAST_SPREAD = 0.1  # of that
PLAN_LIMIT_CELSIUS = 26.9
KILOWATTS_PER_KELVIN = 200.0  # what a kelvin above the plan's limit costs in its eyes


class Bound(NamedTuple):
    """What the two policies used, by week."""

    table: Operation
    planner: Operation
    air_margin: float  # that the table needs
    best_is_planner: Array  # [weeks] bool

    @property
    def combined(self) -> Operation:
        """The better of the two in each week."""
        pairs = zip(self.planner, self.table, strict=True)
        return Operation(*(np.where(self.best_is_planner, planner, table) for planner, table in pairs))


@kernel
def try_set_points(
    start: Array, candidates: Array, settings: Array, reference: Array, table: Array, result: Array
) -> None:
    """Total power, kW, and hottest inlet of each of the candidates [C 4] in steady state, into `result` [C 2]."""
    reward, ended = np.zeros(1), np.zeros(1, np.bool_)
    readings = np.zeros((1, len(layout.READING_NAMES)))
    state, target = np.zeros((1, len(start))), np.zeros((1, 4))
    total, hottest = layout.TOTAL - layout.READINGS, layout.INLET_MAX - layout.READINGS
    for c in range(len(candidates)):
        state[0] = start
        result[c] = (0.0, -100.0)
        for k in range(SETTLE_STEPS + AVERAGED_STEPS):
            target[0] = candidates[c]
            batch.step_batch(state, target, 1, 1, settings, reference, table, reward, ended, readings)
            if k >= SETTLE_STEPS:
                result[c, 0] += readings[0, total] / AVERAGED_STEPS
                result[c, 1] = max(result[c, 1], readings[0, hottest])


def best_candidate(world: DataCenterCooling, start: Array, candidates: Array) -> tuple[Array, float]:
    """Of the candidates [C 4] the one of least power within the limit, or where none is, the coolest; and its power."""
    result = np.zeros((len(candidates), 2))
    try_set_points(start, candidates, world.settings, world.reference, world.table, result)
    allowed = result[:, 1] <= STEADY_LIMIT_CELSIUS
    best = int(np.argmin(np.where(allowed, result[:, 0], np.inf) if allowed.any() else result[:, 1]))
    return candidates[best], float(result[best, 0])


def optimal_table(pressure: float) -> tuple[Array, Array]:
    """Best steady set points [loads, wet bulbs, 4] at an air pressure, by brute force, and their total power in kW."""
    loads, wet_bulbs = grid_axes()
    pairs = np.array(list(itertools.product(loads, wet_bulbs)))
    states = steady_state(pairs[:, 0], pairs[:, 1], pressure)
    operate(DataCenterCooling(controller="b2", days=1), states, SETTLE_STEPS)
    states[:, layout.STEP] = 0.0
    world, (least, most) = DataCenterCooling(days=1), ranges(1)
    coarse = np.array(list(itertools.product(*COARSE)))
    best, power = np.zeros((len(pairs), 4)), np.zeros(len(pairs))
    for index, start in enumerate(states):
        best[index], power[index] = best_candidate(world, start, coarse)
        for widths in REFINEMENTS:
            around = best[index] + np.array(list(itertools.product((0.0, -1.0, 1.0), repeat=4))) * widths
            best[index], power[index] = best_candidate(world, start, np.clip(around, least, most))
    shape = (len(loads), len(wet_bulbs))
    return best.reshape(*shape, 4), power.reshape(shape)


def with_air_margin(table: Array, margin: float) -> Array:
    """The same table with so much more air, as a share."""
    wider = table.copy()
    wider[..., 1] = np.minimum(wider[..., 1] * (1.0 + margin), step.CRAH_MOST)
    return wider


def replay(options: dict[str, Any], states: Array, table: Array) -> Operation:
    """The table as a controller through whole episodes from the states [B S]."""
    world = DataCenterCooling(**options)
    world.settings[batch.CONTROLLER] = controllers.TABLE
    world.table[...] = table
    return operate(world, states.copy(), world.episode_steps)


def safe_table(options: dict[str, Any], states: Array, table: Array) -> tuple[Operation, float]:
    """The table with the least margin of air that keeps every minute below the limit, and that margin.

    Where none does, the one with the fewest minutes above it.
    """
    tried = []
    for margin in np.arange(0.0, 0.41, 0.02).tolist():
        used = replay(options, states, with_air_margin(table, margin))
        tried.append((float(used.violation_minutes.sum()), margin, used))
        if used.violation_minutes.sum() == 0.0:
            break
    _, margin, used = min(tried, key=lambda entry: entry[:2])
    return used, margin


@kernel
def plan_cost(row: Array, knots: Array, days: int, reference: Array, table: Array, scratch: Array, steps: int) -> float:
    """Mean power of a plan, kW, and what its heat costs: offsets [KNOTS 4] from the table, which then goes on
    alone (a rollout of the table, Bertsekas 2020)."""
    scratch[:] = row
    target = np.zeros(4)
    cost = 0.0
    for k in range(steps):
        batch.look_up(scratch, table, 1, target)
        if k < KNOTS * REPLAN_STEPS:
            target += knots[k // REPLAN_STEPS]
        step.move_set_points(scratch, target, 1, 1.0)
        step.advance(scratch, 1, days, step.SUBSTEPS, reference)
        cost += scratch[layout.TOTAL]
        cost += KILOWATTS_PER_KELVIN * max(scratch[layout.INLET_MAX] - PLAN_LIMIT_CELSIUS, 0.0)
    return cost / steps


@kernel
def plan_week(row: Array, noise: Array, days: int, reference: Array, table: Array, sums: Array) -> None:
    """Plan and run one episode from `row`, which is changed; `sums` [M] gathers its readings.

    Args: noise: standard normal numbers [ROUNDS SAMPLES KNOTS 4], used again for each plan.
    """
    scratch = np.zeros(len(row))
    knots, mean = np.zeros((SAMPLES, KNOTS, 4)), np.zeros((KNOTS, 4))
    costs, target, order = np.zeros(SAMPLES), np.zeros(4), np.arange(ELITES)
    total_steps = layout.STEPS_PER_DAY * days
    for begin in range(0, total_steps, REPLAN_STEPS):
        horizon = min(HORIZON_STEPS, total_steps - begin)
        mean[: KNOTS - 1] = mean[1:].copy()
        mean[KNOTS - 1] = 0.0
        spread = np.empty((KNOTS, 4))
        spread[:] = SPREAD
        for round_ in range(ROUNDS):
            for sample in range(SAMPLES):
                knots[sample] = mean + spread * noise[round_, sample]
                if sample == 0:
                    knots[0] = mean
                elif sample == 1 and round_ == 0:
                    knots[1] = 0.0
                costs[sample] = plan_cost(row, knots[sample], days, reference, table, scratch, horizon)
            order = np.argsort(costs)[:ELITES]
            for knot in range(KNOTS):
                for part in range(4):
                    chosen = knots[order, knot, part]
                    mean[knot, part] = chosen.mean()
                    spread[knot, part] = max(chosen.std(), LEAST_SPREAD * SPREAD[part])
        mean[:] = knots[order[0]]
        for _ in range(min(REPLAN_STEPS, total_steps - begin)):
            batch.look_up(row, table, 1, target)
            target += mean[0]
            step.move_set_points(row, target, 1, 1.0)
            step.advance(row, 1, days, step.SUBSTEPS, reference)
            sum_readings(row[layout.READINGS : layout.READINGS + len(sums)], sums)


def plan(options: dict[str, Any], states: Array, table: Array, seed: int = 0) -> Operation:
    """Each of the states' episodes with a planner that knows the future."""
    world = DataCenterCooling(**options)
    noise = np.random.default_rng(seed).standard_normal((ROUNDS, SAMPLES, KNOTS, 4))
    sums = np.zeros((len(states), len(layout.READING_NAMES)))
    for row, own in zip(states.copy(), sums, strict=True):
        plan_week(row, noise, world.days, world.reference, table, own)
    return Operation.from_sums(sums)


def find_bound(options: dict[str, Any], states: Array) -> Bound:
    """The bound for the episodes that begin in the states [B S], of worlds with one hall."""
    table, _ = optimal_table(float(states[0, layout.PRESSURE]))
    table_used, margin = safe_table(options, states, table)
    planner = plan(options, states, with_air_margin(table, margin / 2))
    safer = (planner.violation_minutes == 0.0) & (table_used.violation_minutes > 0.0)
    better = safer | ((planner.violation_minutes == 0.0) & (planner.total_kwh < table_used.total_kwh))
    return Bound(table_used, planner, margin, better)
