"""Opponents that belong to a world: who draws lots, who looks one move ahead, and those that others register."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from keel.envs.errors import closest
from keel.envs.games.game import Game
from keel.envs.protocol import Array

# From a game, a state [S] that has not ended and a generator to a legal move. It follows from these three alone: worlds
# are brought back by replaying their moves, and share their opponents.
Opponent = Callable[[Game, Array, np.random.Generator], int]
Loader = Callable[[str, Game], Opponent]


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
    wins = played.ended & (played.value < 0)
    if wins.any():
        return draw(moves[wins], generator)
    order = generator.permutation(len(moves))  # the first good one in it is any of them, and the rest need no look
    safe = (index for index in order if not can_win(game, *(part[index] for part in played)))
    return int(moves[next(safe, order[0])])


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

_LOADERS: dict[str, tuple[str, Loader]] = {}


def register_opponents(form: str, loader: Loader) -> None:
    """Have `find_opponent` ask `loader` for every opponent whose name begins like `form` up to its colon.

    So the worlds know nothing of networks and searches, and players that stand on these can be in them all the same.

    Args:
        form: how such names are written, for people, such as "rollouts:N".
        loader: from the whole name and the game to the opponent; raises ValueError for a name that is none.
    """
    _LOADERS[form.partition(":")[0]] = form, loader


def find_opponent(name: str, game: Game) -> Opponent:
    """The opponent of this name for `game`. Raises: ValueError for none that is known, and what its loader raises."""
    if name in OPPONENTS:
        return OPPONENTS[name]
    prefix, colon, _ = str(name).partition(":")
    if colon and prefix in _LOADERS:
        return _LOADERS[prefix][1](name, game)
    forms = [form for form, _ in _LOADERS.values()]
    near = closest(prefix + colon, [*OPPONENTS, *(f"{known}:" for known in _LOADERS)])
    raise ValueError(f"opponent is {name!r}{near}; it must be one of {', '.join([*OPPONENTS, *forms])}")
