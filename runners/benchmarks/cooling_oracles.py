"""What others say of the data centre's parts: the chiller's published curves, YorkCalc's tower, psychrolib's wet bulb."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
from typing import Any

import numpy as np

from keel.envs.cooling import physics, psychrometrics
from keel.envs.protocol import Array

# EnergyPlus, Chillers.idf, "ElectricEIRChiller Carrier 19XR 1143kW/6.57COP/VSD", as published.
CAPFT = (7.939538e-01, 4.096493e-02, -1.419397e-03, -1.639813e-03, -5.220497e-04, 1.348786e-03)
EIRFT = (9.475580e-01, -1.187942e-02, 8.799326e-05, 2.250775e-04, 1.815775e-04, 2.178409e-04)
EIRFPLR = (1.408822e-01, -1.578153e-01, 1.014316e00)
# YorkCalc: coefficients of (water to air)^i range^j (wet bulb)^k (EnergyPlus Engineering Reference, variable speed towers).
YORK = (
    *(-0.359741205, -0.055053608, 0.0023850432, 0.173926877, -0.0248473764, 0.00048430224, -0.005589849456),
    *(0.0005770079712, -0.00001342427256, 2.84765801111111, -0.121765149, 0.0014599242, 1.680428651),
    *(-0.0166920786, -0.0007190532, -0.025485194448, 0.0000487491696, 0.00002719234152, -0.0653766255555556),
    *(-0.002278167, 0.0002500254, -0.0910565458, 0.00318176316, 0.000038621772, -0.0034285382352),
    *(0.00000856589904, -0.000001516821552),
)


def published_capacity_watts(leaving: float, entering: float) -> float:
    """Heat that the chiller can take by the published curve; leaving, entering: degC, where it was fitted."""
    return physics.CHILLER_REFERENCE_WATTS * float(_terms(leaving, entering) @ CAPFT)


def published_chiller_watts(heat: float, leaving: float, entering: float) -> float:
    """The chiller's power by the published curves alone, where they were fitted."""
    available = published_capacity_watts(leaving, entering)
    load = heat / available
    ratio = float(_terms(leaving, entering) @ EIRFT) * float(np.array([1.0, load, load**2]) @ EIRFPLR)
    return available * ratio / physics.CHILLER_REFERENCE_COP


def _terms(x: float, y: float) -> Array:
    return np.array([1.0, x, x**2, y, y**2, x * y])


def york(wet_bulb_celsius: float, range_kelvin: float) -> float:
    """Approach of the YorkCalc tower at its own flows, K; fitted from -34.4 to 26.7 degC and 1.1 to 22.2 K."""
    powers = itertools.product(range(3), range(3), range(3))
    return sum(c * range_kelvin**j * wet_bulb_celsius**k for c, (_, j, k) in zip(YORK, powers, strict=True))


def wet_bulb() -> dict[str, Any]:
    """Test 5: beside psychrolib, where it is installed; points where its own balance has two roots are excepted."""
    if importlib.util.find_spec("psychrolib") is None:
        return {"points": 0, "excepted": 0, "worst_kelvin": None}
    oracle: Any = importlib.import_module("psychrolib")
    oracle.SetUnitSystem(oracle.SI)
    worst, points, excepted = 0.0, 0, 0
    grid = (np.arange(-20.0, 45.1, 2.5), np.linspace(0.05, 1.0, 20), np.linspace(75e3, 102e3, 4))
    for dry_bulb, share, pressure in itertools.product(*(axis.tolist() for axis in grid)):
        ratio = oracle.GetHumRatioFromRelHum(dry_bulb, share, pressure)
        own = psychrometrics.wet_bulb_celsius(dry_bulb, ratio, pressure)
        apart = abs(own - oracle.GetTWetBulbFromHumRatio(dry_bulb, ratio, pressure))
        points += 1
        if apart > 0.05 and _two_roots(oracle, dry_bulb, ratio, pressure, own):
            excepted += 1
        else:
            worst = max(worst, apart)
    return {"points": points, "excepted": excepted, "worst_kelvin": float(worst)}


def _two_roots(oracle: Any, dry_bulb: float, ratio: float, pressure: float, own: float) -> bool:
    """Whether psychrolib's balance holds over water above 0 degC and over ice below, and `own` is one of the two."""

    def balance(celsius: float) -> float:
        return oracle.GetHumRatioFromTWetBulb(dry_bulb, celsius, pressure) - ratio

    return dry_bulb > 0.0 and balance(0.0) <= 0.0 <= balance(-1e-9) and abs(balance(own)) < 2e-6
