"""`keel tune` from its command line to its page, with trials whose processes only pretend to train."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keel.runners import cli, options
from keel.runners.run import Run
from keel.runners.settings import Settings
from keel.runners.tune import command as tune
from keel.runners.tune import worker as tune_worker

pytest.importorskip("optuna")

# Learns the sooner the nearer its learning rate is to 0.003, fails above 0.008, and obeys SIGTERM as trainings do.
PRETENDER = """
import json, math, os, pathlib, signal, sys, time
job, outcomes = map(pathlib.Path, sys.argv[1:])
signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
for entry in json.loads(job.read_text()):
    settings = entry["settings"]
    rate, budget = settings["hyperparameters"]["learning_rate"], settings["training"]["total_steps"]
    folder = pathlib.Path("results/runs") / entry["name"]
    folder.mkdir(parents=True)
    if rate > 0.008:
        sys.exit("keel: loss/value is nan in update 3: training has diverged")
    need = 1_000 * (1 + abs(math.log(rate / 0.003)) * 4) * (0.8 + 0.4 * (settings["seed"] % 100) / 100)
    step, best = 0, 0.0
    with open(folder / "metrics.jsonl", "a") as metrics:
        while step < budget and best < 475:
            step += 500
            best = min(500.0, 475 * step / need)
            metrics.write(json.dumps({"global_step": step, "eval/return": best}) + "\\n")
            metrics.flush()
            time.sleep(SLEEP)
    row = {"run": entry["name"], "seed": settings["seed"], "solved": best >= 475, "steps": step,
           "training_seconds": step / 1e4, "best_return": best, "final_return": best, "mean_return": best / 2}
    with open(outcomes, "a") as file:
        file.write(json.dumps(row) + "\\n")
"""
SPACE = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "epochs": {"low": 1, "high": 12}}

Tune = Callable[..., Any]


@pytest.fixture
def pretend(runs_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Path]:
    """Trials train for `seconds` an evaluation, and not really."""
    (runs_directory.parents[1] / "space.json").write_text(json.dumps(SPACE))

    def begin(seconds: float = 0.0) -> Path:
        script = runs_directory.parents[1] / "pretender.py"
        script.write_text(PRETENDER.replace("SLEEP", str(seconds)))
        monkeypatch.setattr(tune_worker, "TRIAL_PROCESS", (str(script),))
        monkeypatch.setattr(tune_worker, "POLL_SECONDS", 0.01)
        return runs_directory.parents[1]

    begin()
    return begin


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than all that is pretended."""
    monkeypatch.setattr("keel.runners.tune.report.drawings", lambda _: {})


