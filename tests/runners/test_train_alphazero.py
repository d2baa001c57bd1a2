"""`keel train alphazero`: a run folder like any other, refusals before anything starts, and exact resume after a kill."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keel
from keel.agents.alphazero import AlphaZero
from keel.envs.errors import KeelError
from keel.envs.games.games import make_game
from keel.runners import checkpoint
from keel.runners.cli import main
from keel.runners.games.players import make_player
from keel.runners.run import Run
from keel.runners.selfplay.settings import SelfPlaySettings, default_settings, read_options
from keel.runners.selfplay.trainer import SelfPlayTrainer, anchor_of
from keel.runners.train_alphazero import train

SMALL = shlex.split(
    "--game tic_tac_toe --iterations 6 --evaluations 2 --evaluate-games 4 --opponents random rollouts:5 "
    "--checkpoint-seconds 0 --selfplay.games 6 --selfplay.moves 8 --search.simulations 8 --learning-starts 50 "
    "--batch-size 16 --backbone.blocks 1 --backbone.channels 8 --video False"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("alphazero") / "run"
    assert main(["train", "alphazero", *SMALL, "--run-dir", str(folder)]) == 0
    return Run.open(folder)


def test_a_run_holds_what_runs_hold(trained: Run) -> None:
    rows = trained.metrics()
    assert trained.status()["state"] == "finished"
    assert [row["global_step"] for row in rows] == [96 * (1 + number) for number in range(6)]
    evaluated = [row for row in rows if "eval/elo" in row]
    assert len(evaluated) == 2
    assert {"eval/score_random", "eval/score_rollouts:5", "eval/return", "eval/elo_low"} <= set(evaluated[0])
    assert "eval/score_best" in evaluated[1]
    assert "loss/policy" in rows[-1]
    page = (trained.path / "report.html").read_text()
    assert "AlphaZero plays tic tac toe" in page
    assert "<script" not in page
    assert (trained.path / "strength.png").stat().st_size > 10_000
    assert trained.environment()["resume"] == "exact"


@pytest.mark.usefixtures("runs_directory")
def test_minutes_that_end_after_what_was_due_was_counted_leave_no_network_unjudged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The clock jumps past the end just after the third iteration saw that no evaluation was due yet."""
    log_timing, evaluated = SelfPlayTrainer.log_timing, []

    def log_and_jump(self: SelfPlayTrainer) -> None:
        log_timing(self)
        if self.learner.iteration == 3:
            self.clock.before += 600.0

    monkeypatch.setattr(SelfPlayTrainer, "log_timing", log_and_jump)
    options = [*SMALL, "--iterations", "0", "--minutes", "9", "--evaluations", "1"]
    settings, _ = read_options(options)
    result = train(settings, on_evaluation=lambda trainer: evaluated.append(trainer.learner.iteration))
    assert evaluated == [result.iterations]


