"""Rows of measurements: exact, in one order, cut where a snapshot says, whatever killed the writer."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keel.envs.errors import KeelError
from keel.runners.run import Run
from keel.runners.tracker import JsonLines

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda name: name != "global_step")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create("CartPole-v1", "ppo", 0, {}, run_dir=tmp_path / "run")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.dictionaries(NAMES, st.floats() | st.integers() | st.booleans()), max_size=5))
def test_rows_come_back_to_the_bit(run: Run, rows: list[dict[str, float]]) -> None:
    tracker = JsonLines(run)
    tracker.truncate(0)
    for step, row in enumerate(rows):
        tracker.log(step, row)
    found = run.metrics()
    assert [row.pop("global_step") for row in found] == list(range(len(rows)))
    for expected, row in zip(rows, found, strict=True):
        assert row.keys() == expected.keys()
        for name, value in expected.items():
            same_bits = np.float64(row[name]).tobytes() == np.float64(value).tobytes()
            assert (math.isnan(value) and math.isnan(row[name])) or same_bits
    for line in (run.path / "metrics.jsonl").read_text().splitlines():  # also where Unicode has line ends
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def test_equal_measurements_are_equal_bytes_in_any_order(run: Run) -> None:
    tracker = JsonLines(run)
    tracker.log(1, {"loss/policy": 0.1, "eval/return": np.float32(0.5), "a": torch.tensor(2.0)})  # type: ignore[dict-item]
    tracker.log(1, {"a": 2.0, "eval/return": 0.5, "loss/policy": 0.1})
    first, second = (run.path / "metrics.jsonl").read_bytes().splitlines()
    assert first == second == b'{"global_step": 1, "a": 2.0, "eval/return": 0.5, "loss/policy": 0.1}'


def test_what_is_no_number_is_refused_by_name(run: Run) -> None:
    with pytest.raises(TypeError, match=r"'loss/policy' must be a number, got \[1\.0\] \(list\)"):
        JsonLines(run).log(1, {"loss/policy": [1.0]})  # type: ignore[dict-item]
    assert run.metrics() == []


def test_every_row_is_on_disk_when_the_call_returns(tmp_path: Path) -> None:
    """A writer killed right after its last call has lost nothing."""
    write = (
        "import os, sys, signal; from keel.runners.run import Run; from keel.runners.tracker import JsonLines\n"
        "run = Run.create('CartPole-v1', 'ppo', 0, {}, run_dir=sys.argv[1]); tracker = JsonLines(run)\n"
        "for step in range(500): tracker.log(step, {'x': step / 3}); tracker.log_timing(step, {'wall_seconds': 0.1})\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", write, str(tmp_path / "run")], check=False).returncode == -9
    run = Run.open(tmp_path / "run")
    assert run.metrics() == [{"global_step": step, "x": step / 3} for step in range(500)]
    assert len(run.timing()) == 500


def test_a_torn_last_row_is_ignored_and_cut_before_the_next(run: Run) -> None:
    whole = JsonLines(run)
    whole.log(1, {"x": 1.5})
    whole.log(2, {"x": 2.5})
    path = run.path / "metrics.jsonl"
    content = path.read_bytes()
    first_row = content.index(b"\n") + 1
    for length in range(first_row, len(content)):
        path.write_bytes(content[:length])
        assert [row["x"] for row in run.metrics()] == [1.5]
        JsonLines(run).log(2, {"x": 2.5})
        assert path.read_bytes() == content


def test_a_damaged_row_in_the_middle_is_an_error_that_names_the_line(run: Run) -> None:
    (run.path / "metrics.jsonl").write_bytes(b'{"global_step": 1}\n{"global_st\n{"global_step": 3}\n')
    with pytest.raises(KeelError, match=r"metrics\.jsonl, line 2, is damaged"):
        run.metrics()


def test_truncating_and_going_on_gives_the_bytes_of_a_run_that_never_stopped(run: Run) -> None:
    tracker = JsonLines(run)
    position = 0
    for step in range(10):
        tracker.log(step, {"x": step / 7})
        tracker.log_timing(step, {"wall_seconds": step})
        tracker.video(step, run.videos / f"{step}.mp4")
        position = tracker.position() if step == 5 else position
    names = ("metrics.jsonl", "timing.jsonl", "media.jsonl")
    uninterrupted = [(run.path / name).read_bytes() for name in names]
    with open(run.path / "metrics.jsonl", "ab") as file:
        file.write(b'{"torn')
    resumed = JsonLines(run)
    resumed.truncate(position)
    assert resumed.position() == position
    assert [row["global_step"] for row in run.timing()] == [0, 1, 2, 3, 4, 5]
    for step in range(6, 10):
        resumed.log(step, {"x": step / 7})
        resumed.log_timing(step, {"wall_seconds": step})
        resumed.video(step, run.videos / f"{step}.mp4")
    assert [(run.path / name).read_bytes() for name in names] == uninterrupted


@pytest.mark.parametrize("position", [3, 10_000])
def test_a_position_where_no_row_ends_is_refused_and_nothing_is_cut(run: Run, position: int) -> None:
    tracker = JsonLines(run)
    tracker.log(1, {"x": 1.0})
    with pytest.raises(KeelError, match=f"no row ends at byte {position}"):
        tracker.truncate(position)
    assert len(run.metrics()) == 1


def test_a_video_is_one_row_however_often_it_is_told(run: Run) -> None:
    tracker = JsonLines(run)
    for _ in range(2):
        tracker.video(7, run.videos / "a.mp4")
    assert run.media() == [{"global_step": 7, "video": "videos/a.mp4"}]
    with pytest.raises(ValueError, match="not in the subpath"):
        tracker.video(8, Path("/elsewhere/b.mp4"))


def test_finishing_says_so_in_the_status(run: Run) -> None:
    tracker = JsonLines(run)
    tracker.log(1, {"x": 1.0})
    tracker.finish("interrupted")
    assert run.status()["state"] == "interrupted"
