"""A run's folder read fast: the same numbers as row by row, and the same complaints about damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keel.envs.errors import KeelError
from keel.runners.compare import read as compare_read
from keel.runners.compare.read import Measured, read_run, read_runs
from keel.runners.files import encode_row
from keel.runners.run import Run
from keel.runners.seed_statistics import curve


def write(folder: Path, rows: list[dict[str, Any]], tail: bytes = b"") -> Run:
    run = Run.create("CartPole-v1", "ppo", 0, {}, run_dir=folder / "run")
    (run.path / "metrics.jsonl").write_bytes(b"".join(encode_row(row) for row in rows) + tail)
    return run


def random_rows(count: int = 300) -> list[dict[str, Any]]:
    chance = np.random.default_rng(0)
    rows = []
    for index in range(count):
        row: dict[str, Any] = {
            "global_step": 10 * index,
            "loss/policy": chance.normal() * 10.0 ** chance.integers(-9, 9),
        }
        if index % 3:
            row["train/episode_return"] = chance.normal() * 10.0 ** chance.integers(-12, 12)
        if index % 7 == 0:
            row["eval/return"] = [1, -2.5, float("nan"), float("inf"), None][index // 7 % 5]
        row["train/episodes"] = float(index)
        rows.append(row)
    return rows


def test_the_fast_way_reads_what_the_slow_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = random_rows()
    run = write(tmp_path, rows)
    with monkeypatch.context() as patch:
        patch.setattr(compare_read, "read_rows", lambda *_: pytest.fail("this was to go fast"))
        found = read_run(run)
    for metric in ("train/episode_return", "eval/return"):
        np.testing.assert_array_equal(found.curves[metric], curve(rows, metric))  # every bit
    assert "eval/elo" not in found.curves
    assert (found.rows, found.steps) == (300, 2990)
    steps, episodes = curve(rows, "train/episodes")
    np.testing.assert_allclose(found.along("episodes", steps), episodes)  # of which only some are read


def test_a_key_within_a_text_is_no_key(tmp_path: Path) -> None:
    trap = 'x, "eval/return": 99, '
    found = read_run(write(tmp_path, [{"global_step": 1, "a": trap, "eval/return": 5.0, "z": '"eval/return": 7'}]))
    assert [part.tolist() for part in found.curves["eval/return"]] == [[1], [5]]


def test_rows_in_another_order_are_read_all_the_same(tmp_path: Path) -> None:
    run = write(tmp_path, [], tail=b'{"eval/return":3.5,"global_step":7}\n{"global_step": 9, "eval/return": 4}\n')
    assert [part.tolist() for part in read_run(run).curves["eval/return"]] == [[7, 9], [3.5, 4]]


@pytest.mark.parametrize("step", [b"1", b"1234567890123", b"12345678901234567", b"-3", b"1.5"])
def test_steps_of_any_form(tmp_path: Path, step: bytes) -> None:
    lines = b"".join(
        b'{"global_step": %s, "eval/return": %d, "x": 0.123456789}\n' % (step, value) for value in range(3)
    )
    found = read_run(write(tmp_path, [], tail=lines)).curves["eval/return"]
    assert [part.tolist() for part in found] == [[float(step)] * 3, [0, 1, 2]]


def test_a_torn_last_line_is_ignored(tmp_path: Path) -> None:
    run = write(tmp_path, [{"global_step": 1, "eval/return": 5.0}], tail=b'{"global_step": 2, "eval/return": 6')
    assert read_run(run).curves["eval/return"][1].tolist() == [5]


GARBAGE = b'{"global_step": 2, "eval/return": 6, nothing\x00}\n'  # begins and ends as a row does


@pytest.mark.parametrize("damage", [b"\x00\x00\n", b'{"global_step": 2, "eval/return": 6\n', b"[1]\n", b"\n", GARBAGE])
def test_damage_is_named_with_its_line(tmp_path: Path, damage: bytes) -> None:
    run = write(tmp_path, [{"global_step": 1, "eval/return": 5.0}], tail=damage + b'{"global_step": 3}\n')
    with pytest.raises(KeelError, match=r"metrics\.jsonl, line 2, is damaged"):
        read_run(run)


def test_a_number_that_is_none_is_damage(tmp_path: Path) -> None:
    run = write(tmp_path, [], tail=b'{"global_step": 1, "eval/return": 5.0.1}\n')
    with pytest.raises(KeelError, match="line 1, is damaged"):
        read_run(run)


def test_an_empty_folder_has_measured_nothing(tmp_path: Path) -> None:
    run = write(tmp_path, [])
    (run.path / "metrics.jsonl").unlink()
    found = read_run(run)
    assert (dict(found.curves), found.rows, found.steps) == ({}, 0, 0)
    assert found.outcome.best_eval_return is None
    assert found.outcome.wall_seconds is None


def test_the_clock_between_its_rows(tmp_path: Path) -> None:
    run = write(tmp_path, [{"global_step": 100, "eval/return": 1.0, "train/episodes": 4.0}])
    rows = [{"global_step": step, "training_seconds": step / 50, "wall_seconds": step / 40} for step in range(50, 5050)]
    (run.path / "timing.jsonl").write_bytes(b"".join(map(encode_row, rows)))
    found = read_run(run)
    np.testing.assert_allclose(found.along("seconds", np.array([25.0, 777, 5049])), [0.5, 777 / 50, 5049 / 50])
    np.testing.assert_allclose(found.along("episodes", np.array([50.0, 100])), [2, 4])
    assert found.outcome.training_seconds == 5049 / 50
    assert found.outcome.wall_seconds == 5049 / 40
    assert found.outcome.steps_per_second == pytest.approx(50)


def test_a_run_without_a_clock_is_not_on_that_axis() -> None:
    found = Measured({})
    assert found.along("seconds", np.array([1.0])) is None
    np.testing.assert_array_equal(found.along("steps", np.array([1.0])), [1])


def test_cost_is_read_where_it_is(tmp_path: Path) -> None:
    run = write(tmp_path, [{"global_step": 1, "eval/return": 5.0}])
    assert read_run(run).outcome.cpu_seconds is None
    (run.path / "cost.json").write_text(
        '{"cpu_seconds": 12.5, "energy_kwh": 0.25, "emissions_grams": null, "energy_method": "measured", "country": null}'
    )
    outcome = read_run(run).outcome
    assert (outcome.cpu_seconds, outcome.energy_kwh, outcome.emissions_grams) == (12.5, 0.25, None)


def test_several_processes_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_read, "MUCH_BYTES", 0)
    rows = [{"global_step": step, "eval/return": step / 7} for step in range(1, 40)]
    runs = [write(tmp_path / name, rows[:count]) for name, count in (("a", 39), ("b", 5))]
    alone, together = read_runs(runs), read_runs(runs, jobs=2)
    assert list(alone) == list(together)
    for one, other in zip(alone.values(), together.values(), strict=True):
        assert (one.rows, one.steps, one.outcome) == (other.rows, other.steps, other.outcome)
        np.testing.assert_array_equal(one.curves["eval/return"], other.curves["eval/return"])
    damaged = write(tmp_path / "c", rows[:1], tail=b"\x00\n")
    with pytest.raises(KeelError, match="line 2, is damaged"):
        read_runs([*runs, damaged], jobs=2)
