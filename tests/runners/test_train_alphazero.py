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

from keel.envs.errors import KeelError
from keel.envs.games.games import make_game
from keel.runners import checkpoint
from keel.runners.cli import main
from keel.runners.players import make_player
from keel.runners.run import Run
from keel.runners.selfplay_settings import SelfPlaySettings, default_settings, read_options

SMALL = shlex.split(
    "--game tic_tac_toe --iterations 6 --evaluations 2 --evaluate-games 4 --opponents random rollouts:5 "
    "--checkpoint-every 2 --selfplay.games 6 --selfplay.moves 8 --search.simulations 8 --learning-starts 50 "
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


def states_of(run: Run) -> dict[str, Any]:
    return checkpoint.load(checkpoint.latest(run.checkpoints)).state


def equal(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(equal(ours[name], theirs[name]) for name in ours)
    return bool(np.array_equal(np.asarray(ours), np.asarray(theirs)))


def test_killed_and_resumed_it_ends_as_if_nothing_had_happened(trained: Run, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "keel.runners.cli", "train", "alphazero", *SMALL, "--run-dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120.0
    while time.monotonic() < until and process.poll() is None:
        if (folder / "metrics.jsonl").exists() and (folder / "metrics.jsonl").read_bytes().count(b"\n") >= 3:
            break
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert main(["resume", str(folder)]) == 0
    assert (folder / "metrics.jsonl").read_bytes() == (trained.path / "metrics.jsonl").read_bytes()
    assert equal(states_of(Run.open(folder)), states_of(trained))
