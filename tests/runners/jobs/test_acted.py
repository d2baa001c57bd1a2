"""Trainings that are acted by a process that starts at once: who runs when, what is told of each, and signals."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from keel.runners.jobs import jobs
from keel.runners.jobs.jobs import Job, Jobs
from keel.runners.jobs.view import Progress

from .waiting import wait_until

ACTOR = """
import json, os, signal, sys, time
order = json.load(sys.stdin)
heard = []
signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
def tell(**values): print(json.dumps(values), flush=True)
folder = order["folder"]
os.makedirs(folder + "/checkpoints/step-0")
open(folder + "/began", "w").write(f"{time.monotonic()} {os.getsid(0)}")
tell(run=folder, total_steps=100)
tell(step=50, evaluation=1.5)
tell(message="a word")
act = order["act"]
if act == "crash":
    os.dup2(os.open(folder + "/output.log", os.O_WRONLY | os.O_CREAT), 2)
    print("what led to it", file=sys.stderr)
    tell(error="KeelError: loss is nan")
    sys.exit(1)
if act == "die":
    os.kill(os.getpid(), signal.SIGKILL)
while act in ("train", "stubborn") and not heard:
    time.sleep(0.005)
while act == "stubborn" and len(heard) < 2:
    time.sleep(0.005)
time.sleep(0.05)
open(folder + "/heard", "w").write(str(len(heard)))
if act == "stubborn":
    sys.exit(143)
state = "interrupted" if heard else "finished"
tell(step=100, evaluation=2.5)
result = {"run": folder, "state": state, "global_step": 100, "best_return": 2.5, "training_seconds": 1.0}
if act == "fail_late":
    tell(error="KeelError: loss is nan")
else:
    tell(result=result)
open(folder + "/told", "w").close()
while act in ("hang", "fail_late"):
    time.sleep(1)
