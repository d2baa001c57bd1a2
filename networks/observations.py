"""From observations as worlds give them to tensors as backbones take them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from keel.networks.normalise import RunningNorm
from keel.networks.parts import (
    Leaf,
    Part,
    Tensors,
    channels_come_last,
    encode_leaf,
    find_leaves,
    flatten,
    is_image,
    vector_size,
)

__all__ = ["ACTION_MASK", "Encoder", "Part", "channels_come_last", "to_tensors"]

ACTION_MASK = "action_mask"  # the key that keel.envs.protocol reserves for legal actions


def to_tensors(observation: Any, device: torch.device) -> Tensors:
    """The same (nested dict of) arrays as tensors on `device`, without a copy on the CPU."""
    if isinstance(observation, dict):
        return {key: to_tensors(value, device) for key, value in observation.items()}
    return torch.from_numpy(observation).to(device, non_blocking=True)


class Encoder(nn.Module):
    """An observation [... *shape] as the tensor that a backbone takes, and the mask of legal actions beside it.

    Vectors are flattened and, with `normalise`, scaled by running statistics; images become [... C H W] and stay
    uint8. It has no parameter, so a batch is encoded once however often it is learnt from.

    Args: apart: keep the parts of the observation apart, as it is done anyway where images stand beside others.

    Attributes:
        shape: of one encoded observation, (F,) or (C, H, W).
        parts: what the F numbers are, where parts are kept apart, otherwise empty.
    """

    def __init__(self, space: spaces.Space[Any], *, normalise: bool, apart: bool = False) -> None:
        super().__init__()
        self.space, self.has_mask = without_mask(space)
        self.only_key = next(iter(self.space)) if isinstance(self.space, spaces.Dict) and len(self.space) == 1 else None
        if self.only_key is not None:
            assert isinstance(self.space, spaces.Dict)
            self.space = self.space[self.only_key]
        if isinstance(self.space, spaces.Dict) and not self.space.spaces:
            raise ValueError(f"the observation is {space}: beside legal actions there must be something to see")
        self.image = is_image(self.space)
        self.channels_last = self.image and self.space.shape is not None and channels_come_last(self.space.shape)
        leaves = [] if self.image else find_leaves(self.space)
        apart = apart or any(leaf.part.kind == "image" for leaf in leaves)
        self.leaves: tuple[Leaf, ...] = tuple(leaves) if apart else ()
        self.parts = tuple(leaf.part for leaf in self.leaves)
        self.shape = self._shape()
        scaled = (
            sum(part.size for part in self.parts if part.kind in ("vector", "sequence")) if apart else self.shape[0]
        )
        self.normaliser = RunningNorm((scaled,)) if normalise and not self.image and scaled else None
        self.is_plain = isinstance(self.space, spaces.Box) and len(self.shape) == 1 == len(self.space.shape)
        self.is_plain = self.is_plain and not self.has_mask and self.only_key is None
        self.register_buffer("anchor", torch.zeros(()), persistent=False)  # carries the device and the dtype
        self.anchor: Tensor

    def _shape(self) -> tuple[int, ...]:
        if self.leaves:
            return (sum(part.size for part in self.parts),)
        if not self.image:
            return (vector_size(self.space),)
        assert self.space.shape is not None
        a, b, c = self.space.shape
        return (c, a, b) if self.channels_last else (a, b, c)

    def forward(self, observation: Any) -> tuple[Tensor, Tensor | None]:
        """Arrays as a world gives them: the encoded tensor [... *self.shape], and the mask [... A] bool or None."""
        return self.encode(to_tensors(observation, self.anchor.device))

    def encode(self, tensors: Tensors) -> tuple[Tensor, Tensor | None]:
        """The same for tensors that are on the device already."""
        if self.has_mask and not (isinstance(tensors, dict) and ACTION_MASK in tensors):
            raise ValueError(
                f"the observation holds no '{ACTION_MASK}', and this world reports its legal actions there: give the "
                f"whole dict, with '{ACTION_MASK}' (1 = legal) beside the other parts"
            )
        mask: Tensor | None = None
        if isinstance(tensors, dict) and (self.has_mask or self.only_key is not None):
            tensors = dict(tensors)
            if self.has_mask:
                legal = tensors.pop(ACTION_MASK)
                assert isinstance(legal, Tensor)
                mask = legal.bool()
            if self.only_key is not None:
                tensors = tensors[self.only_key]
        if self.image:
            assert isinstance(tensors, Tensor)
            return (tensors.movedim(-1, -3) if self.channels_last else tensors), mask
        return self._scale(self._vector(tensors)), mask

    def _vector(self, tensors: Tensors) -> Tensor:
        if not self.leaves:
            return flatten(self.space, tensors, self.anchor.dtype)
        return torch.cat([encode_leaf(leaf, tensors, self.anchor.dtype) for leaf in self.leaves], dim=-1)

    def _scale(self, vector: Tensor) -> Tensor:
        """Running statistics, for the parts that come first and have a scale."""
        if self.normaliser is None:
            return vector
        (count,) = self.normaliser.mean.shape
        if count == vector.shape[-1]:
            return self.normaliser(vector)
        return torch.cat([self.normaliser(vector[..., :count]), vector[..., count:]], dim=-1)

    def plain(self, observation: Any) -> Any:
        """The same in numpy, [B F] float32, for an encoder on the CPU that `is_plain`: vectors without a mask."""
        vector = observation.astype(np.float32, copy=False)
        return vector if self.normaliser is None else self.normaliser.plain(vector)

    @torch.no_grad()
    def learn_scale(self, observation: Any) -> None:
        """Take a batch of observations [... *shape] into the running statistics, where there are any."""
        if self.normaliser is None:
            return
        normaliser, self.normaliser = self.normaliser, None
        try:
            vector, _ = self(observation)
        finally:
            self.normaliser = normaliser
        normaliser.update(vector.reshape(-1, *self.shape)[:, : len(normaliser.mean)])


def without_mask(space: spaces.Space[Any]) -> tuple[spaces.Space[Any], bool]:
    """The space without its `action_mask`, and whether it had one."""
    if isinstance(space, spaces.Dict) and ACTION_MASK in space.spaces:
        return spaces.Dict({key: part for key, part in space.items() if key != ACTION_MASK}), True
    return space, False
