"""Games of chess as text: moves in the notations that people and programs use, and whole games as PGN."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from keel.envs.games.chess_boards import action_of, board_of, chess
from keel.envs.games.chess_game import ChessGame
from keel.envs.games.opponents import play
from keel.envs.protocol import Array

NO_HEADERS: Mapping[str, str] = {}


def move_of(state: Array, action: int) -> chess.Move:
    """A legal action in a state [S] as a move of python-chess, seen as people see the board. Its `uci()` says what a
    pawn becomes, a queen too. Raises: ValueError for an action that is not legal there."""
    board = board_of(state)
    for move in board.legal_moves:
        if action_of(move, board.turn) == action:
            return move
    raise ValueError(f"the action {action} is not legal in {board.fen()!r}")


def san(state: Array, action: int) -> str:
    """A legal action in a state [S] as people write it: "Nf3", "exd8=Q+", "O-O". Raises: ValueError, as `move_of`."""
    return board_of(state).san(move_of(state, action))


def parse(state: Array, text: str) -> int:
    """The action that a text means in a state [S]: UCI ("g1f3", "e7e8q"; without a letter it is a queen) or SAN ("Nf3").

    Raises:
        ValueError: a text that is neither, or a move that is not legal there or could be several.
    """
    board = board_of(state)
    for read, words in ((board.parse_uci, text), (board.parse_uci, f"{text}q"), (board.parse_san, text)):
        try:
            move = read(words)
        except ValueError:
            continue
        if move:  # there are texts for making no move
            return action_of(move, board.turn)
    legal = ", ".join(map(board.san, board.legal_moves))
    raise ValueError(f"the move is {text!r}; in {board.fen()!r} one of these would be right: {legal}")


def pgn(actions: Iterable[int], headers: Mapping[str, str] = NO_HEADERS) -> str:
    """A game from the start position as PGN, with its result by Keel's rules, "*" where it goes on.

    Args: headers: such as {"Event": "...", "White": "..."}; of the seven that PGN wants, those not given are unknown.

    Raises:
        ValueError: an action that is not legal where it is made, or one after the end of the game.
    """
    import chess.pgn

    game, record = ChessGame("chess"), chess.pgn.Game()
    record.headers.update(headers)
    node, state, result, ended = record, game.start(), "*", False
    for ply, action in enumerate(actions):
        if ended:
            raise ValueError(
                f"the game has ended after {ply} moves of both players, and action {action} comes after it"
            )
        node = node.add_variation(move_of(state, action))
        played = play(game, state[None], np.array([action]))
        state, ended = played.after[0], bool(played.ended[0])
        if ended:
            result = "1/2-1/2" if played.value[0] == 0 else ("0-1" if ply % 2 else "1-0")
    record.headers["Result"] = result
    return str(record)
