"""A study forgets nothing: whatever kills it, the trials that were running begin anew and all others stay."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from keel.envs.errors import KeelError
from keel.runners.presets.find import PRESETS
from keel.runners.settings import Settings
from keel.runners.tune import study as tune_study
from keel.runners.tune.plan import Plan, load_plan, lock, save_plan
from keel.runners.tune.score import Objective, Outcome
from keel.runners.tune.space import Choices, Range
from keel.runners.tune.study import JOURNAL, Study

pytest.importorskip("optuna")
OUTCOME = Outcome("run", 1, True, 10, 1.0, 480.0, 480.0, 300.0)


def plan(**changes: Any) -> Plan:
    training, hyperparameters, backbone = PRESETS["ppo", "CartPole-v1"]
    settings = Settings("ppo", "CartPole-v1", 0, training, hyperparameters, backbone)
    space: dict[str, Any] = {
        "learning_rate": Range(1e-4, 1e-2, log=True),
        "epochs": Range(1, 12, whole=True),
        "backbone.hidden": Choices(([32, 32], [64, 64])),
    }
    chosen: dict[str, Any] = {"objective": Objective("steps", 100_000, 475.0), "seeds_per_trial": 1} | changes
    return Plan("study", settings, space, **chosen)


def complete(study: Study, value: float, progress: list[float] | None = None) -> int:
    number, _ = study.ask()
    for rung, known in enumerate(progress or []):
        study.report(number, rung, known)
    study.finish(number, "complete", value=value, outcomes=[OUTCOME])
    return number


def test_the_settings_tuned_from_are_the_first_trial(tmp_path: Path) -> None:
    number, values = Study(plan(), tmp_path).ask()
    assert number == 0
    assert values == {"learning_rate": 2e-3, "epochs": 6, "backbone.hidden": [64, 64]}


def test_proposals_lie_in_the_space_and_follow_from_seed_and_history_alone(tmp_path: Path) -> None:
    studies = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        study = Study(plan(), folder)
        for value in range(12):  # beyond those that are drawn at random
            complete(study, float(value))
            if folder.name == "b":
                study = Study(plan(), folder)  # as after a restart
        studies.append([trial.values for trial in study.trials()])
    assert studies[0] == studies[1]
    assert len({json.dumps(values) for values in studies[0]}) == 12
    for values in studies[0]:
        assert 1e-4 <= values["learning_rate"] <= 1e-2
        assert values["epochs"] in range(1, 13)
        assert values["backbone.hidden"] in ([32, 32], [64, 64])


def test_what_was_running_when_it_was_killed_begins_anew(tmp_path: Path) -> None:
    study = Study(plan(), tmp_path)
    complete(study, 5.0)
    number, values = study.ask()
    study.report(number, 0, -0.5)
    del study  # killed
    study = Study(plan(), tmp_path)
    states = [(trial.number, trial.state) for trial in study.trials()]
    assert states == [(0, "complete"), (1, "interrupted"), (2, "waiting")]
    assert study.ask() == (2, values)
    del study  # killed again
    study = Study(plan(), tmp_path)
    assert study.ask() == (3, values)
    study.finish(3, "complete", value=1.0)
    assert [trial.counts for trial in Study(plan(), tmp_path).trials()] == [True, False, False, True]


def test_a_trial_that_was_stopped_begins_anew_once(tmp_path: Path) -> None:
    study = Study(plan(), tmp_path)
    number, values = study.ask()
    study.finish(number, "interrupted")
    study = Study(plan(), tmp_path)
    assert [trial.state for trial in study.trials()] == ["interrupted", "waiting"]
    assert study.ask() == (1, values)


def test_a_row_that_was_half_written_and_a_lock_that_was_left(tmp_path: Path) -> None:
    study = Study(plan(), tmp_path)
    complete(study, 5.0)
    path = tmp_path / JOURNAL
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":4,"worker_id":"x","stu')
    (tmp_path / f"{JOURNAL}.lock").symlink_to(path)
    study = Study(plan(), tmp_path)  # would wait half a minute for the lock
    assert path.read_bytes().startswith(whole)
    assert complete(study, 4.0) == 1
    assert [trial.value for trial in Study(plan(), tmp_path).trials()] == [5.0, 4.0]


def test_the_journal_is_lines_of_json(tmp_path: Path) -> None:
    complete(Study(plan(), tmp_path), 5.0)
    for line in (tmp_path / JOURNAL).read_bytes().splitlines():
        assert isinstance(json.loads(line), dict)
    assert {path.name for path in tmp_path.iterdir()} == {JOURNAL}


def test_failed_trials_keep_their_error_and_the_study_goes_on(tmp_path: Path) -> None:
    study = Study(plan(), tmp_path)
    number, _ = study.ask()
    study.finish(number, "failed", error="loss is nan", seconds=2.5, runs=["study-trial-000"])
    assert complete(study, 3.0) == 1
    failed, best = Study(plan(), tmp_path).trials()
    assert (failed.state, failed.error, failed.seconds, failed.runs) == (
        "failed",
        "loss is nan",
        2.5,
        ["study-trial-000"],
    )
    assert failed.counts
    assert (best.state, best.value, best.outcomes) == ("complete", 3.0, [OUTCOME])
    assert study.best() == best


def test_the_best_is_the_least_or_the_most(tmp_path: Path) -> None:
    for objective, expected in ((Objective("steps", 1, 1.0), 2.0), (Objective("final", 1), 9.0)):
        folder = tmp_path / objective.name
        folder.mkdir()
        study = Study(plan(objective=objective), folder)
        assert study.best() is None
        for value in (4.0, 2.0, 9.0):
            complete(study, value)
        best = study.best()
        assert best is not None
        assert best.value == expected


def test_a_trial_is_hopeless_where_half_had_come_further(tmp_path: Path) -> None:
    """Beside the rule written out: its best so far is beyond the median of the whole trials at this rung."""
    study = Study(plan(), tmp_path)
    histories = [[-0.1 * k, -0.2 * k, -0.3 * k, -0.35 * k] for k in (0.5, 1.0, 1.5, 2.0, 2.5)]
    for history in histories:
        complete(study, 1.0, history)
    for scale in (0.4, 1.4, 1.6):
        number, _ = study.ask()
        for rung in range(4):
            mine = [-0.3 * scale / (4 - rung)] * (rung + 1)
            study.report(number, rung, mine[-1])
            best_so_far = min(-0.3 * scale / (4 - earlier) for earlier in range(rung + 1))
            median = statistics.median(history[rung] for history in histories)
            assert study.is_hopeless(number) == (rung >= tune_study.FIRST_RUNG and best_so_far > median)
        study.finish(number, "pruned")
    assert [trial.state for trial in study.trials()][5:] == ["pruned"] * 3


def test_without_pruning_nothing_is_hopeless(tmp_path: Path) -> None:
    study = Study(plan(pruning=False), tmp_path)
    for _ in range(6):
        complete(study, 1.0, [-0.9] * 4)
    number, _ = study.ask()
    for rung in range(4):
        study.report(number, rung, 0.0)
        assert not study.is_hopeless(number)


def test_the_setting_that_decides_is_the_important_one(tmp_path: Path) -> None:
    study = Study(plan(objective=Objective("final", 1)), tmp_path)
    assert study.importances()[0] == {}
    for _ in range(24):
        number, values = study.ask()
        study.finish(number, "complete", value=float(values["epochs"]))
    shares, method = study.importances()
    assert method == "fANOVA"
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["epochs"] > 0.7
    without = {"sklearn": None, "sklearn.ensemble": None}
    with pytest.MonkeyPatch.context() as patch:
        for name, module in without.items():
            patch.setitem(__import__("sys").modules, name, module)
        shares, method = study.importances()
    assert method.startswith("PED-ANOVA")
    assert max(shares, key=lambda name: shares[name]) == "epochs"


def test_optuna_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(KeelError, match=r"pip install 'keel-rl\[tune\]'"):
        Study(plan(), tmp_path)


def test_a_plan_is_kept_and_not_changed(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    save_plan(plan(), folder)
    save_plan(plan(), folder)
    assert load_plan(folder) == (plan(), folder)
    with pytest.raises(KeelError, match=r"seeds_per_trial was 1 and is 3.*--resume"):
        save_plan(plan(seeds_per_trial=3), folder)
    with pytest.raises(FileNotFoundError, match="is no study"):
        load_plan(tmp_path / "other")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("do not lose")
    with pytest.raises(KeelError, match="not empty"):
        save_plan(plan(), tmp_path / "full")


def test_a_study_of_a_keel_that_knew_fewer_settings_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    save_plan(plan(), folder)
    document = json.loads((folder / "plan.json").read_text())
    del document["settings"]["training"]["track"]
    (folder / "plan.json").write_text(json.dumps(document))
    assert load_plan(folder)[0] == plan()
    save_plan(plan(), folder)


def test_two_processes_do_not_share_a_study(tmp_path: Path) -> None:
    with lock(tmp_path), pytest.raises(KeelError, match="in use by process"), lock(tmp_path):
        pass
    with lock(tmp_path):
        pass


def test_no_two_runs_of_a_study_have_the_same_seed() -> None:
    seeds = [plan().seed("trial", number, index) for number in range(100) for index in range(3)]
    seeds += [plan().seed("verification", index) for index in range(100)]
    assert len(set(seeds)) == 400
    assert plan().seed("trial", 0, 0) == plan().seed("trial", 0, 0)
