"""One numpy Generator put to a new seed at a quarter of the cost of making one: short episodes start often.

It is numpy's own seeding of PCG64, so the draws are those of `np.random.Generator(np.random.PCG64(seed))`.

Source: O'Neill (2014), "PCG: A family of simple fast space-efficient statistically good algorithms for random number
generation", for the generator; O'Neill (2015), "Developing a seed_seq alternative", for the spreading of the seed, as
numpy's SeedSequence uses it.
"""

from __future__ import annotations

import numpy as np

from keel.envs.compiled import kernel

POOL_WORDS = 4
MASK_32 = 0xFFFFFFFF
MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645  # PCG's, of 128 bits
MASK_128 = (1 << 128) - 1


class ReusableGenerator:
    """A Generator whose stream can be begun from any seed; what an earlier seed began is lost."""

    def __init__(self) -> None:
        self._bits = np.random.PCG64(0)
        self._generator = np.random.Generator(self._bits)

    def seeded(self, seed: int) -> np.random.Generator:
        """The generator at the start of the stream of `seed`, in [0, 2^32)."""
        start_high, start_low, stream_high, stream_low = spread(seed)
        increment = (((stream_high << 64) | stream_low) << 1 | 1) & MASK_128
        state = ((increment + ((start_high << 64) | start_low)) * MULTIPLIER + increment) & MASK_128
        self._bits.state = {
            "bit_generator": "PCG64",
            "state": {"state": state, "inc": increment},
            "has_uint32": 0,
            "uinteger": 0,
        }
        return self._generator


@kernel
def spread(seed: int) -> tuple[int, int, int, int]:
    """Four words of 64 bits from one of 32: SeedSequence(seed).generate_state(4, uint64)."""
    pool = np.zeros(POOL_WORDS, np.uint64)
    constant = np.uint64(0x43B0D7E5)
    for i in range(POOL_WORDS):
        word = np.uint64(seed) if i == 0 else np.uint64(0)
        pool[i], constant = _hash(word, constant)
    for source in range(POOL_WORDS):
        for target in range(POOL_WORDS):
            if source != target:
                hashed, constant = _hash(pool[source], constant)
                pool[target] = _mix(pool[target], hashed)
    words = np.zeros(2 * POOL_WORDS, np.uint64)
    constant = np.uint64(0x8B51F9DD)
    for i in range(2 * POOL_WORDS):
        word = pool[i % POOL_WORDS] ^ constant
        constant = (constant * np.uint64(0x58F38DED)) & np.uint64(MASK_32)
        word = (word * constant) & np.uint64(MASK_32)
        words[i] = word ^ (word >> np.uint64(16))
    high = np.uint64(32)
    return (
        words[0] | words[1] << high,
        words[2] | words[3] << high,
        words[4] | words[5] << high,
        words[6] | words[7] << high,
    )


@kernel
def _hash(word: np.uint64, constant: np.uint64) -> tuple[np.uint64, np.uint64]:
    word = word ^ constant
    constant = (constant * np.uint64(0x931E8875)) & np.uint64(MASK_32)
    word = (word * constant) & np.uint64(MASK_32)
    return word ^ (word >> np.uint64(16)), constant


@kernel
def _mix(one: np.uint64, other: np.uint64) -> np.uint64:
    mixed = (one * np.uint64(0xCA01F9DD) - other * np.uint64(0x4973F715)) & np.uint64(MASK_32)
    return mixed ^ (mixed >> np.uint64(16))
