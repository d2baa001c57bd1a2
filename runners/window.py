"""A window that shows pictures at a speed the person chooses, and hears what they wish."""

from __future__ import annotations

import enum
import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np

from keel.envs.errors import KeelError
from keel.envs.protocol import Array

if TYPE_CHECKING:
    import pygame

BAR_PIXELS = 52
GROUND, TEXT, FAINT = (9, 14, 20), (231, 238, 245), (124, 142, 160)  # as the panel of the data centre
HELP = "space pause   → step   + − speed   q quit"
LONG_HELP = "space pause   → step   + − speed   n next   r restart   o overlay   h help   q quit"
SLOWEST, FASTEST = 1 / 16, 64.0
SMALLEST_SIDE_PIXELS = 400  # smaller frames, such as Atari's, are enlarged by a whole number
PICTURES_SECONDS = 0.0125  # between two pictures at least: a faster course leaves some out,
LATE_PICTURES_SECONDS = 0.1  # and so does one that drawing would slow down
MOST_LAG_SECONDS = 0.25  # that is made up for
PAUSED_SECONDS = 0.01  # between two looks at the keyboard


_WITHOUT_SCREEN = ("dummy", "offscreen")


class Wish(enum.Enum):
    """What the person wants after a picture."""

    GO_ON = "go on"
    NEXT = "the next episode"
    RESTART = "this episode once more"
    QUIT = "quit"


