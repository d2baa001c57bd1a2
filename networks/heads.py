"""Heads: the last layers, from features to the numbers that an algorithm needs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from keel.networks.actions import ActionSpace
from keel.networks.initialise import orthogonal

POLICY_GAIN = (
    0.01  # a nearly uniform first policy (Andrychowicz et al. 2021, What matters in on-policy RL, section 3.2)
)


class PolicyHead(nn.Module):
    """Features [... F] to the numbers [... P] that make a distribution over actions.

    For continuous actions they are means, and `log_std` [P] is a free parameter beside them.
    """

    def __init__(self, features: int, actions: ActionSpace, initial_log_std: float) -> None:
        super().__init__()
        self.linear = orthogonal(nn.Linear(features, actions.parameters), POLICY_GAIN)
        self.log_std: nn.Parameter | None = None
        if actions.continuous:
            self.log_std = nn.Parameter(torch.full((actions.parameters,), initial_log_std))

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(features)


class ValueHead(nn.Module):
    """Features [... F] to a value [...]."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.linear = orthogonal(nn.Linear(features, 1), 1.0)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(features).squeeze(-1)
