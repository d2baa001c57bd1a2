"""The plant that all halls share: chilled water, waterside economiser, chiller, condenser water, cooling tower."""

from __future__ import annotations

from keel.envs.compiled import kernel
from keel.envs.cooling import faults, layout, physics
from keel.envs.cooling.hall import COLD_MASS_STORE, COLD_STORE, HOT_STORE, MASS_STORE, advance_hall
from keel.envs.cooling.layout import (
    CHILLED_FLOW,
    CHILLED_PUMP,
    CHILLED_RETURN,
    CHILLED_SET,
    CHILLED_SUPPLY,
    CHILLER,
    CHILLER_HEAT,
    CHILLER_ON,
    CHILLER_SECONDS,
    CONDENSER_PUMP,
    CONDENSER_RETURN,
    CONDENSER_SUPPLY,
    ECONOMISER_HEAT,
    ECONOMISER_ON,
    ECONOMISER_SECONDS,
    ECONOMISER_WEAK_SECONDS,
    HUMIDITY,
    PRESSURE,
    STEP_SECONDS,
    TOWER,
    TOWER_AIR_WET_BULB,
    TOWER_HEAT,
    TOWER_SET,
    WET_BULB,
)
from keel.envs.cooling.psychrometrics import humidity_ratio, saturation_pressure_pascals
from keel.envs.protocol import Array

# Stores of heat of one hall's share of the plant, J/K: supply and return of the chilled water, basin and return of
# the condenser water.
CHILLED_STORE = 2.0e7
CONDENSER_STORE = 2.1e7

HOLD_SECONDS = 1200.0  # before what was switched is switched again
CHILLER_START_KELVIN = 1.1  # above the set point, behind the economiser
CHILLER_STOP_KELVIN = 0.5
CHILLER_AT_ONCE_KELVIN = 4.0  # the hold is passed over
ECONOMISER_START_KELVIN = 2.0  # of the returning water above what the economiser is expected to give
ECONOMISER_LEAST_KELVIN = 1.0
ECONOMISER_PATIENCE_SECONDS = 120.0
EXPECTED_EXCHANGER_KELVIN = 2.0
EXPECTED_TOWER_KELVIN = 2.0
EXPECTED_COLD_SLOPE = 0.1  # the tower's approach grows by this for each kelvin below the design wet bulb
DESIGN_WET_BULB_CELSIUS = 25.6
LEAST_CONDENSER_CELSIUS = 5.0  # the tower's bypass keeps the basin from freezing


@kernel
def switch_economiser(row: Array, flow_share: float, cooled_kelvin: float, dt: float) -> None:
    """The economiser's own rule, after ASHRAE Guideline 36-2021, 5.20.3: on where the return is warmer than what it is
    expected to give, off where it has cooled by less than a kelvin for two minutes; twenty minutes between the two."""
    row[ECONOMISER_SECONDS] += dt
    if row[ECONOMISER_ON] > 0.0:
        weak = row[ECONOMISER_WEAK_SECONDS] + dt if cooled_kelvin < ECONOMISER_LEAST_KELVIN else 0.0
        row[ECONOMISER_WEAK_SECONDS] = weak
        if row[ECONOMISER_SECONDS] >= HOLD_SECONDS and weak >= ECONOMISER_PATIENCE_SECONDS:
            row[ECONOMISER_ON], row[ECONOMISER_SECONDS] = 0.0, 0.0
        return
    colder = max(DESIGN_WET_BULB_CELSIUS - row[WET_BULB], 0.0)
    approach = EXPECTED_EXCHANGER_KELVIN * min(flow_share, 1.0) + EXPECTED_TOWER_KELVIN + EXPECTED_COLD_SLOPE * colder
    warmer = row[CHILLED_RETURN] > row[WET_BULB] + approach + ECONOMISER_START_KELVIN
    if warmer and row[ECONOMISER_SECONDS] >= HOLD_SECONDS:
        row[ECONOMISER_ON], row[ECONOMISER_SECONDS], row[ECONOMISER_WEAK_SECONDS] = 1.0, 0.0, 0.0


