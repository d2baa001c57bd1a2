"""What runs gained, for the dashboard: where that is much, other processes read while this one writes."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from typing import NamedTuple, TypeAlias

from keel.runners.dashboard_rows import Place, Rows, metric_rows, read_on
from keel.runners.run import Run

MUCH_BYTES = 100_000_000  # of rows that are new: less is read before another process has started
AHEAD = 4  # runs whose rows wait to be written: bounds the memory


class Gained(NamedTuple):
    """The next rows of a run's metrics.jsonl, and the place behind them."""

    rows: Rows
    place: Place


Read: TypeAlias = Callable[[], Gained | None]


def read_metrics(run: Run, place: Place) -> Gained | None:
    """What follows a place, as `read_on` has it. Raises: KeelError for a line that is no row."""
    found = read_on(run.path / "metrics.jsonl", place)
    return None if found is None else Gained(metric_rows(run, found[0]), found[1])


def read_ahead(wanted: Sequence[tuple[Run, Place]]) -> Iterator[Read]:
    """For each run in turn, how to get `read_metrics` of it; an error comes when it is called."""
    if sum(_size(run) - place.byte for run, place in wanted) < MUCH_BYTES:
        yield from (functools.partial(read_metrics, *one) for one in wanted)
        return
    processes = max(1, (os.cpu_count() or 1) - 1)
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        waiting: deque[Read] = deque()
        for number in range(len(wanted)):
            for next_one in wanted[number + len(waiting) : number + AHEAD]:
                waiting.append(_elsewhere(pool, next_one))
            yield waiting.popleft()


def _elsewhere(pool: Executor, one: tuple[Run, Place]) -> Read:
    """Begin to read in another process; what that process leaves undone because it was killed is read here."""
    try:
        future = pool.submit(read_metrics, *one)
    except BrokenExecutor:
        return functools.partial(read_metrics, *one)

    def result() -> Gained | None:
        with contextlib.suppress(BrokenExecutor):
            return future.result()
        return read_metrics(*one)

    return result


def _size(run: Run) -> int:
    with contextlib.suppress(FileNotFoundError):
        return (run.path / "metrics.jsonl").stat().st_size
    return 0
