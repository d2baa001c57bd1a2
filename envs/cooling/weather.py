"""Outdoor air hour by hour: drawn from a site's monthly normals, or read from an EnergyPlus weather file."""

from __future__ import annotations

import json
import math
from functools import cache, lru_cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from keel.envs.compiled import kernel
from keel.envs.cooling.files import Field, read_cells, read_fields, read_text, wrapped
from keel.envs.cooling.psychrometrics import (
    humidity_ratio,
    relative_humidity,
    saturation_humidity_ratio,
    saturation_pressure_pascals,
    wet_bulb_celsius,
)
from keel.envs.errors import closest
from keel.envs.protocol import Array

HOURS_PER_YEAR = 8760
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
DEW_POINT_CORRELATION = 0.8  # of the anomalies of dew point and dry bulb (judgement)
SUMMER_CALM = (
    0.4  # anomalies are (1 - 0.4) / (1 + 0.4) as large in the warmest month as in the coldest, as in TMY3 years
)
MAX_EPW_BYTES = 20_000_000
EPW_HEADER_LINES = 8

# The columns of an .epw row that count, with the codes of missing values (EnergyPlus, Auxiliary Programs, chapter 2).
EPW_FIELDS = (
    Field(6, "dry bulb (celsius)", -70.0, 70.0, missing=99.9),
    Field(7, "dew point (celsius)", -70.0, 70.0, missing=99.9),
    Field(9, "pressure (pascals)", 31000.0, 120000.0, missing=999999.0),
)


class WeatherTrace(NamedTuple):
    """Outdoor air, one value an hour, local standard time."""

    dry_bulb_celsius: Array  # [hours] float64
    wet_bulb_celsius: Array  # [hours] float64, never above the dry bulb
    relative_humidity: Array  # [hours] float64, 0 to 1; below 0 degC over ice
    pressure_pascals: float  # the mean of the site


class Weather(Protocol):
    """A place's weather."""

    name: str

    def hours(self, generator: np.random.Generator, first_hour: int, count: int) -> WeatherTrace:
        """The air at `count` hours: `first_hour` hours after the start of the year, and each hour after that."""
        ...


class ClimateSummary(NamedTuple):
    """A year in three numbers."""

    mean_dry_bulb_celsius: float
    mean_wet_bulb_celsius: float
    hours_wet_bulb_below_12_celsius: int  # when a cooling tower alone can do


@cache
def climates() -> dict[str, dict[str, Any]]:
    """The monthly normals of every synthetic site by its key, from assets/climates.json."""
    return json.loads((resources.files("keel.envs.cooling") / "assets" / "climates.json").read_text("utf-8"))["sites"]


SITES: tuple[str, ...] = tuple(climates())


@cache
def _month_weights() -> tuple[Array, Array]:
    """Which part of each month's knot each hour has [8760 12], and which knots give a month's means [12 12].

    Between knots in the middle of the months values run straight. The means of such a line over a month are not its
    knots, so the second matrix turns means into knots.
    """
    days = np.array(MONTH_DAYS)
    starts = np.concatenate([[0], np.cumsum(days)]) * 24
    middles = (starts[:-1] + starts[1:]) / 2
    hours = np.arange(HOURS_PER_YEAR) + 0.5
    weights = np.stack([np.interp(hours, middles, knot, period=HOURS_PER_YEAR) for knot in np.eye(12)], axis=1)
    averages = np.stack([weights[start:stop].mean(axis=0) for start, stop in pairwise(starts)])
    return weights, np.linalg.inv(averages)


def seasonal(monthly_means: list[float]) -> Array:
    """A year without days or chance, [8760], that has these means in its twelve months."""
    weights, knots_from_means = _month_weights()
    return weights @ (knots_from_means @ np.array(monthly_means))


def daily_wave(minimum_hour: int, peak_hour: int) -> Array:
    """A day [24] of mean 0 from -0.5 at its coldest hour to 0.5 at its warmest: two half cosines, up and down."""
    since = (np.arange(24) - minimum_hour) % 24
    rise = (peak_hour - minimum_hour) % 24
    phase = np.where(since < rise, since / rise, 1 + (since - rise) / (24 - rise))
    return -0.5 * np.cos(np.pi * phase)


@kernel
def _moist(dry_bulb: float, dew_point: float, pressure: float) -> tuple[float, float]:
    """Wet bulb in degrees Celsius and relative humidity of air, whose dew point counts as no higher than its dry bulb."""
    ratio = saturation_humidity_ratio(min(dew_point, dry_bulb), pressure)
    return wet_bulb_celsius(dry_bulb, ratio, pressure), min(relative_humidity(dry_bulb, ratio, pressure), 1.0)


