"""The dashboard's database: trackio's own tables beside one that says how much of each run is in them.

It is made from the run folders and can be thrown away at any time. Rows and the place up to which they were read are
written in one transaction, so that nothing is ever there twice.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keel.envs.errors import KeelError
from keel.runners.dashboard.rows import START, Place, Rows
from keel.runners.files import hold

FOLDER = Path("results/.dashboard")
FORMAT = "1"  # of our own table: a database of another one is made anew
ROWS_A_STATEMENT = 150  # one INSERT with many rows costs half of what as many with one row do

# What would make trackio or its hub client leave this machine, or show another page than its own.
ELSEWHERE = ("TRACKIO_", "GRADIO_", "SPACE_", "OAUTH_", "HF_TOKEN")
KEPT = ("TRACKIO_COLOR_PALETTE", "TRACKIO_PLOT_ORDER")
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}


@dataclass(frozen=True)
class Imported:
    """How much of a run the database holds."""

    number: int
    folder: str
    created_unix_seconds: float
    settings: str
    metrics: Place = START
    media: Place = START

    @property
    def run_id(self) -> str:
        return f"{self.number:06d}"  # in the order of import: the newest rows belong at the end of every index


def load_trackio(folder: Path) -> Any:
    """trackio's storage, kept in `folder` and cut off from every service; its folder is fixed when it is imported.

    Raises:
        KeelError: trackio is not installed, or this process uses it with another folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in list(os.environ):
        if name == "SYSTEM" or (name.startswith(ELSEWHERE) and name not in KEPT):
            del os.environ[name]
    os.environ.update(OFFLINE | {"TRACKIO_DIR": str(folder.resolve())})
    try:
        storage = importlib.import_module("trackio.sqlite_storage")
    except ImportError as error:
        raise KeelError(f"the dashboard needs trackio ({error}); install it: pip install 'trackio>=0.40'") from None
    if storage.TRACKIO_DIR.resolve() != folder.resolve():
        raise KeelError(f"trackio is in use with {storage.TRACKIO_DIR}: start the dashboard in a process of its own")
    return storage.SQLiteStorage


