"""What a run costs is counted once, added up over its parts, and changes nothing of what it learns."""

from __future__ import annotations

import importlib.resources
import importlib.util
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keel.envs.errors import KeelError
from keel.runners import cost
from keel.runners.cost import Cost, CostMeter, Energy, EnergyMeter, read_cost, with_energy
from keel.runners.run import Run

Keel = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("without_report")

SMALL = {
    "total-steps": 256,
    "num-envs": 4,
    "num-steps": 32,
    "minibatch-size": 32,
    "evaluate-episodes": 2,
    "video": False,
}
TINY = [str(part) for name, value in SMALL.items() for part in (f"--{name}", value)]
FEW_GAMES = "--selfplay.games 6 --selfplay.moves 16 --search.simulations 4 --learning-starts 50 --batch-size 16"
NOTHING_ASKED = {"energy_kwh": None, "emissions_grams": None, "energy_method": None, "country": None}
BURN = "import time\nwhile time.process_time() < {seconds}: pass"


def train(keel: Keel, path: Path, *more: object) -> Run:
    outcome = keel("train", "ppo", "--env", "keel/CartPole-v0", "--run-dir", path, *TINY, *more)
    assert outcome.code == 0, outcome.error
    return Run.open(path)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create("CartPole-v1", "ppo", 0, {}, run_dir=tmp_path / "run")


def test_a_training_and_its_resume_add_up(keel: Keel, tmp_path: Path) -> None:
    """Beside this process's own clock, which also counts what comes before and after."""
    parts = []
    for command in ("train", "resume"):
        start = time.process_time()
        if command == "train":
            train(keel, tmp_path / "run")
        else:
            assert keel("resume", tmp_path / "run", "--total-steps", 512).code == 0
        found = json.loads((tmp_path / "run" / "cost.json").read_text())
        assert found.items() >= NOTHING_ASKED.items()
        assert found.keys() == {*NOTHING_ASKED, "cpu_seconds"}
        parts.append((found["cpu_seconds"], time.process_time() - start))
    (first, most), (both, most_of_second) = parts
    assert 0.0 < first < most
    assert 0.0 < both - first < most_of_second


def test_the_sum_of_parts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 11.5, 14.0, 100.0, 103.0])
    monkeypatch.setattr(cost, "cpu_seconds", lambda: next(clock))
    first = CostMeter(run)
    first.write()
    assert read_cost(run) == Cost(1.5)
    first.finish()
    assert read_cost(run) == Cost(4.0)
    CostMeter(run).finish()
    assert read_cost(run) == Cost(7.0)


def test_processes_that_have_ended_count(run: Run) -> None:
    meter = CostMeter(run)
    subprocess.run([sys.executable, "-c", BURN.format(seconds=0.3)], check=True)
    meter.finish()
    found = read_cost(run)
    assert found is not None
    assert 0.3 <= found.cpu_seconds < 0.9


@pytest.mark.slow
def test_the_workers_of_a_training_count(keel: Keel, tmp_path: Path) -> None:
    start = time.process_time()
    found = read_cost(train(keel, tmp_path / "run", "--workers", 1))
    assert found is not None
    assert found.cpu_seconds > time.process_time() - start  # a worker imports for longer than this trains


def test_a_part_that_is_killed_counts_up_to_its_last_snapshot(
    keel: Keel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CostMeter, "finish", lambda _: None)
    found = read_cost(train(keel, tmp_path / "run"))
    assert found is not None
    assert found.cpu_seconds > 0.0


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param("train sb3-a2c --env keel/CartPole-v0 --total-steps 64 --video False", marks=pytest.mark.slow),
        f"train alphazero --game tic_tac_toe --iterations 2 --evaluations 0 --video False {FEW_GAMES}",
        "pretrain cnn --task digits --epochs 1",
    ],
    ids=lambda arguments: arguments.split()[1],
)
def test_every_kind_of_training_says_what_it_cost(keel: Keel, tmp_path: Path, arguments: str) -> None:
    outcome = keel(*arguments.split(), "--run-dir", tmp_path / "run")
    assert outcome.code == 0, outcome.error
    found = read_cost(Run.open(tmp_path / "run"))
    assert found is not None
    assert found.cpu_seconds > 0.0


def test_a_damaged_file_is_named(run: Run) -> None:
    (run.path / "cost.json").write_text('{"cpu_hours": 1}')
    with pytest.raises(KeelError, match=r"cost\.json is not what a run has cost: .*cpu_hours"):
        CostMeter(run)


def test_energy_adds_up_and_an_estimate_stays_one() -> None:
    measured, estimated = (Energy(0.25, 90.0, method, "DEU") for method in ("measured", "estimated"))
    once = with_energy(Cost(1.0), measured)
    assert once == Cost(1.0, 0.25, 90.0, "measured", "DEU")
    assert with_energy(once, measured) == Cost(1.0, 0.5, 180.0, "measured", "DEU")
    assert with_energy(once, estimated).energy_method == "estimated"
    assert with_energy(with_energy(Cost(1.0), estimated), measured).energy_method == "estimated"
    assert with_energy(once, None) == once


