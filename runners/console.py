"""What a person sees while training: a live display on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TextIO

import rich.console
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from keel.runners.formats import format_value
from keel.runners.run import Run

LIVE_SECONDS = 0.25  # between two frames: smooth to the eye, and below a hundredth of the training time
PLAIN_SECONDS = 2.0  # between two lines where the output is no terminal
SPEED_WINDOW = 20  # frames over which speed is measured
SPARKS = "▁▂▃▄▅▆▇█"
SPARKLINE_WIDTH = 32
SAVING = "eval/saving_"  # the metric of what is saved beside a yardstick, and the yardstick's name


class Display(Protocol):
    """What a training tells of itself."""

    def update(self, step: int, metrics: Mapping[str, float]) -> None: ...

    def message(self, text: str) -> None: ...

    def close(self) -> None: ...


class Console:
    """Shows how far training is, how fast, and how well the agent does.

    Calls are cheap: whatever comes between two frames is only remembered.
    """

    def __init__(
        self,
        run: Run,
        total_steps: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title = f"{run.config['env']}  {run.config['agent']}  seed {run.config['seed']}"
        self._folder = str(run.path)
        self._total_steps = total_steps
        self._clock = clock
        self._rich = rich.console.Console(file=stream or sys.stdout, highlight=False, soft_wrap=True)
        self._step = 0
        self._return = self._evaluation = self._best_evaluation = math.nan
        self._returns: list[float] = []
        self._savings: list[tuple[str, str]] = []
        self._marks: deque[tuple[float, int]] = deque(maxlen=SPEED_WINDOW)
        self._shown_at = self._updated_at = -math.inf
        self._live: Live | None = None
        if self._rich.is_terminal and not self._rich.is_dumb_terminal:
            self._live = Live(console=self._rich, auto_refresh=False, get_renderable=self._frame)
            self._live.start()

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take in the newest metrics; a new frame is drawn only when the last one is old enough."""
        self._step = step
        self._return = metrics.get("train/episode_return", self._return)
        self._savings = savings(metrics) or self._savings
        if "eval/return" in metrics:
            self._evaluation = metrics["eval/return"]
            self._best_evaluation = max(self._evaluation, _known(self._best_evaluation, -math.inf))
        now = self._updated_at = self._clock()
        if not self._marks:
            self._marks.append((now, step))
        if now - self._shown_at >= (LIVE_SECONDS if self._live else PLAIN_SECONDS):
            self._show(now)

    def message(self, text: str) -> None:
        """Print a line of its own, above the live display where there is one."""
        self._rich.print(Text(text))

    def close(self) -> None:
        """Show the last state and leave it standing."""
        if self._marks and self._marks[-1][1] != self._step:
            self._show(self._updated_at)
        if self._live:
            self._live.stop()
            self._live = None

    def _show(self, now: float) -> None:
        self._shown_at = now
        if self._marks[-1] != (now, self._step):
            self._marks.append((now, self._step))
        if math.isfinite(self._return):
            self._returns.append(self._return)
        if len(self._returns) > 32 * SPARKLINE_WIDTH:
            del self._returns[::2]  # a long run keeps its whole shape in few values
        if self._live:
            self._live.refresh()
        else:
            self._rich.print(Text(self._plain_line()))

    def _steps_per_second(self) -> float:
        (start, first), (end, last) = self._marks[0], self._marks[-1]
        return (last - first) / (end - start) if end > start else math.nan

    def _seconds_left(self) -> float:
        speed = self._steps_per_second()
        return max(0, self._total_steps - self._step) / speed if speed > 0 else math.nan

    def _progress(self) -> tuple[str, str, str, str]:
        """Percent, steps, speed and time left, as words."""
        percent = f"{100 * min(1.0, self._step / max(1, self._total_steps)):3.0f}%"
        steps = f"{self._step:,} / {self._total_steps:,} steps"
        speed = self._steps_per_second() if self._marks else math.nan
        left = self._seconds_left() if self._marks and self._step < self._total_steps else math.nan
        return (
            percent,
            steps,
            f"{speed:,.0f} steps/s" if math.isfinite(speed) else "",
            f"{format_seconds(left)} left" if math.isfinite(left) else "",
        )

    def _results(self) -> list[tuple[str, str]]:
        """Name and value of what is known so far."""
        known = {"return": self._return, "evaluation": self._evaluation, "best": self._best_evaluation}
        return [(name, format_value(value)) for name, value in known.items() if math.isfinite(value)]

    def _plain_line(self) -> str:
        parts = (*self._progress(), *map(" ".join, self._results()), *map(" ".join, self._savings))
        return "  ".join(part for part in parts if part)

    def _frame(self) -> RenderableType:
        percent, steps, *rest = self._progress()
        bar_width = max(8, min(SPARKLINE_WIDTH, self._rich.width - 60))
        bar = ProgressBar(
            total=max(1, self._total_steps),
            completed=min(self._step, self._total_steps),
            width=bar_width,
            complete_style="cyan",
            finished_style="green",
        )
        words = Text.assemble((percent, "bold"), f"  {steps}", ("".join(f"  {part}" for part in rest if part), "dim"))
        words.no_wrap, words.overflow = True, "ellipsis"
        progress = Table.grid(padding=(0, 2))
        progress.add_row(bar, words)
        results = Text(no_wrap=True, overflow="ellipsis")
        if len(self._returns) > 1 and not self._rich.options.ascii_only:
            results.append(f"{sparkline(self._returns, bar_width):{bar_width}}", "cyan")
        for name, value in self._results():
            results.append("  " if results else "").append(f"{name} ", "dim")
            results.append(value, "bold green" if name == "best" else "bold")
        title = Text.assemble((self._title, "bold"), (f"   {self._folder}", "dim"), no_wrap=True, overflow="ellipsis")
        if not self._savings:
            return Group(title, progress, results)
        saved = Text(no_wrap=True, overflow="ellipsis")
        for name, value in self._savings:
            saved.append("  " if saved else "").append(f"{name} ", "dim").append(
                value, "bold green" if value.startswith("-") else "bold"
            )
        return Group(title, progress, results, saved)


def savings(metrics: Mapping[str, float]) -> list[tuple[str, str]]:
    """Of the yardsticks' names and the savings beside them (`eval/saving_NAME`), in words: `vs b3`, `-12.3%`."""
    found = {name.removeprefix(SAVING): value for name, value in metrics.items() if name.startswith(SAVING)}
    return [(f"vs {name}", f"{-100 * value:+.1f}%") for name, value in found.items()]


def sparkline(values: Sequence[float], width: int) -> str:
    """Finite values as at most `width` bars between the least and the greatest; many values are averaged in groups."""
    count = min(width, len(values))
    edges = [len(values) * i // count for i in range(count + 1)]
    means = [sum(values[start:end]) / (end - start) for start, end in itertools.pairwise(edges)]
    low, high = min(means), max(means)
    scale = (len(SPARKS) - 1) / (high - low) if high > low else 0.0
    return "".join(SPARKS[round((mean - low) * scale)] for mean in means)


def format_seconds(seconds: float) -> str:
    """A duration in its two largest units: 8 s, 3 min 05 s, 2 h 07 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def _known(value: float, otherwise: float) -> float:
    return otherwise if math.isnan(value) else value