class Database:
    """One project's rows. Only one process at a time writes them: use `open_database`."""

    def __init__(self, folder: Path, project: str) -> None:
        storage = load_trackio(folder)
        storage.validate_project_name(project)
        self.path: Path = storage.get_project_db_path(project)
        self.media = folder.resolve() / "media" / project
        self.changes = 0  # by this process
        self.is_new = not self._is_whole()
        if self.is_new:
            self._throw_away()
            self._create()
        storage.init_db(project)
        self._connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        self._connection.execute("PRAGMA synchronous = OFF")  # a power cut may take what can be made anew
        if self.is_new:
            self._connection.execute("PRAGMA journal_mode = OFF")  # until `finish_first_import`: half the writing

    def close(self) -> None:
        self._connection.close()

    def finish_first_import(self) -> None:
        """Say that the database is whole. One without this word is thrown away: its import was killed."""
        self._connection.execute("INSERT OR REPLACE INTO project_metadata VALUES ('keel_format', ?)", (FORMAT,))
        self._connection.execute("PRAGMA journal_mode = WAL")
        self.is_new = False

    def imported(self) -> dict[str, Imported]:
        """What is there, by the run's folder."""
        rows = self._connection.execute("SELECT * FROM keel_runs ORDER BY number").fetchall()
        return {row[1]: Imported(*row[:4], metrics=Place(*row[4:6]), media=Place(*row[6:])) for row in rows}

    def write(self, state: Imported, name: str, settings: bytes, *parts: Rows) -> None:
        """Add rows of a run and remember how far it was read, both or neither."""
        places = (state.metrics.byte, state.metrics.line, state.media.byte, state.media.line)
        with self._transaction():
            for rows in parts:
                self._insert(state.run_id, name, rows)
            self._connection.execute(
                "INSERT OR REPLACE INTO keel_runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (state.number, state.folder, state.created_unix_seconds, state.settings, *places),
            )
            self._connection.execute(
                "INSERT OR REPLACE INTO configs (run_id, run_name, config, created_at) VALUES (?, ?, ?, datetime())",
                (state.run_id, name, settings),
            )

    def _insert(self, run_id: str, name: str, rows: Rows) -> None:
        for start in range(0, len(rows.steps), ROWS_A_STATEMENT):
            columns = [column[start : start + ROWS_A_STATEMENT] for column in rows]
            cells: list[Any] = [run_id, name, *(3 * len(columns[0]) * [None])]
            cells[2::3], cells[3::3], cells[4::3] = columns
            self._connection.execute(_insertion(len(columns[0])), cells)

    def forget(self, state: Imported) -> None:
        """Take a run out, with its films."""
        with self._transaction():
            for table in ("metrics", "configs"):
                self._connection.execute(f"DELETE FROM {table} WHERE run_id = ?", (state.run_id,))
            self._connection.execute("DELETE FROM keel_runs WHERE number = ?", (state.number,))
        shutil.rmtree(self.media / state.run_id, ignore_errors=True)

    def keep_file(self, state: Imported, path: Path, step: int) -> str:
        """Put a film where trackio serves it; takes no space where a hard link can be made. Gives its path there."""
        kept = self.media / state.run_id / str(step) / path.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.unlink(missing_ok=True)
        try:
            os.link(path, kept)
        except OSError:  # another file system
            shutil.copyfile(path, kept)
        return kept.relative_to(self.media.parent).as_posix()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        self.changes += 1

    def _is_whole(self) -> bool:
        if not self.path.exists():
            return False
        query = "SELECT value FROM project_metadata WHERE key = 'keel_format'"
        try:
            with contextlib.closing(sqlite3.connect(self.path)) as connection:
                return connection.execute(query).fetchone() == (FORMAT,)
        except sqlite3.DatabaseError:
            return False

    def _create(self) -> None:
        """Begin with our own table: the size of pages can be chosen only in a database that is empty."""
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA page_size = 16384")  # a quarter faster than with the usual ones
            connection.execute(
                "CREATE TABLE keel_runs (number INTEGER PRIMARY KEY, folder TEXT UNIQUE, created REAL, settings TEXT, "
                "metrics_byte INTEGER, metrics_line BLOB, media_byte INTEGER, media_line BLOB)"
            )
            connection.commit()

    def _throw_away(self) -> None:
        for suffix in ("", "-wal", "-shm", "-journal"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        shutil.rmtree(self.media, ignore_errors=True)


@contextlib.contextmanager
def open_database(project: str, folder: Path = FOLDER) -> Iterator[Database]:
    """The database of a project, for this process alone.

    Raises:
        KeelError: another process has it open.
        ValueError: the name cannot be that of a file.
    """
    if not project.replace("-", "").replace("_", "").isalnum() or not project.isascii() or len(project) > 100:
        raise ValueError(f"--project must be 1 to 100 letters, digits, - and _, got {project!r}")
    folder.mkdir(parents=True, exist_ok=True)
    in_use = f"a dashboard of project {project} is open already (process {{process}}): end it or give another --project"
    with hold(folder / f"{project}.keel-lock", in_use):
        try:
            with contextlib.closing(Database(folder, project)) as database:
                yield database
        except sqlite3.Error as error:
            raise KeelError(f"the dashboard's database failed ({error}); delete {folder}, it is made anew") from error


@functools.cache
def _insertion(rows: int) -> str:
    values = ", ".join(f"(?1, ?2, ?{cell}, ?{cell + 1}, ?{cell + 2})" for cell in range(3, 3 + 3 * rows, 3))
    return f"INSERT INTO metrics (run_id, run_name, timestamp, step, metrics) VALUES {values}"
