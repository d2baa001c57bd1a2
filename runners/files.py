"""Small files written whole or not at all, and rows of JSON that survive a killed writer."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from keel.envs.errors import KeelError

# JSON has no word for these, so a row holds them as strings and its reader turns them back into floats.
NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_ENCODER = json.JSONEncoder(allow_nan=False)  # made once: json.dumps would make one for every row


def write_text(path: Path, text: str) -> None:
    """Replace the file in one step: whoever reads it, even after a power cut, finds the old text or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: without it a rename can be undone by a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    # Some network file systems cannot sync a folder; the rename itself has succeeded there.
    with contextlib.suppress(OSError):
        os.fsync(descriptor)
    os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically.

    Raises:
        ValueError: NaN or infinity, which JSON cannot hold.
        TypeError: a value that is not JSON's.
    """
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{path.name} cannot be written: {error}") from None
    write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        KeelError: the file is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise KeelError(f"{path} is not valid JSON: {error}") from None


def encode_row(row: Mapping[str, Any]) -> bytes:
    """One line of JSON in the order of the row; floats round-trip exactly, so equal rows are equal bytes."""
    return (_ENCODER.encode({name: _encode_cell(name, value) for name, value in row.items()}) + "\n").encode()


def _encode_cell(name: str, value: Any) -> Any:
    if type(value) is not float:
        if value is None or isinstance(value, (str, int)):  # a tuple costs half as much as a union
            return value
        value = value.item() if hasattr(value, "item") else value  # a number of numpy or torch
        if isinstance(value, int):
            return value
        if not isinstance(value, float):
            raise TypeError(f"'{name}' must be a number, got {value!r} ({type(value).__name__})")
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def decode_row(line: bytes) -> dict[str, Any]:
    """The row of one line; the strings that stand for NaN and infinity become floats again."""
    row = json.loads(line)
    if not isinstance(row, dict):
        raise TypeError(f"expected one JSON object a line, got {line[:80]!r}")
    return {name: NON_FINITE.get(cell, cell) if isinstance(cell, str) else cell for name, cell in row.items()}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All complete rows; none where there is no file. A last line without its end was cut off by a kill: ignored.

    Raises:
        KeelError: a complete line that is not a JSON object, with its number.
    """
    rows = []
    for number, line in enumerate(complete_lines(path), start=1):
        try:
            rows.append(decode_row(line))
        except (TypeError, ValueError, RecursionError) as error:
            raise KeelError(f"{path}, line {number}, is damaged: {error}") from None
    return rows


def complete_lines(path: Path, start: int = 0) -> list[bytes]:
    """The lines from byte `start` on that have their newline, with it; none where there is no file."""
    if not path.exists():
        return []
    with open(path, "rb") as file:
        file.seek(start)
        lines = file.read().splitlines(keepends=True)
    return [line for line in lines if line.endswith(b"\n")]


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names, such as `hyperparameters.learning_rate`; an empty group stays a value."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        nested = isinstance(value, Mapping) and value
        result |= flat(value, f"{prefix}{name}.") if nested else {prefix + name: value}
    return result


@contextlib.contextmanager
def hold(path: Path, in_use: str) -> Iterator[None]:
    """Hold the lock file `path`, in which stands who has it. The system lets go of it when the process ends.

    Raises:
        KeelError: another process holds it: `in_use`, where {process} stands for its number.
    """
    with open(path, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise KeelError(in_use.replace("{process}", file.read().strip() or "unknown")) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
