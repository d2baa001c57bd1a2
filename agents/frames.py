"""Where a replay keeps its observations: without the frames that stacked observations share, in memory or in a file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keel.agents.buffers import select, write
from keel.envs.protocol import Array, Observation

# In a dict of observations this entry alone is made of frames.
STACKED = "observation"

# Final observations are numbered in the order they came, within what an int32 holds.
_NUMBERS = (1 << 31) - 1


class FrameStack(NamedTuple):
    """How stacked observations are made of frames.

    They are `count` frames that lie one after the other along `axis` of one observation (batch axis not counted),
    oldest first. At the start of an episode the first frame is repeated, as Gymnasium's FrameStackObservation does.
    """

    count: int  # pyright: ignore[reportIncompatibleMethodOverride]
    axis: int


def allocate(like: Observation, length: int, folder: Path | None) -> Observation:
    """Zeros [length, *shape] for each array of `like`, in memory or in files in `folder` that vanish with the array."""
    if isinstance(like, dict):
        return {key: allocate(value, length, folder) for key, value in like.items()}
    shape = (length, *like.shape)
    if folder is None:
        return np.zeros(shape, like.dtype)
    with tempfile.TemporaryFile(dir=folder) as file:
        # Claimed now, because a disk that is full later ends the process without a word.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, int(np.prod(shape)) * like.dtype.itemsize)
        return np.asarray(np.memmap(file, like.dtype, "w+", shape=shape))


def first_row(observation: Observation) -> Observation:
    """observation[0], key by key."""
    if isinstance(observation, dict):
        return {key: first_row(part) for key, part in observation.items()}
    return observation[0]


def count_bytes(observation: Observation) -> int:
    if isinstance(observation, dict):
        return sum(count_bytes(part) for part in observation.values())
    return observation.nbytes


def check_stack(observation: Observation, frames: FrameStack) -> None:
    """Raises ValueError where observations [B ...] cannot be stacks of such frames."""
    stacked = observation.get(STACKED) if isinstance(observation, dict) else observation
    if stacked is None or isinstance(stacked, dict):
        raise ValueError(f"frames is {frames}, but the observation has no array {STACKED!r} that could be a stack")
    shape = stacked.shape[1:]
    if not 1 <= frames.count <= 256:
        raise ValueError(f"frames.count is {frames.count}; it must lie in 1 to 256")
    if not -len(shape) <= frames.axis < len(shape):
        raise ValueError(f"frames.axis is {frames.axis}, but one observation has the shape {shape}")
    if shape[frames.axis] % frames.count:
        raise ValueError(
            f"frames.count is {frames.count}, which does not divide the {shape[frames.axis]} entries of axis "
            f"{frames.axis} of an observation of shape {shape}"
        )


def _flat(ring: Observation) -> Observation:
    """Views with the first two axes joined."""
    if isinstance(ring, dict):
        return {key: _flat(part) for key, part in ring.items()}
    return ring.reshape(-1, *ring.shape[2:])


def _take(observation: Observation, rows: Array) -> Observation:
    """`select` for rows alone: a third of its time where the observation is small."""
    if isinstance(observation, dict):
        return {key: _take(part, rows) for key, part in observation.items()}
    return observation.take(rows, axis=0)


class ObservationRing:
    """The observations of `slots` steps of B worlds; row slot * B + b is that of world b.

    With frames only the newest of each stack is stored, and how many steps old the episode was: an older frame of the
    stack is the newest frame of an earlier slot (Mnih et al. 2015 keep a million frames this way).

    Args: like: what is stored of B observations, see `newest`.
    """

    def __init__(self, like: Observation, slots: int, frames: FrameStack | None, folder: Path | None) -> None:
        self.ring = allocate(like, slots, folder)
        self._flat = _flat(self.ring)
        self._frames = frames
        if frames is None:
            return
        frame = like[STACKED] if isinstance(like, dict) else like
        assert not isinstance(frame, dict)
        self.worlds = len(frame)
        self.age = np.zeros((slots, self.worlds), np.uint8)
        self._axis = frames.axis % (frame.ndim - 1) + 1
        order = list(range(2, frame.ndim + 1))
        self._order = (0, *order[: self._axis - 1], 1, *order[self._axis - 1 :])
        self._shape = list(frame.shape)
        self._shape[0], self._shape[self._axis] = -1, frames.count * frame.shape[self._axis]
        self._steps_back = np.arange(frames.count - 1, -1, -1)

    @staticmethod
    def newest(observation: Observation, frames: FrameStack | None) -> Observation:
        """What is stored of observations [B ...]: views of their newest frames, and whole what is not stacked."""
        if frames is None:
            return observation
        if isinstance(observation, dict):
            return {**observation, STACKED: ObservationRing.newest(observation[STACKED], frames)}
        axis = frames.axis % (observation.ndim - 1) + 1
        size = observation.shape[axis]
        return observation[(slice(None),) * axis + (slice(size - size // frames.count, size),)]

    def write(self, slot: int, observation: Observation, is_first: Array) -> None:
        """Store B observations; is_first [B] bool: they begin an episode.

        Raises:
            ValueError: the stack at the beginning of an episode is not its first frame repeated.
        """
        frames = self._frames
        if frames is None:
            write(self.ring, slot, observation)
            return
        if is_first.any():
            self._check_first(observation, is_first)
        write(self.ring, slot, self.newest(observation, frames))
        age = np.minimum(self.age[slot - 1], frames.count - 2) + 1 if frames.count > 1 else 0
        self.age[slot] = np.where(is_first, 0, age)

    def _check_first(self, observation: Observation, is_first: Array) -> None:
        """Stacks that were filled up otherwise, or that begin later, would be rebuilt wrongly without a word."""
        assert self._frames is not None
        stacked: Any = observation[STACKED] if isinstance(observation, dict) else observation
        first, *others = np.split(stacked[is_first], self._frames.count, axis=self._axis)
        if not all(np.array_equal(first, other) for other in others):
            raise ValueError(
                f"frames is {self._frames}, but an episode began with a stack of different frames; replay can rebuild "
                "stacks only where the first frame is repeated at the start (use frames=None for others)"
            )

    def read(self, rows: Array) -> Observation:
        """The observations [N ...] of rows [N], stacks rebuilt."""
        if self._frames is None:
            return _take(self._flat, rows)
        if isinstance(self._flat, dict):
            parts = {key: _take(part, rows) for key, part in self._flat.items() if key != STACKED}
            return {key: self._stack(self._flat[STACKED], rows) if key == STACKED else parts[key] for key in self._flat}
        return self._stack(self._flat, rows)

    def _stack(self, flat: Any, rows: Array) -> Array:
        back = np.minimum(self.age.reshape(-1).take(rows)[:, None], self._steps_back)
        found = flat.take((rows[:, None] - back * self.worlds) % len(flat), axis=0)
        return found.transpose(self._order).reshape(self._shape)


class FinalObservations:
    """The final observations of truncated episodes, a queue whose rows double when they are all in use.

    Observation number k lies in row k modulo the number of rows, so that numbers stay right when the rows grow.
    """

    LEAST_ROWS = 16  # rows are always a power of two, so that numbers may wrap

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.rows: Observation | None = None
        self.length = 0
        self.first = 0  # the oldest that is still needed
        self.next = 0

    def push(self, observation: Observation, which: Array) -> Array:
        """Keep the rows `which` [K] of B observations; returns their numbers [K] int32."""
        after = self.next + len(which)
        if self.rows is None:
            self.length = self.LEAST_ROWS
            self.rows = allocate(first_row(observation), self.length, self._folder)
        if after - self.first > self.length:
            self._grow(after - self.first)
        numbers: Any = np.arange(self.next, after) & _NUMBERS
        write(self.rows, numbers % self.length, select(observation, which))
        self.next = after
        return numbers.astype(np.int32)

    def _grow(self, least: int) -> None:
        assert self.rows is not None
        length = 1 << (least - 1).bit_length()
        rows = allocate(first_row(self.rows), length, self._folder)
        used: Any = np.arange(self.first, self.next)
        write(rows, used % length, select(self.rows, used % self.length))
        self.rows, self.length = rows, length

    def drop(self, count: int) -> None:
        """The oldest `count` are no longer needed."""
        self.first += count

    def read(self, numbers: Array) -> Observation:
        assert self.rows is not None
        return select(self.rows, numbers % self.length)

    def load(self, rows: Observation | None, length: int, first: int, next_: int) -> None:
        self.rows, self.length, self.first, self.next = None, length, first, next_
        if rows is not None:
            self.rows = allocate(first_row(rows), length, self._folder)
            everything: Any = slice(None)
            write(self.rows, everything, rows)
