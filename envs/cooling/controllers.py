"""Controllers to compare with: what buildings run today, from fixed set points to a tuned Guideline 36.

Trim and respond ticks once in a control step, five minutes instead of two: the sensors are read no more often here.

B0 fixed set points; B1 return air PI with constant fans, the legacy of most halls; B2 trim and respond after ASHRAE
Guideline 36; B3 the same with its limits tuned for the climate (`tuning.py`). Guideline 36 has no section on air
handlers of data halls, so theirs is an adaptation: requests come from rack inlets. All memory is in the state's row.

Source: ASHRAE Guideline 36-2021, sections 5.1.14 (trim and respond), 5.20.5 (chilled water reset) and 5.20.12
(condenser water), as the Modelica Buildings library publishes them.
"""

from __future__ import annotations

from keel.envs.compiled import kernel
from keel.envs.cooling.layout import (
    AIR_BALANCE,
    CHILLED_SET,
    CHILLED_SUPPLY,
    CHILLER_ON,
    CONDENSER_RETURN,
    CONDENSER_SUPPLY,
    CONTROL_WAIT,
    CRAH_RESET,
    CRAH_SET,
    ECONOMISER_ON,
    GROUPS,
    INLET,
    PART_LOAD,
    PLANT_RESET,
    PLANT_WAIT,
    RETURN,
    RETURN_INTEGRAL,
    SUPPLY_REPORTED,
    SUPPLY_RESET,
    SUPPLY_SET,
    TOWER_INTEGRAL,
    TOWER_SET,
    VALVE,
    hall_offset,
)
from keel.envs.cooling.step import CHILLED_LEAST, CHILLED_MOST, CRAH_MOST, RECOMMENDED_CELSIUS, TOWER_LEAST, TOWER_MOST
from keel.envs.protocol import Array

AGENT, B0, B1, B2, B3, TABLE = range(6)
NUMBERS = {"b0": B0, "b1": B1, "b2": B2, "b3": B3}

# Warmest supply air and chilled water, degC, most lift, K, and margin of air of B2; B3 has those that suit the climate.
B2_LIMITS = (22.0, 15.6, 25.0, 0.1)

IGNORED_REQUESTS = 2
EXCHANGER_KELVIN = 1.5  # by which the condenser water must be colder than what free cooling shall give
LEAST_SUPPLY = 18.0
LEAST_CRAH = 0.3
LEAST_LIFT_KELVIN = 12.0
WAIT_STEPS = 3  # 900 s before the chilled water reset starts


@kernel
def trim_and_respond(
    value: float, requests: int, trim: float, response: float, most_response: float, least: float, most: float
) -> float:
    """One tick: trim; where more than the ignored requests came, respond by each of them, by at most `most_response`."""
    value += trim
    if requests > IGNORED_REQUESTS:
        answer = min(abs(response) * (requests - IGNORED_REQUESTS), abs(most_response))
        value += answer if response > 0.0 else -answer
    return min(max(value, least), most)


@kernel
def inlet_requests(row: Array, hall: int, limit_celsius: float) -> int:
    """Of all groups of racks: 1 each within 1.5 K of the limit, 2 within 0.5 K, 3 above it."""
    requests = 0
    for group in range(GROUPS):
        inlet = row[hall + INLET + group]
        requests += int(inlet > limit_celsius - 1.5) + int(inlet > limit_celsius - 0.5) + int(inlet > limit_celsius)
    return requests


@kernel
def air_requests(row: Array, hall: int, air_margin: float) -> int:
    """For more air: none while more is supplied than the racks draw, by the margin; else more the more is missing."""
    missing = air_margin - row[hall + AIR_BALANCE]
    return 0 if missing <= 0.0 else 3 if missing < 0.02 else 4 if missing < 0.05 else 5


@kernel
def begin(row: Array, halls: int) -> None:
    """The controllers' memory, starting from the set points as they are."""
    for index in range(halls):
        hall = hall_offset(index)
        row[hall + SUPPLY_RESET] = row[hall + SUPPLY_SET]
        row[hall + CRAH_RESET] = row[hall + CRAH_SET]
        row[hall + CONTROL_WAIT] = 2.0  # 600 s
        row[hall + RETURN_INTEGRAL] = 0.5
    row[PLANT_RESET] = 0.5
    row[PLANT_WAIT] = WAIT_STEPS
    row[TOWER_INTEGRAL] = row[TOWER_SET]


@kernel
def tower_speed(row: Array, measured: float, set_point: float, gain: float) -> float:
    """The tower's fan by a PI loop in steps of five minutes: faster where the water is too warm."""
    error = measured - set_point
    row[TOWER_INTEGRAL] = min(max(row[TOWER_INTEGRAL] + 0.25 * gain * error, TOWER_LEAST), TOWER_MOST)
    return min(max(row[TOWER_INTEGRAL] + gain * error, TOWER_LEAST), TOWER_MOST)


