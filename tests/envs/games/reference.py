"""The rules once more, slowly and in another way: on the board as people see it, moves by their names.

A board is a dict from square names such as "d3" to 1 (the first player) or -1; empty squares are not in it.
"""

from __future__ import annotations

import re
from typing import Protocol

Board = dict[str, int]


class Rules(Protocol):
    def start(self) -> Board: ...

    def moves(self, board: Board, player: int) -> set[str]: ...

    def play(self, board: Board, player: int, move: str) -> Board: ...

    def winner(self, board: Board) -> int | None:
        """1 or -1 who has won, 0 for a draw, None while the game goes on."""
        ...


def letter(column: int) -> str:
    return "abcdefghijklmnopqrstuvwxyz"[column]


def stone_of(player: int) -> int:
    return 1 - 2 * player


def shifted(square: str, right: int, up: int) -> str:
    """The square so many columns further and numbers higher; it may lie beyond the board."""
    return f"{chr(ord(square[0]) + right)}{int(square[1:]) + up}"


class InARow:
    """Lines are written out as strings, in which a run of stones is searched for."""

    def __init__(self, height: int, width: int, length: int, falls: bool) -> None:
        self.height, self.width, self.length, self.falls = height, width, length, falls
        self.squares = [f"{letter(column)}{row + 1}" for row in range(height) for column in range(width)]

    def start(self) -> Board:
        return {}

    def moves(self, board: Board, player: int) -> set[str]:
        free = {square for square in self.squares if square not in board}
        return {square[0] for square in free} if self.falls else free

    def play(self, board: Board, player: int, move: str) -> Board:
        if self.falls:
            move = next(square for square in self.squares if square[0] == move and square not in board)
        return board | {move: stone_of(player)}

    def winner(self, board: Board) -> int | None:
        lines: dict[tuple[str, int], str] = {}
        for number, square in enumerate(self.squares):
            row, column = divmod(number, self.width)
            mark = {1: "X", -1: "O", 0: "."}[board.get(square, 0)]
            keys = (("row", row), ("column", column), ("rising", row - column), ("falling", row + column))
            for key in keys:
                lines[key] = lines.get(key, "") + mark
        text = " ".join(lines.values())
        for mark, stone in (("X", 1), ("O", -1)):
            if re.search(f"{mark}{{{self.length},}}", text):
                return stone
        return None if "." in text else 0


class OthelloRules:
    def __init__(self, size: int) -> None:
        self.squares = {f"{letter(column)}{row + 1}" for row in range(size) for column in range(size)}
        self.middle = size // 2

    def start(self) -> Board:
        left, right, low, high = letter(self.middle - 1), letter(self.middle), self.middle, self.middle + 1
        return {f"{right}{low}": 1, f"{left}{high}": 1, f"{left}{low}": -1, f"{right}{high}": -1}

    def turned(self, board: Board, stone: int, move: str) -> set[str]:
        discs = set()
        for right, up in ((r, u) for r in (-1, 0, 1) for u in (-1, 0, 1) if r or u):
            line, square = set(), shifted(move, right, up)
            while board.get(square) == -stone:
                line.add(square)
                square = shifted(square, right, up)
            if board.get(square) == stone:
                discs |= line
        return discs

    def moves(self, board: Board, player: int) -> set[str]:
        return self.placing(board, stone_of(player)) or {"pass"}

    def placing(self, board: Board, stone: int) -> set[str]:
        return {square for square in self.squares - board.keys() if self.turned(board, stone, square)}

    def play(self, board: Board, player: int, move: str) -> Board:
        if move == "pass":
            return board
        stone = stone_of(player)
        return board | dict.fromkeys(self.turned(board, stone, move) | {move}, stone)

    def winner(self, board: Board) -> int | None:
        if self.placing(board, 1) or self.placing(board, -1):
            return None
        balance = sum(board.values())
        return (balance > 0) - (balance < 0)


class HexRules:
    """The first player joins the first number's row to the last one's, the second the first column to the last."""

    def __init__(self, size: int) -> None:
        self.squares = {f"{letter(column)}{row + 1}" for row in range(size) for column in range(size)}
        self.last_letter, self.last_number = letter(size - 1), str(size)

    def start(self) -> Board:
        return {}

    def moves(self, board: Board, player: int) -> set[str]:
        return self.squares - board.keys()

    def play(self, board: Board, player: int, move: str) -> Board:
        return board | {move: stone_of(player)}

    def joined(self, own: set[str], edge: set[str]) -> set[str]:
        reached = own & edge
        while True:
            beside = {
                shifted(square, right, up)
                for square in reached
                for right, up in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, -1), (-1, 1))
            }
            more = (beside & own) - reached
            if not more:
                return reached
            reached |= more

    def winner(self, board: Board) -> int | None:
        first = {square for square, stone in board.items() if stone == 1}
        second = {square for square, stone in board.items() if stone == -1}
        reached = self.joined(first, {square for square in self.squares if square[1:] == "1"})
        if any(square[1:] == self.last_number for square in reached):
            return 1
        reached = self.joined(second, {square for square in self.squares if square[0] == "a"})
        return -1 if any(square[0] == self.last_letter for square in reached) else None


class BreakthroughRules:
    """The first player starts on the rows 1 and 2 and goes to higher numbers, as in chess."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.squares = {f"{letter(column)}{row + 1}" for row in range(size) for column in range(size)}

    def start(self) -> Board:
        own = {square: 1 for square in self.squares if int(square[1:]) <= 2}
        return own | {square: -1 for square in self.squares if int(square[1:]) > self.size - 2}

    def moves(self, board: Board, player: int) -> set[str]:
        stone = stone_of(player)
        found = set()
        for square in (square for square, piece in board.items() if piece == stone):
            for right in (-1, 0, 1):
                to = shifted(square, right, stone)
                if to in self.squares and board.get(to, 0) in ((0,) if right == 0 else (0, -stone)):
                    found.add(square + to)
        return found

    def play(self, board: Board, player: int, move: str) -> Board:
        return {square: stone for square, stone in board.items() if square != move[:2]} | {move[2:]: stone_of(player)}

    def winner(self, board: Board) -> int | None:
        for stone, far in ((1, str(self.size)), (-1, "1")):
            reached = any(piece == stone and square[1:] == far for square, piece in board.items())
            if reached or -stone not in board.values():
                return stone
        return None


REFERENCES: dict[str, Rules] = {
    "tic_tac_toe": InARow(3, 3, 3, falls=False),
    "connect_four": InARow(6, 7, 4, falls=True),
    "othello": OthelloRules(8),
    "othello_6x6": OthelloRules(6),
    "gomoku": InARow(15, 15, 5, falls=False),
    "gomoku_9x9": InARow(9, 9, 5, falls=False),
    "hex": HexRules(11),
    "hex_7x7": HexRules(7),
    "breakthrough": BreakthroughRules(8),
}
FROM_TOP = ("othello", "othello_6x6", "hex", "hex_7x7")  # row 1 is the top one
