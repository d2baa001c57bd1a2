"""Textbook physics of a water-cooled data centre: numbers in, numbers out, units in the names.

Each function is one component in quasi-steady state; `plant.py` joins them and integrates the stores of heat. The
constants are those of one hall of 1 MW; a plant of several halls is that many times as large.
"""

from __future__ import annotations

import math

from keel.envs.compiled import kernel
from keel.envs.cooling.psychrometrics import saturation_enthalpy_joules_per_kilogram, saturation_humidity_ratio

AIR_HEAT_CAPACITY = 1006.0  # J/(kg K), dry air
WATER_HEAT_CAPACITY = 4186.0  # J/(kg K)
WATER_EVAPORATION_HEAT = 2.45e6  # J/kg near 20 degC
AIR_GAS_CONSTANT = 287.05  # J/(kg K)
HALL_AIR_KELVIN = 295.0  # at which the density of the hall's air is taken
SEA_LEVEL_DENSITY = 1.2  # kg/m3, at which fans are rated

# Servers: idle share of the rated power, leakage and fans (see `server_power_fraction`).
RATED_IT_WATTS = 1.0e6
IDLE_SHARE = 0.40
LEAKAGE_PER_KELVIN = 0.001
LEAKAGE_REFERENCE_CELSIUS = 22.0
SERVER_FAN_WATTS = 0.08 * RATED_IT_WATTS
SERVER_FLOW_CUBIC_METRES_PER_SECOND = 90.0  # of all servers at full fan speed

# Computer room air handlers (CRAH) of one hall, all units together.
CRAH_FLOW_CUBIC_METRES_PER_SECOND = 100.0
CRAH_FAN_WATTS = 62.0e3
COIL_CONDUCTANCE = 190.0e3  # W/K at full flow of air and water
COIL_WATER_KILOGRAMS_PER_SECOND = 44.0
CHILLED_PUMP_WATTS = 19.0e3

# Condenser side.
CONDENSER_KILOGRAMS_PER_SECOND = 55.0
CONDENSER_PUMP_WATTS = 15.0e3
ECONOMISER_CONDUCTANCE = 280.0e3  # W/K of the plate heat exchanger
TOWER_AIR_KILOGRAMS_PER_SECOND = 60.0  # at full fan speed and sea level
TOWER_FAN_WATTS = 26.0e3
# From the rating point: water 34.96 to 29.40 degC at 25.6 degC wet bulb, an approach of 3.8 K (CTI conditions).
TOWER_CONDUCTANCE = 62.5e3  # W/K, of sensible heat

# Chiller: Carrier 19XR, 1143 kW, COP 6.57 at 10.0 / 26.67 degC, variable speed; from EnergyPlus's Chillers.idf.
CHILLER_REFERENCE_WATTS = 1.143e6
CHILLER_REFERENCE_COP = 6.57
CHILLER_LEAVING_RANGE_CELSIUS = (7.22, 12.78)  # where the curves were fitted
CHILLER_ENTERING_RANGE_CELSIUS = (12.78, 26.67)
CHILLER_LEAST_PART_LOAD = 0.20
CHILLER_MOST_PART_LOAD = 1.03
# Between the water temperatures named above and those of the refrigerant: lift = entering - leaving + this.
LIFT_OFFSET_KELVIN = 10.0
CHILLER_REFERENCE_LEAVING_CELSIUS = 10.0

UPS_FIXED_LOSS = 0.012  # of the rating
UPS_LOAD_LOSS = 0.025  # of the load
LIGHTS_WATTS = 10.0e3

CYCLES_OF_CONCENTRATION = 5.0
DRIFT_SHARE = 2.0e-5  # of the circulating water


@kernel
def air_density(pressure_pascals: float) -> float:
    """Density of the hall's air, kg/m3."""
    return pressure_pascals / (AIR_GAS_CONSTANT * HALL_AIR_KELVIN)


@kernel
def server_fan_fraction(utilisation: float, inlet_celsius: float) -> float:
    """Speed of the servers' fans in [0.2, 1]: they follow the load, and above 22 degC the inlet air.

    f = 0.30 + 0.35 u + 0.03 (T - 22)+
    """
    speed = 0.30 + 0.35 * utilisation + 0.03 * max(inlet_celsius - 22.0, 0.0)
    return min(max(speed, 0.2), 1.0)


@kernel
def server_power_fraction(utilisation: float, inlet_celsius: float) -> float:
    """Power of the servers without fans as a share of their rating: linear in the load, leakage linear in the inlet.

    p = (p0 + (1 - p0) u) (1 + k (T - 22)). With the fans, the total rises by 0.35 to 0.5 % a kelvin between 23 and
    30 degC, as measured in two halls (Coroama et al. 2025); leakage is held beyond 10 and 60 degC.
    """
    leakage = 1.0 + LEAKAGE_PER_KELVIN * (min(max(inlet_celsius, 10.0), 60.0) - LEAKAGE_REFERENCE_CELSIUS)
    return (IDLE_SHARE + (1.0 - IDLE_SHARE) * utilisation) * leakage


