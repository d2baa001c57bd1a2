"""Several trainings at a time, each in a process of its own, with one view of their progress.

The processes have sessions of their own, so Ctrl-C reaches this one alone. It passes the first one on, by which every
training saves and stops at the end of its step, and a second one, which stops at once; a third one kills.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import selectors
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keel.runners.formats import format_value
from keel.runners.jobs.child import LOG
from keel.runners.jobs.view import JobsView, Progress, State
from keel.runners.kinds import is_pretraining
from keel.runners.options import Launch, seeds_line
from keel.runners.run import Run
from keel.runners.sb3.settings import SB3_AGENTS
from keel.runners.settings import Settings
from keel.runners.stop import StopWish

CHILD = ("-P", "-m", "keel.runners.jobs.child")
LOOK_SECONDS = 0.25  # between two looks at the processes, while they tell nothing
GRACE_SECONDS = 10.0  # that processes have to end where they were to stop at once
LAST_LINES = 5  # of what a training that failed has printed
FAILED = 1  # exit code


def train_seeds(settings: Settings, launch: Launch, arguments: Sequence[str]) -> int:
    """keel train AGENT --seeds K --jobs J. Returns: the exit code."""
    from keel.runners.train import check

    check(settings)
    seeds = range(settings.seed, settings.seed + launch.seeds)
    trainings = [Progress(f"seed {seed}", total_steps=settings.training.total_steps) for seed in seeds]
    orders = [{"settings": dataclasses.replace(settings, seed=seed).to_json()} for seed in seeds]
    code = Jobs(trainings, orders, launch.jobs, as_json=launch.json).run()
    stopped = [training.run for training in trainings if training.state == "stopped" and training.run]
    go_on = [resume_line(stopped, launch.jobs)] if stopped and settings.agent not in SB3_AGENTS else []
    for first, count in gaps([training.state == "waiting" for training in trainings]):
        go_on.append(seeds_line(settings.agent, arguments, settings.seed + first, count))
    tell(trainings, go_on, as_json=launch.json)
    return code


def resume_runs(runs: Sequence[Run], total_steps: int | None, jobs: int, *, as_json: bool) -> int:
    """keel resume RUN RUN… Returns: the exit code.

    Raises:
        ValueError: one of the runs is no agent in a world, or one of Stable-Baselines3's.
    """
    for run in runs:
        agent = str(run.config.get("agent"))
        if agent == "alphazero" or is_pretraining(run.config) or agent in SB3_AGENTS:
            raise ValueError(
                f"{run.name} is a run of {agent}: only runs of agents in worlds are resumed several at once"
            )
    trainings = [Progress(run.name, run=run.path) for run in runs]
    orders = [{"run": str(run.path), "total_steps": total_steps} for run in runs]
    code = Jobs(trainings, orders, jobs, as_json=as_json).run()
    left = [training.run for training in trainings if training.state in ("stopped", "waiting") and training.run]
    tell(trainings, [resume_line(left, jobs, total_steps)] if left else [], as_json=as_json)
    return code


class Jobs:
    """Trainings and the processes that carry out their orders, `at_once` at a time."""

    def __init__(
        self, trainings: Sequence[Progress], orders: Sequence[Mapping[str, Any]], at_once: int, *, as_json: bool
    ) -> None:
        self._view = JobsView(trainings, sys.stderr if as_json else sys.stdout)
        self._trainings = trainings
        self._waiting = list(zip(trainings, orders, strict=True))
        self._at_once = at_once
        self._running: list[Job] = []
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Until all are over. Returns: the exit code, by the signal that stopped them or by whether one has failed."""
        wish = StopWish(lambda text: self._view.message(text.replace("this step", "their steps")), looks_twice=True)
        try:
            with wish, contextlib.suppress(KeyboardInterrupt):
                self._until_over(wish)
        finally:
            for job in self._running:
                job.kill()
            for job in self._running:
                if job.training.state in ("starting", "running"):  # what they told before counts
                    job.end(stopping=True)
            self._view.close()
            self._selector.close()
        if wish.signal is not None:
            return 128 + wish.signal
        states = [training.state for training in self._trainings]
        return FAILED if "failed" in states else 128 + signal.SIGTERM if "stopped" in states else 0

    def _until_over(self, wish: StopWish) -> None:
        asked = False
        while self._running or (self._waiting and wish.signal is None):
            while self._waiting and len(self._running) < self._at_once and wish.signal is None:
                self._start(*self._waiting.pop(0))
            if wish.at_once and asked:  # not at once after the first asking: two equal signals can become one
                return self._stop_at_once()
            if wish.signal is not None and not asked:
                asked = True
                self._ask_to_stop()
            self._look(stopping=wish.signal is not None)

    def _stop_at_once(self) -> None:
        self._view.message("stopping at once")
        self._ask_to_stop()
        end = time.monotonic() + GRACE_SECONDS
        while self._running and time.monotonic() < end:
            self._look(stopping=True)

    def _start(self, training: Progress, order: Mapping[str, Any]) -> None:
        job = Job(training, order, self._view.message)
        self._running.append(job)
        self._selector.register(job.output, selectors.EVENT_READ, job)

    def _ask_to_stop(self) -> None:
        for job in self._running:
            job.process.send_signal(signal.SIGTERM)

    def _look(self, *, stopping: bool) -> None:
        """Take in what the processes tell, and that some have ended."""
        for key, _ in self._selector.select(LOOK_SECONDS):
            job: Job = key.data
            if job.listen():
                continue
            self._selector.unregister(job.output)
            job.end(stopping=stopping)
            self._running.remove(job)
        self._view.update()


