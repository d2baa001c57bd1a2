"""`keel dashboard` as a command: what it says, what it serves and to whom, and that it asks nobody on the network."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from keel.runners.dashboard import command as dashboard
from keel.runners.run import Run
from keel.runners.tracker import JsonLines

COMMAND = [
    sys.executable,
    "-c",
    "import sys; from keel.runners.dashboard.command import main; sys.exit(main(sys.argv[1:]))",
]

# Put before every other module of the process: what would leave the machine fails, and is written down.
GUARD = """
import os, socket
def guard(name):
    real = getattr(socket.socket, name)
    def guarded(self, address, *rest):
        if self.family != socket.AF_UNIX and address[0] != "127.0.0.1":
            with open(os.environ["GUARD_LOG"], "a") as log:
                log.write(f"{name} {address}\\n")
            raise OSError(f"not from here: {address}")
        return real(self, address, *rest)
    setattr(socket.socket, name, guarded)
for name in ("connect", "connect_ex", "bind"):
    guard(name)
real_lookup = socket.getaddrinfo
def lookup(host, *rest, **more):
    if host not in ("127.0.0.1", "localhost"):
        with open(os.environ["GUARD_LOG"], "a") as log:
            log.write(f"getaddrinfo {host}\\n")
        raise socket.gaierror(f"not from here: {host}")
    return real_lookup(host, *rest, **more)
