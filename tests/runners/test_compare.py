"""Runs compared: who is grouped with whom, which numbers come out, and that the page stands on its own."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from keel.envs.errors import KeelError
from keel.runners.compare import compare_runs, group_runs
from keel.runners.files import encode_row
from keel.runners.run import Run

ROWS = [
    {"global_step": 100, "train/episode_return": 10.0},
    {"global_step": 200, "train/episode_return": 30.0, "eval/return": 50.0},
    {"global_step": 300, "train/episode_return": 20.0, "eval/return": 40.0},
]


def make_run(
    folder: Path,
    seed: int,
    *,
    env: str = "CartPole-v1",
    agent: str = "ppo",
    rows: list[dict[str, Any]] = ROWS,
    scale: float = 1.0,
    backbone: dict[str, Any] | None = None,
    **hyperparameters: Any,
) -> Run:
    config = {
        "training": {"total_steps": 300, "num_envs": 8},
        "hyperparameters": {"learning_rate": 0.001, "gamma": 0.99, **hyperparameters},
        "backbone": backbone or {"kind": "mlp", "hidden_sizes": [64, 64]},
    }
    number = len(list(folder.glob("run*")))
    run = Run.create(env, agent, seed, config, run_dir=folder / f"run{number}")
    scaled = [{name: cell if name == "global_step" else cell * scale for name, cell in row.items()} for row in rows]
    (run.path / "metrics.jsonl").write_bytes(b"".join(encode_row(row) for row in scaled))
    timing = {"global_step": 300, "training_seconds": 1.5, "wall_seconds": 2.0, "steps_per_second": 999.0}
    (run.path / "timing.jsonl").write_bytes(encode_row(timing))
    run.set_status("finished")
    return run


class References(HTMLParser):
    """Everything that a page would load, and all its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "data")]

    def handle_data(self, data: str) -> None:
        self.words += data


def test_seeds_are_grouped_and_labels_show_what_differs(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path, 1),
        make_run(tmp_path, 0),
        make_run(tmp_path, 0, learning_rate=0.1),
        make_run(tmp_path, 0, agent="dqn", buffer_size=9),
        make_run(tmp_path, 0, env="Acrobot-v1"),
    ]
    groups = group_runs(runs)
    assert [(group.env, group.label) for group in groups] == [
        ("CartPole-v1", "ppo, learning_rate 0.001"),
        ("CartPole-v1", "ppo, learning_rate 0.1"),
        ("CartPole-v1", "dqn"),
        ("Acrobot-v1", "ppo"),
    ]
    assert [run.config["seed"] for run in groups[0].runs] == [0, 1]
    assert groups[1].differs == {"hyperparameters.learning_rate": 0.1}


def test_bookkeeping_makes_no_group_of_its_own(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, 0), make_run(tmp_path, 1)]
    for run, video in zip(runs, (True, False), strict=True):
        run.config["training"] |= {"video": video, "checkpoint_every": 100 + video}
    (group,) = group_runs(runs)
    assert group.label == "ppo"
    runs[1].config["training"]["num_envs"] = 4
    assert len(group_runs(runs)) == 2


def test_labels_begin_with_the_kind_and_stay_apart(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path, 0),
        make_run(tmp_path, 0, backbone={"kind": "lstm", "hidden_sizes": [64, 64]}, a=1, b=1, c=1),
        make_run(tmp_path, 0, backbone={"kind": "lstm", "hidden_sizes": [64, 64]}, a=1, b=1, c=2),
    ]
    first, second, third = (group.label for group in group_runs(runs))
    assert first.startswith("ppo, mlp, ")
    assert second == "ppo, lstm, a 1, b 1, c 1"
    assert third == "ppo, lstm, a 1, b 1, c 2"


def test_numbers_by_hand(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, seed, scale=scale) for seed, scale in enumerate((1.0, 2.0, 6.0))]
    (group,) = compare_runs(runs, tmp_path / "out")["groups"]
    assert group["seeds"] == [0, 1, 2]
    assert group["best_eval_return"]["mean"] == pytest.approx((50 + 100 + 300) / 3)
    assert group["best_eval_return"]["min"] == 50
    low, high = group["best_eval_return"]["interval"]
    assert 50 <= low < 150 < high <= 300
    assert group["final_train_return"]["mean"] == pytest.approx((20 + 40 + 120) / 3)
    assert group["steps"]["mean"] == 300
    assert group["training_seconds"]["mean"] == 1.5
    assert group["steps_per_second"]["mean"] == pytest.approx(200)


