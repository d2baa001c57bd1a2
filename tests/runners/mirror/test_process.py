"""The mirror process with a W&B client of a few lines: when it goes online, and how it ends whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from keel.runners.mirror.mirror import describe_mirror, start_mirror
from keel.runners.mirror.rows import MirrorState, only_mirror
from keel.runners.provenance import REDACTED
from keel.runners.run import Run
from keel.runners.tracker import JsonLines

from .mirror_helpers import (
    CONFIG,
    KEY,
    assert_no_secret,
    forget_account,
    processes_with,
    record_video,
    steps,
)

STUB = """
import json, os, time
class Settings:
    def __init__(self, **values): self.__dict__.update(values)
class setup:
    settings = Settings(base_url="https://wandb.test", mode=os.environ.get("WANDB_MODE", "online"), project=None)
class Histogram:
    def __init__(self, values): pass
class Video:
    def __init__(self, path, format): pass
class Run:
    url, starting_step = "https://wandb.test/run", 0
    def __init__(self, mode, dir):
        self.summary = {}
        self.offline, self.file = mode == "offline", open(os.path.join(dir, "stub.jsonl"), "a")
        self.write({"mode": mode})
    def write(self, row): print(json.dumps(row, default=str), file=self.file, flush=True)
    def define_metric(self, *_, **__): pass
    log = write
    def finish(self, exit_code): self.write({"exit_code": exit_code})
def init(mode, dir, **_):
    if mode == "online" and "STUB_FAILS" in os.environ: raise RuntimeError(os.environ["STUB_FAILS"])
    if mode == "online" and "STUB_HANGS" in os.environ: time.sleep(600)
    return Run(mode, dir)
"""


@pytest.fixture(autouse=True)
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_account(tmp_path, monkeypatch)


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A W&B client in a few lines that writes what it is given to RUN/stub.jsonl."""
    (tmp_path / "stub" / "wandb").mkdir(parents=True)
    (tmp_path / "stub" / "wandb" / "__init__.py").write_text(STUB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stub"))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create("CartPole-v1", "ppo", 0, CONFIG, run_dir=tmp_path / "run")


def stub_rows(run: Run) -> list[dict[str, Any]]:
    path = run.path / "stub.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.usefixtures("stub")
@pytest.mark.parametrize(
    ("environment", "netrc", "mode", "why"),
    [
        ({}, "", "offline", "no key"),
        ({"WANDB_API_KEY": KEY}, "", "online", None),
        ({}, f"machine wandb.test login user password {KEY}", "online", None),
        ({}, f"machine elsewhere.test login user password {KEY}", "offline", "no key"),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}, "", "offline", "WANDB_MODE"),
    ],
)
def test_online_where_a_key_exists(
    run: Run, environment: dict[str, str], netrc: str, mode: str, why: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (Path.home() / ".netrc").write_text(netrc)
    (Path.home() / ".netrc").chmod(0o600)
    rows, mirror = JsonLines(run), start_mirror(run)
    rows.log(1, {"x": 1.0})
    rows.finish("failed")
    mirror.finish(20)
    assert stub_rows(run) == [{"mode": mode}, {"global_step": 1, "x": 1.0}, {"exit_code": 1}]
    state = MirrorState.load(run)
    assert (state.mode, state.why_offline, state.complete) == (mode, why, True)


@pytest.mark.usefixtures("stub")
def test_disabled_means_nothing_is_mirrored(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    mirror = start_mirror(run)
    assert mirror.finish(20) == describe_mirror(run)
    assert "given nothing" in describe_mirror(run)
    assert stub_rows(run) == []


@pytest.mark.usefixtures("stub")
def test_a_client_that_hangs_is_replaced_by_an_offline_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_HANGS", "1")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    start = (
        "import sys; import keel.runners.mirror.process as m; m.WATCHDOG_SECONDS = 0.5; sys.exit(m.main(sys.argv[1:]))"
    )
    rows = JsonLines(run)
    rows.log(1, {"x": 1.0})
    rows.finish("finished")
    command = [sys.executable, "-P", "-c", start, str(run.path), "--parent", str(os.getpid())]
    assert subprocess.run(command, check=False, timeout=20).returncode == 0
    assert stub_rows(run) == [{"mode": "offline"}, {"global_step": 1, "x": 1.0}, {"exit_code": 0}]
    assert "offline (no answer in 0.5 s)" in describe_mirror(run)


@pytest.mark.usefixtures("stub")
def test_when_training_is_killed_the_mirror_delivers_the_rest_and_ends(tmp_path: Path) -> None:
    training = (
        "import os, signal, sys, time; from keel.runners.run import Run; from keel.runners.tracker import JsonLines\n"
        "from keel.runners.mirror.mirror import start_mirror\n"
        "run = Run.create('CartPole-v1', 'ppo', 0, {}, run_dir=sys.argv[1]); rows = JsonLines(run); start_mirror(run)\n"
        "time.sleep(1.0)\n"
        "for step in range(50): rows.log(step, {'x': 1.0})\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", training, str(tmp_path / "run")], check=False)
    assert ended.returncode == -signal.SIGKILL
    run, deadline = Run.open(tmp_path / "run"), time.monotonic() + 15
    while not MirrorState.load(run).complete and time.monotonic() < deadline:
        time.sleep(0.05)
    assert steps(stub_rows(run), "x") == list(range(50))
    assert stub_rows(run)[-1] == {"exit_code": 1}
    assert run.status()["state"] == "running"  # only the training may say what became of it


