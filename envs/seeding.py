"""Seeds derived from names and numbers, so that every stream of chance is known by what it is for.

Nothing here holds state: the same words and numbers give the same seed on every machine.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive_seed(seed: int, *path: int | str) -> int:
    """A seed in [0, 2^31) from a base seed and a path such as ("evaluation",) or (env index, episode index).

    SHA-256 over the written-out path: distinct paths give independent seeds, and 2^31 is what every Gymnasium
    environment accepts.
    """
    text = "/".join(str(part) for part in (seed, *path))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") >> 1


def generator(seed: int, *path: int | str) -> np.random.Generator:
    """A numpy Generator for one purpose, for instance ("minibatches", update index)."""
    return np.random.default_rng(derive_seed(seed, *path))
