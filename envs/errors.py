"""The errors that Keel raises on purpose: each says what it got and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class KeelError(Exception):
    """An error meant for the person at the keyboard: the command line prints its message without a traceback."""


def closest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known name nearest to `name`, or nothing where none is near."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{matches[0]}'?" if matches else ""
