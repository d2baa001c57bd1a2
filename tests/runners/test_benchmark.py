"""The benchmark command: it measures, writes what it measured beside what it measured it with, and refuses other names."""

import dataclasses
import importlib
import inspect
import json

import pytest

from keel.runners.benchmark import BENCHMARKS, PAGE_OPTIONS, main, markdown_table
from keel.runners.benchmarks import (
    cooling_partial,
    dqn_ablation,
    dqn_comparison,
    dqn_memory,
    memory,
    ppo_learning,
    ppo_throughput,
    transfer,
)
from keel.runners.benchmarks.learning import mean_interval
from keel.runners.options import default_settings


def test_speed_is_measured_and_kept(tmp_path, capsys):
    arguments = ["ppo-throughput", "--set", "rounds", "1", "--set", "rollouts", "1"]
    folder = tmp_path / "new" / "folder"
    assert main([*arguments, "--json", "--output", str(folder)]) == 0
    printed = json.loads(capsys.readouterr().out)
    kept = json.loads((folder / "ppo-throughput.json").read_text())
    assert printed == kept
    for row in kept["rows"]:
        (only,) = row["rounds"]
        assert row["ratio"] == only["keel"] / only["sb3"] > 0
    assert kept["command"].startswith("keel benchmark ppo-throughput --set rounds 1")
    assert kept["environment"]["versions"]["torch"]
    page = (folder / "ppo-throughput.md").read_text()
    assert "| keel/CartPole-v0 | CartPole-v1 |" in page
    assert "ppo-throughput.json" in page


def test_the_learning_table_counts_the_seeds_that_reach_the_goal():
    row = {"env": "CartPole-v1", "solved": True, "steps": 1000, "training_seconds": 2.0, "last_mean": 480.0}
    rows = [row | {"seed": seed, "best_mean": mean, "best_std": 1.0} for seed, mean in enumerate((500.0, 470.0))]
    (line,) = [line for line in ppo_learning.table({"rows": rows}).splitlines() if "CartPole-v1" in line]
    assert line == "| CartPole-v1, ppo |  | 475 in 3 s | 485.0 | 470.0 … 500.0 | 1 of 2 | 480.0 | 1,000 | 2.0 |"


def test_the_interval_of_a_mean_is_students():
    """Mean 2, deviation 1, three values: 2 +- 4.303 / sqrt(3)."""
    low, high = mean_interval([1.0, 2.0, 3.0])
    assert low == pytest.approx(2 - 4.303 / 3**0.5)
    assert high == pytest.approx(2 + 4.303 / 3**0.5)


def test_the_memory_of_a_replay_is_what_its_arrays_take():
    """10,000 frames of 84 x 84 are 70.6 MB; a stack and its successor for each would be 564 MB."""
    result = dqn_memory.run(capacity=10_000)
    assert result["transitions"] == 10_000
    assert 70.56e6 < result["array_bytes"] < 73e6
    assert 65e6 < result["resident_bytes"] < 110e6
    assert result["computed_for_sb3"]["SB3"] == 564_480_000


def test_the_table_of_memory_has_a_line_a_backbone():
    row = {"env": "keel/CartPoleNoVelocity-v0", "seed": 0, "steps": 2048, "training_seconds": 3.0}
    rows = [row | {"backbone": "mlp", "best_mean": 40.0, "last_mean": 39.0}]
    rows += [row | {"backbone": "lstm", "best_mean": value, "last_mean": value} for value in (400.0, 500.0)]
    lines = memory.table({"episodes": 100, "rows": rows}).splitlines()[-2:]
    assert lines[0].startswith("| keel/CartPoleNoVelocity-v0 | mlp | 40.0 | 40.0 | 39.0 | 2,048 | 3 |")
    assert lines[1].startswith("| keel/CartPoleNoVelocity-v0 | lstm | 450.0 | 400.0, 500.0 | 450.0 |")
    assert list(memory.figures({"episodes": 100, "rows": rows})) == ["cartpolenovelocity-v0"]


def test_the_table_of_transfer_compares_medians_and_names_those_that_failed():
    case = transfer.CASES[1]
    over = case.most_steps
    rows = [
        {"env": case.env, "arm": arm, "seed": seed, "solved": steps < over, "steps": steps, "training_seconds": 1.0}
        | {"curve": [(steps, best)]}
        for arm, all_steps, best in (("pretrained", (300, 400, 500), 0.7), ("fresh", (900, 1000, over), 0.5))
        for seed, steps in enumerate(all_steps)
    ]
    result = {"task": "T", "donor_accuracy": 0.97, "rows": rows}
    text = transfer.table(result)
    assert transfer.CASES[0].env not in text
    assert "| pretrained | 3 of 3 | 300, 400, 500 | 0.40 | 0.70 | 1 |" in text
    assert f"| fresh | 2 of 3 | 900, 1,000, over {over:,} | 1.00 | 0.50 | 1 |" in text
    assert "does not help" not in text
    assert list(transfer.figures(result)) == ["digitline-v0"]
    for solved in (False, True):
        frozen = rows[0] | {"arm": "frozen", "solved": solved}
        assert ("does not help" in transfer.table(result | {"rows": [*rows, frozen]})) != solved


