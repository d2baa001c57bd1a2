"""DQN goes on exactly where it was saved, and its chance is a function of the seed."""

import copy

import numpy as np
import pytest
import torch
from gymnasium import spaces

from keel.agents.schedule import Schedule

KINDS = {
    "2015": {"double": False, "dueling": False, "n_step": 1},
    "dqn": {"learning_rate_schedule": "linear", "normalise_observation": True, "persistence": 0.6, "clip_reward": 1.0},
    "rainbow": {"prioritised": True, "distribution": "categorical", "noisy": True, "epsilon": Schedule(0.0, 0.0)},
    "quantile": {
        "distribution": "quantile",
        "atoms": 9,
        "target_mix": 0.1,
        "target_every": 1,
        "prioritised": True,
        "update_every": 3,
        "head_hidden": 8,
    },
}
MASKED = spaces.Dict({"observation": spaces.Box(-10, 10, (4,), np.float32), "action_mask": spaces.MultiBinary(3)})


def look(numbers):
    legal = (numbers[:, :3] > 0).astype(np.int8)
    legal[:, 1] = 1
    return {"observation": numbers, "action_mask": legal}


def assert_same_state(left, right, path="state"):
    """The same keys, types, and bytes."""
    assert type(left) is type(right), path
    if isinstance(left, dict):
        assert left.keys() == right.keys(), path
        for key in left:
            assert_same_state(left[key], right[key], f"{path}.{key}")
    elif isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype, path
        assert left.numpy().tobytes() == right.numpy().tobytes(), path
    elif isinstance(left, np.ndarray):
        assert left.dtype == right.dtype, path
        assert left.tobytes() == right.tobytes(), path
    else:
        assert left == right, path


class TestRestoring:
    """200 steps further, from before the replay is full, and from after it went round."""

    @pytest.mark.parametrize(
        ("kind", "steps", "masked"),
        [*((kind, steps, False) for kind in KINDS for steps in (200, 500)), ("dqn", 500, True), ("rainbow", 500, True)],
    )
    def test_both_go_on_alike(self, kind, steps, masked, make_dqn, play):
        space, see = (MASKED, look) if masked else (spaces.Box(-10, 10, (4,), np.float32), None)
        straight = make_dqn(space, **KINDS[kind])
        play(straight, 0, steps // 4, look=see)
        assert straight.replay._written == steps // 4
        assert straight.replay._slots == 100
        saved = copy.deepcopy(straight.state_dict())
        expected, expected_rows = play(straight, steps // 4, steps // 4 + 50, look=see)
        fresh = make_dqn(space, **KINDS[kind])
        fresh.load_state_dict(saved)
        assert_same_state(fresh.state_dict(), saved)
        found, rows = play(fresh, steps // 4, steps // 4 + 50, look=see)
        np.testing.assert_array_equal(found, expected)
        assert rows == expected_rows
        assert len(rows) == 2
        assert_same_state(fresh.state_dict(), straight.state_dict())
        with torch.no_grad():
            for a, b in zip(fresh.target.parameters(), straight.target.parameters(), strict=True):
                assert torch.equal(a, b)  # the network itself, not only the vector

    def test_a_fresh_agent_without_the_state_does_not(self, make_dqn, play):
        """Else the test above could not fail."""
        straight, fresh = make_dqn(), make_dqn()
        play(straight, 0, 50)
        expected, _ = play(straight, 50, 100)
        found, _ = play(fresh, 50, 100)
        assert (found != expected).any()

    def test_taking_the_state_changes_nothing(self, make_dqn, play):
        watched, plain = (make_dqn(**KINDS["rainbow"]) for _ in range(2))
        for first in (0, 25, 50):
            watched.state_dict()
            np.testing.assert_array_equal(play(watched, first, first + 25)[0], play(plain, first, first + 25)[0])
        assert_same_state(watched.state_dict(), plain.state_dict())


class TestSeeds:
    @pytest.mark.parametrize("kind", KINDS)
    def test_the_same_seed_gives_the_same_run(self, kind, make_dqn, play):
        torch.manual_seed(1)  # which plays no part
        one = make_dqn(seed=3, **KINDS[kind])
        torch.manual_seed(2)
        other = make_dqn(seed=3, **KINDS[kind])
        np.testing.assert_array_equal(play(one, 0, 50)[0], play(other, 0, 50)[0])
        assert_same_state(one.state_dict(), other.state_dict())

    @pytest.mark.parametrize("kind", KINDS)
    def test_another_seed_gives_another_run(self, kind, make_dqn, play):
        one, other = make_dqn(seed=3, **KINDS[kind]), make_dqn(seed=4, **KINDS[kind])
        assert not torch.equal(one.optimiser.vector, other.optimiser.vector)
        assert (play(one, 0, 50)[0] != play(other, 0, 50)[0]).any()

    def test_every_stream_is_of_the_seed_and_apart_from_the_others(self, make_dqn):
        rows = [
            tuple(getattr(make_dqn(seed=seed, noisy=True), stream).row(0).reshape(-1)[:5])
            for seed in (3, 4)
            for stream in ("acting_chance", "again_chance", "replay_chance", "acting_noise", "learning_noise")
        ]
        assert len(set(rows)) == 10
