"""What a position of chess is worth by rules of thumb: somebody to play against where no network has been trained.

The pieces count 1, 3, 3.1, 5 and 9 pawns, once no capture pays any more (quiescence: Shannon 1950, "Programming a
computer for playing chess"), and squares a little: pawns that go forward and hold the centre, pieces that are out, a
king in its corner while the other side has a queen; and where somebody without a queen is far behind, how near the
kings are to a mate. Checks and pins are left to the search, and so is a pawn that becomes something without taking.
"""

from __future__ import annotations

import math

import numpy as np

from keel.envs.games.chess_boards import action_of, boards_of, chess
from keel.envs.games.chess_moves import ACTIONS
from keel.envs.games.chess_rows import rows_of
from keel.envs.protocol import Array

WORTH = {chess.PAWN: 1.0, chess.KNIGHT: 3.0, chess.BISHOP: 3.1, chess.ROOK: 5.0, chess.QUEEN: 9.0, chess.KING: 0.0}
KINDS = {
    "pawns": chess.PAWN,
    "knights": chess.KNIGHT,
    "bishops": chess.BISHOP,
    "rooks": chess.ROOK,
    "queens": chess.QUEEN,
}
CENTRE = chess.BB_D4 | chess.BB_E4 | chess.BB_D5 | chess.BB_E5
INNER = (chess.BB_FILE_C | chess.BB_FILE_D | chess.BB_FILE_E | chess.BB_FILE_F) & ~(chess.BB_RANK_1 | chess.BB_RANK_8)
RIM = chess.BB_FILE_A | chess.BB_FILE_H | chess.BB_RANK_1 | chess.BB_RANK_8
# What kinds of pieces count where they stand, in pawns; for white, and turned upside down for black.
SQUARES = (
    *((name, chess.BB_ALL, WORTH[piece]) for name, piece in KINDS.items()),
    ("pawns", CENTRE, 0.25),
    ("pawns", chess.BB_RANK_5, 0.1),
    ("pawns", chess.BB_RANK_6, 0.4),
    ("pawns", chess.BB_RANK_7, 1.0),
    ("knights", INNER, 0.15),
    ("knights", RIM, -0.2),
    ("bishops", INNER, 0.1),
    ("bishops", chess.BB_RANK_1, -0.15),
    ("rooks", chess.BB_RANK_7, 0.25),
)
SHELTER = chess.BB_A1 | chess.BB_B1 | chess.BB_C1 | chess.BB_G1 | chess.BB_H1
SIDES = {
    chess.WHITE: (SQUARES, SHELTER),
    chess.BLACK: (
        tuple((name, chess.flip_vertical(squares), worth) for name, squares, worth in SQUARES),
        chess.flip_vertical(SHELTER),
    ),
}
SHELTERED = 0.4  # a king in the corner while the other side has a queen
LEAD = 3.0  # from so many pawns ahead of somebody who has no queen it counts how near the kings are to a mate, from
# twice as many fully
EDGE, BESIDE = 0.3, 0.15  # for each step of their king from the centre, and of ours towards it
SPARE = 1.5  # pawns that a capture may be worth beside what it gains at once
DEPTH = 6  # captures that are looked ahead
HALF = 5.0  # pawns ahead that are worth 1/2
MOST = 4.0  # no logit is larger, whatever a move seems to win
PATIENCE = 200  # moves of both without a capture or a pawn's that make all worth nothing; 100 are a draw


def judge(states: Array) -> tuple[Array, Array]:
    """Logits [N A] float32, larger where a move seems to be better, and values [N] float32, above -1 and below 1.

    The value is ahead / (|ahead| + 5), ahead counted in pawns: it never saturates, so being further ahead is better.
    Args: states: [N S] of chess, none of them ended.
    """
    logits, values = np.zeros((len(states), ACTIONS), np.float32), np.zeros(len(states), np.float32)
    for n, board in enumerate(boards_of(rows_of(np.ascontiguousarray(states)))):
        now = standing(board)
        now += driven(board, now)
        for move in list(board.generate_legal_moves()):
            better = promise(board, move, now)
            logits[n, action_of(move, chess.WHITE)] = better / (1.0 + abs(better) / MOST)
        ahead = settled(board, -math.inf, math.inf, DEPTH)
        ahead = (ahead + driven(board, ahead)) * (1.0 - board.halfmove_clock / PATIENCE)
        values[n] = ahead / (abs(ahead) + HALF)
    return logits, values


