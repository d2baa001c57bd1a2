"""A number that changes in the course of training."""

from __future__ import annotations

from dataclasses import dataclass

from keel.agents.checks import between


@dataclass(frozen=True)
class Schedule:
    """From `start` to `end` in a straight line over the first `fraction` of training, then `end`."""

    start: float
    end: float
    fraction: float = 1.0
    """Of the total steps of training."""

    def __post_init__(self) -> None:
        between(0.0, 1.0, start=self.start, end=self.end, fraction=self.fraction)

    def __call__(self, progress: float) -> float:
        """The value at `progress` (0 at the start of training, 1 at its end)."""
        done = min(progress / self.fraction, 1.0) if self.fraction > 0 else 1.0
        return self.start + (self.end - self.start) * done
