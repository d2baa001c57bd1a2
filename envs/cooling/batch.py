"""A batch of worlds, five minutes of each: who decides, what follows, what it is worth."""

from __future__ import annotations

import numpy as np

from keel.envs.compiled import kernel
from keel.envs.cooling import controllers, layout, step
from keel.envs.cooling.controllers import B0, B1, TABLE, guideline_36
from keel.envs.cooling.layout import GROUPS, INLET, MODE, READING_NAMES, READINGS, hall_offset
from keel.envs.cooling.shield import correct, scratch_row
from keel.envs.protocol import Array

# Of the settings [SETTINGS] of a world.
OBJECTIVE = 0  # 0 energy, 1 cost, 2 carbon, 3 energy and water
EXCESS_WEIGHT = 1  # of the reward, for each kelvin of a group above the soft limit
SOFT_LIMIT = 2  # degC
MOVE_WEIGHT = 3  # of the reward, for moving every set point through its whole range
SHIELD = 4  # 1 where it is on
SHIELD_MARGIN = 5  # K
CONTROLLER = 6  # who decides: see controllers.NUMBERS, 0 the agent
SUPPLY_LIMIT = 7  # of B2 and B3: warmest supply air and chilled water, degC, most lift, K, margin of air
CHILLED_LIMIT = 8
LIFT_LIMIT = 9
AIR_LIMIT = 10
LAST_CELSIUS = 11  # an inlet as warm as this ends the episode
RELATIVE = 12  # 1: the reward is beside the reference controller, 0: plain
SETTINGS = 13

KILOWATTS_PER_REWARD = 10.0
ORDINARY_PRICE = 0.12  # USD/kWh
ORDINARY_CARBON = 380.0  # g/kWh
KILOWATT_HOURS_PER_LITRE = 0.05  # what a litre of water counts as, where water counts
ORDINARY_LITRES_PER_KILOWATT_HOUR = 1.6


@kernel
def look_up(row: Array, table: Array, halls: int, target: Array) -> None:
    """Set points of a table [loads, wet bulbs, 4] for the load and the wet bulb of now, bilinear."""
    for index in range(halls):
        x = min(max(row[hall_offset(index) + layout.LOAD], 0.0), 1.0) * (step.REFERENCE_LOADS - 1)
        y = (row[layout.WET_BULB] - step.REFERENCE_WET_BULB_FIRST) / step.REFERENCE_WET_BULB_STEP
        y = min(max(y, 0.0), step.REFERENCE_WET_BULBS - 1.000001)
        i, j = min(int(x), step.REFERENCE_LOADS - 2), int(y)
        x, y = x - i, y - j
        for part in range(4):
            low = table[i, j, part] + x * (table[i + 1, j, part] - table[i, j, part])
            high = table[i, j + 1, part] + x * (table[i + 1, j + 1, part] - table[i, j + 1, part])
            value = low + y * (high - low)
            if part < 2:
                target[2 * index + part] = value
            else:
                target[2 * halls + part - 2] = value


@kernel
def decide(row: Array, target: Array, halls: int, settings: Array, table: Array) -> None:
    """Put a controller's set points into `target`, where one decides instead of the agent."""
    who = int(settings[CONTROLLER])
    if who == B0:
        controllers.fixed(row, halls, target)
    elif who == B1:
        controllers.legacy(row, halls, target)
    elif who == TABLE:
        look_up(row, table, halls, target)
    elif who != controllers.AGENT:
        limits = settings[SUPPLY_LIMIT : AIR_LIMIT + 1]
        guideline_36(row, halls, limits[0], limits[1], limits[2], limits[3], target)


