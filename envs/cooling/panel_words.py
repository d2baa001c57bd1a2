"""The operator's panel in words: names and numbers that picture and text share, and the text for a terminal."""

from __future__ import annotations

import datetime

import numpy as np

from keel.envs.cooling import faults, layout
from keel.envs.cooling.panel_alarms import SEVERITY_NAMES, alarms
from keel.envs.cooling.panel_history import View, day_ratio, reference_cooling_kilowatts
from keel.envs.cooling.step import ALLOWABLE_CELSIUS, RECOMMENDED_CELSIUS
from keel.envs.protocol import Array

MODE_NAMES = ("AGENT", "SHIELD", "FALLBACK")
TEXT_ALARMS = 4
TEXT_COLUMNS = 100
SPARKS = "▁▂▃▄▅▆▇█"


def moment(row: Array) -> datetime.datetime:
    """Date and time of a row, in a year without a leap day."""
    hour = float(row[layout.FIRST_HOUR]) % 8760
    return datetime.datetime(2001, 1, 1) + datetime.timedelta(hours=hour, seconds=300.0 * float(row[layout.STEP]))


def date(row: Array) -> str:
    now = moment(row)
    return f"{now:%B} {now.day}, {now:%H:%M}"


def day_of(view: View) -> str:
    """Which day of the episode it is."""
    day = min(int(view.row[layout.STEP]) // layout.STEPS_PER_DAY + 1, view.days)
    return f"day {day} of {view.days}"


def place_name(place: str) -> str:
    """A site's name as people write it; the name of a file stays as it is."""
    return place.replace("-", " ").title() if place == place.lower() else place


def mode_name(view: View) -> str:
    """Who decided the last step."""
    mode = int(view.row[layout.MODE])
    return view.controller.upper() if mode == 0 and view.controller else MODE_NAMES[mode]


def fault_name(row: Array) -> str:
    return faults.NAMES[int(row[layout.FAULT_NOW])]


def hall_rows(view: View) -> Array:
    """[halls, HALL], now."""
    return view.row[layout.PLANT :].reshape(view.halls, layout.HALL)


def span(values: Array, unit: str, decimals: int = 0) -> str:
    """One number, or the least and the most where they differ as they are written."""
    low, high = f"{np.min(values):.{decimals}f}", f"{np.max(values):.{decimals}f}"
    return f"{low} {unit}" if low == high else f"{low}–{high} {unit}"


def amount(value: float, unit: str, large_unit: str | None = None, signed: bool = False) -> str:
    """A number with as many digits as are worth reading; in thousands from 10 000 on where there is a name for them."""
    if large_unit is not None and abs(value) >= 1e4:
        value, unit = value / 1000.0, large_unit
    decimals = 2 if abs(value) < 10.0 else 1 if abs(value) < 100.0 else 0
    return f"{value:{'+' if signed else ''},.{decimals}f} {unit}"


def amounts(view: View) -> tuple[str, str, str]:
    """Energy, money and carbon dioxide: saved against the reference where it is known, else used."""
    totals = view.totals
    if not view.has_reference:
        used = (totals.used_kwh, totals.used_usd, totals.used_co2_kg)
        return amount(used[0], "kWh", "MWh"), amount(used[1], "USD"), amount(used[2], "kg", "t")
    saved = (totals.saved_kwh, totals.saved_usd, totals.saved_co2_kg)
    return amount(saved[0], "kWh", "MWh", True), amount(saved[1], "USD", None, True), amount(saved[2], "kg", "t", True)


def describe(view: View) -> str:
    """The whole panel as text: at most 30 lines of about 100 columns."""
    lines = [*header_lines(view), "", *hall_lines(view), "", *plant_lines(view.row), "", *power_lines(view), ""]
    found = alarms(view)
    lines += [f"{SEVERITY_NAMES[alarm.severity]:>8}: {alarm.words}" for alarm in found[:TEXT_ALARMS]]
    if len(found) > TEXT_ALARMS:
        lines.append(f"          and {len(found) - TEXT_ALARMS} more")
    return "\n".join(lines if found else [*lines, "no alarms"]) + "\n"


def header_lines(view: View) -> list[str]:
    row = view.row
    fault = fault_name(row)
    outside = f"{row[layout.DRY_BULB]:.1f} °C dry bulb, {row[layout.WET_BULB]:.1f} °C wet bulb"
    outside += f", {100 * row[layout.HUMIDITY]:.0f} % humidity"
    grid = f"{row[layout.PRICE]:.3g} USD/kWh, {row[layout.CARBON]:.0f} g/kWh"
    return [
        f"Keel data centre · {place_name(view.place)} · {date(row)} · {day_of(view)} · {mode_name(view)}"
        + ("" if fault == "none" else f" · fault: {fault}"),
        f"outside {outside} · {grid}",
    ]


def hall_lines(view: View) -> list[str]:
    """A table with a line for each hall; ! is above the recommended limit, !! above the allowable one."""
    lines = ["          load   servers    supply (set)     fans  valve    inlets A, B, C, D in °C"]
    for index, hall in enumerate(hall_rows(view)):
        inlets = hall[layout.INLET : layout.INLET + layout.GROUPS]
        marks = ["!!" if t > ALLOWABLE_CELSIUS else "!" if t > RECOMMENDED_CELSIUS else "" for t in inlets]
        shown = "".join(f"{inlet:6.1f}{mark:<2}" for inlet, mark in zip(inlets, marks, strict=True))
        lines.append(
            f"  hall {index + 1}  {100 * hall[layout.LOAD]:3.0f} %  {hall[layout.HALL_IT]:5.0f} kW  "
            f"{hall[layout.SUPPLY_REPORTED]:5.1f} ({hall[layout.SUPPLY_SET]:.1f}) °C  {100 * hall[layout.CRAH_SET]:3.0f} %  "
            f"{100 * hall[layout.VALVE]:3.0f} %  {shown}".rstrip()
        )
    return lines


def plant_lines(row: Array) -> list[str]:
    economiser = f"on, {100 * row[layout.ECONOMISER_SHARE]:.0f} % of the heat" if row[layout.ECONOMISER_ON] else "off"
    chiller = f"on, part load {100 * row[layout.PART_LOAD]:.0f} %" if row[layout.CHILLER_ON] else "off"
    chilled = f"{row[layout.CHILLED_SUPPLY]:.1f} (set {row[layout.CHILLED_SET]:.1f}) out, "
    chilled += f"{row[layout.CHILLED_RETURN]:.1f} °C back, {row[layout.CHILLED_FLOW]:.1f} kg/s"
    condenser = f"{row[layout.CONDENSER_SUPPLY]:.1f} out, {row[layout.CONDENSER_RETURN]:.1f} °C back"
    tower = f"fan {100 * row[layout.TOWER_SET]:.0f} %, {12 * row[layout.WATER]:,.0f} L/h of water"
    return [
        f"  chilled water {chilled}",
        f"  condenser water {condenser}; tower {tower}",
        f"  economiser {economiser}; chiller {chiller}",
    ]


def power_lines(view: View) -> list[str]:
    row, past = view.row, view.past
    pumps = row[layout.CHILLED_PUMP] + row[layout.CONDENSER_PUMP]
    parts = f"air handlers {row[layout.CRAH]:,.1f}, chiller {row[layout.CHILLER]:,.1f}, tower {row[layout.TOWER]:,.1f}"
    ratios = f"PUE {row[layout.PUE]:.3f} (24 h {day_ratio(past, layout.TOTAL):.3f})"
    ratios += f", WUE {row[layout.WUE]:.2f} L/kWh (24 h {day_ratio(past, layout.WATER, 12.0):.2f})"
    reference = f", reference {reference_cooling_kilowatts(past)[-1]:,.1f} kW" if view.has_reference else ""
    return [
        f"  facility {row[layout.TOTAL]:,.1f} kW, servers {row[layout.IT] + row[layout.SERVER_FAN]:,.1f} kW; {ratios}",
        f"  cooling {row[layout.COOLING]:,.1f} kW: {parts}, pumps {pumps:,.1f}{reference}",
        f"  cooling in 24 h  {sparks(past[:, layout.COOLING])}",
        f"  {'saved' if view.has_reference else 'used'} {', '.join(amounts(view))} CO2",
    ]


def sparks(values: Array, count: int = 72) -> str:
    """A line of bars, 0 to the most, each the mean of a few values."""
    parts = [part.mean() for part in np.array_split(values, min(count, len(values)))]
    scale = (len(SPARKS) - 1) / max(max(parts), 1e-9)
    return "".join(SPARKS[int(scale * max(part, 0.0) + 0.5)] for part in parts)
