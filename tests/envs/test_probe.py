"""The answers that the probes promise, worked out by playing them."""

from __future__ import annotations

import itertools
from typing import Any

import gymnasium
import numpy as np
import pytest

GAMMA = 0.9


def discounted_return(env: gymnasium.Env[Any, Any], seed: int, choose: Any) -> tuple[Any, float]:
    """The first observation and the return that `choose(observation, info)` earns, over at most 400 steps."""
    observation, info = env.reset(seed=seed)
    first, total = observation, 0.0
    for step in range(400):
        observation, reward, terminated, _, info = env.step(choose(observation, info))
        total += GAMMA**step * float(reward)
        if terminated:
            break
    return first, total


def side(observation: Any, info: Any) -> Any:
    return observation["goal"]["side"]


ANSWERS = [
    ("ConstantReward", lambda o, i: 0, lambda o: 1.0),
    ("ObservedReward", lambda o, i: 0, lambda o: float(o[0])),
    ("DelayedReward", lambda o, i: 0, lambda o: GAMMA),
    ("ActionReward", lambda o, i: 1, lambda o: 1.0),
    ("ContextualReward", lambda o, i: int(o[0] > 0), lambda o: 1.0),
    ("Truncation", lambda o, i: 0, lambda o: 1 / (1 - GAMMA)),
    ("Autoreset", lambda o, i: 0, lambda o: GAMMA * float(o[0])),
    ("ContinuousBound", lambda o, i: np.array([1.0], np.float32), lambda o: 1.0),
    ("MultiDiscrete", lambda o, i: o, lambda o: 1.0),
    ("MultiBinary", lambda o, i: o, lambda o: 1.0),
    ("NestedObservation", side, lambda o: 1.0),
]


@pytest.mark.parametrize(("name", "choose", "answer"), ANSWERS, ids=[row[0] for row in ANSWERS])
def test_the_best_action_earns_the_promised_value(name: str, choose: Any, answer: Any) -> None:
    env = gymnasium.make(f"keel/Probe{name}-v0").unwrapped
    for seed in range(30):
        first, total = discounted_return(env, seed, choose)
        assert total == pytest.approx(answer(first), abs=1e-6)


@pytest.mark.parametrize("name", ["ActionReward", "ContextualReward", "NestedObservation", "MaskedAction"])
def test_any_other_action_earns_less(name: str) -> None:
    env: Any = gymnasium.make(f"keel/Probe{name}-v0").unwrapped
    for seed in range(30):
        earned = []
        for action in range(env.action_space.n):
            env.reset(seed=seed)
            earned.append(env.step(action)[1])
        second, best = sorted(earned)[-2:]
        assert best > second


def test_the_masked_probe_is_worth_seven_ninths() -> None:
    env: Any = gymnasium.make("keel/ProbeMaskedAction-v0").unwrapped
    best = [max(pair) / 3 for pair in itertools.combinations(range(4), 2)]
    assert np.mean(best) == pytest.approx(7 / 9)
    pairs = set()
    for seed in range(100):
        _, info = env.reset(seed=seed)
        legal = np.flatnonzero(info["action_mask"])
        pairs.add(tuple(legal))
        for action in range(4):
            env.reset(seed=seed)
            assert env.step(action)[1] == (pytest.approx(action / 3) if action in legal else -1.0)
    assert pairs == set(itertools.combinations(range(4), 2))


def test_both_signs_and_both_sides_appear() -> None:
    for name, read in (("ObservedReward", lambda o: o[0]), ("NestedObservation", lambda o: o["goal"]["side"])):
        env = gymnasium.make(f"keel/Probe{name}-v0")
        assert len({float(read(env.reset(seed=seed)[0])) for seed in range(20)}) == 2
