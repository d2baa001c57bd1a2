"""The mirror to Weights & Biases: every row arrives once, and whatever happens there, training never notices."""

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

from keel.envs.errors import KeelError
from keel.runners.mirror import MirrorState, _only_mirror, describe_mirror, start_mirror, sync_runs
from keel.runners.provenance import REDACTED
from keel.runners.run import Run
from keel.runners.tracker import JsonLines

from .fake_wandb_server import FakeWandbServer

KEY = "c0ffee" * 7
CANARY = "canary-7f3b19c2d4"
CONFIG = {"training": {"num_envs": 8, "env_options": {"gravity": 9.8}}, "backbone": {"kind": "mlp"}}
VIDEO = b"not really a video" * 100

STUB = """
import json, os, time
class Settings:
    def __init__(self, **values): self.__dict__.update(values)
class setup:
    settings = Settings(base_url="https://wandb.test", mode=os.environ.get("WANDB_MODE", "online"), project=None)
class Video:
    def __init__(self, path, format): pass
class Run:
    url, starting_step = "https://wandb.test/run", 0
    def __init__(self, mode, dir):
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
    """Nothing of the person who runs the tests: no key, no settings; and a canary that must never be written."""
    for name in [name for name in os.environ if name.startswith("WANDB_") or name == "NETRC"]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SOME_SERVICE_TOKEN", CANARY)


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A W&B client in a few lines that writes what it is given to RUN/stub.jsonl."""
    (tmp_path / "stub" / "wandb").mkdir(parents=True)
    (tmp_path / "stub" / "wandb" / "__init__.py").write_text(STUB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stub"))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create("CartPole-v1", "ppo", 0, CONFIG, run_dir=tmp_path / "run")


def metrics(step: int) -> dict[str, float]:
    return {"train/episode_return": step / 3, "eval/return": 100.0 - abs(step - 150), "loss/policy": float("nan")}


def train(rows: JsonLines, steps: range, pause_seconds: float = 0.05) -> float:
    """A training with a row every 50 ms, as after an update of PPO; returns the share of the time spent on tracking."""
    start, spent = time.perf_counter(), rows.seconds_spent
    for step in steps:
        time.sleep(pause_seconds)
        rows.log(step, metrics(step))
    return (rows.seconds_spent - spent) / (time.perf_counter() - start)


def record_video(run: Run, rows: JsonLines, step: int) -> None:
    path = run.videos / f"step-{step}.mp4"
    path.write_bytes(VIDEO)
    rows.video(step, path)


def steps(rows: list[dict[str, Any]], key: str = "eval/return") -> list[int]:
    return [row["global_step"] for row in rows if key in row]


def stub_rows(run: Run) -> list[dict[str, Any]]:
    path = run.path / "stub.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def assert_no_secret(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path
            assert CANARY.encode() not in path.read_bytes(), path


def test_every_row_arrives_once_through_stop_resume_and_loss(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with FakeWandbServer("accept") as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        rows, mirror = JsonLines(run), start_mirror(run)
        assert train(rows, range(40)) < 0.01
        train(rows, range(40, 300), pause_seconds=0)
        position = rows.position()
        train(rows, range(300, 320), pause_seconds=0.01)
        record_video(run, rows, 319)
        rows.finish("interrupted")
        line = mirror.finish(30)
        assert line == f"W&B: {server.url}/somebody/keel/runs/{MirrorState.load(run).id}"
        assert steps(server.history) == list(range(320))
        assert server.history[7]["train/episode_return"] == pytest.approx(7 / 3)
        _check_description(server, run)

        run.save_settings({"training": CONFIG["training"] | {"total_steps": 350}})
        rows, mirror = JsonLines(run), start_mirror(run)
        rows.truncate(position)  # resumed from a snapshot at step 300: rows are cut and written again
        train(rows, range(300, 350), pause_seconds=0.01)
        rows.finish("finished")
        assert mirror.finish(30) == line
        assert steps(server.history) == list(range(350))
        assert steps(server.history, "video") == [319]
        assert json.loads(server.run["config"])["training"]["value"]["total_steps"] == 350

        del server.history[330:]  # as if the machine had stopped before the last upload
        state = MirrorState.load(run)
        state.complete = False
        state.save(run)
        assert sync_runs([str(run.path)], json=True)["sent"] == [{"run": str(run.path), "url": state.url}]
        assert steps(server.history) == list(range(350))
        requests = server.requests
        assert sync_runs([str(run.path)], json=True)["skipped"][0]["reason"] == "everything is there already"
        assert server.requests == requests
    assert_no_secret(run.path)


def _check_description(server: FakeWandbServer, run: Run) -> None:
    """What makes runs compare on a dashboard at once."""
    expected = {"groupName": "CartPole-v1-ppo", "displayName": run.name, "jobType": "train", "project": "keel"}
    assert server.run | expected == server.run
    assert server.run["tags"] == ["ppo", "CartPole-v1", "mlp"]
    config = json.loads(server.run["config"])
    assert config["training"]["value"] == CONFIG["training"]
    assert config["environment"]["value"]["resume"] == "exact"
    defined = {metric.get("1") or metric["2"]: metric for metric in config["_wandb"]["value"]["m"]}
    assert defined.keys() >= {"global_step", "eval/return"}
    assert json.loads(server.uploads["wandb-summary.json"])["eval/return"]["max"] == 100.0
    assert VIDEO in server.uploads.values()


def test_a_service_that_refuses_leaves_an_offline_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with FakeWandbServer("forbid") as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        rows, mirror = JsonLines(run), start_mirror(run)
        assert train(rows, range(40)) < 0.01
        rows.finish("finished")
        line = mirror.finish(30)
        assert server.requests > 0
    assert line.startswith("W&B: offline (Failed to get resume status")
    assert "403" in line
    assert line.endswith(f"keel sync {run.path}")
    assert run.metrics()[-1]["global_step"] == 39
    assert MirrorState.load(run).metrics_rows == 40
    assert_no_secret(run.path)


def test_a_service_that_is_silent_holds_nobody_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with FakeWandbServer("hang") as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        rows, mirror = JsonLines(run), start_mirror(run)
        assert train(rows, range(40)) < 0.01
        rows.finish("finished")
        start = time.perf_counter()
        line = mirror.finish(0.5)
        assert time.perf_counter() - start < 1.5
        assert server.requests > 0
    assert line == f"W&B: offline (no answer); to send the run: keel sync {run.path}"
    assert len(run.metrics()) == 40
    assert _processes_with(run.path) == []
    assert_no_secret(run.path)


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", ["hang", "fail"])
def test_a_service_without_an_answer_leaves_an_offline_run(
    run: Run, behaviour: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with FakeWandbServer(behaviour) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        rows, mirror = JsonLines(run), start_mirror(run)
        train(rows, range(40))
        rows.finish("finished")
        assert mirror.finish(60).startswith("W&B: offline (")
    assert MirrorState.load(run).metrics_rows == 40
    assert list(run.path.glob("wandb/offline-run-*/*.wandb"))


def test_without_a_key_the_offline_run_has_settings_metrics_and_video(run: Run) -> None:
    rows, mirror = JsonLines(run), start_mirror(run)
    train(rows, range(100), pause_seconds=0.01)
    record_video(run, rows, 99)
    rows.finish("finished")
    assert mirror.finish(30) == f"W&B: offline (no key); to send the run: keel sync {run.path}"
    [log] = run.path.glob("wandb/offline-run-*/*.wandb")
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(log)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    records = [json.loads(line) for line in lines]
    history = [record["history"]["item"] for record in records if record["type"] == "history"]
    assert steps(history) == list(range(100))
    assert history[-1]["global_step"] == 99
    [settings] = [record["run"]["config"]["update"] for record in records if record["type"] == "run"]
    assert settings["training"] == CONFIG["training"]
    assert [path.read_bytes() for path in run.path.glob("wandb/offline-run-*/files/media/videos/*.mp4")] == [VIDEO]
    assert [record["exit"]["exit_code"] for record in records if record["type"] == "exit"] == [0]
    assert_no_secret(run.path)


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
    start = "import sys; import keel.runners.mirror as m; m.WATCHDOG_SECONDS = 0.5; sys.exit(m.main(sys.argv[1:]))"
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
        "from keel.runners.mirror import start_mirror\n"
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
    with _only_mirror(run):
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
    assert _processes_with(run.path) == []


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


def test_sync_without_a_key_says_what_is_missing(run: Run) -> None:
    with pytest.raises(KeelError, match="no key for Weights & Biases"):
        sync_runs([str(run.path)], json=True)
    assert not (run.path / "wandb.json").exists()


def test_sync_does_not_touch_a_run_in_training(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with run.lock():
        [failed] = sync_runs([str(run.path)], json=True)["failed"]
    assert f"in use by process {os.getpid()}" in failed["reason"]


def _processes_with(path: Path) -> list[str]:
    """The command lines of living processes that name a path."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode()
        except OSError:
            continue
        if str(path) in command:
            found.append(command)
    return found
