"""Exact resume: trainings killed with SIGKILL at random moments, resumed, and compared with one that never was.

The reference runs in a process of its own, as on the command line. The others are forks of a server that has imported
everything and trained nothing: a start takes milliseconds, and nothing is shared that a new process would not have.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from keel.envs.errors import KeelError
from keel.runners import cli
from keel.runners.run import Run

ENVS = ("CartPole-v1", "LunarLander-v3", "keel/CartPole-v0")
UPDATES_PER_SNAPSHOT, STEPS_PER_UPDATE = 2, 256
OPTIONS = {
    "total-steps": 8192,
    "num-envs": 4,
    "num-steps": STEPS_PER_UPDATE // 4,
    "epochs": 4,
    "minibatch-size": 64,
    "checkpoint-every": UPDATES_PER_SNAPSHOT * STEPS_PER_UPDATE,
    "evaluate-every": 2048,
    "evaluate-episodes": 4,
    "video": False,
}
AIM_EVERY = 3  # every third trial waits for a snapshot to begin, and is killed within it
RESUME_KILLED = 0.25  # how often a resume is killed too, and resumed again
POLL_SECONDS = 0.0002  # a snapshot takes milliseconds
# What a training imports, also within functions: torch.optim's first use imports torch._dynamo, and the report draws.
PRELOAD = ["keel.runners.train", "keel.envs.native", "torch._dynamo", "matplotlib.backends.backend_agg"]


class Reference(NamedTuple):
    """A training from start to end without a break."""

    files: dict[str, bytes]
    row_ends: list[int]  # bytes of metrics.jsonl after each row
    seconds: float


def run(
    *,
    trials: int = 20,
    envs: Sequence[str] = ENVS,
    options: dict[str, Any] | None = None,
    seed: int = 0,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Kill and resume `trials` trainings in each world, and count those that end byte for byte as the reference.

    Compared are all checkpoints that a run leaves (weights, optimiser, counters, chance; last, one before, best) and
    metrics.jsonl.

    Args:
        options: of `keel train ppo`, in place of or beside OPTIONS.
        seed: decides the moments of the kills, as far as a moment can be decided.
        folder: where the runs go; by default a temporary folder.
    """
    chosen = OPTIONS | (options or {})
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOAD)
    with tempfile.TemporaryDirectory() as temporary:
        base = (folder or Path(temporary)).resolve()
        rows = [_kill_and_resume(server, env, chosen, trials, seed, base) for env in envs]
    return {"options": chosen, "seed": seed, "rows": rows}


def _kill_and_resume(
    server: Any, env: str, options: dict[str, Any], trials: int, seed: int, base: Path
) -> dict[str, Any]:
    """The row of one world."""
    chance = random.Random(f"{seed} {env}")
    training = ["train", "ppo", "--env", env]
    for name, value in options.items():
        training += [f"--{name}", str(value)]
    start = time.perf_counter()
    name = env.replace("/", "-")
    reference = make_reference([*training, "--run-dir", str(base / f"{name}-reference")], base / f"{name}-reference")
    runs = []
    for number in range(trials):
        path = base / f"{name}-{number:03d}"
        trial = Trial(server, path, reference, chance)
        runs.append(trial.run([*training, "--run-dir", str(path)], aim=number % AIM_EVERY == 0))
    return {
        "env": env,
        "trials": trials,
        "identical": sum(not row["different"] for row in runs),
        "killed": sum(row["killed"] for row in runs),
        "killed_during_snapshot": sum(row["during_snapshot"] for row in runs),
        "resumes_killed": sum(row["resume_killed"] for row in runs),
        "seconds": time.perf_counter() - start,
        "runs": runs,
    }


def make_reference(training: list[str], path: Path) -> Reference:
    """Train without a break, in a process that has nothing in common with this one."""
    command = [sys.executable, "-P", "-m", "keel.runners.cli", *training]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise KeelError(f"the training to compare with failed: {done.stderr}")
    run = Run.open(path)
    row_ends = [0]
    for line in (path / "metrics.jsonl").read_bytes().splitlines(keepends=True):
        row_ends.append(row_ends[-1] + len(line))
    return Reference(files_of(path), row_ends, run.timing()[-1]["wall_seconds"])


def files_of(path: Path) -> dict[str, bytes]:
    """All that must be equal in equal runs: the rows and every file of every checkpoint."""
    files = [path / "metrics.jsonl", *sorted(file for file in (path / "checkpoints").rglob("*") if file.is_file())]
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}


class Trial:
    """One training that is killed, and resumed until it is finished."""

    def __init__(self, server: Any, path: Path, reference: Reference, chance: random.Random) -> None:
        self.server = server
        self.path = path
        self.reference = reference
        self.chance = chance

    def run(self, training: list[str], *, aim: bool) -> dict[str, Any]:
        """Returns what happened; `different` names the files that are not as the reference's."""
        row = self.chance.randrange(UPDATES_PER_SNAPSHOT, len(self.reference.row_ends) - 2 * UPDATES_PER_SNAPSHOT)
        within = self.chance.uniform(0.0, self.reference.seconds / len(self.reference.row_ends))
        process = self.start(training)
        self.wait(process, lambda: self.has_snapshot() and self.rows_bytes() >= self.reference.row_ends[row])
        time.sleep(within)
        if aim:
            self.wait(process, self.is_saving)
        killed = kill(process)
        during_snapshot = killed and self.is_saving()
        resume_killed = self.chance.random() < RESUME_KILLED
        if resume_killed:
            process = self.start(["resume", str(self.path)])
            process.join(self.chance.uniform(0.0, self.reference.seconds))
            resume_killed = kill(process)
        process = self.start(["resume", str(self.path)])
        process.join()
        if process.exitcode != 0:
            raise KeelError(f"{self.path} was not resumed: {self.log.read_text()}")
        found, expected = files_of(self.path), self.reference.files
        return {
            "killed": killed,
            "killed_after_row": row,
            "during_snapshot": during_snapshot,
            "resume_killed": resume_killed,
            "different": sorted(name for name in found | expected if found.get(name) != expected.get(name)),
        }

    @property
    def log(self) -> Path:
        return self.path.with_suffix(".log")

    def start(self, arguments: list[str]) -> BaseProcess:
        """`keel ARGUMENTS` in a process of its own."""
        process = self.server.Process(target=_keel, args=(arguments, str(self.log)))
        process.start()
        return process

    def wait(self, process: BaseProcess, condition: Callable[[], bool]) -> None:
        while not condition() and process.is_alive():
            time.sleep(POLL_SECONDS)

    def has_snapshot(self) -> bool:
        return any((self.path / "checkpoints").glob("step-*"))

    def is_saving(self) -> bool:
        """Whether a checkpoint is being written, or was when the process died."""
        return any(name.startswith(".") for name in os.listdir(self.path / "checkpoints"))

    def rows_bytes(self) -> int:
        return (self.path / "metrics.jsonl").stat().st_size


def kill(process: BaseProcess) -> bool:
    """Whether the process was still alive to be killed."""
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def _keel(arguments: list[str], log: str) -> None:
    """What a new process does: `keel ARGUMENTS`, with all that it prints in a file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.exit(cli.main(arguments))
