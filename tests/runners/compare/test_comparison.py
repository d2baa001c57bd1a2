"""Runs compared: who is grouped with whom, which numbers come out, and that the page stands on its own."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keel.envs.errors import KeelError
from keel.runners.compare.comparison import compare_runs, group_runs
from keel.runners.files import encode_row
from keel.runners.run import Run
from keel.runners.seed_statistics import smoothed

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
    """Everything that a page would load or run, all its text, and the data of its figures by their ids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []
        self.words = ""
        self.scripts: list[str] = []
        self.data: dict[str, Any] = {}
        self._within: dict[str, str | None] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._within = dict(attrs) if tag == "script" else None
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "data")]

    def handle_endtag(self, tag: str) -> None:
        self._within = None

    def handle_data(self, data: str) -> None:
        if self._within is None:
            self.words += data
        elif self._within.get("type") == "application/json":
            self.data[self._within["id"] or ""] = json.loads(data)
        else:
            self.scripts.append(data)


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
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>$x"
    run = make_run(tmp_path, 0, note=evil)
    other = make_run(tmp_path, 0, note="harmless & <b>")
    html = Path(compare_runs([run, other], tmp_path / "out")["page"]).read_text()
    page = References(html)
    links = {"CartPole-v1-evaluation.png", "CartPole-v1-evaluation.csv", "CartPole-v1-training.png"}
    assert set(page.found) == links | {"CartPole-v1-training.csv"}  # beside the page, and only for who clicks
    assert not {"b", "link", "iframe", "img"} & set(page.tags)
    assert f"note {evil}" in page.words
    names = [series["label"] for series in page.data["data-CartPole-v1-training"]["series"]]
    assert names == [f"ppo, note {evil}", "ppo, note harmless & <b>"]


def test_only_the_page_s_own_scripts_may_run(tmp_path: Path) -> None:
    html = Path(compare_runs([make_run(tmp_path, 0)], tmp_path / "out")["page"]).read_text()
    page = References(html)
    assert len(page.scripts) == 2
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in page.scripts]
    (policy,) = re.findall('http-equiv="Content-Security-Policy" content="(.*?)"', html)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"].split() == [f"'sha256-{found}'" for found in hashes]


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
    data = References(html).data
    assert [series["place"] for series in data["data-CartPole-v1-evaluation"]["series"]] == [1]
    assert [series["place"] for series in data["data-CartPole-v1-training"]["series"]] == [0, 1]


def test_a_label_has_one_colour_in_all_worlds(tmp_path: Path) -> None:
    order = [("CartPole-v1", "ppo"), ("CartPole-v1", "dqn"), ("Acrobot-v1", "dqn"), ("Acrobot-v1", "ppo")]
    runs = [make_run(tmp_path, 0, env=env, agent=agent) for env, agent in order]
    data = References(Path(compare_runs(runs, tmp_path / "out")["page"]).read_text()).data
    for world in ("CartPole-v1", "Acrobot-v1"):
        places = {series["label"]: series["place"] for series in data[f"data-{world}-training"]["series"]}
        assert places == {"ppo": 0, "dqn": 1}


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


def test_runs_without_returns_can_be_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    result = compare_runs([make_run(tmp_path, 0), make_run(tmp_path, 1, rows=[])], tmp_path / "out", leave_out=True)
    assert result["left_out"] == ["run1"]
    assert [group["seeds"] for group in result["groups"]] == [[0]]
    assert "run1 holds no eval/return" in caplog.text
    with pytest.raises(KeelError, match="run2 holds no"):
        compare_runs([make_run(tmp_path, 2, rows=[])], tmp_path / "out", leave_out=True)


def test_axes_and_smoothing_of_a_figure(tmp_path: Path) -> None:
    rows = [
        {"global_step": 10 * (row + 1), "train/episode_return": float(row % 7), "train/episodes": 2.0 * row}
        for row in range(100)
    ]
    run = make_run(tmp_path, 0, rows=rows)
    (run.path / "timing.jsonl").write_bytes(
        b"".join(encode_row({"global_step": step, "training_seconds": step / 100}) for step in (500, 1000))
    )
    data = References(Path(compare_runs([run], tmp_path / "out")["page"]).read_text()).data
    figure = data["data-CartPole-v1-training"]
    (series,) = figure["series"]
    assert list(figure["axes"]) == ["steps", "seconds", "episodes"]
    (points,) = series["runs"]
    assert points["x"]["steps"] == [row["global_step"] for row in rows]
    assert points["x"]["seconds"] == pytest.approx([row["global_step"] / 100 for row in rows])
    assert points["x"]["episodes"] == [row["train/episodes"] for row in rows]
    raw, _, medium, strong = points["y"]
    assert raw == [row["train/episode_return"] for row in rows]
    assert medium == pytest.approx(smoothed(np.array(raw)), rel=1e-4)
    assert np.std(strong) < np.std(medium) < np.std(raw)
    assert series["bands"]["seconds"][figure["drawn"]][1] == medium


def test_elo_of_self_play_has_a_figure(tmp_path: Path) -> None:
    rows = [{"global_step": 96, "selfplay/games": 18.0}, {"global_step": 192, "eval/elo": 147.0, "eval/return": 0.5}]
    run = make_run(tmp_path, 0, env="tic_tac_toe", agent="alphazero", rows=rows)
    figures = compare_runs([run], tmp_path / "out")["figures"]
    assert [Path(path).name for path in figures] == ["tic_tac_toe-evaluation.png", "tic_tac_toe-elo.png"]
