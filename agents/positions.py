"""The positions of the latest games of self-play: a ring of arrays that learning draws from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keel.agents.checks import at_least
from keel.envs.games.game import Game
from keel.envs.protocol import Array, State


class Positions(NamedTuple):
    """Positions of finished games, and what the search and the outcome say of each."""

    states: Array  # [N S] int8
    policy: Array  # [N L] float32, what the search made of the network's policy: the legal actions alone, in order
    value: Array  # [N] float32, the search's value of the position, for the player who is to move
    taught: Array  # [N] bool, whether the search was a full one, so that its policy is worth learning
    outcome: Array  # [N] float32, how the game ended for that player


class Drawn(NamedTuple):
    """Positions to learn from, each turned or mirrored at random."""

    planes: Array  # [N C H W] float32
    legal: Array  # [N A] bool
    policy: Array  # [N A] float32
    value: Array  # [N] float32
    taught: Array  # [N] bool
    outcome: Array  # [N] float32


def room(game: Game, count: int) -> Positions:
    """Zeros for so many positions."""
    return Positions(
        np.zeros((count, game.state_size), np.int8),
        np.zeros((count, game.most_legal), np.float32),
        np.zeros(count, np.float32),
        np.zeros(count, np.bool_),
        np.zeros(count, np.float32),
    )


def pack(policy: Array, legal: Array, most_legal: int) -> Array:
    """[N A] to [N L], what counts alone: chess has 4,672 actions, of which 218 at most are legal at a time."""
    packed = np.zeros((len(policy), most_legal), np.float32)
    packed[np.arange(most_legal) < legal.sum(axis=1)[:, None]] = policy[legal]
    return packed


def unpack(packed: Array, legal: Array) -> Array:
    """[N L] to [N A]: the opposite of `pack`."""
    policy = np.zeros(legal.shape, np.float32)
    policy[legal] = packed[np.arange(packed.shape[1]) < legal.sum(axis=1)[:, None]]
    return policy


class Window:
    """The latest `capacity` positions.

    Raises:
        ValueError: `capacity` below 1.
    """

    def __init__(self, game: Game, capacity: int) -> None:
        at_least(1, window=capacity)
        self.game, self.capacity = game, capacity
        self._kept = room(game, capacity)
        self.added = 0  # ever; the next one goes to this number modulo capacity

    def __len__(self) -> int:
        return min(self.added, self.capacity)

    def add(self, positions: Positions) -> None:
        """Take in positions; the oldest make room. Of more than `capacity` at once the last ones stay."""
        count = len(positions.value)
        at = np.arange(self.added, self.added + count)[-self.capacity :] % self.capacity
        for kept, new in zip(self._kept, positions, strict=True):
            kept[at] = new[-self.capacity :]
        self.added += count

    def draw(self, generator: np.random.Generator, count: int) -> Drawn:
        """`count` positions, all equally likely."""
        rows = generator.integers(len(self), size=count)
        kept = Positions(*(part[rows] for part in self._kept))
        planes, legal = self.game.observe(kept.states), self.game.legal(kept.states)
        policy = unpack(kept.policy, legal)
        if len(self.game.cell_symmetries) > 1:
            turn = generator.integers(len(self.game.cell_symmetries), size=count)
            cells = self.game.cell_symmetries[turn][:, None]  # [count 1 H*W]
            actions = self.game.action_symmetries[turn]
            flat = planes.reshape(count, planes.shape[1], -1)
            planes = np.take_along_axis(flat, np.broadcast_to(cells, flat.shape), axis=2).reshape(planes.shape)
            legal, policy = (np.take_along_axis(part, actions, axis=1) for part in (legal, policy))
        return Drawn(planes, legal, policy, kept.value, kept.taught, kept.outcome)

    def state_dict(self) -> State:
        """All that is kept, in the order of the ring: with `added` it restores to the same draws, wrapped or not."""
        return {"added": self.added, **{name: part[: len(self)].copy() for name, part in self._kept._asdict().items()}}

    def load_state_dict(self, state: State) -> None:
        self.added = state["added"]
        for name, part in self._kept._asdict().items():
            part[: len(self)] = state[name]
