"""Opponents that need no training: who draws lots, and who looks one move ahead."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from keel.envs.games.game import Game
from keel.envs.protocol import Array

# From a game, a state [S] that has not ended and a generator to a legal move.
Opponent = Callable[[Game, Array, np.random.Generator], int]


class Played(NamedTuple):
    """What `Game.play` fills, newly made."""

    after: Array  # [N S] int8
    legal: Array  # [N A] bool
    ended: Array  # [N] bool
    value: Array  # [N] float32


def play(game: Game, states: Array, actions: Array) -> Played:
    """`Game.play` for states [N S] and actions [N]."""
    count = len(states)
    played = Played(
        np.empty((count, game.state_size), np.int8),
        np.empty((count, game.actions), np.bool_),
        np.empty(count, np.bool_),
        np.empty(count, np.float32),
    )
    game.play(states, actions.astype(np.int32), *played)
    return played


def random_move(game: Game, state: Array, generator: np.random.Generator) -> int:
    """Any legal move, all equally likely."""
    return draw(np.flatnonzero(game.legal(state[None])[0]), generator)


def one_ply_move(game: Game, state: Array, generator: np.random.Generator) -> int:
    """A move that wins at once; else one after which the other player cannot; else any. Among several by lot."""
    moves = np.flatnonzero(game.legal(state[None])[0])
    played = play(game, state[None].repeat(len(moves), axis=0), moves)
    good = played.ended & (played.value < 0)
    if not good.any():
        good = np.array([not can_win(game, *row) for row in zip(*played, strict=True)])
    return draw(moves[good] if good.any() else moves, generator)


def draw(moves: Array, generator: np.random.Generator) -> int:
    """One of the moves, all equally likely."""
    return int(moves[generator.integers(len(moves))])


def can_win(game: Game, state: Array, legal: Array, ended: Array, value: Array) -> bool:
    """Whether who is to move has won already, or can with one of the moves legal [A]."""
    if ended:
        return bool(value > 0)
    replies = np.flatnonzero(legal)
    played = play(game, state[None].repeat(len(replies), axis=0), replies)
    return bool((played.ended & (played.value < 0)).any())


OPPONENTS: dict[str, Opponent] = {"random": random_move, "one_ply": one_ply_move}
