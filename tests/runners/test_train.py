"""A training leaves a whole run folder, depends on nothing but its settings, and stops where it was told to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import threadpoolctl

import keel as keel_package
from keel.envs.seeding import derive_seed
from keel.runners import checkpoint
from keel.runners.benchmarks.exact_resume import files_of
from keel.runners.run import Run
from keel.runners.trainer import Trainer

Keel = Callable[..., Any]

SETTINGS: dict[str, Any] = {
    "total_steps": 512,
    "num_envs": 4,
    "num_steps": 32,
    "epochs": 2,
    "minibatch_size": 32,
    "evaluate_every": 256,
    "evaluate_episodes": 3,
    "checkpoint_every": 256,
    "video": False,
}


def flags(**changes: Any) -> list[str]:
    chosen = SETTINGS | changes
    return [part for name, value in chosen.items() for part in (f"--{name.replace('_', '-')}", str(value))]


def train(keel: Keel, path: Path, env: str = "keel/CartPole-v0", **changes: Any) -> Run:
    outcome = keel("train", "ppo", "--env", env, "--run-dir", path, *flags(**changes))
    assert outcome.code == 0, outcome.error
    return Run.open(path)


def test_the_run_folder_is_whole(keel: Keel, tmp_path: Path) -> None:
    run = train(keel, tmp_path / "run", seed=3)
    names = {path.name for path in run.path.iterdir()}
    assert names >= {"config.json", "environment.json", "metrics.jsonl", "timing.jsonl", "status.json", "report.html"}
    assert [path for path in run.path.rglob("*") if ".tmp" in path.name or ".old" in path.name] == []
    assert run.config["format"] == 1
    assert (run.config["agent"], run.config["env"], run.config["seed"]) == ("ppo", "keel/CartPole-v0", 3)
    chosen = run.config["training"] | run.config["hyperparameters"]
    assert {name: chosen[name] for name in SETTINGS} == SETTINGS
    assert run.config["backbone"]["kind"] == "mlp"
    assert run.environment()["resume"] == "exact"
    assert run.status()["state"] == "finished"
    assert sorted(path.name for path in run.checkpoints.iterdir()) == [
        "best",
        "step-000000000256",
        "step-000000000512",
    ]
    about = checkpoint.load(checkpoint.latest(run.checkpoints)).about
    assert (about["agent"], about["env"], about["global_step"]) == ("ppo", "keel/CartPole-v0", 512)
    page = (run.path / "report.html").read_text()
    assert "keel/CartPole-v0" in page
    assert "keel resume" in page or "keel watch" in page


@pytest.mark.usefixtures("without_report")
def test_every_update_is_a_row_with_the_agreed_names(keel: Keel, tmp_path: Path) -> None:
    run = train(keel, tmp_path / "run")
    rows = run.metrics()
    assert [row["global_step"] for row in rows] == [128, 256, 384, 512]
    always = {"loss/policy", "loss/value", "policy/entropy", "policy/approximate_kl", "train/episodes"}
    evaluation = {"eval/return", "eval/return_std", "eval/length"}
    for row in rows:
        assert always <= row.keys()
        assert (evaluation <= row.keys()) == (row["global_step"] % 256 == 0)
        assert all(name == "global_step" or "/" in name for name in row)
        assert ("train/episode_return" in row) == ("train/episode_length" in row)
        if "train/episode_return" in row:  # CartPole pays 1 a step
            assert row["train/episode_return"] == row["train/episode_length"]
    ended = [row["train/episodes"] for row in rows]
    assert ended == sorted(ended)
    assert ended[-1] > 0
    timing = run.timing()
    assert [row["global_step"] for row in timing] == [128, 256, 384, 512]
    assert all(0 < row["training_seconds"] <= row["wall_seconds"] for row in timing)
    assert all(row["steps_per_second"] == row["global_step"] / row["training_seconds"] for row in timing)


@pytest.mark.usefixtures("without_report")
def test_the_best_checkpoint_is_that_of_the_best_evaluation(keel: Keel, tmp_path: Path) -> None:
    run = train(keel, tmp_path / "run", total_steps=2048, seed=1)
    evaluations = {row["global_step"]: row["eval/return"] for row in run.metrics() if "eval/return" in row}
    best = max(evaluations, key=evaluations.__getitem__)
    assert len(set(evaluations.values())) > 1
    assert checkpoint.load(checkpoint.best(run.checkpoints)).about["global_step"] == best


@pytest.mark.usefixtures("without_report")
def test_the_seed_decides_everything(keel: Keel, tmp_path: Path) -> None:
    first, second = (files_of(train(keel, tmp_path / name, seed=5).path) for name in ("first", "second"))
    other = files_of(train(keel, tmp_path / "other", seed=6).path)
    assert first == second
    assert first["metrics.jsonl"] != other["metrics.jsonl"]


@pytest.mark.usefixtures("without_report")
def test_evaluation_does_not_change_training(keel: Keel, tmp_path: Path) -> None:
    often = train(keel, tmp_path / "often", evaluate_every=128)
    never = train(keel, tmp_path / "never", evaluate_every=0)
    assert sum("eval/return" in row for row in often.metrics()) == 4
    assert sum("eval/return" in row for row in never.metrics()) == 1  # the last one
    assert training_rows(often) == training_rows(never)
    assert weights(often) == weights(never)


def training_rows(run: Run) -> list[dict[str, Any]]:
    rows = [{name: value for name, value in row.items() if not name.startswith("eval/")} for row in run.metrics()]
    return [row for row in rows if len(row) > 1]


def weights(run: Run) -> bytes:
    return (checkpoint.latest(run.checkpoints) / "state.safetensors").read_bytes()


@pytest.mark.usefixtures("without_report")
def test_checkpoints_do_not_change_training(keel: Keel, tmp_path: Path) -> None:
    often = train(keel, tmp_path / "often", checkpoint_every=128)
    last = train(keel, tmp_path / "last", checkpoint_every=0)
    assert (often.path / "metrics.jsonl").read_bytes() == (last.path / "metrics.jsonl").read_bytes()
    assert weights(often) == weights(last)
    names = sorted(path.name for path in last.checkpoints.glob("step-*"))
    assert names == ["step-000000000000", "step-000000000512"]  # the start and the end


@pytest.mark.usefixtures("without_report")
def test_a_goal_that_is_reached_ends_the_training(keel: Keel, tmp_path: Path) -> None:
    options = flags(stop_at_return=1.0)
    world = ("--env", "keel/ProbeConstantReward-v0")  # every return is 1
    outcome = keel("train", "ppo", *world, "--run-dir", tmp_path / "run", "--json", *options)
    assert outcome.code == 0
    (result,) = outcome.json["runs"]
    assert (result["solved"], result["global_step"], result["best_return"]) == (True, 256, 1.0)
    assert Run.open(tmp_path / "run").status()["state"] == "finished"


@pytest.mark.usefixtures("without_report")
def test_a_goal_must_be_confirmed_on_other_episodes(
    keel: Keel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[str] = []
    play = Trainer.play

    def unlucky(self: Trainer, purpose: str, agent: Any = None) -> Any:
        played.append(purpose)
        evaluation = play(self, purpose, agent)
        return evaluation._replace(returns=evaluation.returns - (purpose == "confirmation"))

    monkeypatch.setattr(Trainer, "play", unlucky)
    world = ("--env", "keel/ProbeConstantReward-v0")
    outcome = keel("train", "ppo", *world, "--run-dir", tmp_path / "run", "--json", *flags(stop_at_return=1.0))
    (result,) = outcome.json["runs"]
    assert (result["solved"], result["global_step"]) == (False, 512)
    assert played == ["selection", "confirmation"] * 2 + ["report"]


@pytest.mark.usefixtures("runs_directory", "without_report")
def test_several_seeds_make_several_runs(keel: Keel, tmp_path: Path) -> None:
    outcome = keel("train", "ppo", "--env", "keel/CartPole-v0", "--seed", 4, "--seeds", 2, "--json", *flags())
    assert outcome.code == 0
    runs = Run.all()
    assert [run.config["seed"] for run in runs] == [4, 5]
    assert [str(run.path) for run in runs] == [result["run"] for result in outcome.json["runs"]]
    alone = train(keel, tmp_path / "alone", seed=5)
    assert files_of(runs[1].path) == files_of(alone.path)


@pytest.mark.usefixtures("without_report")
def test_the_settings_of_a_run_train_it_again(keel: Keel, tmp_path: Path) -> None:
    changes = {"seed": 9, "gamma": 0.9, "backbone.hidden": 16, "normalise_reward": True, "env.max_episode_steps": 20}
    first = train(keel, tmp_path / "first", **changes)
    again = keel("train", "ppo", "--config", first.path / "config.json", "--run-dir", tmp_path / "again")
    assert again.code == 0, again.error
    assert files_of(tmp_path / "again") == files_of(first.path)
    other = keel(
        *("train", "ppo", "--config", first.path / "config.json", "--run-dir", tmp_path / "other"), "--gamma", 0.5
    )
    assert other.code == 0, other.error
    config = Run.open(tmp_path / "other").config
    assert config["hyperparameters"] == first.config["hyperparameters"] | {"gamma": 0.5}
    assert config["training"] == first.config["training"]
    assert (config["seed"], config["backbone"]) == (9, first.config["backbone"])


@pytest.mark.usefixtures("without_report")
def test_python_and_the_command_line_train_the_same(
    keel: Keel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_command = train(keel, tmp_path / "command", seed=2)
    run = keel_package.train("ppo", env="keel/CartPole-v0", seed=2, run_dir=tmp_path / "python", **SETTINGS)
    assert capsys.readouterr().out == ""  # progress is no result
    assert files_of(run.path) == files_of(by_command.path)


@pytest.mark.usefixtures("without_report")
def test_python_takes_numbers_of_numpy_and_settings_of_the_network(tmp_path: Path) -> None:
    run = keel_package.train(
        *("ppo",),
        env="keel/CartPole-v0",
        seed=np.int64(2),  # pyright: ignore[reportArgumentType]
        backbone={"hidden": (8,)},
        run_dir=tmp_path / "run",
        **SETTINGS,
    )
    assert run.config["seed"] == 2
    assert run.config["backbone"]["hidden"] == [8]
    weights = checkpoint.load(checkpoint.best(run.checkpoints)).state["agent"]["network"]
    assert (8, 4) in {tuple(tensor.shape) for tensor in weights.values()}


@pytest.mark.usefixtures("without_report")
def test_evaluate_prints_one_object_and_plays_what_it_says(keel: Keel, tmp_path: Path) -> None:
    """Beside Gymnasium's own CartPole, played by hand with the seeds that the contract names."""
    run = train(keel, tmp_path / "run", env="CartPole-v1")
    outcome = keel("evaluate", run.path, "--json", "--episodes", 3, "--seed", 7)
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 1
    assert outcome.json == keel_package.evaluate(run, episodes=3, seed=7)
    policy = keel_package.load(run)
    env = gymnasium.make("CartPole-v1")
    by_hand = []
    for world in range(3):
        policy.reset()
        observation, _ = env.reset(seed=derive_seed(derive_seed(7, "evaluation"), world, 0))
        return_, over = 0.0, False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(policy.act(observation))
            return_, over = return_ + float(reward), terminated or truncated
        by_hand.append(return_)
    assert outcome.json["returns"] == by_hand
    assert outcome.json["mean"] == np.mean(by_hand)
    assert (outcome.json["min"], outcome.json["max"]) == (min(by_hand), max(by_hand))
    assert keel("evaluate", run.path, "--json", "--episodes", 3, "--seed", 8).json["returns"] != by_hand


