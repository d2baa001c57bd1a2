"""The memory that a process and its workers share: one block, seen by each as the same named arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from keel.envs.batches import Layout
from keel.envs.protocol import Array, Observation

ALIGNMENT_BYTES = 64  # a cache line


class SharedArrays:
    """Actions, observations and all that a step returns, a row for each world, laid over one block of memory."""

    def __init__(
        self, memory: Any, layout: Layout, num_envs: int, action: tuple[tuple[int, ...], Any], num_metrics: int
    ) -> None:
        block = _Block(memory)
        self.action = block.carve((num_envs, *action[0]), action[1])
        self.observation = _carve_observation(block, layout, num_envs)
        self.reward = block.carve((num_envs,), np.float64)
        self.terminated = block.carve((num_envs,), np.bool_)
        self.truncated = block.carve((num_envs,), np.bool_)
        self.metrics = block.carve((num_envs, num_metrics), np.float64)
        self.size_bytes = block.used


class _Block:
    """Hands out aligned pieces of a buffer one after the other; without a buffer it only measures."""

    def __init__(self, memory: Any) -> None:
        self._memory = memory
        self.used = 0

    def carve(self, shape: tuple[int, ...], dtype: Any) -> Array:
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        offset = self.used
        self.used = -(-(offset + size) // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        if self._memory is None:
            return np.empty(0, dtype)
        return np.frombuffer(self._memory, np.uint8, size, offset).view(dtype).reshape(shape)


def _carve_observation(block: _Block, layout: Layout, num_envs: int) -> Observation:
    if isinstance(layout, dict):
        return {key: _carve_observation(block, part, num_envs) for key, part in layout.items()}
    return block.carve((num_envs, *layout.shape), layout.dtype)
