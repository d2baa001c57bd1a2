"""Who plays a board game: an opponent without training, or a search with what judges positions for it."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from keel.agents.search import Evaluate, Found, Search, SearchConfig
from keel.envs.games.game import Game
from keel.envs.games.opponents import OPPONENTS
from keel.envs.protocol import Array

MOST_GAMES = 64  # that a player searches side by side


class Player(Protocol):
    """Chooses moves in many games at once."""

    name: str

    def choose(self, states: Array, chance: np.random.Generator) -> Array:
        """A legal move in each of the states [N S], none of which has ended: [N] int32."""
        ...


class ScriptedPlayer:
    """One of `OPPONENTS`. Raises: KeyError for a name that is none of them."""

    def __init__(self, game: Game, name: str) -> None:
        self.name = name
        self._game, self._opponent = game, OPPONENTS[name]

    def choose(self, states: Array, chance: np.random.Generator) -> Array:
        return np.array([self._opponent(self._game, state, chance) for state in states], np.int32)


class SearchPlayer:
    """Looks ahead and plays the move that it found best; nothing is left to chance."""

    def __init__(self, name: str, game: Game, evaluate: Evaluate, config: SearchConfig) -> None:
        self.name = name
        self._evaluate = evaluate
        self._search = Search(game, config, MOST_GAMES)

    def choose(self, states: Array, chance: np.random.Generator) -> Array:
        parts = [self.think(states[first : first + MOST_GAMES]).action for first in range(0, len(states), MOST_GAMES)]
        return np.concatenate(parts)

    def think(self, states: Array) -> Found:
        """What the search finds in states [N S], at most MOST_GAMES of them."""
        return self._search.run(states, self._evaluate)

    def variation(self, row: int, action: int) -> list[int]:
        """How the search expects the game to go on in state `row` of those that were thought about last, from `action`
        on: the best moves that it knows; none where it never looked at `action`."""
        return self._search.variation(row, action)
