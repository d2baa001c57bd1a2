"""What a position is worth and which move is good: the network that a tree search asks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from keel.networks.backbone import BackboneConfig
from keel.networks.board import BoardResNet
from keel.networks.build import build_backbone
from keel.networks.heads import POLICY_GAIN, PieceMoves
from keel.networks.initialise import orthogonal


class PolicyValueNetwork(nn.Module):
    """Planes [N C H W] to logits [N actions] and values [N] in -1 to 1, on any backbone without memory.

    Both heads stand on the backbone's features; with `piece_moves` and a backbone that keeps the board's shape, the
    policy's stands on its map instead, and knows a move wherever it has learnt it.

    Args: piece_moves: k where action k * cell + i is a move of the piece on that cell (`Game.piece_moves`); 0: none.

    Source: Silver et al. 2018, AlphaZero, whose policy for chess is likewise a convolution to the moves of every cell.

    Raises:
        ValueError: a backbone that does not fit, or one with memory; `piece_moves` that do not make up the actions.
    """

    def __init__(
        self, planes: tuple[int, int, int], actions: int, config: BackboneConfig, piece_moves: int = 0
    ) -> None:
        super().__init__()
        self.backbone = build_backbone(planes, config)
        if self.backbone.initial_state(1):
            raise ValueError(f"the backbone {config.kind} has memory, and a position says it all: choose board")
        if piece_moves and actions != piece_moves * planes[1] * planes[2]:
            cells = f"{planes[1]} x {planes[2]} cells of {piece_moves} moves"
            raise ValueError(f"the game has {actions} actions: {cells} would be {piece_moves * planes[1] * planes[2]}")
        if piece_moves and isinstance(self.backbone, BoardResNet):
            self.policy = PieceMoves(self.backbone.feature_shape[0], piece_moves)
        else:
            self.policy = orthogonal(nn.Linear(self.backbone.features, actions), POLICY_GAIN)
        self.value = orthogonal(nn.Linear(self.backbone.features, 1), POLICY_GAIN)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        if isinstance(self.policy, PieceMoves):
            assert isinstance(self.backbone, BoardResNet)
            feature_map = self.backbone.feature_map(planes)
            return self.policy(feature_map), self.value_of(self.backbone.summary(feature_map))
        no_first = torch.zeros(1, len(planes), dtype=torch.bool, device=planes.device)
        features = self.backbone(planes.unsqueeze(0), (), no_first)[0].squeeze(0)
        return self.policy(features), self.value_of(features)

    def value_of(self, features: Tensor) -> Tensor:
        """[N features] -> [N]."""
        return torch.tanh(self.value(features).squeeze(-1))