@kernel
def switch_chiller(row: Array, before_celsius: float, tripped: bool, dt: float) -> None:
    """On where the water behind the economiser is too warm, off where it is cold enough; twenty minutes between."""
    row[CHILLER_SECONDS] += dt
    if tripped:
        row[CHILLER_ON] = 0.0
        row[CHILLER_SECONDS] = HOLD_SECONDS  # starts at once when it may
        return
    excess = before_celsius - row[CHILLED_SET]
    held = row[CHILLER_SECONDS] < HOLD_SECONDS
    if row[CHILLER_ON] > 0.0:
        if excess <= CHILLER_STOP_KELVIN and not held:
            row[CHILLER_ON], row[CHILLER_SECONDS] = 0.0, 0.0
    elif excess > CHILLER_AT_ONCE_KELVIN or (excess > CHILLER_START_KELVIN and not held):
        row[CHILLER_ON], row[CHILLER_SECONDS] = 1.0, 0.0


@kernel
def tower_heat_watts(row: Array, speed: float, water_capacity: float, scale: float) -> float:
    """Heat that the tower takes from the condenser water, and the wet bulb of the air that leaves it."""
    entering, wet_bulb = row[CONDENSER_RETURN], row[WET_BULB]
    per_kelvin, air_capacity = physics.tower_capacities(
        speed, wet_bulb, row[TOWER_AIR_WET_BULB], row[PRESSURE], water_capacity, scale
    )
    heat = max(per_kelvin * (entering - wet_bulb), 0.0)
    heat = max(min(heat, water_capacity * (entering - LEAST_CONDENSER_CELSIUS)), 0.0)
    row[TOWER_AIR_WET_BULB] = min(wet_bulb + heat / air_capacity, max(entering, wet_bulb))
    return heat


@kernel
def condenser_loop(
    row: Array, halls: int, economiser_watts: float, condenser_watts: float, speed: float, dt: float
) -> tuple[float, float]:
    """`dt` seconds of condenser water, pump and tower; returns the pump's power and the heat rejected, W."""
    if row[ECONOMISER_ON] + row[CHILLER_ON] == 0.0:
        return 0.0, 0.0
    share = 0.001 * dt / STEP_SECONDS
    capacity = halls * physics.CONDENSER_KILOGRAMS_PER_SECOND * physics.WATER_HEAT_CAPACITY
    pump_watts = halls * physics.CONDENSER_PUMP_WATTS
    rejected = tower_heat_watts(row, speed, capacity, halls)
    supply, back = row[CONDENSER_SUPPLY], row[CONDENSER_RETURN]
    store = halls * CONDENSER_STORE
    row[CONDENSER_RETURN] += dt / store * (capacity * (supply - back) + economiser_watts + condenser_watts + pump_watts)
    row[CONDENSER_SUPPLY] += dt / store * (capacity * (back - supply) - rejected)
    density_ratio = physics.air_density(row[PRESSURE]) / physics.SEA_LEVEL_DENSITY
    row[CONDENSER_PUMP] += pump_watts * share
    row[TOWER] += halls * physics.TOWER_FAN_WATTS * physics.tower_fan_power_fraction(speed) * density_ratio * share
    row[TOWER_HEAT] += rejected * share
    return pump_watts, rejected


@kernel
def tower_fan_speed(row: Array, fault: int) -> float:
    """The speed that the tower's fan has: its set point, as far as a fault lets it."""
    return min(row[TOWER_SET], row[layout.FAULT_SIZE]) if fault == faults.TOWER_FAN else row[TOWER_SET]


@kernel
def chilled_heat(
    wanted: float, before: float, set_point: float, entering: float, capacity: float, halls: int
) -> tuple[float, float]:
    """Heat that the chiller takes, W, and the temperature at which its water leaves, degC.

    Where it cannot take all that is wanted, the water leaves warmer, which lets it take more: a fixed point.
    """
    most = halls * physics.CHILLER_MOST_PART_LOAD * physics.CHILLER_REFERENCE_WATTS
    leaving = set_point
    available = min(halls * physics.chiller_capacity_watts(leaving, entering), most)
    if wanted > available:
        for _ in range(6):
            leaving = max(before - available / capacity, set_point)
            available = min(halls * physics.chiller_capacity_watts(leaving, entering), most)
    return min(wanted, available), leaving


