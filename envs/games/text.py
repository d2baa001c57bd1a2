"""A state as text: X for the first player's stones, O for the second's, with letters and numbers as moves name them.

Chess has a letter for each kind of piece, large for the first player's, white, and small for the second's.
"""

from __future__ import annotations

from keel.envs.games.game import Game
from keel.envs.games.openspiel import OpenSpielGame
from keel.envs.protocol import Array

SYMBOLS = {0: ".", 1: "X", -1: "O"}
CHESS = "chess"
CHESS_LETTERS = ".PNBRQK"
FROM_TOP = ("othello", "hex")  # games whose rows are numbered from the top; the other ones' from the bottom
SLANTED = "hex"  # every row begins half a cell further right than the one above


def board_text(game: Game, state: Array, player: int) -> str:
    """The board of a state [S] as people see it, one line a row, without an end of line after the last. Games of
    OpenSpiel look as they do there.

    Args: player: who is to move, 0 the first or 1 the second.
    """
    if isinstance(game, OpenSpielGame):
        return game.text(state)
    rows = game.board(state, player).tolist()
    margin = len(str(game.height))
    letters = " ".join(chr(ord("a") + column) for column in range(game.width))
    lines = [f"{'':{margin}} {letters}"]
    for row, cells in enumerate(rows):
        number = row + 1 if game.name.startswith(FROM_TOP) else game.height - row
        slant = " " * row if game.name.startswith(SLANTED) else ""
        lines.append(f"{slant}{number:{margin}} {' '.join(symbol(game, cell) for cell in cells)}")
    return "\n".join(lines)


def symbol(game: Game, cell: int) -> str:
    """What stands for a number of `Game.board`."""
    if not game.name.startswith(CHESS):
        return SYMBOLS[cell]
    letter = CHESS_LETTERS[abs(cell)]
    return letter if cell > 0 else letter.lower()


def sides(game: Game) -> tuple[str, str]:
    """What the players are called beside the text of a board, the one who moves first first."""
    return ("white", "black") if game.name == "chess" else (SYMBOLS[1], SYMBOLS[-1])
