"""A moment as a picture: the frame, and the overlay's panel beside it. Needs pygame."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pygame

from keel.envs.cooling.panel_paint import BACKGROUND
from keel.envs.protocol import Array
from keel.runners.watch.panel import LEAST_HEIGHT, PANEL_WIDTH, paint_panel
from keel.runners.watch.rows import Overlay
from keel.runners.window import enlarged, paint_frame

if TYPE_CHECKING:
    from keel.runners.watch.moment import Moment


def picture_size(frame: Array, with_overlay: bool) -> tuple[int, int]:
    """Width and height of a picture in which every pixel of the frame is seen; even numbers, as films need."""
    width, height = enlarged(frame)
    if with_overlay:
        width, height = width + PANEL_WIDTH, max(height, LEAST_HEIGHT)
    return width + width % 2, height + height % 2


def paint_moment(surface: pygame.Surface, moment: Moment, overlay: Overlay | None) -> None:
    """All of the surface, of any size."""
    surface.fill(BACKGROUND)
    width, height = surface.get_size()
    if overlay is None or width < 2 * PANEL_WIDTH:
        paint_frame(surface, moment.frame)
        return
    paint_frame(surface.subsurface((0, 0, width - PANEL_WIDTH, height)), moment.frame)
    paint_panel(surface.subsurface((width - PANEL_WIDTH, 0, PANEL_WIDTH, height)), overlay, moment)


def moment_picture(moment: Moment, overlay: Overlay) -> Array:
    """[H W 3] uint8."""
    return painted(
        lambda surface: paint_moment(surface, moment, overlay), picture_size(moment.frame, with_overlay=True)
    )


def painted(paint: Callable[[pygame.Surface], None], size: tuple[int, int]) -> Array:
    """What is painted on a surface of this width and height, as [H W 3] uint8."""
    surface = pygame.Surface(size, depth=32)
    paint(surface)
    return np.frombuffer(pygame.image.tobytes(surface, "RGB"), np.uint8).reshape(size[1], size[0], 3)
