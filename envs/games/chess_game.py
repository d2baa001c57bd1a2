"""Chess, by the rules of python-chess."""

from __future__ import annotations

import numpy as np

from keel.envs.games.chess_boards import (
    boards_of,
    chess,
    legal_actions,
    move_of,
    neither_can_mate,
    position_of,
    state_of,
    store_rights,
)
from keel.envs.games.chess_moves import ACTIONS, MIRROR, MOVES
from keel.envs.games.chess_moves import PLANES as PLANES_OF_MOVES
from keel.envs.games.chess_rows import FIFTY_MOVES, MOST_MOVES, PLANES, STATE_SIZE, fill_planes, grow, rows_of
from keel.envs.protocol import Array

LETTERS = {0: "", chess.KNIGHT: "n", chess.BISHOP: "b", chess.ROOK: "r"}


class ChessGame:
    """Chess between two players, with the moves and planes of AlphaZero; draws need not be claimed.

    State: 672 bytes (`chess_rows.ROW`), seen by the mover as white sees the board: the position and the seven before
    it, what castling and taking in passing may still be done, clocks, and a 32-bit hash of every position since the
    last capture or pawn move, so that a state alone says whether the next position is there for the third time (with a
    chance below 1e-7 that hashes take another one for it).

    Planes, from 0 to 1, the cell a8 first: of the position and of each of the seven before it, which are empty before
    the start, 14: own pawn, knight, bishop, rook, queen, king, the opponent's, 1 where it had been there once before,
    1 where twice. Then 7 that are the same everywhere: 1 where the mover is black; moves of both players / 512; whether
    the mover may still castle on the king's side, the queen's side, the opponent likewise; and moves since the last
    capture or pawn move / 100.

    Actions: 73 x the cell moved from, from the top left in the mover's view, + the plane of the move (`chess_moves`).
    A pawn that reaches the last row becomes a queen, unless the plane says knight, bishop or rook.

    The game ends by checkmate; and as a draw at once by stalemate, when neither can mate with what is left (as
    python-chess sees it), when a position is there for the third time, after fifty moves of each without a capture or a
    pawn move, and, as no game may last for ever, after 512 moves of both together.

    Source: Silver et al. 2018, "A general reinforcement learning algorithm that masters chess, shogi, and Go through
    self-play", supplement, tables S1 and S2.
    """

    compiled = False
    height = width = 8
    planes = PLANES
    actions = ACTIONS
    piece_moves = PLANES_OF_MOVES
    most_legal = 218  # https://www.chessprogramming.org/Chess_Position, the most that is known
    most_moves = MOST_MOVES
    state_size = STATE_SIZE

    def __init__(self, name: str) -> None:
        self.name = name
        self.cell_symmetries = np.arange(64)[None]
        self.action_symmetries = np.arange(ACTIONS)[None]

    def start(self) -> Array:
        return state_of(chess.Board())

    def play(self, states: Array, actions: Array, after: Array, legal: Array, ended: Array, value: Array) -> None:
        count = len(states)
        before, now = rows_of(np.ascontiguousarray(states)), np.zeros((count, STATE_SIZE), np.int8)
        rows, moved = rows_of(now), np.empty((count, 4), np.uint64)
        legal[:], value[:] = False, 0.0
        over = np.zeros(count, np.bool_)
        for n, (board, action) in enumerate(zip(boards_of(before), actions.tolist(), strict=True)):
            board.push(move_of(board, action))
            moved[n] = position_of(board)
            store_rights(board, rows, n)
            moves = legal_actions(board)
            if moves:
                legal[n, moves] = True
                over[n] = neither_can_mate(board)
            else:
                over[n] = True
                value[n] = -1.0 if board.is_check() else 0.0
        grow(before, moved, rows)
        ended[:] = over | (rows.repeated[:, 0] >= 2) | (rows.clock >= FIFTY_MOVES) | (rows.ply >= MOST_MOVES)
        legal[ended] = False
        after[:] = now

    def legal(self, states: Array) -> Array:
        legal = np.zeros((len(states), ACTIONS), np.bool_)
        for row, board in zip(legal, boards_of(rows_of(np.ascontiguousarray(states))), strict=True):
            row[legal_actions(board)] = True
        return legal

    def observe(self, states: Array) -> Array:
        planes = np.zeros((len(states), PLANES, 64), np.float32)
        fill_planes(rows_of(np.ascontiguousarray(states)), planes)
        return planes.reshape(-1, PLANES, 8, 8)

    def board(self, state: Array, player: int) -> Array:
        """[8 8] int8 as people see it: 1 pawn, 2 knight, 3 bishop, 4 rook, 5 queen, 6 king, black's with a minus."""
        position = rows_of(np.ascontiguousarray(state)[None]).positions[0, 0]
        own, low, middle, high = (cells_of(bits) for bits in position)
        board = (low + 2 * middle + 4 * high) * (2 * own - 1)
        return board if player == 0 else -board[::-1]

    def action_name(self, action: int, player: int) -> str:
        """The squares from and to, and n, b or r for a pawn that becomes less than a queen: "e2e4", "e7e8n".

        A queen is not named, as the same action moves a rook or a king from e7 to e8; `chess_notation` knows the
        position, and names it. What leaves the board, which no position allows, is "off the board".
        """
        if (move := MOVES[action]) is None:
            return "off the board"
        *squares, piece = move
        mirror = 0 if player == 0 else MIRROR
        return "".join(chess.SQUARE_NAMES[square ^ mirror] for square in squares) + LETTERS[piece]


def cells_of(bits: np.uint64) -> Array:
    """A set of squares as [8 8] of 0 and 1, int8, rows from the top."""
    return np.unpackbits(np.array([bits], "<u8").view(np.uint8), bitorder="little").reshape(8, 8)[::-1].astype(np.int8)
