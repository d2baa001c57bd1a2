"""Waiting for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable

TIMEOUT = 60.0  # seconds, of what takes a few where nothing else runs


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
