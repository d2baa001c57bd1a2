"""Moist air: saturation pressure, humidity ratio, enthalpy, relative humidity, dew point and wet bulb.

Scalar functions for kernels. Temperatures are degrees Celsius, pressures pascals, humidity ratios kilograms of water
per kilogram of dry air, enthalpies joules per kilogram of dry air above dry air and liquid water at 0 degC. As in the
ASHRAE tables, saturation below 0 degC is over ice.

Sources: Buck (1981), "New equations for computing vapor pressure and enhancement factor", Journal of Applied
Meteorology 20, with the coefficients of 1996; ASHRAE Handbook Fundamentals (2017), chapter 1, for all else.
"""

from __future__ import annotations

import math

from keel.envs.compiled import kernel

MASS_RATIO = 0.621945  # a mole of water vapour to a mole of dry air
DRY_AIR_HEAT = 1006.0  # joules per kilogram and kelvin
VAPOUR_HEAT = 1860.0  # joules per kilogram and kelvin
VAPORISATION_HEAT = 2.501e6  # joules per kilogram, at 0 degC
SUBLIMATION_HEAT = 2.83e6  # joules per kilogram, at 0 degC
WATER_HEAT = 4186.0  # joules per kilogram and kelvin
ICE_HEAT = 2100.0  # joules per kilogram and kelvin

# Buck's a, b, c, d of p = a exp((b - t/d) t / (c + t)); within 0.03 % of Hyland and Wexler from -60 to 60 degC.
WATER_A, WATER_B, WATER_C, WATER_D = 611.21, 18.678, 257.14, 234.5
ICE_A, ICE_B, ICE_C, ICE_D = 611.15, 23.036, 279.82, 333.7

WET_BULB_STEPS = 10  # four to six are needed


@kernel
def saturation_pressure_pascals(celsius: float) -> float:
    """Pressure of saturated vapour over water, below 0 degC over ice; -60 to 60 degC."""
    if celsius >= 0.0:
        return WATER_A * math.exp((WATER_B - celsius / WATER_D) * celsius / (WATER_C + celsius))
    return ICE_A * math.exp((ICE_B - celsius / ICE_D) * celsius / (ICE_C + celsius))


@kernel
def humidity_ratio(vapour_pressure_pascals: float, pressure_pascals: float) -> float:
    """Kilograms of water per kilogram of dry air, where vapour has this part of the whole pressure."""
    return MASS_RATIO * vapour_pressure_pascals / (pressure_pascals - vapour_pressure_pascals)


@kernel
def saturation_humidity_ratio(celsius: float, pressure_pascals: float) -> float:
    """The most water, in kilograms per kilogram of dry air, that air of this temperature holds as vapour."""
    return humidity_ratio(saturation_pressure_pascals(celsius), pressure_pascals)


@kernel
def enthalpy_joules_per_kilogram(celsius: float, humidity_ratio: float) -> float:
    """Enthalpy per kilogram of dry air (Fundamentals 2017, chapter 1, equation 30)."""
    return DRY_AIR_HEAT * celsius + humidity_ratio * (VAPORISATION_HEAT + VAPOUR_HEAT * celsius)


@kernel
def saturation_enthalpy_joules_per_kilogram(celsius: float, pressure_pascals: float) -> float:
    """Enthalpy per kilogram of dry air of saturated air."""
    return enthalpy_joules_per_kilogram(celsius, saturation_humidity_ratio(celsius, pressure_pascals))


@kernel
def vapour_pressure_pascals(humidity_ratio: float, pressure_pascals: float) -> float:
    """The part of the whole pressure that the vapour has."""
    return pressure_pascals * humidity_ratio / (MASS_RATIO + humidity_ratio)


@kernel
def relative_humidity(celsius: float, humidity_ratio: float, pressure_pascals: float) -> float:
    """Vapour pressure as a share of saturation, 0 to 1; above 1 for air with more water than it can hold."""
    return vapour_pressure_pascals(humidity_ratio, pressure_pascals) / saturation_pressure_pascals(celsius)