@kernel
def fixed(row: Array, halls: int, target: Array) -> None:
    """B0: supply air 18 degC, air handlers at 95 %, chilled water 7 degC, condenser water held at 24 degC."""
    for index in range(halls):
        target[2 * index], target[2 * index + 1] = 18.0, 0.95
    target[2 * halls] = 7.0
    target[2 * halls + 1] = tower_speed(row, row[CONDENSER_SUPPLY], 24.0, 0.05)


@kernel
def legacy(row: Array, halls: int, target: Array) -> None:
    """B1: return air held at 24 degC by a PI loop on the supply air (0.1 a kelvin, 300 s); the rest as B0."""
    fixed(row, halls, target)
    for index in range(halls):
        hall = hall_offset(index)
        error = row[hall + RETURN] - 24.0
        integral = min(max(row[hall + RETURN_INTEGRAL] + 0.1 * error, 0.0), 1.0)
        row[hall + RETURN_INTEGRAL] = integral
        output = min(max(integral + 0.1 * error, 0.0), 1.0)
        target[2 * index] = 27.0 - 11.0 * output


@kernel
def plant_requests(row: Array, halls: int) -> int:
    """For colder water: 1 for each hall whose valve is nearly open, 2 and 3 more where its air is too warm."""
    requests = 0
    for index in range(halls):
        hall = hall_offset(index)
        excess = row[hall + SUPPLY_REPORTED] - row[hall + SUPPLY_SET]
        requests += 3 if excess > 3.0 else 2 if excess > 2.0 else 1 if row[hall + VALVE] > 0.95 else 0
    return requests * (4 // min(halls, 4))  # a single hall must be heard beyond the ignored requests


@kernel
def condenser_set_point(row: Array, lift_most: float) -> float:
    """Condenser return set point: chilled water set point plus a lift that follows the load (5.20.12)."""
    slope = 1.1 * (lift_most - LEAST_LIFT_KELVIN)
    lift = slope * row[PART_LOAD] + lift_most - slope
    return row[CHILLED_SET] + max(LEAST_LIFT_KELVIN, min(lift_most, lift))


@kernel
def guideline_36(
    row: Array,
    halls: int,
    supply_most: float,
    chilled_most: float,
    lift_most: float,
    air_margin: float,
    target: Array,
) -> None:
    """B2 and B3: trim and respond on the halls, reset of the chilled water, condenser water by the lift.

    Args: supply_most, chilled_most: warmest supply air and chilled water that it may choose, degC. lift_most: of the
        condenser return above the chilled water at full load, K. air_margin: supplied beyond what the racks draw.
    """
    for index in range(halls):
        hall = hall_offset(index)
        too_warm, too_little_air = inlet_requests(row, hall, RECOMMENDED_CELSIUS), air_requests(row, hall, air_margin)
        if row[hall + CONTROL_WAIT] > 0.0:
            row[hall + CONTROL_WAIT] -= 1.0
        else:
            row[hall + SUPPLY_RESET] = trim_and_respond(
                row[hall + SUPPLY_RESET], too_warm, 0.1, -0.2, 0.6, LEAST_SUPPLY, supply_most
            )
            row[hall + CRAH_RESET] = trim_and_respond(
                row[hall + CRAH_RESET], too_little_air, -0.02, 0.03, 0.07, LEAST_CRAH, CRAH_MOST
            )
        target[2 * index], target[2 * index + 1] = row[hall + SUPPLY_RESET], row[hall + CRAH_RESET]
    if row[PLANT_WAIT] > 0.0:
        row[PLANT_WAIT] -= 1.0
    else:
        row[PLANT_RESET] = trim_and_respond(row[PLANT_RESET], plant_requests(row, halls), -0.02, 0.03, 0.07, 0.0, 1.0)
    colder = min(max(2.0 * row[PLANT_RESET] - 1.0, 0.0), 1.0)
    chilled = chilled_most + colder * (CHILLED_LEAST - chilled_most)
    target[2 * halls] = min(max(chilled, CHILLED_LEAST), CHILLED_MOST)
    if row[CHILLER_ON] == 0.0 and row[ECONOMISER_ON] > 0.0:  # free cooling: the fan holds the chilled water itself
        too_warm_water = row[CHILLED_SUPPLY] - row[CHILLED_SET]
        measured = row[CONDENSER_SUPPLY] + 2.0 * max(too_warm_water, 0.0)
        target[2 * halls + 1] = tower_speed(row, measured, row[CHILLED_SET] - EXCHANGER_KELVIN, 0.05)
    elif row[ECONOMISER_ON] > 0.0:  # both: all that the tower can give
        row[TOWER_INTEGRAL] = TOWER_MOST
        target[2 * halls + 1] = TOWER_MOST
    else:
        target[2 * halls + 1] = tower_speed(row, row[CONDENSER_RETURN], condenser_set_point(row, lift_most), 0.05)
