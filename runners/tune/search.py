"""The search: trials side by side, each followed while it trains, given up where it is hopeless, and judged."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keel.runners import run as run_module
from keel.runners.settings import Settings
from keel.runners.stop import StopWish
from keel.runners.tune.study import Study
from keel.runners.tune.worker import Worker, supervise

RUNGS = 20  # of each run, at which trials are compared


@dataclass
class Running:
    """A trial in progress."""

    number: int
    best_return: list[float]  # of each of its runs so far
    step: int = 0
    rung: int = -1  # the last one reported
    pruned: bool = False


class Search:
    """The trials of a study until `trials` of them are done."""

    def __init__(self, study: Study, folder: Path, trials: int) -> None:
        self.study = study
        self.plan = study.plan
        self.folder = folder
        self.trials = trials
        self.running: dict[int, Running] = {}  # by the number of the process

    def run(self, jobs: int, wish: StopWish, tick: Callable[[], Any]) -> None:
        supervise(self.start, jobs, wish, follow=self.follow, finish=self.finish, tick=tick)

    def start(self) -> Worker | None:
        """The next trial; settings that do not go together are failed trials that never start."""
        while self.left() > 0:
            number, values = self.study.ask()
            try:
                settings = self.plan.trial_settings(values)
            except ValueError as error:
                self.study.finish(number, "failed", error=str(error))
                continue
            worker = Worker.start(self.folder / "trials" / f"{number:03d}", self.runs_of(number, settings))
            self.running[worker.process.pid] = Running(number, [-math.inf] * self.plan.seeds_per_trial)
            return worker
        return None

    def left(self) -> int:
        """Trials that are still to be started."""
        return self.trials - sum(trial.counts for trial in self.study.trials()) - len(self.running)

    def runs_of(self, number: int, settings: Settings) -> list[tuple[str, Settings]]:
        """One run for each of the trial's own seeds, with its name."""
        name = f"{self.plan.name}-trial-{number:03d}"
        count = self.plan.seeds_per_trial
        return [
            (
                unused(name if count == 1 else f"{name}-seed-{index + 1}"),
                dataclasses.replace(settings, seed=self.plan.seed("trial", number, index)),
            )
            for index in range(count)
        ]

    def follow(self, worker: Worker) -> None:
        """Report the news of a trial, and ask it to stop where half of all had come further."""
        trial = self.running[worker.process.pid]
        for index, step, mean_return in worker.news():
            if math.isfinite(mean_return):
                trial.best_return[index] = max(trial.best_return[index], mean_return)
            trial.step = index * self.plan.objective.total_steps + step
            self.report(trial, index, min(step * RUNGS // self.plan.objective.total_steps, RUNGS - 1))
        for index, outcome in enumerate(worker.outcomes()):
            if outcome.solved:
                trial.best_return[index] = math.inf
            self.report(trial, index, RUNGS - 1)
        if not worker.ended and trial.rung >= 0 and self.study.is_hopeless(trial.number):
            trial.pruned = True
            worker.stop()

    def report(self, trial: Running, index: int, until: int) -> None:
        """Say what the run has come to at every rung that it passed; what it knew before holds until then."""
        for rung in range(trial.rung + 1, index * RUNGS + until + 1):
            progress = self.plan.objective.progress(rung // RUNGS, trial.best_return[rung // RUNGS])
            self.study.report(trial.number, rung, progress)
            trial.rung = rung

    def finish(self, worker: Worker) -> None:
        """Say how a trial ended: whole, given up, failed with its error, or stopped with the study."""
        trial = self.running.pop(worker.process.pid)
        outcomes = worker.outcomes()
        about: dict[str, Any] = {"seconds": round(worker.seconds, 2), "outcomes": outcomes}
        about["runs"] = [name for name in worker.names if (run_module.RUNS / name).is_dir()]
        if worker.process.returncode == 0 and len(outcomes) == len(worker.names):
            self.study.finish(trial.number, "complete", value=self.plan.objective.value(outcomes), **about)
        elif trial.pruned:
            self.study.finish(trial.number, "pruned", **about)
        elif worker.asked_to_stop is not None:
            self.study.finish(trial.number, "interrupted", **about)
        else:
            self.study.finish(trial.number, "failed", error=worker.error(), **about)


def unused(name: str) -> str:
    """`name`, or the first of name-2, name-3 … that is no run yet."""
    candidates = (name if count == 1 else f"{name}-{count}" for count in range(1, 1_000))
    return next(candidate for candidate in candidates if not (run_module.RUNS / candidate).exists())
