"""A sum tree: draws an index with a chance in proportion to its value, and changes values, in time log(size).

Source: Schaul et al. 2016, Prioritized experience replay, appendix B.2.1. A node is always computed anew as the sum of
its two children and never by adding a difference, so the tree is a function of its leaves alone: no rounding error
gathers over the steps, and a tree rebuilt from saved leaves is the same bit for bit.
"""

from __future__ import annotations

import numpy as np

from keel.envs.compiled import kernel
from keel.envs.protocol import Array


class SumTree:
    """`size` values, all 0 at first.

    The nodes are one array laid out like a binary heap: node i has the children 2i and 2i + 1, the root is node 1, and
    the leaves are the last half, filled up with zeros to a power of two.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._width = 1 << (size - 1).bit_length()
        self._nodes = np.zeros(2 * self._width)

    @property
    def total(self) -> float:
        return float(self._nodes[1])

    @property
    def leaves(self) -> Array:
        """[size] float64, a view: change it by `set` only."""
        return self._nodes[self._width : self._width + self.size]

    @property
    def nbytes(self) -> int:
        return self._nodes.nbytes

    def set(self, indices: Array, values: Array) -> None:
        """leaves[indices] = values, of which the last counts where an index comes twice.

        Args: indices: [N] int64; values: [N] float64.

        Raises:
            ValueError: an index beyond the leaves, or a value that is negative, infinite or nan; nothing was changed.
        """
        if not _set(self._nodes, self.size, indices, values):
            raise ValueError(f"indices must lie in [0, {self.size}) and values must be finite and at least 0: {values}")

    def find(self, mass: Array) -> Array:
        """The leaf in which each mass falls when the leaves lie end to end, never one of value 0.

        Args: mass: [N] float64 in [0, total); what rounding pushed to the total or beyond falls in one of the last leaves.

        Returns: [N] int64.

        Raises:
            ValueError: all leaves are 0.
        """
        if not self._nodes[1] > 0:
            raise ValueError("every leaf is 0: there is nothing to find")
        return _find(self._nodes, mass)

    def rebuild(self, leaves: Array) -> None:
        """Take over the first leaves, [N <= size] float64; the others become 0."""
        self._nodes[self._width :] = 0.0
        self._nodes[self._width : self._width + len(leaves)] = leaves
        _rebuild(self._nodes)


@kernel
def _set(nodes: Array, size: int, indices: Array, values: Array) -> bool:
    for i in range(len(indices)):
        if not (0 <= indices[i] < size and 0.0 <= values[i] < np.inf):
            return False
    for i in range(len(indices)):
        node = len(nodes) // 2 + indices[i]
        nodes[node] = values[i]
        node //= 2
        while node > 0:
            nodes[node] = nodes[2 * node] + nodes[2 * node + 1]
            node //= 2
    return True


@kernel
def _find(nodes: Array, mass: Array) -> Array:
    width = len(nodes) // 2
    found = np.empty(len(mass), np.int64)
    for i in range(len(mass)):
        rest = mass[i]
        node = 1
        while node < width:
            node *= 2
            # The right half may be empty although rounding left more mass than the left half holds.
            if rest >= nodes[node] and nodes[node + 1] > 0.0:
                rest -= nodes[node]
                node += 1
        found[i] = node - width
    return found


@kernel
def _rebuild(nodes: Array) -> None:
    for node in range(len(nodes) // 2 - 1, 0, -1):
        nodes[node] = nodes[2 * node] + nodes[2 * node + 1]