def keel_tune(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = cli.run("tune.command:main", [str(argument) for argument in arguments])
    out, error = capsys.readouterr()
    return code, out, error


BASE = ("ppo", "--env", "CartPole-v1", "--space", "space.json", "--name", "s", "--total-steps", 10_000)


@pytest.mark.usefixtures("pretend")
def test_a_study_from_its_command_to_its_page(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, error = keel_tune(capsys, *BASE, "--trials", 14, "--jobs", 2, "--verify", 6, "--json")
    assert code == 0, error
    study = json.loads(out)
    assert study == json.loads(Path("results/studies/s/study.json").read_text())
    assert study["objective"]["name"] == "steps"
    assert study["objective"]["goal"] == 475.0
    trials = study["trials"]
    assert len(trials) == 14
    assert {trial["state"] for trial in trials} <= {"complete", "pruned", "failed"}
    assert trials[0]["settings"] == study["tuned_from"] == {"learning_rate": 2e-3, "epochs": 6}
    for trial in trials:
        assert (trial["state"] == "failed") == (trial["settings"]["learning_rate"] > 0.008)
        if trial["state"] == "failed":
            assert trial["error"] == "loss/value is nan in update 3: training has diverged"
        if trial["state"] == "complete":
            solved = all(outcome["solved"] for outcome in trial["outcomes"])
            mean_steps = sum(outcome["steps"] for outcome in trial["outcomes"]) / 3
            assert trial["value"] == mean_steps if solved else trial["value"] > 10_000 * 10 / 3
            assert trial["runs"] == [f"s-trial-{trial['number']:03d}-seed-{index}" for index in (1, 2, 3)]
    whole = [trial for trial in trials if trial["state"] == "complete"]
    assert study["best"] == min(whole, key=lambda trial: trial["value"])
    folder = Path("results/studies/s")
    for name in ("history.png", "importances.png", "slices.png", "study.html"):
        assert (folder / name).stat().st_size > 1000, name
    assert "[14/14]  trial" in error
    if study["best"]["number"] != 0:
        assert study["verification"]["seeds"] == 6
        assert study["verification"]["words"] in (folder / "study.html").read_text()
        held_out = {outcome["seed"] for outcome in study["verification"]["tuned"]["outcomes"]}
        assert held_out == {outcome["seed"] for outcome in study["verification"]["before"]["outcomes"]}
        assert not held_out & {outcome["seed"] for trial in trials for outcome in trial["outcomes"]}


@pytest.mark.usefixtures("pretend", "without_figures")
def test_best_json_trains_the_best_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert keel_tune(capsys, *BASE, "--trials", 3, "--seed", 5)[0] == 0
    study = json.loads(Path("results/studies/s/study.json").read_text())
    settings, _ = options.read_options("ppo", ["--env", "CartPole-v1", "--config", "results/studies/s/best.json"])
    assert settings.hyperparameters.learning_rate == study["best"]["settings"]["learning_rate"]
    assert settings.training.stop_at_return is None  # which only trials had
    assert settings.training.video
    assert settings.seed == 5


@pytest.mark.usefixtures("pretend", "without_figures")
def test_the_same_command_goes_on_and_another_one_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert keel_tune(capsys, *BASE, "--trials", 2)[0] == 0
    code, _, error = keel_tune(capsys, *BASE, "--trials", 3, "--gamma", 0.9)
    assert code == 2
    assert "hyperparameters.gamma was 0.98 and is 0.9" in error
    assert keel_tune(capsys, *BASE, "--trials", 3)[0] == 0
    code, out, _ = keel_tune(capsys, "--resume", "s", "--trials", 4, "--json")
    assert code == 0
    assert [trial["number"] for trial in json.loads(out)["trials"]] == [0, 1, 2, 3]
    code, _, error = keel_tune(capsys, "--resume", "s", "--objective", "best", "--gamma", 0.5)
    assert code == 2
    assert "leave out --objective --gamma 0.5" in error


@pytest.mark.usefixtures("without_figures")
def test_ctrl_c_stops_the_trials_and_a_later_command_goes_on(
    pretend: Callable[[float], Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(0.05)
    looks = []

    def update(*_: object, **__: object) -> None:
        looks.append(0)
        if len(looks) == 40:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("keel.runners.tune.console.TuneConsole.update", update)
        code, _, error = keel_tune(capsys, *BASE, "--trials", 4, "--jobs", 2)
    assert code == 130
    assert "continue with: keel tune --resume" in error
    states = [trial["state"] for trial in json.loads(Path("results/studies/s/study.json").read_text())["trials"]]
    assert "interrupted" in states
    assert "running" not in states
    pretend(0.0)
    code, out, _ = keel_tune(capsys, "--resume", "s", "--json")  # as many as were asked for
    assert code == 0
    counted = [trial for trial in json.loads(out)["trials"] if trial["state"] in ("complete", "pruned", "failed")]
    assert len(counted) == 4


@pytest.mark.usefixtures("pretend", "without_figures")
def test_a_study_goes_on_to_as_many_as_were_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Also held-out seeds: a study that was killed before its verification is verified when it is continued."""
    quick = [*BASE, "--seeds-per-trial", 1, "--seed", 1, "--learning-rate", 5e-4]
    quick[quick.index("space.json")] = "epochs.json"
    Path("epochs.json").write_text(json.dumps({"epochs": SPACE["epochs"]}))
    code, out, error = keel_tune(capsys, *quick, "--trials", 3, "--verify", 4, "--json")
    assert code == 0, error
    shutil.rmtree("results/studies/s/verification", ignore_errors=True)
    code, again, error = keel_tune(capsys, "--resume", "s", "--json")
    assert code == 0, error
    assert len(json.loads(again)["trials"]) == 3
    assert [json.loads(text)["verification"]["seeds"] for text in (out, again)] == [4, 4]
    code, out, _ = keel_tune(capsys, *quick, "--trials", 4, "--verify", 5, "--json")
    assert (code, len(json.loads(out)["trials"])) == (0, 4)


@pytest.mark.usefixtures("pretend", "without_figures")
def test_settings_that_do_not_go_together_are_failed_trials(capsys: pytest.CaptureFixture[str]) -> None:
    Path("odd.json").write_text(json.dumps({"workers": {"choices": [0, 2]}, "num_envs": {"choices": [1, 32]}}))
    arguments = ["ppo", "--env", "CartPole-v1", "--space", "odd.json", "--name", "s", "--trials", 12]
    code, out, error = keel_tune(capsys, *arguments, "--seeds-per-trial", 1, "--json")
    assert code == 0, error
    for trial in json.loads(out)["trials"]:
        impossible = trial["settings"] == {"workers": 2, "num_envs": 1}
        assert (trial["error"] is not None and "more than the 1 worlds" in trial["error"]) == impossible


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["say which agent", "ppo"]),
        (["pqo", "--env", "CartPole-v1"], ["'pqo' cannot be tuned", "ppo"]),
        (["alphazero", "--game", "chess"], ["'alphazero' cannot be tuned"]),
        (["ppo"], ["needs --env ID"]),
        (["ppo", "--env", "CartPole-v1", "--trials", "0"], ["trials is 0"]),
        (["ppo", "--env", "CartPole-v1", "--jobs", "0"], ["jobs is 0"]),
        (["ppo", "--env", "CartPole-v1", "--seeds-per-trial", "-1"], ["seeds_per_trial is -1"]),
        (["ppo", "--env", "CartPole-v1", "--name", "a/b"], ["name is 'a/b'"]),
        (["ppo", "--env", "CartPole-v1", "--gamma", "2"], ["gamma is 2"]),
        (["ppo", "--env", "CartPole-v1", "--seeds", "3"], ["--seeds-per-trial"]),
        (["ppo", "--env", "CartPole-v1", "--space", "none.json"], ["none.json", "no such file"]),
        (["ppo", "--env", "CartPole-v1", "--space", "space.json", "--epochs", "3"], ["epochs is fixed"]),
        (["ppo", "--env", "Pendulum-v1", "--objective", "steps"], ["needs the mean return", "--goal"]),
        (["ppo", "--env", "CartPole-v1", "--verify", "2"], ["verify is 2", "at least 3"]),
        (["ppo", "--env", "CartPole-v1", "--goal", "nan"], ["goal is nan"]),
        (["ppo", "--env", "CartPole-v1", "--minibatch-size", "7"], ["minibatch_size"]),
        (["ppo", "--env", "CartPole-v1", "--wandb-sweep", "x.yaml", "--trials", "5"], ["leave out --trials"]),
        (["dqn", "--env", "Pendulum-v1"], ["Q-learning needs Discrete"]),
        (["--resume", "nothing", "--pruning", "median"], ["leave out --pruning"]),
        (["--resume", "nothing"], ["'nothing' is no study"]),
    ],
)
@pytest.mark.usefixtures("pretend", "without_figures")
def test_what_is_refused_before_anything_starts(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    code, _, error = keel_tune(capsys, *arguments)
    assert code == 2
    for word in words:
        assert word in error
    assert not Path("results").exists()


@pytest.mark.usefixtures("pretend", "without_figures")
def test_fixed_settings_reach_every_trial_and_leave_the_space(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["ppo", "--env", "CartPole-v1", "--name", "f", "--trials", 2, "--seeds-per-trial", 1]
    code, out, error = keel_tune(capsys, *command, "--learning-rate", 0.004, "--gamma=0.9", "--json")
    assert code == 0, error
    assert not {"learning_rate", "gamma"} & json.loads(out)["space"].keys()
    for path in Path("results/studies/f/trials").glob("*.json"):
        settings = Settings.from_json(json.loads(path.read_text())[0]["settings"])
        assert (settings.hyperparameters.learning_rate, settings.hyperparameters.gamma) == (0.004, 0.9)
        assert settings.training.stop_at_return == 475.0
        assert not settings.training.video


@pytest.mark.usefixtures("pretend", "without_figures")
def test_without_a_goal_the_final_return_counts(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["ppo", "--env", "Pendulum-v1", "--name", "p", "--trials", 1, "--seeds-per-trial", 1]
    code, out, error = keel_tune(capsys, *command, "--total-steps", 2_000, "--json")
    assert code == 0, error
    study = json.loads(out)
    assert (study["objective"]["name"], study["objective"]["goal"]) == ("final", None)
    assert study["best"]["value"] == study["trials"][0]["outcomes"][0]["final_return"]


@pytest.mark.usefixtures("pretend", "without_figures")
def test_a_sweep_file_is_all_that_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = keel_tune(capsys, "ppo", "--env", "CartPole-v1", "--wandb-sweep", "sweep.yaml", "--gamma", 0.97)
    assert code == 0
    assert "wandb sweep sweep.yaml" in out
    assert "backbone.hidden" in out
    document = json.loads(Path("sweep.yaml").read_text())
    assert document["command"][1:7] == ["keel", "train", "ppo", "--env", "CartPole-v1", "--gamma"]
    assert "gamma" not in document["parameters"]
    assert not Path("results").exists()


@pytest.mark.usefixtures("pretend", "without_figures")
def test_runs_of_an_earlier_study_are_not_mixed_in(capsys: pytest.CaptureFixture[str]) -> None:
    Path("results/runs/s-trial-000").mkdir(parents=True)
    code, _, error = keel_tune(capsys, *BASE)
    assert code == 2
    assert "give another --name" in error


def test_help_names_what_counts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        tune.main(["--help"])
    assert end.value.code == 0
    assert "environment steps until the goal is reached" in " ".join(capsys.readouterr().out.split())


COMMAND = [
    sys.executable,
    "-c",
    "import sys; from keel.runners.cli import run; sys.exit(run('tune.command:main', sys.argv[1:]))",
]
QUICK = ("--total-steps", "4096", "--evaluate-every", "1024", "--evaluate-episodes", "3", "--seeds-per-trial", "1")


@pytest.mark.slow
def test_a_real_study_survives_kill_9(runs_directory: Path) -> None:
    """Killed while a trial trains: its training ends too, and the same command begins it anew and ends the study."""
    arguments = [*COMMAND, "ppo", "--env", "keel/CartPole-v0", "--name", "k", "--trials", "3", "--goal", "475", *QUICK]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_for(lambda: (runs_directory / "k-trial-001" / "metrics.jsonl").exists())
    process.kill()
    process.wait()
    _wait_for(lambda: Run.open("k-trial-001").status()["state"] != "running")
    done = subprocess.run([*arguments, "--json"], capture_output=True, text=True, check=True)
    study = json.loads(done.stdout)
    states = [trial["state"] for trial in study["trials"]]
    assert states.count("interrupted") == 1
    assert states.count("complete") == 3
    again = next(trial for trial in study["trials"] if trial["number"] == states.index("interrupted"))
    assert [trial["settings"] for trial in study["trials"]].count(again["settings"]) == 2
    for trial in study["trials"]:
        if trial["state"] == "complete":
            assert Run.open(trial["runs"][0]).status()["state"] == "finished"
            assert Run.open(trial["runs"][0]).config["seed"] == trial["outcomes"][0]["seed"]


@pytest.mark.slow
def test_a_trial_ends_with_the_process_that_started_it(runs_directory: Path) -> None:
    program = textwrap.dedent("""
        import os, sys, time
        from pathlib import Path
        from keel.runners.options import default_settings
        from keel.runners.tune.worker import Worker
        worker = Worker.start(Path("job"), [("lonely", default_settings("ppo", "keel/CartPole-v0", None, {}))])
        print(worker.process.pid, flush=True)
        time.sleep(600)
    """)
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    _wait_for(lambda: (runs_directory / "lonely" / "metrics.jsonl").exists())
    parent.kill()
    parent.wait()
    _wait_for(lambda: not _alive(child))
    assert Run.open("lonely").status()["state"] in ("interrupted", "finished")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"


def _wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing came of it"
        time.sleep(0.05)
