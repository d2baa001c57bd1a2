"""The backbone protocol: what turns observations into features, with or without memory, and its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, TypeAlias

from torch import Tensor

# A tuple of tensors whose second axis is the batch (the first counts layers); the empty tuple means no memory.
Memory: TypeAlias = tuple[Tensor, ...]


class Backbone(Protocol):
    """A torch module from encoded observations [T B ...] to features [T B F].

    T is time and B the batch: rows never look at one another, and only backbones with memory look along T.
    `is_first` [T B] bool marks the observations before which the memory is cleared.
    """

    features: int

    def initial_state(self, batch: int) -> Memory: ...

    def __call__(self, observation: Tensor, state: Memory, is_first: Tensor) -> tuple[Tensor, Memory]: ...


@dataclass(frozen=True)
class MLPConfig:
    """Fully connected layers, for vectors."""

    kind: ClassVar[str] = "mlp"
    hidden: tuple[int, ...] = (64, 64)
    """Width of each hidden layer."""
    activation: Literal["tanh", "relu", "silu"] = "tanh"
    layer_norm: bool = False
    """Normalise each layer's sums over its units before the activation (Ba et al. 2016)."""
    shared: bool = False
    """Whether actor and critic share one backbone."""

    def __post_init__(self) -> None:
        if not self.hidden or any(width < 1 for width in self.hidden):
            raise ValueError(f"backbone.hidden is {self.hidden}: give one or more widths of at least 1, such as 64 64")


@dataclass(frozen=True)
class CNNConfig:
    """Convolutions, for images."""

    kind: ClassVar[str] = "cnn"
    variant: Literal["nature", "impala", "small"] = "nature"
    """`nature`: the three layers of Mnih et al. 2015. `impala`: the 15-layer residual network of Espeholt et al. 2018.
    `small`: 3x3 convolutions for grids of ten or so cells a side (Young and Tian 2019 have one of 16 channels)."""
    channels: tuple[int, ...] = (32, 64, 64)
    """Channels of each layer (nature, small) or of each residual section (impala; the paper has 16 32 32)."""
    features: int = 512
    """Width of the fully connected layer after the convolutions."""
    layer_norm: bool = False
    """Normalise each layer's sums before the activation, over all channels and places (not for impala)."""
    shared: bool = True
    """Whether actor and critic share one backbone."""

    def __post_init__(self) -> None:
        if not self.channels or any(channels < 1 for channels in self.channels):
            raise ValueError(f"backbone.channels is {self.channels}: give numbers of at least 1, such as 32 64 64")
        if self.variant == "nature" and len(self.channels) != 3:
            raise ValueError(
                f"backbone.channels is {self.channels}: the nature variant has three layers, such as 32 64 64"
            )
        if self.features < 1:
            raise ValueError(f"backbone.features is {self.features}: it must be at least 1")
        if self.layer_norm and self.variant == "impala":
            raise ValueError("backbone.layer_norm is for the variants nature and small, and this is impala")


BackboneConfig: TypeAlias = MLPConfig | CNNConfig

BACKBONES: dict[str, type[MLPConfig | CNNConfig]] = {config.kind: config for config in (MLPConfig, CNNConfig)}
