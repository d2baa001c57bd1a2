"""Distributions over actions: what a policy head's numbers mean for learning, in torch.

How actions are chosen from the same numbers stands in actions.py.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

MASKED_LOGIT = -1e8  # finite, so that 0 * log 0 stays 0 in the entropy and its gradient


class Distribution(Protocol):
    """Over actions, with any leading axes [...]."""

    def log_prob(self, action: Tensor) -> Tensor:
        """[...] log-probability (or density) of each action."""
        ...

    def entropy(self) -> Tensor:
        """[...] in nats."""
        ...


class Categorical:
    """One of n choices. Logits [... n], mask [... n] (True = legal), action [...] int64."""

    def __init__(self, logits: Tensor, mask: Tensor | None = None) -> None:
        self.logits = logits if mask is None else torch.where(mask, logits, MASKED_LOGIT)
        self.log_probs = torch.log_softmax(self.logits, dim=-1)

    def log_prob(self, action: Tensor) -> Tensor:
        return self.log_probs.gather(-1, action.long().unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        return -(self.log_probs.exp() * self.log_probs).sum(dim=-1)


class MultiCategorical:
    """Several independent choices. Logits [... sum(sizes)], action [... len(sizes)] int64."""

    def __init__(self, logits: Tensor, sizes: tuple[int, ...], mask: Tensor | None = None) -> None:
        self.sizes = sizes
        masks = [None] * len(sizes) if mask is None else mask.split(sizes, dim=-1)
        self.parts = [Categorical(part, m) for part, m in zip(logits.split(sizes, dim=-1), masks, strict=True)]

    def log_prob(self, action: Tensor) -> Tensor:
        return torch.stack([part.log_prob(action[..., i]) for i, part in enumerate(self.parts)]).sum(dim=0)

    def entropy(self) -> Tensor:
        return torch.stack([part.entropy() for part in self.parts]).sum(dim=0)


class Bernoulli:
    """Independent switches. Logits [... n], action [... n] of 0 and 1."""

    def __init__(self, logits: Tensor, mask: Tensor | None = None) -> None:
        self.logits = logits if mask is None else torch.where(mask, logits, MASKED_LOGIT)

    def log_prob(self, action: Tensor) -> Tensor:
        sign = 2 * action.to(self.logits.dtype) - 1
        return torch.nn.functional.logsigmoid(sign * self.logits).sum(dim=-1)

    def entropy(self) -> Tensor:
        probability = torch.sigmoid(self.logits)
        on, off = torch.nn.functional.logsigmoid(self.logits), torch.nn.functional.logsigmoid(-self.logits)
        return -(probability * on + (1 - probability) * off).sum(dim=-1)


class DiagonalGaussian:
    """Independent normals. Mean [... n], log_std [n] or [... n], action [... n]."""

    def __init__(self, mean: Tensor, log_std: Tensor) -> None:
        self.mean = mean
        self.log_std = log_std

    def log_prob(self, action: Tensor) -> Tensor:
        z = (action - self.mean) * torch.exp(-self.log_std)
        return (-0.5 * z * z - self.log_std).sum(dim=-1) - 0.5 * math.log(2 * math.pi) * self.mean.shape[-1]

    def entropy(self) -> Tensor:
        per_axis = 0.5 * math.log(2 * math.pi * math.e) + self.log_std
        return per_axis.expand_as(self.mean).sum(dim=-1)