socket.getaddrinfo = lookup
"""

# What trackio would follow to another machine, another page or the whole world.
TEMPTATIONS = {
    "TRACKIO_SPACE_ID": "somebody/space",
    "TRACKIO_SERVER_URL": "http://192.0.2.1",
    "TRACKIO_BUCKET_ID": "somebody/bucket",
    "TRACKIO_DATASET_ID": "somebody/data",
    "TRACKIO_DIR": "/nowhere/at/all",
    "TRACKIO_FRONTEND_DIR": "/nowhere/at/all",
    "SPACE_ID": "somebody/space",
    "SPACE_REPO_NAME": "space",
    "SYSTEM": "spaces",
    "GRADIO_SHARE": "true",
    "GRADIO_SERVER_NAME": "0.0.0.0",
    "HF_TOKEN": "hf_nothing",
}


def make_run(name: str, rows: int = 3) -> Run:
    run = Run.create("CartPole-v1", "ppo", 0, {"hyperparameters": {"gamma": 0.9}}, name=name)
    log(run, 1, rows)
    film = run.videos / "film.mp4"
    film.write_bytes(b"not really a film")
    tracker = JsonLines(run)
    tracker.video(3, film)
    tracker.finish("finished")
    return run


def log(run: Run, first: int, last: int) -> None:
    tracker = JsonLines(run)
    for step in range(first, last + 1):
        tracker.log(step, {"eval/return": float(step)})
    tracker.finish("finished")


@contextlib.contextmanager
def serving(*arguments: str, **environment: str) -> Iterator[dict[str, Any]]:
    """The command in a process of its own; gives what `--json` prints and sees that Ctrl-C ends it in order."""
    command = [*COMMAND, "--json", "--no-browser", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        yield json.loads(line or process.communicate()[1])
    finally:
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, ""), error
    assert "Traceback" not in error


def request(url: str, method: str, path: str, body: Any = None, host: str | None = None) -> tuple[int, bytes]:
    port = urlsplit(url).port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, json.dumps(body), {"Host": host or f"127.0.0.1:{port}"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def ask(url: str, name: str, **parameters: Any) -> Any:
    status, body = request(url, "POST", f"/api/{name}", parameters)
    assert status == 200, body
    return json.loads(body)["data"]


def wait_for(is_so: Any) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_it_serves_and_follows_and_asks_nobody(runs_directory: Path, tmp_path: Path) -> None:
    run = make_run("one")
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    guarded = {"PYTHONPATH": str(tmp_path / "guard"), "GUARD_LOG": str(tmp_path / "guard.log")}
    with serving(**TEMPTATIONS, **guarded) as said:
        url = said["url"]
        assert (said["runs"], said["new_rows"], said["new_videos"]) == (1, 3, 1)
        assert urlsplit(url).hostname == "127.0.0.1"
        assert b"Trackio Dashboard" in request(url, "GET", "/")[1]
        assert [row["step"] for row in ask(url, "get_logs", project="keel", run="one")] == [1, 2, 3, 3]
        for name in ("get_all_projects", "get_settings", "get_run_mutation_status"):
            ask(url, name)
        tabs = {name for name, shown in ask(url, "get_tab_availability", project="keel").items() if shown}
        assert tabs == {"metrics", "media"}
        log(run, 4, 5)
        wait_for(lambda: ask(url, "get_run_summary", project="keel", run="one")["last_step"] == 5)
        make_run("two")
        wait_for(lambda: len(ask(url, "get_runs_for_project", project="keel")) == 2)
    assert not (tmp_path / "guard.log").exists(), (tmp_path / "guard.log").read_text()


def test_the_guard_would_have_noticed(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(GUARD)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "GUARD_LOG": str(tmp_path / "log")}
    code = "import urllib.request; urllib.request.urlopen('http://192.0.2.1')"
    assert subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False).returncode
    assert "192.0.2.1" in (tmp_path / "log").read_text()


def test_it_shows_runs_and_nothing_else(runs_directory: Path) -> None:
    """Only this machine, by its own name, may read; nobody may write; no file but the films is handed out."""
    run = make_run("one")
    with serving("one", "--port", str(free_port())) as said:
        url = said["url"]
        assert request(url, "POST", "/api/get_all_projects", {}, host="evil.example")[0] == 400
        for name in (
            "bulk_log",
            "delete_run",
            "rename_run",
            "force_sync",
            "upload_db_to_space",
            "get_registry_buckets",
        ):
            assert request(url, "POST", f"/api/{name}", {})[0] == 404, name
        media = ask(url, "get_settings")["media_dir"]
        (film,) = [row["video"] for row in ask(url, "get_logs", project="keel", run="one") if "video" in row]
        assert request(url, "GET", f"/file?path={quote(media + '/' + film['file_path'])}") == (
            200,
            b"not really a film",
        )
        for path in (run.path / "config.json", said["database"], "/etc/passwd"):
            assert request(url, "GET", f"/file?path={quote(str(Path(path).resolve()))}")[0] == 404, path
        with socket.socket() as other, pytest.raises(OSError, match="refused"):
            other.connect(("127.0.0.2", urlsplit(url).port))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--entity", "me"], "--entity is for --wandb"),
        (["--wandb", "--once"], "--once is for the page on this machine"),
        (["--wandb", "--port", "80"], "--port is for the page on this machine"),
        (["no-such-run"], "'no-such-run' is no run"),
    ],
)
def test_wrong_arguments_are_errors(runs_directory: Path, arguments: list[str], message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        dashboard.main(arguments)
    assert not Path("results/.dashboard").exists()


@pytest.mark.parametrize("port", ["0", "65536", "x", "-1"])
def test_a_port_is_a_port(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        dashboard.main(["--port", port])
    assert "from 1 to 65535" in capsys.readouterr().err or port == "-1"


def test_a_workspace_is_built_instead(
    runs_directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from keel.runners.mirror import workspace as wandb_workspace

    asked = []

    def save(references: list[str], **where: Any) -> dict[str, Any]:
        asked.append((references, where))
        return {"url": "https://example.org/workspace"}

    monkeypatch.setattr(wandb_workspace, "save_workspace", save)
    assert dashboard.main(["--wandb", "a", "b", "--entity", "me"]) == 0
    assert dashboard.main(["--wandb", "--project", "p", "--json"]) == 0
    assert [where for _, where in asked] == [{"entity": "me", "project": None}, {"entity": None, "project": "p"}]
    assert asked[0][0] == ["a", "b"]
    first, second = capsys.readouterr().out.splitlines()
    assert (first, json.loads(second)["url"]) == ("https://example.org/workspace",) * 2