# Paints all of a surface of any size; told whether the overlay is switched on.
Paint: TypeAlias = "Callable[[pygame.Surface, bool], None]"


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
    """Pictures above a line of text.

    Space pauses, the right arrow or . shows one step, + and - change the speed, q or escape quits; where episodes are
    watched n goes to the next one, r begins this one again, o switches the overlay and h the line of help. Keys work
    while it is paused.

    Attributes: speed: times normal, from 1/16 to 64. overlay: whether it is switched on.

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
        self._screen: Any = None
        self.speed = 1.0
        self.overlay = True
        self._help = True
        self._paused = False
        self._single_step = False
        self._wish = Wish.GO_ON
        self._due = self._drawn_at = 0.0  # when the next picture should come, and when the last one came

    def show(self, frame: Array, line: str, seconds: float) -> bool:
        """Show a frame for `seconds` at normal speed, or as long as the person pauses; False once it was closed.

        Args:
            frame: [H W 3] uint8. line: what to write below it.
        """

        def paint(surface: pygame.Surface, _: bool) -> None:
            surface.fill(GROUND)
            paint_frame(surface, frame)

        return self._show(paint, enlarged(frame), line, seconds, HELP) is not Wish.QUIT

    def present(self, paint: Paint, size: tuple[int, int], line: str, seconds: float) -> Wish:
        """Show a picture that is painted in whatever size the window has; returns what the person wants then.

        Args:
            paint: called again when anything changes. size: of the picture, at first.
            line: what to write below it. seconds: at normal speed.
        """
        return self._show(paint, size, line, seconds, LONG_HELP)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pygame.display.quit()  # not pygame.quit(): the world may still draw with its fonts

    def _show(self, paint: Paint, size: tuple[int, int], line: str, seconds: float, help_: str) -> Wish:
        if self._screen is None:
            self._open(size)
        self._wish = Wish.GO_ON
        now = time.perf_counter()
        on_time = not self._paused and 0 <= now - self._due <= MOST_LAG_SECONDS
        begins = self._due if on_time else now  # drawing and acting take a part of the time, not more of it
        behind = now - begins > seconds / self.speed
        if self._paused or now - self._drawn_at >= (LATE_PICTURES_SECONDS if behind else PICTURES_SECONDS):
            self._draw(paint, line, help_)
        while self._wish is Wish.GO_ON:
            events = self._pygame.event.get()
            for event in events:
                self._handle(event, episodes=help_ == LONG_HELP)
            if events:
                self._draw(paint, line, help_)
            self._due = begins + seconds / self.speed
            remaining = self._due - time.perf_counter()
            if self._single_step or (not self._paused and remaining <= 0):
                break
            time.sleep(PAUSED_SECONDS if self._paused else max(0.0, min(0.01, remaining)))
        self._single_step = False
        return self._wish

    def _open(self, size: tuple[int, int]) -> None:
        width, height = size
        desktop_width, desktop_height = self._pygame.display.get_desktop_sizes()[0]
        scale = min(1.0, 0.9 * desktop_width / width, (0.9 * desktop_height - BAR_PIXELS) / height)
        size = (round(width * scale), round(height * scale) + BAR_PIXELS)
        self._screen = self._pygame.display.set_mode(size, self._pygame.RESIZABLE)

    def _handle(self, event: pygame.event.Event, *, episodes: bool) -> None:
        pygame = self._pygame
        if event.type == pygame.QUIT:
            self._wish = Wish.QUIT
        if event.type != pygame.KEYDOWN:
            return
        match event.key:
            case pygame.K_ESCAPE | pygame.K_q:
                self._wish = Wish.QUIT
            case pygame.K_SPACE:
                self._paused = not self._paused
            case pygame.K_RIGHT | pygame.K_PERIOD:
                self._paused = self._single_step = True
            case pygame.K_PLUS | pygame.K_EQUALS | pygame.K_KP_PLUS:
                self.speed = min(FASTEST, self.speed * 2)
            case pygame.K_MINUS | pygame.K_KP_MINUS:
                self.speed = max(SLOWEST, self.speed / 2)
            case pygame.K_h:
                self._help = not self._help
            case pygame.K_n if episodes:
                self._wish = Wish.NEXT
            case pygame.K_r if episodes:
                self._wish = Wish.RESTART
            case pygame.K_o if episodes:
                self.overlay = not self.overlay

    def _draw(self, paint: Paint, line: str, help_: str) -> None:
        pygame = self._pygame
        width, height = self._screen.get_size()
        paint(self._screen.subsurface((0, 0, width, max(1, height - BAR_PIXELS))), self.overlay)
        self._draw_bar(line, help_)
        pygame.display.set_caption(f"{self._title}   {line}")
        pygame.display.flip()
        self._drawn_at = time.perf_counter()

    def _draw_bar(self, line: str, help_: str) -> None:
        from keel.envs.fonts import fitted, rendered

        width, height = self._screen.get_size()
        top = height - BAR_PIXELS
        self._screen.fill(GROUND, (0, top, width, BAR_PIXELS))
        state = "paused" if self._paused else f"speed × {self.speed:g}"
        line_top = top + (7 if self._help else 16)
        self._screen.blit(rendered(fitted(f"{line}    {state}", 14, width - 24), 14, TEXT), (12, line_top))
        if self._help:
            self._screen.blit(rendered(fitted(help_, 12, width - 24), 12, FAINT), (12, top + 29))


def enlarged(frame: Array) -> tuple[int, int]:
    """Width and height of a frame [H W 3] when small ones, such as Atari's, are enlarged by a whole number."""
    height, width = frame.shape[:2]
    scale = max(1, -(-SMALLEST_SIDE_PIXELS // min(height, width)))
    return width * scale, height * scale


def paint_frame(surface: pygame.Surface, frame: Array) -> None:
    """A frame [H W 3] uint8 as large as fits into the middle of the surface, in its own proportions."""
    import pygame

    width, height = surface.get_size()
    picture = pygame.image.frombuffer(np.ascontiguousarray(frame).data, frame.shape[1::-1], "RGB")
    scale = min(width / frame.shape[1], height / frame.shape[0])
    size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    # Enlarged by whole numbers pixels stay sharp; any other scale needs smoothing.
    resize = pygame.transform.scale if scale == int(scale) else pygame.transform.smoothscale
    surface.blit(resize(picture, size), ((width - size[0]) // 2, (height - size[1]) // 2))
