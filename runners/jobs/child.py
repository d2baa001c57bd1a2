"""One of several trainings at a time: a process that is told on its input what to train, and tells on its output how far
it is, in lines of JSON. What it prints otherwise goes to RUN/output.log.

Where nobody listens any more, as after a kill -9 of the command, it saves and stops: it can be resumed.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keel.runners.stop import StopWish

if TYPE_CHECKING:
    from keel.runners.run import Run
    from keel.runners.trainer import Result

LOG = "output.log"
REPORT_SECONDS = 0.5  # at least, between two reports of progress


class Reports:
    """Lines of JSON to the process that shows them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.heard = True

    def tell(self, **values: Any) -> None:
        try:
            os.write(self._descriptor, (json.dumps(values) + "\n").encode())
        except BrokenPipeError:
            self.heard = False


class ReportingDisplay:
    """The display of a training whose progress another process shows.

    The training listens to signals between its start and its end only: one that came before is passed on at the first
    update, when a snapshot has been made.
    """

    def __init__(self, reports: Reports, early: StopWish, run: Run, total_steps: int) -> None:
        self._reports = reports
        self._early = early
        self._asked_to_stop = False
        self._reported_at = -math.inf
        self._step = 0
        log_to(run.path / LOG)
        reports.tell(run=str(run.path), total_steps=total_steps)

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        self._step = step
        now = time.monotonic()
        evaluation = metrics.get("eval/return")
        if evaluation is not None or now - self._reported_at >= REPORT_SECONDS:
            self._reported_at = now
            self._reports.tell(step=step, evaluation=evaluation)
        if not self._asked_to_stop and (self._early.signal is not None or not self._reports.heard):
            self._asked_to_stop = True
            signal.raise_signal(signal.SIGTERM)

    def message(self, text: str) -> None:
        """Not through a buffer, which a signal's handler could find in use; whoever passed the signal on has told of it."""
        os.write(2, (text + "\n").encode())
        if not text.startswith(signal.SIGTERM.name):
            self._reports.tell(message=text)

    def close(self) -> None:
        if self._step:
            self._reports.tell(step=self._step, evaluation=None)


def log_to(path: Path) -> None:
    """All that this process and its children print from now on goes there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.close(descriptor)


def carry_out(order: Mapping[str, Any], reports: Reports, early: StopWish) -> Result:
    """The training that `order` asks for: of new `settings`, or of a `run` that goes on."""
    from keel.runners.run import Run
    from keel.runners.settings import Settings
    from keel.runners.train import resume, train

    if early.signal is not None:  # before there is anything to save
        raise KeyboardInterrupt

    def display(run: Run, total_steps: int) -> ReportingDisplay:
        return ReportingDisplay(reports, early, run, total_steps)

    if "settings" in order:
        return train(Settings.from_json(order["settings"]), console=display)
    return resume(Run.open(Path(order["run"])), order["total_steps"], console=display)


def main() -> int:
    """Returns: 0; 1 for an error, which was told; 143 where it was stopped."""
    reports = Reports(os.dup(1))
    os.dup2(2, 1)
    order = json.load(sys.stdin)
    sys.argv = order["command"]  # where runs come from is written down
    with StopWish(lambda _: None) as early:
        try:
            result = carry_out(order, reports, early)
        except KeyboardInterrupt:
            return 128 + signal.SIGTERM
        except Exception as error:  # noqa: BLE001 whatever it is, another process has to tell it
            traceback.print_exc()
            reports.tell(error=f"{type(error).__name__}: {error}")
            return 1
        from keel.runners.commands import summary_of

        reports.tell(result=summary_of(result))
    return 0 if result.stopped_by is None else 128 + result.stopped_by


if __name__ == "__main__":
    sys.exit(main())
