"""Where everything stands in the flat state of one world: the plant, its halls, and the traces drawn at reset.

A row is PLANT numbers, HALL numbers for each hall, the log of the sensors, then the traces: five hourly ones (dry bulb, wet bulb,
relative humidity, price, carbon) and the load of each hall, a value each control step.
"""

from __future__ import annotations

from keel.envs.compiled import kernel

STEP_SECONDS = 300.0
STEPS_PER_HOUR = 12
STEPS_PER_DAY = 288
FORECAST_HOURS = 8  # how far the hourly traces reach beyond the episode
GROUPS = 4  # groups of racks in a hall

# The plant.
STEP = 0  # control steps since the reset
FIRST_HOUR = 1  # of the year, 0 to 8759
PRESSURE = 2  # Pa
NOISE_SEED = 3  # where the noise of sensors and forecasts comes from
CHILLED_SUPPLY = 4  # degC, the four stores of water
CHILLED_RETURN = 5
CONDENSER_SUPPLY = 6
CONDENSER_RETURN = 7
TOWER_AIR_WET_BULB = 8  # degC, of the air that leaves the tower
ECONOMISER_ON = 9
ECONOMISER_SECONDS = 10  # since it was last switched
ECONOMISER_WEAK_SECONDS = 11  # for how long it has cooled by less than a kelvin
CHILLER_ON = 12
CHILLER_SECONDS = 13
CHILLED_SET = 14  # degC
TOWER_SET = 15  # fan speed
FAULT = 16  # kind, see faults.py
FAULT_FIRST_STEP = 17
FAULT_LAST_STEP = 18
FAULT_SIZE = 19
FAULT_HALL = 20
MODE = 21  # who decided: 0 the agent, 1 the agent corrected by the shield, 2 the fallback controller
FALLBACK_STEPS = 22  # for how many steps the fallback still decides
PLANT_RESET = 23  # the controllers' memory: chilled water reset, 0 to 1
TOWER_INTEGRAL = 24
PLANT_WAIT = 25  # steps that the reset still waits
DRY_BULB = 26  # degC, now
WET_BULB = 27
HUMIDITY = 28  # relative, 0 to 1
PRICE = 29  # USD/kWh
CARBON = 30  # g/kWh
MOVED = 31  # mean change of the set points in this step, each as a share of its range

# What the last step measured, means over its five minutes: the world's own measures, in this order.
READINGS = 32
READING_NAMES = (
    "it_kw",
    "server_fan_kw",
    "crah_kw",
    "chiller_kw",
    "tower_kw",
    "chilled_pump_kw",
    "condenser_pump_kw",
    "ups_kw",
    "lights_kw",
    "total_kw",
    "cooling_kw",
    "baseline_kw",
    "pue",
    "wue",
    "cue",
    "water_litres",
    "price_usd",
    "co2_kg",
    "cop",
    "economiser_share",
    "chiller_part_load",
    "inlet_max_celsius",
    "cost",
    "violation_minutes",
    "allowable_violation_minutes",
    "rate_violation",
    "energy_residual_watts",
    "fault",
    "intervention",
    "fallback",
    "excess_kw",
)
IT = READINGS + READING_NAMES.index("it_kw")
SERVER_FAN = READINGS + READING_NAMES.index("server_fan_kw")
CRAH = READINGS + READING_NAMES.index("crah_kw")
CHILLER = READINGS + READING_NAMES.index("chiller_kw")
TOWER = READINGS + READING_NAMES.index("tower_kw")
CHILLED_PUMP = READINGS + READING_NAMES.index("chilled_pump_kw")
CONDENSER_PUMP = READINGS + READING_NAMES.index("condenser_pump_kw")
UPS = READINGS + READING_NAMES.index("ups_kw")
LIGHTS = READINGS + READING_NAMES.index("lights_kw")
TOTAL = READINGS + READING_NAMES.index("total_kw")
COOLING = READINGS + READING_NAMES.index("cooling_kw")
BASELINE = READINGS + READING_NAMES.index("baseline_kw")
PUE = READINGS + READING_NAMES.index("pue")
WUE = READINGS + READING_NAMES.index("wue")
CUE = READINGS + READING_NAMES.index("cue")
WATER = READINGS + READING_NAMES.index("water_litres")
MONEY = READINGS + READING_NAMES.index("price_usd")
CO2 = READINGS + READING_NAMES.index("co2_kg")
COP = READINGS + READING_NAMES.index("cop")
ECONOMISER_SHARE = READINGS + READING_NAMES.index("economiser_share")
PART_LOAD = READINGS + READING_NAMES.index("chiller_part_load")
INLET_MAX = READINGS + READING_NAMES.index("inlet_max_celsius")
COST = READINGS + READING_NAMES.index("cost")
VIOLATION = READINGS + READING_NAMES.index("violation_minutes")
ALLOWABLE_VIOLATION = READINGS + READING_NAMES.index("allowable_violation_minutes")
RATE_VIOLATION = READINGS + READING_NAMES.index("rate_violation")
RESIDUAL = READINGS + READING_NAMES.index("energy_residual_watts")
FAULT_NOW = READINGS + READING_NAMES.index("fault")
INTERVENTION = READINGS + READING_NAMES.index("intervention")
FALLBACK = READINGS + READING_NAMES.index("fallback")
EXCESS = READINGS + READING_NAMES.index("excess_kw")
ECONOMISER_HEAT = 63  # kW, sums within the step that are no measures of their own
CHILLER_HEAT = 64
TOWER_HEAT = 65
CHILLED_FLOW = 66  # kg/s
READINGS_END = 67  # where what a step sums up ends
PLANT = 72