def test_a_film_is_made_and_what_is_printed_exists(keel: Keel, tmp_path: Path) -> None:
    outcome = keel(
        *("train", "ppo", "--env", "CartPole-v1", "--run-dir", tmp_path / "run"), *flags(video=True, total_steps=128)
    )
    assert outcome.code == 0, outcome.error
    told = dict(line.split(maxsplit=1) for line in outcome.out.splitlines() if line.startswith("  "))
    assert Path(told["report"]).stat().st_size > 0
    assert Path(told["curve"]).read_bytes().startswith(b"\x89PNG")
    assert Path(told["video"]).stat().st_size > 0
    assert told["watch"] == f"keel watch {tmp_path / 'run'}"
    (row,) = Run.open(tmp_path / "run").media()
    assert tmp_path / "run" / row["video"] == Path(told["video"])


def test_with_json_only_the_result_is_on_stdout(keel: Keel, tmp_path: Path) -> None:
    outcome = keel("train", "ppo", "--env", "keel/CartPole-v0", "--run-dir", tmp_path / "run", "--json", *flags())
    assert len(outcome.out.splitlines()) == 1
    (result,) = json.loads(outcome.out)["runs"]
    assert result["state"] == "finished"
    assert result["best_return"] == max(row.get("eval/return", 0) for row in Run.open(tmp_path / "run").metrics())
    assert 0 <= result["tracking_seconds"] < result["training_seconds"]
    assert "512 / 512 steps" in outcome.error


def test_numpys_matrix_products_have_as_many_threads_as_torch(tmp_path: Path) -> None:
    """Otherwise two trainings on two cores fight for them."""
    own = [pool for pool in threadpoolctl.threadpool_info() if "numpy.libs" in pool["filepath"]]
    if not own:
        pytest.skip("this numpy brings no library of its own whose threads could be counted")
    threadpoolctl.threadpool_limits(limits=2, user_api="blas")
    keel_package.train("ppo", env="keel/CartPole-v0", total_steps=1024, run_dir=tmp_path / "run", video=False)
    threads = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if "numpy.libs" in pool["filepath"]]
    assert threads == [1]
