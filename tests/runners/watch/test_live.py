"""Following a run that trains: the newest whole checkpoint is shown, whatever happens to the folder meanwhile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from keel.runners import checkpoint
from keel.runners.checkpoint import CheckpointError
from keel.runners.run import Run
from keel.runners.watch import live as watch_live
from keel.runners.watch.live import Follower, follow, has_ended, newest_step


class OneNumber:
    """An agent whose network is one number."""

    def __init__(self) -> None:
        self.network = torch.nn.Linear(1, 1, bias=False)

    @property
    def number(self) -> float:
        return float(self.network.weight.detach())


def save(run: Run, step: int, number: float | None = None) -> Path:
    weight = torch.full((1, 1), float(step if number is None else number))
    state = {"agent": {"network": {"weight": weight}}}
    about = {"agent": "ppo", "env": "World-v0", "global_step": step}
    return checkpoint.save(run.checkpoints, checkpoint.step_name(step), state, about=about)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create("World-v0", "ppo", 0, {}, run_dir=tmp_path / "run")


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What happens in each nap between two looks, in order; a nap too many is an error."""
    events: list[Any] = []

    def sleep(seconds: float) -> None:
        assert events, "it waits for ever"
        events.pop(0)()

    monkeypatch.setattr("keel.runners.watch.live.time.sleep", sleep)
    return events


def follower(run: Run, agent: Any, step: int = 0, *, wait: bool = True) -> Follower:
    return Follower(run, agent, step, wait=wait)


def test_each_new_checkpoint_is_shown_once_and_the_last_one_too(run: Run, naps: list[Any]) -> None:
    agent = OneNumber()
    following = follower(run, agent)
    assert following.before_episode() == "step 0"  # what it was given, although nothing newer is there
    naps += [lambda: None, lambda: save(run, 1_000)]
    assert following.before_episode() == "step 1,000"
    assert agent.number == 1_000
    save(run, 2_000)
    save(run, 3_000)
    assert following.before_episode() == "step 3,000"  # the newest alone
    naps += [lambda: (save(run, 4_000), run.set_status("finished"))]
    assert following.before_episode() == "step 4,000"
    assert following.before_episode() is None
    assert agent.number == 4_000


def test_in_a_window_nothing_waits_and_nothing_ends(run: Run, naps: list[Any]) -> None:
    following = follower(run, OneNumber(), wait=False)
    run.set_status("finished")
    assert [following.before_episode() for _ in range(3)] == ["step 0"] * 3
    save(run, 500)
    assert following.before_episode() == "step 500"
    assert naps == []


def test_what_was_saved_between_two_looks_at_an_ending_run_is_not_missed(
    run: Run, monkeypatch: pytest.MonkeyPatch, naps: list[Any]
) -> None:
    following = follower(run, OneNumber())
    following.before_episode()
    ended = has_ended(run)

    def just_before_the_end(_: Run) -> bool:
        save(run, 7)
        run.set_status("finished")
        return ended

    monkeypatch.setattr(watch_live, "has_ended", just_before_the_end)
    assert following.before_episode() == "step 7"


def test_a_checkpoint_that_vanishes_while_it_is_read_is_looked_for_again(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, agent = checkpoint.load, OneNumber()
    save(run, 10)

    def late(path: Path, **options: Any) -> Any:
        if newest_step(run) == 10:
            save(run, 20)
            save(run, 30)
            shutil.rmtree(path, ignore_errors=True)
            assert not path.exists()
        return load(path, **options)

    monkeypatch.setattr(checkpoint, "load", late)
    assert follower(run, agent, wait=False).before_episode() == "step 30"
    assert agent.number == 30


def test_a_damaged_checkpoint_leaves_the_weights_as_they_are(run: Run) -> None:
    agent = OneNumber()
    before = agent.number
    (save(run, 10) / "state.safetensors").write_bytes(b"half")
    following = follower(run, agent, wait=False)
    assert following.before_episode() == "step 0"
    assert agent.number == before
    save(run, 20)
    assert following.before_episode() == "step 20"


def test_weights_are_those_of_their_step_while_another_thread_replaces_them(run: Run) -> None:
    agent, seen = OneNumber(), []
    following = follower(run, agent, wait=False)
    save(run, 1)
    writer = threading.Thread(target=lambda: [save(run, step) for step in range(2, 61)])
    writer.start()
    while writer.is_alive():
        following.before_episode()
        seen.append((following.step, agent.number))
    writer.join()
    following.before_episode()
    assert all(step == number for step, number in seen if step)
    assert [step for step, _ in seen] == sorted(step for step, _ in seen)
    assert len({step for step, _ in seen}) > 3
    assert agent.number == 60


def test_a_run_ends_when_it_says_so_or_its_process_is_gone(run: Run) -> None:
    assert not has_ended(run)
    for state in ("finished", "interrupted", "failed"):
        run.set_status(state)
        assert has_ended(run)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    status = (run.path / "status.json").read_text().replace("failed", "running")
    (run.path / "status.json").write_text(status.replace(str(os.getpid()), str(gone.pid)))
    assert has_ended(run)
    (run.path / "status.json").unlink()
    assert not has_ended(run)  # it begins


def test_a_run_without_a_checkpoint_is_waited_for_while_it_trains(
    run: Run, monkeypatch: pytest.MonkeyPatch, naps: list[Any]
) -> None:
    told, agent = [], OneNumber()

    class Acts:
        about: dict[str, Any] = {"global_step": 5}  # noqa: RUF012

    Acts.agent = agent  # pyright: ignore[reportAttributeAccessIssue]

    def subject(opened: Run, which: str, **options: Any) -> Any:
        checkpoint.resolve(opened.path, "last")
        assert (which, options) == ("last", {"device": "cpu"})
        return Acts

    monkeypatch.setattr(watch_live, "run_subject", subject)
    naps += [lambda: None, lambda: save(run, 5)]
    _, following = follow(run, wait=True, waiting=lambda: told.append("waits"), device="cpu")
    assert told == ["waits"]
    assert following.step == 5


def test_a_run_that_ended_without_a_checkpoint_is_an_error(
    run: Run, naps: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_live, "run_subject", lambda opened, which: checkpoint.resolve(opened.path, which))
    run.set_status("failed")
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        follow(run, wait=True)
    assert naps == []


def test_steps_are_read_from_names_alone(run: Run) -> None:
    assert newest_step(run) == -1
    save(run, 12)
    (run.checkpoints / "step-nonsense").mkdir()
    (run.checkpoints / ".tmp-step-000000000099").mkdir()
    assert newest_step(run) == 12