@kernel
def reward_of(row: Array, halls: int, settings: Array, price: float, carbon: float) -> float:
    """The step's reward: what the plant used beside the reference, heat near the limit, and moved set points.

    Args: price (USD/kWh) and carbon (g/kWh) of the step; the row has those of the next one already.
    """
    total, baseline = row[layout.TOTAL], settings[RELATIVE] * row[layout.BASELINE]
    objective = int(settings[OBJECTIVE])
    if objective == 1:
        value = (total - baseline) * price / ORDINARY_PRICE
    elif objective == 2:
        value = (total - baseline) * carbon / ORDINARY_CARBON
    elif objective == 3:
        litres_per_hour = row[layout.WATER] * 3600.0 / layout.STEP_SECONDS
        water = litres_per_hour - ORDINARY_LITRES_PER_KILOWATT_HOUR * baseline
        value = total - baseline + KILOWATT_HOURS_PER_LITRE * water
    else:
        value = total - baseline
    value += row[layout.EXCESS]  # beyond the cap of a demand response event
    excess = 0.0
    for index in range(halls):
        for group in range(GROUPS):
            excess += max(row[hall_offset(index) + INLET + group] - settings[SOFT_LIMIT], 0.0)
    penalty = settings[EXCESS_WEIGHT] * excess / halls + settings[MOVE_WEIGHT] * row[layout.MOVED]
    return -value / (halls * KILOWATTS_PER_REWARD) - penalty


@kernel
def step_batch(
    state: Array,
    targets: Array,
    halls: int,
    days: int,
    settings: Array,
    reference: Array,
    table: Array,
    reward: Array,
    terminated: Array,
    metrics: Array,
) -> None:
    """One control step of every row of `state` [B S], in place.

    Args:
        targets: [B, 2 halls + 2], of each hall supply air (degC) and air handlers' speed, then chilled water (degC)
            and tower speed; changed where a controller or the shield decides otherwise.
        settings: [SETTINGS]. reference: [loads, wet bulbs] kW. table: [loads, wet bulbs, 4], of the table's controller.
    """
    scratch = scratch_row(halls)
    for i in range(len(state)):
        row, target = state[i], targets[i]
        decide(row, target, halls, settings, table)
        hurry = 1.0
        row[MODE] = 0.0
        if settings[SHIELD] > 0.0:
            hurry = correct(row, target, halls, settings[SHIELD_MARGIN], scratch)
        mode, price, carbon = row[MODE], row[layout.PRICE], row[layout.CARBON]
        step.move_set_points(row, target, halls, hurry)
        step.advance(row, halls, days, step.SUBSTEPS, reference)
        row[layout.INTERVENTION] = 1.0 if mode > 0.0 else 0.0
        row[layout.FALLBACK] = 1.0 if mode > 1.0 else 0.0
        reward[i] = reward_of(row, halls, settings, price, carbon)
        terminated[i] = row[layout.INLET_MAX] > settings[LAST_CELSIUS]
        metrics[i] = row[READINGS : READINGS + len(READING_NAMES)]


@kernel
def settle(row: Array, halls: int, days: int, steps: int, reference: Array) -> None:
    """Let B2 bring a world to rest in the first moment's weather and load, so that an episode starts as a plant that
    runs."""
    target = np.zeros(2 * halls + 2)
    limits = controllers.B2_LIMITS
    step.read_outside(row, halls, days)
    step.read_loads(row, halls, days)
    controllers.begin(row, halls)
    for _ in range(steps):
        guideline_36(row, halls, limits[0], limits[1], limits[2], limits[3], target)
        step.move_set_points(row, target, halls, 1.0)
        step.advance(row, halls, days, step.SUBSTEPS, reference)
        row[layout.STEP] = 0.0
    step.read_outside(row, halls, days)
    for logged in range(layout.LOGGED_STEPS):
        row[layout.STEP] = logged
        step.log_sensors(row, halls)
    row[layout.STEP] = 0.0
    for index in range(halls):
        hall = hall_offset(index)
        row[hall + layout.LOAD_MEAN] = row[hall + layout.LOAD]
        row[hall + layout.HISTORY : hall + layout.HISTORY + layout.STEPS_PER_HOUR] = row[hall + INLET + GROUPS - 1]
