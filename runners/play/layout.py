"""Where everything of the window is in which one plays: the board, and the panel beside it. In pixels."""

from __future__ import annotations

from typing import NamedTuple

import pygame

from keel.envs.games.draw_layout import layout
from keel.envs.games.game import Game

GAP = 12
SMALLEST_PANEL, LARGEST_PANEL = 280, 430
PANEL_SHARE = 0.345  # of the window's width
HEADER, PLAYERS, CHANCE, LINE = 54, 54, 46, 46  # heights
ROW = 24  # of a candidate
BUTTON = 32
SMALL_GRAPH, LARGE_GRAPH = 70, 150
SMALLEST = 0.83  # share of the heights that is left in a low window
STATUS_HEIGHTS, WIDEST_STATUS = (26, 46), 520  # below the board

# What a click on a button does, with the key that does the same.
KEYS = {"new": "n", "undo": "u", "swap": "s", "hint": "h", "thinking": "t", "pass": "p", "quit": "esc"}


class Places(NamedTuple):
    """The parts of the window."""

    board: pygame.Rect
    status: pygame.Rect  # below the board: whose turn it is, or how the game has ended
    panel: pygame.Rect
    header: pygame.Rect
    players: tuple[pygame.Rect, pygame.Rect]  # the person and the agent
    chance: pygame.Rect
    rows: pygame.Rect  # of the candidates, with their heading
    line: pygame.Rect
    graph: pygame.Rect
    buttons: dict[str, pygame.Rect]

    @property
    def record(self) -> pygame.Rect:
        """Where the moves are listed while the thinking is hidden."""
        return self.chance.union(self.graph)

    def candidate(self, index: int) -> pygame.Rect:
        """The row of a candidate."""
        return pygame.Rect(self.rows.left, self.rows.top + ROW * (index + 1), self.rows.width, ROW)

    @property
    def candidates(self) -> int:
        """How many rows there are."""
        return max(0, self.rows.height // ROW - 1)


def arrange(game: Game, size: tuple[int, int], levels: int, can_pass: bool) -> Places:
    """Places in a window of this width and height.

    Args: levels: how many there are to choose from. can_pass: whether there is a button for it.
    """
    width, height = size
    across = round(min(LARGEST_PANEL, max(SMALLEST_PANEL, PANEL_SHARE * width), 0.6 * width))
    panel = pygame.Rect(width - across, 0, across, height)
    board = pygame.Rect(0, 0, max(8, width - across), max(8, height))
    status = _status(game, board)
    small = max(SMALLEST, min(1.0, height / 720))  # what gives way in a low window
    inner = panel.inflate(-2 * GAP - 8, -2 * GAP * small**2)
    header = pygame.Rect(inner.left, inner.top, inner.width, round(small * HEADER))
    players = _columns(pygame.Rect(inner.left, header.bottom + 4, inner.width, round(small * PLAYERS)), 2, 8)
    buttons = _buttons(inner, levels, can_pass, round(small * BUTTON))
    first = min(button.top for button in buttons.values())
    chance = pygame.Rect(inner.left, players[0].bottom + round(small**2 * GAP), inner.width, CHANCE)
    room = first - GAP - chance.bottom
    graph_height = min(LARGE_GRAPH, max(SMALL_GRAPH, round(0.3 * room)))
    graph = pygame.Rect(inner.left, first - GAP - graph_height, inner.width, graph_height)
    line = pygame.Rect(inner.left, graph.top - 8 - LINE, inner.width, LINE)
    rows = pygame.Rect(inner.left, chance.bottom + 8, inner.width, max(0, line.top - 6 - chance.bottom - 8))
    return Places(board, status, panel, header, (players[0], players[1]), chance, rows, line, graph, buttons)


def _status(game: Game, board: pygame.Rect) -> pygame.Rect:
    """Where the drawn board would have its title."""
    at = layout(game, board.size)
    least, most = STATUS_HEIGHTS
    status = pygame.Rect(0, 0, min(board.width - 16, WIDEST_STATUS), round(max(least, min(most, 0.85 * at.footer))))
    status.center = round(at.title()[0]), round(at.title()[1])
    return status


def _buttons(inner: pygame.Rect, levels: int, can_pass: bool, height: int) -> dict[str, pygame.Rect]:
    """Three lines of them at the bottom."""
    last = ["thinking", "pass", "quit"] if can_pass else ["thinking", "quit"]
    lines = (["new", "undo", "swap", "hint"], [f"level {index + 1}" for index in range(levels)], last)
    top = inner.bottom - len(lines) * height - (len(lines) - 1) * 6
    places: dict[str, pygame.Rect] = {}
    for index, names in enumerate(lines):
        line = pygame.Rect(inner.left, top + index * (height + 6), inner.width, height)
        places |= zip(names, _columns(line, len(names), 6), strict=True)
    return places


def _columns(box: pygame.Rect, count: int, gap: int) -> list[pygame.Rect]:
    """So many boxes of the same width beside each other."""
    edges = [round(box.left + index * (box.width + gap) / count) for index in range(count + 1)]
    return [pygame.Rect(edges[i], box.top, edges[i + 1] - gap - edges[i], box.height) for i in range(count)]
