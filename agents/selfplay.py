"""Games of an agent against itself, many in step: what it learns from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from keel.agents.checks import at_least, between, positive
from keel.agents.positions import Positions, pack, room
from keel.agents.search import Evaluate, Found, Search, SearchConfig
from keel.envs.games.game import Game
from keel.envs.games.opponents import play
from keel.envs.protocol import Array, State
from keel.envs.seeding import generator

CHECKED_SHARE = 0.1  # of the games are never given up, to see how often that would have been a mistake
NEVER = -1


@dataclass(frozen=True)
class SelfPlayConfig:
    """Settings of self-play."""

    actors: int = 2
    """Threads, or processes, that play at the same time."""
    games: int = 64
    """Games that each of them plays side by side."""
    moves: int = 16
    """Moves of each game between two times of learning."""
    random_share: float = 0.5
    """Share of the games that begin with moves by lot, so that odd positions are known, too."""
    random_moves: int = 8
    """These games begin with up to this many."""
    full_share: float = 0.25
    """Share of the moves that are searched in full. The others teach what positions are worth, but no moves."""
    fast_simulations: int = 8
    """Simulations of those others (playout cap randomisation, Wu 2019)."""
    drawn_moves: int = 10
    """Moves of a game in which chance has a say: by the search's noise (gumbel), or drawn by the shares of visits (puct).
    Later ones are the best ones, so that games end as they should."""
    dirichlet: float = 1.0
    """puct: parameter of the noise at the root for ten legal moves (Silver et al. 2018 have about this much)."""
    give_up: float = 1.0
    """A game is given up where the search says that it is worth less than minus this; 1: never."""

    def __post_init__(self) -> None:
        at_least(1, actors=self.actors, games=self.games, moves=self.moves, fast_simulations=self.fast_simulations)
        at_least(0, random_moves=self.random_moves, drawn_moves=self.drawn_moves)
        positive(dirichlet=self.dirichlet, full_share=self.full_share)
        between(0.0, 1.0, full_share=self.full_share, give_up=self.give_up, random_share=self.random_share)


class Played(NamedTuple):
    """What came of some moves of self-play."""

    positions: Positions  # of the games that ended, one game after the other
    games: int  # that ended
    moves: int  # that were made, in all games
    checked: int  # ended games that were played on although they would have been given up
    mistaken: int  # those of them that the loser did not lose


def together(parts: Sequence[Played]) -> Played:
    """What came of several stretches of self-play, at least one, in their order."""
    positions = Positions(*(np.concatenate(columns) for columns in zip(*(p.positions for p in parts), strict=True)))
    return Played(positions, *(sum(column) for column in zip(*(part[1:] for part in parts), strict=True)))


class SelfPlay:
    """`config.games` games that go on side by side; where one has ended, the next begins.

    All chance is a function of the seed and of the number of the move, so a state saved is a state restored.

    Raises:
        ValueError: `random_moves` as long as the game.
    """

    def __init__(self, game: Game, config: SelfPlayConfig, search: SearchConfig, seed: int) -> None:
        if config.random_moves >= game.most_moves:
            most = f"no game of {game.name} is longer than {game.most_moves} moves"
            raise ValueError(f"random_moves is {config.random_moves}: {most}")
        self.game, self.config, self.rule, self.seed = game, config, search.rule, seed
        self._full = Search(game, search, config.games)
        self._fast = self._full
        if config.full_share < 1.0:
            fast = dataclasses.replace(search, simulations=config.fast_simulations)
            self._fast = Search(game, fast, config.games)
        batch = config.games
        self.moves = 0  # that all games have made, side by side
        self.states = np.stack([game.start()] * batch)
        self.length = np.zeros(batch, np.int64)  # of what is kept of each game: moves by lot are not
        self.given_up_at = np.full(batch, NEVER, np.int64)  # where a game that is played on would have been given up
        self.history = Positions(
            *(part.reshape(batch, -1, *part.shape[1:]) for part in room(game, batch * game.most_moves))
        )
        self._begin(np.arange(batch), generator(seed, "openings"))

    def step(self, evaluate: Evaluate) -> Played:
        """One move in every game."""
        chance = generator(self.seed, "selfplay", self.moves)
        # One draw for all games: as they are at different moves, no kind of position is favoured.
        full = bool(chance.random() < self.config.full_share)
        found = (self._full if full else self._fast).run(self.states, evaluate, self._noise(chance))
        rows = np.arange(self.config.games)
        new = (self.states, pack(found.policy, self.game.legal(self.states), self.game.most_legal), found.value)
        for kept, value in zip(self.history, new, strict=False):
            kept[rows, self.length] = value
        self.history.taught[rows, self.length] = full
        played = play(self.game, self.states, self._choice(found, chance))
        given_up = self._given_up(found.value, chance)
        self.moves += 1
        self.length += 1
        value = np.where(given_up, 1.0, played.value)  # who is next has won
        over = np.flatnonzero(played.ended | given_up)
        finished = [self._finish(row, float(value[row])) for row in over.tolist()]
        checked = over[self.given_up_at[over] != NEVER]
        mistaken = sum(self.history.outcome[row, self.given_up_at[row]] > -1.0 for row in checked.tolist())
        self.states = played.after
        self._begin(over, chance)
        empty = Positions(*(part[0, :0] for part in self.history))
        positions = Positions(*(np.concatenate(parts) for parts in zip(empty, *finished, strict=True)))
        return Played(positions, len(over), self.config.games, len(checked), int(mistaken))

    def _begin(self, rows: Array, chance: np.random.Generator) -> None:
        """New games in these rows, some after moves by lot; an opening that ends the game is drawn again."""
        self.length[rows], self.given_up_at[rows] = 0, NEVER
        while len(rows):
            left = chance.integers(self.config.random_moves + 1, size=len(rows))
            left[chance.random(len(rows)) >= self.config.random_share] = 0
            self.states[rows] = self.game.start()
            again = np.zeros(len(rows), bool)
            for made in range(self.config.random_moves):
                going = np.flatnonzero((left > made) & ~again)
                if len(going) == 0:
                    break
                legal = self.game.legal(self.states[rows[going]])
                lot = (1.0 - chance.random(legal.shape)) * legal  # above 0 for whatever is legal
                played = play(self.game, self.states[rows[going]], lot.argmax(axis=1))
                self.states[rows[going]] = played.after
                again[going] = played.ended
            rows = rows[again]

    def _choice(self, found: Found, chance: np.random.Generator) -> Array:
        """The moves to make, [B] int32: the best; with puct in a game's beginning drawn by the shares of visits."""
        if self.rule == "gumbel":
            return found.action
        below = found.policy.cumsum(axis=1, dtype=np.float64)
        drawn = (below <= chance.random((len(below), 1)) * below[:, -1:]).sum(axis=1)  # never beyond the last share
        return np.where(self.length < self.config.drawn_moves, drawn, found.action).astype(np.int32)

    def _given_up(self, value: Array, chance: np.random.Generator) -> Array:
        """Which games end here because their mover has lost, [B] bool; some play on, and it is noted where."""
        if self.config.give_up >= 1.0:
            return np.zeros(self.config.games, bool)
        lost = (value < -self.config.give_up) & (self.given_up_at == NEVER)
        checked = chance.random(self.config.games) < CHECKED_SHARE
        self.given_up_at[lost & checked] = self.length[lost & checked]
        return lost & ~checked

    def _finish(self, row: int, value: float) -> Positions:
        """The positions of an ended game. `value`: for who would be next; it changes sides with every move."""
        length = int(self.length[row])
        sign = np.where((length - np.arange(length)) % 2 == 0, 1.0, -1.0)
        self.history.outcome[row, :length] = value * sign
        return Positions(*(part[row, :length].copy() for part in self.history))

    def _noise(self, chance: np.random.Generator) -> Array:
        shape = (self.config.games, self.game.actions)
        if self.rule == "gumbel":
            return chance.gumbel(size=shape) * (self.length < self.config.drawn_moves)[:, None]
        legal = self.game.legal(self.states)
        parameter = self.config.dirichlet * 10.0 / legal.sum(axis=1, keepdims=True)
        drawn = chance.gamma(np.broadcast_to(parameter, shape)) * legal  # normalised: Dirichlet over what is legal
        return drawn / np.maximum(drawn.sum(axis=1, keepdims=True), 1e-30)

    def state_dict(self) -> State:
        """The games as they stand."""
        longest = int(self.length.max())
        known = np.arange(longest) < self.length[:, None]  # beyond it stand the leftovers of earlier games
        history = {}
        for name, part in self.history._asdict().items():
            if name != "outcome":
                inside = known.reshape(*known.shape, *(1,) * (part.ndim - 2))
                history[name] = np.where(inside, part[:, :longest], part.dtype.type(0))
        games = {"states": self.states.copy(), "length": self.length.copy(), "given_up_at": self.given_up_at.copy()}
        return {"moves": self.moves, **games, "history": history}

    def load_state_dict(self, state: State) -> None:
        self.moves = state["moves"]
        for name in ("states", "length", "given_up_at"):
            setattr(self, name, np.array(state[name]))
        for name, part in state["history"].items():
            getattr(self.history, name)[:, : part.shape[1]] = part