@pytest.mark.usefixtures("stub")
def test_an_old_status_of_another_process_does_not_end_the_mirror(run: Run) -> None:
    rows, mirror = JsonLines(run), start_mirror(run)
    old = run.status() | {"state": "interrupted", "pid": 1}
    (run.path / "status.json").write_text(json.dumps(old))
    time.sleep(1.5)
    rows.log(1, {"x": 1.0})
    rows.finish("finished")
    mirror.finish(20)
    assert steps(stub_rows(run), "x") == [1]


@pytest.mark.usefixtures("stub")
def test_a_mirror_waits_until_the_one_before_has_ended(run: Run) -> None:
    """As after kill -9 and an immediate resume: two at once would send rows twice."""
    with only_mirror(run):
        rows, mirror = JsonLines(run), start_mirror(run)
        rows.log(1, {"x": 1.0})
        rows.finish("finished")
        time.sleep(1.5)
        assert stub_rows(run) == []
    mirror.finish(20)
    assert steps(stub_rows(run), "x") == [1]


@pytest.mark.usefixtures("stub")
def test_ctrl_c_ends_the_wait_for_the_mirror_and_nothing_else(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_HANGS", "1")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background begins without it
    rows, mirror = JsonLines(run), start_mirror(run)
    rows.finish("finished")
    deadline = time.monotonic() + 15
    while not (run.path / "wandb.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    start = time.monotonic()
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
    assert mirror.finish(30) == f"W&B: offline (no answer); to send the run: keel sync {run.path}"
    assert time.monotonic() - start < 5
    assert processes_with(run.path) == []


@pytest.mark.usefixtures("stub")
def test_errors_of_the_service_are_logged_without_secrets(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_FAILS", f"rejected {KEY}")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    rows, mirror = JsonLines(run), start_mirror(run)
    rows.finish("finished")
    assert f"offline (rejected {REDACTED})" in mirror.finish(20)
    assert f"RuntimeError: rejected {REDACTED}" in (run.path / "mirror.log").read_text()
    assert_no_secret(run.path)


@pytest.mark.usefixtures("stub")
def test_a_video_that_was_deleted_is_passed_by(run: Run) -> None:
    rows = JsonLines(run)
    record_video(run, rows, 1)
    (run.videos / "step-1.mp4").unlink()
    record_video(run, rows, 2)
    mirror = start_mirror(run)
    rows.finish("finished")
    mirror.finish(20)
    assert steps(stub_rows(run), "video") == [2]
    assert steps(stub_rows(run), "global_step") == [
        1,
        2,
    ]  # one row each all the same: rows are how W&B is asked what it has
    assert "step-1.mp4 is gone" in (run.path / "mirror.log").read_text()
