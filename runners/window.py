"""A window that shows frames at a speed the person chooses."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Any, Self

from keel.envs.errors import KeelError
from keel.envs.protocol import Array

BAR_PIXELS = 52
BAR, TEXT, FAINT = (18, 22, 27), (230, 234, 239), (140, 150, 162)
HELP = "space: pause    right arrow: one step    + and -: speed    escape: quit"
SLOWEST, FASTEST = 1 / 16, 64.0
SMALLEST_SIDE_PIXELS = 400  # smaller frames, such as Atari's, are enlarged by a whole number


_WITHOUT_SCREEN = ("dummy", "offscreen")


def has_display() -> bool:
    """Whether a window can be expected to open here."""
    if os.environ.get("SDL_VIDEODRIVER") in _WITHOUT_SCREEN:
        return False
    if sys.platform == "darwin":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_window(title: str) -> Window | None:
    """A window, or None where none can be opened; what was expected and failed is said on stderr."""
    if not has_display():
        return None
    try:
        return Window(title)
    except KeelError as error:  # a display that is named and yet not there, as after a broken remote session
        print(f"{error}; filming instead", file=sys.stderr)
        return None


class Window:
    """Frames above a line of text. Space pauses, the right arrow shows one step, + and - change the speed, escape quits.

    Raises:
        KeelError: if no window can be opened.
    """

    def __init__(self, title: str) -> None:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # it would print to stdout, where --json writes
        import pygame

        self._pygame = pygame
        try:
            pygame.display.init()
            pygame.font.init()
        except pygame.error as error:
            raise KeelError(f"no window can be opened: {error}") from None
        # SDL turns to a driver without a screen when the display that DISPLAY names does not answer.
        driver = pygame.display.get_driver()
        if driver in _WITHOUT_SCREEN and os.environ.get("SDL_VIDEODRIVER") != driver:
            pygame.display.quit()
            raise KeelError("no window can be opened: the display does not answer")
        pygame.key.set_repeat(350, 60)
        self._title = title
        self._font, self._small_font = pygame.font.Font(None, 22), pygame.font.Font(None, 18)
        self._screen: Any = None
        self._speed = 1.0
        self._paused = False
        self._single_step = False
        self._closed = False
        self._shown_at = 0.0

    def show(self, frame: Array, line: str, seconds: float) -> bool:
        """Show a frame for `seconds` at normal speed, or as long as the person pauses; False once it was closed.

        Args:
            frame: [H W 3] uint8. line: what to write below it.
        """
        if self._screen is None:
            self._open(frame)
        self._draw(frame, line)
        self._shown_at = time.perf_counter()
        while not self._closed:
            events = self._pygame.event.get()
            for event in events:
                self._handle(event)
            if events:
                self._draw(frame, line)
            if self._single_step or (not self._paused and self._remaining(seconds) <= 0):
                break
            time.sleep(0.01 if self._paused else max(0.0, min(0.01, self._remaining(seconds))))
        self._single_step = False
        return not self._closed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pygame.display.quit()  # not pygame.quit(): the world may still draw with its fonts

    def _remaining(self, seconds: float) -> float:
        return self._shown_at + seconds / self._speed - time.perf_counter()

    def _open(self, frame: Array) -> None:
        height, width = frame.shape[:2]
        scale: float = max(1, -(-SMALLEST_SIDE_PIXELS // min(height, width)))
        desktop_width, desktop_height = self._pygame.display.get_desktop_sizes()[0]
        scale = min(scale, 0.9 * desktop_width / width, (0.9 * desktop_height - BAR_PIXELS) / height)
        size = (round(width * scale), round(height * scale) + BAR_PIXELS)
        self._screen = self._pygame.display.set_mode(size, self._pygame.RESIZABLE)

    def _handle(self, event: Any) -> None:
        pygame = self._pygame
        if event.type == pygame.QUIT:
            self._closed = True
        if event.type != pygame.KEYDOWN:
            return
        if event.key in (pygame.K_ESCAPE, pygame.K_q):
            self._closed = True
        elif event.key == pygame.K_SPACE:
            self._paused = not self._paused
        elif event.key == pygame.K_RIGHT:
            self._paused = self._single_step = True
        elif event.key in (pygame.K_PLUS, pygame.K_EQUALS, pygame.K_KP_PLUS):
            self._speed = min(FASTEST, self._speed * 2)
        elif event.key in (pygame.K_MINUS, pygame.K_KP_MINUS):
            self._speed = max(SLOWEST, self._speed / 2)

    def _draw(self, frame: Array, line: str) -> None:
        """The frame as large as fits above the bar, in its own proportions."""
        pygame = self._pygame
        width, height = self._screen.get_size()
        picture = pygame.image.frombuffer(frame.tobytes(), frame.shape[1::-1], "RGB")
        scale = min(width / frame.shape[1], (height - BAR_PIXELS) / frame.shape[0])
        size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
        # Enlarged by whole numbers pixels stay sharp; any other scale needs smoothing.
        resize = pygame.transform.scale if scale == int(scale) else pygame.transform.smoothscale
        self._screen.fill(BAR)
        self._screen.blit(resize(picture, size), ((width - size[0]) // 2, (height - BAR_PIXELS - size[1]) // 2))
        self._draw_bar(line, height)
        pygame.display.set_caption(f"{self._title}   {line}")
        pygame.display.flip()

    def _draw_bar(self, line: str, height: int) -> None:
        state = "paused" if self._paused else f"speed ×{self._speed:g}"
        self._screen.blit(self._font.render(f"{line}    {state}", True, TEXT), (12, height - BAR_PIXELS + 9))
        self._screen.blit(self._small_font.render(HELP, True, FAINT), (12, height - BAR_PIXELS + 30))
