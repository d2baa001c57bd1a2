"""Which backbone fits which observation."""

from __future__ import annotations

from keel.networks.backbone import Backbone, BackboneConfig, CNNConfig, MLPConfig
from keel.networks.cnn import CNN
from keel.networks.mlp import MLP

SMALLEST_NATURE_SIDE = 36  # pixels, so that its three convolutions leave at least one
LARGEST_SMALL_SIDE = 16  # cells of a grid, as MinAtar and MiniGrid have them
SMALLEST_SMALL_SIDE = 5  # for two layers of 3x3


def build_backbone(shape: tuple[int, ...], config: BackboneConfig) -> Backbone:
    """The backbone that `config` describes, for encoded observations of `shape`: (F,) or (C, H, W).

    Raises:
        ValueError: where the backbone cannot take that shape; says which one can.
    """
    match config:
        case MLPConfig():
            if len(shape) != 1:
                raise ValueError(
                    f"the mlp backbone takes vectors, and this observation is an image {shape}: --backbone cnn"
                )
            return MLP(shape[0], config)
        case CNNConfig():
            if len(shape) != 3:
                raise ValueError(
                    f"the cnn backbone takes images, and this observation is a vector {shape}: --backbone mlp"
                )
            return CNN((shape[0], shape[1], shape[2]), config)


def default_backbone(shape: tuple[int, ...]) -> BackboneConfig:
    """The usual backbone for encoded observations of `shape`."""
    if len(shape) != 3:
        return MLPConfig()
    if min(shape[1:]) >= SMALLEST_NATURE_SIDE:
        return CNNConfig()
    if min(shape[1:]) >= SMALLEST_SMALL_SIDE and max(shape[1:]) <= LARGEST_SMALL_SIDE:
        return CNNConfig(variant="small", channels=(16, 32), features=128)
    return CNNConfig(variant="impala", channels=(16, 32, 32), features=256)  # as Espeholt et al. 2018 have it