@kernel
def fan_power_fraction(speed: float) -> float:
    """Power of the air handlers' fans as a share of full power: fan law with drive losses, 0.03 + 0.97 s^3."""
    return 0.03 + 0.97 * speed * speed * speed


@kernel
def pump_power_fraction(flow: float) -> float:
    """Power of a variable-speed pump as a share of full power, 0.25 x + 0.75 x^3, for a share x of the full flow."""
    return 0.25 * flow + 0.75 * flow * flow * flow


@kernel
def tower_fan_power_fraction(speed: float) -> float:
    """Power of the tower's fan as a share of full power (cubic of a measured variable-speed fan; Sinergym's models)."""
    return max(-0.00931516 + speed * (0.05123340 + speed * (-0.08383647 + speed * 1.04191823)), 0.0)


@kernel
def counterflow_effectiveness(transfer_units: float, capacity_ratio: float) -> float:
    """Effectiveness of a counterflow heat exchanger (e-NTU; Kays and London 1984, Compact heat exchangers).

    eps = (1 - e^(-N (1 - C))) / (1 - C e^(-N (1 - C))), and N / (1 + N) where C = 1.
    """
    difference = 1.0 - capacity_ratio
    if difference < 1e-6:
        return transfer_units / (1.0 + transfer_units)
    decay = math.exp(-transfer_units * difference)
    return (1.0 - decay) / (1.0 - capacity_ratio * decay)


@kernel
def exchanger_heat_per_kelvin(air_capacity: float, water_capacity: float, conductance: float) -> float:
    """Heat that a counterflow exchanger moves for each kelvin between its two inlets, W/K.

    Args: heat capacity rates of the two streams and conductance, all W/K.
    """
    least, most = min(air_capacity, water_capacity), max(air_capacity, water_capacity)
    if least <= 0.0:
        return 0.0
    return least * counterflow_effectiveness(conductance / least, least / most)


@kernel
def valve_flow_fraction(opening: float) -> float:
    """Water flow through an equal-percentage valve (rangeability 20) as a share of full flow, for an opening in [0, 1]."""
    return (math.exp(2.995732273553991 * opening) - 1.0) / 19.0


@kernel
def damped(ratio: float) -> float:
    """A ratio of lifts as compressors follow it: fully where the lift grows, less and less where it vanishes.

    e^(x - 1) below 1: the slope at 1 is Carnot's, and work never reaches zero.
    """
    return ratio if ratio >= 1.0 else math.exp(ratio - 1.0)


@kernel
def chiller_lift_ratio(leaving_celsius: float, entering_celsius: float) -> float:
    """What the Carnot work of a unit of cooling is beside that at the nearest point where the curves were fitted.

    The leaving temperature goes out of the range at the nearest entering one, and the entering one at the reference
    leaving one: so the work falls with the first and rises with the second everywhere.
    """
    low, high = CHILLER_LEAVING_RANGE_CELSIUS
    te = min(max(leaving_celsius, low), high)
    low, high = CHILLER_ENTERING_RANGE_CELSIUS
    tc = min(max(entering_celsius, low), high)
    ratio = 1.0
    if leaving_celsius != te:
        lift = (tc - leaving_celsius + LIFT_OFFSET_KELVIN) / (tc - te + LIFT_OFFSET_KELVIN)
        ratio = damped(lift * (te + 273.15) / (leaving_celsius + 273.15))
    if entering_celsius != tc:
        offset = LIFT_OFFSET_KELVIN - CHILLER_REFERENCE_LEAVING_CELSIUS
        ratio *= damped((entering_celsius + offset) / (tc + offset))
    return ratio


@kernel
def chiller_capacity_watts(leaving_celsius: float, entering_celsius: float) -> float:
    """Heat that the chiller can take from the water, W.

    Q = Q_ref (a + b Te + c Te^2 + d Tc + e Tc^2 + f Te Tc), Te leaving chilled water, Tc entering condenser water, both
    held within the range of the fit; source: EnergyPlus, Chillers.idf, Carrier 19XR 1143 kW.
    """
    low, high = CHILLER_LEAVING_RANGE_CELSIUS
    te = min(max(leaving_celsius, low), high)
    low, high = CHILLER_ENTERING_RANGE_CELSIUS
    tc = min(max(entering_celsius, low), high)
    curve = (
        7.939538e-1 + te * (4.096493e-2 - 1.419397e-3 * te + 1.348786e-3 * tc) - tc * (1.639813e-3 + 5.220497e-4 * tc)
    )
    return CHILLER_REFERENCE_WATTS * curve


@kernel
def chiller_work_ratio(leaving_celsius: float, entering_celsius: float) -> float:
    """Electric input for a unit of cooling at full load, beside that at the reference point (EIRFT).

    The curve inside the range of its fit; outside, its value at the nearest point times `chiller_lift_ratio`, because
    no published curve reaches the warm water of data centres.
    """
    low, high = CHILLER_LEAVING_RANGE_CELSIUS
    te = min(max(leaving_celsius, low), high)
    low, high = CHILLER_ENTERING_RANGE_CELSIUS
    tc = min(max(entering_celsius, low), high)
    curve = (
        9.475580e-1 + te * (-1.187942e-2 + 8.799326e-5 * te + 2.178409e-4 * tc) + tc * (2.250775e-4 + 1.815775e-4 * tc)
    )
    return curve * chiller_lift_ratio(leaving_celsius, entering_celsius)


