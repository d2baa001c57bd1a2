"""The type of all pictures that pygame draws, the same on every machine. Needs pygame."""

from __future__ import annotations

import importlib.util
from functools import cache, lru_cache
from pathlib import Path

import pygame

FONT = "mpl-data/fonts/ttf/DejaVuSans.ttf"  # comes with matplotlib
DEFAULT_FONT_SCALE = 1.4  # pygame's own font is drawn smaller than its size says


@cache
def font(size: int) -> pygame.font.Font:
    """The font in a size of pixels, made once."""
    pygame.font.init()
    # Another world that is closed may quit pygame, and fonts do not survive that.
    pygame.register_quit(font.cache_clear)
    matplotlib = importlib.util.find_spec("matplotlib")
    path = Path(matplotlib.origin).parent / FONT if matplotlib and matplotlib.origin else None
    if path is None or not path.exists():
        return pygame.font.Font(None, round(DEFAULT_FONT_SCALE * size))
    return pygame.font.Font(path, size)


@lru_cache(4096)
def rendered(words: str, size: int, colour: tuple[int, int, int]) -> pygame.Surface:
    """Words as a picture; most of them come again in the next frame."""
    return font(size).render(words, True, colour)


@lru_cache(1024)
def fitted(words: str, size: int, width: int) -> str:
    """The words, or as much of their beginning as is `width` pixels wide."""
    if font(size).size(words)[0] <= width:
        return words
    while words and font(size).size(words + "…")[0] > width:
        words = words[:-1]
    return words.rstrip() + "…"
