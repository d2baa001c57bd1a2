"""What happens around the loop's updates: rows, evaluations, checkpoints, the wish to stop, the report at the end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from keel.agents.agent import Agent, Metrics
from keel.envs.protocol import State, VecEnv
from keel.envs.seeding import derive_seed
from keel.runners import checkpoint
from keel.runners.agents import make_worlds, policy_state
from keel.runners.console import Display
from keel.runners.evaluate import MAX_WORLDS, Evaluation, evaluate_agent
from keel.runners.loop import TrainingLoop
from keel.runners.memory import trim_heap
from keel.runners.run import Run, RunState
from keel.runners.settings import Settings
from keel.runners.stop import Clock, StopWish
from keel.runners.tracker import JsonLines
from keel.runners.yardsticks import Yardsticks


class Result(NamedTuple):
    """How a training ended."""

    run: Run
    state: RunState
    stopped_by: signal.Signals | None  # None: it reached its end
    global_step: int
    best_return: float | None  # mean of the evaluation that chose checkpoints/best
    solved: bool  # stop_at_return was reached and confirmed
    training_seconds: float  # without imports and evaluations
    tracking_seconds: float  # of those, inside tracker calls


class Trainer:
    """One run of a loop into a run folder."""

    console: Display

    def __init__(self, run: Run, settings: Settings, loop: TrainingLoop) -> None:
        self.folder = run
        self.settings = settings
        self.training = settings.training
        self.loop = loop
        self.rows = JsonLines(run)
        self.wish = StopWish(lambda text: self.console.message(text))
        self.clock = Clock()
        self.best_return: float | None = None
        self.evaluated_at = 0
        self.solved = False
        self.step_before = loop.global_step  # at the update before
        self.test_worlds: VecEnv | None = None
        self.yardsticks = Yardsticks(settings)
        self.on_snapshot: Callable[[], object] = lambda: None

    def restore(self, state: State, *, beyond_goal: bool) -> None:
        """Continue from the snapshot `state`: rows written after it are cut off, and will be written again.

        With `beyond_goal` a run that had reached its goal goes on.
        """
        self.best_return, self.solved = state["best_return"], state["solved"] and not beyond_goal
        self.evaluated_at = state["evaluated_at"]
        self.rows.truncate(state["metrics_position"])

    def run(self) -> Result:
        """Train to the end, or until a signal says stop; a snapshot at either leaves nothing to lose."""
        self.clock = Clock()
        if timing := self.folder.timing():
            self.clock.before = timing[-1]["training_seconds"]
        self.folder.set_status("running", global_step=self.loop.global_step)
        if self.loop.global_step == 0:
            self.snapshot()
        if self.solved:
            self.console.message(f"stop_at_return {self.training.stop_at_return} was reached: nothing more to train")
        else:
            self.loop.run(self.training.total_steps, self.after_update)
        training_seconds = self.clock.training_seconds
        if self.wish.signal is None and self.evaluated_at != self.loop.global_step:
            self.rows.log(self.loop.global_step, self.evaluate())
        self.snapshot()
        return Result(
            run=self.folder,
            state="interrupted" if self.wish.signal else "finished",
            stopped_by=self.wish.signal,
            global_step=self.loop.global_step,
            best_return=self.best_return,
            solved=self.solved,
            training_seconds=training_seconds,
            tracking_seconds=self.rows.seconds_spent,
        )

    def close(self, state: RunState, error: str | None = None) -> None:
        """Say how the run ended, after which no rows are written to it."""
        self.loop.envs.close()  # so that the time of its worker processes is known
        if self.test_worlds is not None:
            self.test_worlds.close()
        self.console.close()
        self.rows.finish(state)
        if error is not None:
            self.folder.set_status(state, error=error)

    def after_update(self, metrics: Metrics) -> bool:
        """One row and whatever is due at this step; returns whether to stop."""
        if self.due(self.training.evaluate_every):
            metrics |= self.evaluate()
        self.rows.log(self.loop.global_step, metrics)
        self.log_timing()
        self.console.update(self.loop.global_step, metrics)
        if self.due(self.training.checkpoint_every):
            self.snapshot()
        self.step_before = self.loop.global_step
        return self.solved or self.wish.signal is not None

    def due(self, every: int) -> bool:
        """Whether the update that just ended crossed a multiple of `every` steps."""
        return every > 0 and self.loop.global_step // every > self.step_before // every

    def evaluate(self) -> Metrics:
        """A greedy evaluation; the best so far becomes checkpoints/best."""
        goal = self.training.stop_at_return
        with self.clock.paused():
            evaluation = self.play("selection")
            self.evaluated_at = self.loop.global_step
            if self.best_return is None or evaluation.mean > self.best_return:
                self.best_return = evaluation.mean
                self.save(checkpoint.BEST, {"agent": policy_state(self.loop.agent)})
            if goal is not None and evaluation.mean >= goal:
                self.solved = self.play("confirmation").mean >= goal
            savings = self.yardsticks.savings(evaluation, self.seed_of("selection"))
            trim_heap()
        return evaluation.metrics() | savings

    def play(self, purpose: str, agent: Agent | None = None) -> Evaluation:
        """Greedy episodes on the seeds of `purpose`, which training never sees."""
        episodes = self.training.evaluate_episodes
        if self.test_worlds is None:
            self.test_worlds = make_worlds(self.settings, min(episodes, MAX_WORLDS))
        seed = self.seed_of(purpose)
        return evaluate_agent(agent or self.loop.agent, self.test_worlds, episodes=episodes, seed=seed)

    def seed_of(self, purpose: str) -> int:
        return derive_seed(self.settings.seed, purpose)

    def snapshot(self) -> None:
        """Save all that an exact continuation needs."""
        state = {
            "agent": self.loop.agent.state_dict(),
            "loop": self.loop.state_dict(),
            "best_return": self.best_return,
            "solved": self.solved,
            "evaluated_at": self.evaluated_at,
            "metrics_position": self.rows.position(),
        }
        self.save(checkpoint.step_name(self.loop.global_step), state)
        self.on_snapshot()

    def save(self, name: str, state: State) -> None:
        about: dict[str, Any] = {"agent": self.settings.agent, "env": self.settings.env}
        about |= {"global_step": self.loop.global_step, "settings": fixed_settings(self.folder.config)}
        checkpoint.save(self.folder.checkpoints, name, state, about=about)

    def log_timing(self) -> None:
        seconds = self.clock.training_seconds
        speed = self.loop.global_step / max(seconds, 1e-9)
        timing = {"training_seconds": seconds, "wall_seconds": self.clock.wall_seconds, "steps_per_second": speed}
        self.rows.log_timing(self.loop.global_step, timing)


def fixed_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Of a run's config, what must stay as it was for a continuation to be exact: all but where training ends."""
    training = {
        name: value for name, value in config["training"].items() if name not in ("total_steps", "stop_at_return")
    }
    rest = {name: config[name] for name in ("agent", "env", "seed", "hyperparameters", "backbone")}
    return rest | {"training": training}
