"""One hall: servers in groups of racks, cold and hot aisle, air handlers with a chilled water coil."""

from __future__ import annotations

from keel.envs.compiled import kernel
from keel.envs.cooling import physics
from keel.envs.cooling.layout import (
    AIR_BALANCE,
    CHILLED_SUPPLY,
    COLD,
    COLD_MASS,
    CRAH,
    CRAH_SET,
    GROUP_FLOW,
    GROUPS,
    HALL_HEAT,
    HALL_IT,
    HOT,
    INLET,
    INLET_WORST,
    IT,
    LOAD,
    MASS,
    RETURN,
    SERVER_FAN,
    STEP_SECONDS,
    SUPPLY,
    SUPPLY_REPORTED,
    SUPPLY_SET,
    VALVE,
    WATER_FLOW,
)
from keel.envs.protocol import Array

# The groups differ in how much they work and in how much hot air leaks into them.
GROUP_LOAD = (0.85, 0.95, 1.05, 1.15)  # of the hall's utilisation
GROUP_LEAK = (0.02, 0.04, 0.06, 0.09)  # share of hot air at best
BYPASS = 0.05  # of the supplied air never reaches a server

# Stores of heat, J/K. A loss of all cooling was seen to heat a hall by about 2 K a minute.
COLD_STORE = 0.8e6
HOT_STORE = 1.6e6
MASS_STORE = 13.0e6  # servers, racks and walls
MASS_CONDUCTANCE = 250.0e3  # W/K between them and the hot aisle
COLD_MASS_STORE = 7.0e6  # coils with their water, plenum and floor
COLD_MASS_CONDUCTANCE = 200.0e3  # W/K between them and the cold aisle

LEAST_VALVE = 0.1
VALVE_PER_KELVIN_SECOND = 0.04 / 60.0  # integral action of the valve on the supply air temperature


@kernel
def servers(row: Array, hall: int) -> tuple[float, float, float]:
    """Power of the servers and of their fans, W, and the flow that they draw, m3/s, at the inlets as they are."""
    it_watts, fan_watts, flow = 0.0, 0.0, 0.0
    for group in range(GROUPS):
        utilisation = min(row[hall + LOAD] * GROUP_LOAD[group], 1.0)
        inlet = row[hall + INLET + group]
        fan = physics.server_fan_fraction(utilisation, inlet)
        it_watts += physics.server_power_fraction(utilisation, inlet)
        fan_watts += fan * fan * fan
        row[hall + GROUP_FLOW + group] = fan / GROUPS * physics.SERVER_FLOW_CUBIC_METRES_PER_SECOND
        flow += row[hall + GROUP_FLOW + group]
    return it_watts / GROUPS * physics.RATED_IT_WATTS, fan_watts / GROUPS * physics.SERVER_FAN_WATTS, flow


@kernel
def cold_air_flow(row: Array, hall: int, missing: float) -> float:
    """Flow from the cold aisle through the servers, m3/s; the rest of what they draw is hot air going round."""
    flow = 0.0
    for group in range(GROUPS):
        flow += row[hall + GROUP_FLOW + group] * (1.0 - min(GROUP_LEAK[group] + missing, 1.0))
    return flow


@kernel
def air_balance(
    row: Array,
    hall: int,
    heat: float,
    fan_heat: float,
    through: float,
    around: float,
    coil: float,
    water: float,
    dt: float,
) -> float:
    """Cold aisle, hot aisle and their masses after `dt` seconds, by one implicit Euler step; returns the coil's heat, W.

        C_c dTc/dt = Cs (Tsup - Tc) - UAn (Tc - Tn)
        C_n dTn/dt = UAn (Tc - Tn)
        C_h dTh/dt = P + Ce (Tc - Th) - UA (Th - Tm)
        C_m dTm/dt = UA (Th - Tm)
        Tret = (Cb Tc + Ce Th) / Cs,  Q = K (Tret - Tw),  Cs Tsup = Cs Tret - Q + Pfan

    Args:
        heat: P of the servers. fan_heat: Pfan of the air handlers. through, around: capacity rates Ce and Cb of the
            air through servers and past them, W/K, Cs = Ce + Cb. coil: K, W/K. water: Tw, degC.
    """
    supplied = through + around
    passed = 1.0 - coil / max(supplied, 1e-9)
    mass_store, cold_mass_store = MASS_STORE / dt, COLD_MASS_STORE / dt
    held = MASS_CONDUCTANCE * mass_store / (mass_store + MASS_CONDUCTANCE)
    # [a b; c d] [Tc Th] = [e f]
    cold_held = COLD_MASS_CONDUCTANCE * cold_mass_store / (cold_mass_store + COLD_MASS_CONDUCTANCE)
    a = COLD_STORE / dt + supplied - passed * around + cold_held
    b = -passed * through
    c = -through
    d = HOT_STORE / dt + through + held
    e = COLD_STORE / dt * row[hall + COLD] + coil * water + fan_heat + cold_held * row[hall + COLD_MASS]
    f = HOT_STORE / dt * row[hall + HOT] + heat + held * row[hall + MASS]
    determinant = a * d - b * c
    cold, hot = (e * d - b * f) / determinant, (a * f - c * e) / determinant
    row[hall + COLD], row[hall + HOT] = cold, hot
    row[hall + MASS] = (mass_store * row[hall + MASS] + MASS_CONDUCTANCE * hot) / (mass_store + MASS_CONDUCTANCE)
    row[hall + COLD_MASS] = (cold_mass_store * row[hall + COLD_MASS] + COLD_MASS_CONDUCTANCE * cold) / (
        cold_mass_store + COLD_MASS_CONDUCTANCE
    )
    back = (around * cold + through * hot) / max(supplied, 1e-9)
    coil_heat = coil * (back - water)
    row[hall + RETURN] = back
    row[hall + SUPPLY] = back + (fan_heat - coil_heat) / max(supplied, 1e-9)
    return coil_heat


