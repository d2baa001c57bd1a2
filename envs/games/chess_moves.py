"""Moves of chess as numbers: the 73 planes of AlphaZero over the square that a piece leaves, seen by who moves.

Squares count from 0 (a1) to 63 (h8), row by row from the bottom, as in python-chess, which this file does not need. Who
moves is seen as white: black's board is mirrored, so that rank 8 is their rank 1; columns stay.
"""

from __future__ import annotations

MIRROR = 56  # square ^ MIRROR is the same square from the other side, and also the cell, which counts from the top
PLANES = 73
ACTIONS = 64 * PLANES
KNIGHT, BISHOP, ROOK, QUEEN = 2, 3, 4, 5  # as python-chess numbers pieces

# Steps (columns to the right, rows up): eight directions clockwise from straight up, then the jumps of a knight.
DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
JUMPS = ((1, 2), (2, 1), (2, -1), (1, -2), (-1, -2), (-2, -1), (-2, 1), (-1, 2))
FARTHEST = 7
UNDERPROMOTIONS = (KNIGHT, BISHOP, ROOK)


def plane_steps() -> list[tuple[int, int, int]]:
    """Of each plane: columns to the right, rows up, and the piece that a pawn becomes, 0 where nothing else is said.

    56 planes for the moves of a queen (direction x distance), 8 for a knight's, and 9 for what a pawn may become that
    is less than a queen (to the left, ahead, to the right x knight, bishop, rook).
    """
    far = [(right * steps, up * steps, 0) for right, up in DIRECTIONS for steps in range(1, FARTHEST + 1)]
    jumps = [(right, up, 0) for right, up in JUMPS]
    return far + jumps + [(right, 1, piece) for right in (-1, 0, 1) for piece in UNDERPROMOTIONS]


def all_moves() -> list[tuple[int, int, int] | None]:
    """Of each action 73 x cell + plane: square from, square to, and the piece that a pawn becomes or 0; None where the
    move leaves the board, or promotes elsewhere than on the row before the last. Cells count from the top left."""
    steps, moves = plane_steps(), []
    for cell in range(64):
        square = cell ^ MIRROR
        row, column = divmod(square, 8)
        for right, up, piece in steps:
            inside = 0 <= column + right < 8 and 0 <= row + up < 8 and (piece == 0 or row == 6)
            moves.append((square, square + 8 * up + right, piece) if inside else None)
    return moves


MOVES = all_moves()
ACTION_OF = {move: action for action, move in enumerate(MOVES) if move is not None}


def action_table(mirror: int) -> list[int]:
    """Actions by 64 x square from + square to, of moves that promote to nothing or a queen; -1 where no piece goes.

    Args: mirror: 0 for squares that are seen by the mover, MIRROR for those seen from the other side.
    """
    pairs = [(start, end) for start in range(64) for end in range(64)]
    return [ACTION_OF.get((start ^ mirror, end ^ mirror, 0), -1) for start, end in pairs]


def underpromotion_table(mirror: int) -> dict[tuple[int, int, int], int]:
    """Actions by square from, square to and piece, likewise."""
    return {(start ^ mirror, end ^ mirror, piece): action for (start, end, piece), action in ACTION_OF.items() if piece}
