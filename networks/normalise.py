"""Running mean and variance as a module, so that whoever runs the network sees the same scale."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


class RunningNorm(nn.Module):
    """Scales vectors [... *shape] to zero mean and unit variance over all that `update` has seen.

    It changes only in `update`, so acting, evaluating and exporting leave it alone. Before the first update it is the
    identity. Values are cut to ±`limit` standard deviations.
    """

    def __init__(self, shape: tuple[int, ...], limit: float = 10.0, epsilon: float = 1e-8) -> None:
        super().__init__()
        self.limit = limit
        self.epsilon = epsilon
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(shape, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.mean: Tensor
        self.variance: Tensor
        self.count: Tensor

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(self.variance + self.epsilon)
        return ((x - self.mean.to(x.dtype)) * scale.to(x.dtype)).clamp(-self.limit, self.limit)

    def plain(self, x: Array) -> Array:
        """`forward` in numpy, for a module on the CPU."""
        scale = 1.0 / np.sqrt(self.variance.numpy() + self.epsilon)
        return np.clip((x - self.mean.numpy().astype(x.dtype)) * scale.astype(x.dtype), -self.limit, self.limit)

    @torch.no_grad()
    def update(self, batch: Tensor) -> None:
        """Merge a batch [N *shape] into the statistics (Chan, Golub and LeVeque 1979, pairwise updates)."""
        batch = batch.to(self.mean.dtype)
        variance, mean = torch.var_mean(batch, dim=0, correction=0)
        total = self.count + len(batch)
        difference = mean - self.mean
        spread = self.variance * self.count + variance * len(batch) + difference**2 * self.count * len(batch) / total
        self.mean.copy_(self.mean + difference * len(batch) / total)
        self.variance.copy_(spread / total)
        self.count.copy_(total)
