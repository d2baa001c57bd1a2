"""Small fully connected networks in numpy: for the few rows of one acting step, calling torch costs more than the sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from torch import nn

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Layer: TypeAlias = Callable[[Array], Array]

MAX_WIDTH = 256  # beyond this the sums outweigh the calls


def numpy_layers(modules: list[nn.Module]) -> list[Layer] | None:
    """The same functions in numpy, or None where one of them has no numpy form here or is too wide to gain by it.

    The weights are views of the parameters' own memory: an optimiser step in place shows in them at once.
    """
    layers = [_numpy_layer(module) for module in modules]
    return None if any(layer is None for layer in layers) else [layer for layer in layers if layer is not None]


def _numpy_layer(module: nn.Module) -> Layer | None:
    match module:
        case nn.Linear() if module.weight.device.type == "cpu" and max(module.weight.shape) <= MAX_WIDTH:
            weight, bias = module.weight.detach().numpy().T, module.bias.detach().numpy()
            return lambda x: x @ weight + bias
        case nn.LayerNorm() if module.weight.device.type == "cpu":
            return _layer_norm(module)
        case nn.Tanh():
            return np.tanh
        case nn.ReLU():
            return lambda x: np.maximum(x, 0)
    return None


def _layer_norm(module: nn.LayerNorm) -> Layer:
    weight, bias, epsilon = module.weight.detach().numpy(), module.bias.detach().numpy(), module.eps

    def normalise(x: Array) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        return centred / np.sqrt(variance + epsilon) * weight + bias

    return normalise
