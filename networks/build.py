"""Which backbone fits which observation."""

from __future__ import annotations

import dataclasses

from keel.networks.backbone import (
    Backbone,
    BackboneConfig,
    BoardConfig,
    CNNConfig,
    FusionConfig,
    GRUConfig,
    MLPConfig,
    TransformerConfig,
)
from keel.networks.board import BoardResNet
from keel.networks.cnn import CNN
from keel.networks.fusion import Fusion
from keel.networks.mlp import MLP, Plain
from keel.networks.parts import Part
from keel.networks.rnn import RNN
from keel.networks.transformer import Transformer

SMALLEST_NATURE_SIDE = 36  # pixels, so that its three convolutions leave at least one
LARGEST_SMALL_SIDE = 16  # cells of a grid, as MinAtar and MiniGrid have them
SMALLEST_SMALL_SIDE = 5  # for two layers of 3x3


def build_backbone(shape: tuple[int, ...], config: BackboneConfig, parts: tuple[Part, ...] = ()) -> Backbone:
    """The backbone that `config` describes, for encoded observations of `shape`: (F,) or (C, H, W).

    Args: parts: what the (F,) numbers are, where parts of the observation are kept apart (`Encoder.parts`).

    Raises:
        ValueError: where the backbone cannot take that shape; says which one can.
    """
    match config:
        case MLPConfig():
            _refuse_image("mlp", shape)
            if any(part.kind == "image" for part in parts):
                names = ", ".join(part.name for part in parts if part.kind == "image")
                raise ValueError(f"the mlp backbone takes vectors, and {names} is an image: --backbone fusion")
            return MLP(shape[0], config)
        case CNNConfig():
            return CNN(_image_shape("cnn", shape, parts), config)
        case BoardConfig():
            return BoardResNet(_image_shape("board", shape, parts), config)
        case FusionConfig():
            _refuse_image("fusion", shape)
            return Fusion(parts or (Part("observation", "vector", shape),), config, _image_backbone)
        case GRUConfig():
            return RNN(_build_torso(shape, config.hidden, config.width, parts), config)
        case TransformerConfig():
            return Transformer(_build_torso(shape, config.hidden, config.width, parts), config)


def _build_torso(shape: tuple[int, ...], hidden: tuple[int, ...], features: int, parts: tuple[Part, ...]) -> Backbone:
    """What encodes a single observation before it is remembered."""
    if len(shape) == 3:
        return _image_backbone(shape, features)
    if parts:
        return Fusion(parts, FusionConfig(width=features, features=features), _image_backbone)
    return MLP(shape[0], MLPConfig(hidden=hidden)) if hidden else Plain(shape[0])


def _image_backbone(shape: tuple[int, ...], features: int) -> Backbone:
    """The usual convolutions for images of that size, with so many features."""
    return CNN(_image_shape("cnn", shape), dataclasses.replace(default_cnn(shape), features=features))


def _image_shape(name: str, shape: tuple[int, ...], parts: tuple[Part, ...] = ()) -> tuple[int, int, int]:
    if len(shape) != 3 and any(part.kind == "image" for part in parts):
        raise ValueError(f"the {name} backbone takes images alone, and this observation has others beside its image: "
                         "--backbone fusion")  # fmt: skip
    if len(shape) != 3:
        raise ValueError(f"the {name} backbone takes images, and this observation is a vector {shape}: --backbone mlp")
    return shape[0], shape[1], shape[2]


def _refuse_image(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 1:
        takes = "vectors" if name == "mlp" else "the parts of a Dict"
        raise ValueError(f"the {name} backbone takes {takes}, and this observation is an image {shape}: --backbone cnn")


def default_backbone(shape: tuple[int, ...], parts: tuple[Part, ...] = ()) -> BackboneConfig:
    """The usual backbone for encoded observations of `shape`, of which `parts` are kept apart."""
    if parts:
        return FusionConfig()
    return default_cnn(shape) if len(shape) == 3 else MLPConfig()


def default_cnn(shape: tuple[int, ...]) -> CNNConfig:
    """The usual convolutions for images (C, H, W)."""
    if min(shape[1:]) >= SMALLEST_NATURE_SIDE:
        return CNNConfig()
    if min(shape[1:]) >= SMALLEST_SMALL_SIDE and max(shape[1:]) <= LARGEST_SMALL_SIDE:
        return CNNConfig(variant="small", channels=(16, 32), features=128)
    return CNNConfig(variant="impala", channels=(16, 32, 32), features=256)  # as Espeholt et al. 2018 have it
