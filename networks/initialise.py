"""Orthogonal initial weights (Saxe et al. 2014), the choice that matters in PPO (Andrychowicz et al. 2021)."""

from __future__ import annotations

import math
from typing import TypeVar

from torch import nn

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)

HIDDEN_GAIN = math.sqrt(2.0)


def orthogonal(layer: Layer, gain: float = HIDDEN_GAIN) -> Layer:
    """Give `layer` an orthogonal weight scaled by `gain` and a bias of zero; returns the layer."""
    nn.init.orthogonal_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
