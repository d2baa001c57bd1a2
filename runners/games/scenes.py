"""A board game between two players, move by move, with what the one who moves thinks of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from keel.agents.players import Player, SearchPlayer
from keel.envs.games.game import Game
from keel.envs.games.opponents import play
from keel.envs.protocol import Array
from keel.envs.seeding import generator


class Thought(NamedTuple):
    """What a player is about to do, and why."""

    action: int
    by_lot: bool = False  # a move of the opening, which no player chose
    value: float | None = None  # what the mover expects, -1 to 1; None where it does not look ahead
    line: Sequence[int] = ()  # how it expects the game to go on, its own move first


class Scene(NamedTuple):
    """A position of a game, before a move or after the last one."""

    number: int  # of the game, from 1 on
    players: tuple[str, str]  # who moves first, who second
    state: Array  # [S]
    legal: Array | None  # [A] bool, what may be done; None where the game has ended
    moves: list[int]  # that led here
    thought: Thought | None  # None where the game has ended
    winner: int | None = None  # 0 who moved first, 1 the other; None for a draw, and while the game goes on

    @property
    def mover(self) -> int:
        """Who is to move, or would be: 0 the first, 1 the second."""
        return len(self.moves) % 2


def play_scenes(
    game: Game, first: Player, second: Player, openings: Sequence[Sequence[int]], seed: int
) -> Iterator[Scene]:
    """A game for each opening, in which the players move first in turn: a scene before every move, and one at the end."""
    for index, opening in enumerate(openings):
        seats = (first, second) if index % 2 == 0 else (second, first)
        names = seats[0].name, seats[1].name
        state, moves = game.start(), []
        legal, ended, value = game.legal(state[None])[0], False, 0.0
        while not ended:
            if len(moves) < len(opening):
                thought = Thought(int(opening[len(moves)]), by_lot=True)
            else:
                chance = generator(seed, "watched", index, len(moves))
                thought = think(seats[len(moves) % 2], state, chance)
            yield Scene(index + 1, names, state, legal, list(moves), thought)
            played = play(game, state[None], np.array([thought.action]))
            moves.append(thought.action)
            state, legal = played.after[0], played.legal[0]
            ended, value = bool(played.ended[0]), float(played.value[0])
        following = len(moves) % 2
        winner = None if value == 0 else following if value > 0 else 1 - following
        yield Scene(index + 1, names, state, None, list(moves), None, winner)


def think(player: Player, state: Array, chance: np.random.Generator) -> Thought:
    """What a player does in a state [S], with its value and its best line where it looks ahead."""
    if not isinstance(player, SearchPlayer):
        return Thought(int(player.choose(state[None], chance)[0]))
    found = player.think(state[None])
    action = int(found.action[0])
    return Thought(action, value=float(found.value[0]), line=player.variation(0, action))
