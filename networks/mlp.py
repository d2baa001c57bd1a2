"""The multi-layer perceptron: fully connected layers over a vector."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from keel.networks.backbone import Memory, MLPConfig
from keel.networks.initialise import orthogonal


class Tanh(nn.Module):
    """tanh x = 2 sigmoid(2 x) - 1: on CPUs torch computes a sigmoid five times faster than a tanh."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x + x) * 2 - 1


ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": Tanh, "relu": nn.ReLU, "silu": nn.SiLU}


class MLP(nn.Module):
    """[T B inputs] -> [T B hidden[-1]]."""

    def __init__(self, inputs: int, config: MLPConfig) -> None:
        super().__init__()
        widths = (inputs, *config.hidden)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [orthogonal(nn.Linear(before, after)), ACTIVATIONS[config.activation]()]
        self.layers = nn.Sequential(*layers)
        self.features = widths[-1]

    def initial_state(self, batch: int) -> Memory:
        return ()

    def forward(self, observation: Tensor, state: Memory, is_first: Tensor) -> tuple[Tensor, Memory]:
        return self.layers(observation), state