def test_what_a_memory_saves_is_counted_in_the_controllers_energy():
    """80 and 84 of 100 MWh are 20 and 16 % saved: mean 18, deviation 2.83, two values: 18 +- 12.706 x 2."""
    year = {"total_mwh": 1_000.0, "violation_minutes": 2.0}
    rows = [
        {"backbone": "lstm", "seed": seed, "return": 1.0, "steps": 10, "training_seconds": 3.0}
        | {"year": year | {"cooling_mwh": mwh}}
        for seed, mwh in enumerate((80.0, 84.0))
    ]
    result = {"env": "E", "controller": "b3", "yardstick": year | {"cooling_mwh": 100.0}, "rows": rows}
    text = cooling_partial.table(result)
    assert "| lstm | 18.0 % | -7.4 to 43.4 | 20.0, 16.0 | 1,000 | 2, 2 | 1 | 10 | 3 |" in text
    assert "| mlp |" not in text


def test_comparisons_say_what_the_seeds_say():
    """Interquartile mean of 1 2 3 4 100 without the lowest and the highest: 3."""
    rows = [
        {"who": who, "env": "CartPole-v1", "seed": seed, "mean": mean, "training_seconds": 1.0}
        for who in ("Keel dqn", "SB3 DQN")
        for seed, mean in enumerate((1.0, 2.0, 3.0, 4.0, 100.0))
    ]
    result = {"steps": {"CartPole-v1": 50_000}, "episodes": 100, "rows": rows}
    assert [row["iqm"] for row in dqn_comparison.summary(result)] == [3.0, 3.0]
    assert "| CartPole-v1, SB3 DQN | 50,000 | 3.0 |" in dqn_comparison.table(result)
    assert list(dqn_comparison.figures(result)) == ["returns"]


def test_every_variant_of_the_ablation_is_a_setting():
    for agent, changes in dqn_ablation.VARIANTS.values():
        preset = default_settings(agent, "CartPole-v1", None, {})
        dataclasses.replace(preset.hyperparameters, **changes)


def test_other_names_are_refused():
    with pytest.raises(ValueError, match="'ppo-thruput' is not a benchmark; did you mean 'ppo-throughput'"):
        main(["ppo-thruput"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--set round 1", "ppo-throughput has no option 'round'; did you mean 'rounds'.*it takes: rounds, rollouts"),
        ("--set rounds five", "--set rounds five: expected JSON"),
    ],
)
def test_bad_options_are_refused_before_anything_is_measured(tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=expected):
        main(["ppo-throughput", *arguments.split(), "--output", "results"])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(ppo_throughput, "run", lambda: pytest.fail("it measured"))
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        main(["ppo-throughput", "--output", str(tmp_path / "file")])


def test_a_page_brings_the_index_of_its_folder_up_to_date(tmp_path, monkeypatch):
    monkeypatch.setattr(ppo_throughput, "run", lambda: {"rows": []})
    monkeypatch.setattr(ppo_throughput, "table", lambda result: "a table")
    assert main(["ppo-throughput", "--output", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ppo-throughput.json", "ppo-throughput.md"]
    (tmp_path / "index.html").touch()
    assert main(["ppo-throughput", "--output", str(tmp_path)]) == 0
    assert 'href="ppo-throughput.md"' in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize("name", ["all", "index"])
def test_the_word_for_all_pages_comes_first(name):
    with pytest.raises(ValueError, match=f"'{name}' comes first, its options after it: keel benchmark {name}"):
        main(["--json", name])


def test_every_page_has_options_that_its_benchmark_takes():
    for name, options in PAGE_OPTIONS.items():
        module = importlib.import_module(f"keel.runners.benchmarks.{name.replace('-', '_')}")
        assert options.keys() <= inspect.signature(module.run).parameters.keys()


def test_every_benchmark_is_a_module_that_runs():
    for name in BENCHMARKS:
        module = __import__(f"keel.runners.benchmarks.{name.replace('-', '_')}", fromlist=["run"])
        assert callable(module.run)
        assert callable(module.table)


def test_tables():
    assert markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n|---|---:|\n| 1 | 2 |"
    assert markdown_table(["a", "b", "c"], [], labels=2) == "| a | b | c |\n|---|---|---:|"
