"""What Weights & Biases gets of real trainings: settings, every row, the summary, the film, the checkpoint, no secret."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from keel.runners import checkpoint
from keel.runners.mirror.mirror import sync_runs
from keel.runners.mirror.rows import MirrorState
from keel.runners.mirror.session import _summarise
from keel.runners.run import Run

from .fake_wandb_server import FakeWandbServer
from .mirror_helpers import (
    CANARY,
    KEY,
    assert_no_secret,
    forget_account,
    offline_records,
    rows_in,
    rows_of,
    without_empty,
)

Keel = Callable[..., Any]  # the real command line, within this process
PPO = "train ppo --env CartPole-v1 --total-steps 4096 --evaluate-every 2048 --evaluate-episodes 2"
TRAININGS = {
    "ppo": PPO,
    "sb3-a2c": "train sb3-a2c --env CartPole-v1 --total-steps 400 --num-envs 2 --report-every 100 --evaluate-every 200 "
    "--evaluate-episodes 2",
    "pretrain": "pretrain cnn --task digits --epochs 2",
    "alphazero": "train alphazero --game tic_tac_toe --iterations 3 --evaluations 1 --evaluate-games 4 "
    "--opponents random",
}


@pytest.fixture(autouse=True)
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_account(tmp_path, monkeypatch)


@pytest.fixture
def train(keel: Keel, tmp_path: Path) -> Callable[..., Run]:
    """A training by its command; returns its run."""

    def call(command: str, *more: str, name: str = "run") -> Run:
        outcome = keel(*command.split(), *more, "--run-dir", tmp_path / name)
        assert outcome.code == 0, outcome.error
        return Run.open(tmp_path / name)

    return call


@pytest.mark.usefixtures("without_report")
def test_a_real_run_arrives_whole(keel: Keel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with FakeWandbServer("accept") as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        outcome = keel(*PPO.split(), "--track", "wandb", "--run-dir", tmp_path / "run", "--json")
        [result] = outcome.json["runs"]
        assert 0.0 < result["tracking_seconds"] < result["training_seconds"]
        run = Run.open(tmp_path / "run")
        assert f"W&B: {MirrorState.load(run).url}\n" in outcome.error
        assert rows_of(server.history) == rows_in(run)
        _check_description(server, run)
        [film] = run.videos.glob("*.mp4")
        assert film.read_bytes() in server.uploads.values()
        assert server.artifacts.declared == []

        _ask_for_the_checkpoint(run)
        assert len(sync_runs([str(run.path)], json=True)["sent"]) == 1
        assert rows_of(server.history) == rows_in(run)
        _check_artifact(server, run, tmp_path / "downloaded")
    assert_no_secret(tmp_path)
    for body in [*server.bodies, *server.uploads.values()]:
        assert KEY.encode() not in body
        assert CANARY.encode() not in body


@pytest.mark.slow
@pytest.mark.usefixtures("without_report")
def test_tracking_takes_less_than_a_hundredth_of_a_training(
    keel: Keel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of seconds of training: half a second is less than what a busy machine lets a process wait at times."""
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with FakeWandbServer("accept") as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        arguments = ("train", "ppo", "--env", "CartPole-v1", "--total-steps", "65536", "--evaluate-every", "65536")
        outcome = keel(*arguments, "--track", "wandb", "--run-dir", tmp_path / "run", "--json")
    [result] = outcome.json["runs"]
    assert result["tracking_seconds"] < 0.01 * result["training_seconds"]


def _check_description(server: FakeWandbServer, run: Run) -> None:
    config = {name: about["value"] for name, about in json.loads(server.run["config"]).items() if name != "_wandb"}
    assert config.pop("environment") == run.environment()
    assert config == without_empty(run.config)
    summary = json.loads(server.uploads["wandb-summary.json"])
    rows = run.metrics()
    best = max(row["eval/return"] for row in rows if "eval/return" in row)
    assert summary["global_step"] == 4096
    assert summary["eval/return"] == {"max": best}
    last = [row["train/episode_return"] for row in rows if "train/episode_return" in row][-1]
    assert summary["train/episode_return"] == pytest.approx(last)
    histogram = summary["train/episode_return_histogram"]
    assert histogram["_type"] == "histogram"
    assert sum(histogram["values"]) == sum("train/episode_return" in row for row in rows)