def promise(board: chess.Board, move: chess.Move, now: float) -> float:
    """How much better than `now` a move seems to make it, in pawns, with what it saves and what it puts in danger."""
    piece = board.piece_type_at(move.from_square) or chess.PAWN
    saved = hangs(board, move.from_square, piece, chess.BB_EMPTY)
    risked = hangs(board, move.to_square, move.promotion or piece, chess.BB_SQUARES[move.from_square])
    board.push(move)
    after = standing(board)
    after = -(after + driven(board, after))
    board.pop()
    return after - now + saved - risked


def gain(board: chess.Board, move: chess.Move) -> float:
    """What a move takes, and what a pawn becomes by it, in pawns."""
    promoted = WORTH[move.promotion] - WORTH[chess.PAWN] if move.promotion else 0.0
    taken = chess.PAWN if board.is_en_passant(move) else board.piece_type_at(move.to_square)
    return promoted + (WORTH[taken] if taken else 0.0)


def hangs(board: chess.Board, square: int, piece: int, moved: int) -> float:
    """What the other side seems to win by taking `piece` of who is to move on `square`; what stood on `moved` is gone.

    Those who attack and defend from behind others, and who takes after the first, are not counted.
    """
    occupied = board.occupied & ~moved
    attackers = board.attackers_mask(not board.turn, square, occupied)
    if not attackers or piece == chess.KING:
        return 0.0
    defenders = board.attackers_mask(board.turn, square, occupied) & ~moved
    if not defenders or (not defenders & ~board.kings and attackers.bit_count() > 1):  # nor does our king take then
        return WORTH[piece]
    takers = chess.scan_forward(attackers & ~board.kings)  # a king takes nothing that is defended
    worths = [WORTH[board.piece_type_at(taker) or chess.KING] for taker in takers]
    return max(0.0, WORTH[piece] - min(worths, default=math.inf))


def settled(board: chess.Board, low: float, high: float, depth: int) -> float:
    """How far ahead who is to move is, in pawns, after the captures that pay (alpha-beta between `low` and `high`)."""
    best = still = standing(board)
    if depth == 0 or best >= high:
        return best
    captures = [(gain(board, move), move) for move in board.generate_legal_captures()]
    for gained, move in sorted(captures, key=lambda capture: -capture[0]):
        low = max(low, best)
        if best >= high or still + gained + SPARE <= low:  # the others gain less
            break
        board.push(move)
        best = max(best, -settled(board, -high, -low, depth - 1))
        board.pop()
    return best


def standing(board: chess.Board) -> float:
    """How far ahead who is to move is, in pawns, if nothing is taken."""
    return side(board, board.turn) - side(board, not board.turn)


def side(board: chess.Board, colour: chess.Color) -> float:
    """The pieces of one colour and where they stand, in pawns."""
    mine, (squares, shelter) = board.occupied_co[colour], SIDES[colour]
    total = sum(worth * (getattr(board, kind) & mine & mask).bit_count() for kind, mask, worth in squares)
    return total + SHELTERED * bool(board.queens & ~mine and board.kings & mine & shelter)


def driven(board: chess.Board, ahead: float) -> float:
    """How near the kings are to a mate, in pawns for who is to move and is so far `ahead`; below 0 where that is."""
    winner = board.turn if ahead > 0 else not board.turn
    certain = min(1.0, max(0.0, abs(ahead) / LEAD - 1.0))
    if not certain or board.queens & board.occupied_co[not winner]:
        return 0.0
    ours, theirs = board.king(winner), board.king(not winner)
    assert ours is not None
    assert theirs is not None
    from_centre = abs(chess.square_rank(theirs) - 3.5) + abs(chess.square_file(theirs) - 3.5) - 1.0  # 0 to 6
    near = EDGE * from_centre + BESIDE * (14 - chess.square_manhattan_distance(ours, theirs))
    return math.copysign(certain * near, ahead)
