"""The wish to stop (Ctrl-C, SIGTERM) and the clock of a training run."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Self

STANDARD_ERROR = 2


class StopWish:
    """While entered, the first SIGINT or SIGTERM is only noted in `signal`, and said through `tell`; a second one raises
    KeyboardInterrupt, so that all stops at once.

    The training looks at `signal` between two updates, where it can save. Outside the main thread, where Python
    allows no handlers, nothing is noted.

    Args: looks_twice: the second one is noted too, in `at_once`, for who must not be torn from what it is at; the third
        one raises.
    """

    def __init__(self, tell: Callable[[str], None], *, looks_twice: bool = False) -> None:
        self.signal: signal.Signals | None = None
        self.at_once = False
        self._tell, self._looks_twice = tell, looks_twice
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            if self.at_once or not self._looks_twice:
                raise KeyboardInterrupt
            self.at_once = True
            return
        self.signal = signal.Signals(number)
        words = f"{self.signal.name}: saving and stopping at the end of this step; once more to stop at once"
        try:
            self._tell(words)
        except (RuntimeError, ValueError, OSError, SystemExit):
            # In the middle of a write to the same stream, or nobody reads it any more, for which rich exits.
            with contextlib.suppress(OSError):
                os.write(STANDARD_ERROR, f"{words}\n".encode())


class Clock:
    """Seconds since it was made, and those of them that were training: all but the paused ones."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._paused = 0.0
        self._paused_at: float | None = None
        self.before = 0.0  # training seconds of the run before it was resumed

    @property
    def wall_seconds(self) -> float:
        return time.perf_counter() - self._start

    @property
    def training_seconds(self) -> float:
        now = time.perf_counter() if self._paused_at is None else self._paused_at
        return self.before + now - self._start - self._paused

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        self._paused_at = time.perf_counter()
        try:
            yield
        finally:
            self._paused += time.perf_counter() - self._paused_at
            self._paused_at = None
