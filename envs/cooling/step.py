"""Five minutes of one world: the weather moves on, set points follow what was asked, everything is integrated, and
what happened is summed up."""

from __future__ import annotations

from keel.envs.compiled import kernel
from keel.envs.cooling import faults, layout, physics, plant
from keel.envs.cooling.layout import (
    BASELINE,
    CARBON,
    CHILLED_SET,
    CRAH_SET,
    FAULT_NOW,
    GROUPS,
    HALL_HEAT,
    HALL_IT,
    HISTORY,
    INLET,
    INLET_MAX,
    INLET_WORST,
    LOAD,
    LOAD_MEAN,
    MOVED,
    PRICE,
    READINGS,
    STEP,
    STEP_SECONDS,
    STEPS_PER_DAY,
    STEPS_PER_HOUR,
    SUPPLY_SET,
    TOTAL,
    TOWER_SET,
    WET_BULB,
    hall_offset,
)
from keel.envs.protocol import Array

SUBSTEPS = 5  # of a minute each

# What can be set: least, most, and how far it moves in one step of five minutes.
SUPPLY_LEAST, SUPPLY_MOST, SUPPLY_SLEW = 16.0, 27.0, 1.0  # degC, supply air of a hall
CRAH_LEAST, CRAH_MOST, CRAH_SLEW = 0.3, 1.0, 0.1  # fan speed of a hall's air handlers
CHILLED_LEAST, CHILLED_MOST, CHILLED_SLEW = 7.0, 20.0, 1.0  # degC, chilled water
TOWER_LEAST, TOWER_MOST, TOWER_SLEW = 0.1, 1.0, 0.2  # fan speed of the tower

RECOMMENDED_CELSIUS = 27.0  # ASHRAE TC 9.9 (2021), the most at any inlet
ALLOWABLE_CELSIUS = 32.0  # class A1
MOST_KELVIN_PER_HOUR = 20.0  # rate of change, solid-state and disk storage

# The table of reference powers: utilisation 0 to 1 by wet bulb -20 to 32 degC.
REFERENCE_LOADS = 11
REFERENCE_WET_BULBS = 14
REFERENCE_WET_BULB_FIRST = -20.0
REFERENCE_WET_BULB_STEP = 4.0


@kernel
def toward(value: float, target: float, slew: float, least: float, most: float) -> float:
    """`value` moved towards `target` by at most `slew`, within [least, most]."""
    return min(max(min(max(target, least), most), value - slew), value + slew)


@kernel
def move_set_points(row: Array, target: Array, halls: int, hurry: float) -> None:
    """Set points go towards `target` [2 halls + 2], `hurry` times as fast as an operator would let them."""
    moved = 0.0
    for index in range(halls):
        hall = hall_offset(index)
        before = row[hall + SUPPLY_SET]
        row[hall + SUPPLY_SET] = toward(before, target[2 * index], hurry * SUPPLY_SLEW, SUPPLY_LEAST, SUPPLY_MOST)
        moved += abs(row[hall + SUPPLY_SET] - before) / (SUPPLY_MOST - SUPPLY_LEAST)
        before = row[hall + CRAH_SET]
        row[hall + CRAH_SET] = toward(before, target[2 * index + 1], hurry * CRAH_SLEW, CRAH_LEAST, CRAH_MOST)
        moved += abs(row[hall + CRAH_SET] - before) / (CRAH_MOST - CRAH_LEAST)
    before = row[CHILLED_SET]
    row[CHILLED_SET] = toward(before, target[2 * halls], hurry * CHILLED_SLEW, CHILLED_LEAST, CHILLED_MOST)
    moved += abs(row[CHILLED_SET] - before) / (CHILLED_MOST - CHILLED_LEAST)
    before = row[TOWER_SET]
    row[TOWER_SET] = toward(before, target[2 * halls + 1], hurry * TOWER_SLEW, TOWER_LEAST, TOWER_MOST)
    moved += abs(row[TOWER_SET] - before) / (TOWER_MOST - TOWER_LEAST)
    row[MOVED] = moved / (2 * halls + 2)


