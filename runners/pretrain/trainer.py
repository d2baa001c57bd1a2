"""What happens around the epochs of a pre-training: rows, validation, checkpoints, the wish to stop, the last test."""

from __future__ import annotations

import importlib
import math
import signal
from collections.abc import Callable
from typing import Any, NamedTuple

from keel.envs.errors import KeelError
from keel.networks.pretraining.learner import Learner, Metrics, State
from keel.runners import checkpoint
from keel.runners.pretrain.console import EpochConsole
from keel.runners.pretrain.settings import PretrainSettings, field_of
from keel.runners.run import Run, RunState
from keel.runners.stop import Clock, StopWish
from keel.runners.tracker import JsonLines
from keel.runners.trainer import fixed_settings


class PretrainResult(NamedTuple):
    """How a pre-training ended."""

    run: Run
    state: RunState
    stopped_by: signal.Signals | None  # None: it reached its end
    epochs: int  # that were learnt
    best_epoch: int  # the one of checkpoints/best; 0: none yet
    best_score: float | None  # on the validation data
    test: Metrics  # of checkpoints/best on the test data; empty where it was stopped
    training_seconds: float  # without imports, evaluations and reading the data
    tracking_seconds: float  # of those, inside tracker calls


class Pretrainer:
    """One learner's epochs into a run folder. A row's `global_step` counts epochs."""

    console: EpochConsole

    def __init__(self, run: Run, settings: PretrainSettings, learner: Learner) -> None:
        self.folder = run
        self.settings = settings
        self.training = settings.training
        self.learner = learner
        self.rows = JsonLines(run)
        self.wish = StopWish(lambda text: self.console.message(text.replace("this step", "this epoch")))
        self.clock = Clock()
        self.on_snapshot: Callable[[], object] = lambda: None
        report = importlib.import_module(field_of(settings.kind, settings.task).report)
        self.after_epoch = getattr(report, "after_epoch", None)  # what else its kind of data leaves behind
        self.epoch = 0  # how many were learnt
        self.best_score: float | None = None
        self.best_epoch = 0
        self.improved_at = 0  # the last epoch that was better, and not only as good, than all before

    def restore(self, state: State) -> None:
        """Continue from the snapshot `state`: rows written after it are cut off, and will be written again."""
        checkpoint.check_shapes(
            {"network": dict(self.learner.network.state_dict())}, {"network": state["learner"]["network"]}
        )
        self.learner.load_state_dict(state["learner"])
        self.epoch, self.improved_at = state["epoch"], state["improved_at"]
        self.best_score, self.best_epoch = state["best_score"], state["best_epoch"]
        self.rows.truncate(state["metrics_position"])

    def run(self) -> PretrainResult:
        """Learn to the end, or until a signal says stop; a snapshot at either leaves nothing to lose."""
        self.clock = Clock()
        if timing := self.folder.timing():
            self.clock.before = timing[-1]["training_seconds"]
        self.folder.set_status("running", global_step=self.epoch)
        if self.epoch == 0:
            self.snapshot()
        saved_at = self.epoch
        while self.goes_on():
            self.one_epoch()
            if self.training.checkpoint_every and self.epoch % self.training.checkpoint_every == 0:
                self.snapshot()
                saved_at = self.epoch
        if saved_at != self.epoch:
            self.snapshot()
        training_seconds = self.clock.training_seconds
        return PretrainResult(
            run=self.folder,
            state="interrupted" if self.wish.signal else "finished",
            stopped_by=self.wish.signal,
            epochs=self.epoch,
            best_epoch=self.best_epoch,
            best_score=self.best_score,
            test={} if self.wish.signal else self.test(),
            training_seconds=training_seconds,
            tracking_seconds=self.rows.seconds_spent,
        )

    def goes_on(self) -> bool:
        """Whether there is another epoch to learn."""
        patience = self.training.patience
        tired = patience > 0 and self.epoch - self.improved_at >= patience
        return self.epoch < self.training.epochs and not tired and self.wish.signal is None

    def one_epoch(self) -> None:
        """Learn one epoch, and see whether it is the best one."""
        learnt = named("train", self.learner.epoch(self.epoch))
        check_finite(learnt, self.epoch + 1)
        self.epoch += 1
        with self.clock.paused():
            validation = self.learner.evaluate("validation")
            check_finite(named("validation", validation), self.epoch)
            score = validation[self.learner.score]
            if self.best_score is None or score > self.best_score:
                self.improved_at = self.epoch
            if self.best_score is None or score >= self.best_score:  # of equals the later one, which has seen more
                self.best_score, self.best_epoch = score, self.epoch
                self.save(checkpoint.BEST, network_state(self.learner))
        metrics = learnt | named("validation", validation)
        self.rows.log(self.epoch, metrics)
        if self.after_epoch is not None:
            with self.clock.paused():
                self.after_epoch(self.learner, self.folder, self.epoch)
        self.log_timing()
        self.console.update(self.epoch, metrics, self.best_score)

    def test(self) -> Metrics:
        """The best epoch's network on the test data, which chose nothing; it stays in the learner."""
        best = checkpoint.load(checkpoint.best(self.folder.checkpoints), agent=self.settings.agent)
        self.learner.network.load_state_dict(best.state["network"])
        metrics = self.learner.evaluate("test")
        check_finite(named("test", metrics), self.epoch)
        self.rows.log(self.epoch, named("test", metrics))
        return metrics

    def snapshot(self) -> None:
        """Save all that an exact continuation needs."""
        state = {
            "learner": self.learner.state_dict(),
            "epoch": self.epoch,
            "best_score": self.best_score,
            "best_epoch": self.best_epoch,
            "improved_at": self.improved_at,
            "metrics_position": self.rows.position(),
        }
        self.save(checkpoint.step_name(self.epoch), state)
        self.on_snapshot()

    def save(self, name: str, state: State) -> None:
        about: dict[str, Any] = {"agent": self.settings.agent, "env": self.settings.env, "global_step": self.epoch}
        checkpoint.save(
            self.folder.checkpoints, name, state, about=about | {"settings": fixed_settings(self.folder.config)}
        )

    def log_timing(self) -> None:
        seconds = self.clock.training_seconds
        examples = self.epoch * len(self.learner.data.train)
        timing = {"training_seconds": seconds, "wall_seconds": self.clock.wall_seconds}
        self.rows.log_timing(self.epoch, timing | {"examples_per_second": examples / max(seconds, 1e-9)})

    def close(self, state: RunState, error: str | None = None) -> None:
        """Say how the run ended, after which nothing is written to it."""
        self.console.close()
        self.rows.finish(state)
        if error is not None:
            self.folder.set_status(state, error=error)


def network_state(learner: Learner) -> State:
    """What using the network needs, and beside it the backbone alone, which agents take over."""
    state: State = {"network": dict(learner.network.state_dict())}
    if learner.backbone is not None:
        state["backbone"] = dict(learner.backbone.state_dict())
    return state


def named(prefix: str, metrics: Metrics) -> Metrics:
    return {f"{prefix}/{name}": value for name, value in metrics.items()}


def check_finite(metrics: Metrics, epoch: int) -> None:
    """Raises: KeelError where training has diverged; names the metric."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise KeelError(f"{name} is {value} in epoch {epoch}: training has diverged; try a smaller learning rate")
