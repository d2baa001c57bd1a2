"""What a person sees of a pre-training: a line for each epoch, no more often than a person can read."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TextIO

import rich.console
from rich.text import Text

from keel.runners.console import format_seconds
from keel.runners.run import Run

LINE_SECONDS = 1.0  # at least, between two lines; the last one always comes


class EpochConsole:
    """Lines of progress on `stream`, by default the standard output."""

    def __init__(self, run: Run, epochs: int, score: str, stream: TextIO | None = None) -> None:
        self._epochs = epochs
        self._score = score
        self._rich = rich.console.Console(file=stream or sys.stdout, highlight=False, soft_wrap=True)
        self._start: tuple[float, int] | None = None
        self._shown_at = -LINE_SECONDS
        self._unshown: str | None = None
        config = run.config
        self.message(f"{config['env']}  {config['agent']}  seed {config['seed']}   {run.path}")

    def update(self, epoch: int, metrics: Mapping[str, float], best: float) -> None:
        """After `epoch` epochs; `best` is the best score so far."""
        now = time.monotonic()
        validation = metrics.get(f"validation/{self._score}", float("nan"))
        parts = [f"epoch {epoch} / {self._epochs}"]
        parts += [
            f"{name} {metrics[f'train/{name}']:.3f}" for name in ("loss", self._score) if f"train/{name}" in metrics
        ]
        parts.append(f"validation {self._score} {validation:.4f} (best {best:.4f})")
        if self._start is not None and epoch < self._epochs:
            started, first = self._start
            parts.append(f"{format_seconds((now - started) / (epoch - first) * (self._epochs - epoch))} left")
        self._start = self._start or (now, epoch)
        self._unshown = "  ".join(parts)
        if now - self._shown_at >= LINE_SECONDS:
            self._show(now)

    def message(self, text: str) -> None:
        self._rich.print(Text(text))

    def close(self) -> None:
        if self._unshown is not None:
            self._show(time.monotonic())

    def _show(self, now: float) -> None:
        self.message(self._unshown or "")
        self._shown_at, self._unshown = now, None
