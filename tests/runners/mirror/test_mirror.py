"""The mirror to Weights & Biases: every row arrives once, and whatever happens there, training never notices."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from keel.envs.errors import KeelError
from keel.runners.mirror.mirror import start_mirror, sync_runs
from keel.runners.mirror.rows import MirrorState
from keel.runners.run import Run
from keel.runners.tracker import JsonLines

from .fake_wandb_server import FakeWandbServer
from .mirror_helpers import (
    CONFIG,
    KEY,
    VIDEO,
    assert_no_secret,
    forget_account,
    is_film,
    offline_records,
    processes_with,
    record_video,
    rows_in,
    rows_of,
    steps,
    train,
    wait_for,
)


@pytest.fixture(autouse=True)
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_account(tmp_path, monkeypatch)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create("CartPole-v1", "ppo", 0, CONFIG, run_dir=tmp_path / "run")


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
    assert_no_secret(run.path.parent)


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


@pytest.mark.parametrize(
    ("behaviour", "code"), [("forbid", "403"), pytest.param("deny", "401", marks=pytest.mark.slow)]
)
def test_a_service_that_refuses_leaves_an_offline_run(
    run: Run, behaviour: Any, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with FakeWandbServer(behaviour) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        rows, mirror = JsonLines(run), start_mirror(run)
        assert train(rows, range(40)) < 0.01
        rows.finish("finished")
        line = mirror.finish(30)
        assert server.requests > 0
    assert line.startswith("W&B: offline (Failed to get resume status")
    assert code in line
    assert line.endswith(f"keel sync {run.path}")
    assert run.metrics()[-1]["global_step"] == 39
    assert MirrorState.load(run).metrics_rows == 40
    assert_no_secret(run.path.parent)


def test_a_service_that_is_silent_holds_nobody_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with FakeWandbServer("hang") as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        rows, mirror = JsonLines(run), start_mirror(run)
        assert train(rows, range(40)) < 0.01
        wait_for(lambda: server.requests > 0)
        rows.finish("finished")
        start = time.perf_counter()
        line = mirror.finish(0.5)
        assert time.perf_counter() - start < 1.5
    assert line == f"W&B: offline (no answer); to send the run: keel sync {run.path}"
    assert len(run.metrics()) == 40
    assert processes_with(run.path) == []
    assert_no_secret(run.path.parent)


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
    records = offline_records(run)
    history = [record["history"]["item"] for record in records if record["type"] == "history"]
    assert rows_of(history) == rows_in(run)
    assert steps(history) == list(range(100))
    assert [row["global_step"] for row in history if is_film(row)] == [99]
    [settings] = [record["run"]["config"]["update"] for record in records if record["type"] == "run"]
    assert settings["training"] == CONFIG["training"]
    assert [path.read_bytes() for path in run.path.glob("wandb/offline-run-*/files/media/videos/*.mp4")] == [VIDEO]
    assert [record["exit"]["exit_code"] for record in records if record["type"] == "exit"] == [0]
    assert_no_secret(run.path.parent)


def test_sync_without_a_key_says_what_is_missing(run: Run) -> None:
    with pytest.raises(KeelError, match="no key for Weights & Biases"):
        sync_runs([str(run.path)], json=True)
    assert not (run.path / "wandb.json").exists()


def test_sync_does_not_touch_a_run_in_training(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with run.lock():
        [failed] = sync_runs([str(run.path)], json=True)["failed"]
    assert f"in use by process {os.getpid()}" in failed["reason"]


@pytest.mark.slow
def test_a_service_that_vanishes_gets_the_rest_later(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with FakeWandbServer("accept") as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        rows, mirror = JsonLines(run), start_mirror(run)
        train(rows, range(40))
        wait_for(lambda: len(server.history) > 0)
        server.behaviour = "vanish"
        assert train(rows, range(40, 80)) < 0.01
        rows.finish("finished")
        line = mirror.finish(3)
        assert line == f"W&B did not take everything in time; send the rest: keel sync {run.path}"
        assert len(server.history) < 80
        assert steps(run.metrics()) == list(range(80))
        server.behaviour = "slow"
        assert len(sync_runs([str(run.path)], json=True)["sent"]) == 1
        assert rows_of(server.history) == rows_in(run)
    assert_no_secret(run.path.parent)
