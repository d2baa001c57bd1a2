"""Daily prices: where they come from and how they are read."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from keel.networks.pretraining.data import Array, package_file

DATE, CLOSE, SYMBOL = ("date", "day", "time", "timestamp"), ("close", "price", "last"), ("symbol", "ticker", "name")
ADJUSTED = ("adj close", "adj_close", "adjclose", "adjusted close", "adjusted_close")
BAR = ("open", "high", "low", "volume")  # what a day may have beside its close, all four or none


@dataclass(frozen=True)
class Prices:
    """The trading days [N] of one symbol in order: date (datetime64[D]) and prices in its currency.

    `adjusted` is the close after splits and dividends where the source has it, otherwise the close; `bar` [N 4] holds
    open, high, low and volume, which are not adjusted, or is None.
    """

    symbol: str
    date: Array
    close: Array
    adjusted: Array
    bar: Array | None = None

    def __len__(self) -> int:
        return len(self.date)


def sample(data_dir: Path | None = None) -> tuple[list[Prices], str]:
    """SAMPLE DATA: five technology shares from 2000-03-01 (or their first day) to 2013-03-01, and their source.

    Raises:
        ImportError: the package bokeh-sampledata is missing. ValueError: `data_dir` is given.
    """
    if data_dir is not None:
        raise ValueError(f"--data-dir is {data_dir}, and task stocks reads a package: --task prices reads folders")
    file = package_file("bokeh_sampledata", "_data", "stocks.csv.gz")
    with gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
        return read_csv(lines, file.name, "stocks"), "the package bokeh-sampledata"


def from_folder(data_dir: Path | None) -> tuple[list[Prices], str]:
    """All CSV files of a folder, and its name: one file a symbol, or several symbols told apart by a column.

    Raises:
        FileNotFoundError: no folder is given, or it has no CSV files. ValueError: a file cannot be read.
    """
    if data_dir is None:
        advice = "--task stocks (SAMPLE DATA: five shares that the package bokeh-sampledata ships)"
        raise FileNotFoundError(f"task prices needs --data-dir DIR with CSV files of daily prices, or {advice}")
    if not data_dir.is_dir():
        raise FileNotFoundError(f"--data-dir {data_dir} is not a folder")
    files = sorted([*data_dir.glob("*.csv"), *data_dir.glob("*.csv.gz")])
    if not files:
        raise FileNotFoundError(f"--data-dir {data_dir} has no files *.csv")
    series: dict[str, Prices] = {}
    for file in files:
        with (
            gzip.open(file, "rt", encoding="utf-8-sig", newline="")
            if file.suffix == ".gz"
            else file.open(encoding="utf-8-sig", newline="") as lines
        ):
            for prices in read_csv(lines, file.name, file.name.split(".")[0]):
                if prices.symbol in series:
                    raise ValueError(f"{file.name}: another file has the symbol {prices.symbol} too")
                series[prices.symbol] = prices
    return list(series.values()), f"folder {data_dir.resolve().name}"


def read_csv(lines: Iterable[str], name: str, symbol: str) -> list[Prices]:
    """The symbols of a CSV file with a header: date (such as 2024-01-31) and close, and where it has them adjusted
    close, open, high, low, volume and symbol; upper and lower case are the same, and the order of days is free.

    Args: name: of the file, for errors. symbol: for a file without such a column.

    Raises:
        ValueError: a column is missing, a value is not a date or a positive number, or a day comes twice; says where.
    """
    reader = csv.DictReader(lines)
    columns = {field.strip().lower(): field for field in reader.fieldnames or ()}
    found = {what: _column(columns, names) for what, names in _known().items()}
    for what, names in (("date", DATE), ("close", CLOSE)):
        if found[what] is None:
            raise ValueError(f"{name} has no column {' or '.join(names)}; it has: {', '.join(columns) or 'none'}")
    numbers = ["close", *(["adjusted"] if found["adjusted"] else [])]
    if all(found[what] for what in BAR):
        numbers += BAR
    rows: dict[str, dict[date, list[float]]] = {}
    for place, row in enumerate(reader, 2):
        where = f"{name}, line {place}"
        day = _day(row[str(found["date"])], where)
        days = rows.setdefault(str(row[str(found["symbol"])]).strip() if found["symbol"] else symbol, {})
        if day in days:
            raise ValueError(f"{where}: {day} comes twice")
        days[day] = [_number(row[str(found[what])], what, where) for what in numbers]
    if not rows:
        raise ValueError(f"{name} has a header and no rows")
    return [_prices(symbol, days, numbers) for symbol, days in rows.items()]


def _known() -> dict[str, tuple[str, ...]]:
    names = {"date": DATE, "close": CLOSE, "adjusted": ADJUSTED, "symbol": SYMBOL}
    return names | {name: (name,) for name in BAR}


def _column(columns: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((columns[name] for name in names if name in columns), None)


def _prices(symbol: str, days: Mapping[date, list[float]], numbers: list[str]) -> Prices:
    order = sorted(days)
    table = np.array([days[day] for day in order], np.float64)
    values = dict(zip(numbers, table.T, strict=True))
    bar = np.stack([values[name] for name in BAR], axis=1) if "open" in values else None
    dates = np.array(order, "datetime64[D]")
    return Prices(symbol, dates, values["close"], values.get("adjusted", values["close"]), bar)


def _day(text: str | None, where: str) -> date:
    try:
        return date.fromisoformat(str(text).strip()[:10])
    except ValueError:
        raise ValueError(f"{where}: the date is {text!r}, expected such as 2024-01-31") from None


def _number(text: str | None, what: str, where: str) -> float:
    """A price, which is positive, or a volume, which may be 0."""
    try:
        value = float(str(text).strip())
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and (value > 0 or (what == "volume" and value == 0))):
        raise ValueError(f"{where}: {what} is {text!r}, expected a number above 0")
    return value
