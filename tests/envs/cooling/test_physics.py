"""Components against published figures, textbooks and laws, each written here again."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.envs.cooling import hall, physics
from keel.envs.cooling.psychrometrics import saturation_enthalpy_joules_per_kilogram

SEA_LEVEL_PASCALS = 101325.0
CONDENSER_CAPACITY = 55.0 * 4186.0
REFERENCE_WATTS, REFERENCE_COP = 1.143e6, 6.57

# Carrier 19XR 1143 kW / 6.57 COP / VSD, from EnergyPlus's Chillers.idf: a + b Te + c Te2 + d Tc + e Tc2 + f Te Tc.
CAPACITY = (7.939538e-1, 4.096493e-2, -1.419397e-3, -1.639813e-3, -5.220497e-4, 1.348786e-3)
WORK = (9.475580e-1, -1.187942e-2, 8.799326e-5, 2.250775e-4, 1.815775e-4, 2.178409e-4)
PART_LOAD = (1.408822e-1, -1.578153e-1, 1.014316)
LEAVING, ENTERING = (7.22, 12.78), (12.78, 26.67)

UTILISATIONS = (0.3, 0.5, 0.7)


def biquadratic(terms: tuple[float, ...], te: float, tc: float) -> float:
    return sum(c * x for c, x in zip(terms, (1.0, te, te**2, tc, tc**2, te * tc), strict=True))


def cop(share: float, te: float, tc: float) -> float:
    """Of the chiller with so much of the heat that it can take there."""
    heat = share * physics.chiller_capacity_watts(te, tc)
    return heat / physics.chiller_power_watts(heat, te, tc)


@pytest.mark.parametrize(
    ("share", "entering", "published"), [(1.0, 26.67, 6.39), (0.6, 26.67, 9.30), (1.0, 14.0, 7.26)]
)
def test_the_chiller_has_the_published_cop(share: float, entering: float, published: float) -> None:
    """Chilled water at 10 degC; COP computed from the published curves, two decimals."""
    assert round(cop(share, 10.0, entering), 2) == published


def test_the_chillers_curves_are_those_of_energyplus() -> None:
    points = np.random.default_rng(0).uniform(*np.array([LEAVING, ENTERING]).T, size=(100, 2)).tolist()
    for te, tc in [(10.0, 26.67), *points]:
        capacity = REFERENCE_WATTS * biquadratic(CAPACITY, te, tc)
        assert physics.chiller_capacity_watts(te, tc) == pytest.approx(capacity, rel=1e-6)
        assert physics.chiller_work_ratio(te, tc) == pytest.approx(biquadratic(WORK, te, tc), rel=1e-6)
        for share in (0.2, 0.6, 1.0):
            curve = sum(c * share**power for power, c in enumerate(PART_LOAD))
            power = capacity * biquadratic(WORK, te, tc) * curve / REFERENCE_COP
            assert physics.chiller_power_watts(share * capacity, te, tc) == pytest.approx(power, rel=1e-6)


def test_a_chiller_below_its_least_part_load_cycles() -> None:
    least = 0.2 * physics.chiller_capacity_watts(10.0, 20.0)
    for share in (0.0, 0.1, 0.5):
        expected = share * physics.chiller_power_watts(least, 10.0, 20.0)
        assert physics.chiller_power_watts(share * least, 10.0, 20.0) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8, 1.0])
def test_cop_falls_with_the_condenser_and_rises_with_the_chilled_water(share: float) -> None:
    """Over the whole operating box, within the fit and outside it."""
    leaving, entering = np.arange(7.0, 20.01, 0.25).tolist(), np.arange(5.0, 35.01, 0.25).tolist()
    table = np.array([[cop(share, te, tc) for tc in entering] for te in leaving])
    assert (np.diff(table, axis=1) < 0).all()
    assert (np.diff(table, axis=0) > 0).all()


def test_cop_within_the_fitted_envelope_is_that_of_a_real_machine() -> None:
    for te in np.linspace(*LEAVING, 12).tolist():
        for tc in np.linspace(*ENTERING, 28).tolist():
            for share in np.linspace(0.2, 1.0, 17).tolist():
                assert 5.0 < cop(share, te, tc) < 12.5


def test_work_does_not_jump_where_the_fit_ends() -> None:
    edges = [(te, tc) for te in (*LEAVING, 10.0) for tc in (*ENTERING, 20.0)]
    for te, tc in edges:
        middle = physics.chiller_work_ratio(te, tc)
        for move in [(1e-6, 0.0), (-1e-6, 0.0), (0.0, 1e-6), (0.0, -1e-6)]:
            assert physics.chiller_work_ratio(te + move[0], tc + move[1]) == pytest.approx(middle, rel=1e-6)


def test_damped_is_smooth_where_its_halves_meet_and_stays_positive() -> None:
    assert physics.damped(1.0) == 1.0
    assert physics.damped(2.5) == 2.5
    step = 1e-6
    for side in (step, -step):
        assert physics.damped(1.0 + side) == pytest.approx(1.0 + side, abs=1e-11)
    values = [physics.damped(x) for x in np.linspace(-5.0, 3.0, 200).tolist()]
    assert min(values) > 0.0
    assert (np.diff(values) > 0).all()


def settled_tower(speed: float, wet_bulb: float, entering: float, scale: float = 1.0) -> float:
    """Temperature of the water that leaves, where the wet bulb of the leaving air belongs to the heat (bisection)."""

    def leaving_air(guess: float) -> tuple[float, float]:
        per_kelvin, air = physics.tower_capacities(
            speed, wet_bulb, guess, SEA_LEVEL_PASCALS, scale * CONDENSER_CAPACITY, scale
        )
        return wet_bulb + per_kelvin * (entering - wet_bulb) / air, per_kelvin

    low, high = wet_bulb, entering
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if leaving_air(middle)[0] > middle else (low, middle)
    return entering - leaving_air(low)[1] * (entering - wet_bulb) / (scale * CONDENSER_CAPACITY)


def approach_at_range(wet_bulb: float, cooled: float) -> float:
    """Approach of the tower at full speed where it cools the water by so much, K."""
    low, high = wet_bulb, wet_bulb + 60.0
    for _ in range(60):
        entering = 0.5 * (low + high)
        enough = entering - settled_tower(1.0, wet_bulb, entering) > cooled
        low, high = (low, entering) if enough else (entering, high)
    return settled_tower(1.0, wet_bulb, low) - wet_bulb


@settings(deadline=None, derandomize=True)  # the first example may compile
@given(st.floats(0.1, 1.0), st.floats(-20.0, 32.0), st.floats(0.0, 40.0), st.floats(0.0, 60.0))
def test_the_tower_never_cools_below_the_wet_bulb(
    speed: float, wet_bulb: float, above: float, air_above: float
) -> None:
    """Whatever the leaving air was taken to be in the step before."""
    per_kelvin, air = physics.tower_capacities(
        speed, wet_bulb, wet_bulb + air_above, SEA_LEVEL_PASCALS, CONDENSER_CAPACITY, 1.0
    )
    assert 0.0 < per_kelvin <= min(CONDENSER_CAPACITY, air) * (1 + 1e-12)
    leaving = wet_bulb + above - per_kelvin * above / CONDENSER_CAPACITY
    assert leaving >= wet_bulb - 1e-9


def test_the_towers_approach_at_its_rating_point() -> None:
    """3.8 K at 25.6 degC wet bulb and 5.56 K range, as YorkCalc's polynomial has it (CTI conditions)."""
    assert approach_at_range(25.6, 5.56) == pytest.approx(3.8, abs=0.3)


