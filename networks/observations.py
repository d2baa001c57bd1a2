"""From observations as worlds give them to tensors as backbones take them."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from keel.networks.normalise import RunningNorm

Tensors: TypeAlias = "Tensor | dict[str, Tensors]"

ACTION_MASK = "action_mask"  # the key that keel.envs.protocol reserves for legal actions


def to_tensors(observation: Any, device: torch.device) -> Tensors:
    """The same (nested dict of) arrays as tensors on `device`, without a copy on the CPU."""
    if isinstance(observation, dict):
        return {key: to_tensors(value, device) for key, value in observation.items()}
    return torch.from_numpy(observation).to(device, non_blocking=True)


def is_image(space: spaces.Space[Any]) -> bool:
    """A Box of three axes: stacked or coloured pictures."""
    return isinstance(space, spaces.Box) and len(space.shape) == 3


def vector_size(space: spaces.Space[Any], name: str = "observation") -> int:
    """How many numbers `flatten` makes of one observation of `space`.

    Raises:
        ValueError: for spaces that no vector can hold, by name.
    """
    match space:
        case spaces.Box() if len(space.shape) <= 2:
            return int(np.prod(space.shape))
        case spaces.Discrete():
            return int(space.n)
        case spaces.MultiDiscrete():
            return int(np.sum(space.nvec))
        case spaces.MultiBinary():
            return int(np.prod(space.shape))
        case spaces.Dict():
            return sum(vector_size(part, f"{name}.{key}") for key, part in space.items())
    if is_image(space):  # beside other parts: alone it would not come here
        raise ValueError(
            f"{name} is an image {space.shape} inside a Dict: no backbone takes images beside other parts yet; keep "
            "the image alone, or drop it, with a Gymnasium observation wrapper"
        )
    raise ValueError(
        f"{name} is {space}: supported are images (Box of three axes) alone, and Box of up to two axes, Discrete, "
        "MultiDiscrete, MultiBinary and (nested) Dict of these"
    )


def flatten(space: spaces.Space[Any], observation: Tensors, dtype: torch.dtype) -> Tensor:
    """[... *shape] to [... vector_size]: numbers as they are, choices one-hot, dicts in the order of their keys."""
    if isinstance(space, spaces.Dict):
        assert isinstance(observation, dict)
        return torch.cat([flatten(part, observation[key], dtype) for key, part in space.items()], dim=-1)
    assert isinstance(observation, Tensor)
    if isinstance(space, spaces.Discrete):
        return nn.functional.one_hot(observation.long() - int(space.start), int(space.n)).to(dtype)
    if isinstance(space, spaces.MultiDiscrete):
        start = torch.as_tensor(space.start.flatten(), device=observation.device)
        choices = observation.long().flatten(observation.ndim - len(space.shape)) - start
        parts = [nn.functional.one_hot(choices[..., i], int(n)) for i, n in enumerate(space.nvec.flatten())]
        return torch.cat(parts, dim=-1).to(dtype)
    axes = len(space.shape or ())
    if axes == 1:
        return observation.to(dtype)
    return observation.reshape(*observation.shape[: observation.ndim - axes], -1).to(dtype)


class Encoder(nn.Module):
    """An observation [... *shape] as the tensor that a backbone takes, and the mask of legal actions beside it.

    Vectors are flattened and, with `normalise`, scaled by running statistics; images become [... C H W] and stay
    uint8. It has no parameter, so a batch is encoded once however often it is learnt from.

    Attributes:
        shape: of one encoded observation, (F,) or (C, H, W).
    """

    def __init__(self, space: spaces.Space[Any], *, normalise: bool) -> None:
        super().__init__()
        self.space, self.has_mask = without_mask(space)
        self.only_key = next(iter(self.space)) if isinstance(self.space, spaces.Dict) and len(self.space) == 1 else None
        if self.only_key is not None:
            assert isinstance(self.space, spaces.Dict)
            self.space = self.space[self.only_key]
        self.image = is_image(self.space)
        self.channels_last = self.image and self.space.shape is not None and channels_come_last(self.space.shape)
        self.shape = self._shape()
        self.normaliser = RunningNorm(self.shape) if normalise and not self.image else None
        self.is_plain = isinstance(self.space, spaces.Box) and len(self.shape) == 1 == len(self.space.shape)
        self.is_plain = self.is_plain and not self.has_mask and self.only_key is None
        self.register_buffer("anchor", torch.zeros(()), persistent=False)  # carries the device and the dtype
        self.anchor: Tensor

    def _shape(self) -> tuple[int, ...]:
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
        vector = flatten(self.space, tensors, self.anchor.dtype)
        return (self.normaliser(vector) if self.normaliser is not None else vector), mask

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
        normaliser.update(vector.reshape(-1, *self.shape))


def without_mask(space: spaces.Space[Any]) -> tuple[spaces.Space[Any], bool]:
    """The space without its `action_mask`, and whether it had one."""
    if isinstance(space, spaces.Dict) and ACTION_MASK in space.spaces:
        return spaces.Dict({key: part for key, part in space.items() if key != ACTION_MASK}), True
    return space, False


def channels_come_last(shape: tuple[int, ...]) -> bool:
    """Whether an image shape reads H W C: by its two equal sides, otherwise because the last axis is not the larger one."""
    if (shape[0] == shape[1]) != (shape[1] == shape[2]):
        return shape[0] == shape[1]
    return shape[2] <= shape[0]
