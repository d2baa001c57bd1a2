"""A saved vector environment goes on, in fresh objects, byte for byte as the one that never stopped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keel.envs.batches import leaves
from keel.envs.errors import KeelError
from keel.envs.protocol import Array, Step, VecEnv
from keel.envs.vector import make_vec


def sampled(vector: VecEnv, steps: int, seed: int) -> list[Array]:
    vector.action_space.seed(seed)
    return [np.stack([vector.action_space.sample() for _ in range(vector.num_envs)]) for _ in range(steps)]


def as_bytes(step: Step) -> list[bytes]:
    arrays = [array for _, array in leaves(step.observation)] + [step.reward, step.terminated, step.truncated]
    if step.final_observation is not None:
        ended = step.terminated | step.truncated
        arrays += [array[ended] for _, array in leaves(step.final_observation)]
    return [array.tobytes() for array in arrays + list(step.metrics.values())]


@pytest.mark.parametrize(
    ("env_id", "options"),
    [
        ("CartPole-v1", {}),
        ("keel/CartPole-v0", {}),
        ("LunarLander-v3", {}),
        ("Pendulum-v1", {}),
        ("keel/CartPole-v0", {"frame_stack": 3}),
        ("keel/ProbeMaskedAction-v0", {}),
        ("test/Sampler-v0", {"env_options": {"observation": "nested", "action": "multi_discrete"}}),
    ],
)
def test_300_steps_after_loading_are_the_same_bytes(env_id: str, options: dict[str, Any]) -> None:
    original, restored = make_vec(env_id, 3, **options), make_vec(env_id, 3, **options)
    current = original.reset(5)
    for action in sampled(original, 130, seed=1):
        current = original.step(action).observation
    state = original.state_dict()
    observation = restored.load_state_dict(state)
    for (_, one), (_, other) in zip(leaves(observation), leaves(current), strict=True):
        assert one.tobytes() == other.tobytes()
    ends = 0
    for action in sampled(original, 300, seed=2):
        one, other = original.step(action), restored.step(action)
        assert as_bytes(one) == as_bytes(other)
        ends += one.final_observation is not None
    assert ends > 0


def test_a_state_does_not_change_when_the_worlds_go_on() -> None:
    for env_id in ("CartPole-v1", "keel/CartPole-v0"):
        vector = make_vec(env_id, 2)
        vector.reset(0)
        state = vector.state_dict()
        before = repr(state)
        for action in sampled(vector, 40, seed=0):
            vector.step(action)
        assert repr(state) == before


def test_a_state_holds_only_arrays_and_plain_values() -> None:
    def check(value: Any) -> None:
        if isinstance(value, dict):
            for key, part in value.items():
                assert isinstance(key, str)
                check(part)
        else:
            assert type(value) in (int, str, np.ndarray)
            assert not isinstance(value, np.ndarray) or value.dtype.kind in "biuf"

    for env_id in ("CartPole-v1", "keel/CartPole-v0", "keel/ProbeNestedObservation-v0"):
        vector = make_vec(env_id, 2)
        vector.reset(0)
        check(vector.state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"env": "Acrobot-v1"}, "env 'Acrobot-v1'"),
        ({"num_envs": 3}, "num_envs 3"),
        ({"backend": "native"}, "backend 'native'"),
        ({"action_space": "Discrete(3)"}, r"action_space 'Discrete\(3\)'"),
    ],
)
def test_the_state_of_other_worlds_is_refused(change: dict[str, Any], message: str) -> None:
    vector = make_vec("CartPole-v1", 2)
    vector.reset(0)
    with pytest.raises(ValueError, match=message):
        vector.load_state_dict({**vector.state_dict(), **change})


@pytest.mark.parametrize("env_id", ["CartPole-v1", "keel/CartPole-v0"])
def test_a_changed_observation_or_seed_is_refused(env_id: str) -> None:
    vector = make_vec(env_id, 2)
    vector.reset(0)
    for action in sampled(vector, 5, seed=0):
        vector.step(action)
    state = vector.state_dict()
    state["observation"][1, 0] += 1e-6
    with pytest.raises(KeelError, match=rf"{env_id} is not replay-deterministic at step 5 of episode 0 of world 1"):
        make_vec(env_id, 2).load_state_dict(state)


def test_a_changed_action_is_refused() -> None:
    vector = make_vec("CartPole-v1", 2)
    vector.reset(0)
    for action in sampled(vector, 6, seed=0):
        vector.step(action)
    state = vector.state_dict()
    state["worlds"]["actions"][0] ^= 1
    with pytest.raises(KeelError, match="not replay-deterministic at step 6 of episode 0 of world 0"):
        make_vec("CartPole-v1", 2).load_state_dict(state)


@pytest.mark.parametrize("name", ["actions", "length", "seed"])
def test_arrays_that_do_not_belong_together_are_refused(name: str) -> None:
    vector = make_vec("CartPole-v1", 2)
    vector.reset(0)
    for action in sampled(vector, 6, seed=0):
        vector.step(action)
    state = vector.state_dict()
    state["worlds"][name] = state["worlds"][name][:-1]
    with pytest.raises(ValueError, match="saved"):
        make_vec("CartPole-v1", 2).load_state_dict(state)


def test_a_world_with_chance_of_its_own_is_refused() -> None:
    vector = make_vec("test/Drifting-v0", 2)
    vector.reset(0)
    vector.step(np.array([0, 0]))
    with pytest.raises(KeelError, match="not replay-deterministic at step 1"):
        make_vec("test/Drifting-v0", 2).load_state_dict(vector.state_dict())


def test_an_episode_that_ends_early_in_the_replay_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    vector = make_vec("test/ShortOnReplay-v0", 1)
    vector.reset(0)
    for _ in range(6):
        vector.step(np.array([0]))
    state = vector.state_dict()
    monkeypatch.setenv("KEEL_TEST_SHORT", "1")
    with pytest.raises(KeelError, match="not replay-deterministic at step 3 of episode 0 of world 0"):
        make_vec("test/ShortOnReplay-v0", 1).load_state_dict(state)


def test_there_is_no_state_before_the_first_reset() -> None:
    with pytest.raises(RuntimeError, match="reset"):
        make_vec("CartPole-v1", 1).state_dict()
