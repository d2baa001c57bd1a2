"""The dashboard's database holds what the run folders hold, once, whatever happens to them; read by trackio itself."""

from __future__ import annotations

import json
import math
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keel.envs.errors import KeelError
from keel.runners.dashboard import command as dashboard
from keel.runners.dashboard.database import Database, load_trackio, open_database
from keel.runners.dashboard.importer import Gain, Importer
from keel.runners.run import Run
from keel.runners.tracker import JsonLines

SETTINGS = {"training": {"total_steps": 100}, "hyperparameters": {"gamma": 0.9, "clip": {"range": 0.2}}}


@pytest.fixture
def storage(runs_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """trackio's own storage over the working directory's database; it knows one folder for a process otherwise."""
    folder = Path("results/.dashboard").resolve()
    import trackio.server  # before the folder is set, so that nothing of it stays set after the test
    import trackio.sqlite_storage
    import trackio.utils

    for module in (trackio.utils, trackio.sqlite_storage):
        monkeypatch.setattr(module, "TRACKIO_DIR", folder)
    monkeypatch.setattr(trackio.utils, "MEDIA_DIR", folder / "media")
    for name in ("TRACKIO_DIR", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.setenv(name, "")  # so that they are put back
    return trackio.sqlite_storage.SQLiteStorage


@pytest.fixture
def database(storage: Any) -> Iterator[Database]:
    with open_database("keel") as opened:
        yield opened


def make_run(name: str = "one", rows: int = 3, seed: int = 0) -> Run:
    run = Run.create("CartPole-v1", "ppo", seed, SETTINGS, name=name)
    log(run, 1, rows)
    return run


def log(run: Run, first: int, last: int, worth: float = 1.0) -> None:
    tracker = JsonLines(run)
    for step in range(first, last + 1):
        tracker.log(step, {"eval/return": worth * step, "loss/policy": math.nan if step == 2 else 0.5})
        tracker.log_timing(step, {"training_seconds": 10.0 * step, "wall_seconds": 0.0, "steps_per_second": 1.0})
    tracker.finish("finished")


def update(database: Database) -> Gain:
    return Importer(database).update(Run.all())


def shown(storage: Any, name: str) -> list[dict[str, Any]]:
    """The rows that trackio shows, as metrics.jsonl would have them."""
    rows = storage.get_logs("keel", name)
    return [{"global_step": row["step"]} | {k: v for k, v in row.items() if "/" in k or k == "video"} for row in rows]


def check_shown(storage: Any, run: Run) -> None:
    text = [json.dumps(row) for row in run.metrics()]  # as text, since NaN is not equal to itself
    assert [json.dumps(row) for row in shown(storage, run.name)] == text


def test_rows_and_settings_are_those_of_the_folder(database: Database, storage: Any) -> None:
    runs = [make_run("one"), make_run("two", rows=500, seed=1)]
    gain = update(database)
    assert (gain.runs, gain.rows, gain.videos) == (["one", "two"], 503, 0)
    for run in runs:
        check_shown(storage, run)
    assert math.isnan(shown(storage, "one")[1]["loss/policy"])
    settings = storage.get_run_config("keel", "two")
    assert settings["hyperparameters.clip.range"] == 0.2
    assert (settings["seed"], settings["_Group"]) == (1, "CartPole-v1-ppo")


def test_times_are_those_of_training(database: Database, storage: Any) -> None:
    run = make_run()
    created = {"created_unix_seconds": 1_700_000_000.0}  # 2023-11-14, 22:13:20 UTC
    (run.path / "environment.json").write_text(json.dumps(created))
    update(database)
    times = [row["timestamp"] for row in storage.get_logs("keel", "one")]
    assert times == [f"2023-11-14T22:13:{second}.000Z" for second in (30, 40, 50)]


def test_nothing_is_imported_twice(database: Database, storage: Any) -> None:
    run = make_run()
    importer = Importer(database)
    importer.update(Run.all())
    for again in (importer, importer, Importer(database)):  # the last one as after a restart
        assert again.update(Run.all()) == Gain()
    log(run, 4, 5)
    assert importer.update(Run.all()) == Gain(rows=2)
    check_shown(storage, run)


def test_a_row_that_is_being_written_waits_for_its_end(database: Database, storage: Any) -> None:
    run = make_run()
    importer = Importer(database)
    with open(run.path / "metrics.jsonl", "ab") as file:
        file.write(b'{"global_step": 4, "eval/ret')
        file.flush()
        assert importer.update(Run.all()).rows == 3
        file.write(b'urn": 7.0}\n')
    assert importer.update(Run.all()).rows == 1
    check_shown(storage, run)


@pytest.mark.parametrize("rows_after", [2, 3, 8], ids=["fewer", "as many", "more"])
def test_a_resumed_run_is_imported_anew(database: Database, storage: Any, rows_after: int) -> None:
    """Cut back to its first row and grown again, differently, while nobody looked."""
    run = make_run()
    make_run("other")
    importer = Importer(database)
    importer.update(Run.all())
    lines = (run.path / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (run.path / "metrics.jsonl").write_bytes(lines[0])
    log(run, 2, rows_after, worth=7.0)
    assert importer.update(Run.all()).rows == rows_after
    check_shown(storage, run)
    assert len(shown(storage, "other")) == 3


def test_another_run_by_the_same_name_takes_its_place(database: Database, storage: Any) -> None:
    importer = Importer(database)
    make_run(rows=3)
    importer.update(Run.all())
    shutil.rmtree("results/runs/one")
    run = make_run(rows=6, seed=5)
    (run.path / "environment.json").write_text(json.dumps({"created_unix_seconds": 1_700_000_000.0}))
    importer.update(Run.all())
    check_shown(storage, run)  # its first rows are equal, and yet they are not the old ones
    assert {row["timestamp"][:10] for row in storage.get_logs("keel", "one")} == {"2023-11-14"}
    assert storage.get_run_config("keel", "one")["seed"] == 5


def test_a_run_that_is_gone_is_gone_from_the_page(database: Database, storage: Any) -> None:
    runs = [make_run("one"), make_run("two")]
    film(runs[0])
    importer = Importer(database)
    importer.update(Run.all())
    shutil.rmtree(runs[0].path)
    importer.update(Run.all())
    assert storage.get_runs("keel") == ["two"]
    assert not list(database.media.rglob("*.mp4"))
    assert Importer(database).update([]) == Gain()
    assert storage.get_runs("keel") == []


def film(run: Run, name: str = "film.mp4") -> Path:
    path = run.videos / name
    path.write_bytes(b"not really a film")
    tracker = JsonLines(run)
    tracker.video(3, path)
    tracker.finish("finished")
    return path


def test_films_are_served_and_take_no_space(database: Database, storage: Any) -> None:
    run = make_run()
    path = film(run)
    assert update(database).videos == 1
    (row,) = [row for row in shown(storage, "one") if "video" in row]
    assert (row["global_step"], row["video"]["_type"]) == (3, "trackio.video")
    kept = Path("results/.dashboard/media") / row["video"]["file_path"]
    assert kept.samefile(path)
    assert update(database).videos == 0


def test_films_that_are_gone_or_elsewhere_are_left_out(database: Database, storage: Any) -> None:
    run = make_run()
    film(run).unlink()
    Path("secret.mp4").write_bytes(b"of somebody else")
    with open(run.path / "media.jsonl", "ab") as file:
        file.write(b'{"global_step": 3, "video": "../../../secret.mp4"}\n')
    assert update(database) == Gain(runs=["one"], rows=3)
    assert not list(database.media.rglob("*.mp4"))


def test_new_settings_are_shown(database: Database, storage: Any) -> None:
    run = make_run()
    importer = Importer(database)
    importer.update(Run.all())
    Run.open(run.path).save_settings({"training": {"total_steps": 999}})
    assert importer.update([run]) == Gain()
    assert storage.get_run_config("keel", "one")["training.total_steps"] == 999
    check_shown(storage, run)


@pytest.mark.parametrize("line", [b'{"loss/value": 2.0, "global_step": 9}', b'{"global_step": 123456789012345}'])
def test_a_row_that_looks_otherwise_is_a_row(database: Database, storage: Any, line: bytes) -> None:
    run = make_run()
    with open(run.path / "metrics.jsonl", "ab") as file:
        file.write(line + b"\n")
    assert update(database).rows == 4
    row = storage.get_logs("keel", "one")[-1]
    assert (row["step"], row.get("loss/value")) == ((9, 2.0) if b"value" in line else (123456789012345, None))


TWO = b'{"global_step": 10, "loss/value": 2.0}, {"global_step": 11, "loss/value": 2.0}\n'


@pytest.mark.parametrize(
    "line", [b"{torn\n", b"[1]\n", b'{"eval/return": 1}\n', b'{"global_step": "x"}\n', b"\xff\n", TWO]
)
def test_a_damaged_run_is_said_and_the_others_are_shown(
    database: Database, storage: Any, caplog: pytest.LogCaptureFixture, line: bytes
) -> None:
    damaged, whole = make_run("damaged"), make_run("whole")
    with open(damaged.path / "metrics.jsonl", "ab") as file:
        file.write(line)
    assert update(database).rows == 3
    assert "what is new of damaged" in caplog.text
    check_shown(storage, whole)
    (damaged.path / "metrics.jsonl").write_bytes(b"")
    log(damaged, 1, 4)
    assert update(database).rows == 4
    check_shown(storage, damaged)


def test_a_killed_first_import_is_thrown_away(storage: Any) -> None:
    run = make_run()
    with open_database("keel") as database:
        update(database)
    with open_database("keel") as database:
        assert database.is_new
        assert update(database).rows == 3
        database.finish_first_import()
    check_shown(storage, run)
    with open_database("keel") as database:
        assert not database.is_new
        assert update(database) == Gain()


def test_a_database_that_cannot_be_read_is_made_anew(storage: Any) -> None:
    run = make_run()
    with open_database("keel") as database:
        update(database)
        database.finish_first_import()
    Path("results/.dashboard/keel.db").write_bytes(b"no database at all" * 1000)
    with open_database("keel") as database:
        assert update(database).rows == 3
    check_shown(storage, run)


def test_one_process_at_a_time(database: Database) -> None:
    with pytest.raises(KeelError, match="a dashboard of project keel is open already"), open_database("keel"):
        pass


@pytest.mark.parametrize("name", ["", "a b", "../x", "ü", "x" * 101, "registry-x", "x_system"])
def test_a_project_is_named_like_a_file(storage: Any, name: str) -> None:
    with pytest.raises(ValueError, match="roject"), open_database(name):
        pass


def test_trackio_is_used_with_one_folder_in_a_process(database: Database, tmp_path: Path) -> None:
    with pytest.raises(KeelError, match="in a process of its own"):
        load_trackio(tmp_path / "elsewhere")


def test_once_imports_what_is_named_and_ends(storage: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("ppo-0", "ppo-1", "dqn-0"):
        make_run(name)
    said = []
    for _ in range(2):
        assert dashboard.main(["--once", "--json", "--project", "some", "ppo-*"]) == 0
        said.append(json.loads(capsys.readouterr().out))
    assert [(one["runs"], one["new_runs"], one["new_rows"], one["new_videos"]) for one in said] == [
        (2, 2, 6, 0),
        (2, 0, 0, 0),
    ]
    assert Path(said[0]["database"]) == Path("results/.dashboard/some.db").resolve()
    assert sorted(storage.get_runs("some")) == ["ppo-0", "ppo-1"]


def test_a_port_that_is_taken_is_an_error(storage: Any) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(KeelError, match=f"port {port} cannot be used"):
            dashboard.main(["--no-browser", "--port", str(port)])


def test_globs_grow_and_names_stay(storage: Any) -> None:
    for name in ("ppo-0", "ppo-10", "dqn-0"):
        make_run(name)
    found = dashboard.Runs(["ppo-1*", "dqn-0"])
    assert [run.name for run in found.update()] == ["ppo-10", "dqn-0"]
    make_run("ppo-11")
    make_run("dqn-01")
    assert sorted(run.name for run in found.update()) == ["dqn-0", "ppo-10", "ppo-11"]
    for name in ("ppo-10", "ppo-11", "dqn-0"):
        shutil.rmtree(f"results/runs/{name}")
    assert found.update() == []
    make_run("ppo-12")
    assert [run.name for run in found.update()] == ["ppo-12"]
    with pytest.raises(FileNotFoundError, match="no run matches 'a2c-"):
        dashboard.Runs(["a2c-*"])
