"""Several trainings at a time: the same bytes as one after the other, and one hand that stops and resumes them all."""

from __future__ import annotations

import io
import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keel.runners.benchmarks.exact_resume import files_of
from keel.runners.jobs import child, jobs
from keel.runners.jobs.child import Reports, carry_out
from keel.runners.jobs.jobs import gaps, resume_line
from keel.runners.jobs.view import JobsView, Progress
from keel.runners.options import read_options, seeds_line
from keel.runners.run import Run
from keel.runners.stop import StopWish
from keel.runners.trainer import Trainer

from .waiting import TIMEOUT, wait_until

Keel = Callable[..., Any]

SETTINGS: dict[str, Any] = {
    "total_steps": 768,
    "num_envs": 4,
    "num_steps": 32,
    "epochs": 2,
    "minibatch_size": 32,
    "checkpoint_every": 256,
    "evaluate_every": 512,
    "evaluate_episodes": 3,
    "video": False,
}
LONG = {"total_steps": 16384, "checkpoint_every": 4096, "evaluate_every": 8192}


def training(**changes: Any) -> list[str]:
    flags = [(f"--{name.replace('_', '-')}", str(value)) for name, value in (SETTINGS | changes).items()]
    return ["train", "ppo", "--env", "keel/CartPole-v0", *itertools.chain(*flags)]


def alone(keel: Keel, path: Path, **changes: Any) -> dict[str, bytes]:
    """What an unbroken training leaves that has a process for itself."""
    outcome = keel(*training(**changes), "--run-dir", path)
    assert outcome.code == 0, outcome.error
    return files_of(path)


# Real trainings


@pytest.mark.usefixtures("runs_directory")
def test_seeds_at_a_time_leave_the_bytes_of_seeds_in_turn(keel: Keel, tmp_path: Path, monkeypatch: Any) -> None:
    outcome = keel(*training(), "--seed", 4, "--seeds", 2, "--jobs", 2, "--json")
    assert outcome.code == 0, outcome.error
    monkeypatch.setattr("keel.runners.train.write_report", lambda *_, **__: None)
    runs = Run.all()
    assert [run.config["seed"] for run in runs] == [4, 5]
    assert [str(run.path) for run in runs] == [result["run"] for result in outcome.json["runs"]]
    assert [result["state"] for result in outcome.json["runs"]] == ["finished", "finished"]
    assert all((run.path / "report.html").exists() and (run.path / "cost.json").exists() for run in runs)
    for run in runs:
        assert files_of(run.path) == alone(keel, tmp_path / f"alone-{run.config['seed']}", seed=run.config["seed"])
    assert "seed 4" in outcome.error  # the view
    assert outcome.error.count("finished") == 2


