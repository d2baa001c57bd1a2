"""What a person sees of a training by self-play: a line now and then, and one for every evaluation."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TextIO

import rich.console
from rich.text import Text

from keel.runners.console import format_seconds
from keel.runners.run import Run

SCORE = "eval/score_"  # the metric of the points against an opponent, and the opponent's name
LINE_SECONDS = 5.0  # at least, between two lines without an evaluation


class SelfPlayConsole:
    """Lines of progress on `stream`, by default the standard output."""

    def __init__(self, run: Run, stream: TextIO | None = None) -> None:
        self._rich = rich.console.Console(file=stream or sys.stdout, highlight=False, soft_wrap=True)
        self._start: tuple[float, float, int, int] | None = None
        self._shown_at = time.monotonic()
        self.message(f"{run.config['env']}  {run.config['agent']}  seed {run.config['seed']}   {run.path}")

    def update(self, progress: float, moves: int, games: int, metrics: Mapping[str, float]) -> None:
        """After an iteration: how much of the training is over (0 to 1), and what was played so far."""
        now = time.monotonic()
        self._start = self._start or (now, progress, moves, games)
        evaluated = "eval/return" in metrics or "eval/score_best" in metrics
        if not evaluated and now - self._shown_at < LINE_SECONDS and progress < 1.0:
            return
        self._shown_at = now
        started, first, first_moves, first_games = self._start
        seconds = max(now - started, 1e-9)
        parts = [f"{100 * progress:3.0f} %", f"{games:,} games", f"{moves:,} moves"]
        if moves > first_moves:
            parts.append(
                f"{(moves - first_moves) / seconds:,.0f} moves/s, {(games - first_games) / seconds:,.1f} games/s"
            )
        if "loss/policy" in metrics:
            parts.append(f"loss {metrics['loss/policy']:.3f} + {metrics['loss/value']:.3f}")
        if progress - first > 0.0 and progress < 1.0:
            parts.append(f"{format_seconds(seconds / (progress - first) * (1.0 - progress))} left")
        self.message("  ".join(parts))
        if evaluated:
            self.message(f"       evaluated: {evaluation(metrics)}")

    def message(self, text: str) -> None:
        self._rich.print(Text(text))

    def close(self) -> None:
        """Nothing is held back."""


def evaluation(metrics: Mapping[str, float]) -> str:
    """The scores and the rating of an evaluation, in words."""
    scores = {name.removeprefix(SCORE): value for name, value in metrics.items() if name.startswith(SCORE)}
    parts = [f"{100 * score:.0f} % against {name.replace('best', 'the best so far')}" for name, score in scores.items()]
    if "eval/elo" in metrics:
        parts.append(f"Elo {metrics['eval/elo']:.0f} ({metrics['eval/elo_low']:.0f} to {metrics['eval/elo_high']:.0f})")
    return ", ".join(parts)