@pytest.mark.usefixtures("runs_directory")
def test_a_run_that_was_stopped_as_its_minutes_ended_is_judged_when_it_is_resumed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The third iteration is the last one by the time that its row of timing is written; then the run is stopped."""
    log_timing = SelfPlayTrainer.log_timing

    def jump_and_stop(self: SelfPlayTrainer) -> None:
        if self.learner.iteration == 3:
            self.clock.before += 600.0
            self.wish.signal = signal.SIGTERM
        log_timing(self)

    monkeypatch.setattr(SelfPlayTrainer, "log_timing", jump_and_stop)
    settings, _ = read_options([*SMALL, "--iterations", "0", "--minutes", "9", "--evaluations", "1"])
    run = train(settings).run
    assert not any("eval/elo" in row for row in run.metrics())
    assert main(["resume", str(run.path)]) == 0
    rows = Run.open(run.path).metrics()
    assert ["eval/elo" in row for row in rows] == [False, False, False, True]
    assert Run.open(run.path).status()["state"] == "finished"


def test_its_network_plays(trained: Run) -> None:
    game = make_game("tic_tac_toe")
    player = make_player(f"{trained.path}:50", game)
    winning = np.array([1, 1, 0, -1, -1, 0, 0, 0, 0], np.int8)
    assert player.choose(winning[None], np.random.default_rng(0)).tolist() == [2]
    last = make_player(str(trained.path), game, checkpoint="last")
    assert last.choose(winning[None], np.random.default_rng(0)).shape == (1,)
    with pytest.raises(ValueError, match="plays tic_tac_toe, and the game is connect_four"):
        make_player(str(trained.path), make_game("connect_four"))
    with pytest.raises(ValueError, match="'many' simulations; a whole number"):
        make_player(f"{trained.path}:many", game)


def test_settings_survive_the_way_to_json(trained: Run) -> None:
    settings = SelfPlaySettings.from_run(trained)
    assert SelfPlaySettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
    assert settings.hyperparameters.selfplay.games == 6
    assert default_settings("connect_four").backbone.kind == "board"
    assert read_options(["--game", "connect_four", "--backbone", "cnn"])[0].backbone.kind == "cnn"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "needs --game NAME"),
        (["--game", "connect_for"], "did you mean 'connect_four'"),
        (["--game", "tic_tac_toe", "--opponents", "randm"], "did you mean 'random'"),
        (["--game", "tic_tac_toe", "--opponents", "rollouts:x"], "a whole number of at least 1"),
        (["--game", "tic_tac_toe", "--selfplay.random-moves", "9"], "random_moves is 9"),
        (["--game", "tic_tac_toe", "--evaluate-games", "5"], "it must be even"),
        (["--game", "tic_tac_toe", "--opponents", "random", "random"], "opponents names 'random' 2 times"),
        (["--game", "tic_tac_toe", "--iterations", "1", "--learning-starts", "9999"], "nothing would be learnt"),
        (["--game", "tic_tac_toe", "--backbone", "lstm"], "lstm has memory"),
        (["--game", "tic_tac_toe", "--backbone", "resnet"], "backbone is 'resnet'"),
    ],
)
def test_wrong_settings_are_refused_before_a_folder_is_made(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    assert main(["train", "alphazero", *arguments, "--run-dir", str(folder)]) == 2
    assert words in capsys.readouterr().err
    assert not folder.exists()


def test_what_belongs_to_other_runs_is_refused(trained: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resume", str(trained.path), "--total-steps", "10"]) == 2
    assert "--total-steps is for agents in worlds" in capsys.readouterr().err
    assert main(["resume", str(trained.path), "--iterations", "6"]) == 2
    assert "iterations is 6, and 6 are over: give more" in capsys.readouterr().err
    assert main(["resume", str(trained.path), "--iterations", "9", "--minutes", "1"]) == 2
    assert "two ways to say when training ends" in capsys.readouterr().err
    assert main(["evaluate", str(trained.path)]) == 2
    assert "keel arena" in capsys.readouterr().err


def test_a_checkpoint_of_another_network_is_refused(trained: Run, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained.path, copy)
    config = json.loads((copy / "config.json").read_text())
    config["backbone"]["channels"] = 9
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises((KeelError, ValueError), match="backbone"):
        make_player(str(copy), make_game("tic_tac_toe"))
    assert main(["resume", str(copy)]) == 2


def test_the_arena_takes_the_checkpoint_that_is_asked_for(trained: Run, tmp_path: Path) -> None:
    """Without its best checkpoint the run can still be met, and only there by its last one."""
    copy = tmp_path / "copy"
    shutil.copytree(trained.path, copy)
    for weights in (copy / "checkpoints" / "best").glob("*.safetensors"):
        weights.write_bytes(b"damaged")
    arena = ["arena", str(copy), "random", "--games", "2", "--output", str(tmp_path / "arena")]
    assert main(arena) == 2
    assert main([*arena, "--checkpoint", "last"]) == 0


def states_of(run: Run) -> dict[str, Any]:
    return checkpoint.load(checkpoint.latest(run.checkpoints)).state


def equal(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(equal(ours[name], theirs[name]) for name in ours)
    return bool(np.array_equal(np.asarray(ours), np.asarray(theirs)))


@pytest.mark.parametrize("rows", [pytest.param(1, marks=pytest.mark.slow), 4, pytest.param(5, marks=pytest.mark.slow)])
def test_killed_and_resumed_it_ends_as_if_nothing_had_happened(trained: Run, tmp_path: Path, rows: int) -> None:
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "keel.runners.cli", "train", "alphazero", *SMALL, "--run-dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120.0
    while time.monotonic() < until and process.poll() is None:
        if (folder / "metrics.jsonl").exists() and (folder / "metrics.jsonl").read_bytes().count(b"\n") >= rows:
            break
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert main(["resume", str(folder)]) == 0
    same_run(Run.open(folder), trained)


def same_run(ours: Run, theirs: Run) -> None:
    assert (ours.path / "metrics.jsonl").read_bytes() == (theirs.path / "metrics.jsonl").read_bytes()
    assert equal(states_of(ours), states_of(theirs))
    best, other = (checkpoint.load(checkpoint.best(run.checkpoints)).state for run in (ours, theirs))
    assert equal(best, other)
    names = [sorted(path.name for path in (run.path / "games").iterdir()) for run in (ours, theirs)]
    assert names[0] == names[1]


@pytest.mark.parametrize("iteration", [pytest.param(2, marks=pytest.mark.slow), 3, 6])
def test_stopped_and_resumed_it_ends_as_if_nothing_had_happened(
    trained: Run, tmp_path: Path, iteration: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C within an iteration that is followed by an evaluation (3 and 6), or by none."""
    folder, learn = tmp_path / "stopped", AlphaZero.learn

    def learn_and_stop(self: AlphaZero, progress: float) -> Any:
        if self.iteration == iteration - 1:
            signal.raise_signal(signal.SIGINT)
        return learn(self, progress)

    monkeypatch.setattr(AlphaZero, "learn", learn_and_stop)
    assert main(["train", "alphazero", *SMALL, "--run-dir", str(folder)]) == 130
    monkeypatch.setattr(AlphaZero, "learn", learn)
    assert main(["resume", str(folder)]) == 0
    same_run(Run.open(folder), trained)


