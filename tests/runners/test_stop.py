from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from keel.runners import stop
from keel.runners.stop import Clock, StopWish


def test_pauses_are_no_training_while_they_last_and_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds of training, a pause of ten that is asked about in the middle, and three more of training."""
    now = 100.0
    monkeypatch.setattr(stop.time, "perf_counter", lambda: now)
    clock = Clock()
    clock.before = 50.0
    now += 2.0
    with clock.paused():
        now += 4.0
        assert (clock.training_seconds, clock.wall_seconds) == (52.0, 6.0)
        now += 6.0
    assert (clock.training_seconds, clock.wall_seconds) == (52.0, 12.0)
    now += 3.0
    assert (clock.training_seconds, clock.wall_seconds) == (55.0, 15.0)


def test_a_signal_in_the_middle_of_a_write_is_noted_and_said_elsewhere(capfd: pytest.CaptureFixture[str]) -> None:
    """A pipe that is full holds a write up; within it Python allows no other one to the same stream."""
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "wb")

    def interrupt_and_empty() -> None:
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        while os.read(reader, 1 << 16):
            pass

    thread = threading.Thread(target=interrupt_and_empty)
    with StopWish(lambda words: print(stream.write(words.encode()))) as wish:
        thread.start()
        stream.write(bytes(1 << 20))
        stream.close()
    thread.join()
    os.close(reader)
    assert wish.signal == signal.SIGINT
    out, error = capfd.readouterr()
    assert (out, error.startswith("SIGINT: saving and stopping")) == ("", True)


def test_a_signal_is_noted_where_nobody_reads_what_is_said() -> None:
    """As where the terminal is gone, or standard error was closed."""
    reader, writer = os.pipe()
    os.close(reader)
    gone, closed = os.fdopen(writer, "w", buffering=1), io.StringIO()
    closed.close()
    for stream in (gone, closed):
        with StopWish(lambda words, to=stream: print(words, file=to)) as wish:
            os.kill(os.getpid(), signal.SIGTERM)
        assert wish.signal == signal.SIGTERM
    with contextlib.suppress(BrokenPipeError):
        gone.close()


def test_a_signal_is_noted_where_the_console_has_lost_its_reader(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in `keel train … | tee log`, where Ctrl-C ends tee, too. rich exits then, and puts /dev/null for stdout."""
    reader, writer = os.pipe()
    os.close(reader)
    gone = os.fdopen(writer, "w")
    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        console = Console(file=gone)
        with StopWish(console.print) as wish:
            os.kill(os.getpid(), signal.SIGINT)
        assert wish.signal == signal.SIGINT
        console.print("what is told later disturbs nobody, either")
    with contextlib.suppress(BrokenPipeError):
        gone.close()
