"""The page of the data centre's validation: tables and plots of `cooling_validation.run`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from keel.envs.cooling import physics
from keel.runners.benchmark import markdown_table
from keel.runners.benchmarks.cooling_checks import (
    BESIDE,
    FAILS,
    R410_PERCENT,
    TESTS,
    Check,
    near_bound,
    overall,
    verdicts,
)
from keel.runners.figures import GRID, INK, MUTED, PALETTE, Line, learning_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOLDER = "cooling-validation"  # of the plots, beside the page
SMALL = 8.5
DASHED = len(PALETTE)  # places from here on are dashed, from twice this dotted


def page(result: dict[str, Any]) -> str:
    """What was tested, what was to be, what came out and whether it holds, in Markdown."""
    found = verdicts(result)
    rows = []
    for number, (test, checked) in enumerate(zip(TESTS, found, strict=True), start=1):
        judged = [word for _, _, word in checked if word != BESIDE]
        rows.append([f"{number}. {test.title}", f"{judged.count('holds')} of {len(judged)}", overall(checked)])
    parts = [markdown_table(["test", "figures that hold", "verdict"], rows)]
    extra = {7: lambda: climate_table(result["climates"]), 8: lambda: corner_table(result["actions"]["corners"])}
    for number, (test, checked) in enumerate(zip(TESTS, found, strict=True), start=1):
        parts += [f"## {number}. {test.title}", test.text, check_table(checked)]
        reasons = [f"- {check.what}: {check.why}." for check, _, word in checked if word == FAILS and check.why]
        parts += ["Why it does not hold:\n\n" + "\n".join(reasons)] if reasons else []
        parts += [extra[number]()] if number in extra else []
        parts += [f"![{test.title}]({FOLDER}/{test.plot}.png)", f"*{test.caption}*"] if test.plot else []
    return "\n\n".join(parts)


def check_table(checked: list[tuple[Check, float | None, str]]) -> str:
    rows = [
        [check.what, wanted(check), number(value, check.path), word, check.source] for check, value, word in checked
    ]
    return markdown_table(["figure", "wanted", "here", "verdict", "tolerance or published figure from"], rows)


def wanted(check: Check) -> str:
    """The tolerance in words."""
    if check.low is None:
        return "" if check.high is None else "below 0" if check.high == -1e-9 else f"at most {check.high:g}"
    if check.high is None:
        return "above 0" if check.low == 1e-9 else f"at least {check.low:g}"
    return f"{check.low:g} to {check.high:g}".replace("-", "−")


def number(value: float | None, path: str = "") -> str:
    if value is None or not math.isfinite(value):
        return "none" if value is None else str(value)
    if path.endswith(".date"):
        digits = str(value)
        return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}".replace("-", "−")
    text = f"{value:.1e}" if abs(value) < 1e-3 else f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"
    return text.replace("-", "−")


def climate_table(sites: dict[str, Any]) -> str:
    """One line a site, the coldest first."""
    header = ["site", "mean wet bulb °C", "h < 12 °C", "free cooling h", "PUE B2", "PUE B0", "WUE B2", "WUE B0"]
    header += ["min > 27 °C B2", "min > 27 °C B0"]
    rows = []
    for name, site in sorted(sites.items(), key=lambda item: item[1]["wet_bulb"]):
        b2, b0 = site["b2"], site["b0"]
        row = [name, f"{site['wet_bulb']:.1f}", f"{site['hours_below_12']:,.0f}", f"{b2['economiser_hours']:,.0f}"]
        row += [f"{b2['pue']:.3f}", f"{b0['pue']:.3f}", f"{b2['wue']:.2f}", f"{b0['wue']:.2f}"]
        rows.append([*row, f"{b2['violation_minutes']:,.0f}", f"{b0['violation_minutes']:,.0f}"])
    return markdown_table(header, rows)


def corner_table(sites: dict[str, Any]) -> str:
    """One line a corner: energy above the bound's table and minutes above the limit, in each climate."""
    header = ["supply air °C, air handlers, chilled water °C, tower", *sites]
    rows = []
    for index, corner in enumerate(next(iter(sites.values()))["corners"]):
        cells = [
            f"{site['corners'][index]['percent']:+.1f} %, {site['corners'][index]['minutes']:,.0f} min"
            for site in sites.values()
        ]
        near = [near_bound(site)[index] for site in sites.values()]
        cells = [f"**{cell}**" if close else cell for cell, close in zip(cells, near, strict=True)]
        rows.append([", ".join(f"{value:g}" for value in corner["set_points"]), *cells])
    best = [f"{site['violation_minutes']:,.0f} min, {site['air_margin']:.0%} more air" for site in sites.values()]
    return markdown_table(header, [["the bound's table", *best], *rows])


