"""Convolutional backbones for images: Nature-DQN (Mnih et al. 2015), the IMPALA residual network, and a small one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from keel.networks.backbone import CNNConfig, Memory
from keel.networks.initialise import orthogonal


class CNN(nn.Module):
    """Images [T B C H W], uint8 in 0…255 or float in 0…1, to features [T B config.features].

    `feature_shape` (C, H, W) and `feature_map` give heads that want it the map before the fully connected layer.

    Raises:
        ValueError: where the image is too small for the convolutions.
    """

    def __init__(self, image_shape: tuple[int, int, int], config: CNNConfig) -> None:
        super().__init__()
        match config.variant:
            case "nature":
                self.convolutions = nature_layers(image_shape[0], config.channels, config.layer_norm)
            case "impala":
                self.convolutions = impala_layers(image_shape[0], config.channels)
            case "small":
                self.convolutions = small_layers(image_shape[0], config.channels, config.layer_norm)
        self.image_shape = image_shape
        self.feature_shape = self._map_shape(config.variant)
        channels, height, width = self.feature_shape
        self.project = orthogonal(nn.Linear(channels * height * width, config.features))
        self.project_norm = nn.LayerNorm(config.features) if config.layer_norm else nn.Identity()
        self.features = config.features

    def _map_shape(self, variant: str) -> tuple[int, int, int]:
        try:
            with torch.no_grad():
                shape = self.convolutions(torch.zeros(1, *self.image_shape)).shape
        except (RuntimeError, ValueError) as error:
            least = {"small": "3x3 or more and one layer of `channels` fewer", "nature": "36x36 or more"}
            least = least.get(variant, "2x2 or more")
            raise ValueError(
                f"images of shape {self.image_shape} (channels, height, width) are too small for the {variant} "
                f"convolutions, which take {least}; --backbone.variant impala takes any"
            ) from error
        return shape[1], shape[2], shape[3]

    def initial_state(self, batch: int) -> Memory:
        return ()

    def feature_map(self, images: Tensor) -> Tensor:
        """[N C H W] -> [N, *feature_shape]."""
        # Images that came with their channels last would be convolved so too: twice as slow for small ones on a CPU.
        scaled = images.to(self.project.weight.dtype, memory_format=torch.contiguous_format)
        return self.convolutions(scaled / 255.0 if images.dtype == torch.uint8 else scaled)

    def forward(self, observation: Tensor, state: Memory, is_first: Tensor) -> tuple[Tensor, Memory]:
        time, batch = observation.shape[:2]
        features = self.feature_map(observation.flatten(0, 1)).flatten(1)
        return torch.relu(self.project_norm(self.project(features))).unflatten(0, (time, batch)), state


def nature_layers(inputs: int, channels: tuple[int, ...], layer_norm: bool) -> nn.Sequential:
    """Mnih et al. 2015, Human-level control through deep reinforcement learning, Methods."""
    kernels, strides = (8, 4, 3), (4, 2, 1)
    return plain_layers(inputs, list(zip(channels, kernels, strides, strict=True)), layer_norm)


def small_layers(inputs: int, channels: tuple[int, ...], layer_norm: bool) -> nn.Sequential:
    """Young and Tian 2019, MinAtar, section 3: 3x3 convolutions of stride 1 without padding."""
    return plain_layers(inputs, [(outputs, 3, 1) for outputs in channels], layer_norm)


def plain_layers(inputs: int, sizes: list[tuple[int, int, int]], layer_norm: bool) -> nn.Sequential:
    """Convolutions of (channels, kernel, stride) one after the other, each rectified."""
    layers: list[nn.Module] = []
    for outputs, kernel, stride in sizes:
        layers.append(orthogonal(nn.Conv2d(inputs, outputs, kernel, stride=stride)))
        if layer_norm:
            layers.append(nn.GroupNorm(1, outputs))
        layers.append(nn.ReLU())
        inputs = outputs
    return nn.Sequential(*layers)


def impala_layers(inputs: int, channels: tuple[int, ...]) -> nn.Sequential:
    """Espeholt et al. 2018, IMPALA, figure 3 (right), without its LSTM."""
    layers: list[nn.Module] = []
    for outputs in channels:
        layers += [
            orthogonal(nn.Conv2d(inputs, outputs, 3, padding=1)),
            nn.MaxPool2d(3, stride=2, padding=1),
            ResidualBlock(outputs),
            ResidualBlock(outputs),
        ]
        inputs = outputs
    return nn.Sequential(*layers, nn.ReLU())


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(relu(x))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = orthogonal(nn.Conv2d(channels, channels, 3, padding=1))
        self.second = orthogonal(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(torch.relu(self.first(torch.relu(x))))
