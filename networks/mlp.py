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
            layers.append(orthogonal(nn.Linear(before, after)))
            if config.layer_norm:
                layers.append(nn.LayerNorm(after))
            layers.append(ACTIVATIONS[config.activation]())
        self.layers = nn.Sequential(*layers)
        self.features = widths[-1]
        self.fused = FUSED.get(config.activation) if not config.layer_norm else None

    def initial_state(self, batch: int) -> Memory:
        return ()

    def forward(self, observation: Tensor, state: Memory, is_first: Tensor) -> tuple[Tensor, Memory]:
        if self.fused is None:
            return self.layers(observation), state
        linear = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        parameters = [parameter for layer in linear for parameter in (layer.weight, layer.bias)]
        features = self.fused.apply(observation.flatten(0, 1), *parameters)
        return features.unflatten(0, observation.shape[:2]), state


class Plain(nn.Module):
    """Vectors as they are: no layer at all, where something else shall learn from them at once."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.features = inputs

    def initial_state(self, batch: int) -> Memory:
        return ()

    def forward(self, observation: Tensor, state: Memory, is_first: Tensor) -> tuple[Tensor, Memory]:
        return observation, state


class FusedLayers(torch.autograd.Function):
    """f(x W1' + b1) and so on, as one step of differentiation instead of seven a layer: small networks spend most of
    their time between the sums.

    Args: x [N inputs], then the weight [outputs inputs] and the bias [outputs] of each layer in turn.
    """

    @staticmethod
    def activate(sums: Tensor) -> Tensor:
        """f, in place."""
        raise NotImplementedError

    @staticmethod
    def slope(gradient: Tensor, activation: Tensor) -> Tensor:
        """`gradient` x f', where f gave `activation`."""
        raise NotImplementedError

    @classmethod
    def forward(cls, ctx: Any, x: Tensor, *parameters: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        activations = [x]
        for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
            activations.append(cls.activate(torch.addmm(bias, activations[-1], weight.t())))
        ctx.save_for_backward(*activations, *parameters[::2])
        return activations[-1]

    @classmethod
    @once_differentiable
    def backward(cls, ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (gradient,) = gradients
        layers = len(ctx.saved_tensors) // 2
        activations, weights = ctx.saved_tensors[: layers + 1], ctx.saved_tensors[layers + 1 :]
        result: list[Tensor | None] = []
        for before, after, weight in reversed([*zip(activations, activations[1:], weights, strict=False)]):
            inner = cls.slope(gradient, after)
            result = [inner.t() @ before, inner.sum(dim=0), *result]
            if before is not activations[0] or ctx.needs_input_grad[0]:
                gradient = inner @ weight
        return gradient if ctx.needs_input_grad[0] else None, *result


class TanhLayers(FusedLayers):
    """tanh x = 2 sigmoid(2 x) - 1 is computed so because torch's sigmoid is five times as fast on a CPU as its tanh."""

    @staticmethod
    def activate(sums: Tensor) -> Tensor:
        return sums.add_(sums).sigmoid_().mul_(2).sub_(1)

    @staticmethod
    def slope(gradient: Tensor, activation: Tensor) -> Tensor:
        return torch.ops.aten.tanh_backward(gradient, activation)


class ReLULayers(FusedLayers):
    """Rectified linear units."""

    @staticmethod
    def activate(sums: Tensor) -> Tensor:
        return sums.relu_()

    @staticmethod
    def slope(gradient: Tensor, activation: Tensor) -> Tensor:
        return torch.ops.aten.threshold_backward(gradient, activation, 0)


FUSED: dict[str, type[FusedLayers]] = {"tanh": TanhLayers, "relu": ReLULayers}
