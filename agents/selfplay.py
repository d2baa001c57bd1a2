"""Games of an agent against itself, many in step: what it learns from."""

from __future__ import annotations

import numpy as np

from keel.agents.positions import Positions
from keel.agents.search import Evaluate, Search, SearchConfig
from keel.envs.games.game import Game
from keel.envs.protocol import Array, State
from keel.envs.seeding import generator


class SelfPlay:
    """`batch` games that go on side by side; where one has ended, the next begins.

    All chance is a function of the seed and of the number of the move, so a state saved is a state restored.

    Args:
        opening_moves: puct: so many moves of a game are drawn by the shares of visits, the others are the best ones.
            gumbel: its noise alone makes the games differ.
        dirichlet: puct: parameter of the noise at the root, for a position with ten legal moves; it shrinks with more.
    """

    def __init__(
        self, game: Game, config: SearchConfig, batch: int, seed: int, *, opening_moves: int, dirichlet: float
    ) -> None:
        self.game, self.config, self.seed, self.batch = game, config, seed, batch
        self.opening_moves, self.dirichlet = opening_moves, dirichlet
        self.search = Search(game, config, batch)
        self.moves = 0  # that all games have made, side by side
        self.states = np.stack([game.start()] * batch)
        self.length = np.zeros(batch, np.int64)
        shape = (batch, game.most_moves)
        self.history = Positions(
            np.zeros((*shape, game.state_size), np.int8),
            np.zeros((*shape, game.actions), np.float32),
            np.zeros(shape, np.float32),
            np.zeros(shape, np.float32),
        )

    def step(self, evaluate: Evaluate) -> tuple[Positions, int]:
        """One move in every game; returns the positions of the games that ended with it, and how many those are."""
        chance = generator(self.seed, "selfplay", self.moves)
        found = self.search.run(self.states, evaluate, self._noise(chance))
        actions = found.action if self.config.rule == "gumbel" else self._drawn(found.policy, found.action, chance)
        rows = np.arange(self.batch)
        for kept, new in zip(self.history, (self.states, found.policy, found.value), strict=False):
            kept[rows, self.length] = new
        after, legal = np.empty_like(self.states), np.empty((self.batch, self.game.actions), bool)
        ended, value = np.empty(self.batch, bool), np.empty(self.batch, np.float32)
        self.game.play(self.states, actions, after, legal, ended, value)
        self.moves += 1
        self.length += 1
        over = np.flatnonzero(ended)
        finished = [self._finish(row, float(value[row])) for row in over.tolist()]
        self.states = after
        self.states[over], self.length[over] = self.game.start(), 0
        empty = Positions(*(part[0, :0] for part in self.history))
        return Positions(*(np.concatenate(parts) for parts in zip(empty, *finished, strict=True))), len(over)

    def _finish(self, row: int, value: float) -> Positions:
        """The positions of an ended game. `value`: for who would be next; it changes sides with every move."""
        length = int(self.length[row])
        sign = np.where((length - np.arange(length)) % 2 == 0, 1.0, -1.0)
        self.history.outcome[row, :length] = value * sign
        return Positions(*(part[row, :length].copy() for part in self.history))

    def _noise(self, chance: np.random.Generator) -> Array:
        shape = (self.batch, self.game.actions)
        if self.config.rule == "gumbel":
            return chance.gumbel(size=shape)
        legal = self.game.legal(self.states)
        parameter = self.dirichlet * 10.0 / legal.sum(axis=1, keepdims=True)
        drawn = chance.gamma(np.broadcast_to(parameter, shape)) * legal  # normalised: Dirichlet over what is legal
        return drawn / np.maximum(drawn.sum(axis=1, keepdims=True), 1e-30)

    def _drawn(self, shares: Array, best: Array, chance: np.random.Generator) -> Array:
        """An action by the shares of visits where a game has just begun, else the best one, [B] int32."""
        below = shares.cumsum(axis=1, dtype=np.float64)
        drawn = (below <= chance.random((self.batch, 1)) * below[:, -1:]).sum(axis=1)  # never beyond the last share
        return np.where(self.length < self.opening_moves, drawn, best).astype(np.int32)

    def state_dict(self) -> State:
        """The games as they stand."""
        history = {name: part.copy() for name, part in self.history._asdict().items() if name != "outcome"}
        games = {"moves": self.moves, "states": self.states.copy(), "length": self.length.copy()}
        return games | {"history": history}

    def load_state_dict(self, state: State) -> None:
        self.moves = state["moves"]
        self.states, self.length = state["states"].copy(), state["length"].copy()
        for name, part in state["history"].items():
            getattr(self.history, name)[:] = part