def test_the_result_is_json_and_names_what_was_written(tmp_path: Path) -> None:
    result = compare_runs([make_run(tmp_path, 0), make_run(tmp_path, 0, env="a/b-v0")], tmp_path / "out")
    json.dumps(result, allow_nan=False)
    written = {Path(path).name for path in [result["page"], *result["figures"], *result["data"]]}
    assert written == {path.name for path in (tmp_path / "out").iterdir()}
    assert {"compare.html", "CartPole-v1-evaluation.png", "a-b-v0-training.csv"} <= written
    assert all(Path(path).read_bytes().startswith(b"\x89PNG") for path in result["figures"])


def test_csv_holds_the_band_and_the_points_of_every_run(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, 0), make_run(tmp_path, 1, scale=3)]
    compare_runs(runs, tmp_path / "out")
    with open(tmp_path / "out" / "CartPole-v1-evaluation.csv") as file:
        rows = list(csv.DictReader(file))
    line = [(row["global_step"], float(row["value"]), float(row["low"]), float(row["high"])) for row in rows[:2]]
    assert line == [("200", 100, 50, 150), ("300", 80, 40, 120)]
    points = [(row["series"], row["global_step"], float(row["value"])) for row in rows[2:]]
    assert points == [("run0", "200", 50), ("run0", "300", 40), ("run1", "200", 150), ("run1", "300", 120)]


def test_the_page_loads_nothing_and_escapes_names(tmp_path: Path) -> None:
    run = make_run(tmp_path, 0, note="<script>alert(1)</script>$x")
    other = make_run(tmp_path, 0, note="harmless & <b>")
    html = Path(compare_runs([run, other], tmp_path / "out")["page"]).read_text()
    page = References(html)
    assert all(reference.startswith("#") for reference in page.found)
    assert not {"script", "b", "link", "iframe", "img"} & set(page.tags)
    assert not re.search(r"url\((?!#)", html)
    assert "<script>alert(1)</script>$x" in page.words
    assert page.tags.count("svg") == 4  # two figures, each for a wide and a narrow screen


def test_the_same_runs_make_the_same_page(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, seed) for seed in range(3)]
    pages = [Path(compare_runs(runs, tmp_path / name)["page"]).read_bytes() for name in ("one", "two")]
    assert pages[0] == pages[1]


def test_a_run_given_twice_counts_once(tmp_path: Path) -> None:
    run = make_run(tmp_path, 0)
    (group,) = compare_runs([run, Run.open(run.path)], tmp_path / "out")["groups"]
    assert group["seeds"] == [0]


def test_a_run_without_evaluation_or_timing_has_gaps(tmp_path: Path) -> None:
    run = make_run(tmp_path, 0, rows=ROWS[:1])
    (run.path / "timing.jsonl").unlink()
    result = compare_runs([run], tmp_path / "out")
    (group,) = result["groups"]
    assert group["best_eval_return"] is None
    assert group["training_seconds"] is None
    assert [Path(path).name for path in result["figures"]] == ["CartPole-v1-training.png"]


def test_a_group_keeps_its_colour_where_another_did_not_measure(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, 0, rows=ROWS[:1]), make_run(tmp_path, 0, learning_rate=0.1)]
    html = Path(compare_runs(runs, tmp_path / "out")["page"]).read_text()
    evaluation, training = html.split('<div class="card">')[1:3]
    assert "var(--series-2)" in evaluation
    assert "var(--series-1)" not in evaluation
    assert "var(--series-1)" in training
    assert re.search(r"--series-2\)\"></span>ppo, learning_rate 0\.1<", html)


def test_runs_that_never_met_are_drawn_without_a_band(tmp_path: Path) -> None:
    later = [{**row, "global_step": row["global_step"] + 1000} for row in ROWS]
    compare_runs([make_run(tmp_path, 0), make_run(tmp_path, 1, rows=later)], tmp_path / "out")
    with open(tmp_path / "out" / "CartPole-v1-evaluation.csv") as file:
        assert {row["series"] for row in csv.DictReader(file)} == {"run0", "run1"}


def test_nothing_to_compare_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(KeelError, match="at least one run"):
        compare_runs([], tmp_path / "out")
    with pytest.raises(KeelError, match=r"run1 holds no eval/return or train/episode_return.*0 rows"):
        compare_runs([make_run(tmp_path, 0), make_run(tmp_path, 1, rows=[])], tmp_path / "out")
    assert not (tmp_path / "out").exists()