@kernel
def _saturated_at(logarithm: float, b: float, c: float, d: float) -> float:
    """Where (b - t/d) t / (c + t) equals `logarithm`: the root near 0 of a quadratic equation."""
    slope = b - logarithm
    return 2.0 * c * logarithm / (slope + math.sqrt(slope * slope - 4.0 * c * logarithm / d))


@kernel
def dew_point_celsius(humidity_ratio: float, pressure_pascals: float) -> float:
    """Where air of this humidity ratio (above 0) is saturated; the exact inverse of `saturation_humidity_ratio`."""
    vapour = vapour_pressure_pascals(humidity_ratio, pressure_pascals)
    if vapour >= WATER_A:
        return _saturated_at(math.log(vapour / WATER_A), WATER_B, WATER_C, WATER_D)
    return min(_saturated_at(math.log(vapour / ICE_A), ICE_B, ICE_C, ICE_D), 0.0)


@kernel
def _wet_bulb_over(start: float, dry_bulb: float, ratio: float, pressure: float, over_ice: bool) -> float:
    """Newton's way down from `start` to where evaporation takes just the heat that the air gives.

    Solves (r + (v - q) t) W*(t) - c (T - t) = W (r + v T - q t), where r is the heat of the change of phase, v of
    vapour, q of the liquid or ice, and c of dry air. The left side bends upwards, so that from above no step overshoots.
    """
    if over_ice:
        change, condensed, a, b, c, d = SUBLIMATION_HEAT, ICE_HEAT, ICE_A, ICE_B, ICE_C, ICE_D
    else:
        change, condensed, a, b, c, d = VAPORISATION_HEAT, WATER_HEAT, WATER_A, WATER_B, WATER_C, WATER_D
    celsius = start
    for _ in range(WET_BULB_STEPS):
        vapour = a * math.exp((b - celsius / d) * celsius / (c + celsius))
        vapour_slope = (
            vapour * ((b - 2.0 * celsius / d) * (c + celsius) - (b - celsius / d) * celsius) / (c + celsius) ** 2
        )
        saturated = MASS_RATIO * vapour / (pressure - vapour)
        saturated_slope = MASS_RATIO * pressure * vapour_slope / (pressure - vapour) ** 2
        latent = change + (VAPOUR_HEAT - condensed) * celsius
        given = ratio * (change + VAPOUR_HEAT * dry_bulb - condensed * celsius)
        excess = latent * saturated - DRY_AIR_HEAT * (dry_bulb - celsius) - given
        slope = latent * saturated_slope + (VAPOUR_HEAT - condensed) * saturated + DRY_AIR_HEAT + ratio * condensed
        step = excess / slope
        celsius -= step
        if abs(step) < 1e-4:
            break
    return celsius


@kernel
def wet_bulb_celsius(dry_bulb_celsius: float, humidity_ratio: float, pressure_pascals: float) -> float:
    """Thermodynamic wet bulb, never above the dry bulb; within 0.02 K of psychrolib from -20 to 45 degC.

    Where both a wet and an iced wick would be in balance (some degrees around freezing, dry air), the wick is wet:
    ice is taken only where water would be below 0 degC. At that border the wet bulb falls by up to some 2 K at once,
    as it does by the equations of the source.

    Source: ASHRAE Fundamentals 2017, chapter 1, equations 33 (water) and 35 (ice).
    """
    wet_bulb = dry_bulb_celsius
    if dry_bulb_celsius >= 0.0:
        wet_bulb = _wet_bulb_over(dry_bulb_celsius, dry_bulb_celsius, humidity_ratio, pressure_pascals, False)
    if wet_bulb < 0.0:
        wet_bulb = _wet_bulb_over(wet_bulb, dry_bulb_celsius, humidity_ratio, pressure_pascals, True)
    return min(wet_bulb, dry_bulb_celsius)
