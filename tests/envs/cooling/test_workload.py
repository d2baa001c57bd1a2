"""Utilisation: synthetic traces look like measured ones, files are read strictly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keel.envs.cooling import workload
from keel.envs.cooling.workload import load_workload
from keel.envs.protocol import Array

WEEK = 7 * 288


def synthetic(seed: int, first_step: int = 0, count: int = WEEK, halls: int = 1) -> Array:
    return load_workload("synthetic").steps(np.random.default_rng(seed), first_step, count, halls)


@pytest.mark.parametrize("halls", [1, 3])
def test_shape_and_range(halls: int) -> None:
    for seed in range(50):
        trace = synthetic(seed, first_step=seed * 1000, halls=halls)
        assert trace.shape == (WEEK, halls)
        assert trace.dtype == np.float64
        assert trace.min() >= 0.05
        assert trace.max() <= 1.0


def test_statistics_are_those_of_measured_traces() -> None:
    """Google 2019, Azure V2 and Alibaba 2018: 5-minute steps of 1.5 to 6 points, autocorrelation .8 to .97."""
    traces = [synthetic(seed)[:, 0] for seed in range(100)]
    means = np.array([trace.mean() for trace in traces])
    steps = np.array([np.diff(trace).std() for trace in traces])
    correlations = np.array([np.corrcoef(trace[1:], trace[:-1])[0, 1] for trace in traces])
    assert means.mean() == pytest.approx(0.5, abs=0.03)
    assert means.std() > 0.05, "episodes differ"
    assert ((steps > 0.014) & (steps < 0.07)).all()
    assert steps.max() > 2 * steps.min()
    assert ((correlations > 0.8) & (correlations < 0.998)).all()
    largest = np.array([np.abs(np.diff(trace)).max() for trace in traces])
    assert 0.12 < np.median(largest) < 0.35


def test_busier_by_day_than_by_night_and_on_weekdays() -> None:
    days = np.mean([synthetic(seed)[:, 0].reshape(7, 288) for seed in range(200)], axis=0)
    assert days[:5, 15 * 12].mean() > days[:5, 3 * 12].mean() + 0.1
    assert days[:5].mean() > days[5:].mean() + 0.02


def test_halls_are_alike_but_not_equal() -> None:
    correlations = [np.corrcoef(synthetic(seed, halls=2).T)[0, 1] for seed in range(50)]
    assert 0.5 < np.mean(correlations) < 0.95
    assert max(correlations) < 0.999


def test_same_seed_same_trace() -> None:
    assert synthetic(3, 500, 900, 2).tobytes() == synthetic(3, 500, 900, 2).tobytes()
    assert synthetic(3).tobytes() != synthetic(4).tobytes()


def write(
    path: Path, values: list[float], header: str = "cpu_util,mem_util,assigned_mem,cycles_per_instruction"
) -> str:
    path.write_text(header + "\n" + "".join(f"{value},0.3,0.6,148.6\n" for value in values))
    return str(path)


def test_csv_of_shares(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(0.2, 0.8, 8064)
    loaded = load_workload(write(tmp_path / "google.csv", values.tolist()))
    generator = np.random.default_rng(0)
    assert loaded.steps(generator, 0, 8064, 1)[:, 0].tolist() == values.tolist()
    assert loaded.steps(generator, 8064 + 8063, 2, 1)[:, 0].tolist() == [values[-1], values[0]], "it wraps around"
    halls = loaded.steps(generator, 10, 100, 3)
    assert halls.shape == (100, 3)
    assert halls[:, 1].tolist() == values[46:146].tolist(), "three hours ahead"
    assert generator.bit_generator.state == np.random.default_rng(0).bit_generator.state, "no chance"


def test_csv_of_percent_in_a_named_column(tmp_path: Path) -> None:
    path = tmp_path / "percent.csv"
    path.write_text(
        "\ufefftime,CPU percent\n" + "".join(f"{step},{step * 5}\n" for step in range(21)), encoding="utf-8"
    )
    trace = load_workload(str(path)).steps(np.random.default_rng(0), 0, 21, 1)[:, 0]
    assert trace.tolist() == [step * 5 / 100 for step in range(21)]


def test_csv_without_a_telling_name_gives_its_only_column(tmp_path: Path) -> None:
    path = tmp_path / "load.csv"
    path.write_text("load\n" + "0.25\n" * 12)
    assert load_workload(str(path)).steps(np.random.default_rng(0), 0, 12, 1).tolist() == [[0.25]] * 12


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hour,load\n" + "1,0.5\n" * 12, "has the columns hour, load; one with util or cpu in its name is needed"),
        ("monday,0.5\n" * 13, r"line 1 is \['monday', '0.5'\]; a header line with the columns' names would be right"),
        ("0.5\n" * 13, "line 1 is .*0.5.*; a header line with the columns' names would be right"),
        ("cpu\n" + "0.5\n" * 12 + "2\n", "the largest utilisation is 2; at most 1 as a share"),
        ("cpu\n" + "0.5\n" * 12 + "1.02\n", "the largest utilisation is 1.02; at most 1 as a share, or percent"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "load.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        load_workload(str(path))


GOOD = "cpu,memory\n" + "0.5,1\n" * 12


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1 is empty; a header line and at least 12 rows"),
        ("cpu\n" + "0.5\n" * 11, "has 11 rows.*at least 12"),
        (GOOD + "0.5\n", "line 14: the row has 1 fields; at least 2"),
        (GOOD + "\n0.5,1\n", "line 14: the row has 0 fields"),
        (GOOD + "busy,1\n", "line 14: column 'cpu' is 'busy'; a number from 0 to 100"),
        (GOOD + ",1\n", "line 14: column 'cpu' is ''"),
        (GOOD + "-0.1,1\n", "line 14: column 'cpu' is '-0.1'"),
        (GOOD + "100.5,1\n", "line 14: column 'cpu' is '100.5'"),
        (GOOD + "nan,1\n", "line 14: column 'cpu' is 'nan'"),
        (GOOD + "inf,1\n", "line 14: column 'cpu' is 'inf'"),
        (GOOD + "1_0,1\n", "line 14: column 'cpu' is '1_0'"),
        (GOOD + '"0.5,1\n', "line 14: .*plain comma-separated row"),
    ],
)
def test_damaged_files(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "load.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=words) as error:
        load_workload(str(path))
    assert str(path) in str(error.value)


def test_files_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="is not a file"):
        load_workload(str(tmp_path / "missing.csv"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ValueError, match="is not a file"):
        load_workload(str(tmp_path / "folder.csv"))
    (tmp_path / "binary.csv").write_bytes(b"cpu\n\xff\xfe")
    with pytest.raises(ValueError, match="is not utf-8-sig text: byte 4 is 0xff"):
        load_workload(str(tmp_path / "binary.csv"))
    monkeypatch.setattr(workload, "MAX_CSV_BYTES", 50)
    with pytest.raises(ValueError, match="at most 50"):
        load_workload(write(tmp_path / "large.csv", [0.5] * 12))


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"workload is 'synthetik'.*did you mean 'synthetic'"):
        load_workload("synthetik")