@kernel
def hourly(row: Array, trace: int, halls: int, days: int, hours: float) -> float:
    """An hourly trace at a moment of the episode, linear between the hours."""
    first = min(int(hours), 24 * days + layout.FORECAST_HOURS - 2)
    share = min(hours - first, 1.0)
    at = layout.hourly_offset(trace, halls, days) + first
    return row[at] + share * (row[at + 1] - row[at])


@kernel
def read_outside(row: Array, halls: int, days: int) -> None:
    """Weather and signals as they are at the row's step; they stand still behind the end of the episode."""
    step = min(int(row[STEP]), STEPS_PER_DAY * days)
    hours = step / STEPS_PER_HOUR
    row[layout.DRY_BULB] = hourly(row, layout.DRY_BULB_TRACE, halls, days, hours)
    row[WET_BULB] = hourly(row, layout.WET_BULB_TRACE, halls, days, hours)
    row[layout.HUMIDITY] = hourly(row, layout.HUMIDITY_TRACE, halls, days, hours)
    row[PRICE] = row[layout.hourly_offset(layout.PRICE_TRACE, halls, days) + step // STEPS_PER_HOUR]
    row[CARBON] = row[layout.hourly_offset(layout.CARBON_TRACE, halls, days) + step // STEPS_PER_HOUR]


@kernel
def read_loads(row: Array, halls: int, days: int) -> None:
    """The loads of the row's step. Nobody sees them before it is over: whoever decides knows those of the step before."""
    step = min(int(row[STEP]), STEPS_PER_DAY * days)
    for index in range(halls):
        hall = hall_offset(index)
        row[hall + LOAD] = row[layout.load_offset(index, halls, days) + step]
        row[hall + LOAD_MEAN] += (row[hall + LOAD] - row[hall + LOAD_MEAN]) / STEPS_PER_HOUR


@kernel
def reference_kilowatts(table: Array, utilisation: float, wet_bulb_celsius: float) -> float:
    """Total power of one hall under the reference controller in steady state, from its table."""
    x = min(max(utilisation, 0.0), 1.0) * (REFERENCE_LOADS - 1)
    y = (wet_bulb_celsius - REFERENCE_WET_BULB_FIRST) / REFERENCE_WET_BULB_STEP
    y = min(max(y, 0.0), REFERENCE_WET_BULBS - 1.000001)
    i, j = min(int(x), REFERENCE_LOADS - 2), int(y)
    x, y = x - i, y - j
    low = table[i, j] + x * (table[i + 1, j] - table[i, j])
    high = table[i, j + 1] + x * (table[i + 1, j + 1] - table[i, j + 1])
    return low + y * (high - low)


@kernel
def advance(row: Array, halls: int, days: int, substeps: int, reference: Array) -> None:
    """One control step of five minutes with the set points as they are, on to the next row of the traces."""
    read_loads(row, halls, days)
    fault = faults.active_fault(row)
    density = physics.air_density(row[layout.PRESSURE])
    for at in range(READINGS, layout.READINGS_END):
        row[at] = 0.0
    for index in range(halls):
        hall = hall_offset(index)
        row[hall + HALL_IT], row[hall + HALL_HEAT], row[hall + INLET_WORST] = 0.0, 0.0, -100.0
    before = plant.stored_joules(row, halls)
    gained, minutes, allowable = 0.0, 0.0, 0.0
    dt = STEP_SECONDS / substeps
    for _ in range(substeps):
        came, went = plant.advance_plant(row, halls, density, fault, dt)
        gained += came - went
        hottest = hottest_inlet(row, halls)
        minutes += dt / 60.0 if hottest > RECOMMENDED_CELSIUS else 0.0
        allowable += dt / 60.0 if hottest > ALLOWABLE_CELSIUS else 0.0
    row[layout.VIOLATION], row[layout.ALLOWABLE_VIOLATION] = minutes, allowable
    row[layout.RESIDUAL] = (gained - (plant.stored_joules(row, halls) - before)) / STEP_SECONDS
    row[FAULT_NOW] = fault
    row[layout.WATER] = plant.make_up_water_litres(row, halls, fault)
    sum_up(row, halls, fault, reference)
    row[STEP] += 1.0
    read_outside(row, halls, days)
    log_sensors(row, halls)


@kernel
def log_sensors(row: Array, halls: int) -> None:
    """Keep the temperatures of now for sensors that report late."""
    at = layout.log_offset(int(row[STEP]), halls)
    row[at : at + 4] = row[layout.CHILLED_SUPPLY : layout.CHILLED_SUPPLY + 4]
    for index in range(halls):
        hall, at = hall_offset(index), at + (4 if index == 0 else layout.SENSORS)
        row[at], row[at + 1] = row[hall + layout.SUPPLY_REPORTED], row[hall + layout.RETURN]
        row[at + 2 : at + 2 + GROUPS] = row[hall + INLET : hall + INLET + GROUPS]


@kernel
def hottest_inlet(row: Array, halls: int) -> float:
    """degC, over all groups of all halls, now."""
    hottest = -100.0
    for index in range(halls):
        for group in range(GROUPS):
            hottest = max(hottest, row[hall_offset(index) + INLET + group])
    return hottest


@kernel
def inlet_cost(row: Array, halls: int, step: int) -> float:
    """The step's constraint cost: kelvin above the recommended limit, summed over groups, at the step's end, and those
    of an hourly change above its limit; keeps the hour's history."""
    cost, change = 0.0, 0.0
    for index in range(halls):
        hall = hall_offset(index)
        hottest = -100.0
        for group in range(GROUPS):
            inlet = row[hall + INLET + group]
            cost += max(inlet - RECOMMENDED_CELSIUS, 0.0)
            hottest = max(hottest, inlet)
        row[INLET_MAX] = max(row[INLET_MAX], row[hall + INLET_WORST])
        row[hall + HISTORY + step % STEPS_PER_HOUR] = hottest
        least, most = hottest, hottest
        for past in range(STEPS_PER_HOUR):
            least = min(least, row[hall + HISTORY + past])
            most = max(most, row[hall + HISTORY + past])
        change = max(change, most - least - MOST_KELVIN_PER_HOUR)
    row[layout.RATE_VIOLATION] = 1.0 if change > 0.0 else 0.0
    return cost + max(change, 0.0)


@kernel
def sum_up(row: Array, halls: int, fault: int, reference: Array) -> None:
    """The step's totals, ratios and constraint cost, from its mean powers."""
    it = row[layout.IT]
    rated = halls * physics.RATED_IT_WATTS
    row[layout.UPS] = 0.001 * physics.ups_loss_watts(1000.0 * (it + row[layout.SERVER_FAN]), rated)
    row[layout.LIGHTS] = 0.001 * halls * physics.LIGHTS_WATTS
    cooling = row[layout.CRAH] + row[layout.CHILLER] + row[layout.TOWER]
    cooling += row[layout.CHILLED_PUMP] + row[layout.CONDENSER_PUMP]
    served = it + row[layout.SERVER_FAN]
    total = served + cooling + row[layout.UPS] + row[layout.LIGHTS]
    row[layout.COOLING], row[TOTAL] = cooling, total
    hours = STEP_SECONDS / 3600.0
    row[layout.PUE] = total / served
    row[layout.WUE] = row[layout.WATER] / (served * hours)
    row[layout.CUE] = row[CARBON] * 0.001 * total / served
    row[layout.MONEY] = total * hours * row[PRICE]
    row[layout.CO2] = total * hours * row[CARBON] * 0.001
    removed = row[layout.CHILLER_HEAT] + row[layout.ECONOMISER_HEAT]
    row[layout.COP] = removed / cooling
    row[layout.ECONOMISER_SHARE] = row[layout.ECONOMISER_HEAT] / max(removed, 1e-9)
    row[layout.PART_LOAD] = 1000.0 * row[layout.CHILLER_HEAT] / (halls * physics.CHILLER_REFERENCE_WATTS)
    row[BASELINE] = 0.0
    for index in range(halls):
        row[BASELINE] += reference_kilowatts(reference, row[hall_offset(index) + LOAD], row[WET_BULB])
    row[INLET_MAX] = -100.0
    row[layout.COST] = inlet_cost(row, halls, int(row[STEP]))
    if fault == faults.DEMAND_RESPONSE:
        row[layout.EXCESS] = max(total - faults.DEMAND_RESPONSE_SHARE * row[BASELINE], 0.0)
