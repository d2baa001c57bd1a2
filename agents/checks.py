"""Range checks of settings: each error names the field, the value it got and what would be right."""

from __future__ import annotations

import math


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


def between(low: float, high: float, **fields: float) -> None:
    """Raises ValueError for a field outside [low, high] or not a number."""
    for name, value in fields.items():
        if not low <= value <= high:
            raise ValueError(f"{name} is {value}: it must lie between {low:g} and {high:g}")
