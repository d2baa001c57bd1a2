"""Exact resume: trainings killed with SIGKILL at random moments, resumed, and compared with one that never was.

The reference runs in a process of its own, as on the command line. The others are forks of a server that has imported
everything and trained nothing: a start takes milliseconds, and nothing is shared that a new process would not have.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from keel.envs.errors import KeelError
from keel.runners import cli
from keel.runners.benchmark import markdown_table
from keel.runners.run import Run

UPDATES_PER_SNAPSHOT, STEPS_PER_UPDATE = 2, 256
COMMON = {
    "--total-steps": 6144,
    "--num-envs": 4,
    "--checkpoint-every": UPDATES_PER_SNAPSHOT * STEPS_PER_UPDATE,
    "--evaluate-every": 2048,
    "--evaluate-episodes": 4,
    "--video": False,
}
PPO = {"--num-steps": STEPS_PER_UPDATE // 4, "--epochs": 4, "--minibatch-size": 64}
PQN = PPO
# Its ring of replay is full after a sixth of the steps.
DQN = {
    "--replay-capacity": 1024,
    "--learning-starts": 512,
    "--batch-size": 32,
    "--update-every": 8,
    "--target-every": 20,
    "--report-every": STEPS_PER_UPDATE,
}
R2D2 = DQN | {"--batch-size": 8}
OPTIONS: dict[str, dict[str, Any]] = {"ppo": PPO, "dqn": DQN, "rainbow": DQN, "pqn": PQN, "r2d2": R2D2}
CASES = (
    ("ppo", "CartPole-v1"),
    ("ppo", "LunarLander-v3"),
    ("ppo", "keel/CartPole-v0"),
    ("ppo", "keel/DataCenterCooling-v0"),
    ("ppo", "keel/DataCenterCoolingPO-v0"),
    ("ppo", "keel/DataCenterCoolingFaults-v0"),
    ("dqn", "CartPole-v1"),
    ("dqn", "keel/DataCenterCoolingDiscrete-v0"),
    ("rainbow", "keel/CartPole-v0"),
    ("pqn", "keel/CartPole-v0"),
    ("ppo", "keel/CartPoleNoVelocity-v0"),
    ("r2d2", "keel/CartPoleNoVelocity-v0"),
)
AIM_EVERY = 3  # every third trial waits for a snapshot to begin, and is killed within it
KILL_RESUME_EVERY = 4  # and every fourth resume is killed at a random moment, and resumed again
POLL_SECONDS = 0.0002  # a snapshot takes milliseconds
# What a training imports, also within functions: torch.optim's first use imports torch._dynamo, and the report draws.
PRELOAD = [
    "keel.runners.train",
    "keel.envs.native",
    "keel.envs.cooling.env",
    "torch._dynamo",
    "matplotlib.backends.backend_agg",
]


class Reference(NamedTuple):
    """A training from start to end without a break."""

    files: dict[str, bytes]
    row_ends: list[int]  # bytes of metrics.jsonl after each row
    seconds: float


def run(*, trials: int = 20, agents: Sequence[str] = tuple(OPTIONS), seed: int = 0) -> dict[str, Any]:
    """Kill and resume `trials` trainings of each agent in its worlds, and count those that end byte for byte as the
    reference.

    Compared are all checkpoints that a run leaves (weights, optimiser, replay, counters, chance; last, one before,
    best) and metrics.jsonl.

    Args:
        agents: these alone.
        seed: decides the moments of the kills, as far as a moment can be decided.
    """
    server = fork_server()
    with tempfile.TemporaryDirectory() as temporary:
        rows = [
            _kill_and_resume(server, agent, env, trials, random.Random(f"{seed} {agent} {env}"), Path(temporary))
            for agent, env in CASES
            if agent in agents
        ]
    return {"options": {"common": COMMON, **OPTIONS}, "seed": seed, "rows": rows}


def table(result: Mapping[str, Any]) -> str:
    header = ("agent, world", "identical", "killed during a snapshot", "resumes killed too")
    rows = [
        [
            f"{row['agent']}, {row['env']}",
            f"{row['identical']} of {row['trials']}",
            str(row["killed_during_snapshot"]),
            str(row["resumes_killed"]),
        ]
        for row in result["rows"]
    ]
    return markdown_table(header, rows)


def fork_server() -> Any:
    """Makes processes that have everything imported."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOAD)
    return server


def _kill_and_resume(
    server: Any, agent: str, env: str, trials: int, chance: random.Random, folder: Path
) -> dict[str, Any]:
    """The row of one agent in one world."""
    start = time.perf_counter()
    options = COMMON | OPTIONS[agent]
    training = ["train", agent, "--env", env, *(part for name, value in options.items() for part in (name, str(value)))]
    path = folder / f"{agent}-{env.replace('/', '-')}"
    command = [sys.executable, "-P", "-m", "keel.runners.cli", *training, "--run-dir", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise KeelError(f"the training to compare with failed: {done.stderr}")
    reference = read_reference(path)
    runs = []
    for number in range(trials):
        trial = Trial(server, training, path.with_name(f"{path.name}-{number:03d}"))
        runs.append(trial.run(reference, chance, number))
    return {
        "agent": agent,
        "env": env,
        "trials": trials,
        "identical": sum(not row["different"] for row in runs),
        "killed": sum(row["killed"] for row in runs),
        "killed_during_snapshot": sum(row["during_snapshot"] for row in runs),
        "resumes_killed": sum(row["resume_killed"] for row in runs),
        "seconds": time.perf_counter() - start,
        "runs": runs,
    }


def read_reference(path: Path) -> Reference:
    """What a finished run left."""
    lines = (path / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    row_ends = list(itertools.accumulate(len(line) for line in lines))
    return Reference(files_of(path), row_ends, Run.open(path).timing()[-1]["wall_seconds"])


def files_of(path: Path) -> dict[str, bytes]:
    """All that must be equal in equal runs: the rows and every file of every checkpoint."""
    files = [path / "metrics.jsonl", *sorted(file for file in (path / "checkpoints").rglob("*") if file.is_file())]
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}


class Trial:
    """One training that is killed, and resumed until it is finished."""

    def __init__(self, server: Any, training: list[str], path: Path) -> None:
        self.server = server
        self.training = [*training, "--run-dir", str(path)]
        self.path = path

    def run(self, reference: Reference, chance: random.Random, number: int) -> dict[str, Any]:
        """Returns what happened; `different` names the files that are not as the reference's."""
        rows = chance.randint(UPDATES_PER_SNAPSHOT, len(reference.row_ends) - 2 * UPDATES_PER_SNAPSHOT)
        within = chance.uniform(0.0, reference.seconds / len(reference.row_ends))
        process = self.start(self.training)
        self.wait(process, lambda: self.has_snapshot() and self.rows_bytes() >= reference.row_ends[rows - 1])
        time.sleep(within)
        if number % AIM_EVERY == 0:
            self.wait(process, self.is_saving)
        killed = kill(process)
        during_snapshot = killed and self.is_saving()
        resume_killed = False
        if number % KILL_RESUME_EVERY == 0:
            process = self.start(["resume", str(self.path)])
            process.join(chance.uniform(0.0, reference.seconds))
            resume_killed = kill(process)
        process = self.start(["resume", str(self.path)])
        process.join()
        if process.exitcode != 0:
            raise KeelError(f"{self.path} was not resumed: {self.log.read_text()}")
        found, expected = files_of(self.path), reference.files
        return {
            "killed": killed,
            "killed_after_row": rows,
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
