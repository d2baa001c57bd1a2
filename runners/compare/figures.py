"""A comparison's figures, each written three times: interactive in the page, as PNG, and as CSV.

Nothing is computed where it is drawn: the page's script only chooses between lines that stand in its data already, so
what a band means does not depend on a browser.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keel.envs.protocol import Array
from keel.runners import figures, page
from keel.runners.files import write_text
from keel.runners.seed_statistics import Band, Estimate


@dataclass(frozen=True)
class RunPoints:
    """A run's own points: on each axis that it measured [N], and at each level of smoothing [N]; the first is raw."""

    axes: Mapping[str, Array]
    levels: Sequence[Array]


@dataclass(frozen=True)
class Series:
    """One group in a figure of lines: for each axis its band at each level of smoothing, and its runs by name."""

    label: str
    place: int  # in the palette
    bands: Mapping[str, Sequence[Band]]
    runs: Mapping[str, RunPoints] = field(default_factory=dict)
    note: str = ""  # how many runs


@dataclass(frozen=True)
class LineFigure:
    """Lines with bands, on one or several x axes. The PNG and the CSV show the first axis at the level `drawn`."""

    stem: str  # of the files
    subject: str  # the world
    title: str
    y_label: str
    axes: Mapping[str, str]  # name -> label
    series: Sequence[Series]
    caption: str
    levels: Sequence[str] = ("off",)
    drawn: int = 0
    x_name: str = "global_step"  # in the CSV
    y_range: tuple[float, float] | None = None

    def picture(self) -> Any:
        axis, label = next(iter(self.axes.items()))
        lines = []
        for series in self.series:
            band = series.bands[axis][self.drawn]
            alone = len(series.runs) == 1
            level = 0 if alone else self.drawn
            thin = [(points.axes[axis], points.levels[level]) for points in series.runs.values()]
            edges = None if alone else (band.low, band.high)
            name = f"{series.label} ({series.note})" if series.note else series.label
            lines.append(figures.Line(name, (band.steps, band.center), edges, thin, place=series.place))
        title = f"{self.subject}: {self.title}"
        figure = figures.learning_curve(lines, title=title, y_label=self.y_label, x_label=label)
        if self.y_range is not None:
            figure.axes[0].set_ylim(self.y_range)
        return figure

    def table(self) -> list[list[Any]]:
        """For each group the line with its band, then each run's own points."""
        first, *others = self.axes
        rows: list[list[Any]] = [["group", "series", self.x_name, "value", "low", "high", *others]]
        for series in self.series:
            band = series.bands[first][self.drawn]
            numbers = zip(band.steps.tolist(), band.center.tolist(), band.low.tolist(), band.high.tolist(), strict=True)
            empty = [""] * len(others)
            rows += [[series.label, band.meaning, _whole(x), *rest, *empty] for x, *rest in numbers]
            for name, points in series.runs.items():
                missing = np.full(len(points.levels[0]), np.nan)
                columns = [points.axes[first], points.levels[0], *(points.axes.get(axis, missing) for axis in others)]
                for x, value, *elsewhere in zip(*(column.tolist() for column in columns), strict=True):
                    known = ["" if np.isnan(number) else number for number in elsewhere]
                    rows.append([series.label, name, _whole(x), value, "", "", *known])
        return rows

    def data(self) -> dict[str, Any]:
        return {
            "kind": "lines",
            "y": self.y_label,
            "range": self.y_range,
            "axes": self.axes,
            "drawn": self.drawn,
            "series": [self._series(series) for series in self.series],
        }

    def _series(self, series: Series) -> dict[str, Any]:
        bands = {axis: [[_short(line) for line in band[:4]] for band in bands] for axis, bands in series.bands.items()}
        runs = [
            {
                "name": name,
                "x": {axis: _short(values, 8) for axis, values in points.axes.items()},
                "y": [_short(values) for values in points.levels],
            }
            for name, points in series.runs.items()
        ]
        meaning = next(iter(series.bands.values()))[0].meaning
        return {"label": series.label, "place": series.place, "meaning": meaning, "bands": bands, "runs": runs}

    def legend(self) -> list[tuple[str, str, int]]:
        return [(series.label, series.note, series.place) for series in self.series]


