"""A checkpoint survives what happens while it is written or read: kill -9, a full disk, a writer at work."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from keel.envs.protocol import State
from keel.runners import checkpoint
from keel.runners.checkpoint import CheckpointError


def small_state(number: int) -> State:
    return {"weight": np.full(3, float(number)), "count": number}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


SAVER = """
import pathlib, sys
import numpy as np
from keel.runners import checkpoint

folder, step = pathlib.Path(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
while True:
    step += 1
    state = {"step": step, "values": np.full(20_000, step)}
    checkpoint.save(folder, checkpoint.step_name(step), state, about={})
    checkpoint.save(folder, "best", state, about={})
assert "torch" not in sys.modules
"""


def test_kill_9_while_saving_always_leaves_a_whole_latest_and_best(tmp_path: Path) -> None:
    chance = random.Random(1)
    folder = tmp_path / "checkpoints"
    known = {"latest": 0, "best": 0}
    in_the_middle = 0
    for _ in range(20):
        saver = subprocess.Popen([sys.executable, "-c", SAVER, folder, str(known["latest"])], stdout=subprocess.PIPE)
        assert saver.stdout is not None
        with saver.stdout:
            saver.stdout.readline()
            deadline = time.monotonic() + 30
            while not (folder / "best").exists() and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(chance.uniform(0.0, 0.06))
            saver.send_signal(signal.SIGKILL)
            saver.wait()
        in_the_middle += any(name.startswith(".") for name in names(folder))
        for which, path in (("latest", checkpoint.latest(folder)), ("best", checkpoint.best(folder))):
            state = checkpoint.load(path).state
            assert (state["values"] == state["step"]).all()
            assert state["step"] >= known[which]
            known[which] = state["step"]
    assert in_the_middle >= 5, "the kills hit no save: the test shows nothing"


FULL_DISK = """
import pathlib, resource, sys
import numpy as np
from keel.runners import checkpoint

folder = pathlib.Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
for name in ("step-000000000009", "best"):
    try:
        checkpoint.save(folder, name, {"values": np.ones(100_000)}, about={})
    except checkpoint.CheckpointError as error:
        print(error)
"""


def test_a_full_disk_leaves_the_old_ones_intact_and_nothing_half_made(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    checkpoint.save(folder, checkpoint.step_name(5), small_state(5), about={})
    checkpoint.save(folder, "best", small_state(5), about={})
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = subprocess.run([sys.executable, "-c", FULL_DISK, folder], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all("could not save the checkpoint" in line and "File too large" in line for line in lines)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert names(folder) == ["best", "step-000000000005"]


def test_a_state_beyond_the_limit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    state = {"values": np.broadcast_to(np.zeros(1, np.uint8), (1 << 40) + 1)}  # one byte of memory
    with pytest.raises(ValueError, match=r"a state.safetensors of 1099511\d+ bytes; a checkpoint takes 1099511627776"):
        checkpoint.save(tmp_path / "checkpoints", "best", state, about={})
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="could not save the checkpoint"):
        checkpoint.save(tmp_path / "file" / "checkpoints", "best", {}, about={})


def test_a_reader_of_a_checkpoint_that_is_just_replaced_gets_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `keel watch` on a run in training: the old manifest was read already, the other files are the new ones."""
    path = checkpoint.save(tmp_path, "best", small_state(1), about={})
    read_bytes = Path.read_bytes

    def read_then_replace(file: Path) -> bytes:
        monkeypatch.setattr(Path, "read_bytes", read_bytes)
        data = file.read_bytes()
        checkpoint.save(tmp_path, "best", small_state(2), about={})
        return data

    monkeypatch.setattr(Path, "read_bytes", read_then_replace)
    assert checkpoint.load(path).state["count"] == 2
