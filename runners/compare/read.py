"""What a comparison needs of a run's folder, read fast: a few columns of metrics.jsonl, the clock, and what it cost."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from keel.envs.errors import KeelError
from keel.envs.protocol import Array
from keel.runners.cost import Cost, read_cost
from keel.runners.files import decode_row, read_rows
from keel.runners.row_bytes import complete, find_steps, line_ends, line_starts, some_lines
from keel.runners.run import Run
from keel.runners.seed_statistics import Curve, curve

METRICS = ("eval/return", "eval/elo", "train/episode_return")
MEASURED = ("eval/return", "train/episode_return")  # a run that can be compared has one of these
EPISODES = ("train/episodes", "selfplay/games")  # each counts the episodes so far

_NUMBER = re.compile(rb"-?\d[^,}]*")
_MOST_LINES = 200  # that are read of what grows evenly enough in between: the clock, the count of episodes
MUCH_BYTES = 100_000_000  # of rows: more are read by several processes, where these are allowed
_NO_CURVE = (np.empty(0), np.empty(0))


@dataclass(frozen=True)
class Outcome:
    """One run in numbers; None where it did not measure."""

    steps: int
    best_eval_return: float | None = None
    last_eval_return: float | None = None
    final_train_return: float | None = None
    training_seconds: float | None = None
    steps_per_second: float | None = None
    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    energy_kwh: float | None = None
    emissions_grams: float | None = None


@dataclass(frozen=True)
class Measured:
    """What one run measured.

    Args:
        curves: by metric, only those with points. rows: of metrics.jsonl. steps: the last one.
        episodes, seconds: both over steps; the seconds are those of training, without evaluations.
        timing: the last row of timing.jsonl. cost: cost.json, whose 0 seconds mean that there is none.
    """

    curves: Mapping[str, Curve]
    rows: int = 0
    steps: int = 0
    episodes: Curve = _NO_CURVE
    seconds: Curve = _NO_CURVE
    timing: Mapping[str, Any] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)

    @cached_property
    def outcome(self) -> Outcome:
        evaluations = self.curves.get("eval/return", _NO_CURVE)[1]
        training = self.curves.get("train/episode_return", _NO_CURVE)[1]
        seconds = _number(self.timing.get("training_seconds"))
        return Outcome(
            steps=self.steps,
            best_eval_return=float(evaluations.max()) if len(evaluations) else None,
            last_eval_return=float(evaluations[-1]) if len(evaluations) else None,
            final_train_return=float(training[-1]) if len(training) else None,
            training_seconds=seconds,
            steps_per_second=self.timing["global_step"] / seconds if seconds else None,
            wall_seconds=_number(self.timing.get("wall_seconds")),
            cpu_seconds=_number(self.cost.cpu_seconds) or None,
            energy_kwh=_number(self.cost.energy_kwh),
            emissions_grams=_number(self.cost.emissions_grams),
        )

    def along(self, axis: str, steps: Array) -> Array | None:
        """Where `steps` are on the axis `steps`, `seconds` or `episodes`; None where the run did not measure it."""
        if axis == "steps":
            return steps
        known_steps, values = self.seconds if axis == "seconds" else self.episodes
        if len(known_steps) == 0:
            return None
        return np.interp(steps, np.append(0.0, known_steps), np.append(0.0, values))


def read_runs(runs: Sequence[Run], jobs: int = 1) -> dict[Path, Measured]:
    """Each run by its folder. `jobs`: processes that read, where there is so much that they pay. Raises: as `read_run`."""
    size = sum(file.stat().st_size for run in runs if (file := run.path / "metrics.jsonl").exists())
    if jobs == 1 or size < MUCH_BYTES:
        return {run.path: read_run(run) for run in runs}
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        return dict(zip((run.path for run in runs), pool.map(read_run, runs, chunksize=8), strict=True))


def read_run(run: Run) -> Measured:
    """Raises: KeelError for a damaged row or cost.json, naming it."""
    rows = Rows(run)
    curves = {name: rows.column(name) for name in MEASURED}
    if len(curves["train/episode_return"][0]) == 0:  # self-play alone is rated, and has no returns of training
        curves["eval/elo"] = rows.column("eval/elo")
    sample = rows.sample()
    counted = [found for name in EPISODES if len((found := curve(sample, name))[0])]
    seconds, timing = _read_timing(run)
    return Measured(
        curves={name: curves[name] for name in METRICS if name in curves and len(curves[name][0])},
        rows=len(rows.steps),
        steps=int(rows.steps.max()) if len(rows.steps) else 0,
        episodes=counted[0] if counted else _NO_CURVE,
        seconds=seconds,
        timing=timing,
        cost=read_cost(run) or Cost(),
    )


class Rows:
    """The rows of metrics.jsonl, of which a few columns are wanted.

    Rows are what `files.encode_row` writes, step first and flat, so the few numbers that are wanted can be found
    without reading the others. A file that does not look so is read row by row, which also names what is damaged.
    """

    def __init__(self, run: Run) -> None:
        self._path = run.path / "metrics.jsonl"
        self._data, self._ends = _read_lines(self._path)
        self._starts = line_starts(self._ends)
        self._whole: list[dict[str, Any]] | None = None  # all rows as they are, where they had to be read one by one
        found = find_steps(self._data, self._ends)
        if found is None:
            self._read_one_by_one()
        else:
            self.steps = found.steps  # of each row

    def column(self, name: str) -> Curve:
        """A metric over steps, where it is finite. A quote within a JSON string is escaped, so keys are found only where
        they are keys."""
        if self._whole is None:
            try:
                return self._find(f'"{name}": '.encode())
            except ValueError:
                self._read_one_by_one()
        return curve(self._whole or [], name)

    def sample(self) -> list[dict[str, Any]]:
        """Whole rows, evenly taken, for what grows so evenly that the others lie between them."""
        if self._whole is not None:
            return self._whole
        try:
            return [decode_row(line) for line in some_lines(self._data, self._ends, _MOST_LINES)]
        except (TypeError, ValueError):
            self._read_one_by_one()  # which names the line
            return self._whole or []

    def _find(self, key: bytes) -> Curve:
        before, *pieces = self._data.split(key)
        lengths = np.array([len(piece) + len(key) for piece in (before, *pieces)], dtype=np.int64)
        rows = np.searchsorted(self._starts, np.cumsum(lengths)[:-1], side="right") - 1
        try:  # as a rule the next column follows
            values = np.array([float(piece[: piece.find(b",")]) for piece in pieces])
        except ValueError:
            found = [_NUMBER.match(piece) for piece in pieces]
            rows = rows[[number is not None for number in found]]
            values = np.array([float(number[0]) for number in found if number is not None])
        return self.steps[rows], values

    def _read_one_by_one(self) -> None:
        self._whole = read_rows(self._path)
        self.steps = np.array([row["global_step"] for row in self._whole], dtype=np.float64)


def _read_lines(path: Path) -> tuple[bytes, Array]:
    """The file's complete lines, and where each ends."""
    data = complete(path.read_bytes()) if path.exists() else b""
    return data, line_ends(data)


def _read_timing(run: Run) -> tuple[Curve, dict[str, Any]]:
    """Seconds of training over steps, and the last row."""
    data, ends = _read_lines(run.path / "timing.jsonl")
    if len(ends) == 0:
        return _NO_CURVE, {}
    try:
        rows = [decode_row(line) for line in some_lines(data, ends, _MOST_LINES)]
    except (TypeError, ValueError) as error:
        raise KeelError(f"{run.path / 'timing.jsonl'} is damaged: {error}") from None
    return curve(rows, "training_seconds"), rows[-1]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None
