"""A cache says what the evaluator says, and asks it as seldom as it can."""

from __future__ import annotations

import numpy as np
import pytest

from keel.agents import evaluation_cache
from keel.agents.evaluation_cache import CachedEvaluator
from keel.envs.games.games import make_game
from keel.envs.protocol import Array

GAME = make_game("tic_tac_toe")


class Judge:
    """Says of a state what only that state can be told, and counts what it was asked."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor, self.asked = factor, []

    def __call__(self, states: Array) -> tuple[Array, Array]:
        self.asked += [state.tobytes() for state in states]
        number = self.factor * (states * 3.0 ** np.arange(9)).sum(axis=1)
        return np.repeat(number[:, None], 9, axis=1).astype(np.float32), (-number).astype(np.float32)


def drawn(chance: np.random.Generator, count: int, kinds: int) -> Array:
    """States of `kinds` different ones."""
    return np.random.default_rng(0).integers(-1, 2, (kinds, 9)).astype(np.int8)[chance.integers(kinds, size=count)]


def check(cached: CachedEvaluator, judge: Judge, states: Array) -> None:
    for found, right in zip(cached(states), Judge(judge.factor)(states), strict=True):
        np.testing.assert_array_equal(found, right)
        assert found.dtype == np.float32


def test_every_position_is_asked_for_once() -> None:
    judge, chance, seen = Judge(), np.random.default_rng(1), set()
    cached = CachedEvaluator(GAME, judge)
    for _ in range(60):
        states = drawn(chance, 16, 200)
        seen |= {state.tobytes() for state in states}
        check(cached, judge, states)
    assert sorted(judge.asked) == sorted(seen)


@pytest.mark.parametrize("places", [1, 8, 64])
def test_where_there_is_little_room_it_asks_again_and_is_still_right(
    places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_cache, "MOST_BYTES", places * (GAME.state_size + 4 * GAME.actions + 12))
    judge, chance = Judge(), np.random.default_rng(2)
    cached = CachedEvaluator(GAME, judge)
    for _ in range(60):
        check(cached, judge, drawn(chance, 16, 200))
    assert 200 < len(judge.asked) <= 60 * 16
    assert (len(judge.asked) < 60 * 14) == (places == 64)


def test_what_was_asked_for_last_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight places, all of them possible: of nine states the one that waited longest goes."""
    monkeypatch.setattr(evaluation_cache, "MOST_BYTES", 8 * (GAME.state_size + 4 * GAME.actions + 12))
    judge, states = Judge(), np.eye(9, dtype=np.int8)
    cached = CachedEvaluator(GAME, judge)
    for row in range(8):
        cached(states[row : row + 1])
    cached(states[:1])
    cached(states[8:])  # takes the place of the second
    judge.asked.clear()
    cached(states[[0, 2, 3, 4, 5, 6, 7, 8]])
    assert judge.asked == []
    cached(states[1:2])
    assert len(judge.asked) == 1


def test_it_forgets_when_it_is_told_to() -> None:
    judge, states = Judge(), drawn(np.random.default_rng(3), 8, 200)
    cached = CachedEvaluator(GAME, judge)
    check(cached, judge, states)
    judge.factor = 2.0
    cached.forget()
    check(cached, judge, states)


def test_after_a_failure_nothing_wrong_is_remembered() -> None:
    judge, states = Judge(), drawn(np.random.default_rng(4), 8, 200)

    def failing(states: Array) -> tuple[Array, Array]:
        if broken:
            raise MemoryError
        return judge(states)

    broken, cached = True, CachedEvaluator(GAME, failing)
    with pytest.raises(MemoryError):
        cached(states)
    broken = False
    check(cached, judge, states)
