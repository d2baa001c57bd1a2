"""A game without a board: a random tree of positions that ends at various depths, for judging a search."""

from __future__ import annotations

import numpy as np


class RandomTree:
    """The rules of `Game` over a tree drawn by chance. Its state is the number of the position, in four bytes."""

    height, width, planes, state_size = 1, 4, 1, 4
    compiled = False
    piece_moves = 0

    def __init__(self, seed: int, actions: int = 3, depth: int = 4, all_legal: bool = False) -> None:
        self.actions = self.most_legal = actions
        self.most_moves = depth
        self._random = np.random.default_rng(seed)
        self.children, self.outcome, self._all_legal = [], [], all_legal
        self._add(depth)
        self.children, self.outcome = np.array(self.children), np.array(self.outcome, np.float32)
        self.logits = self._random.normal(size=(len(self.outcome), actions)).astype(np.float32)
        self.guess = self._random.uniform(-0.9, 0.9, len(self.outcome)).astype(np.float32)

    def _add(self, depth: int) -> int:
        number = len(self.children)
        self.children.append([-1] * self.actions)
        ends = depth == 0 or (number > 0 and self._random.random() < 0.15)
        self.outcome.append(self._random.choice([-1.0, 0.0, 1.0]) if ends else np.nan)
        if not ends:
            legal = self._random.random(self.actions) < (1.0 if self._all_legal else 0.8)
            legal[self._random.integers(self.actions)] = True
            for action in np.flatnonzero(legal):
                self.children[number][action] = self._add(depth - 1)
        return number

    def number(self, states):
        return np.ascontiguousarray(states).view(np.int32)[:, 0]

    def states(self, numbers):
        return np.array(numbers, np.int32)[:, None].view(np.int8)

    def start(self):
        return self.states([0])[0]

    def legal(self, states):
        return self.children[self.number(states)] >= 0

    def play(self, states, actions, after, legal, ended, value):
        numbers = self.children[self.number(states), actions]
        assert (numbers >= 0).all(), "an illegal move"
        after[:] = self.states(numbers)
        ended[:] = ~np.isnan(self.outcome[numbers])
        value[:] = np.nan_to_num(self.outcome[numbers])
        legal[:] = self.children[numbers] >= 0

    def evaluate(self, states):
        """The network: logits and values drawn with the tree."""
        numbers = self.number(states)
        assert np.isnan(self.outcome[numbers]).all(), "an ended position was given to the network"
        return self.logits[numbers], self.guess[numbers]

    def minimax(self, number=0):
        """What the position is worth to the player who is to move."""
        if not np.isnan(self.outcome[number]):
            return float(self.outcome[number])
        return max(-self.minimax(child) for child in self.children[number] if child >= 0)
