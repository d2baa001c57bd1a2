"""Who is better: scores by hand, worlds on one scale, and when half of the runs were good enough."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keel.runners.compare import films as compare_films
from keel.runners.compare.comparison import compare_runs
from keel.runners.compare.read import Measured
from keel.runners.compare.scores import Contest, describe_contest, improvements, joint_contest
from keel.runners.compare.threshold import first_reached, known_threshold, read_thresholds
from keel.runners.files import encode_row
from keel.runners.run import Run


def make(folder: Path, agent: str, seed: int, returns: list[float], env: str = "CartPole-v1") -> Run:
    run = Run.create(env, agent, seed, {}, run_dir=folder / f"{env}-{agent}-{seed}".replace("/", "-"))
    rows = [{"global_step": 100 * (place + 1), "eval/return": value} for place, value in enumerate(returns)]
    (run.path / "metrics.jsonl").write_bytes(b"".join(map(encode_row, rows)))
    clock = [{"global_step": row["global_step"], "training_seconds": row["global_step"] / 50} for row in rows]
    (run.path / "timing.jsonl").write_bytes(b"".join(map(encode_row, clock)))
    return run


def test_groups_that_look_alike_stay_apart(tmp_path: Path) -> None:
    runs = []
    for place, rate in enumerate((0.0003000001, 0.0003000002)):
        for seed in range(3):
            run = make(tmp_path, "ppo", seed, [float(place + seed)], env=f"W{place}")
            config = {**run.config, "env": "W", "hyperparameters": {"learning_rate": rate}}
            (run.path / "config.json").write_text(json.dumps(config))
            runs.append(Run.open(str(run.path)))
    groups = compare_runs(runs, tmp_path / "out")
    assert len({group["label"] for group in groups["groups"]}) == 2
    assert [len(group["seeds"]) for group in groups["groups"]] == [3, 3]


def contest(name: str, **scores: list[float]) -> Contest:
    arrays = {label: [np.array(values)] for label, values in scores.items()}
    return Contest(name, name, "score", [name], arrays, {label: place for place, label in enumerate(scores)})


def test_pairs_are_in_the_order_of_the_ranking() -> None:
    found = improvements(contest("w", weak=[0.0, 1, 2], strong=[5.0, 6, 7], equal=[5.0, 6, 7]))
    assert list(found) == [("strong", "equal"), ("strong", "weak"), ("equal", "weak")]
    assert found["strong", "weak"] == (1, 1, 1)
    assert found["strong", "equal"].value == 0.5
    low, high = found["strong", "equal"][1:]
    assert low < 0.5 < high  # the two are drawn independently


def test_worlds_together_are_on_one_scale() -> None:
    joint = joint_contest(
        [
            contest("one", a=[0.0, 50, 100], b=[100.0, 200, 100]),
            contest("two", a=[-3.0, -2, -1], b=[-1.0, -1, -2], c=[0.0, 0, 0]),  # c met nobody in the other world
            contest("alone", a=[7.0, 7, 7]),
        ]
    )
    assert joint is not None
    assert joint.worlds == ["one", "two"]
    assert [task.tolist() for task in joint.scores["a"]] == [[0, 0.25, 0.5], [0, 0.5, 1]]
    assert [task.tolist() for task in joint.scores["b"]] == [[0.5, 1, 0.5], [1, 1, 0.5]]
    numbers = describe_contest(joint)
    assert [entry["label"] for entry in numbers["groups"]] == ["b", "a"]
    assert numbers["groups"][1]["interquartile_mean"] == pytest.approx((0 + 0.25 + 0.5 + 0.5) / 4)
    # Pairs of world one, b over a: 0.5 beats 0 and 0.25 and ties with 0.5, twice; 1 beats all. World two by symmetry.
    one, two = (2 * 2.5 + 3) / 9, (2 * 2.5 + 1.5) / 9
    assert numbers["improvement"][0]["probability"] == pytest.approx((one + two) / 2)


def test_worlds_where_all_are_alike_count_as_full() -> None:
    joint = joint_contest([contest("one", a=[1.0, 1, 1], b=[1.0, 1, 1]), contest("two", a=[0.0, 1, 1], b=[0.0, 0, 0])])
    assert joint is not None
    assert joint.scores["b"][0].tolist() == [1, 1, 1]


def test_worlds_without_common_groups_are_not_put_together() -> None:
    assert joint_contest([contest("one", a=[1.0, 2, 3]), contest("two", a=[1.0, 2, 3])]) is None
    assert joint_contest([contest("one", a=[1.0, 2, 3], b=[1.0, 2, 3]), contest("two", c=[1.0, 2, 3])]) is None
    assert joint_contest([]) is None


def test_the_whole_comparison(tmp_path: Path) -> None:
    runs = [
        make(tmp_path, agent, seed, [base, base + seed, base - 1], env)
        for env in ("CartPole-v1", "Acrobot-v1")
        for agent, base in (("ppo", 100.0), ("dqn", 50.0))
        for seed in range(4)
    ]
    result = compare_runs(runs, tmp_path / "out")
    json.dumps(result, allow_nan=False)
    assert [entry["name"] for entry in result["contests"]] == ["CartPole-v1", "Acrobot-v1", "2 worlds together"]
    cartpole = result["contests"][0]
    assert [entry["label"] for entry in cartpole["groups"]] == ["ppo", "dqn"]
    assert cartpole["groups"][0]["interquartile_mean"] == pytest.approx(101.5)  # 100 to 103 without both ends
    assert cartpole["groups"][0]["interval"] == result["groups"][0]["best_eval_return"]["interval"]
    written = {Path(path).name for path in result["figures"]}
    kinds = {"iqm", "improvement", "profile"}
    assert written >= {f"{world}-{kind}.png" for world in ("CartPole-v1", "all-worlds") for kind in kinds}
    last = compare_runs(runs, tmp_path / "last", score="last")["contests"][0]
    assert last["groups"][0]["interquartile_mean"] == 99
    with open(tmp_path / "out/CartPole-v1-profile.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["group"] == "dqn"]
    stairs = [(float(row["score"]), float(row["value"])) for row in rows]
    assert (50, 0.75) in stairs  # three of four runs score more than 50
    assert (stairs[0][1], stairs[-1][1]) == (1, 0)


def test_two_runs_are_too_few_to_judge(tmp_path: Path) -> None:
    runs = [make(tmp_path, agent, seed, [1.0]) for agent in ("ppo", "dqn") for seed in range(2)]
    result = compare_runs(runs, tmp_path / "out")
    assert result["contests"] == []
    assert not list((tmp_path / "out").glob("*-iqm*"))


def test_time_to_threshold_by_hand(tmp_path: Path) -> None:
    curves = [[0.0, 10, 20], [10.0, 0, 0], [0.0, 0, 9], [0.0, 12, 0]]
    runs = [make(tmp_path, "ppo", seed, returns, "a/b-v0") for seed, returns in enumerate(curves)]
    (group,) = compare_runs(runs, tmp_path / "out", thresholds=["10"])["groups"]
    # Reached at 200, at 100, never, at 200: two of four had at 200.
    expected = {"threshold": 10, "reached": 3, "runs": 4, "steps": 200, "seconds": 4}
    assert group["time_to_threshold"] == pytest.approx(expected)
    with open(tmp_path / "out/a-b-v0-threshold.csv") as file:
        stairs = [(float(row["global_step"]), float(row["value"])) for row in csv.DictReader(file)]
    assert stairs == [(0, 0), (100, 0), (100, 0.25), (200, 0.25), (200, 0.5), (200, 0.5), (200, 0.75), (300, 0.75)]
    (group,) = compare_runs(runs, tmp_path / "out", thresholds=["a/b-v0=15"])["groups"]
    assert (group["time_to_threshold"]["reached"], group["time_to_threshold"]["steps"]) == (1, None)


def test_a_world_says_itself_when_it_is_solved(tmp_path: Path) -> None:
    assert known_threshold("CartPole-v1") == 475
    assert known_threshold("keel/CartPole-v0") == 475
    assert known_threshold("connect_four") is None
    assert known_threshold("openspiel:chess") is None
    assert read_thresholds([], ["CartPole-v1", "a/b-v0"]) == {"CartPole-v1": 475}
    assert read_thresholds(["7", "a/b-v0=-3e1"], ["CartPole-v1", "a/b-v0"]) == {"CartPole-v1": 7, "a/b-v0": -30}
    (group,) = compare_runs([make(tmp_path, "ppo", 0, [1.0], "a/b-v0")], tmp_path / "out")["groups"]
    assert group["time_to_threshold"] is None


@pytest.mark.parametrize(
    ("text", "message"),
    [("much", "'much' is not a number"), ("nan", "finite"), ("Acrobot-v1=3", "no run is of the world 'Acrobot-v1'")],
)
def test_bad_thresholds_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_thresholds([text], ["CartPole-v1"])


def test_without_evaluations_smoothed_training_counts() -> None:
    values = np.zeros(60)
    values[10], values[40:] = 100.0, 12.0  # one lucky row, and later what it can
    measured = Measured({"train/episode_return": (np.arange(60.0), values)})
    assert first_reached(measured, 30.0) is None
    assert first_reached(measured, 12.0) == 8  # two rows to each side: the lucky one lifts the mean of five to 20


def film(run: Run, size: int, name: str = "videos/last.mp4") -> bytes:
    content = os.urandom(size)
    (run.path / name).write_bytes(content)
    with open(run.path / "media.jsonl", "ab") as file:
        file.write(encode_row({"global_step": 100, "video": name}))
    return content


def test_films_are_in_the_page_up_to_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_films, "MOST_EMBEDDED_BYTES", 1000)
    ppo = [make(tmp_path, "ppo", seed, [value]) for seed, value in enumerate((3.0, 1.0, 2.0))]
    dqn = make(tmp_path, "dqn", 0, [1.0])
    films = [film(run, 800, "videos/a film#1.mp4") for run in (*ppo, dqn)]
    html = (Path(compare_runs([*ppo, dqn], tmp_path / "out")["page"])).read_text()
    import base64

    sources = [part.split('"')[0] for part in html.split('<video src="')[1:]]
    assert sources[0] == f"data:video/mp4;base64,{base64.b64encode(films[2]).decode()}"  # the middle one of the three
    assert sources[1] == "../CartPole-v1-dqn-0/videos/a%20film%231.mp4"
    assert len(sources) == 2


def test_a_film_is_never_taken_from_elsewhere(tmp_path: Path) -> None:
    run = make(tmp_path, "ppo", 0, [1.0])
    (tmp_path / "secret.mp4").write_bytes(b"not yours")
    film(run, 10)
    with open(run.path / "media.jsonl", "ab") as file:
        file.write(encode_row({"global_step": 200, "video": "../secret.mp4"}))
        file.write(encode_row({"global_step": 300, "video": "videos/gone.mp4"}))
    assert compare_films.last_film(run) == run.path / "videos/last.mp4"


def test_costs_say_what_is_estimated(tmp_path: Path) -> None:
    runs = [make(tmp_path, "ppo", 0, [1.0]), make(tmp_path, "dqn", 0, [1.0])]
    cost: dict[str, Any] = {"cpu_seconds": 90.0, "energy_kwh": 0.5, "emissions_grams": 190.0, "country": "DEU"}
    for run, method in zip(runs, ("estimated", "measured"), strict=True):
        (run.path / "cost.json").write_text(json.dumps(cost | {"energy_method": method}))
    result = compare_runs(runs, tmp_path / "out")
    html = Path(result["page"]).read_text()
    assert html.count(">0.5 kWh estimated<") == 2  # of the group and of its run
    assert html.count(">0.5 kWh<") == 2
    assert "1 kWh, 380 g CO₂ (grid: DEU)" in html
    assert [group["energy_methods"] for group in result["groups"]] == [["estimated"], ["measured"]]
    assert result["groups"][0]["cpu_seconds"]["mean"] == 90
