"""The generator that is seeded again and again against numpy's, made afresh."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.envs.chance import ReusableGenerator, spread

GENERATOR = ReusableGenerator()


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)  # the first call compiles
def test_the_seed_is_spread_as_by_numpy(seed: int) -> None:
    assert list(spread(seed)) == np.random.SeedSequence(seed).generate_state(4, np.uint64).tolist()


@given(seed=st.integers(0, 2**32 - 1), left_over=st.integers(0, 3))
@settings(deadline=None)
def test_every_kind_of_draw_is_numpys(seed: int, left_over: int) -> None:
    for _ in range(left_over):
        GENERATOR.seeded(seed ^ 1).integers(0, 100, dtype=np.int32)  # leaves half a word behind
    own, numpys = GENERATOR.seeded(seed), np.random.Generator(np.random.PCG64(seed))
    for draw in ("random", "standard_normal", "standard_exponential"):
        np.testing.assert_array_equal(getattr(own, draw)(5), getattr(numpys, draw)(5))
    np.testing.assert_array_equal(own.uniform(-0.05, 0.05, 4), numpys.uniform(-0.05, 0.05, 4))
    np.testing.assert_array_equal(own.integers(0, 7, 5, np.int32), numpys.integers(0, 7, 5, np.int32))
    np.testing.assert_array_equal(own.permutation(9), numpys.permutation(9))
