"""From run folders into the dashboard's database, again and again while they grow. The folders stay the truth."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
from collections.abc import Iterable
from pathlib import Path

from keel.envs.errors import KeelError
from keel.runners.dashboard.database import Database, Imported
from keel.runners.dashboard.rows import created, flat_settings, media_rows, metric_rows, read_on
from keel.runners.run import Run

FILES = ("metrics.jsonl", "media.jsonl", "config.json")

_log = logging.getLogger("keel")


@dataclasses.dataclass
class Gain:
    """What an import added."""

    runs: list[str] = dataclasses.field(default_factory=list)
    rows: int = 0
    videos: int = 0


class Importer:
    """Keeps a database in step with runs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._imported = database.imported()
        self._seen: dict[str, tuple[object, ...]] = {}  # what the files of a run looked like when they were read

    @property
    def count(self) -> int:
        """How many runs are there."""
        return len(self._imported)

    @property
    def version(self) -> int:
        """Another number whenever something was added or taken out."""
        return self._database.changes

    def tabs(self) -> dict[str, bool]:
        """Which of trackio's tabs have something to show."""
        states = self._imported.values()
        shown = {"metrics": any(s.metrics.byte for s in states), "media": any(s.media.byte for s in states)}
        return shown | dict.fromkeys(("system", "traces", "reports", "files", "artifacts"), False)

    def newest(self, count: int) -> list[str]:
        """The names by which trackio knows the runs that were made last."""
        states = sorted(self._imported.values(), key=lambda state: state.created_unix_seconds)
        return [state.run_id for state in states[-count:]]

    def update(self, runs: Iterable[Run]) -> Gain:
        """Bring in what is new of these runs, anew what has changed, and take out every other run.

        A run whose rows are damaged is left as it was, with a warning.
        """
        gain = Gain()
        wanted = {str(run.path.resolve()): run for run in runs}
        for folder in self._imported.keys() - wanted.keys():
            self._forget(folder)
        for folder, run in wanted.items():
            looks = tuple(_look(run.path / name) for name in FILES)
            if self._seen.get(folder) == looks:
                continue
            try:
                self._import(folder, run, gain)
            except (KeelError, OSError) as error:
                _log.warning("the dashboard leaves out what is new of %s: %s", run.name, error)
            self._seen[folder] = looks
        return gain

    def _import(self, folder: str, run: Run, gain: Gain) -> None:
        run = Run.open(run.path)  # with the settings of now
        settings = json.dumps(flat_settings(run), separators=(",", ":"))
        state = self._imported.get(folder)
        if state is not None and state.created_unix_seconds != created(run):
            self._forget(folder)  # another run by the same name
            state = None
        if state is None:
            gain.runs.append(run.name)
        while True:
            state = state or Imported(self._next_number(), folder, created(run), settings)
            metrics = read_on(run.path / "metrics.jsonl", state.metrics)
            media = read_on(run.path / "media.jsonl", state.media)
            if metrics is None or media is None:  # resumed from a snapshot before what was read
                self._forget(folder)
                state = None
                continue
            measured = metric_rows(run, metrics[0])
            films = media_rows(run, media[0], functools.partial(self._database.keep_file, state))
            new = dataclasses.replace(state, settings=settings, metrics=metrics[1], media=media[1])
            if new == state and folder in self._imported:
                return
            self._database.write(new, run.name, settings.encode(), measured, films)
            self._imported[folder] = state = new
            gain.rows += len(measured.steps)
            gain.videos += len(films.steps)

    def _forget(self, folder: str) -> None:
        state = self._imported.pop(folder, None)
        self._seen.pop(folder, None)
        if state is not None:
            self._database.forget(state)

    def _next_number(self) -> int:
        return 1 + max((state.number for state in self._imported.values()), default=0)


def _look(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_size, stat.st_mtime_ns