@dataclass(frozen=True)
class DotFigure:
    """Numbers with their intervals below one another, the first on top."""

    stem: str
    subject: str
    title: str
    x_label: str
    rows: Sequence[tuple[str, int, Estimate]]  # label, place in the palette, number
    caption: str
    middle: float | None = None
    x_range: tuple[float, float] | None = None

    def picture(self) -> Any:
        dots = [
            figures.Dot(label, number.value, (number.low, number.high), place) for label, place, number in self.rows
        ]
        title = f"{self.subject}: {self.title}"
        figure = figures.intervals(dots, title=title, x_label=self.x_label, middle=self.middle)
        if self.x_range is not None:
            figure.axes[0].set_xlim(self.x_range)
        return figure

    def table(self) -> list[list[Any]]:
        rows: list[list[Any]] = [["what", "value", "low", "high"]]
        for label, _, number in self.rows:
            rows.append([label, number.value, number.low, number.high])
        return rows

    def data(self) -> dict[str, Any]:
        rows = [
            {"label": label, "place": place, "value": number.value, "interval": (number.low, number.high)}
            for label, place, number in self.rows
        ]
        return {"kind": "dots", "x": self.x_label, "middle": self.middle, "range": self.x_range, "rows": rows}

    def legend(self) -> list[tuple[str, str, int]]:
        return []


Figure = LineFigure | DotFigure


def save(figure: Figure, folder: Path) -> tuple[Path, Path]:
    """Write the figure's PNG and CSV; returns their paths."""
    picture = figures.save_png(figure.picture(), folder / f"{figure.stem}.png")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(figure.table())
    write_text(folder / f"{figure.stem}.csv", text.getvalue())
    return picture, folder / f"{figure.stem}.csv"


def card(figure: Figure) -> str:
    """The figure's place in the page, which the script fills, with its legend and what it can be asked for."""
    legend = "".join(
        f'<button type="button" class="key" aria-pressed="true" data-place="{index}">{swatch(place)}{page.text(label)}'
        f"{f' <span>{page.text(note)}</span>' if note else ''}</button>"
        for index, (label, note, place) in enumerate(figure.legend())
    )
    heading = figure.title[0].upper() + figure.title[1:]
    files = " · ".join(f'<a href="{figure.stem}.{kind}">{kind.upper()}</a>' for kind in ("png", "csv"))
    return page.card(
        f'<div class="figure-head"><h3>{page.text(heading)}</h3>{_controls(figure)}</div>',
        f'<div class="plot" id="plot-{page.text(figure.stem)}" role="img" aria-label="{page.text(heading)}"></div>',
        f'<div class="legend">{legend}</div>' if legend else "",
        f'<p class="note">{page.text(figure.caption)} {files}</p>',
        page.data(f"data-{figure.stem}", figure.data()),
    )


def _controls(figure: Figure) -> str:
    if isinstance(figure, DotFigure):
        return ""
    parts = []
    if len(figure.axes) > 1:
        parts.append(
            _select("axis", "x axis", dict(zip(figure.axes, figure.axes, strict=True)), next(iter(figure.axes)))
        )
    if len(figure.levels) > 1:
        levels = {str(place): name for place, name in enumerate(figure.levels)}
        parts.append(_select("level", "smoothing", levels, str(figure.drawn)))
    count = sum(len(series.runs) for series in figure.series)
    if count:
        checked = " checked" if count <= 40 else ""
        parts.append(f'<label><input type="checkbox" class="runs"{checked}> single runs</label>')
    return f'<div class="controls">{"".join(parts)}</div>' if parts else ""


def _select(name: str, label: str, values: Mapping[str, str], chosen: str) -> str:
    options = "".join(
        f'<option value="{page.text(value)}"{" selected" if value == chosen else ""}>{page.text(words)}</option>'
        for value, words in values.items()
    )
    return f'<label>{label} <select class="{name}">{options}</select></label>'


def swatch(place: int) -> str:
    """A dot in a group's colour."""
    return f'<span class="swatch" style="background: var(--series-{place % len(figures.PALETTE) + 1})"></span>'


def _short(values: Array, digits: int = 5) -> list[float | int]:
    """Numbers as exact as a screen can show."""
    size = np.floor(np.log10(np.maximum(np.abs(values), 1e-300)))
    scale = 10.0 ** np.clip(digits - 1 - size, 0, 300)  # whole numbers stay as they are
    return [_whole(value) for value in (np.round(values * scale) / scale).tolist()]


def _whole(value: float) -> float | int:
    return int(value) if value.is_integer() else value
