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
    `is_first` [T B] bool marks the observations before which the memory is cleared. The empty tuple stands for the
    initial state.
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


@dataclass(frozen=True)
class GRUConfig:
    """Gated recurrent units (Cho et al. 2014): a memory of a few numbers that lasts as long as the episode."""

    kind: ClassVar[str] = "gru"
    width: int = 64
    """Numbers that each layer of the memory holds."""
    layers: int = 1
    """Layers of memory, one above the other."""
    hidden: tuple[int, ...] = (64,)
    """Widths of the fully connected layers before the memory, for vectors alone: images go through convolutions, and
    Dicts with images through a fusion."""
    shared: bool = True
    """Whether actor and critic share one backbone and remember the same."""

    def __post_init__(self) -> None:
        _check_widths(self.hidden)
        _check_at_least_1(width=self.width, layers=self.layers)


@dataclass(frozen=True)
class LSTMConfig(GRUConfig):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; forget gates: Gers et al. 2000)."""

    kind: ClassVar[str] = "lstm"


@dataclass(frozen=True)
class TransformerConfig:
    """A gated Transformer (Parisotto et al. 2020, GTrXL) that looks back over a window of steps."""

    kind: ClassVar[str] = "transformer"
    width: int = 64
    """Numbers for each step in each layer."""
    layers: int = 2
    heads: int = 4
    """Of the attention; they divide the width."""
    window: int = 32
    """Steps that each layer looks back: what lies further back than layers x window is out of reach."""
    hidden: tuple[int, ...] = (64,)
    """Widths of the fully connected layers before the attention, for vectors alone: images go through convolutions, and
    Dicts with images through a fusion."""
    shared: bool = True
    """Whether actor and critic share one backbone and remember the same."""

    def __post_init__(self) -> None:
        _check_widths(self.hidden)
        _check_at_least_1(width=self.width, layers=self.layers, heads=self.heads, window=self.window)
        if self.width % self.heads:
            raise ValueError(f"backbone.heads is {self.heads}: it must divide the width, which is {self.width}")


@dataclass(frozen=True)
class FusionConfig:
    """One encoder for each part of a Dict observation, and their features fused."""

    kind: ClassVar[str] = "fusion"
    width: int = 64
    """Features of each part."""
    combine: Literal["concatenate", "attend"] = "concatenate"
    """`attend`: the parts look at one another before they are joined (attention over parts)."""
    heads: int = 4
    """Of the attention; they divide the width."""
    features: int = 128
    """Width of the fully connected layer after the parts are joined."""
    shared: bool = True
    """Whether actor and critic share one backbone."""

    def __post_init__(self) -> None:
        _check_at_least_1(width=self.width, heads=self.heads, features=self.features)
        if self.combine == "attend" and self.width % self.heads:
            raise ValueError(f"backbone.heads is {self.heads}: it must divide the width, which is {self.width}")


@dataclass(frozen=True)
class BoardConfig:
    """A residual tower over the cells of a board (after Silver et al. 2017, AlphaGo Zero), for images that are grids."""

    kind: ClassVar[str] = "board"
    blocks: int = 3
    """Residual blocks of two 3x3 convolutions."""
    channels: int = 32
    """Of every convolution of the tower."""
    squeeze: int = 8
    """Channels that a 1x1 convolution leaves of the map before the fully connected layer."""
    pooled: bool = False
    """Of these channels the fully connected layer sees the means over the board alone: what there is, not where. From
    few games that learns what a piece is worth, where all cells would learn the games by heart (Wu 2019, KataGo)."""
    features: int = 128
    """Width of the fully connected layer after the tower."""
    shared: bool = True
    """Whether actor and critic share one backbone."""

    def __post_init__(self) -> None:
        _check_at_least_1(channels=self.channels, squeeze=self.squeeze, features=self.features)
        if self.blocks < 0:
            raise ValueError(f"backbone.blocks is {self.blocks}: it must be at least 0")


def _check_at_least_1(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"backbone.{name} is {value}: it must be at least 1")


def _check_widths(hidden: tuple[int, ...]) -> None:
    if any(width < 1 for width in hidden):
        raise ValueError(f"backbone.hidden is {hidden}: widths must be at least 1, such as 64 64")


MemoryConfig: TypeAlias = GRUConfig | LSTMConfig | TransformerConfig
BackboneConfig: TypeAlias = MLPConfig | CNNConfig | MemoryConfig | FusionConfig | BoardConfig

BACKBONES: dict[str, type[BackboneConfig]] = {
    config.kind: config
    for config in (MLPConfig, CNNConfig, GRUConfig, LSTMConfig, TransformerConfig, FusionConfig, BoardConfig)
}
