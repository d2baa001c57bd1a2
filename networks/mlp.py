"""The multi-layer perceptron: fully connected layers over a vector."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from keel.networks.backbone import Memory, MLPConfig
from keel.networks.initialise import orthogonal

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU}


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
        self.all_tanh = config.activation == "tanh"

    def initial_state(self, batch: int) -> Memory:
        return ()

    def forward(self, observation: Tensor, state: Memory, is_first: Tensor) -> tuple[Tensor, Memory]:
        if not self.all_tanh:
            return self.layers(observation), state
        features = TanhLayers.apply(observation.flatten(0, 1), *self.parameters())
        return features.unflatten(0, observation.shape[:2]), state


class TanhLayers(torch.autograd.Function):
    """tanh(x W1' + b1) and so on, as one step of differentiation instead of seven a layer.

    Small networks spend most of their time between the sums; and tanh x = 2 sigmoid(2 x) - 1 is computed so because
    torch's sigmoid is five times as fast on a CPU as its tanh.

    Args: x [N inputs], then the weight [outputs inputs] and the bias [outputs] of each layer in turn.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *parameters: Tensor) -> Tensor:
        activations = [x]
        for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
            h = torch.addmm(bias, activations[-1], weight.t())
            activations.append(h.add_(h).sigmoid_().mul_(2).sub_(1))
        ctx.save_for_backward(*activations, *parameters[::2])
        return activations[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (gradient,) = gradients
        layers = len(ctx.saved_tensors) // 2
        activations, weights = ctx.saved_tensors[: layers + 1], ctx.saved_tensors[layers + 1 :]
        result: list[Tensor | None] = []
        for before, after, weight in reversed([*zip(activations, activations[1:], weights, strict=False)]):
            inner = torch.ops.aten.tanh_backward(gradient, after)
            result = [inner.t() @ before, inner.sum(dim=0), *result]
            if before is not activations[0] or ctx.needs_input_grad[0]:
                gradient = inner @ weight
        return gradient if ctx.needs_input_grad[0] else None, *result
