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
    policy: Array  # [N A] float32, what the search made of the network's policy
    value: Array  # [N] float32, the search's value of the position, for the player who is to move
    outcome: Array  # [N] float32, how the game ended for that player


class Window:
    """The latest `capacity` positions.

    Raises:
        ValueError: `capacity` below 1.
    """

    def __init__(self, game: Game, capacity: int) -> None:
        at_least(1, window=capacity)
        self.game, self.capacity = game, capacity
        self._kept = Positions(
            np.zeros((capacity, game.state_size), np.int8),
            np.zeros((capacity, game.actions), np.float32),
            np.zeros(capacity, np.float32),
            np.zeros(capacity, np.float32),
        )
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

    def draw(self, generator: np.random.Generator, count: int) -> tuple[Array, Array, Positions]:
        """`count` positions, all equally likely, each turned or mirrored at random.

        Returns: planes [count C H W], legal [count A], and the positions, whose policies are turned like the planes
        while their states are as they were.
        """
        rows = generator.integers(len(self), size=count)
        drawn = Positions(*(kept[rows] for kept in self._kept))
        planes, legal = self.game.observe(drawn.states), self.game.legal(drawn.states)
        turn = generator.integers(len(self.game.cell_symmetries), size=count)
        cells = self.game.cell_symmetries[turn][:, None]  # [count 1 H*W]
        actions = self.game.action_symmetries[turn]
        flat = planes.reshape(count, planes.shape[1], -1)
        turned = np.take_along_axis(flat, np.broadcast_to(cells, flat.shape), axis=2).reshape(planes.shape)
        policy = np.take_along_axis(drawn.policy, actions, axis=1)
        return turned, np.take_along_axis(legal, actions, axis=1), drawn._replace(policy=policy)

    def state_dict(self) -> State:
        """All that is kept, in the order of the ring: with `added` it restores to the same draws, wrapped or not."""
        return {"added": self.added, **{name: part[: len(self)].copy() for name, part in self._kept._asdict().items()}}

    def load_state_dict(self, state: State) -> None:
        self.added = state["added"]
        for name, part in self._kept._asdict().items():
            part[: len(self)] = state[name]