def test_the_towers_approach_grows_when_it_gets_colder() -> None:
    approaches = [approach_at_range(wet_bulb, 5.56) for wet_bulb in (25.6, 20.0, 15.0, 10.0, 5.0, 0.0, -10.0)]
    assert (np.diff(approaches) > 0.2).all()


def test_towers_air_takes_up_what_its_water_gives() -> None:
    """Enthalpy of the saturated air that leaves, from the psychrometrics, against the heat of the water."""
    entering, wet_bulb = 35.0, 25.6
    heat = CONDENSER_CAPACITY * (entering - settled_tower(1.0, wet_bulb, entering))
    density_ratio = SEA_LEVEL_PASCALS / (287.05 * 295.0) / 1.2
    low, high = wet_bulb, entering
    for _ in range(60):
        middle = 0.5 * (low + high)
        rise = saturation_enthalpy_joules_per_kilogram(middle, SEA_LEVEL_PASCALS)
        rise -= saturation_enthalpy_joules_per_kilogram(wet_bulb, SEA_LEVEL_PASCALS)
        low, high = (middle, high) if 60.0 * density_ratio * rise < heat else (low, middle)
    per_kelvin, air = physics.tower_capacities(1.0, wet_bulb, low, SEA_LEVEL_PASCALS, CONDENSER_CAPACITY, 1.0)
    assert wet_bulb + per_kelvin * (entering - wet_bulb) / air == pytest.approx(low, abs=1e-6)


@pytest.mark.parametrize("utilisation", UTILISATIONS)
def test_servers_need_more_in_warmer_air(utilisation: float) -> None:
    """0.35 to 0.5 % a kelvin between 23 and 30 degC, measured in two halls (Coroama et al. 2025)."""

    def total(inlet: float) -> float:
        fan = physics.server_fan_fraction(utilisation, inlet)
        return physics.server_power_fraction(utilisation, inlet) + 0.08 * fan**3

    rise = (total(30.0) / total(23.0) - 1.0) / 7.0
    assert 0.0035 <= rise <= 0.005


def test_a_halls_servers_are_its_groups_together() -> None:
    """Four groups at their own loads, in plain Python, with the fan law of the cube."""
    row = np.zeros(40)
    row[8] = 0.5  # the load
    inlets = (21.0, 23.0, 26.0, 29.0)
    row[12:16] = inlets
    it, fans, flow = 0.0, 0.0, 0.0
    for share, inlet in zip((0.85, 0.95, 1.05, 1.15), inlets, strict=True):
        u = 0.5 * share
        speed = 0.30 + 0.35 * u + 0.03 * max(inlet - 22.0, 0.0)
        it += 0.25e6 * (0.4 + 0.6 * u) * (1.0 + 0.001 * (inlet - 22.0))
        fans += 0.25 * 0.08e6 * speed**3
        flow += 0.25 * 90.0 * speed
    assert hall.servers(row, 0) == pytest.approx((it, fans, flow), rel=1e-12)


