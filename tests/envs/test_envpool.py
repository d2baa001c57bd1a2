"""EnvPool behind the same contract; runs where the extra `fast` is installed."""

from __future__ import annotations

import numpy as np
import pytest

from keel.envs.vector import make_vec

pytest.importorskip("envpool", exc_type=ImportError)


def test_ends_are_handed_over_and_no_action_is_swallowed() -> None:
    vector = make_vec("CartPole-v1", 4, backend="envpool")
    assert vector.resume == "approximate"
    vector.reset(0)
    lengths, episodes = np.zeros(4, int), []
    for step_number in range(300):
        step = vector.step(np.full(4, step_number % 2))
        lengths += 1
        ended = step.terminated | step.truncated
        assert (step.final_observation is not None) == ended.any()
        np.testing.assert_array_equal(step.reward, np.ones(4))  # a swallowed step would earn 0
        if step.final_observation is not None:
            observation = np.asarray(step.observation)
            assert (np.abs(observation[ended]) <= 0.05).all()
            assert (np.abs(np.asarray(step.final_observation)[ended][:, 2]) > 0.2094).all()
        episodes += lengths[ended].tolist()
        lengths[ended] = 0
    assert len(episodes) > 10
    vector.close()


def test_truncation_is_not_termination() -> None:
    vector = make_vec("Pendulum-v1", 2, backend="envpool")
    vector.reset(0)
    steps = [vector.step(np.zeros((2, 1), np.float32)) for _ in range(200)]
    assert steps[-1].truncated.all()
    assert not any(step.terminated.any() for step in steps)
    vector.close()


def test_the_same_seed_gives_the_same_run() -> None:
    first = [np.asarray(make_vec("CartPole-v1", 3, backend="envpool").reset(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(first[0], first[1])
    assert (first[0] != first[2]).any()


def test_loading_starts_new_episodes() -> None:
    vector = make_vec("CartPole-v1", 3, backend="envpool")
    first = np.asarray(vector.reset(0))
    vector.step(np.zeros(3, np.int64))
    again = np.asarray(vector.load_state_dict(vector.state_dict()))
    assert (np.abs(again) <= 0.05).all()
    assert (again != first).any()
    with pytest.raises(ValueError, match="num_envs 3"):
        make_vec("CartPole-v1", 2, backend="envpool").load_state_dict(vector.state_dict())


def test_unknown_ids_and_options_are_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'CartPole-v1'"):
        make_vec("CartPol-v1", 2, backend="envpool")
    with pytest.raises(ValueError, match="does not take the options"):
        make_vec("CartPole-v1", 2, backend="envpool", env_options={"gravity": 1})
