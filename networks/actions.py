"""Actions of a Gymnasium space from the numbers of a policy head: chosen in numpy, judged in torch.

An action is a deterministic function of the head's numbers and of standard noise that the caller drew, so that a whole
rollout's chance is drawn at once and nothing here owns a random stream. Without noise it is the most likely one.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from gymnasium import spaces
from torch import Tensor

from keel.networks.distributions import (
    MASKED_LOGIT,
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    Distribution,
    MultiCategorical,
)

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


class ActionSpace:
    """How the numbers of a policy head become actions of a Gymnasium space.

    Box actions are learnt in units where [-1, 1] spans the bounds, and cut to the bounds only on their way to the
    world; an axis that is not bounded on both sides keeps its own units.

    Attributes:
        parameters: how many numbers the head gives for one action.
        continuous: whether the numbers are means, with a spread beside them; otherwise they are logits.

    Raises:
        ValueError: for spaces that no distribution here covers.
    """

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.space = space
        self.continuous = isinstance(space, spaces.Box)
        match space:
            case spaces.Discrete():
                self.parameters = int(space.n)
            case spaces.MultiDiscrete() if len(space.shape) == 1:
                self.parameters = int(space.nvec.sum())
                self.sizes = tuple(int(size) for size in space.nvec)
            case spaces.MultiBinary() if len(space.shape) == 1:
                self.parameters = int(space.shape[0])
            case spaces.Box() if np.issubdtype(space.dtype, np.floating):
                self.parameters = int(np.prod(space.shape))
                self.middle, self.half_width = box_scale(space)
            case _:
                raise ValueError(
                    f"the action space is {space}: policies here take Discrete, MultiDiscrete and MultiBinary of one "
                    "axis, and Box of floats"
                )

    def draw_noise(self, generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Standard noise [*shape, parameters] float32: normal for means, logistic for switches, Gumbel for choices."""
        size = (*shape, self.parameters)
        if self.continuous:
            return generator.standard_normal(size, dtype=np.float32)
        if isinstance(self.space, spaces.MultiBinary):
            return generator.logistic(size=size).astype(np.float32)
        return generator.gumbel(size=size).astype(np.float32)

    def choose(self, numbers: Array, log_std: Array | None, mask: Array | None, noise: Array | None) -> Array:
        """Samples as the distribution knows them: [B] choices, [B parts] choices or switches, or [B n] reals.

        Args:
            numbers: [B parameters] logits or means; log_std: [parameters] of the means.
            mask: [B parameters] True = legal, or None; noise: [B parameters], or None for the most likely action.
        """
        if log_std is not None:
            return numbers if noise is None else numbers + np.exp(log_std) * noise
        if mask is not None:
            numbers = np.where(mask, numbers, np.float32(MASKED_LOGIT))
        if noise is not None:
            numbers = numbers + noise
        match self.space:
            case spaces.Discrete():
                return numbers.argmax(axis=-1)
            case spaces.MultiDiscrete():
                parts = np.split(numbers, np.cumsum(self.sizes)[:-1], axis=-1)
                return np.stack([part.argmax(axis=-1) for part in parts], axis=-1)
        return (numbers > 0).astype(np.int64)

    def to_world(self, sample: Array) -> Array:
        """Samples as the world takes them [B *space.shape]."""
        match self.space:
            case spaces.Discrete():
                return sample + self.space.start if self.space.start else sample
            case spaces.MultiDiscrete():
                return sample + self.space.start
            case spaces.Box():
                scaled = sample.reshape(-1, *self.space.shape) * self.half_width + self.middle
                return np.clip(scaled, self.space.low, self.space.high).astype(self.space.dtype)
        return sample.astype(self.space.dtype)

    def distribution(self, numbers: Tensor, log_std: Tensor | None, mask: Tensor | None) -> Distribution:
        """The same for learning: log-probabilities and entropy of samples, with any leading axes."""
        if log_std is not None:
            return DiagonalGaussian(numbers, log_std)
        match self.space:
            case spaces.Discrete():
                return Categorical(numbers, mask)
            case spaces.MultiDiscrete():
                return MultiCategorical(numbers, self.sizes, mask)
        return Bernoulli(numbers, mask)


def box_scale(space: spaces.Box) -> tuple[Array, Array]:
    """(middle, half width) of each axis; (0, 1) for an axis that is not bounded on both sides."""
    bounded = np.isfinite(space.low) & np.isfinite(space.high)
    low, high = np.where(bounded, space.low, -1.0), np.where(bounded, space.high, 1.0)
    return ((low + high) / 2).astype(np.float64), ((high - low) / 2).astype(np.float64)
