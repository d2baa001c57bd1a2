"""Between states of chess and the boards of python-chess, an optional package: its licence, GPL-3, is not Keel's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keel.envs.games.chess_moves import MIRROR, MOVES, action_table, underpromotion_table
from keel.envs.games.chess_rows import FIFTY_MOVES, MOST_MOVES, STATE_SIZE, Rows, begin, rows_of
from keel.envs.protocol import Array

try:
    import chess
except ImportError as error:
    raise ImportError("chess stands on python-chess, in the extra 'games': pip install 'keel-rl[games]'") from error

# The corners whose rooks may still castle, in the order of the bits of `Rows.castling`, where the mover is this colour.
CORNERS = {
    chess.WHITE: (chess.BB_H1, chess.BB_A1, chess.BB_H8, chess.BB_A8),
    chess.BLACK: (chess.BB_H8, chess.BB_A8, chess.BB_H1, chess.BB_A1),
}
RIGHTS = {
    mover: [sum(corner for bit, corner in enumerate(corners) if bits >> bit & 1) for bits in range(16)]
    for mover, corners in CORNERS.items()
}
BITS = {mover: {rights: bits for bits, rights in enumerate(all_rights)} for mover, all_rights in RIGHTS.items()}
# By the colour that moves on a board of python-chess.
ACTIONS = {chess.WHITE: action_table(0), chess.BLACK: action_table(MIRROR)}
UNDERPROMOTIONS = {chess.WHITE: underpromotion_table(0), chess.BLACK: underpromotion_table(MIRROR)}


def boards_of(rows: Rows) -> Iterator[chess.Board]:
    """The present positions, one after the other, on one board that is set up anew: white is whoever moves."""
    board = chess.Board(None)
    parts = (rows.positions[:, 0], rows.castling, rows.en_passant, rows.clock)
    for position, castling, en_passant, clock in zip(*(part.tolist() for part in parts), strict=True):
        set_up(board, *position)
        board.turn = chess.WHITE
        board.castling_rights = RIGHTS[chess.WHITE][castling]
        board.ep_square = en_passant - 1 if en_passant else None
        board.halfmove_clock = clock
        board.clear_stack()
        yield board


def set_up(board: chess.Board, own: int, low: int, middle: int, high: int) -> None:
    """Place all pieces, the mover's as white ones. Sets of squares are filled in directly: parsing would take longer
    than to find the moves."""
    simple = ~high
    board.pawns, board.knights, board.bishops = low & ~middle & simple, middle & ~low & simple, low & middle
    board.rooks, board.queens, board.kings = high & ~low & ~middle, high & low, high & middle
    board.occupied = low | middle | high
    board.occupied_co[chess.WHITE] = own
    board.occupied_co[chess.BLACK] = board.occupied & ~own
    board.promoted = chess.BB_EMPTY  # or a piece that a pawn became on the board before would cost castling on this one


def position_of(board: chess.Board) -> tuple[int, int, int, int]:
    """White's pieces and the bits of all kinds, as in `chess_rows`."""
    return (
        board.occupied_co[chess.WHITE],
        board.pawns | board.bishops | board.queens,
        board.knights | board.bishops | board.kings,
        board.rooks | board.queens | board.kings,
    )


def store_rights(board: chess.Board, rows: Rows, n: int) -> None:
    """Enter in state n, as who is to move sees them, castling, en passant and clock; a pawn that nobody may take in
    passing leaves no trace."""
    rows.castling[n] = BITS[board.turn][board.castling_rights]
    if board.ep_square is not None and board.has_legal_en_passant():
        rows.en_passant[n] = 1 + (board.ep_square ^ (0 if board.turn else MIRROR))
    rows.clock[n] = board.halfmove_clock


def move_of(board: chess.Board, action: int) -> chess.Move:
    """An action on a board on which white is to move."""
    move = MOVES[action]
    assert move is not None
    start, end, piece = move
    if piece == 0 and end >= chess.A8 and board.pawns >> start & 1:
        piece = chess.QUEEN
    return chess.Move(start, end, piece or None)


def action_of(move: chess.Move, mover: chess.Color) -> int:
    """A legal move on a board as an action, whoever is to move."""
    if move.promotion is None or move.promotion == chess.QUEEN:
        return ACTIONS[mover][64 * move.from_square + move.to_square]
    return UNDERPROMOTIONS[mover][move.from_square, move.to_square, move.promotion]


def legal_actions(board: chess.Board) -> list[int]:
    return [action_of(move, board.turn) for move in board.generate_legal_moves()]


def neither_can_mate(board: chess.Board) -> bool:
    return not (board.pawns | board.rooks | board.queens) and board.is_insufficient_material()


def board_of(state: Array) -> chess.Board:
    """The position of a state [S] with the players' own colours, without the moves before it."""
    rows = rows_of(np.ascontiguousarray(state)[None])
    board = next(boards_of(rows))
    ply = int(rows.ply[0])
    board = board.mirror() if ply % 2 else board
    board.fullmove_number = ply // 2 + 1
    return board


def state_of(board: chess.Board) -> Array:
    """The state [S] int8 of a position that has not ended; the moves on the board's stack are not looked at.

    Raises:
        ValueError: a position that cannot be, one of Chess960, or one that has gone on for too long.
    """
    ply = 2 * (board.fullmove_number - 1) + (board.turn == chess.BLACK)
    if type(board) is not chess.Board or board.chess960 or not board.is_valid():
        raise ValueError(f"the position is {board.fen()!r}; it must be a valid one of standard chess")
    if board.halfmove_clock >= FIFTY_MOVES or ply >= MOST_MOVES:
        raise ValueError(
            f"the position is {board.fen()!r}; both players together must have made less than {MOST_MOVES} moves, "
            f"and less than {FIFTY_MOVES} since the last capture or pawn move"
        )
    state = np.zeros((1, STATE_SIZE), np.int8)
    rows = rows_of(state)
    rows.positions[0, 0] = position_of(board if board.turn else board.mirror())
    rows.ply[0] = ply
    store_rights(board, rows, 0)
    begin(rows)
    return state[0]
