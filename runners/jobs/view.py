"""What a person sees of several trainings at a time: a table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

import rich.console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from keel.runners.console import PLAIN_SECONDS, SPEED_WINDOW
from keel.runners.formats import format_value

State = Literal["waiting", "starting", "running", "finished", "stopped", "failed"]
COLOURS = {"running": "cyan", "finished": "green", "stopped": "yellow", "failed": "red"}
FRAME_SECONDS = 0.5  # between two frames: as often as trainings report
BAR_WIDTH = 16
NUMBERS = ("share", "steps", "evaluation", "speed")
COLUMNS = ("run", "bar", *NUMBERS, "state")
NEEDS_WIDTH = {"bar": 100, "speed": 80, "evaluation": 60}  # characters that a terminal must have for a column


@dataclass
class Progress:
    """What is known of one training of several."""

    label: str  # such as "seed 3"
    state: State = "waiting"
    run: Path | None = None  # its folder, once there is one
    step: int = 0
    total_steps: int = 0
    evaluation: float = math.nan  # the last one
    marks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=SPEED_WINDOW))  # seconds and step
    error: str = ""
    result: dict[str, Any] | None = None  # as `keel train --json` prints it

    def reach(self, step: int, seconds: float) -> None:
        self.step = step
        self.marks.append((seconds, step))

    @property
    def share(self) -> float:
        return min(1.0, self.step / self.total_steps) if self.total_steps else 0.0

    @property
    def steps_per_second(self) -> float:
        if self.state != "running" or not self.marks:
            return math.nan
        (start, first), (end, last) = self.marks[0], self.marks[-1]
        return (last - first) / (end - start) if end > start else math.nan

    def words(self) -> tuple[str, str, str, str, str]:
        """Share, steps, evaluation, speed and state; empty where it is not known."""
        known = self.total_steps > 0
        state = "reporting" if self.state == "running" and self.share == 1.0 else self.state
        return (
            f"{100 * self.share:3.0f}%" if known else "",
            f"{self.step:,} / {self.total_steps:,} steps" if known else "",
            format_value(self.evaluation) if math.isfinite(self.evaluation) else "",
            f"{self.steps_per_second:,.0f} steps/s" if math.isfinite(self.steps_per_second) else "",
            state,
        )


class JobsView:
    """Shows the progress of trainings that others bring up to date."""

    def __init__(
        self, trainings: Sequence[Progress], stream: TextIO, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._trainings = trainings
        self._clock = clock
        self._rich = rich.console.Console(file=stream, highlight=False, soft_wrap=True)
        self._shown_at = -math.inf
        self._lines: dict[int, tuple[float, State, int]] = {}  # of each training: when it was shown, and what
        self._live: Live | None = None
        if self._rich.is_terminal and not self._rich.is_dumb_terminal:
            self._live = Live(console=self._rich, auto_refresh=False, get_renderable=self._table)
            self._live.start()

    def update(self) -> None:
        """Show what is new, where the last frame or line is old enough or a training's state has changed."""
        now = self._clock()
        if self._live is None:
            for index, training in enumerate(self._trainings):
                self._line(index, training, now)
        elif now - self._shown_at >= FRAME_SECONDS:
            self._shown_at = now
            self._live.refresh()

    def message(self, text: str) -> None:
        """Print a line of its own, above the table where there is one."""
        self._rich.print(Text(text))

    def close(self) -> None:
        """Show the last state and leave it standing."""
        if self._live is not None:
            self._live.refresh()
            self._live.stop()
            self._live = None
        else:
            self.update()

    def _line(self, index: int, training: Progress, now: float) -> None:
        shown_at, state, step = self._lines.get(index, (-math.inf, "waiting", 0))
        if training.state == state and (training.step == step or now - shown_at < PLAIN_SECONDS):
            return
        self._lines[index] = now, training.state, training.step
        share, steps, evaluation, speed, words = training.words()
        parts = (training.label, share, steps, speed, f"evaluation {evaluation}" if evaluation else "", words)
        self._rich.print(Text("  ".join(part for part in parts if part)))

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        columns = [name for name in COLUMNS if self._rich.width >= NEEDS_WIDTH.get(name, 0)]
        for name in columns:
            side = "right" if name in NUMBERS else "left"
            table.add_column("" if name == "bar" else name, justify=side, no_wrap=name != "run")
        for training in self._trainings:
            share, steps, evaluation, speed, words = training.words()
            cells = {
                "run": training.label,
                "bar": ProgressBar(total=1.0, completed=training.share, width=BAR_WIDTH, complete_style="cyan"),
                "share": share,
                "steps": steps.removesuffix(" steps"),
                "evaluation": evaluation,
                "speed": speed,
                "state": Text(words, COLOURS.get(training.state, "dim")),
            }
            table.add_row(*(cells[name] for name in columns))
        return table
