"""How chess looks beyond its board: the pieces, as python-chess ships them, and a king that is attacked. Needs pygame."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import pygame

from keel.envs.games.draw_layout import Layout, Point
from keel.envs.games.draw_pieces import square, thickness
from keel.envs.games.text import CHESS_LETTERS
from keel.envs.protocol import Array

PIECE = 0.94  # side of a piece's picture, in distances between two cells
DRAWING = 45  # side of python-chess's drawings, in their own unit
PAWN = 1
MOVED, MOVED_SHARE = (206, 202, 74), 0.6
CHECK, MATE, MATE_EDGE = (224, 70, 48), (214, 62, 48), (128, 16, 20)
RINGS = 24  # of the glow below a king in check


@lru_cache(64)
def piece_picture(kind: int, side: int) -> pygame.Surface:
    """Of a piece as `Game.board` numbers them, so many pixels wide and high, with a clear ground."""
    import chess.svg

    letter = CHESS_LETTERS[abs(kind)]
    shape = chess.svg.PIECES[letter if kind > 0 else letter.lower()]
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {DRAWING} {DRAWING}">{shape}</svg>'
    return pygame.image.load_sized_svg(io.BytesIO(svg.encode()), (side, side))


def draw_piece(canvas: pygame.Surface, at: Layout, centre: Point, kind: int) -> None:
    picture = piece_picture(kind, round(PIECE * at.pitch))
    canvas.blit(picture, picture.get_rect(center=(round(centre[0]), round(centre[1]))))


def draw_move(canvas: pygame.Surface, at: Layout, cells: list[int]) -> None:
    """Both ends of the last move: whole squares, whose own colour still shines through."""
    for cell in cells:
        box = square(at, at.centre_of(cell))
        tint = pygame.Surface(box.size)
        tint.fill(MOVED)
        tint.set_alpha(round(255 * MOVED_SHARE))
        canvas.blit(tint, box)


def draw_threats(canvas: pygame.Surface, at: Layout, board: Array, last: int | None) -> None:
    """A red glow below a king that is in check; its whole square where it is mate. Pieces are drawn above it."""
    for cell, mated in attacked_kings(board, last):
        box = square(at, at.centre_of(cell))
        if mated:
            pygame.draw.rect(canvas, MATE, box)
            pygame.draw.rect(canvas, MATE_EDGE, box, thickness(at, 0.07))
            continue
        glow = pygame.Surface(box.size, pygame.SRCALPHA)
        for ring in range(RINGS):
            share = ring / RINGS
            pygame.draw.circle(
                glow,
                (*CHECK, round(255 * min(1.0, 1.5 * share))),
                glow.get_rect().center,
                (1.1 - 0.7 * share) * at.pitch / 2,
            )
        canvas.blit(glow, box)


def attacked_kings(board: Array, last: int | None) -> list[tuple[int, bool]]:
    """The cell of every king that is attacked, and whether that is mate.

    Args:
        board: [8 8], see `ChessGame.board`. last: the cell of the last move. If that moved a pawn which may have come
            two rows, it is taken for one that can be taken in passing, which can save a king.
    """
    position = board_of_kinds(board)
    found = []
    for colour in (True, False):
        king = position.king(colour)
        position.turn = colour
        if king is None or not position.is_check():
            continue
        position.ep_square = None if last is None else passed_square(board, last)
        found.append((king ^ 56, position.is_checkmate()))
    return found


def board_of_kinds(board: Array) -> Any:
    """A chess.Board with these pieces, nobody of which may castle: out of check nobody may anyway."""
    import chess

    position = chess.Board(None)
    for cell, kind in enumerate(board.ravel().tolist()):
        if kind:
            position.set_piece_at(cell ^ 56, chess.Piece(abs(kind), kind > 0))
    return position


def passed_square(board: Array, last: int) -> int | None:
    """The square, as python-chess counts, that the pawn on cell `last` may have passed over with a step of two."""
    kind, row = int(board.flat[last]), last // 8
    if (kind, row) not in ((PAWN, 4), (-PAWN, 3)):
        return None
    passed, start = last + 8 * kind, last + 16 * kind
    return passed ^ 56 if board.flat[passed] == board.flat[start] == 0 else None