def test_fans_follow_the_cube() -> None:
    part = [physics.fan_power_fraction(speed) - physics.fan_power_fraction(0.0) for speed in (0.3, 0.6)]
    assert part[1] == pytest.approx(8.0 * part[0], rel=1e-12)
    assert physics.fan_power_fraction(1.0) == pytest.approx(1.0, rel=1e-12)
    for speed in (0.3, 0.5, 0.7, 0.9):
        published = -0.00931516 + 0.05123340 * speed - 0.08383647 * speed**2 + 1.04191823 * speed**3
        assert physics.tower_fan_power_fraction(speed) == pytest.approx(published, rel=1e-12)
    assert physics.tower_fan_power_fraction(0.0) == 0.0


def test_the_pumps_ends() -> None:
    assert physics.pump_power_fraction(0.0) == 0.0
    assert physics.pump_power_fraction(1.0) == 1.0
    assert physics.pump_power_fraction(0.5) == pytest.approx(0.25 * 0.5 + 0.75 * 0.125, rel=1e-12)


def test_the_valve_is_equal_percentage_between_shut_and_open() -> None:
    assert physics.valve_flow_fraction(0.0) == 0.0
    assert physics.valve_flow_fraction(1.0) == pytest.approx(1.0, rel=1e-12)
    # Equal moves multiply what is above the leak of 1/19 by equal factors.
    flows = [physics.valve_flow_fraction(opening) + 1.0 / 19.0 for opening in (0.0, 0.25, 0.5, 0.75, 1.0)]
    factors = np.array(flows[1:]) / np.array(flows[:-1])
    np.testing.assert_allclose(factors, 20.0**0.25, rtol=1e-12)


TEXTBOOK: dict[float, Callable[[float], float]] = {
    0.0: lambda n: 1.0 - math.exp(-n),  # one stream does not change, as a condenser's
    1.0: lambda n: n / (1.0 + n),
}


@pytest.mark.parametrize("ratio", TEXTBOOK)
def test_effectiveness_has_the_textbooks_limits(ratio: float) -> None:
    for units in (0.1, 0.5, 1.0, 2.0, 5.0):
        expected = TEXTBOOK[ratio](units)
        assert physics.counterflow_effectiveness(units, ratio) == pytest.approx(expected, rel=1e-12)
        near = abs(ratio - 1e-7)  # the formula and its limit meet
        assert physics.counterflow_effectiveness(units, near) == pytest.approx(expected, rel=1e-5)


def test_effectiveness_is_that_of_an_exchanger_cut_into_slices() -> None:
    """Counterflow integrated along the exchanger by many small steps, shooting for the second inlet."""
    units, ratio, slices = 1.7, 0.6, 200_000
    # Both profiles fall by d(hot)/dN = -(hot - cold), d(cold)/dN = -C (hot - cold): the difference decays alone.
    difference, hot, cold = 1.0, 0.0, 0.0
    for _ in range(slices):
        moved = units / slices * difference
        hot, cold = hot - moved, cold - ratio * moved
        difference -= (1.0 - ratio) * moved
    # hot falls by `-hot`; cold's inlet is at the far end, so the inlets differ by 1 + what cold gains on its way.
    assert physics.counterflow_effectiveness(units, ratio) == pytest.approx(-hot / (1.0 - cold), rel=1e-5)


@settings(deadline=None, derandomize=True)  # the first example may compile
@given(st.floats(0.01, 10.0), st.floats(0.0, 1.0), st.floats(0.01, 1.0))
def test_effectiveness_rises_with_size_and_falls_with_the_ratio(units: float, ratio: float, more: float) -> None:
    here = physics.counterflow_effectiveness(units, ratio)
    assert 0.0 < here < 1.0
    assert physics.counterflow_effectiveness(units + more, ratio) >= here - 1e-12
    assert physics.counterflow_effectiveness(units, min(ratio + more, 1.0)) <= here + 1e-9


def test_water_of_the_tower_by_hand() -> None:
    """1 MW evaporates 1 MW / 2.45 MJ/kg at most one and a half times; five cycles of concentration; drift 0.002 %."""
    most = 1.5 * 1e6 / 2.45e6
    drift = 2e-5 * 55.0
    full = physics.tower_water_kilograms_per_second(1e6, 1e6, 0.0, 30.0, SEA_LEVEL_PASCALS, 55.0)
    assert full == pytest.approx(most + drift + most / 4.0 - drift, rel=1e-12)
    dry = physics.tower_water_kilograms_per_second(1e6, 60.0, 0.5, 10.0, SEA_LEVEL_PASCALS, 55.0)
    assert dry == pytest.approx(drift, rel=1e-12)
