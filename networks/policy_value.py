"""What a position is worth and which move is good: the network that a tree search asks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from keel.networks.backbone import BackboneConfig
from keel.networks.build import build_backbone
from keel.networks.heads import POLICY_GAIN
from keel.networks.initialise import orthogonal


class PolicyValueNetwork(nn.Module):
    """Planes [N C H W] to logits [N actions] and values [N] in -1 to 1, on any backbone without memory.

    Source: Silver et al. 2018, AlphaZero, with both heads on the backbone's features.

    Raises:
        ValueError: a backbone that does not fit, or one with memory.
    """

    def __init__(self, planes: tuple[int, int, int], actions: int, config: BackboneConfig) -> None:
        super().__init__()
        self.backbone = build_backbone(planes, config)
        if self.backbone.initial_state(1):
            raise ValueError(f"the backbone {config.kind} has memory, and a position says it all: choose board")
        self.policy = orthogonal(nn.Linear(self.backbone.features, actions), POLICY_GAIN)
        self.value = orthogonal(nn.Linear(self.backbone.features, 1), POLICY_GAIN)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        no_first = torch.zeros(1, len(planes), dtype=torch.bool, device=planes.device)
        features = self.backbone(planes.unsqueeze(0), (), no_first)[0].squeeze(0)
        return self.policy(features), torch.tanh(self.value(features).squeeze(-1))
