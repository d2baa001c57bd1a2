"""Runs that other processes read give what this one would read, each in its turn, whatever happens to a process."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from keel.envs.errors import KeelError
from keel.runners import dashboard_read
from keel.runners.dashboard_read import read_ahead, read_metrics
from keel.runners.dashboard_rows import START
from keel.runners.run import Run
from keel.runners.tracker import JsonLines

ROWS = 3


@pytest.fixture
def runs(runs_directory: Path) -> list[Run]:
    made = []
    for seed in range(7):  # more than are read ahead
        run = Run.create("CartPole-v1", "ppo", seed, {"training": {}, "hyperparameters": {}}, name=f"run-{seed}")
        tracker = JsonLines(run)
        for step in range(1, ROWS + 1):
            tracker.log(step, {"eval/return": float(seed * step)})
        tracker.finish("finished")
        made.append(run)
    return made


@pytest.fixture
def much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard_read, "MUCH_BYTES", 0)


@pytest.mark.usefixtures("much")
def test_other_processes_read_what_this_one_reads(runs: list[Run]) -> None:
    (runs[3].path / "metrics.jsonl").write_text("no row\n")
    first = read_metrics(runs[1], START)
    assert first is not None
    (runs[5].path / "metrics.jsonl").unlink()
    places = [START, first.place, START, START, START, first.place, START]  # of one that has no file any more, too
    found = []
    for seed, read in enumerate(read_ahead(list(zip(runs, places, strict=True)))):
        if seed == 3:
            with pytest.raises(KeelError, match=r"run-3/metrics.jsonl is damaged"):
                read()
            found.append(-1)
        else:
            gained = read()
            assert gained == read_metrics(runs[seed], places[seed])
            found.append(None if gained is None else len(gained.rows.steps))
    assert found == [ROWS, 0, ROWS, -1, ROWS, None, ROWS]


@pytest.mark.usefixtures("much")
def test_a_process_that_is_killed_costs_nothing(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    right = [read_metrics(run, START) for run in runs]
    with monkeypatch.context() as patch:
        patch.setattr(dashboard_read, "read_metrics", _killed)
        reads = read_ahead([(run, START) for run in runs])
        first = next(reads)
    assert [first(), *(read() for read in reads)] == right  # some were begun before the end, and some after it


def test_little_is_read_here(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard_read, "ProcessPoolExecutor", None)
    assert [read() for read in read_ahead([(run, START) for run in runs])] == [read_metrics(run, START) for run in runs]


def _killed(run: Run, place: object) -> None:
    """Instead of reading, in the other process."""
    os.kill(os.getpid(), signal.SIGKILL)
