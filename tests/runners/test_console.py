"""The progress display: right numbers, few frames, plain where nobody watches."""

from __future__ import annotations

import io
import math
import time
from pathlib import Path

import pytest
from rich.text import Text

from keel.runners.console import PLAIN_SECONDS, Console, format_seconds, sparkline
from keel.runners.formats import format_value
from keel.runners.run import Run


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create("CartPole-v1", "ppo", 0, {}, run_dir=tmp_path / "run")


def test_plain_lines_tell_progress_speed_and_results_at_most_every_two_seconds(run: Run) -> None:
    stream, clock = io.StringIO(), Clock()
    console = Console(run, 10_000, stream, clock)
    for step in range(0, 5001, 50):  # ten seconds at 500 steps a second
        console.update(step, {"train/episode_return": step / 10} | ({"eval/return": 400 - step / 100} if step else {}))
        clock.seconds += 0.1
    console.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) <= 10.1 / PLAIN_SECONDS + 1
    assert lines[0] == "  0%  0 / 10,000 steps  return 0.00"
    assert lines[-1] == " 50%  5,000 / 10,000 steps  500 steps/s  10 s left  return 500.0  evaluation 350.0  best 399.5"
    assert "\x1b" not in stream.getvalue()


def test_a_resumed_run_measures_speed_from_where_it_began_again(run: Run) -> None:
    stream, clock = io.StringIO(), Clock()
    console = Console(run, 2_000_000, stream, clock)
    console.update(1_000_000, {})
    clock.seconds += 10
    console.update(1_001_000, {})
    assert "100 steps/s" in stream.getvalue()
    assert "2 h 46 min left" in stream.getvalue()


def test_nan_is_never_shown_nor_counted(run: Run) -> None:
    stream, clock = io.StringIO(), Clock()
    console = Console(run, 100, stream, clock)
    for step in (10, 20, 30):
        console.update(step, {"train/episode_return": math.nan})
        clock.seconds += 3
    console.close()
    assert "nan" not in stream.getvalue().lower()


def test_a_terminal_gets_a_live_display_whose_last_frame_stays(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    stream, clock = Terminal(), Clock()
    console = Console(run, 1000, stream, clock)
    for step in range(0, 1001, 10):
        console.update(step, {"train/episode_return": float(step), "eval/return": 480.0})
        clock.seconds += 0.05
    console.message("checkpoint saved")
    console.close()
    shown = stream.getvalue()
    last = Text.from_ansi(shown[shown.rindex("CartPole-v1") :]).plain
    assert "checkpoint saved" in shown
    assert "100%  1,000 / 1,000 steps  200 steps/s" in last
    assert "return 1,000  evaluation 480.0  best 480.0" in last
    assert "left" not in last
    assert shown.endswith("\x1b[?25h")  # the cursor is back


def test_updates_between_frames_cost_next_to_nothing(run: Run) -> None:
    console = Console(run, 1_000_000, Terminal(), Clock())  # the clock stands still: one frame at most
    start = time.perf_counter()
    for step in range(10_000):
        console.update(step, {"train/episode_return": 1.0})
    seconds = time.perf_counter() - start
    console.close()
    assert seconds / 10_000 < 50e-6


def test_sparkline_shows_the_shape() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([5, 5], 8) == "▁▁"
    assert sparkline([0, 0, 10, 10], 2) == "▁█"
    assert len(sparkline([float(i) for i in range(1000)], 32)) == 32


def test_numbers_and_durations_are_short() -> None:
    assert [format_value(value) for value in (0.961, -0.5, 187.32, 12345.6)] == ["0.96", "-0.50", "187.3", "12,346"]
    assert [format_seconds(value) for value in (8.4, 185, 7620)] == ["8 s", "3 min 05 s", "2 h 07 min"]
