"""Range checks of settings: each error names the field, the value it got and what would be right."""

from __future__ import annotations

import math

from keel.agents.agent import Metrics
from keel.envs.errors import KeelError


def at_least(minimum: float, **fields: float) -> None:
    """Raises ValueError for a field that is below `minimum` or not a finite number."""
    for name, value in fields.items():
        if not math.isfinite(value) or value < minimum:
            raise ValueError(f"{name} is {value}: it must be at least {minimum:g}")


def positive(**fields: float) -> None:
    """Raises ValueError for a field that is zero, negative or not a finite number."""
    for name, value in fields.items():
        if not math.isfinite(value) or value <= 0:
            raise ValueError(f"{name} is {value}: it must be greater than 0")


def finite(**fields: float) -> None:
    """Raises ValueError for a field that is infinite or not a number."""
    for name, value in fields.items():
        if not math.isfinite(value):
            raise ValueError(f"{name} is {value}: it must be a finite number")


def between(low: float, high: float, **fields: float) -> None:
    """Raises ValueError for a field outside [low, high] or not a number."""
    for name, value in fields.items():
        if not low <= value <= high:
            raise ValueError(f"{name} is {value}: it must lie between {low:g} and {high:g}")


def check_finite(metrics: Metrics, updates: int, step: int) -> None:
    """Raises KeelError for a metric that is nan or infinite, named with where it arose."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise KeelError(f"{name} is {value} in update {updates}, step {step}: training has diverged")
