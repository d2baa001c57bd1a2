"""The noise that exploration is made of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keel.envs.protocol import Array
from keel.envs.seeding import generator


def correlated(noise: Array, correlation: float) -> Array:
    """Standard normal noise [T ...] made to hang together along T, each step still standard normal by itself.

        z_0 = e_0,  z_t = rho z_{t-1} + sqrt(1 - rho^2) e_t

    Source: Hollenstein et al. 2024, Colored noise in PPO, which uses other spectra for the same purpose.
    """
    if correlation == 0.0:
        return noise
    result = noise.copy()
    for t in range(1, len(noise)):
        result[t] = correlation * result[t - 1] + np.sqrt(1 - correlation**2) * noise[t]
    return result


class Blocks:
    """Random rows, drawn a block at a time; each is a function of seed, purpose and its number alone, so that a run
    that resumes draws the same ones and no state of a generator is kept.

    Args: draw: (generator, rows) -> [rows ...]; rows: of a block.
    """

    def __init__(
        self, seed: int, purpose: str, draw: Callable[[np.random.Generator, int], Array], rows: int = 64
    ) -> None:
        self._seed, self._purpose, self._draw, self._rows = seed, purpose, draw, rows
        self._number = -1
        self._block = np.empty(0)

    def row(self, index: int) -> Array:
        number, offset = divmod(index, self._rows)
        if number != self._number:
            self._block = self._draw(generator(self._seed, self._purpose, number), self._rows)
            self._number = number
        return self._block[offset]


def standard_normal(width: int, size: int) -> Callable[[np.random.Generator, int], Array]:
    """For `Blocks`: rows of [width size] standard normal numbers."""
    return lambda random, rows: random.standard_normal((rows, width, size), dtype=np.float32)


def epsilon_greedy(preferences: Array, mask: Array | None, chance: Array | None, epsilon: float) -> Array:
    """Choices [B]: with probability epsilon any legal action, else the preferred one.

    Args:
        preferences: [B A]; mask: [B A] True = legal, or None.
        chance: [B 1 + A] uniform in [0, 1): the first number decides whether to explore, the others order the actions;
            None: greedy.
    """
    if chance is not None:
        preferences = np.where(chance[:, :1] < epsilon, chance[:, 1:], preferences)
    if mask is not None:
        preferences = np.where(mask, preferences, -np.inf)
    return preferences.argmax(axis=-1)


class Persistence:
    """Random actions that last: each goes on in the next step with a fixed chance, so that exploration swings instead of
    trembling.

    Source: Dabney et al. 2021, Temporally-extended epsilon-greedy exploration, with durations that are geometric.
    """

    def __init__(self, num_envs: int, chance: float) -> None:
        self.chance = chance
        self.held = np.full(num_envs, -1)  # the random action of the step before, -1: it was not random

    def __call__(self, choice: Array, explored: Array, again: Array, is_first: Array, mask: Array | None) -> Array:
        """Choices [B] with those held that go on, where they are legal.

        Args: choice: [B] by epsilon_greedy; explored: [B] bool, which of them are random; again: [B] uniform in [0, 1).
        """
        continued = (self.held >= 0) & (again < self.chance) & ~is_first
        if mask is not None:
            continued &= mask[np.arange(len(choice)), self.held]
        choice = np.where(continued, self.held, choice)
        self.held = np.where(continued | explored, choice, -1)
        return choice