@pytest.mark.slow
@pytest.mark.usefixtures("runs_directory", "without_report")
def test_one_ctrl_c_stops_all_and_one_line_resumes_all(keel: Keel, tmp_path: Path) -> None:
    """Through the real command line, with three seeds of which one is waiting."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "keel.runners.cli", *training(**LONG), "--seeds", "3", "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: sum(path.stat().st_size > 0 for path in Path().glob("results/runs/*/metrics.jsonl")) == 2)
    os.killpg(process.pid, signal.SIGINT)
    out, error = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130, error
    assert "Traceback" not in out + error
    runs = Run.all()
    assert [run.status()["state"] for run in runs] == ["interrupted"] * 2
    assert all(run.metrics()[-1]["global_step"] < LONG["total_steps"] for run in runs)
    line = out.splitlines()[-1].partition("continue with: ")[2]
    resume, train = line.split(" && ")
    assert resume == f"keel resume {runs[0].path} {runs[1].path} --jobs 2"
    assert train.endswith("--seed 2 --seeds 1")
    assert "--jobs" not in train  # of one seed there is nothing to do at once
    for command in (resume, train):
        outcome = keel(*shlex.split(command)[1:])
        assert outcome.code == 0, outcome.error
    for run in Run.all():
        assert files_of(run.path) == alone(keel, tmp_path / run.name, **LONG, seed=run.config["seed"])


@pytest.mark.usefixtures("without_report")
def test_a_training_whose_command_was_killed_saves_and_stops(keel: Keel, tmp_path: Path, monkeypatch: Any) -> None:
    """kill -9 of the command closes the pipe that a training tells its progress to."""
    monkeypatch.chdir(tmp_path)
    changes = {"total_steps": 2048}
    settings, _ = read_options("ppo", training(**changes)[2:])
    order = {"command": ["keel"], "settings": settings.to_json()}
    process = subprocess.Popen([sys.executable, *jobs.CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin as pipe:
        pipe.write(json.dumps(order).encode())
    told = json.loads(process.stdout.readline())
    process.stdout.close()
    assert process.wait(TIMEOUT) == 128 + signal.SIGTERM
    run = Run.open(tmp_path / told["run"])
    assert run.status()["state"] == "interrupted"
    assert 0 < run.metrics()[-1]["global_step"] < 2048
    assert "SIGTERM: saving and stopping" in (run.path / "output.log").read_text()
    assert keel("resume", run.path).code == 0
    assert files_of(run.path) == alone(keel, tmp_path / "alone", **changes)


@pytest.mark.usefixtures("runs_directory", "without_report")
def test_a_signal_between_the_folder_and_its_first_snapshot_leaves_a_run_to_resume(
    keel: Keel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Run.create

    def create_and_stop(*arguments: Any, **more: Any) -> Run:
        run = create(*arguments, **more)
        os.kill(os.getpid(), signal.SIGTERM)
        return run

    settings, _ = read_options("ppo", training()[2:])
    with StopWish(lambda _: None) as early, monkeypatch.context() as patch, open(os.devnull, "wb") as nobody:
        patch.setattr(Run, "create", create_and_stop)
        patch.setattr(child, "log_to", lambda _: None)
        result = carry_out({"settings": settings.to_json()}, Reports(nobody.fileno()), early)
    assert (result.state, result.global_step) == ("interrupted", 128)
    assert keel("resume", result.run.path).code == 0
    assert files_of(result.run.path) == alone(keel, tmp_path / "alone")


@pytest.mark.usefixtures("runs_directory")
def test_a_signal_before_there_is_a_folder_leaves_none() -> None:
    settings, _ = read_options("ppo", training()[2:])
    with StopWish(lambda _: None) as early, open(os.devnull, "wb") as nobody:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            carry_out({"settings": settings.to_json()}, Reports(nobody.fileno()), early)
    assert not any(Path().rglob("*"))


@pytest.mark.usefixtures("runs_directory")
def test_settings_that_do_not_fit_are_refused_once_and_before_anything_starts(keel: Keel) -> None:
    outcome = keel(*training(), "--seeds", 2, "--jobs", 2, "--env.gravty", 1)
    assert outcome.code == 2
    assert outcome.error.count("no option 'gravty'") == 1
    assert not any(Path().rglob("config.json"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("train ppo --env keel/CartPole-v0 --seeds 2 --jobs 0", "jobs is 0: it must be at least 1"),
        ("train ppo --env keel/CartPole-v0 --seeds 2 --jobs two", "--jobs"),
        ("train alphazero --game tic_tac_toe --seeds 2", "alphazero has no --seeds"),
        ("train alphazero --game tic_tac_toe --jobs=2", "alphazero has no --jobs"),
        ("resume latest --jobs 0", "it must be a whole number of at least 1"),
    ],
)
@pytest.mark.usefixtures("runs_directory")
def test_bad_numbers_of_jobs_are_refused(keel: Keel, arguments: str, expected: str) -> None:
    outcome = keel(*arguments.split())
    assert outcome.code == 2
    assert expected in " ".join(outcome.error.split())
    assert not any(Path().rglob("config.json"))


@pytest.mark.parametrize("agent", ["alphazero", "pretrain-cnn", "sb3-sac"])
def test_only_agents_in_worlds_are_resumed_several_at_once(keel: Keel, tmp_path: Path, agent: str) -> None:
    paths = [Run.create("x", name, 0, {}, run_dir=tmp_path / name).path for name in ("ppo", agent)]
    outcome = keel("resume", *paths, "--jobs", 2)
    assert outcome.code == 2
    assert f"{agent} is a run of {agent}: only runs of agents in worlds" in outcome.error


@pytest.mark.usefixtures("runs_directory", "without_report")
def test_seeds_in_turn_that_have_not_begun_are_named(keel: Keel, monkeypatch: pytest.MonkeyPatch) -> None:
    after_update = Trainer.after_update

    def stop(self: Trainer, metrics: Any) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return after_update(self, metrics)

    monkeypatch.setattr(Trainer, "after_update", stop)
    outcome = keel(*training(), "--seed", 3, "--seeds", 3)
    assert outcome.code == 130
    (run,) = Run.all()
    assert f"continue with: keel resume {run.path}\n" in outcome.out
    expected = shlex.join(["keel", *training(), "--seed", "4", "--seeds", "2"])
    assert outcome.out.splitlines()[-1] == f"seeds that have not begun: {expected}"


# Words


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_tell_what_is_new_at_most_every_two_seconds() -> None:
    stream, seconds = io.StringIO(), [0.0]
    training = Progress("seed 3", total_steps=1000)
    view = JobsView([training, Progress("seed 4")], stream, lambda: seconds[0])
    view.update()
    training.state = "running"
    for step in range(0, 1001, 50):  # five seconds at 200 steps a second
        training.reach(step, seconds[0])
        view.update()
        seconds[0] += 0.25
    seconds[0] = 6.0
    view.update()
    training.state, training.evaluation = "finished", 123.4
    view.close()
    assert stream.getvalue().splitlines() == [
        "seed 3    0%  0 / 1,000 steps  running",
        "seed 3   40%  400 / 1,000 steps  200 steps/s  running",
        "seed 3   80%  800 / 1,000 steps  200 steps/s  running",
        "seed 3  100%  1,000 / 1,000 steps  200 steps/s  reporting",
        "seed 3  100%  1,000 / 1,000 steps  evaluation 123.4  finished",
    ]


def test_a_terminal_sees_one_table_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = Terminal()
    trainings = [Progress("seed 3", "running", step=500, total_steps=1000), Progress("seed 4")]
    view = JobsView(trainings, stream)
    view.message("a word")
    view.close()
    shown = stream.getvalue()
    assert "a word" in shown
    row = next(line for line in shown.splitlines() if "seed 3" in line and "50%" in line)
    assert "500 / 1,000" in row
    assert "running" in row
    assert any("seed 4" in line and "waiting" in line for line in shown.splitlines())


def test_the_rest_of_a_command_line() -> None:
    arguments = ["--env", "X", "--seed", "3", "--seeds=5", "--jobs", "2"]
    assert seeds_line("ppo", arguments, 6, 2) == "keel train ppo --env X --jobs 2 --seed 6 --seeds 2"
    assert seeds_line("ppo", arguments, 7, 1) == "keel train ppo --env X --seed 7 --seeds 1"
    assert resume_line([Path("a"), Path("b c")], 2, 900) == "keel resume a 'b c' --total-steps 900 --jobs 2"
    assert gaps([False, True, True, False, True]) == [(1, 2), (4, 1)]
    assert gaps([]) == []
