"""Observations of many worlds as arrays: laid out from the space, filled row by row, taken apart and put together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from gymnasium import spaces

from keel.envs.backend import Fault, plain
from keel.envs.protocol import Array, Observation

SUPPORTED = "Box, Discrete, MultiDiscrete, MultiBinary and (nested) Dict"


class Leaf(NamedTuple):
    """One array of an observation, without the batch axis."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    limits: tuple[Any, Any] | None  # the least and the greatest value, where the space counts its values


Layout: TypeAlias = "Leaf | dict[str, Layout]"


def layout_of(space: spaces.Space[Any], name: str = "observation") -> Layout:
    """How observations of `space` are laid out. Raises: ValueError, naming the part that has no place in an array."""
    if isinstance(space, spaces.Dict):
        return {key: layout_of(part, f"{name}['{key}']") for key, part in space.spaces.items()}
    if isinstance(space, spaces.Discrete):
        return Leaf(name, (), np.dtype(np.int64), (int(space.start), int(space.start + space.n) - 1))
    if isinstance(space, spaces.MultiDiscrete):
        return Leaf(name, space.shape, np.dtype(space.dtype), (space.start, space.start + space.nvec - 1))
    if isinstance(space, spaces.MultiBinary):
        return Leaf(name, space.shape, np.dtype(space.dtype), (0, 1))
    if isinstance(space, spaces.Box):
        return Leaf(name, space.shape, np.dtype(space.dtype), None)
    raise ValueError(
        f"the {name} is a {type(space).__name__} space, which has no fixed numeric shape; supported are {SUPPORTED}: "
        "drop or encode this part with a Gymnasium observation wrapper"
    )


def allocate(layout: Layout, batch: int) -> Observation:
    """A fresh, unfilled observation [batch ...]."""
    if isinstance(layout, dict):
        return {key: allocate(part, batch) for key, part in layout.items()}
    return np.empty((batch, *layout.shape), layout.dtype)


def write(layout: Layout, batch: Observation, index: int, value: Any) -> None:
    """Put the observation of one world in row `index`. Raises: ValueError where it does not fit its space."""
    if isinstance(layout, Leaf):
        fits = value.__class__ is np.ndarray and value.shape == layout.shape and value.dtype == layout.dtype
        array = value if fits else _converted(layout, value)
        if layout.limits is not None:
            _check_limits(layout, array)
        batch[index] = array  # pyright: ignore[reportArgumentType, reportCallIssue]
        return
    assert isinstance(batch, dict)
    if not isinstance(value, dict) or value.keys() != layout.keys():
        got = sorted(value) if isinstance(value, dict) else plain(value)
        raise ValueError(f"the observation is {got}, the space says a dict with the keys {sorted(layout)}")
    for key, part in layout.items():
        write(part, batch[key], index, value[key])


def _converted(leaf: Leaf, value: Any) -> Array:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"the {leaf.name} {plain(value)} is no array of one shape") from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"the {leaf.name} {plain(value)} is not numeric, the space says {leaf.dtype}")
    if array.shape != leaf.shape:
        raise ValueError(f"the {leaf.name} has shape {array.shape}, the space says {leaf.shape}")
    with np.errstate(invalid="ignore", over="ignore"):  # what is lost here is reported by the comparison or the guard
        converted = array.astype(leaf.dtype)
    if leaf.dtype.kind != "f" and not np.array_equal(converted, array):
        raise ValueError(f"the {leaf.name} {plain(value)} cannot be held by {leaf.dtype}, which the space says")
    return converted


def _check_limits(leaf: Leaf, array: Array) -> None:
    assert leaf.limits is not None
    least, greatest = leaf.limits
    outside = not least <= int(array) <= greatest if array.ndim == 0 else ((array < least) | (array > greatest)).any()
    if outside:
        raise ValueError(f"the {leaf.name} is {plain(array)}, the space says {plain(least)} to {plain(greatest)}")


def leaves(observation: Observation, name: str = "observation") -> Iterator[tuple[str, Array]]:
    """Every array of an observation with its name, in the order of the space."""
    if isinstance(observation, dict):
        for key, part in observation.items():
            yield from leaves(part, f"{name}['{key}']")
    else:
        yield name, observation


def copy(observation: Observation) -> Observation:
    """A copy that shares no memory."""
    if isinstance(observation, dict):
        return {key: copy(part) for key, part in observation.items()}
    return observation.copy()


def rows(observation: Observation, index: slice | Array) -> Observation:
    """Some rows: a view for a slice, a copy for an array of indices."""
    if isinstance(observation, dict):
        return {key: rows(part, index) for key, part in observation.items()}
    return observation[index]


def put(observation: Observation, indices: Array, values: Observation) -> None:
    """Overwrite the rows `indices` by `values` [N ...]."""
    if isinstance(observation, dict):
        assert isinstance(values, dict)
        for key, part in observation.items():
            put(part, indices, values[key])
    else:
        observation[indices] = values


def first_difference(one: Observation, other: Observation) -> int | None:
    """The first row in which two observations differ in any bit, or None."""
    different = [
        np.flatnonzero((_bits(a) != _bits(b)).any(axis=1))
        for (_, a), (_, b) in zip(leaves(one), leaves(other), strict=True)
    ]
    indices = np.concatenate(different) if different else np.zeros(0, np.int64)
    return int(indices.min()) if indices.size else None


def _bits(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(len(array), -1).view(np.uint8)


def find_non_finite(observation: Observation, name: str = "observation") -> Fault | None:
    """The first row that holds a nan or an infinite number, as the fault of its world, or None."""
    if isinstance(observation, dict):
        found = (find_non_finite(part, f"{name}['{key}']") for key, part in observation.items())
        return next((fault for fault in found if fault is not None), None)
    if observation.dtype.kind != "f" or _is_finite(observation):
        return None
    row = int(np.flatnonzero(~np.isfinite(observation).reshape(len(observation), -1).all(axis=1))[0])
    return Fault(row, f"the {name} is {plain(observation[row])}")


def _is_finite(array: Array) -> bool:
    # The sum of squares decides nearly always, at a third of the cost.
    return math.isfinite(np.vdot(array, array)) or bool(np.isfinite(array).all())
