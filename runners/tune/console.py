"""What a person sees of a study while it runs: one table on a terminal, a line for each trial elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TextIO

import rich.console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from keel.runners.console import LIVE_SECONDS, format_seconds
from keel.runners.page import show
from keel.runners.tune.plan import Plan
from keel.runners.tune.score import Objective
from keel.runners.tune.space import Values
from keel.runners.tune.study import Trial

MOST_ROWS = 24  # of the table: the newest
COLOURS = {"complete": "green", "pruned": "yellow", "failed": "red", "interrupted": "magenta", "running": "cyan"}


class TuneConsole:
    """Shows the trials of a study; `close` leaves the last table standing."""

    def __init__(self, plan: Plan, trials: int, stream: TextIO) -> None:
        self._plan = plan
        self._trials = trials
        self._rich = rich.console.Console(file=stream, highlight=False)
        self._said: set[int] = set()
        self._shown_at = 0.0
        self._live: Live | None = None
        if self._rich.is_terminal and not self._rich.is_dumb_terminal:
            self._live = Live(console=self._rich, auto_refresh=False)
            self._live.start()

    def update(self, trials: Callable[[], Sequence[Trial]], steps: dict[int, int], *, final: bool = False) -> None:
        """Show `trials()`, perhaps. Args: steps: of the running trials by number."""
        now = time.monotonic()
        if now - self._shown_at < LIVE_SECONDS and not final:
            return
        self._shown_at = now
        known = trials()
        if self._live is not None:
            self._live.update(self._table(known, steps), refresh=True)
        else:
            self._say_new(known)

    def message(self, text: str) -> None:
        self._rich.print(Text(text))

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _say_new(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            if trial.state in ("running", "waiting") or trial.number in self._said:
                continue
            self._said.add(trial.number)
            done = sum(other.counts for other in trials)
            value = trial.error or (shown_worth(self._plan.objective, trial) if trial.value is not None else "")
            seconds = format_seconds(trial.seconds) if trial.seconds else ""
            parts = (f"trial {trial.number}", trial.state, value, seconds, shown_values(trial.values))
            line = f"[{done}/{self._trials}]  " + "  ".join(part for part in parts if part)
            self._rich.print(Text(line), soft_wrap=True)

    def _table(self, trials: Sequence[Trial], steps: dict[int, int]) -> Table:
        objective = self._plan.objective
        whole = [trial.value for trial in trials if trial.value is not None]
        best = (min if objective.fewer else max)(whole, default=None)
        done = sum(trial.counts for trial in trials)
        reached = "" if best is None else f"   best {shown_value(best)}"
        title = f"{self._plan.name}   {done} of {self._trials} trials{reached}   ({objective.words})"
        table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
        for name in ("trial", "state", objective.name, "seconds", "settings"):
            table.add_column(name, justify="left" if name in ("state", "settings") else "right", header_style="dim")
        for trial in [trial for trial in trials if trial.state != "waiting"][-MOST_ROWS:]:
            running = trial.state == "running" and trial.number in steps
            value = f"step {steps[trial.number]:,}" if running else shown_worth(objective, trial, short=True)
            style = "bold green" if trial.value is not None and trial.value == best else ""
            about = trial.error if trial.state == "failed" and trial.error else shown_values(trial.values)
            seconds = "" if trial.seconds is None else f"{trial.seconds:.1f}"
            state = Text(trial.state, COLOURS.get(trial.state, ""))
            settings = Text(about, "dim", no_wrap=True, overflow="ellipsis")
            table.add_row(str(trial.number), state, Text(value, style), seconds, settings)
        return table


def shown_value(value: float | None, sign: str = "") -> str:
    """A score: steps in thousands, seconds and returns with four digits; with sign "+" it always has one."""
    return "–" if value is None else f"{value:{sign},.0f}" if abs(value) >= 1000 else f"{value:{sign}.4g}"


def shown_worth(objective: Objective, trial: Trial, *, short: bool = False) -> str:
    """A trial's value; where runs did not solve their world, how many, since steps and seconds are then a penalty."""
    unsolved = sum(not outcome.solved for outcome in trial.outcomes) if objective.fewer else 0
    if trial.value is not None and unsolved:
        return f"{unsolved} of {len(trial.outcomes)} unsolved"
    return shown_value(trial.value) + ("" if short or trial.value is None else f" {objective.name}")


def shown_values(values: Values) -> str:
    """Settings on one line."""
    return "  ".join(f"{name} {shown_setting(value)}" for name, value in values.items())


def shown_setting(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else show(value)
