"""Backbones that begin with what was learnt elsewhere, and may stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar, cast

import torch
from gymnasium import spaces
from torch import Tensor, nn

from keel.networks.backbone import Backbone, BackboneConfig, FusionConfig, MLPConfig
from keel.networks.build import build_backbone
from keel.networks.observations import Encoder

MOST_ROWS = 1024  # observations that go through a frozen backbone at a time, so that memory stays bounded

AnyBackbone = TypeVar("AnyBackbone", bound=Backbone)


class Transfer(NamedTuple):
    """What a backbone begins with, by the names of its parameters (None: a checkpoint will bring it), and whether it is
    kept as it is."""

    weights: Mapping[str, Tensor] | None
    freeze: bool


class FrozenEncoder(nn.Module):
    """An encoder and a backbone that is not trained: observations [... *shape] become features [... F], computed once a
    rollout by agents that gather one, and with every batch by those with a replay.

    Raises:
        ValueError: a backbone with memory, or running statistics, under which the features would change.
    """

    is_plain = False  # never acts in numpy
    normaliser = None
    parts = ()

    def __init__(self, encoder: Encoder, backbone: Backbone) -> None:
        super().__init__()
        if backbone.initial_state(1):
            raise ValueError("freeze is for backbones without memory, and this one has some: leave --freeze out")
        if encoder.normaliser is not None:
            raise ValueError("normalise_observation changes what a frozen backbone sees: leave it or --freeze out")
        self.encoder = encoder
        self.backbone = cast(Any, backbone).requires_grad_(False)
        self.has_mask = encoder.has_mask
        self.shape = (backbone.features,)

    def forward(self, observation: Any) -> tuple[Tensor, Tensor | None]:
        return self._features(*self.encoder(observation))

    def encode(self, tensors: Any) -> tuple[Tensor, Tensor | None]:
        return self._features(*self.encoder.encode(tensors))

    @torch.no_grad()
    def _features(self, encoded: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        batch = encoded.shape[: encoded.ndim - len(self.encoder.shape)]
        features = []
        for rows in encoded.reshape(-1, *self.encoder.shape).split(MOST_ROWS):
            is_first = torch.zeros(1, len(rows), dtype=torch.bool, device=rows.device)
            features.append(self.backbone(rows.unsqueeze(0), (), is_first)[0].squeeze(0))
        return torch.cat(features).unflatten(0, batch), mask

    def learn_scale(self, observation: Any) -> None:
        """Nothing: what is frozen has no scale to learn."""


def make_encoder(
    space: spaces.Space[Any], config: BackboneConfig, transfer: Transfer | None, *, normalise: bool
) -> tuple[Encoder | FrozenEncoder, BackboneConfig]:
    """The encoder of a network, and the backbone that follows it: where the configured one is frozen it becomes part of
    the encoder, and a small MLP learns from its features.

    Raises:
        ValueError: where backbone, space and weights do not fit.
    """
    encoder = Encoder(space, normalise=normalise, apart=isinstance(config, FusionConfig))
    if transfer is None or not transfer.freeze:
        return encoder, config
    backbone = build_backbone(encoder.shape, config, encoder.parts)
    return FrozenEncoder(encoder, begin_with(backbone, transfer.weights)), MLPConfig()


def make_backbone(encoder: Encoder | FrozenEncoder, config: BackboneConfig, transfer: Transfer | None) -> Backbone:
    """The backbone that is trained, from where `transfer` says."""
    backbone = build_backbone(encoder.shape, config, encoder.parts)
    return backbone if transfer is None or transfer.freeze else begin_with(backbone, transfer.weights)


def begin_with(backbone: AnyBackbone, weights: Mapping[str, Tensor] | None) -> AnyBackbone:
    """Give `backbone` these weights, where there are any.

    Raises:
        ValueError: they are those of another backbone; names the first that differs.
    """
    if weights is None:
        return backbone
    module = cast(nn.Module, backbone)
    own = {name: list(value.shape) for name, value in module.state_dict().items()}
    theirs = {name: list(value.shape) for name, value in weights.items()}
    for name in own | theirs:
        if own.get(name) != theirs.get(name):
            raise ValueError(
                f"the pretrained backbone does not fit: its {name} is {theirs.get(name, 'missing')}, and here it is "
                f"{own.get(name, 'missing')}; observations and --backbone must be those it was trained with"
            )
    module.load_state_dict(dict(weights))
    return backbone
