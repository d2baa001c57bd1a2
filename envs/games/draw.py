"""Pictures of the board games. Needs pygame, but no display."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pygame

from keel.envs.fonts import fitted, font
from keel.envs.games.draw_chess import draw_move, draw_piece, draw_threats
from keel.envs.games.draw_layout import Layout, cell_of, frame_size, layout, origin_of
from keel.envs.games.draw_pieces import (
    BLACK,
    INK,
    PAPER,
    WHITE,
    Look,
    is_light,
    look_of,
    mix,
    square,
    thickness,
)
from keel.envs.games.draw_wins import winning_cells
from keel.envs.games.game import Game
from keel.envs.protocol import Array

# The board is painted this many times larger and then made smaller, which smooths every edge. With a power of two
# pygame rounds no colour.
FINER = 4
LAST_TINT, WIN_TINT, WIN_EDGE = (186, 212, 234), (196, 234, 212), (28, 112, 76)


def draw_board(
    surface: pygame.Surface,
    game: Game,
    board: Array,
    *,
    last: int | None = None,
    origin: int | None = None,
    marks: Iterable[int] = (),
    title: str = "",
) -> None:
    """Paint the whole surface, of any size: the board with its coordinates, and a line of text below it.

    Whoever has won is seen from the board itself: their line, chain or pawn is marked.

    Args:
        board: [H W] as people see it, 1 for the first player's pieces, -1 for the second's; see `Game.board`. In chess
            a king that is attacked, or mated, is marked.
        last: the cell of the last move, row by row from the top left. origin: the cell from which it came, where pieces
            move (`draw_layout.origin_of`). marks: cells that get a hint, as legal moves do.
        title: who is to move or has won, for instance; what does not fit is cut off.
    """
    width, height = surface.get_size()
    canvas = pygame.Surface((FINER * width, FINER * height), depth=32)
    look, at = look_of(game.name), layout(game, canvas.get_size())
    won = winning_cells(game, board)
    canvas.fill(PAPER)
    look.board(canvas, at)
    moved = [cell for cell in (origin, last) if cell is not None]
    if look.kinds:
        draw_move(canvas, at, moved)
        draw_threats(canvas, at, board, last)
    elif look.tinted:
        _tint(canvas, at, moved, won)
    _hint(canvas, at, look, board, marks)
    for cell in np.flatnonzero(board).tolist():
        centre, number = at.centre_of(cell), int(board.flat[cell])
        if look.kinds:
            draw_piece(canvas, at, centre, number)
        else:
            look.piece(canvas, at, centre, look.colours[0 if number == 1 else 1])
    if not look.tinted:
        _ring(canvas, at, look, board, last, won)
    surface.blit(pygame.transform.smoothscale(canvas, (width, height)), (0, 0))
    _write(surface, layout(game, (width, height)), title)


def picture(
    game: Game, state: Array, player: int, *, legal: Array | None, last: tuple[int, int] | None, title: str
) -> Array:
    """The state [S] of a game that is watched, [H W 3] uint8 of the size `frame_size(game)`.

    Args:
        player: who is to move, 0 or 1. legal: what they may do, [A] bool; None if the game has ended.
        last: the last action and who made it.
    """
    surface = pygame.Surface(frame_size(game), depth=32)
    board = game.board(state, player)
    marks = [] if legal is None or not look_of(game.name).hinted else np.flatnonzero(legal).tolist()
    cells = [cell for action in marks if (cell := cell_of(game, action, player, board)) is not None]
    to = None if last is None else cell_of(game, *last, board)
    origin = None if last is None or not look_of(game.name).tinted else origin_of(game, *last)
    draw_board(surface, game, board, last=to, origin=origin, marks=cells, title=title)
    width, height = surface.get_size()
    return np.frombuffer(pygame.image.tobytes(surface, "RGB"), np.uint8).reshape(height, width, 3).copy()


def status(game: Game, *, player: int, agent: int, ended: bool, winner: int | None) -> str:
    """Who is to move or has won, and who the agent is, by their colours. Players are 0 and 1; no winner is a draw."""
    players = look_of(game.name).players
    if not ended:
        now = f"{players[player]} to move"
    else:
        now = "a draw" if winner is None else f"{players[winner]} has won"
    return f"{now}  ·  the agent is {players[agent]}"


def _hint(canvas: pygame.Surface, at: Layout, look: Look, board: Array, marks: Iterable[int]) -> None:
    """A dot in the middle of an empty cell, a ring around a piece that may be taken."""
    colour = mix(look.ground, BLACK, 0.6 if look.tinted else 0.4)
    for cell in marks:
        if board.flat[cell]:
            pygame.draw.circle(canvas, colour, at.centre_of(cell), 0.47 * at.pitch, thickness(at, 0.06))
        else:
            pygame.draw.circle(canvas, colour, at.centre_of(cell), 0.11 * at.pitch)


def _tint(canvas: pygame.Surface, at: Layout, moved: list[int], won: list[int]) -> None:
    for cells, colour in ((moved, LAST_TINT), (won, WIN_TINT)):
        for cell in cells:
            area = square(at, at.centre_of(cell), 0.92)
            pygame.draw.rect(canvas, colour, area, border_radius=round(0.06 * at.pitch))
    for cell in won:
        area = square(at, at.centre_of(cell), 0.92)
        pygame.draw.rect(canvas, WIN_EDGE, area, thickness(at, 0.04), border_radius=round(0.06 * at.pitch))


def _ring(canvas: pygame.Surface, at: Layout, look: Look, board: Array, last: int | None, won: list[int]) -> None:
    """A white ring with a dark edge around each winner, and a small one within the last stone."""
    for cell in won:
        centre, radius = at.centre_of(cell), look.radius * at.pitch
        pygame.draw.circle(canvas, INK, centre, radius + 0.03 * at.pitch, thickness(at, 0.13))
        pygame.draw.circle(canvas, WHITE, centre, radius, thickness(at, 0.07))
    if last is not None:
        colour = INK if is_light(look.colours[0 if board.flat[last] == 1 else 1]) else WHITE
        pygame.draw.circle(canvas, colour, at.centre_of(last), 0.17 * at.pitch, thickness(at, 0.05))


def _write(surface: pygame.Surface, at: Layout, title: str) -> None:
    """Coordinates and title, at their own size: letters are smooth already."""
    size = max(8, round(min(0.4 * at.margin, 0.5 * at.pitch)))
    soft = mix(PAPER, INK, 0.7)
    for words, middle in at.labels():
        _centred(surface, font(size).render(words, True, soft), middle)
    size = max(9, round(0.36 * at.footer))
    _centred(surface, font(size).render(fitted(title, size, surface.get_width() - size), True, INK), at.title())


def _centred(surface: pygame.Surface, image: pygame.Surface, middle: tuple[float, float]) -> None:
    surface.blit(image, (round(middle[0] - image.get_width() / 2), round(middle[1] - image.get_height() / 2)))