class Grid:
    """codecarbon, where no meter is and no network."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("codecarbon")
        table = importlib.resources.files("codecarbon") / "data" / "private_infra" / "global_energy_mix.json"
        self.grams_per_kwh = {code: row["carbon_intensity"] for code, row in json.loads(table.read_text()).items()}
        self.monkeypatch = monkeypatch
        for name in ("connect", "connect_ex", "sendto"):
            monkeypatch.setattr(socket.socket, name, self.refuse)
        monkeypatch.setattr(socket, "getaddrinfo", self.refuse)
        self.use_meter(None)

    def refuse(self, *arguments: Any, **_: Any) -> Any:
        raise AssertionError(f"the network was asked: {arguments}")

    def use_meter(self, meter: type | None) -> None:
        from codecarbon.core import cpu, hardware_cache
        from codecarbon.external import hardware

        hardware_cache.clear_cache()
        self.monkeypatch.setattr(cpu, "is_rapl_available", lambda *_: meter is not None)
        if meter is not None:
            self.monkeypatch.setattr(hardware, "IntelRAPL", meter)


class Meter:
    """A processor's meter that counts 2 Wh between any two readings."""

    def __init__(self, **_: Any) -> None: ...

    def start(self) -> None: ...

    def get_cpu_details(self, *_: Any) -> dict[str, float]:
        return {"Processor Energy Delta_0(kWh)": 0.002}

    def get_static_cpu_details(self) -> dict[str, float]:
        return {"Processor Power Delta_0(kW)": 0.0}


@pytest.fixture
def grid(monkeypatch: pytest.MonkeyPatch) -> Grid:
    return Grid(monkeypatch)


def test_energy_is_counted_beside_the_training_and_changes_nothing(
    keel: Keel, tmp_path: Path, grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = train(keel, tmp_path / "plain")
    for name, value in (("EMISSIONS_ENDPOINT", "http://127.0.0.1:9"), ("SAVE_TO_API", "true"), ("OUTPUT_DIR", "/")):
        monkeypatch.setenv(f"CODECARBON_{name}", value)
    monkeypatch.setenv("CODECARBON_ELECTRICITYMAPS_API_TOKEN", "none of Keel's business")
    monkeypatch.chdir(tmp_path)
    outcome = keel(*("train", "ppo", "--env", "keel/CartPole-v0", "--run-dir", "run", *TINY, "--energy-country", "DEU"))
    assert outcome.code == 0, outcome.error
    assert "codecarbon" not in outcome.out + outcome.error
    run = Run.open("run")
    assert (run.path / "metrics.jsonl").read_bytes() == (plain.path / "metrics.jsonl").read_bytes()
    assert {path.name for path in run.path.iterdir()} == {path.name for path in plain.path.iterdir()}
    assert {path.name for path in tmp_path.iterdir()} == {"plain", "run"}
    found = read_cost(run)
    assert found is not None
    assert found.energy_kwh is not None
    assert 0.0 < found.energy_kwh < 0.01  # ten seconds of a kilowatt are 0.003
    assert (found.energy_method, found.country) == ("estimated", "DEU")
    assert found.emissions_grams == pytest.approx(found.energy_kwh * grid.grams_per_kwh["DEU"], rel=1e-9)


def test_a_meter_is_said_to_measure(run: Run, grid: Grid) -> None:
    grid.use_meter(Meter)
    meter = EnergyMeter("FRA", run.path)
    time.sleep(0.1)
    found = meter.read()
    meter.close()
    assert found is not None
    assert found.method == "measured"
    assert found.kwh == pytest.approx(0.002, abs=1e-4) or found.kwh == pytest.approx(0.004, abs=1e-4)
    assert found.grams == pytest.approx(found.kwh * grid.grams_per_kwh["FRA"], rel=1e-9)


@pytest.mark.parametrize(
    ("country", "expected"),
    [
        ("de", "energy_country is 'de': it must be the ISO code of a country in three capital letters, such as DEU"),
        ("XYZ", "energy_country is 'XYZ': it must be the ISO code of a country whose grid codecarbon knows"),
    ],
)
@pytest.mark.usefixtures("runs_directory")
def test_an_unknown_country_is_refused_before_anything_starts(keel: Keel, country: str, expected: str) -> None:
    pytest.importorskip("codecarbon")
    outcome = keel("train", "ppo", "--env", "keel/CartPole-v0", "--energy-country", country)
    assert outcome.code == 2
    assert expected in " ".join(outcome.error.split())
    assert list(Path().iterdir()) == []


@pytest.mark.usefixtures("runs_directory")
def test_without_codecarbon_the_line_that_installs_it_is_named(keel: Keel, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "codecarbon" else find_spec(name, *a)
    )
    outcome = keel("train", "ppo", "--env", "keel/CartPole-v0", "--energy-country", "DEU")
    assert outcome.code == 2
    assert "pip install 'keel-rl[energy]'" in outcome.error
    assert list(Path().iterdir()) == []
