"""Which runs are meant: by their settings, by groups, by names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from keel.envs.errors import KeelError
from keel.runners.compare.command import main
from keel.runners.compare.select import Condition, full_name, select_runs
from keel.runners.run import Run


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four runs under results/runs of a working directory of their own, and a pre-training."""
    monkeypatch.chdir(tmp_path)
    make("a", "ppo", learning_rate=1e-4, gamma=0.9)
    make("b", "ppo", learning_rate=3e-4, gamma=0.99, note="three words <here>", flag=True)
    make("c", "dqn", learning_rate=1e-3, sizes=[64, 64], flag=1)
    make("d", "dqn", env="keel/CartPole-v0", learning_rate=1e-3, start=None)
    make("e", "pretrain-cnn", env="task/digits")


def make(name: str, agent: str, env: str = "CartPole-v1", **hyperparameters: Any) -> Run:
    config = {"training": {"num_envs": 8, "kind": "x"}, "hyperparameters": hyperparameters, "backbone": {"kind": "mlp"}}
    return Run.create(env, agent, ord(name[0]), config, name=name)


def names(*patterns: str, groups: tuple[str, ...] = (), where: tuple[str, ...] = ()) -> str:
    return "".join(run.name for run in select_runs(patterns, groups, where))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("hyperparameters.learning_rate<=3e-4", "ab"),
        ("learning_rate<3e-4", "a"),
        ("learning_rate >= 1e-3", "cd"),
        ("learning_rate>0.0003", "cd"),
        ("learning_rate=0.0010", "cd"),
        ("learning_rate!=0.001", "ab"),
        ("agent=ppo", "ab"),
        ("agent==ppo", "ab"),
        ("agent!=ppo", "cd"),
        ("env=keel/CartPole-v0", "d"),
        ("gamma!=0.9", "b"),  # not c and d, which have no gamma
        ("note=three words <here>", "b"),
        ("sizes=[64, 64]", "c"),
        ("flag=true", "b"),
        ("flag=1", "c"),  # true is not 1
        ("start=none", "d"),
        ("seed<=98", "ab"),
        ("name=a", "a"),
    ],
)
def test_conditions(condition: str, expected: str) -> None:
    assert names(where=(condition,)) == expected


def test_all_conditions_hold_and_patterns_narrow() -> None:
    assert names(where=("agent=ppo", "learning_rate>1e-4")) == "b"
    assert names("[b-d]", where=("learning_rate>=3e-4",)) == "bcd"
    assert names("c", "a") == "ca"


