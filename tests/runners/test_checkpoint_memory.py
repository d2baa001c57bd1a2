"""A state that fills most of the memory can be saved, looked at and loaded: no second copy of it is ever made."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MEGABYTES = 300

# Prints by how many megabytes the memory of this process grew at most while it did what it was told. fsync would make
# the test as slow as the disk is.
MEASURED = """
import json, os, pathlib, sys
import numpy as np
from keel.runners import checkpoint

def megabytes(which):
    rows = dict(line.split(":") for line in open("/proc/self/status"))
    return int(rows[which].split()[0]) / 1024

def make():
    frames = np.full((200, 1 << 20), 7, np.uint8)
    turned = np.full((1 << 10, 25 << 8), 0.5, np.float64).T
    return {"replay": {"frames": frames, "turned": turned, "other endian": np.full((25, 1 << 18), 3, ">i8")}}

what, folder = sys.argv[1], pathlib.Path(sys.argv[2])
os.fsync = lambda descriptor: None
state = make() if what == "save" else None
before = megabytes("VmRSS")
if what == "save":
    checkpoint.save(folder, "best", state, about={})
elif what == "best":
    checkpoint.best(folder)
else:
    state = checkpoint.load(folder / "best").state
grown = megabytes("VmHWM") - before
if what == "load":
    assert [array[-1, -1] for array in state["replay"].values()] == [7, 0.5, 3]
print(json.dumps({"before": before, "grown": grown}))
"""


def measured(what: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", MEASURED, what, str(folder)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from Linux' /proc")
def test_saving_and_loading_need_no_second_copy_of_the_state(tmp_path: Path) -> None:
    saving = measured("save", tmp_path)
    assert saving["before"] > MEGABYTES, "the state is not in memory: the test shows nothing"
    assert saving["grown"] < 60
    assert measured("best", tmp_path)["grown"] < 60
    assert MEGABYTES <= measured("load", tmp_path)["grown"] < 1.3 * MEGABYTES
