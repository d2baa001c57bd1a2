"""Returns over a few steps (Sutton 1988, Learning to predict by the methods of temporal differences), as a replay cuts
them from its arrays.
"""

from __future__ import annotations

import numpy as np

from keel.envs.compiled import kernel
from keel.envs.protocol import Array


@kernel
def windows(
    start: Array,
    worlds: int,
    n_step: int,
    gamma: float,
    reward: Array,
    terminated: Array,
    truncated: Array,
    final_number: Array,
) -> tuple[Array, Array, Array, Array]:
    """The n steps from each start, or fewer up to the end of the episode.

    Args:
        start: [N] rows; the step of one world in row i is followed by that in row i + worlds, and after the end the
            rows go on from the beginning.
        reward, terminated, truncated, final_number: [rows].

    Returns: return_, discount, the row of the observation that follows, and the number of the final observation that
        replaces it (-1: none), each [N].
    """
    count = len(start)
    return_, discount = np.empty(count, np.float32), np.empty(count, np.float32)
    after, final = np.empty(count, np.int64), np.full(count, -1, np.int32)
    for i in range(count):
        row, total, scale = start[i], 0.0, 1.0
        for _ in range(n_step):
            total += scale * reward[row]
            scale *= gamma
            if terminated[row]:
                scale = 0.0
                break
            if truncated[row]:
                final[i] = final_number[row]
                break
            row = (row + worlds) % len(reward)
        return_[i], discount[i], after[i] = total, scale, row
    return return_, discount, after, final
