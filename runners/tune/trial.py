"""One trial of `keel tune`, in a process of its own: ordinary trainings one after another, and a row for each.

    python -m keel.runners.tune.trial JOB.json OUTCOMES.jsonl

It ends with the process that started it, however that one ends: their pipe closes then.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from keel.runners.console import Console
from keel.runners.files import encode_row, read_json
from keel.runners.run import Run
from keel.runners.settings import Settings
from keel.runners.tune.score import outcome_of


def main(arguments: list[str]) -> int:
    """Train what JOB.json lists (`name` and `settings` each); exit code 143 where it was stopped."""
    from keel.runners.train import train

    job, outcomes = map(Path, arguments)
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    for entry in read_json(job):
        settings = Settings.from_json(entry["settings"], entry["name"])
        result = train(settings, name=entry["name"], console=silent)
        if result.stopped_by is not None:
            return 128 + result.stopped_by
        outcome = outcome_of(
            result.run.name,
            settings.seed,
            solved=result.solved,
            steps=result.global_step,
            seconds=result.training_seconds,
            rows=result.run.metrics(),
            budget=settings.training.total_steps,
        )
        with open(outcomes, "ab") as file:
            file.write(encode_row(outcome.to_json()))
    return 0


def silent(run: Run, total_steps: int) -> Any:
    return Console(run, total_steps, stream=io.StringIO())


def _stop_with_parent() -> None:
    """Wish to stop once nobody holds the other end of stdin."""
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    from keel.runners.cli import run

    sys.exit(run("tune.trial:main", sys.argv[1:]))
