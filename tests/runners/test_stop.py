from __future__ import annotations

import pytest

from keel.runners import stop
from keel.runners.stop import Clock


def test_pauses_are_no_training_while_they_last_and_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds of training, a pause of ten that is asked about in the middle, and three more of training."""
    now = 100.0
    monkeypatch.setattr(stop.time, "perf_counter", lambda: now)
    clock = Clock()
    clock.before = 50.0
    now += 2.0
    with clock.paused():
        now += 4.0
        assert (clock.training_seconds, clock.wall_seconds) == (52.0, 6.0)
        now += 6.0
    assert (clock.training_seconds, clock.wall_seconds) == (52.0, 12.0)
    now += 3.0
    assert (clock.training_seconds, clock.wall_seconds) == (55.0, 15.0)