def test_a_glob_means_trials_of_a_study_only_where_it_says_so(caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a-trial-000-seed-1", "a-trial-001-seed-1", "z-trial-007", "a-trial-of-mine"):
        make(name, "ppo")
    assert [run.name for run in select_runs(["a*"], [], [])] == ["a", "a-trial-of-mine"]
    assert "left out 2 trials of keel tune" in caplog.text
    caplog.clear()
    assert [run.name for run in select_runs(["a", "a-trial-0*"], [], [])] == [
        "a",
        "a-trial-000-seed-1",
        "a-trial-001-seed-1",
    ]
    every = select_runs(["a*", "a-trial-0*"], [], [])
    assert {run.name for run in every} == {"a", "a-trial-of-mine", "a-trial-000-seed-1", "a-trial-001-seed-1"}
    assert [run.name for run in select_runs(["z*"], [], [])] == ["z-trial-007"]
    assert [run.name for run in select_runs(["a-trial-001-seed-1", "b"], [], [])] == ["a-trial-001-seed-1", "b"]
    assert not caplog.text


def test_a_group_means_trials_of_a_study_only_where_a_pattern_says_so(caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a-trial-000-seed-1", "a-trial-001-seed-1"):
        make(name, "ppo")
    group = "CartPole-v1-ppo"
    assert [run.name for run in select_runs([], [group], [])] == ["a", "b"]
    assert "left out 2 trials of keel tune" in caplog.text
    assert [run.name for run in select_runs(["*-trial-*"], [group], [])] == ["a-trial-000-seed-1", "a-trial-001-seed-1"]
    caplog.clear()
    assert [run.name for run in select_runs([], [], ["name=a-trial-001-seed-1"])] == ["a-trial-001-seed-1"]
    make("f-trial-000-seed-1", "ppo", env="Acrobot-v1")
    assert [run.name for run in select_runs(["*"], ["Acrobot-v1-ppo"], [])] == ["f-trial-000-seed-1"]
    assert [run.name for run in select_runs(["a", "latest"], [], [])] == ["a", "f-trial-000-seed-1"]
    assert not caplog.text


def test_groups_are_called_as_on_wandb() -> None:
    assert names(groups=("CartPole-v1-ppo",)) == "ab"
    assert names(groups=("CartPole-v1-ppo", "keel/*-dqn")) == "abd"
    assert names("[bc]", groups=("CartPole-v1-*",), where=("agent=dqn",)) == "c"


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("learning_rat<1", r"no run has a setting 'learning_rat'; did you mean 'learning_rate'\?"),
        (
            "hyperparameters.gama=1",
            r"no run has a setting 'hyperparameters.gama'; did you mean 'hyperparameters.gamma'\?",
        ),
        ("kind=mlp", "'kind' could be training.kind or backbone.kind"),
        ("agent", "write NAME and VALUE"),
        ("agent=", "write NAME and VALUE"),
        ("agent<ppo", "'ppo' is no number"),
        ("agent<3", "agent is 'ppo' in some run, so only = and != can be asked"),
        ("flag>0", "hyperparameters.flag is True in some run"),
    ],
)
def test_bad_conditions_say_what_would_be_right(condition: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        names(where=(condition,))


def test_nothing_found_or_asked_for() -> None:
    with pytest.raises(ValueError, match="say which runs"):
        names()
    with pytest.raises(KeelError, match="none of 4 runs fulfils agent=ppo and gamma>1"):
        names(where=("agent=ppo", "gamma>1"))
    with pytest.raises(ValueError, match=r"--group CartPole-v1-pp: none of 4 runs .* did you mean 'CartPole-v1-ppo'\?"):
        names(groups=("CartPole-v1-pp",))
    with pytest.raises(FileNotFoundError):
        names("no-such-run*")


def test_where_there_are_no_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path / "results")
    with pytest.raises(KeelError, match="no run under results/runs"):
        names(where=("agent=ppo",))


def test_a_whole_name_is_taken_before_an_ending() -> None:
    assert full_name("gamma", ["a.gamma", "gamma"]) == "gamma"
    assert full_name("b.gamma", ["a.b.gamma", "gamma"]) == "a.b.gamma"


def test_a_run_without_the_setting_is_never_meant() -> None:
    for text in ("x=1", "x!=1", "x<1"):
        assert not Condition.read(text).holds({"y": 1})
    assert not Condition.read("x<1").holds({"x": None})


def test_the_command(tmp_path: Path) -> None:
    for name, value in (("a", 10.0), ("b", 20.0)):
        rows = f'{{"global_step": 5, "eval/return": {value}}}\n'
        (tmp_path / "results/runs" / name / "metrics.jsonl").write_text(rows)
    assert main(["--where", "agent=ppo", "--output", "out", "--threshold", "15"]) == 0
    assert (tmp_path / "out/compare.html").is_file()
    with pytest.raises(KeelError, match="holds no eval/return"):  # asked for by name, it must be there
        main(["a", "c", "--output", "out"])
    with pytest.raises(ValueError, match="is a pre-training"):
        main(["e", "--output", "out"])


def test_json_alone_on_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results/runs/a/metrics.jsonl").write_text('{"global_step": 5, "eval/return": 10.0}\n')
    main(["--where", "agent=ppo", "--json"])
    summary = json.loads(capsys.readouterr().out)
    assert [group["runs"] for group in summary["groups"]] == [["a"]]
    assert summary["left_out"] == ["b"]
    assert summary["page"] == "results/comparison/compare.html"
