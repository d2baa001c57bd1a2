"""States of chess as rows of bytes, and what is compiled: how a game grows by a position, and what a network sees.

A position is four numbers of 64 bits, in which bit 8 x row + column counts from the mover's lower left corner: the
mover's pieces, and three bits of every piece's kind (1 pawn, 2 knight, 3 bishop, 4 rook, 5 queen, 6 king).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keel.envs.compiled import kernel
from keel.envs.protocol import Array

POSITIONS = 8  # that a network sees: this one and seven before it
FIFTY_MOVES = 100  # of both players together
MOST_MOVES = 512  # of both players together: a longer game is a draw
PIECES = 6
PLANES_A_POSITION = 2 * PIECES + 2
PLANES = POSITIONS * PLANES_A_POSITION + 7
CASTLING = 4  # bits, from the lowest: the mover's king's side, queen's side, the opponent's king's side, queen's side

ROW = np.dtype(
    [
        ("positions", "<u8", (POSITIONS, 4)),
        ("hashes", "<u4", (FIFTY_MOVES,)),
        ("repeated", "u1", (POSITIONS,)),
        ("castling", "u1"),
        ("en_passant", "u1"),
        ("clock", "u1"),
        ("unused", "u1"),
        ("ply", "<u2"),
        ("unused_too", "u1", (2,)),
    ]
)
STATE_SIZE = ROW.itemsize

ONE = np.uint64(1)


class Rows(NamedTuple):
    """The parts of N states; whoever writes to one writes to the states."""

    positions: Array  # [N 8 4] uint64, the present and the seven before it, all seen by who is to move now; 0: none
    hashes: Array  # [N 100] uint32, entry k of the position with the clock at k since the last capture or pawn move
    repeated: Array  # [N 8] uint8, how often each of the positions had been there before
    castling: Array  # [N] uint8, who still may: see CASTLING
    en_passant: Array  # [N] uint8, 1 + the square on which a pawn can be taken in passing, legally; 0: none
    clock: Array  # [N] uint8, moves since the last capture or pawn move
    ply: Array  # [N] uint16, moves since the start; even where white is to move


def rows_of(states: Array) -> Rows:
    """The parts of states [N S] int8, whose rows lie in one piece."""
    rows = states.view(ROW)[:, 0]
    return Rows(*(rows[name] for name in Rows._fields))


@kernel
def mirrored(bits: np.uint64) -> np.uint64:
    """Rows in the opposite order: the board from the other side."""
    bits = ((bits >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)) | (
        (bits & np.uint64(0x00FF00FF00FF00FF)) << np.uint64(8)
    )
    bits = ((bits >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)) | (
        (bits & np.uint64(0x0000FFFF0000FFFF)) << np.uint64(16)
    )
    return (bits >> np.uint64(32)) | (bits << np.uint64(32))


@kernel
def turn(position: Array, seen: Array) -> None:
    """Fill seen [4] with the position [4] as the other player sees it."""
    own = position[0]
    seen[0] = mirrored((position[1] | position[2] | position[3]) & ~own)
    for bit in range(1, 4):
        seen[bit] = mirrored(position[bit])


@kernel
def hash_of(position: Array, castling: int, en_passant: int) -> np.uint32:
    """32 bits that are not 0, as 0 stands for no position. Mixing as in MurmurHash3's 64-bit finaliser."""
    mixed = np.uint64(castling + 16 * en_passant + 1)
    for bits in position:
        mixed = (mixed ^ bits) * np.uint64(0xFF51AFD7ED558CCD)
        mixed = (mixed ^ (mixed >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
        mixed ^= mixed >> np.uint64(33)
    return max(np.uint32(mixed >> np.uint64(32)), np.uint32(1))


@kernel
def begin(rows: Rows) -> None:
    """Enter the present positions, the only ones that the states hold, among those that may come again."""
    for n in range(len(rows.ply)):
        rows.hashes[n, rows.clock[n]] = hash_of(rows.positions[n, 0], rows.castling[n], rows.en_passant[n])


@kernel
def grow(before: Rows, moved: Array, after: Rows) -> None:
    """Fill in positions, plies, and what the states `after` remember of the ones before them, `before`.

    Args: moved: [N 4], the present positions as those see them who have just moved. after: castling, en passant and
        clock are there already; everything else is 0.
    """
    for n in range(len(moved)):
        after.ply[n] = before.ply[n] + 1
        turn(moved[n], after.positions[n, 0])
        for k in range(1, POSITIONS):
            turn(before.positions[n, k - 1], after.positions[n, k])
            after.repeated[n, k] = before.repeated[n, k - 1]
        clock = after.clock[n]
        now = hash_of(after.positions[n, 0], after.castling[n], after.en_passant[n])
        times = 0
        for k in range(clock):
            after.hashes[n, k] = before.hashes[n, k]
            # Only in every second position it was the same player's turn.
            times += (clock - k) % 2 == 0 and before.hashes[n, k] == now
        if clock < FIFTY_MOVES:
            after.hashes[n, clock] = now
        after.repeated[n, 0] = times


@kernel
def fill_planes(rows: Rows, planes: Array) -> None:
    """Fill planes [N 119 64], which are all 0, with what a network sees: see `ChessGame`."""
    for n in range(len(planes)):
        for k in range(POSITIONS):
            own, low, middle, high = rows.positions[n, k]
            first = k * PLANES_A_POSITION
            for cell in range(64):
                bit = np.uint64(cell ^ 56)
                kind = int((low >> bit) & ONE) + 2 * int((middle >> bit) & ONE) + 4 * int((high >> bit) & ONE)
                if kind:
                    theirs = PIECES * int((~own >> bit) & ONE)
                    planes[n, first + theirs + kind - 1, cell] = 1.0
            for times in range(min(2, rows.repeated[n, k])):
                planes[n, first + 2 * PIECES + times] = 1.0
        colour = POSITIONS * PLANES_A_POSITION
        planes[n, colour] = rows.ply[n] % 2
        planes[n, colour + 1] = rows.ply[n] / MOST_MOVES
        for right in range(CASTLING):
            planes[n, colour + 2 + right] = (rows.castling[n] >> right) & 1
        planes[n, colour + 6] = rows.clock[n] / FIFTY_MOVES