@kernel
def advance_hall(
    row: Array,
    hall: int,
    density: float,
    running: float,
    conductance: float,
    valve_moves: float,
    sensor_error: float,
    dt: float,
) -> tuple[float, float, float]:
    """`dt` seconds of one hall; returns heat into the water, W, its flow, kg/s, and what came in as electricity, W.

    Args:
        hall: where it begins in the row. density: of the air, kg/m3. running: share of the air handlers that run.
        conductance: of the coil, beside a clean one. valve_moves: 0 where it is stuck. sensor_error: K.
    """
    speed = row[hall + CRAH_SET]
    supplied = physics.CRAH_FLOW_CUBIC_METRES_PER_SECOND * speed * running
    it_watts, server_fan_watts, wanted = servers(row, hall)
    row[hall + AIR_BALANCE] = (1.0 - BYPASS) * supplied / wanted - 1.0
    missing = max(-row[hall + AIR_BALANCE], 0.0)
    through = density * cold_air_flow(row, hall, missing) * physics.AIR_HEAT_CAPACITY
    around = density * supplied * physics.AIR_HEAT_CAPACITY - through
    relative_density = density / physics.SEA_LEVEL_DENSITY
    fan_watts = physics.CRAH_FAN_WATTS * physics.fan_power_fraction(speed) * running * relative_density
    opening = row[hall + VALVE]
    flow = physics.valve_flow_fraction(opening)
    water_capacity = flow * physics.COIL_WATER_KILOGRAMS_PER_SECOND * physics.WATER_HEAT_CAPACITY
    air_film = (relative_density * max(speed * running, 1e-6)) ** 0.8
    film = 2.0 / (1.0 / air_film + 1.0 / flow**0.8)
    coil = physics.exchanger_heat_per_kelvin(
        through + around, water_capacity, physics.COIL_CONDUCTANCE * conductance * film
    )
    served = it_watts + server_fan_watts
    heat = air_balance(row, hall, served, fan_watts, through, around, coil, row[CHILLED_SUPPLY], dt)
    worst = row[hall + INLET_WORST]
    for group in range(GROUPS):
        recirculated = min(GROUP_LEAK[group] + missing, 1.0)
        inlet = (1.0 - recirculated) * row[hall + COLD] + recirculated * row[hall + HOT]
        row[hall + INLET + group] = inlet
        worst = max(worst, inlet)
    row[hall + INLET_WORST] = worst
    row[hall + SUPPLY_REPORTED] = row[hall + SUPPLY] + sensor_error
    error = row[hall + SUPPLY_REPORTED] - row[hall + SUPPLY_SET]
    moved = opening + valve_moves * VALVE_PER_KELVIN_SECOND * dt * error
    row[hall + VALVE] = min(max(moved, LEAST_VALVE), 1.0)
    row[hall + WATER_FLOW] = flow * physics.COIL_WATER_KILOGRAMS_PER_SECOND
    share = 0.001 * dt / STEP_SECONDS
    row[IT] += it_watts * share
    row[SERVER_FAN] += server_fan_watts * share
    row[CRAH] += fan_watts * share
    row[hall + HALL_IT] += served * share
    row[hall + HALL_HEAT] += heat * share
    return heat, flow * physics.COIL_WATER_KILOGRAMS_PER_SECOND, served + fan_watts
