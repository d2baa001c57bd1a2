"""The episode log against plain lists."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.envs.replay import EpisodeLog


@given(
    seed=st.integers(0, 10_000),
    num_envs=st.integers(1, 4),
    steps=st.integers(0, 5000),
    ending=st.floats(0.0002, 0.3),
    shape=st.sampled_from([(), (2,)]),
)
@settings(max_examples=25, deadline=None)
def test_the_log_holds_the_same_as_lists(
    seed: int, num_envs: int, steps: int, ending: float, shape: tuple[int, ...]
) -> None:
    generator = np.random.default_rng(seed)
    log = EpisodeLog(num_envs, shape, np.dtype(np.float32))
    log.begin(np.arange(num_envs), np.arange(num_envs))
    seeds, actions = list(range(num_envs)), [[] for _ in range(num_envs)]
    for step in range(steps):
        action = generator.normal(size=(num_envs, *shape)).astype(np.float32)
        log.append(action)
        for index in range(num_envs):
            actions[index].append(action[index])
        ended = np.flatnonzero(generator.random(num_envs) < ending)
        if ended.size:
            log.begin(ended, [1000 + step] * len(ended))
            for index in ended:
                seeds[index], actions[index] = 1000 + step, []
    restored = EpisodeLog(num_envs, shape, np.dtype(np.float32))
    restored.load_state_dict(log.state_dict())
    for copy in (log, restored):
        for index in range(num_envs):
            own_seed, own = copy.episode(index)
            assert own_seed == seeds[index]
            np.testing.assert_array_equal(own, np.array(actions[index], np.float32).reshape(-1, *shape))
