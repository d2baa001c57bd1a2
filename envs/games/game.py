"""What a board game is to a search: states of a fixed size, many of them stepped at a time."""

from __future__ import annotations

from typing import Protocol

from keel.envs.protocol import Array


class Game(Protocol):
    """The rules of a game of two players who move in turn, see everything, and of whom one wins what the other loses.

    A state is a row of numbers that says all that the rules need, seen by the player who is to move: 1 is a stone of
    theirs, -1 one of the opponent's. So a search and a network know only one player. Who cannot move although the game
    goes on has one action, to pass.
    """

    name: str  # the one of OpenSpiel where it has the game
    height: int  # H
    width: int  # W
    planes: int  # C, of what a network sees
    actions: int  # A
    # k where action k * cell + i is the i-th way to move the piece on that cell, cells row by row as the planes have
    # them, so that a network may have one policy for all cells: then A = k * H * W. 0 where it is not so.
    piece_moves: int
    most_legal: int  # L, of the actions of any state
    most_moves: int  # no game is longer
    state_size: int  # S
    compiled: bool  # whether the rules let threads run side by side; those that are Python do not
    # Every way to turn or mirror the board that the rules do not notice, the first of which changes nothing: symmetry k
    # puts plane cell `cell_symmetries[k, i]` on cell i (cells row by row), and action `action_symmetries[k, a]` on a.
    cell_symmetries: Array  # [K H*W] int64
    action_symmetries: Array  # [K A] int64

    def start(self) -> Array:
        """The state [S] int8 before the first move."""
        ...

    def play(self, states: Array, actions: Array, after: Array, legal: Array, ended: Array, value: Array) -> None:
        """Make one legal move in each of N games; nothing is checked, as this is the inner loop of the search.

        Args:
            states: [N S] int8, none of them ended. actions: [N] int32.
            after: [N S] int8, is filled with the states after the moves, seen by the other player.
            legal: [N A] bool, is filled with what that one may do; nothing where the game has ended.
            ended: [N] bool, is filled.
            value: [N] float32, is filled with 1, 0 or -1: what an ended game is worth to the player who would be next,
                0 where it goes on.
        """
        ...

    def legal(self, states: Array) -> Array:
        """What the player who is to move may do in states [N S] that have not ended, [N A] bool."""
        ...

    def observe(self, states: Array) -> Array:
        """What a network sees of states [N S]: [N C H W] float32, own stones, the opponent's, and what else counts."""
        ...

    def board(self, state: Array, player: int) -> Array:
        """The state [S] as people see it, [H W] int8: 1 for the first player's stones, -1 for the second's. In chess the
        numbers say the kind of piece, 1 to 6 (`ChessGame.board`).

        Args: player: who is to move, 0 the first or 1 the second.
        """
        ...

    def action_name(self, action: int, player: int) -> str:
        """The move in the game's usual notation, for instance "d3" or "a2a3", as people see the board."""
        ...
