"""Trainings in processes of their own: started, followed through their files, and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from keel.runners import run as run_module
from keel.runners.files import complete_lines, decode_row, read_rows, write_json
from keel.runners.settings import Settings
from keel.runners.stop import StopWish
from keel.runners.tune.score import Outcome

POLL_SECONDS = 0.1
PATIENCE_SECONDS = 30.0  # until a process that was asked to stop is killed
TRIAL_PROCESS = ("-P", "-m", "keel.runners.tune.trial")  # -P: no module of the working directory is imported


class Seen(NamedTuple):
    """An evaluation of a run while it trains; `run` counts the runs of a worker from 0."""

    run: int
    step: int
    mean_return: float


@dataclass
class Worker:
    """A process that trains runs one after another; all that is known of it is in its files."""

    names: list[str]
    outcomes_path: Path
    log_path: Path
    process: subprocess.Popen[bytes]
    started: float
    asked_to_stop: float | None = None
    seconds: float = 0.0
    _bytes_read: dict[str, int] = field(default_factory=dict)

    @staticmethod
    def start(path: Path, runs: Sequence[tuple[str, Settings]]) -> Worker:
        """Train `runs` (names and settings) in turn; `path` names its files: .json, .jsonl and .log."""
        path.parent.mkdir(parents=True, exist_ok=True)
        job, outcomes, log = (path.with_suffix(suffix) for suffix in (".json", ".jsonl", ".log"))
        write_json(job, [{"name": name, "settings": settings.to_json()} for name, settings in runs])
        outcomes.unlink(missing_ok=True)
        with open(log, "wb") as output:
            process = subprocess.Popen(
                [sys.executable, *TRIAL_PROCESS, str(job), str(outcomes)],
                stdin=subprocess.PIPE,  # closes when this process ends, however it does
                stdout=output,
                stderr=output,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                start_new_session=True,  # Ctrl-C is for this process, which then stops the others in order
            )
        return Worker([name for name, _ in runs], outcomes, log, process, time.monotonic())

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def outcomes(self) -> list[Outcome]:
        return [Outcome(**row) for row in read_rows(self.outcomes_path)]

    def news(self) -> list[Seen]:
        """The evaluations since the last call."""
        found = []
        for index, name in enumerate(self.names):
            path = run_module.RUNS / name / "metrics.jsonl"
            lines = complete_lines(path, self._bytes_read.get(name, 0))
            self._bytes_read[name] = self._bytes_read.get(name, 0) + sum(map(len, lines))
            rows = map(decode_row, lines)
            found += [Seen(index, row["global_step"], row["eval/return"]) for row in rows if "eval/return" in row]
        return found

    def stop(self) -> None:
        """Ask it to save and end; one that does not within half a minute is killed."""
        if self.asked_to_stop is None:
            self.asked_to_stop = time.monotonic()
            self.process.send_signal(signal.SIGTERM)
        elif time.monotonic() - self.asked_to_stop > PATIENCE_SECONDS:
            self.process.kill()

    def close(self) -> None:
        """Take leave of the process, which is killed where it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.seconds = time.monotonic() - self.started
        if self.process.stdin is not None:
            self.process.stdin.close()

    def error(self) -> str:
        """The last words of a process that failed."""
        text = self.log_path.read_text(encoding="utf-8", errors="replace").strip()
        code = self.process.returncode
        last = text.splitlines()[-1].removeprefix("keel: ") if text else f"no word, exit code {code}"
        return last if code > 0 else f"killed by {signal.Signals(-code).name}; {last}"


def supervise(
    start: Callable[[], Worker | None],
    jobs: int,
    wish: StopWish,
    *,
    follow: Callable[[Worker], Any],
    finish: Callable[[Worker], Any],
    tick: Callable[[], Any],
) -> None:
    """Keep `jobs` workers going until `start` has no more to give, or a signal says stop, upon which all are stopped.

    Args: follow: looks at a worker's news; finish: takes in one that has ended; tick: called between two looks.
    """
    running: list[Worker] = []
    try:
        while True:
            while wish.signal is None and len(running) < jobs and (worker := start()) is not None:
                running.append(worker)
            if not running:
                return
            for worker in list(running):
                ended = worker.ended  # asked first, so that its last rows are not missed
                follow(worker)
                if ended:
                    running.remove(worker)
                    worker.close()
                    finish(worker)
                elif wish.signal is not None or worker.asked_to_stop is not None:
                    worker.stop()
            tick()
            time.sleep(POLL_SECONDS)
    finally:
        for worker in running:
            worker.close()