"""


@pytest.fixture
def perform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, list[Progress]]]:
    """Lets trainings act, `at_once` at a time; `then` is called meanwhile."""
    monkeypatch.setattr(jobs, "CHILD", ("-c", ACTOR))

    def call(acts: str, at_once: int, then: Callable[[], object] | None = None) -> tuple[int, list[Progress]]:
        trainings = [Progress(f"seed {seed}") for seed, _ in enumerate(acts.split())]
        orders = [{"act": act, "folder": str(tmp_path / str(seed))} for seed, act in enumerate(acts.split())]
        thread = threading.Thread(target=then or (lambda: None), daemon=True)
        thread.start()
        code = Jobs(trainings, orders, at_once, as_json=False).run()
        thread.join()
        return code, trainings

    return call


Perform = Callable[..., tuple[int, list[Progress]]]


def began(path: Path, *seeds: int) -> Callable[[], bool]:
    return lambda: all((path / str(seed) / "began").exists() for seed in seeds)


def test_no_more_than_asked_for_run_at_a_time(perform: Perform, tmp_path: Path) -> None:
    code, trainings = perform("finish finish finish finish", 2)
    assert code == 0
    assert [training.state for training in trainings] == ["finished"] * 4
    begins = [float((tmp_path / str(seed) / "began").read_text().split()[0]) for seed in range(4)]
    ends = [(tmp_path / str(seed) / "heard").stat().st_mtime - time.time() + time.monotonic() for seed in range(4)]
    for begin in begins:
        assert sum(other <= begin < end - 0.01 for other, end in zip(begins, ends, strict=True)) <= 2
    assert min(begins[2:]) > min(ends[:2]) - 0.01


def test_one_that_fails_is_told_with_its_last_lines_and_stops_no_other(
    perform: Perform, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, trainings = perform("crash finish die finish", 2)
    assert code == 1
    assert [training.state for training in trainings] == ["failed", "finished", "failed", "finished"]
    out = capsys.readouterr().out
    assert out.count("seed 1: a word\n") == 1
    assert f"seed 0 failed: KeelError: loss is nan\n  {tmp_path / '0' / 'output.log'}:\n  what led to it" in out
    assert "seed 2 failed: killed by SIGKILL" in out
    assert jobs.summary(trainings[2]) == {
        "run": str(tmp_path / "2"),
        "label": "seed 2",
        "state": "failed",
        "global_step": 50,
        "error": "killed by SIGKILL",
    }


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_asks_each_once_and_starts_no_more(
    perform: Perform, tmp_path: Path, stop: signal.Signals, code: int
) -> None:
    def interrupt() -> None:
        wait_until(began(tmp_path, 0, 1))
        os.kill(os.getpid(), stop)

    found, trainings = perform("train train train", 2, interrupt)
    assert found == code
    assert [training.state for training in trainings] == ["stopped", "stopped", "waiting"]
    assert [(tmp_path / str(seed) / "heard").read_text() for seed in (0, 1)] == ["1", "1"]
    sessions = {int((tmp_path / str(seed) / "began").read_text().split()[1]) for seed in (0, 1)}
    assert len(sessions | {os.getsid(0)}) == 3  # so that Ctrl-C in a terminal reaches none of them


def test_the_second_signal_stops_at_once(perform: Perform, tmp_path: Path) -> None:
    def interrupt() -> None:
        wait_until(began(tmp_path, 0, 1))
        os.kill(os.getpid(), signal.SIGINT)
        wait_until((tmp_path / "1" / "heard").exists)  # by the first signal
        os.kill(os.getpid(), signal.SIGINT)

    code, trainings = perform("stubborn train", 2, interrupt)
    assert code == 130
    assert [training.state for training in trainings] == ["stopped", "stopped"]
    assert (tmp_path / "0" / "heard").read_text() == "2"


@pytest.mark.parametrize("signals", [2, 3])
def test_no_signal_tears_the_end_of_a_training_apart(
    perform: Perform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: int
) -> None:
    def end_among_signals(job: Job, *, stopping: bool) -> None:
        monkeypatch.setattr(Job, "end", end)
        wait_until(began(tmp_path, 1))
        for _ in range(signals):
            os.kill(os.getpid(), signal.SIGINT)
        job.end(stopping=stopping)

    end = Job.end
    monkeypatch.setattr(Job, "end", end_among_signals)
    code, trainings = perform("die train", 2)
    assert code == 130
    states = [training.state for training in trainings]
    if signals == 2:
        assert states == ["failed", "stopped"]
    else:  # which leaves no time to see why the first one ended, nor the second one to begin
        assert states in (["stopped", "stopped"], ["stopped", "waiting"])


@pytest.fixture
def killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, perform: Perform) -> Callable[[str, str], Progress]:
    """A training that is killed once it has written `after`: two signals, and no time after the second one."""
    ask = Jobs._ask_to_stop

    def ask_and_interrupt(self: Jobs) -> None:
        monkeypatch.setattr(Jobs, "_ask_to_stop", ask)
        ask(self)
        os.kill(os.getpid(), signal.SIGINT)

    def call(act: str, after: str) -> Progress:
        def interrupt() -> None:
            wait_until((tmp_path / "0" / after).exists)
            os.kill(os.getpid(), signal.SIGINT)

        code, (training,) = perform(act, 1, interrupt)
        assert code == 130
        return training

    monkeypatch.setattr(Jobs, "_ask_to_stop", ask_and_interrupt)
    monkeypatch.setattr(jobs, "GRACE_SECONDS", 0.0)
    return call


def test_who_does_not_stop_in_time_is_killed_and_told_as_stopped(
    killed: Callable[[str, str], Progress], tmp_path: Path
) -> None:
    assert killed("stubborn", "began").state == "stopped"
    assert not (tmp_path / "0" / "heard").exists()


def test_who_is_killed_when_all_was_told_is_told_as_that(
    killed: Callable[[str, str], Progress], capsys: pytest.CaptureFixture[str]
) -> None:
    assert killed("hang", "told").state == "finished"
    assert "failed" not in capsys.readouterr().out


def test_who_is_killed_after_an_error_is_told_with_it(
    killed: Callable[[str, str], Progress], capsys: pytest.CaptureFixture[str]
) -> None:
    training = killed("fail_late", "told")
    assert (training.state, training.error) == ("failed", "KeelError: loss is nan")
    assert "seed 0 failed: KeelError: loss is nan" in capsys.readouterr().out
