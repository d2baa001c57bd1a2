"""Moist air against psychrolib, which follows the ASHRAE Handbook of Fundamentals (2017)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.envs.compiled import kernel
from keel.envs.cooling.psychrometrics import (
    dew_point_celsius,
    enthalpy_joules_per_kilogram,
    humidity_ratio,
    relative_humidity,
    saturation_enthalpy_joules_per_kilogram,
    saturation_humidity_ratio,
    saturation_pressure_pascals,
    wet_bulb_celsius,
)
from keel.envs.protocol import Array

psychrolib = pytest.importorskip("psychrolib", reason="THE PHYSICS OF MOIST AIR IS UNCHECKED: pip install psychrolib")
psychrolib.SetUnitSystem(psychrolib.SI)

PRESSURES = (75_000.0, 83_000.0, 95_000.0, 101_325.0, 102_000.0)
CELSIUS = st.floats(-20.0, 45.0)
HUMIDITY = st.floats(0.05, 1.0)
PRESSURE = st.floats(75_000.0, 102_000.0)


def two_wicks(dry_bulb: float, ratio: float, pressure: float, celsius: float) -> bool:
    """Whether psychrolib's own balance has a second solution, a wet wick above 0 degC beside an iced one below."""

    def balance(wet_bulb: float) -> float:
        return psychrolib.GetHumRatioFromTWetBulb(dry_bulb, wet_bulb, pressure) - ratio

    return dry_bulb > 0.0 and balance(0.0) <= 0.0 <= balance(-1e-9) and abs(balance(celsius)) < 2e-6


def check_wet_bulb(dry_bulb: float, share: float, pressure: float) -> None:
    ratio = psychrolib.GetHumRatioFromRelHum(dry_bulb, share, pressure)
    own = wet_bulb_celsius(dry_bulb, ratio, pressure)
    expected = psychrolib.GetTWetBulbFromHumRatio(dry_bulb, ratio, pressure)
    assert own <= dry_bulb
    assert abs(own - expected) <= 0.05 or two_wicks(dry_bulb, ratio, pressure, own), (dry_bulb, share, pressure)


@pytest.mark.parametrize("pressure", PRESSURES)
def test_wet_bulb_on_a_grid(pressure: float) -> None:
    for dry_bulb in np.arange(-20.0, 45.1, 2.5):
        for share in (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0):
            check_wet_bulb(float(dry_bulb), share, pressure)


@settings(deadline=None)  # the first call compiles
@given(CELSIUS, HUMIDITY, PRESSURE)
def test_wet_bulb_anywhere(dry_bulb: float, share: float, pressure: float) -> None:
    check_wet_bulb(dry_bulb, share, pressure)


@settings(deadline=None)  # the first call compiles
@given(st.floats(-40.0, 55.0), st.floats(0.0, 0.2), st.floats(60_000.0, 110_000.0))
def test_wet_bulb_never_above_dry_bulb(dry_bulb: float, ratio: float, pressure: float) -> None:
    """Whatever the air holds: none, or more than it can."""
    wet_bulb = wet_bulb_celsius(dry_bulb, ratio, pressure)
    assert math.isfinite(wet_bulb)
    assert wet_bulb <= dry_bulb
    if ratio >= saturation_humidity_ratio(dry_bulb, pressure):
        assert wet_bulb == pytest.approx(dry_bulb, abs=1e-3)


@pytest.mark.parametrize("celsius", np.arange(-40.0, 60.1, 0.5).tolist())
def test_saturation_pressure(celsius: float) -> None:
    assert saturation_pressure_pascals(celsius) == pytest.approx(psychrolib.GetSatVapPres(celsius), rel=1e-3)


@settings(deadline=None)  # the first call compiles
@given(CELSIUS, HUMIDITY, PRESSURE)
def test_the_rest_agrees(celsius: float, share: float, pressure: float) -> None:
    ratio = humidity_ratio(share * saturation_pressure_pascals(celsius), pressure)
    assert ratio == pytest.approx(psychrolib.GetHumRatioFromRelHum(celsius, share, pressure), rel=2e-3)
    assert relative_humidity(celsius, ratio, pressure) == pytest.approx(share, rel=1e-9)
    assert saturation_humidity_ratio(celsius, pressure) == pytest.approx(
        psychrolib.GetSatHumRatio(celsius, pressure), rel=2e-3
    )
    assert enthalpy_joules_per_kilogram(celsius, ratio) == pytest.approx(
        psychrolib.GetMoistAirEnthalpy(celsius, ratio), abs=5.0
    )
    assert saturation_enthalpy_joules_per_kilogram(celsius, pressure) == pytest.approx(
        psychrolib.GetSatAirEnthalpy(celsius, pressure), rel=2e-3, abs=20.0
    )
    expected = psychrolib.GetTDewPointFromHumRatio(celsius, ratio, pressure)
    assert dew_point_celsius(ratio, pressure) == pytest.approx(expected, abs=0.05)


@settings(deadline=None)  # the first call compiles
@given(st.floats(-40.0, 50.0), PRESSURE)
def test_dew_point_of_saturated_air_is_its_temperature(celsius: float, pressure: float) -> None:
    assert dew_point_celsius(saturation_humidity_ratio(celsius, pressure), pressure) == pytest.approx(celsius, abs=0.01)


@pytest.mark.parametrize("function", [saturation_humidity_ratio, saturation_enthalpy_joules_per_kilogram])
def test_warmer_air_holds_more(function: Callable[[float, float], float]) -> None:
    values = [function(celsius, 101_325.0) for celsius in np.arange(-40.0, 60.0, 0.05)]
    assert (np.diff(values) > 0).all()


def test_kernels_may_call_them() -> None:
    @kernel
    def wet_bulbs(dry_bulb: Array, ratio: float, pressure: float, out: Array) -> None:
        for i in range(len(dry_bulb)):
            out[i] = wet_bulb_celsius(dry_bulb[i], ratio, pressure)

    out = np.empty(3)
    wet_bulbs(np.array([10.0, 20.0, 30.0]), 0.005, 101_325.0, out)
    assert out.tolist() == [wet_bulb_celsius(celsius, 0.005, 101_325.0) for celsius in (10.0, 20.0, 30.0)]