def plots(result: dict[str, Any]) -> dict[str, Figure]:
    """By the stems of their files."""
    return {
        "chiller-cop": chiller_plot(result["chiller"]),
        "tower-approach": tower_plot(result["tower"]),
        "server-power": server_plot(result["server"]),
        "loss-of-cooling": loss_plot(result["loss"]),
        "pue-by-climate": climate_plot(result["climates"]),
    }


def _curve(x: list[float], y: list[float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(x), np.array(y)


def _plot(lines: list[Line], title: str, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = learning_curve(lines, title=title, y_label=y_label)
    axes = figure.axes[0]
    axes.set_xlabel(x_label)
    return figure, axes


def _note(axes: Axes, x: float, y: float, text: str, **options: Any) -> None:
    axes.annotate(text, (x, y), color=INK, fontsize=SMALL, **options)


def chiller_plot(chiller: dict[str, Any]) -> Figure:
    low, high = physics.CHILLER_ENTERING_RANGE_CELSIUS
    lines = []
    for index, curve in enumerate(chiller["curves"]):
        outside = curve["leaving"] > physics.CHILLER_LEAVING_RANGE_CELSIUS[1]
        place = index + DASHED * outside
        lines.append(
            Line(f"leaving at {curve['leaving']:g} °C", _curve(chiller["entering"], curve["cop"]), place=place)
        )
    title = "Chiller: COP at full load by condenser water"
    figure, axes = _plot(lines, title, "entering condenser water, °C", "COP")
    axes.set_xlim(chiller["entering"][0], chiller["entering"][-1])
    for span in ((chiller["entering"][0], low), (high, chiller["entering"][-1])):
        axes.axvspan(*span, color=GRID, alpha=0.6, zorder=0)
    axes.plot([26.67, 14.0], [6.39, 7.26], "o", color=INK, markersize=4.5, zorder=3)
    axes.set_ylim(0, 20)
    _note(axes, 26.67, 6.39, "6.39", xytext=(-20, -14), textcoords="offset points")
    _note(axes, 14.0, 7.26, "7.26", xytext=(4, -12), textcoords="offset points")
    _note(axes, (low + high) / 2, 19.0, "published fit", ha="center", va="top")
    _note(axes, (high + chiller["entering"][-1]) / 2, 19.0, "extrapolated", ha="center", va="top")
    return figure


def tower_plot(tower: dict[str, Any]) -> Figure:
    lines = []
    for place, curve in enumerate(tower["curves"]):
        kelvin = f"{curve['range']:g} K range"
        lines.append(Line(f"{kelvin}, here", _curve(tower["wet_bulbs"], curve["here"]), place=place))
        lines.append(Line(f"{kelvin}, YorkCalc", _curve(tower["wet_bulbs"], curve["york"]), place=place + DASHED))
    figure, axes = _plot(lines, "Cooling tower: approach by wet bulb", "wet bulb outside, °C", "approach, K")
    axes.plot([25.6], [3.8], "o", color=INK, markersize=4.5, zorder=3)
    arrow = {"arrowstyle": "-", "color": MUTED, "shrinkB": 4.0}
    _note(axes, 25.6, 3.8, "CTI rating point, 3.8 K", xytext=(25.6, 9.0), ha="right", arrowprops=arrow)
    axes.set_ylim(bottom=0)
    return figure


def server_plot(server: dict[str, Any]) -> Figure:
    lines = [
        Line(f"{curve['load']:.0%} load, here", _curve(server["inlets"], curve["percent"]), place=place)
        for place, curve in enumerate(server["curves"])
    ]
    measured = _curve([27.0, *R410_PERCENT], [0.0, *R410_PERCENT.values()])
    lines.append(Line("Dell R410 (GRC)", measured, points=True, place=6))
    figure, axes = _plot(lines, "Servers and their fans: power by inlet air", "inlet air, °C", "power beside 27 °C, %")
    inlets = np.array([23.0, 27.0, 30.0])
    axes.fill_between(inlets, 0.35 * (inlets - 27.0), 0.5 * (inlets - 27.0), color=PALETTE[4], alpha=0.4, linewidth=0)
    _note(axes, 26.4, 0.2, "0.35–0.5 %/K (Coroama)", ha="right", va="bottom")
    return figure


def loss_plot(loss: dict[str, Any]) -> Figure:
    lines = [
        Line("dry: no water in the coils", _curve(loss["minutes"], loss["dry"]), place=1),
        Line("inventory: the water in the pipes", _curve(loss["minutes"], loss["inventory"]), place=0),
    ]
    figure, axes = _plot(
        lines, "Loss of cooling at half load: hottest inlet", "minutes since the loss", "hottest inlet, °C"
    )
    axes.set_xlim(0, 25)
    axes.set_ylim(20, 80)
    for limit in (27.0, 32.0):
        axes.axhline(limit, color=MUTED, linewidth=1.0, linestyle=":")
        _note(axes, 24.9, limit, f"{limit:g} °C", ha="right", va="bottom")
    axes.plot([2.0, 20.0], [38.0, 74.0], color=MUTED, linewidth=1.0)
    _note(axes, 15.0, 64.0, "2 K/min", xytext=(4, -4), textcoords="offset points", va="top")
    return figure


def climate_plot(sites: dict[str, Any]) -> Figure:
    ordered = sorted(sites.items(), key=lambda item: item[1]["wet_bulb"])
    wet_bulbs = [site["wet_bulb"] for _, site in ordered]
    lines = [
        Line(label, _curve(wet_bulbs, [site[name]["pue"] for _, site in ordered]), points=True, place=place)
        for place, (name, label) in enumerate((("b2", "B2, Guideline 36"), ("b0", "B0, fixed set points")))
    ]
    figure, axes = _plot(lines, "PUE of a year by climate", "mean wet bulb of the year, °C", "PUE")
    for drawn in (*axes.get_lines(), *figure.legends[0].get_lines()):
        drawn.set_linestyle("none")
        drawn.set_marker("o")
    for pue, who in ((1.56, "industry 1.56"), (1.42, "Equinix 1.42"), (1.1, "Google 1.1")):
        axes.axhline(pue, color=MUTED, linewidth=1.0, linestyle=":")
        _note(axes, 0.75, pue, who, xycoords=("axes fraction", "data"), ha="center", va="bottom")
    _name_sites(axes, [(name, site["wet_bulb"], site["b2"]["pue"]) for name, site in ordered])
    figure.set_size_inches(8.0, 5.5)
    axes.set_ylim(0.95, 1.6)
    axes.set_yticks([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6])
    return figure


def _name_sites(axes: Axes, sites: list[tuple[str, float, float]]) -> None:
    """Names upright below the points, each with a line to its own, moved to the right where two would meet."""
    at = -np.inf
    for name, wet_bulb, pue in sites:
        at = max(wet_bulb, at + 0.42)
        axes.plot([wet_bulb, at], [pue, 1.09], color=MUTED, linewidth=0.6, zorder=1)
        _note(axes, at, 1.085, name, ha="center", va="top", rotation=90)
