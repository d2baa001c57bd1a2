"""Where measurements go. The truth is the run folder's own rows; every other tracker is a view of them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from keel.envs.errors import KeelError
from keel.runners.files import complete_lines, decode_row, encode_row
from keel.runners.run import Run, RunState


class Tracker(Protocol):
    """Takes in what is measured."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None: ...

    def video(self, step: int, path: Path) -> None: ...

    def finish(self, status: RunState) -> None: ...


class Stopwatch:
    """Adds up the seconds spent within `with` blocks."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._start


class JsonLines:
    """A run's own rows: metrics.jsonl, timing.jsonl and media.jsonl, each appended to and flushed row by row.

    metrics.jsonl holds nothing that depends on the clock: two equal runs write equal bytes. NaN and infinity are the
    strings "NaN", "Infinity" and "-Infinity". A row torn by a killed writer is cut off before the first new one.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._stopwatch = Stopwatch()
        self._metrics = _open_at_last_row(run.path / "metrics.jsonl")
        self._timing = _open_at_last_row(run.path / "timing.jsonl")
        self._media = _open_at_last_row(run.path / "media.jsonl")

    @property
    def seconds_spent(self) -> float:
        """Time inside this tracker's calls."""
        return self._stopwatch.seconds

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append a row to metrics.jsonl: global_step first, then the metrics by name."""
        with self._stopwatch:
            _append(self._metrics, _row(step, metrics))

    def log_timing(self, step: int, timing: Mapping[str, float]) -> None:
        """Append a row to timing.jsonl: all that depends on the clock."""
        with self._stopwatch:
            _append(self._timing, _row(step, timing))

    def video(self, step: int, path: Path) -> None:
        """Append a row to media.jsonl for a video within the run folder; one that is known already stays one row."""
        with self._stopwatch:
            inside = Path(path).resolve().relative_to(self._run.path.resolve())
            line = encode_row({"global_step": step, "video": inside.as_posix()})
            if line not in complete_lines(self._run.path / "media.jsonl"):
                self._media.write(line)
                self._media.flush()

    def finish(self, status: RunState) -> None:
        """Make all rows durable, then say in status.json how the run ended: who reads the status has all rows."""
        with self._stopwatch:
            for file in (self._metrics, self._timing, self._media):
                os.fsync(file.fileno())
                file.close()
            self._run.set_status(status)

    def position(self) -> int:
        """The length of metrics.jsonl in bytes: a snapshot keeps it, and `truncate` comes back to it.

        The rows so far are made durable first, so that no power cut leaves a snapshot that knows more than they.
        """
        os.fsync(self._metrics.fileno())
        return self._metrics.tell()

    def truncate(self, position: int) -> None:
        """Forget every row that was written after `position()` was taken.

        metrics.jsonl is cut to the byte; timing.jsonl and media.jsonl lose the rows of later steps.

        Raises:
            KeelError: metrics.jsonl is shorter than that or no row ends there, so rows were lost or changed.
        """
        path = self._run.path / "metrics.jsonl"
        kept = path.read_bytes()[:position]
        if len(kept) < position or not (kept == b"" or kept.endswith(b"\n")):
            raise KeelError(f"{path} does not fit the checkpoint: no row ends at byte {position}")
        _cut(self._metrics, position)
        step = decode_row(kept.splitlines()[-1])["global_step"] if kept else 0
        for file, name in ((self._timing, "timing.jsonl"), (self._media, "media.jsonl")):
            lines = complete_lines(self._run.path / name)
            _cut(file, sum(len(line) for line in lines if decode_row(line)["global_step"] <= step))


def _row(step: int, values: Mapping[str, Any]) -> bytes:
    """Names in alphabetical order: the order in which an agent happened to fill its dict must not show."""
    return encode_row({"global_step": step, **dict(sorted(values.items()))})


def _append(file: BinaryIO, line: bytes) -> None:
    file.write(line)
    file.flush()


def _open_at_last_row(path: Path) -> BinaryIO:
    file = open(path, "ab")  # noqa: SIM115 (closed by finish)
    _cut(file, sum(map(len, complete_lines(path))))
    return file


def _cut(file: BinaryIO, position: int) -> None:
    file.truncate(position)
    file.seek(position)
