"""Action values and their gradient in numpy: for small networks the calls of torch take longer than the sums.

The same function as `QNetwork` where that is an MLP without layer norm under a head of one layer a stream and one
number an action; a gradient step takes a third of the time.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import nn

from keel.networks.mlp import MLP
from keel.networks.numpy_layers import MAX_WIDTH
from keel.networks.observations import Encoder
from keel.networks.q_network import QNetwork

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


class Linear(NamedTuple):
    """One layer: its parameters, and where its gradient goes."""

    weight: Array  # [outputs inputs]
    bias: Array  # [outputs]
    weight_gradient: Array
    bias_gradient: Array

    def __call__(self, x: Array) -> Array:
        y = x @ self.weight.T
        y += self.bias
        return y

    def learn(self, x: Array, slope: Array) -> None:
        """Write the gradient, where the loss changes by `slope` [N outputs] with each output for the inputs x."""
        np.matmul(slope.T, x, out=self.weight_gradient)
        slope.sum(axis=0, out=self.bias_gradient)


class PlainQ:
    """Views of a network's parameters, so that an optimiser step in place shows at once; and one vector of gradients, in
    the order of the network's parameters."""

    def __init__(self, network: QNetwork) -> None:
        assert isinstance(network.backbone, MLP)
        assert isinstance(network.encoder, Encoder)
        self.encoder = network.encoder
        parameters = list(network.parameters())
        self.gradient = np.zeros(sum(parameter.numel() for parameter in parameters), np.float32)
        ends = np.cumsum([parameter.numel() for parameter in parameters])
        parts = np.split(self.gradient, ends[:-1])
        gradients = {id(p): part.reshape(p.shape) for p, part in zip(parameters, parts, strict=True)}

        def linear(layer: nn.Module) -> Linear:
            assert isinstance(layer, nn.Linear)
            weight, bias = layer.weight, layer.bias
            return Linear(weight.detach().numpy(), bias.detach().numpy(), gradients[id(weight)], gradients[id(bias)])

        self.hidden = [linear(layer) for layer in network.backbone.layers if isinstance(layer, nn.Linear)]
        self.advantage = linear(network.head.advantage.layers[0])
        self.value = None if network.head.value is None else linear(network.head.value.layers[0])
        self.rectified = isinstance(network.backbone.layers[1], nn.ReLU)

    @staticmethod
    def fits(network: QNetwork) -> bool:
        """Whether there is such a form of this network."""
        backbone, head = network.backbone, network.head
        streams = [head.advantage] + ([head.value] if head.value is not None else [])
        return (
            isinstance(backbone, MLP)
            and all(isinstance(layer, nn.Linear | nn.ReLU | nn.Tanh) for layer in backbone.layers)
            and all(len(stream.layers) == 1 and isinstance(stream.layers[0], nn.Linear) for stream in streams)
            and isinstance(network.encoder, Encoder)
            and network.encoder.is_plain
            and network.distribution == "none"
            and all(
                parameter.requires_grad
                and parameter.dtype == torch.float32
                and parameter.device.type == "cpu"
                and max(parameter.shape) <= MAX_WIDTH
                for parameter in network.parameters()
            )
        )

    def forward(self, x: Array) -> tuple[Array, list[Array]]:
        """Values [N A] of encoded observations [N F], and the inputs of every layer, which `backward` needs."""
        inputs = [x]
        for layer in self.hidden:
            y = layer(inputs[-1])
            inputs.append(np.maximum(y, 0, out=y) if self.rectified else np.tanh(y, out=y))
        values = self.advantage(inputs[-1])
        if self.value is not None:
            values += self.value(inputs[-1]) - values.mean(axis=1, keepdims=True)
        return values, inputs

    def backward(self, inputs: list[Array], slope: Array) -> Array:
        """The gradient [parameters] of a loss that changes by `slope` [N A] with each value; the next call overwrites
        it."""
        x = inputs[-1]
        if self.value is not None:
            whole = slope.sum(axis=1, keepdims=True)
            slope = slope - whole / slope.shape[1]
            self.value.learn(x, whole)
        self.advantage.learn(x, slope)
        inner = slope @ self.advantage.weight
        if self.value is not None:
            inner += whole @ self.value.weight  # pyright: ignore[reportPossiblyUnboundVariable]
        for index in range(len(self.hidden) - 1, -1, -1):
            after = inputs[index + 1]
            inner *= after > 0 if self.rectified else 1 - np.square(after)
            self.hidden[index].learn(inputs[index], inner)
            if index:
                inner = inner @ self.hidden[index].weight
        return self.gradient