@kernel
def advance_plant(row: Array, halls: int, density: float, fault: int, dt: float) -> tuple[float, float]:
    """`dt` seconds of everything; returns the energy that came in as electricity and went out by the tower, J."""
    coil_watts, flow, electric = 0.0, 0.0, 0.0
    for index in range(halls):
        running, conductance, moves, error = faults.hall_effects(row, fault, index)
        heat, hall_flow, power = advance_hall(
            row, layout.hall_offset(index), density, running, conductance, moves, error, dt
        )
        coil_watts, flow, electric = coil_watts + heat, flow + hall_flow, electric + power
    share = 0.001 * dt / STEP_SECONDS
    capacity = flow * physics.WATER_HEAT_CAPACITY
    flow_share = flow / (halls * physics.COIL_WATER_KILOGRAMS_PER_SECOND)
    chilled_pump = halls * physics.CHILLED_PUMP_WATTS * physics.pump_power_fraction(flow_share)
    supply, back, condenser = row[CHILLED_SUPPLY], row[CHILLED_RETURN], row[CONDENSER_SUPPLY]
    condenser_capacity = halls * physics.CONDENSER_KILOGRAMS_PER_SECOND * physics.WATER_HEAT_CAPACITY

    economiser = 0.0
    if row[ECONOMISER_ON] > 0.0:
        per_kelvin = physics.exchanger_heat_per_kelvin(
            capacity, condenser_capacity, halls * physics.ECONOMISER_CONDUCTANCE
        )
        wanted = capacity * max(back - row[CHILLED_SET], 0.0)
        economiser = min(max(per_kelvin * (back - condenser), 0.0), wanted)
    before = back - economiser / capacity
    switch_chiller(row, before, fault == faults.CHILLER, dt)

    chilled, chiller_power = 0.0, 0.0
    if row[CHILLER_ON] > 0.0:
        entering = condenser + economiser / condenser_capacity  # the chiller stands behind the economiser
        wanted = capacity * max(before - row[CHILLED_SET], 0.0)
        chilled, leaving = chilled_heat(wanted, before, row[CHILLED_SET], entering, capacity, halls)
        chiller_power = halls * physics.chiller_power_watts(chilled / halls, leaving, entering)
    row[CHILLED_SUPPLY] += dt / (halls * CHILLED_STORE) * (capacity * (back - supply) - economiser - chilled)
    row[CHILLED_RETURN] += dt / (halls * CHILLED_STORE) * (capacity * (supply - back) + coil_watts + chilled_pump)
    speed = tower_fan_speed(row, fault)
    pump, rejected = condenser_loop(row, halls, economiser, chilled + chiller_power, speed, dt)
    switch_economiser(row, flow_share, economiser / capacity, dt)

    row[CHILLER] += chiller_power * share
    row[CHILLED_PUMP] += chilled_pump * share
    row[ECONOMISER_HEAT] += economiser * share
    row[CHILLER_HEAT] += chilled * share
    row[CHILLED_FLOW] = flow
    return dt * (electric + chilled_pump + chiller_power + pump), dt * rejected


@kernel
def stored_joules(row: Array, halls: int) -> float:
    """Heat in all stores above 0 degC."""
    total = halls * CHILLED_STORE * (row[CHILLED_SUPPLY] + row[CHILLED_RETURN])
    total += halls * CONDENSER_STORE * (row[CONDENSER_SUPPLY] + row[CONDENSER_RETURN])
    for index in range(halls):
        hall = layout.hall_offset(index)
        total += COLD_STORE * row[hall + layout.COLD] + HOT_STORE * row[hall + layout.HOT]
        total += MASS_STORE * row[hall + layout.MASS] + COLD_MASS_STORE * row[hall + layout.COLD_MASS]
    return total


@kernel
def outdoor_humidity_ratio(row: Array) -> float:
    """kg of water a kg of dry air outside, from dry bulb and relative humidity."""
    return humidity_ratio(row[HUMIDITY] * saturation_pressure_pascals(row[layout.DRY_BULB]), row[PRESSURE])


@kernel
def make_up_water_litres(row: Array, halls: int, fault: int) -> float:
    """Water that the tower needs in one control step, from the step's mean heat."""
    if row[TOWER_HEAT] <= 0.0:
        return 0.0
    density_ratio = physics.air_density(row[PRESSURE]) / physics.SEA_LEVEL_DENSITY
    air = halls * physics.TOWER_AIR_KILOGRAMS_PER_SECOND * tower_fan_speed(row, fault) * density_ratio
    circulating = halls * physics.CONDENSER_KILOGRAMS_PER_SECOND
    outdoor, leaving = outdoor_humidity_ratio(row), row[TOWER_AIR_WET_BULB]
    return STEP_SECONDS * physics.tower_water_kilograms_per_second(
        1000.0 * row[TOWER_HEAT], air, outdoor, leaving, row[PRESSURE], circulating
    )