@kernel
def chiller_power_watts(heat_watts: float, leaving_celsius: float, entering_celsius: float) -> float:
    """Electric power of a chiller that takes `heat_watts` from the water.

    P = Q_av EIRFT EIRFPLR(PLR) / COP_ref, with EIRFPLR = 0.1408822 - 0.1578153 x + 1.014316 x^2. Below the least part
    load the machine cycles: power in proportion. Source: EnergyPlus Engineering Reference, Chiller:Electric:EIR.
    """
    available = chiller_capacity_watts(leaving_celsius, entering_celsius)
    load = heat_watts / available
    part_load = min(max(load, CHILLER_LEAST_PART_LOAD), CHILLER_MOST_PART_LOAD)
    running = min(load / CHILLER_LEAST_PART_LOAD, 1.0)
    curve = 1.408822e-1 + part_load * (-1.578153e-1 + 1.014316 * part_load)
    return available * chiller_work_ratio(leaving_celsius, entering_celsius) * curve * running / CHILLER_REFERENCE_COP


@kernel
def tower_capacities(
    speed: float,
    wet_bulb_celsius: float,
    leaving_wet_bulb_celsius: float,
    pressure_pascals: float,
    water_capacity: float,
    scale: float,
) -> tuple[float, float]:
    """Heat that the cooling tower rejects for each kelvin between the entering water and the wet bulb, and the heat
    that its air takes up for each kelvin of wet bulb, both W/K.

    Merkel's theory as an equivalent counterflow exchanger between the water and a gas of heat capacity
    cpe = dh/dTwb: UAe = UA cpe / cp. The conductance falls with the air flow as G^0.6 (Merkel number ~ (L/G)^-0.6).
    Cold air holds little moisture, so cpe falls and the approach grows when it is cold.

    Args:
        speed: of the fan, (0, 1]. leaving_wet_bulb_celsius: of the air that leaves, from the step before.
        water_capacity: of all the water, W/K. scale: size beside that of one hall's tower.
    Source: EnergyPlus Engineering Reference, Cooling towers; Merkel 1925; exponent: ASHRAE Handbook HVAC Systems and
        Equipment, Cooling towers. Where we differ from EnergyPlus: its fan moves a volume at the density of outdoor
        air, ours a mass; its UA is scaled by the heat capacity of moist air, ours by that of dry air (3 % at the rating
        point). With equal air flow and mass transfer the two agree within 2 % of the heat.
    """
    rise = max(leaving_wet_bulb_celsius - wet_bulb_celsius, 0.1)
    enthalpy_rise = saturation_enthalpy_joules_per_kilogram(
        wet_bulb_celsius + rise, pressure_pascals
    ) - saturation_enthalpy_joules_per_kilogram(wet_bulb_celsius, pressure_pascals)
    effective_heat_capacity = enthalpy_rise / rise
    density_ratio = air_density(pressure_pascals) / SEA_LEVEL_DENSITY
    air_capacity = scale * TOWER_AIR_KILOGRAMS_PER_SECOND * density_ratio * speed * effective_heat_capacity
    conductance = (
        scale * TOWER_CONDUCTANCE * (density_ratio * speed) ** 0.6 * effective_heat_capacity / AIR_HEAT_CAPACITY
    )
    return exchanger_heat_per_kelvin(air_capacity, water_capacity, conductance), air_capacity


@kernel
def tower_water_kilograms_per_second(
    heat_watts: float,
    air_kilograms_per_second: float,
    outdoor_humidity_ratio: float,
    leaving_wet_bulb_celsius: float,
    pressure_pascals: float,
    circulating_kilograms_per_second: float,
) -> float:
    """Make-up water of the tower: evaporation into air that leaves saturated, drift, and blowdown, kg/s.

    Blowdown = evaporation / (CoC - 1) - drift. Hot dry air evaporates more than the heat of the water asks for; where
    the air flow is small the quasi-steady balance is held to 1.5 times that. Source: EnergyPlus Engineering Reference,
    Cooling towers, water consumption (saturated exit).
    """
    gained = saturation_humidity_ratio(leaving_wet_bulb_celsius, pressure_pascals) - outdoor_humidity_ratio
    most = 1.5 * heat_watts / WATER_EVAPORATION_HEAT
    evaporation = min(max(air_kilograms_per_second * gained, 0.0), most)
    drift = DRIFT_SHARE * circulating_kilograms_per_second
    blowdown = max(evaporation / (CYCLES_OF_CONCENTRATION - 1.0) - drift, 0.0)
    return evaporation + drift + blowdown


@kernel
def ups_loss_watts(it_watts: float, rated_watts: float) -> float:
    """Losses of the uninterruptible supply and distribution: a share of the rating and a share of the load."""
    return UPS_FIXED_LOSS * rated_watts + UPS_LOAD_LOSS * it_watts
