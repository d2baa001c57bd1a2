"""The run folder: one run each, found again by name, clear about what is wrong, free of secrets."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keel.envs.errors import KeelError
from keel.runners.files import read_json, write_json
from keel.runners.provenance import REDACTED, redact, redact_command, redact_text
from keel.runners.run import Run

CONFIG = {
    "training": {"total_steps": 100, "num_envs": 8},
    "hyperparameters": {"gamma": 0.99},
    "backbone": {"kind": "mlp"},
}


def create(env_id: str = "CartPole-v1", seed: int = 0, **options: object) -> Run:
    return Run.create(env_id, "ppo", seed, CONFIG, **options)  # type: ignore[arg-type]


@pytest.mark.usefixtures("runs_directory")
def test_a_new_run_says_what_it_is() -> None:
    run = create("keel/CartPole-v0", seed=3)
    assert run.path.parent == Path("results/runs")
    assert run.path.name.startswith("keel-CartPole-v0-ppo-3-")
    header = {"format": 1, "name": run.path.name, "agent": "ppo", "env": "keel/CartPole-v0", "seed": 3}
    assert json.loads((run.path / "config.json").read_text()) == run.config == header | CONFIG
    assert run.status()["state"] == "running"
    assert run.status()["pid"] == os.getpid()
    assert run.environment()["resume"] == "exact"
    assert run.environment()["python"] == ".".join(map(str, sys.version_info[:3]))
    assert run.metrics() == run.timing() == run.media() == []
    assert run.checkpoints.is_dir()
    assert run.videos.is_dir()


def _create_name(_: int) -> str:
    return create().path.name


@pytest.mark.usefixtures("runs_directory")
def test_runs_that_begin_in_the_same_second_have_folders_of_their_own() -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        names = pool.map(_create_name, range(24), chunksize=1)
    assert len(set(names)) == 24


def test_a_folder_that_holds_a_run_or_anything_else_is_refused(tmp_path: Path) -> None:
    run = create(run_dir=tmp_path / "mine")
    assert run.path == tmp_path / "mine"
    with pytest.raises(KeelError, match="holds a run already"):
        create(run_dir=tmp_path / "mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(KeelError, match=r"not empty \(it holds thesis\.tex\)"):
        create(run_dir=tmp_path / "other")
    (tmp_path / "empty").mkdir()
    assert create(run_dir=tmp_path / "empty").path.is_dir()


def test_a_folder_that_cannot_be_written_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeelError, match=r"cannot make the run folder .*file/run: .*"):
        create(run_dir=tmp_path / "file" / "run")
    with pytest.raises(KeelError, match=r"cannot make the run folder /proc/keel"):
        create(run_dir="/proc/keel")


@pytest.mark.parametrize("name", ["latest", "", "../up", "a/b", ".hidden", "-rf", "x" * 300])
def test_names_that_are_no_folder_names_are_refused(runs_directory: Path, name: str) -> None:
    with pytest.raises(ValueError, match="name must be"):
        create(name=name)
    assert not (runs_directory / "results").exists()


@pytest.mark.usefixtures("runs_directory")
def test_runs_are_opened_by_folder_name_beginning_and_latest() -> None:
    first, second = create(name="swift-otter"), create(name="slow-otter")
    for reference in ("swift-otter", "sw", first.path, str(first.path.resolve())):
        assert Run.open(reference).path.resolve() == first.path.resolve()
    assert Run.open("latest").path == second.path
    os.utime(first.path / "config.json", (time.time() + 60, time.time() + 60))  # creation counts, not a later touch
    assert Run.open("latest").path == second.path
    with pytest.raises(KeelError, match="could be 2 runs: slow-otter, swift-otter"):
        Run.open("s")


@pytest.mark.usefixtures("runs_directory")
def test_a_run_that_is_not_found_names_the_nearest() -> None:
    with pytest.raises(FileNotFoundError, match="there is no run under results/runs yet"):
        Run.open("latest")
    create(name="CartPole-v1-ppo-0-a")
    create(name="Pendulum-v1-ppo-0-b")
    with pytest.raises(FileNotFoundError, match=r"'CartPole-v1-poo-0-a' is no run; near it: CartPole-v1-ppo-0-a"):
        Run.open("CartPole-v1-poo-0-a")
    with pytest.raises(FileNotFoundError, match=r"is a folder without config\.json"):
        Run.open("results")


@pytest.mark.usefixtures("runs_directory")
def test_find_takes_names_globs_and_folders_each_run_once(tmp_path: Path) -> None:
    a, b = create(name="CartPole-a"), create(name="CartPole-b")
    elsewhere = create(run_dir=tmp_path / "elsewhere" / "x")
    assert [run.path for run in Run.find(["CartPole-*"])] == [a.path, b.path]
    assert [run.name for run in Run.find(["CartPole-b", "CartPole-?", f"{tmp_path}/elsewhere/*"])] == [
        "CartPole-b", "CartPole-a", "x",
    ]  # fmt: skip
    assert Run.find([str(elsewhere.path)])[0].config == elsewhere.config
    with pytest.raises(FileNotFoundError, match=r"no run matches 'Ant-\*'"):
        Run.find(["Ant-*"])


@pytest.mark.usefixtures("runs_directory")
def test_a_damaged_run_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    whole, torn = create(name="CartPole-a"), create(name="CartPole-b")
    (torn.path / "config.json").write_text("{")
    found = (Run.all(), Run.find(["CartPole-*"]), Run.find([f"{torn.path.parent.resolve()}/*"]))
    assert [[run.name for run in runs] for runs in found] == [[whole.name]] * 3
    assert caplog.text.count("CartPole-b/config.json is not valid JSON") == 3
    with pytest.raises(FileNotFoundError, match=r"no run matches '\*-b'"):
        Run.find(["*-b"])
    with pytest.raises(KeelError, match="is not valid JSON"):  # it was asked for by name
        Run.find(["CartPole-b"])


@pytest.mark.usefixtures("runs_directory")
def test_the_empty_reference_is_no_run() -> None:
    create()
    with pytest.raises(ValueError, match="'' is no run"):
        Run.open("")


@pytest.mark.parametrize(("value", "error"), [(float("nan"), ValueError), (object(), TypeError)])
@pytest.mark.usefixtures("runs_directory")
def test_settings_that_are_not_json_leave_no_folder(value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"cannot be kept in config\.json"):
        Run.create("CartPole-v1", "ppo", 0, {"training": {"env_options": {"x": value}}})
    assert list(Path().iterdir()) == []


def test_settings_can_be_changed_for_a_resume_and_the_name_stays(tmp_path: Path) -> None:
    run = create(run_dir=tmp_path / "run", name="otter")
    run.save_settings({"training": {"total_steps": 200, "env_options": {"token": "hunter2hunter2"}}})
    again = Run.open(run.path)
    assert again.name == "otter"
    assert again.config["training"] == {"total_steps": 200, "env_options": {"token": REDACTED}}
    assert again.config["hyperparameters"] == CONFIG["hyperparameters"]


def test_damaged_settings_are_named(tmp_path: Path) -> None:
    run = create(run_dir=tmp_path / "run")
    (run.path / "config.json").write_text('{"format": 1,')
    with pytest.raises(KeelError, match=r"config\.json is not valid JSON"):
        Run.open(run.path)
    write_json(run.path / "config.json", {"format": 99})
    with pytest.raises(KeelError, match="has format 99; this version of Keel reads format 1"):
        Run.open(run.path)


def test_the_lock_keeps_a_second_process_out_until_the_first_ends(tmp_path: Path) -> None:
    run = create(run_dir=tmp_path / "run")
    hold = (
        "import sys, time; from keel.runners.run import Run\n"
        "with Run.open(sys.argv[1]).lock(): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", hold, str(run.path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(KeelError, match=f"in use by process {holder.pid}"), run.lock():
            pass
        holder.kill()
    with run.lock(), pytest.raises(KeelError, match=f"in use by process {os.getpid()}"), run.lock():
        pass


def test_secrets_never_reach_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = "canary-7f3b19c2d4"
    monkeypatch.setenv("SOME_SERVICE_TOKEN", canary)
    monkeypatch.setattr(sys, "argv", ["keel", "train", "--api-key", "hunter2hunter2", f"--note=see {canary}"])
    options = {"password": "hunter2hunter2", "address": f"https://me:{canary}@example.org/x"}
    run = Run.create("CartPole-v1", "ppo", 0, {"training": {"env_options": options}}, run_dir=tmp_path / "run")
    written = b"".join(path.read_bytes() for path in run.path.rglob("*") if path.is_file())
    assert canary.encode() not in written
    assert b"hunter2" not in written
    assert run.environment()["command"] == ["keel", "train", "--api-key", REDACTED, f"--note=see {REDACTED}"]


@pytest.mark.parametrize(
    "secret",
    [
        "0123456789abcdef" * 2 + "01234567",
        "sk-" + "aB3d" * 5,
        "ghp_" + "a1" * 18,
        "hf_" + "Ab3" * 8,
        "AKIA" + "A1B2" * 4,
    ],
)
def test_known_shapes_of_credentials_are_taken_out_of_text(secret: str) -> None:
    assert redact_text(f"use {secret} now") == f"use {REDACTED} now"


def test_settings_that_only_sound_like_secrets_stay() -> None:
    settings = {"max_tokens": 5, "keyboard": "qwerty", "key": 3, "tokenizer": "words", "sha256": "ab" * 32}
    assert redact(settings) == settings
    command = ["keel", "train", "ppo", "--env", "CartPole-v1", "--keyboard", "qwerty", "--seed", "3"]
    assert redact_command(command) == command


def test_a_secret_option_without_a_value_does_not_hide_the_next_option() -> None:
    assert redact_command(["--token", "--seed", "3", "API_KEY=x"]) == ["--token", "--seed", "3", f"API_KEY={REDACTED}"]


def test_json_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"big": 2**80, "third": 1 / 3, "text": "å"})
    before = path.read_bytes()
    for bad in ({"x": float("nan")}, {"x": object()}):
        with pytest.raises((TypeError, ValueError), match=r"a\.json cannot be written"):
            write_json(path, bad)
    assert path.read_bytes() == before
    assert read_json(path) == {"big": 2**80, "third": 1 / 3, "text": "å"}
    assert os.listdir(tmp_path) == ["a.json"]


def test_the_folder_needs_neither_torch_nor_wandb() -> None:
    check = "import sys, keel.runners.tracker; sys.exit(any(m in sys.modules for m in ('torch', 'wandb')))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
