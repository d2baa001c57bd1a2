"""A residual tower over the cells of a board, which keeps the board's shape to the end."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from keel.networks.backbone import BoardConfig, Memory
from keel.networks.initialise import orthogonal


class BoardResNet(nn.Module):
    """Planes [T B C H W], uint8 in 0…255, bool or float, to features [T B config.features].

    Convolutions are padded, so `feature_map` gives [N, *feature_shape] = [N channels H W], for heads with a number a
    cell. No layer normalises over the batch: rows never look at one another, in training either.

    Source: Silver et al. 2017, Mastering the game of Go without human knowledge, with a learnt scale on each residual
    branch in place of batch normalisation (De and Smith 2020, SkipInit).
    """

    def __init__(self, image_shape: tuple[int, int, int], config: BoardConfig) -> None:
        super().__init__()
        planes, height, width = image_shape
        self.stem = orthogonal(nn.Conv2d(planes, config.channels, 3, padding=1))
        self.blocks = nn.Sequential(*(Block(config.channels) for _ in range(config.blocks)))
        self.squeeze = orthogonal(nn.Conv2d(config.channels, config.squeeze, 1))
        self.pooled = config.pooled
        seen = config.squeeze * (1 if config.pooled else height * width)
        self.project = orthogonal(nn.Linear(seen, config.features))
        self.feature_shape = (config.channels, height, width)
        self.features = config.features

    def initial_state(self, batch: int) -> Memory:
        return ()

    def feature_map(self, planes: Tensor) -> Tensor:
        """[N C H W] -> [N channels H W]."""
        x = planes.to(self.project.weight.dtype, memory_format=torch.contiguous_format)
        return torch.relu(self.blocks(torch.relu(self.stem(x / 255.0 if planes.dtype == torch.uint8 else x))))

    def summary(self, feature_map: Tensor) -> Tensor:
        """[N channels H W] -> [N features]."""
        squeezed = torch.relu(self.squeeze(feature_map)).flatten(2)
        # Means of many cells hardly differ from each other: by the root of their number they do.
        seen = squeezed.mean(dim=2) * squeezed.shape[2] ** 0.5 if self.pooled else squeezed.flatten(1)
        return torch.relu(self.project(seen))

    def forward(self, observation: Tensor, state: Memory, is_first: Tensor) -> tuple[Tensor, Memory]:
        features = self.summary(self.feature_map(observation.flatten(0, 1)))
        return features.unflatten(0, observation.shape[:2]), state


class Block(nn.Module):
    """x + scale * conv(relu(conv(relu(x)))), where the scale begins at 0."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = orthogonal(nn.Conv2d(channels, channels, 3, padding=1))
        self.second = orthogonal(nn.Conv2d(channels, channels, 3, padding=1))
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.second(torch.relu(self.first(torch.relu(x))))