@kernel
def humid(dry_bulb: Array, dew_point: Array, pressure: Array) -> Array:
    """Wet bulb in degrees Celsius and relative humidity 0 to 1, [2 hours], of air by its dew point and pressure."""
    out = np.empty((2, len(dry_bulb)))
    for i in range(len(dry_bulb)):
        out[0, i], out[1, i] = _moist(dry_bulb[i], dew_point[i], pressure[i])
    return out


@kernel
def weather_of_chance(
    expected: Array, chance: Array, lag_one: float, pressure: float, first_hour: int, count: int
) -> Array:
    """Dry bulb, wet bulb and relative humidity [3 count]: what is expected, with anomalies by chance.

    Each day's noon has an anomaly from an AR(1) process, and half a cosine joins one noon to the next.

    Args:
        expected: [3 8760] dry bulb, dew point, and standard deviation of their anomalies at noon in kelvin.
        chance: [2 days] standard normal: of the dry bulb, and what the dew point has of its own.
        lag_one: correlation of an anomaly from one day to the next.
    """
    days = chance.shape[1]
    anomaly = np.empty((2, days))
    fresh = math.sqrt(1.0 - lag_one * lag_one)
    own = math.sqrt(1.0 - DEW_POINT_CORRELATION * DEW_POINT_CORRELATION)
    for day in range(days):
        for i in range(2):
            anomaly[i, day] = lag_one * anomaly[i, day - 1] + fresh * chance[i, day] if day else chance[i, day]
    out = np.empty((3, count))
    offset = first_hour % 24 + 12  # the first noon is that of the day before
    for i in range(count):
        hour = (first_hour + i) % expected.shape[1]
        day = (offset + i) // 24
        blend = 0.5 - 0.5 * math.cos(math.pi * ((offset + i) % 24) / 24.0)
        dry_anomaly = expected[2, hour] * ((1.0 - blend) * anomaly[0, day] + blend * anomaly[0, day + 1])
        own_anomaly = expected[2, hour] * ((1.0 - blend) * anomaly[1, day] + blend * anomaly[1, day + 1])
        out[0, i] = expected[0, hour] + dry_anomaly
        dew_point = expected[1, hour] + DEW_POINT_CORRELATION * dry_anomaly + own * own_anomaly
        out[1, i], out[2, i] = _moist(out[0, i], dew_point, pressure)
    return out