def test_evaluations_beyond_the_snapshot_are_forgotten(trained: Run, tmp_path: Path) -> None:
    """As after a kill between an evaluation and the snapshot that would have known it."""
    copy = tmp_path / "copy"
    shutil.copytree(trained.path, copy)
    (copy / "games" / "iteration-99.jsonl").write_text("{}\n")
    shutil.rmtree(copy / "checkpoints" / "best")
    assert main(["resume", str(copy), "--iterations", "7"]) == 0
    assert not (copy / "games" / "iteration-99.jsonl").exists()
    assert checkpoint.load(checkpoint.best(copy / "checkpoints")).about["agent"] == "alphazero"
    assert Run.open(copy).config["training"]["iterations"] == 7
    assert ["eval/elo" in row for row in Run.open(copy).metrics()[-2:]] == [True, True]  # its sixth was the end before


def test_ratings_stand_on_random_play_or_else_on_the_first_opponent() -> None:
    assert anchor_of(("rollouts:5", "random")) == "random"
    assert anchor_of(("rollouts:5", "one_ply")) == "rollouts:5"
    assert anchor_of(()) is None


def test_from_python(tmp_path: Path) -> None:
    run = keel.train_selfplay(
        "tic_tac_toe",
        iterations=2,
        evaluations=0,
        learning_starts=50,
        selfplay={"games": 6, "moves": 8},
        search={"simulations": 8},
        video=False,
        run_dir=tmp_path / "run",
    )
    assert run.config["hyperparameters"]["selfplay"]["games"] == 6
    assert run.config["hyperparameters"]["selfplay"]["random_moves"] == 6, "what is not given stays the preset's"
    found = keel.load_player(run, 30).think(np.array([[1, 1, 0, -1, -1, 0, 0, 0, 0]], np.int8))
    assert found.action.tolist() == [2], "its last network, as none was evaluated"
    with pytest.raises(ValueError, match="minuts is not a setting of alphazero; did you mean 'minutes'"):
        keel.train_selfplay("tic_tac_toe", minuts=1)
    with pytest.raises(ValueError, match="train_selfplay"):
        keel.train("alphazero", env="connect_four")