def _ask_for_the_checkpoint(run: Run) -> None:
    run.save_settings({"training": run.config["training"] | {"track_checkpoints": True}})
    state = MirrorState.load(run)
    state.complete = False
    state.save(run)


def _check_artifact(server: FakeWandbServer, run: Run, folder: Path) -> None:
    """What was uploaded, put into a folder, is a run with a checkpoint that verifies to the last bit."""
    [declared] = server.artifacts.declared
    assert declared["artifactCollectionName"] == f"checkpoint-{MirrorState.load(run).id}"
    assert {"best", "latest"} == {alias["alias"] for alias in declared["aliases"]}
    assert server.artifacts.committed == ["a"]
    for name, content in server.uploads.items():
        if name.startswith("artifact/"):
            path = folder / name.removeprefix("artifact/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    assert Run.open(folder).config == run.config
    found = checkpoint.load(checkpoint.best(folder / "checkpoints"), agent="ppo")
    assert found.about == checkpoint.load(checkpoint.best(run.checkpoints), agent="ppo").about


@pytest.mark.slow
@pytest.mark.parametrize("command", TRAININGS.values(), ids=TRAININGS)
def test_every_kind_of_run_is_mirrored_offline_with_the_same_rows(train: Callable[..., Run], command: str) -> None:
    run = train(command, "--track", "wandb")
    records = offline_records(run)
    history = [record["history"]["item"] for record in records if record["type"] == "history"]
    assert rows_of(history) == rows_in(run)
    assert len(rows_in(run)) >= 3
    [config] = [record["run"]["config"]["update"] for record in records if record["type"] == "run"]
    settings = without_empty(config)
    assert settings | without_empty(run.config) == settings
    copies = {path.read_bytes() for path in run.path.glob("wandb/offline-run-*/files/media/videos/*.mp4")}
    assert copies == {(run.path / row["video"]).read_bytes() for row in run.media()}
    assert [record["exit"]["exit_code"] for record in records if record["type"] == "exit"] == [0]
    assert_no_secret(run.path.parent)


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", ["deny", "forbid", "fail", "hang", "slow", "vanish"])
@pytest.mark.usefixtures("without_report")
def test_no_service_changes_a_row(train: Callable[..., Run], behaviour: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = train(PPO, "--video", "False", name="alone")
    monkeypatch.setattr("keel.runners.completion.MIRROR_TIMEOUT_SECONDS", 5.0)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with FakeWandbServer(behaviour) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        run = train(PPO, "--video", "False", "--track", "wandb")
        assert run.status()["state"] == "finished"
        assert (run.path / "metrics.jsonl").read_bytes() == (alone.path / "metrics.jsonl").read_bytes()
        server.behaviour = "accept"
        assert len(sync_runs([str(run.path)], json=True)["failed"]) == 0
        assert rows_of(server.history) == rows_in(run)
    assert_no_secret(run.path.parent)


def test_the_returns_of_all_rows_are_summed_up_where_they_are_numbers(tmp_path: Path) -> None:
    run = Run.create("CartPole-v1", "ppo", 0, {}, run_dir=tmp_path / "run")
    rows = [{"global_step": 1, "eval/return": 1.0}, {"global_step": 2, "eval/return": math.nan}, {"global_step": 3}]
    lines = [json.dumps(row).replace("NaN", '"NaN"') for row in [*rows, {"global_step": 4, "eval/return": 3.0}]]
    (run.path / "metrics.jsonl").write_text("\n".join(lines) + "\n")

    session: Any = SimpleNamespace(summary={})
    _summarise(session, run)
    assert list(session.summary) == ["eval/return_histogram"]
    histogram = session.summary["eval/return_histogram"]
    assert sum(histogram.histogram) == 2
    assert (histogram.bins[0], histogram.bins[-1]) == (1.0, 3.0)