class Job:
    """One training's process."""

    def __init__(self, training: Progress, order: Mapping[str, Any], say: Callable[[str], object]) -> None:
        self.training = training
        self._say = say
        training.state = "starting"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by end or kill); later its prints go to its run
        self.process = subprocess.Popen(
            [sys.executable, *CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.output = self.process.stdout
        self._rest = b""
        with contextlib.suppress(BrokenPipeError), self.process.stdin as pipe:  # it died, which its end will tell
            pipe.write(json.dumps({"command": sys.argv, **order}).encode())

    def listen(self) -> bool:
        """Take in what it tells; False at its end."""
        found = os.read(self.output.fileno(), 65536)
        *lines, self._rest = (self._rest + found).split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        return bool(found)

    def _take(self, told: dict[str, Any]) -> None:
        training = self.training
        if "run" in told:
            training.state, training.run, training.total_steps = "running", Path(told["run"]), told["total_steps"]
        if "step" in told:
            training.reach(told["step"], time.monotonic())
            training.evaluation = training.evaluation if told["evaluation"] is None else told["evaluation"]
        if "message" in told:
            self._say(f"{training.label}: {told['message']}")
        training.result = told.get("result", training.result)
        training.error = told.get("error", training.error)

    def end(self, *, stopping: bool) -> None:
        """Wait for its end, and see how it was."""
        training, code = self.training, self.process.wait()
        self.output.close()
        if training.result is not None:
            training.state = "finished" if training.result["state"] == "finished" else "stopped"
        elif stopping and not training.error:
            training.state = stopped_state(training.run)
        else:
            training.state = "failed"
            training.error = training.error or ended_by(code)
            self._say(f"{training.label} failed: {training.error}{self._last_lines()}")
        self._log.close()

    def _last_lines(self) -> str:
        """Where what it has printed is, and the last of it."""
        path = None if self.training.run is None else self.training.run / LOG
        heading = []
        self._log.seek(0)
        text = self._log.read()
        if path is not None and path.exists():
            text, heading = path.read_bytes(), [f"{path}:"]
        lines = text.decode("utf-8", "replace").splitlines()[-LAST_LINES:]
        return "".join(f"\n  {line}" for line in heading + lines)

    def kill(self) -> None:
        """With the workers of its worlds, which are in its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def ended_by(code: int) -> str:
    """How a process ended that told nothing."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def stopped_state(run: Path | None) -> State:
    """Of a training that was stopped: whether there is something to resume, or all is still to do."""
    return "stopped" if run is not None and any((run / "checkpoints").glob("step-*")) else "waiting"


def gaps(marked: Sequence[bool]) -> list[tuple[int, int]]:
    """Where marked neighbours begin, and how many they are."""
    found: list[tuple[int, int]] = []
    for index, mark in enumerate(marked):
        if mark and found and sum(found[-1]) == index:
            found[-1] = found[-1][0], found[-1][1] + 1
        elif mark:
            found.append((index, 1))
    return found


def resume_line(runs: Sequence[Path], jobs: int, total_steps: int | None = None) -> str:
    end = [] if total_steps is None else ["--total-steps", str(total_steps)]
    many = ["--jobs", str(jobs)] if jobs > 1 and len(runs) > 1 else []
    return shlex.join(["keel", "resume", *map(str, runs), *end, *many])


def tell(trainings: Sequence[Progress], go_on: Sequence[str], *, as_json: bool) -> None:
    """Print what came of them, and the commands to go on with."""
    if as_json:
        print(json.dumps({"runs": [summary(training) for training in trainings]}))
    else:
        print("\n".join(outcome(trainings)))
    if go_on:
        print(f"stopped and saved; continue with: {' && '.join(go_on)}", file=sys.stderr if as_json else sys.stdout)


def summary(training: Progress) -> dict[str, Any]:
    """A training as `keel train --json` tells it; of one without a result what is known."""
    if training.result is not None:
        return training.result
    known = {"run": None if training.run is None else str(training.run), "label": training.label}
    return known | {"state": training.state, "global_step": training.step, "error": training.error or None}


def outcome(trainings: Sequence[Progress]) -> list[str]:
    """A line for each training, and how to compare those that are finished."""
    lines = []
    for training in trainings:
        line = f"{training.label}: {training.state}"
        if training.result is not None:
            best = training.result["best_return"]
            line += (
                f", {training.result['global_step']:,} steps in {training.result['training_seconds']:.1f} s of training"
            )
            line += f"; best evaluation {'none' if best is None else format_value(best)}"
        lines.append(line + (f"  {training.run}" if training.run else ""))
    finished = [str(training.run) for training in trainings if training.state == "finished"]
    if len(finished) > 1:
        lines.append(f"  compare  keel compare {shlex.join(finished)}")
    return lines
