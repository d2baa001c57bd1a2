"""What the files of a run gained since they were last read, as rows that trackio keeps."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from keel.envs.errors import KeelError
from keel.runners.files import flat
from keel.runners.row_bytes import complete, find_steps, line_ends, some_lines, without_steps
from keel.runners.run import Run

CHUNK_BYTES = 16 << 20  # read at once: bounds the memory that a long run takes
TIMES = 200  # of a run that are read; the rest is interpolated
KINDS = {".mp4": "trackio.video", ".gif": "trackio.image"}


class Rows(NamedTuple):
    """Rows as trackio keeps them, by column: times in ISO 8601, steps, and JSON objects of what was measured."""

    timestamps: list[str]
    steps: list[int]
    metrics: list[bytes]


@dataclass(frozen=True)
class Place:
    """How far a file of rows was read: to this byte, where this line ended."""

    byte: int = 0
    line: bytes = b""


START = Place()


def read_on(path: Path, place: Place) -> tuple[bytes, Place] | None:
    """The complete lines that follow a place, 16 MB of them at most, and the place behind them.

    None where what was read is not there any more: the run was resumed from a snapshot before it, or made anew.
    """
    if not path.exists():
        return (b"", place) if place.byte == 0 else None
    with open(path, "rb") as file:
        file.seek(place.byte - len(place.line))
        if file.read(len(place.line)) != place.line:
            return None
        data = complete(file.read(CHUNK_BYTES))
    return (data, Place(place.byte + len(data), _last_line(data))) if data else (data, place)


def _last_line(data: bytes) -> bytes:
    return data[data.rfind(b"\n", 0, -1) + 1 :]


def metric_rows(run: Run, data: bytes) -> Rows:
    """The rows of these lines of metrics.jsonl; NaN and infinity are the same strings in both.

    Raises:
        KeelError: a line that is no row.
    """
    import orjson

    if not data:
        return Rows([], [], [])
    with _damage_named(run.path / "metrics.jsonl"):
        rows = orjson.loads(b"[" + data[:-1].replace(b"\n", b",") + b"]")
        steps, metrics = _cut(data) or ([int(row.pop("global_step")) for row in rows], list(map(orjson.dumps, rows)))
        if len(steps) != len(rows):
            raise ValueError(f"{len(steps)} lines with {len(rows)} rows")
    return Rows(_timestamps(run, steps), steps, metrics)


def _cut(data: bytes) -> tuple[list[int], list[bytes]] | None:
    """Steps, and the rows without them, where all rows look as they should: a third faster than to write them anew."""
    ends = line_ends(data)
    found = find_steps(data, ends)
    if found is None or (metrics := without_steps(data, ends, found)) is None:
        return None
    return found.steps.astype(np.int64).tolist(), metrics


def media_rows(run: Run, data: bytes, keep: Callable[[Path, int], str]) -> Rows:
    """The rows of these lines of media.jsonl; films that are gone, or lie outside the run's folder, are left out.

    Args:
        keep: puts the file of a step where trackio serves it, and gives its path there.

    Raises:
        KeelError: a line that is no row.
    """
    with _damage_named(run.path / "media.jsonl"):
        named = [
            (int(row["global_step"]), (run.path / row["video"]).resolve()) for row in map(json.loads, data.splitlines())
        ]
    inside = run.path.resolve()
    films = [(step, path) for step, path in named if path.is_relative_to(inside) and path.is_file()]
    films = [(step, path) for step, path in films if path.suffix.lower() in KINDS]
    media = [
        {"_type": KINDS[path.suffix.lower()], "file_path": keep(path, step), "caption": path.stem}
        for step, path in films
    ]
    steps = [step for step, _ in films]
    compact = functools.partial(json.dumps, separators=(",", ":"))  # as trackio looks for it
    return Rows(_timestamps(run, steps), steps, [compact({"video": one}).encode() for one in media])


def flat_settings(run: Run) -> dict[str, Any]:
    """A run's settings without nesting (`hyperparameters.gamma`), so that the dashboard can group runs by each.

    `_Group` and `_Created` are trackio's own names for what its list of runs shows.
    """
    config = run.config
    group = f"{config.get('env')}-{config.get('agent')}"
    shown = {
        name: json.dumps(value) if isinstance(value, list | dict) else value for name, value in flat(config).items()
    }
    return {"_Group": group, "_Created": _iso(np.array([created(run)]))[0]} | shown


def created(run: Run) -> float:
    """When the run was made, in seconds since 1970; the age of its settings where environment.json does not say."""
    try:
        return float(run.environment()["created_unix_seconds"])
    except (OSError, KeelError, KeyError, TypeError, ValueError):
        return os.stat(run.path / "config.json").st_mtime


def _timestamps(run: Run, steps: list[int]) -> list[str]:
    """The times of rows: when the run was made, and the seconds of training until their steps (timing.jsonl).

    Of a long run two hundred of those seconds are read, and between them training counts as equally fast.
    """
    import orjson

    if not steps:
        return []
    path = run.path / "timing.jsonl"
    with _damage_named(path):
        data = complete(path.read_bytes()) if path.exists() else b""
        timing = list(map(orjson.loads, some_lines(data, line_ends(data), TIMES)))
        known = [0, *(row["global_step"] for row in timing)], [0.0, *(row["training_seconds"] for row in timing)]
    return _iso(created(run) + np.interp(steps, *known))


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise KeelError(f"{path} is damaged: {error!r}") from None


def _iso(unix_seconds: npt.NDArray[np.float64]) -> list[str]:
    moments = (unix_seconds * 1000).astype("datetime64[ms]")
    return np.datetime_as_string(moments, timezone="UTC").tolist()
