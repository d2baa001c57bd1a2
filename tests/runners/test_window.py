"""The window does what its keys say, paused or not, and never waits for longer than it was told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from keel.runners.window import BAR_PIXELS, FASTEST, Window, Wish, paint_frame


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with Window("a world") as opened:
        yield opened


def press(*keys: str) -> None:
    import pygame

    for key in keys:
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=getattr(pygame, f"K_{key}")))


class Clock:
    """Time that passes by sleeping alone, in place of the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 1e-4)  # looking at the keyboard takes time too


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("keel.runners.window.time", clock)
    return clock


def frame() -> Any:
    return np.full((30, 40, 3), 200, np.uint8)


class Painted:
    """Notes with which overlay and in what size it was painted."""

    def __init__(self) -> None:
        self.calls: list[tuple[tuple[int, int], bool]] = []

    def __call__(self, surface: Any, with_overlay: bool) -> None:
        self.calls.append((surface.get_size(), with_overlay))


def present(window: Window, paint: Any = lambda surface, with_overlay: None, seconds: float = 0.0) -> Wish:
    return window.present(paint, (640, 480), "episode 1", seconds)


def test_the_window_shows_frame_and_line(window: Window) -> None:
    import pygame

    assert window.show(frame(), "episode 1    step 5", 0.0)
    surface = pygame.display.get_surface()
    assert surface is not None
    assert surface.get_at((surface.get_width() // 2, 10))[:3] == (200, 200, 200)
    assert surface.get_width() >= 400  # a frame of 40 pixels is enlarged
    assert pygame.display.get_caption()[0] == "a world   episode 1    step 5"


@pytest.mark.parametrize("key", ["ESCAPE", "q"])
def test_the_window_is_left_by_a_key(window: Window, key: str) -> None:
    window.show(frame(), "", 0.0)
    press(key)
    assert not window.show(frame(), "", 10.0)


def test_the_window_is_left_by_its_button_also_while_paused(window: Window) -> None:
    import pygame

    window.show(frame(), "", 0.0)
    press("SPACE")
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    assert not window.show(frame(), "", 0.0)


def test_right_arrow_shows_one_step_and_stays_paused(window: Window) -> None:
    window.show(frame(), "", 0.0)
    press("RIGHT")
    assert window.show(frame(), "", 10.0)  # at once, not after 10 seconds
    press("ESCAPE")
    assert not window.show(frame(), "", 0.0)  # paused: a frame without duration still waits for a key


def test_space_pauses_and_goes_on(window: Window) -> None:
    window.show(frame(), "", 0.0)
    press("SPACE")
    press("SPACE")
    assert window.show(frame(), "", 0.0)


def test_plus_and_minus_change_the_speed(window: Window, clock: Clock) -> None:
    window.show(frame(), "", 0.0)
    press(*["PLUS"] * 10)
    start = clock.now
    window.show(frame(), "", 6.4)  # 64 times as fast at most
    assert clock.now - start == pytest.approx(0.1, abs=0.01)
    press(*["MINUS"] * 7)
    start = clock.now
    window.show(frame(), "", 0.1)  # half as fast as normal
    assert clock.now - start == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("key", ["RIGHT", "PERIOD"])
def test_a_step_at_a_time(window: Window, key: str) -> None:
    press("SPACE", key)
    assert present(window, seconds=10.0) is Wish.GO_ON
    press(key)
    assert present(window, seconds=10.0) is Wish.GO_ON


@pytest.mark.parametrize(
    ("key", "wish"), [("n", Wish.NEXT), ("r", Wish.RESTART), ("q", Wish.QUIT), ("ESCAPE", Wish.QUIT)]
)
@pytest.mark.parametrize("paused", [False, True])
def test_wishes_are_told_at_once(window: Window, key: str, wish: Wish, paused: bool) -> None:
    press(*(["SPACE"] if paused else []), key)
    start = time.perf_counter()
    assert present(window, seconds=10.0) is wish
    assert time.perf_counter() - start < 2


def test_a_wish_is_told_once(window: Window) -> None:
    press("n")
    assert present(window) is Wish.NEXT
    assert present(window) is Wish.GO_ON


def test_single_frames_know_no_episodes(window: Window) -> None:
    press("n", "r", "o")
    assert window.show(frame(), "", 0.05)
    assert window.overlay


def test_the_overlay_is_switched_while_paused(window: Window) -> None:
    paint = Painted()
    press("SPACE", "o", "RIGHT")
    present(window, paint, seconds=10.0)
    assert paint.calls == [((640, 480), True), ((640, 480), False)]
    press("o", "RIGHT")
    present(window, paint, seconds=10.0)
    assert [shown for _, shown in paint.calls[2:]] == [False, True]


def test_help_comes_and_goes(window: Window) -> None:
    import pygame

    def bar() -> Any:
        surface = pygame.display.get_surface()
        assert surface is not None
        width, height = surface.get_size()
        whole = np.frombuffer(pygame.image.tobytes(surface, "RGB"), np.uint8).reshape(height, width, 3)
        return whole[height - BAR_PIXELS :].copy()

    present(window)
    with_help = bar()
    press("h")
    present(window, seconds=0.02)
    without = bar()
    press("h")
    present(window, seconds=0.02)
    assert np.any(with_help != without)
    assert np.array_equal(bar(), with_help)


def test_the_speed_has_limits_and_pictures_are_left_out_beyond_what_eyes_see(window: Window, clock: Clock) -> None:
    press(*["PLUS"] * 20)
    present(window)
    assert window.speed == FASTEST
    paint, start = Painted(), clock.now
    for _ in range(640):
        present(window, paint, seconds=0.1)  # 1/640 second each
    assert clock.now - start == pytest.approx(1.0, abs=0.07)
    assert 50 <= len(paint.calls) <= 81


def test_drawing_takes_a_part_of_the_time(window: Window, clock: Clock) -> None:
    start = clock.now
    for _ in range(5):
        present(window, lambda surface, with_overlay: clock.sleep(0.03), seconds=0.06)
    assert clock.now - start == pytest.approx(0.3, abs=0.01)  # not 0.45: a picture is seen while the next is drawn


def test_a_course_keeps_its_speed_where_drawing_is_slow(window: Window, clock: Clock) -> None:
    drawn: list[float] = []

    def paint(surface: Any, with_overlay: bool) -> None:
        clock.sleep(0.06)
        drawn.append(clock.now)

    start = clock.now
    for _ in range(100):
        present(window, paint, seconds=0.02)
    assert clock.now - start == pytest.approx(2.0, abs=0.1)
    assert len(drawn) >= 10
    assert np.diff(drawn).max() <= 0.2


def test_after_a_pause_nothing_is_made_up_for(window: Window, clock: Clock) -> None:
    present(window, seconds=0.1)
    clock.now += 60.0  # someone else's work
    start = clock.now
    present(window, seconds=0.1)
    assert clock.now - start == pytest.approx(0.1, abs=0.01)


def test_a_picture_larger_than_the_screen_is_made_smaller(window: Window) -> None:
    import pygame

    window.present(lambda surface, with_overlay: None, (30_000, 10_000), "", 0.0)
    surface, desktop = pygame.display.get_surface(), pygame.display.get_desktop_sizes()[0]
    assert surface is not None
    assert surface.get_width() <= desktop[0]
    assert surface.get_height() <= desktop[1]


def test_frames_keep_their_proportions() -> None:
    import pygame

    surface = pygame.Surface((300, 100), depth=32)
    paint_frame(surface, np.full((50, 60, 3), 255, np.uint8))  # 120 wide where it is 100 high
    lit = np.frombuffer(pygame.image.tobytes(surface, "RGB"), np.uint8).reshape(100, 300, 3)[50, :, 0] > 0
    assert np.flatnonzero(lit)[[0, -1]].tolist() == [90, 209]