class SyntheticClimate:
    """Years that a site could have had: monthly normals, a daily wave, and warm and cold spells drawn by chance.

    Raises: ValueError for a site that is not in `SITES`.
    """

    def __init__(self, site: str) -> None:
        if site not in SITES:
            raise ValueError(f"site is {site!r}; one of {', '.join(SITES)} would be right{closest(site, SITES)}")
        normals = climates()[site]
        self.name = site
        self.pressure_pascals = float(normals["pressure_pascals"])
        self._lag_one = float(normals["anomaly_lag_one"])
        season = seasonal(normals["dry_bulb_celsius"])
        wave = np.tile(daily_wave(normals["minimum_hour"], normals["peak_hour"]), HOURS_PER_YEAR // 24)
        dry_bulb = season + seasonal(normals["daily_range_kelvin"]) * wave
        spread = float(normals["anomaly_kelvin"]) / daily_mean_share(self._lag_one) * unrest(season)
        self._expected = np.stack([dry_bulb, seasonal(normals["dew_point_celsius"]), spread])

    def hours(self, generator: np.random.Generator, first_hour: int, count: int) -> WeatherTrace:
        chance = generator.standard_normal((2, (first_hour % 24 + 12 + count) // 24 + 2))
        dry_bulb, wet_bulb, humidity = weather_of_chance(
            self._expected, chance, self._lag_one, self.pressure_pascals, first_hour, count
        )
        return WeatherTrace(dry_bulb, wet_bulb, humidity, self.pressure_pascals)


def unrest(season: Array) -> Array:
    """How large anomalies are beside their mean of the year (root of the mean square), by the temperature expected."""
    middle, half = (season.max() + season.min()) / 2, (season.max() - season.min()) / 2
    size = 1.0 - SUMMER_CALM * (season - middle) / half
    return size / np.sqrt(np.mean(size**2))


def daily_mean_share(lag_one: float) -> float:
    """The standard deviation of daily means, where that at noon is 1 and half a cosine joins noon to noon."""
    side = 0.25 - 0.5 / math.pi  # the part of the day before, and of the day after, in a day's mean
    middle = 1.0 - 2.0 * side
    return math.sqrt(middle**2 + 2 * side**2 + 4 * middle * side * lag_one + 2 * side**2 * lag_one**2)


class AnySite:
    """Another of the synthetic sites for each call: for training a controller that shall know them all."""

    name = "any"

    def __init__(self) -> None:
        self._climates = [SyntheticClimate(site) for site in SITES]

    def hours(self, generator: np.random.Generator, first_hour: int, count: int) -> WeatherTrace:
        return self._climates[generator.integers(len(self._climates))].hours(generator, first_hour, count)


class EpwFile:
    """The year of an EnergyPlus weather file (.epw), whose end is followed by its beginning. No chance.

    A row of hour k (1 to 24) holds what was measured at k o'clock, so the year starts with the last row of its file.
    The wet bulb is computed from dry bulb, dew point and pressure of each hour.

    Raises: ValueError for a damaged file, naming line, field and value; 8760 or 8784 rows, at most 20 MB.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        self.name = path.stem
        text = read_text(path, "latin-1", MAX_EPW_BYTES)
        if not text.upper().startswith("LOCATION,"):
            raise ValueError(
                f"{path} line 1 starts with {text[:20]!r}; the LOCATION line of an .epw file would be right"
            )
        rows = list(read_cells(path, text, skip=EPW_HEADER_LINES))
        if len(rows) not in (HOURS_PER_YEAR, HOURS_PER_YEAR + 24):
            raise ValueError(
                f"{path} has {len(rows)} rows below its {EPW_HEADER_LINES} header lines; 8760, or 8784 in a leap year, "
                "would be right"
            )
        dry_bulb, dew_point, pressure = read_fields(path, rows, EPW_FIELDS[-1].position + 1, EPW_FIELDS)
        self.pressure_pascals = float(pressure.mean())
        self._hours = np.roll(np.stack([dry_bulb, *humid(dry_bulb, dew_point, pressure)]), 1, axis=1)

    def hours(self, generator: np.random.Generator, first_hour: int, count: int) -> WeatherTrace:
        dry_bulb, wet_bulb, humidity = wrapped(self._hours, first_hour, count)
        return WeatherTrace(dry_bulb, wet_bulb, humidity, self.pressure_pascals)


def _version(path: Path) -> tuple[Path, int, int]:
    """Where a file lies and what changes when it changes; zeros where there is none, which reading it will tell."""
    if not path.is_file():
        return path, 0, 0
    status = path.stat()
    return path.resolve(), status.st_mtime_ns, status.st_size


@lru_cache(maxsize=8)
def _read_epw(path: str, resolved: Path, modified: int, size: int) -> EpwFile:
    """A file read once for all worlds of a year (nothing changes an EpwFile), by the path that the user knows it by.

    The resolved path is part of the key, because a relative one means another file in another folder.
    """
    return EpwFile(path)


def load_weather(spec: str) -> Weather:
    """A site's key (one of `SITES`), "any", or the path of an .epw file.

    Raises: ValueError for anything else and for a damaged file.
    """
    if spec == AnySite.name:
        return AnySite()
    if spec.lower().endswith(".epw"):
        return _read_epw(spec, *_version(Path(spec)))
    if spec in SITES:
        return SyntheticClimate(spec)
    known = (AnySite.name, *SITES)
    names = ", ".join(known)
    raise ValueError(f"weather is {spec!r}; {names} or the path of an .epw file would be right{closest(spec, known)}")


def summary(weather: Weather, generator: np.random.Generator) -> ClimateSummary:
    """What one year of a weather is like."""
    trace = weather.hours(generator, 0, HOURS_PER_YEAR)
    cool = int((trace.wet_bulb_celsius < 12.0).sum())
    return ClimateSummary(float(trace.dry_bulb_celsius.mean()), float(trace.wet_bulb_celsius.mean()), cool)


@kernel
def _warmed(dry_bulb: Array, humidity: Array, kelvin: Array, pressure: float) -> Array:
    """Wet bulb and relative humidity [2 hours] of air that is so much warmer and holds the same water."""
    out = np.empty((2, len(dry_bulb)))
    for i in range(len(dry_bulb)):
        ratio = humidity_ratio(humidity[i] * saturation_pressure_pascals(dry_bulb[i]), pressure)
        warm = dry_bulb[i] + kelvin[i]
        out[0, i] = wet_bulb_celsius(warm, ratio, pressure)
        out[1, i] = min(relative_humidity(warm, ratio, pressure), 1.0)
    return out


def warmer(trace: WeatherTrace, kelvin: Array) -> WeatherTrace:
    """The same air, `kelvin` [hours] warmer: its humidity ratio stays."""
    dry_bulb = trace.dry_bulb_celsius + kelvin
    wet_bulb, humidity = _warmed(trace.dry_bulb_celsius, trace.relative_humidity, kelvin, trace.pressure_pascals)
    return WeatherTrace(dry_bulb, wet_bulb, humidity, trace.pressure_pascals)
