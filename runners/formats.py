"""How numbers are written for people."""

from __future__ import annotations


def format_value(value: float) -> str:
    """A number as short as can be read: 12,345 or 187.3 or 0.96."""
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"
