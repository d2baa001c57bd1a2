"""Exploration: correlated noise, chance by number, epsilon-greedy choices and how long they last."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.agents.exploration import Blocks, Persistence, correlated, epsilon_greedy
from keel.envs.seeding import generator


@pytest.mark.parametrize("correlation", [0.5, 0.95])
def test_spread_and_correlation(correlation):
    noise = np.random.default_rng(0).standard_normal((40, 20_000))
    found = correlated(noise, correlation)
    np.testing.assert_allclose(found.std(axis=1), 1.0, atol=0.03)  # from the first step to the last
    for lag in (1, 3):
        measured = np.mean(found[5] * found[5 + lag])
        assert measured == pytest.approx(correlation**lag, abs=0.03)


def test_without_correlation_nothing_changes():
    noise = np.random.default_rng(0).standard_normal((5, 3))
    assert correlated(noise, 0.0) is noise


def test_the_given_noise_is_not_written_to():
    noise = np.ones((4, 2))
    correlated(noise, 0.9)
    assert (noise == 1).all()


class TestBlocks:
    """Chance by number: whoever asks for row k gets the same one, in whatever order and after whatever else."""

    @staticmethod
    def blocks(seed=0, purpose="acting"):
        return Blocks(seed, purpose, lambda random, rows: random.random((rows, 3)))

    def test_rows_are_those_of_the_generators_of_their_block(self):
        drawn = np.concatenate([generator(0, "acting", number).random((64, 3)) for number in range(3)])
        blocks = self.blocks()
        np.testing.assert_array_equal([blocks.row(index) for index in range(192)], drawn)
        assert len(np.unique(drawn)) == drawn.size

    def test_the_order_does_not_matter(self):
        order = np.random.default_rng(0).permutation(300)
        one, other = self.blocks(), self.blocks()
        rows = {index: one.row(index).copy() for index in order}
        for index in range(300):
            np.testing.assert_array_equal(other.row(index), rows[index])
        np.testing.assert_array_equal(self.blocks().row(299), rows[299])

    def test_seeds_and_purposes_are_apart(self):
        rows = [self.blocks(seed, purpose).row(5).tolist() for seed in (0, 1) for purpose in ("acting", "replay")]
        assert len({tuple(row) for row in rows}) == 4


class TestEpsilonGreedy:
    PREFERENCES = (0.1, 5.0, -3.0, 4.9)
    DRAWS = 40_000

    def shares(self, epsilon, mask=None):
        """How often each action is chosen."""
        chance = np.random.default_rng(0).random((self.DRAWS, 5))
        mask = None if mask is None else np.tile(np.array(mask, bool), (self.DRAWS, 1))
        choice = epsilon_greedy(np.tile(self.PREFERENCES, (self.DRAWS, 1)), mask, chance, epsilon)
        return np.bincount(choice, minlength=4) / self.DRAWS

    @pytest.mark.parametrize(
        ("epsilon", "mask", "expected"),
        [
            (0.0, None, [0, 1, 0, 0]),
            (1.0, None, [0.25, 0.25, 0.25, 0.25]),
            (0.2, None, [0.05, 0.85, 0.05, 0.05]),
            (0.0, [1, 0, 1, 0], [1, 0, 0, 0]),
            (1.0, [1, 0, 1, 0], [0.5, 0, 0.5, 0]),
            (0.3, [1, 0, 1, 1], [0.1, 0, 0.1, 0.8]),
            (0.5, [0, 0, 1, 0], [0, 0, 1, 0]),
        ],
    )
    def test_shares(self, epsilon, mask, expected):
        expected = np.array(expected, float)
        found = self.shares(epsilon, mask)
        assert (np.abs(found - expected) <= 5 * np.sqrt(expected * (1 - expected) / self.DRAWS)).all()

    def test_without_chance_the_preferred_legal_action(self):
        preferences = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], np.float32)
        assert epsilon_greedy(preferences, None, None, 1.0).tolist() == [2, 0]
        mask = np.array([[True, True, False], [False, True, True]])
        assert epsilon_greedy(preferences, mask, None, 1.0).tolist() == [1, 1]
        assert preferences.tolist() == [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]

    def test_rows_explore_apart(self):
        preferences = np.array([[9.0, 0.0], [9.0, 0.0]])
        chance = np.array([[0.1, 0.2, 0.3], [0.5, 0.2, 0.3]])  # the first number decides, the others order
        assert epsilon_greedy(preferences, None, chance, 0.3).tolist() == [1, 0]


class TestPersistence:
    @settings(max_examples=100, deadline=None)
    @given(st.integers(0, 2**32 - 1), st.floats(0, 0.999), st.booleans())
    def test_equals_a_walk_through_every_world(self, seed, chance, masked):
        random, steps, worlds, actions = np.random.default_rng(seed), 30, 3, 4
        choice, explored = random.integers(0, actions, (steps, worlds)), random.random((steps, worlds)) < 0.4
        again, first = random.random((steps, worlds)), random.random((steps, worlds)) < 0.15
        mask = random.random((steps, worlds, actions)) < 0.7
        mask[np.arange(steps)[:, None], np.arange(worlds), choice] = True  # what epsilon_greedy gives is legal
        persistence = Persistence(worlds, chance)
        found = [
            persistence(choice[t], explored[t], again[t], first[t], mask[t] if masked else None) for t in range(steps)
        ]
        for b in range(worlds):
            held = None  # the random action that is being made
            for t in range(steps):
                legal = held is not None and (not masked or mask[t, b, held])
                if held is not None and legal and not first[t, b] and again[t, b] < chance:
                    assert found[t][b] == held
                else:
                    assert found[t][b] == choice[t, b]
                    held = choice[t, b] if explored[t, b] else None

    def test_a_random_action_lasts_as_long_as_it_should(self):
        """At chance p its mean length is 1 / (1 - p) steps, and a greedy action never lasts at all."""
        random, worlds, chance = np.random.default_rng(0), 2_000, 0.75
        persistence, length, alive = Persistence(worlds, chance), np.zeros(worlds), np.ones(worlds, bool)
        never = np.zeros(worlds, bool)
        persistence(np.full(worlds, 5), ~never, np.ones(worlds), never, None)
        for _ in range(100):
            length += alive
            alive &= persistence(np.zeros(worlds, int), never, random.random(worlds), never, None) == 5
        assert length.mean() == pytest.approx(4.0, abs=0.4)
        greedy = Persistence(worlds, 0.999)
        greedy(np.full(worlds, 5), never, np.zeros(worlds), never, None)
        assert (greedy(np.zeros(worlds, int), never, np.zeros(worlds), never, None) == 0).all()
