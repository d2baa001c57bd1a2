"""The board games by name."""

from __future__ import annotations

from collections.abc import Callable

from keel.envs.errors import closest
from keel.envs.games.breakthrough import Breakthrough
from keel.envs.games.game import Game
from keel.envs.games.hex import Hex
from keel.envs.games.line_game import LineGame
from keel.envs.games.openspiel import OpenSpielGame
from keel.envs.games.othello import Othello

GAMES: dict[str, Callable[[str], Game]] = {
    "tic_tac_toe": lambda name: LineGame(name, 3, 3, length=3),
    "connect_four": lambda name: LineGame(name, 6, 7, length=4, gravity=True),
    "othello": lambda name: Othello(name, 8),
    "othello_6x6": lambda name: Othello(name, 6),
    "gomoku": lambda name: LineGame(name, 15, 15, length=5),
    "gomoku_9x9": lambda name: LineGame(name, 9, 9, length=5),
    "hex": lambda name: Hex(name, 11),
    "hex_7x7": lambda name: Hex(name, 7),
    "breakthrough": lambda name: Breakthrough(name, 8),
}

OPENSPIEL = "openspiel:"  # begins the names of the games that OpenSpiel has


def _chess(name: str) -> Game:
    from keel.envs.games.chess_game import ChessGame  # needs python-chess

    return ChessGame(name)


OPTIONAL_GAMES: dict[str, Callable[[str], Game]] = {  # whose states are no rows of stones
    "chess": _chess,
    "go_9x9": lambda name: OpenSpielGame(name, "go(board_size=9,komi=7.5)"),
}


def make_game(name: str) -> Game:
    """The rules of the game of this name: one of `GAMES` or `OPTIONAL_GAMES`, or "openspiel:" and what OpenSpiel calls
    it, such as "openspiel:go(board_size=7,komi=0.5)".

    Raises:
        ValueError: no such game, or one that is unsuitable (`openspiel.load`). ImportError: its package is missing.
    """
    if name.startswith(OPENSPIEL):
        return OpenSpielGame(name, name.removeprefix(OPENSPIEL))
    rules = GAMES | OPTIONAL_GAMES
    if name not in rules:
        raise ValueError(
            f"game is {name!r}{closest(name, rules)}; it must be one of {', '.join(rules)}, or {OPENSPIEL}NAME"
        )
    return rules[name](name)
