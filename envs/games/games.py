"""The board games by name."""

from __future__ import annotations

from collections.abc import Callable

from keel.envs.errors import closest
from keel.envs.games.breakthrough import Breakthrough
from keel.envs.games.game import Game
from keel.envs.games.hex import Hex
from keel.envs.games.line_game import LineGame
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


def make_game(name: str) -> Game:
    """The rules of the game of this name. Raises: ValueError for a name that is not in `GAMES`."""
    if name not in GAMES:
        raise ValueError(f"game is {name!r}{closest(name, GAMES)}; it must be one of {', '.join(GAMES)}")
    return GAMES[name](name)
