"""What users bring as text files: read strictly, and refused with the place, the value, and what would be right."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keel.envs.protocol import Array


class Field(NamedTuple):
    """One number of a row: where it stands, its name in messages, and the range that it must keep."""

    position: int  # from 0
    name: str
    low: float
    high: float
    missing: float | None = None  # from here on a number is a code that says nothing was measured
    unit: str = ""  # in messages, behind the range

    @property
    def wanted(self) -> str:
        return f"a number from {self.low:g} to {self.high:g} {self.unit}".rstrip()


class Column(NamedTuple):
    """One column of a CSV file: the words one of which its name has, the range of its numbers, and their unit."""

    words: tuple[str, ...]  # in lower case
    low: float
    high: float
    unit: str = ""


def read_text(path: Path, encoding: str, max_bytes: int) -> str:
    """The whole of a file of at most `max_bytes`. Raises ValueError for what is no such file or no such text."""
    if not path.is_file():
        raise ValueError(f"{path} is not a file; give the path of an existing text file")
    size = path.stat().st_size
    if size > max_bytes:
        raise ValueError(f"{path} has {size} bytes; at most {max_bytes} are read")
    try:
        return path.read_text(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not {encoding} text: byte {error.start} is {error.object[error.start]:#04x}"
        ) from None


def read_cells(path: Path, text: str, skip: int = 0) -> Iterator[tuple[int, list[str]]]:
    """The rows of comma-separated text after `skip` lines, each with the number of its line, counted from 1."""
    rows = csv.reader(text.rstrip().split("\n")[skip:], strict=True)
    try:
        for row in rows:
            yield skip + rows.line_num, row
    except csv.Error as error:
        raise ValueError(
            f"{path} line {skip + rows.line_num}: {error}; a plain comma-separated row would be right"
        ) from None


def number(path: Path, line: int, cell: str, field: Field) -> float:
    """The number in a cell. Raises ValueError for words, nan, codes of missing values, and what is out of range."""
    try:
        value = float(cell) if "_" not in cell else math.nan
    except ValueError:
        value = math.nan
    if field.missing is not None and value >= field.missing:
        raise ValueError(
            f"{path} line {line}: {field.name} is {cell!r}, the code of a missing value; {field.wanted} would be right"
        )
    if not field.low <= value <= field.high:
        raise ValueError(f"{path} line {line}: {field.name} is {cell!r}; {field.wanted} would be right")
    return value


def read_fields(path: Path, rows: Iterable[tuple[int, list[str]]], width: int, fields: tuple[Field, ...]) -> Array:
    """The numbers of some fields in rows of at least `width` cells: [fields rows] float64."""
    values = []
    for line, row in rows:
        if len(row) < width:
            raise ValueError(f"{path} line {line}: the row has {len(row)} fields; at least {width} would be right")
        values.append([number(path, line, row[field.position], field) for field in fields])
    return np.array(values, np.float64).reshape(-1, len(fields)).T


def read_column(path: Path, column: Column, min_rows: int, max_bytes: int) -> Array:
    """A column of a CSV file with a header line: the first whose name has one of its words, or the only one there is.

    Returns: [rows] float64, all within the column's range.
    Raises: ValueError, naming file, line, column and value.
    """
    rows = list(read_cells(path, read_text(path, "utf-8-sig", max_bytes)))
    if not rows[0][1]:
        raise ValueError(f"{path} line 1 is empty; a header line and at least {min_rows} rows would be right")
    header = [name.strip() for name in rows[0][1]]
    if any(is_number(name) for name in header):
        raise ValueError(f"{path} line 1 is {rows[0][1]}; a header line with the columns' names would be right")
    named = [position for position, name in enumerate(header) if any(word in name.lower() for word in column.words)]
    if not named and len(header) > 1:
        raise ValueError(
            f"{path} has the columns {', '.join(header)}; one with {' or '.join(column.words)} in its name is needed"
        )
    position = named[0] if named else 0
    field = Field(position, f"column {header[position]!r}", column.low, column.high, unit=column.unit)
    values = read_fields(path, rows[1:], len(header), (field,))[0]
    if len(values) < min_rows:
        raise ValueError(f"{path} has {len(values)} rows below its header line; at least {min_rows} would be right")
    return values


def is_number(cell: str) -> bool:
    """Whether a cell reads as a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def wrapped(values: Array, first: int, count: int) -> Array:
    """`count` values from `first` on, where the end of `values` (along the last axis) is followed by its beginning."""
    return values[..., np.arange(first, first + count) % values.shape[-1]]
