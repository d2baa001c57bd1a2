"""Dict observations: one encoder for each part, and what they see fused into one vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from keel.networks.backbone import Backbone, FusionConfig, Memory
from keel.networks.initialise import orthogonal
from keel.networks.parts import Part

BuildImage: TypeAlias = Callable[[tuple[int, ...], int], Backbone]


class Fusion(nn.Module):
    """Flat observations [T B F] that hold `parts` one after the other, to features [T B config.features].

    Vectors go through a fully connected layer, images [C H W] through convolutions, sequences [L F] of vectors and
    tokens [L] (choices of one kind, embedded) through a GRU that reads them to their end. Joined they are as they stand
    side by side, or, with `attend`, after each part has looked at all of them (one layer of Vaswani et al. 2017).

    Args: build_image: (image shape, features) -> backbone for an image.
    """

    def __init__(self, parts: tuple[Part, ...], config: FusionConfig, build_image: BuildImage) -> None:
        super().__init__()
        self.parts = parts
        self.encoders = nn.ModuleList([part_encoder(part, config.width, build_image) for part in parts])
        self.attention = PartAttention(len(parts), config) if config.combine == "attend" else None
        self.project = orthogonal(nn.Linear(len(parts) * config.width, config.features))
        self.features = config.features

    def initial_state(self, batch: int) -> Memory:
        return ()

    def forward(self, observation: Tensor, state: Memory, is_first: Tensor) -> tuple[Tensor, Memory]:
        flat = observation.flatten(0, 1).split([part.size for part in self.parts], dim=-1)
        seen = [
            encoder(values.unflatten(-1, part.shape))
            for encoder, values, part in zip(self.encoders, flat, self.parts, strict=True)
        ]
        joined = torch.stack(seen, dim=1)  # [N parts width]
        if self.attention is not None:
            joined = self.attention(joined)
        features = torch.relu(self.project(joined.flatten(1)))
        return features.unflatten(0, observation.shape[:2]), state


def part_encoder(part: Part, width: int, build_image: BuildImage) -> nn.Module:
    """From one part [N *part.shape] to [N width]."""
    match part.kind:
        case "vector":
            return nn.Sequential(orthogonal(nn.Linear(part.size, width)), nn.ReLU())
        case "image":
            return ImageEncoder(build_image(part.shape, width))
        case "sequence":
            return SequenceEncoder(nn.Linear(part.shape[-1], width), width)
        case "tokens":
            return TokenEncoder(part.choices, width)


class ImageEncoder(nn.Module):
    """A backbone for single images [N C H W], without time."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        is_first = torch.zeros(1, len(images), dtype=torch.bool, device=images.device)
        return self.backbone(images.unsqueeze(0), (), is_first)[0].squeeze(0)


class SequenceEncoder(nn.Module):
    """What a GRU has kept at the end of a sequence [N L …]."""

    def __init__(self, embed: nn.Module, width: int) -> None:
        super().__init__()
        self.embed = embed
        self.cell = nn.GRU(width, width, batch_first=True)

    def forward(self, sequence: Tensor) -> Tensor:
        return self.cell(self.embed(sequence))[0][:, -1]


class TokenEncoder(SequenceEncoder):
    """The same for choices [N L], whole numbers that came as floats beside the other parts."""

    def __init__(self, choices: int, width: int) -> None:
        super().__init__(nn.Embedding(choices, width), width)

    def forward(self, sequence: Tensor) -> Tensor:
        return super().forward(sequence.long())


class PartAttention(nn.Module):
    """[N parts width] to the same: each part adds what it finds in all of them."""

    def __init__(self, parts: int, config: FusionConfig) -> None:
        super().__init__()
        self.name = nn.Parameter(torch.randn(parts, config.width) * 0.02)  # tells the parts apart
        self.norm = nn.LayerNorm(config.width)
        self.attention = nn.MultiheadAttention(config.width, config.heads, batch_first=True)

    def forward(self, joined: Tensor) -> Tensor:
        named = self.norm(joined + self.name)
        return joined + self.attention(named, named, named, need_weights=False)[0]
