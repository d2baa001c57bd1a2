"""The parts of a Dict observation, kept apart in one flat vector so that each can have an encoder of its own."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from gymnasium import spaces
from torch import Tensor

Tensors: TypeAlias = "Tensor | dict[str, Tensors]"


class Part(NamedTuple):
    """One part of an observation: what it is called, what it is, and its shape when encoded.

    vector [F], image [C H W], sequence [L F] of vectors, tokens [L] that are choices of one kind.
    """

    name: str
    kind: Literal["vector", "image", "sequence", "tokens"]
    shape: tuple[int, ...]
    choices: int = 0  # of tokens: how many there are

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class Leaf(NamedTuple):
    """A part and where it is found."""

    part: Part
    path: tuple[str, ...]
    space: spaces.Space[Any]


def find_leaves(space: spaces.Space[Any], path: tuple[str, ...] = ()) -> list[Leaf]:
    """The parts of a (nested) Dict in the order of their encoding: first those that running statistics can scale.

    A Box of three axes is an image, of two a sequence; a MultiDiscrete whose choices are all of one number is a
    sequence of tokens; whatever else a vector can hold is one.
    """
    if isinstance(space, spaces.Dict):
        found = [leaf for key, inner in space.items() for leaf in find_leaves(inner, (*path, key))]
        return sorted(found, key=lambda leaf: leaf.part.kind in ("image", "tokens"))
    return [Leaf(_part(".".join(("observation", *path)), space), path, space)]


def _part(name: str, space: spaces.Space[Any]) -> Part:
    if is_image(space):
        assert space.shape is not None
        a, b, c = space.shape
        return Part(name, "image", (c, a, b) if channels_come_last(space.shape) else (a, b, c))
    if isinstance(space, spaces.Box) and len(space.shape) == 2:
        return Part(name, "sequence", space.shape)
    if isinstance(space, spaces.MultiDiscrete) and space.shape == (len(space.nvec),) and len(set(space.nvec)) == 1:
        return Part(name, "tokens", space.shape, int(space.nvec[0]))
    return Part(name, "vector", (vector_size(space, name),))


def encode_leaf(leaf: Leaf, observation: Tensors, dtype: torch.dtype) -> Tensor:
    """That part of an observation [... *shape], flat: [... size]. Bytes of images become 0…1, tokens stay numbers."""
    for key in leaf.path:
        assert isinstance(observation, dict)
        observation = observation[key]
    assert isinstance(observation, Tensor)
    match leaf.part.kind:
        case "image":
            assert leaf.space.shape is not None
            image = observation.movedim(-1, -3) if channels_come_last(leaf.space.shape) else observation
            values = image.to(dtype)
            return (values / 255.0 if image.dtype == torch.uint8 else values).flatten(-3)
        case "tokens":
            assert isinstance(leaf.space, spaces.MultiDiscrete)
            return (observation - torch.as_tensor(leaf.space.start, device=observation.device)).to(dtype)
        case _:
            return flatten(leaf.space, observation, dtype)


def is_image(space: spaces.Space[Any]) -> bool:
    """A Box of three axes: stacked or coloured pictures."""
    return isinstance(space, spaces.Box) and len(space.shape) == 3


def channels_come_last(shape: tuple[int, ...]) -> bool:
    """Whether an image shape reads H W C: by its two equal sides, otherwise because the last axis is not the larger one."""
    if (shape[0] == shape[1]) != (shape[1] == shape[2]):
        return shape[0] == shape[1]
    return shape[2] <= shape[0]


def vector_size(space: spaces.Space[Any], name: str = "observation") -> int:
    """How many numbers `flatten` makes of one observation of `space`.

    Raises:
        ValueError: for spaces that no vector can hold, by name.
    """
    match space:
        case spaces.Box() if len(space.shape) <= 2:
            return math.prod(space.shape)
        case spaces.Discrete():
            return int(space.n)
        case spaces.MultiDiscrete():
            return int(space.nvec.sum())
        case spaces.MultiBinary():
            return math.prod(space.shape)
        case spaces.Dict():
            return sum(vector_size(part, f"{name}.{key}") for key, part in space.items())
    raise ValueError(
        f"{name} is {space}: supported are images (Box of three axes), Box of up to two axes, Discrete, "
        "MultiDiscrete, MultiBinary and (nested) Dict of these"
    )


def flatten(space: spaces.Space[Any], observation: Tensors, dtype: torch.dtype) -> Tensor:
    """[... *shape] to [... vector_size]: numbers as they are, choices one-hot, dicts in the order of their keys."""
    if isinstance(space, spaces.Dict):
        assert isinstance(observation, dict)
        return torch.cat([flatten(part, observation[key], dtype) for key, part in space.items()], dim=-1)
    assert isinstance(observation, Tensor)
    if isinstance(space, spaces.Discrete):
        return torch.nn.functional.one_hot(observation.long() - int(space.start), int(space.n)).to(dtype)
    if isinstance(space, spaces.MultiDiscrete):
        start = torch.as_tensor(space.start.flatten(), device=observation.device)
        choices = observation.long().flatten(observation.ndim - len(space.shape)) - start
        parts = [torch.nn.functional.one_hot(choices[..., i], int(n)) for i, n in enumerate(space.nvec.flatten())]
        return torch.cat(parts, dim=-1).to(dtype)
    axes = len(space.shape or ())
    if axes == 1:
        return observation.to(dtype)
    return observation.reshape(*observation.shape[: observation.ndim - axes], -1).to(dtype)
