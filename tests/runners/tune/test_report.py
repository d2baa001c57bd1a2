"""What a study shows while it runs and leaves when it is done, from trials made by hand."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import rich.console

from keel.runners.benchmarks import tune_cartpole
from keel.runners.presets.find import PRESETS
from keel.runners.settings import Settings
from keel.runners.tune import report as tune_report
from keel.runners.tune.console import TuneConsole, shown_worth
from keel.runners.tune.plan import Plan
from keel.runners.tune.report import Report, drawings, study_json, study_page
from keel.runners.tune.score import Objective, Outcome
from keel.runners.tune.space import Choices, Range
from keel.runners.tune.study import Trial
from keel.runners.tune.verify import Verification

STEPS = Objective("steps", 100_000, 475.0)
SOLVED = Outcome("r", 1, True, 12_000, 3.0, 480.0, 470.0, 300.0)
UNSOLVED = dataclasses.replace(SOLVED, solved=False, steps=100_000, best_return=20.0)


def plan(objective: Objective = STEPS) -> Plan:
    training, hyperparameters, backbone = PRESETS["ppo", "CartPole-v1"]
    settings = Settings("ppo", "CartPole-v1", 0, training, hyperparameters, backbone)
    space: dict[str, Any] = {"epochs": Range(1, 12, whole=True), "backbone.hidden": Choices(([32, 32], [64, 64]))}
    return Plan("study", settings, space, objective, seeds_per_trial=1)


def trial(number: int, state: Any, value: float | None = None, **about: Any) -> Trial:
    outcomes = [] if value is None else [SOLVED if value < 100_000 else UNSOLVED]
    values = {"epochs": number + 6, "backbone.hidden": [64, 64]}
    return Trial(number, state, values, value, seconds=2.0, outcomes=outcomes, **about)


TRIALS = [
    trial(0, "complete", 14_000.0),
    trial(1, "failed", error="loss/value is <nan> in update 3"),
    trial(2, "pruned"),
    trial(3, "complete", 9_000.0),
    trial(4, "complete", 1_300_000.0),
    trial(5, "interrupted"),
    trial(6, "running"),
]


def report(tmp_path: Path, verification: Verification | None = None, trials: list[Trial] = TRIALS) -> Report:
    best = next((trial for trial in trials if trial.number == 3), None)
    return Report(plan(), tmp_path, trials, best, {"epochs": 0.9, "backbone.hidden": 0.1}, "fANOVA", verification)


def drawn_page(found: Report, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page with a word in place of each drawing, of which another test makes some."""
    monkeypatch.setattr(tune_report.figures, "inline_svg", lambda draw, name, description: f"<i>{name}</i>")
    return study_page(found, drawings(found))


def test_the_page_tells_of_every_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = drawn_page(report(tmp_path), monkeypatch)
    text = " ".join(re.sub("<[^>]*>", " ", page).split())
    for words in ("9,000 best steps", "14,000 steps of the settings tuned from", "1 of 1 unsolved", "5 trials"):
        assert words in text
    assert "loss/value is &lt;nan&gt; in update 3" in page
    assert "Not verified yet" in page
    assert f"--config {tmp_path / 'best.json'}" in page
    assert re.findall(r"<i>(\w+)</i>", page) == ["history", "importances", "slices"]
    assert "http" not in page.replace("http-equiv", "")


def test_the_page_gives_the_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = [dataclasses.replace(SOLVED, steps=steps) for steps in (5_000, 6_000, 7_000, 8_000)]
    slow = [dataclasses.replace(SOLVED, steps=steps) for steps in (12_000, 13_000, 14_000)]
    found = report(tmp_path, Verification(3, fast, [*slow, UNSOLVED], failed=1))
    page = drawn_page(found, monkeypatch)
    assert "The tuned settings are better" in page
    assert "3 of 4" in page
    assert "left out on both sides: 1." in page
    assert "<i>verification</i>" in page
    document = json.loads(json.dumps(study_json(found), allow_nan=False))
    assert document["verification"]["before"]["solved"] == 3
    assert document["tuned_from"] == {"epochs": 6, "backbone.hidden": [64, 64]}
    assert [trial["state"] for trial in document["trials"]] == [trial.state for trial in TRIALS]


def test_the_benchmark_page_says_what_the_study_found(tmp_path: Path) -> None:
    fast = [dataclasses.replace(SOLVED, steps=steps) for steps in (5_000, 6_000, 7_000)]
    slow = [dataclasses.replace(SOLVED, steps=steps) for steps in (12_000, 13_000, 14_000)]
    page = tune_cartpole.table({"study": study_json(report(tmp_path, Verification(3, fast, slow)))})
    assert "The tuned settings are better" in page
    assert "| tuned | 6,000 | 3.00 | 6,000 |" in page
    assert "| preset | 13,000 | 3.00 | 13,000 |" in page
    assert "3 complete, 1 pruned, 1 failed trials" in page
    assert "| epochs | 6 | 9 |" in page
    assert "nothing to verify" in tune_cartpole.table({"study": study_json(report(tmp_path))})


def test_a_study_without_a_whole_trial_has_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = dataclasses.replace(report(tmp_path, trials=TRIALS[1:3]), shares={})
    page = drawn_page(empty, monkeypatch)
    assert "failed" in page
    assert study_json(empty)["best"] is None


def test_every_figure_can_be_drawn_wide_and_narrow(tmp_path: Path) -> None:
    few = [dataclasses.replace(SOLVED, steps=steps) for steps in (5_000, 6_000, 90_000)]
    for draw in drawings(report(tmp_path, Verification(3, few, few))).values():
        for width in (8.0, 3.9):
            assert draw(width).get_size_inches()[0] == width


def test_a_penalty_is_not_shown_as_steps() -> None:
    assert shown_worth(STEPS, TRIALS[0]) == "14,000 steps"
    assert shown_worth(STEPS, TRIALS[4]) == "1 of 1 unsolved"
    assert shown_worth(Objective("final", 1), trial(0, "complete", 470.25)) == "470.2 final"


def test_without_a_terminal_each_trial_is_a_line_once() -> None:
    stream = io.StringIO()
    console = TuneConsole(plan(), 20, stream)
    for _ in range(2):
        console.update(lambda: TRIALS, {6: 512}, final=True)
    console.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 6
    assert lines[0] == "[5/20]  trial 0  complete  14,000 steps  2 s  epochs 6  backbone.hidden 64, 64"
    assert "loss/value is <nan>" in lines[1]


def test_on_a_terminal_there_is_one_table() -> None:
    console = TuneConsole(plan(), 20, io.StringIO())
    printer = rich.console.Console(file=io.StringIO(), width=100)
    printer.print(console._table(TRIALS, {6: 512}))
    text = printer.file.getvalue()
    assert "5 of 20 trials" in text
    assert "best 9,000" in text
    assert re.search(r"6 +running +step 512", text)
    assert re.search(r"1 +failed .*loss/value is <nan>", text)
