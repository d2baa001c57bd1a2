"""Random games, many at a time, for the tests of the rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from keel.envs.games.game import Game
from keel.envs.protocol import Array


class Ply(NamedTuple):
    """One move in each of the games that still go on."""

    player: int  # who moves
    states: Array  # [N S]
    legal: Array  # [N A] of the mover
    actions: Array  # [N]
    after: Array  # [N S]
    after_legal: Array  # [N A]
    ended: Array  # [N]
    value: Array  # [N]


def step(game: Game, states: Array, actions: Array) -> tuple[Array, Array, Array, Array]:
    """`Game.play` into arrays full of what does not belong there, so that nothing may be left unfilled."""
    count = len(states)
    after = np.full((count, game.state_size), 77, np.int8)
    legal, ended = np.ones((count, game.actions), np.bool_), np.ones(count, np.bool_)
    value = np.full(count, 7.0, np.float32)
    game.play(states, np.asarray(actions, np.int32), after, legal, ended, value)
    return after, legal, ended, value


def random_plies(game: Game, count: int, seed: int = 0) -> Iterator[Ply]:
    """`count` games of random legal moves, to their ends."""
    generator = np.random.default_rng(seed)
    states = np.tile(game.start(), (count, 1))
    legal = game.legal(states)
    player = 0
    while len(states):
        actions = np.argmax(generator.random(legal.shape) * legal, axis=1)
        ply = Ply(player, states, legal, actions, *step(game, states, actions))
        yield ply
        states, legal, player = ply.after[~ply.ended], ply.after_legal[~ply.ended], 1 - player


def leaves(game: Game, depth: int, chunk: int = 100_000) -> int:
    """How many sequences of `depth` moves there are from the start (perft); those that end earlier are not counted."""
    states, legal = game.start()[None], game.legal(game.start()[None])
    for _ in range(depth - 1):
        rows, actions = np.nonzero(legal)
        parts = []
        for first in range(0, len(rows), chunk):
            part = slice(first, first + chunk)
            after, may, ended, _ = step(game, states[rows[part]], actions[part])
            parts.append((after[~ended], may[~ended]))
        states, legal = (np.concatenate(both) for both in zip(*parts, strict=True))
    return int(legal.sum())
