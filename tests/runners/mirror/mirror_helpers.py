"""What the tests of the mirror share: nobody's account, rows as a training writes them, and a look for secrets."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keel.runners.run import Run
from keel.runners.tracker import JsonLines

KEY = "c0ffee" * 7
CANARY = "canary-7f3b19c2d4"
CONFIG = {"training": {"num_envs": 8, "env_options": {"gravity": 9.8}}, "backbone": {"kind": "mlp"}}
VIDEO = b"not really a video" * 100
OF_THE_CLIENT = ("_step", "_runtime", "_timestamp")  # what the W&B client adds to a row


def forget_account(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the person who runs the tests: no key, no settings; and a canary that must never be written."""
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()  # it keeps the address of the service that it first heard of
    for name in [name for name in os.environ if name.startswith("WANDB_") or name == "NETRC"]:
        monkeypatch.delenv(name)
    (folder / "home").mkdir()
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("SOME_SERVICE_TOKEN", CANARY)


def metrics(step: int) -> dict[str, float]:
    return {"train/episode_return": step / 3, "eval/return": 100.0 - abs(step - 150), "loss/policy": float("nan")}


def train(rows: JsonLines, steps: range, pause_seconds: float = 0.05) -> float:
    """A training with a row every 50 ms, as after an update of PPO; returns the share of the time spent on tracking."""
    start, spent = time.perf_counter(), rows.seconds_spent
    for step in steps:
        time.sleep(pause_seconds)
        rows.log(step, metrics(step))
    return (rows.seconds_spent - spent) / (time.perf_counter() - start)


def record_video(run: Run, rows: JsonLines, step: int) -> None:
    path = run.videos / f"step-{step}.mp4"
    path.write_bytes(VIDEO)
    rows.video(step, path)


def steps(rows: list[dict[str, Any]], key: str = "eval/return") -> list[int]:
    return [row["global_step"] for row in rows if key in row]


def wait_for(condition: Callable[[], bool], timeout_seconds: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_seconds:g} s"
        time.sleep(0.05)


def offline_records(run: Run) -> list[dict[str, Any]]:
    """The offline run as W&B's own inspector reads it, a record each."""
    [log] = run.path.glob("wandb/offline-run-*/*.wandb")
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(log)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def rows_of(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of metrics in W&B's history, as metrics.jsonl has them."""
    rows = [row for row in history if not is_film(row)]
    return [
        {
            name: "NaN" if isinstance(value, float) and math.isnan(value) else value
            for name, value in row.items()
            if name not in OF_THE_CLIENT
        }
        for row in rows
    ]


def is_film(row: dict[str, Any]) -> bool:
    return any(name.partition(".")[0] == "video" for name in row)  # the inspector has `video.path` and so on


def rows_in(run: Run) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, with NaN as the word that stands for it there."""
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]


def without_empty(config: dict[str, Any]) -> dict[str, Any]:
    """The settings as W&B keeps them: an object without anything in it is left out."""
    kept = {name: without_empty(value) if isinstance(value, dict) else value for name, value in config.items()}
    return {name: value for name, value in kept.items() if value != {}}


def assert_no_secret(folder: Path) -> None:
    """In no byte of any file below the folder, whoever wrote it."""
    for path in folder.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path
            assert CANARY.encode() not in path.read_bytes(), path


def processes_with(path: Path) -> list[str]:
    """The command lines of living processes that name a path."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode()
        except OSError:
            continue
        if str(path) in command:
            found.append(command)
    return found
