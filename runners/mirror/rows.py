"""Which rows of a run Weights & Biases was given, kept in the run's folder: each is sent once, and none is left out."""

from __future__ import annotations

import contextlib
import fcntl
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from keel.runners.files import complete_lines, decode_row, read_json, write_json
from keel.runners.run import Run


@dataclass
class MirrorState:
    """How much of a run W&B was given; kept in wandb.json, so that a resumed run goes on as the same W&B run."""

    id: str
    mode: Literal["online", "offline"] = "offline"
    why_offline: str | None = "no answer"
    url: str | None = None
    metrics_rows: int = 0
    media_rows: int = 0
    complete: bool = False  # W&B confirmed the last row that the run had then

    @staticmethod
    def load(run: Run) -> MirrorState:
        path = run.path / "wandb.json"
        return MirrorState(**read_json(path)) if path.exists() else MirrorState(id=secrets.token_hex(8))

    def save(self, run: Run) -> None:
        write_json(run.path / "wandb.json", asdict(self))


class Tail:
    """The rows that a file gains; rows that were handed over before are passed by without a word."""

    def __init__(self, path: Path, rows_done: int) -> None:
        self.rows_done = rows_done
        self._path = path
        self._rows_seen = 0
        self._bytes_seen = 0

    def read(self) -> list[dict[str, Any]]:
        lines = complete_lines(self._path, self._bytes_seen)
        new = lines[max(0, self.rows_done - self._rows_seen) :]
        self._bytes_seen += sum(len(line) for line in lines)
        self._rows_seen += len(lines)
        self.rows_done += len(new)
        return [decode_row(line) for line in new]


def is_up_to_date(run: Run, state: MirrorState) -> bool:
    return state.metrics_rows >= len(run.metrics()) and state.media_rows >= len(run.media())


def rewind(metrics: Tail, media: Tail, rows_there: int) -> None:
    """Go back by the rows that the service never got: they were kept offline, or lost with a killed mirror.

    Every row handed over, of metrics or of a video, is one row there. A lost video counts as a row of metrics, so a
    row can be sent a second time, but none is left out.
    """
    missing = metrics.rows_done + media.rows_done - rows_there
    metrics.rows_done = max(0, metrics.rows_done - max(0, missing))
    if rows_there == 0:
        media.rows_done = 0


@contextlib.contextmanager
def only_mirror(run: Run, held: int | None = None) -> Iterator[int]:
    """Wait until no other process sends the run's rows: the mirror of a training that was killed may still do so.

    Two at once would send rows twice. Gives the file descriptor of the lock, which a process that replaces this one
    can take over as `held`.
    """
    with open(run.path / "mirror.lock" if held is None else held, "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()