# One hall, counted from the hall's own beginning.
COLD = 0  # degC: cold aisle, hot aisle, and the mass of servers and building
HOT = 1
MASS = 2
VALVE = 3  # opening, 0 to 1
SUPPLY = 4  # degC, air from and to the handlers
RETURN = 5
SUPPLY_SET = 6  # degC
CRAH_SET = 7  # fan speed
LOAD = 8  # utilisation in the last step, and its exponential mean over about an hour
LOAD_MEAN = 9
HALL_IT = 10  # kW
HALL_HEAT = 11  # kW, taken by the coil
INLET = 12  # degC, one for each group of racks
INLET_WORST = 16  # degC, hottest group in the step
SUPPLY_RESET = 17  # the controllers' memory: their own set points
CRAH_RESET = 18
CONTROL_WAIT = 19
RETURN_INTEGRAL = 20
HISTORY = 21  # degC, the hottest inlet at the end of each of the last twelve steps
WATER_FLOW = 33  # kg/s
GROUP_FLOW = 34  # m3/s, drawn by each group of racks
AIR_BALANCE = 38  # air supplied to the racks beside what they draw, less 1: what a pressure sensor tells
COLD_MASS = 39  # degC, of what the supplied air flows past: coils, plenum, floor
SUPPLY_REPORTED = 40  # degC, as the sensor of the supply air says
HALL = 41

LOGGED_STEPS = 4  # the last temperatures, for sensors that report late
SENSORS = 2 + GROUPS  # of a hall

DRY_BULB_TRACE, WET_BULB_TRACE, HUMIDITY_TRACE, PRICE_TRACE, CARBON_TRACE = range(5)
HOURLY_TRACES = 5


def state_size(halls: int, days: int) -> int:
    """Numbers in a state of `halls` halls and an episode of `days` days."""
    return int(dynamic_size(halls)) + HOURLY_TRACES * hourly_count(days) + halls * load_count(days)


def hourly_count(days: int) -> int:
    """Values of an hourly trace."""
    return 24 * days + FORECAST_HOURS


def load_count(days: int) -> int:
    """Values of a hall's load: one for each step, and the one that the last observation shows."""
    return STEPS_PER_DAY * days + 1


@kernel
def hall_offset(hall: int) -> int:
    """Where a hall begins."""
    return PLANT + hall * HALL


@kernel
def dynamic_size(halls: int) -> int:
    """Numbers that a step changes: all before the traces."""
    return PLANT + halls * HALL + LOGGED_STEPS * (4 + SENSORS * halls)


@kernel
def log_offset(step: int, halls: int) -> int:
    """Where the sensors' log keeps a step: 4 water temperatures, then of each hall supply, return and inlets."""
    return PLANT + halls * HALL + step % LOGGED_STEPS * (4 + SENSORS * halls)


@kernel
def hourly_offset(trace: int, halls: int, days: int) -> int:
    """Where an hourly trace begins."""
    return dynamic_size(halls) + trace * (24 * days + FORECAST_HOURS)


@kernel
def load_offset(hall: int, halls: int, days: int) -> int:
    """Where the load of a hall begins."""
    return dynamic_size(halls) + HOURLY_TRACES * (24 * days + FORECAST_HOURS) + hall * (STEPS_PER_DAY * days + 1)
