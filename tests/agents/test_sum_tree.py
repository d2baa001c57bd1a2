"""The sum tree against a plain scan over cumulative sums, and its sums against a tree rebuilt from the leaves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.agents.sum_tree import SumTree

from .scripted import chi_square

VALUES = st.one_of(st.just(0.0), st.floats(1e-12, 1e12), st.integers(1, 3).map(float))


def scan(leaves, mass):
    """The first leaf whose cumulative sum exceeds the mass, or the last above 0."""
    ends = np.cumsum(leaves)
    beyond = np.flatnonzero((ends > mass) & (leaves > 0))
    return beyond[0] if len(beyond) else np.flatnonzero(leaves)[-1]


def filled(values):
    tree = SumTree(len(values))
    tree.set(np.arange(len(values)), np.array(values, float))
    return tree


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """The kernels, before hypothesis measures how long a call takes."""
    filled([1.0]).find(np.array([0.5]))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40).filter(any), st.integers(1, 8))
def test_find_agrees_with_a_scan(values, parts) -> None:
    """Whole numbers and quarters are exact, so the two must agree at every edge between leaves as well."""
    tree, leaves = filled(values), np.array(values, float)
    mass = np.arange(sum(values) * 4) / 4
    assert tree.total == sum(values)
    np.testing.assert_array_equal(tree.leaves, leaves)
    expected = np.array([scan(leaves, m) for m in mass])
    for part in np.array_split(np.arange(len(mass)), parts):
        np.testing.assert_array_equal(tree.find(mass[part]), expected[part])


@given(st.lists(VALUES, min_size=1, max_size=70).filter(any), st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_find_never_gives_an_empty_leaf(values, chances) -> None:
    tree = filled(values)
    edges = [0.0, tree.total, np.nextafter(tree.total, 0), np.nextafter(tree.total, np.inf), 2 * tree.total]
    sums = np.cumsum(values)
    mass = np.concatenate([edges, np.array(chances) * tree.total, sums, np.nextafter(sums, 0)])
    assert (tree.leaves[tree.find(mass)] > 0).all()
    assert tree.find(np.array([2 * tree.total])) == np.flatnonzero(values)[-1]


@settings(max_examples=50)
@given(st.integers(1, 50), st.data())
def test_rebuilt_from_its_leaves_it_is_the_same_bit_for_bit(size, data) -> None:
    tree, leaves = SumTree(size), np.zeros(size)
    changes = st.lists(st.tuples(st.integers(0, size - 1), VALUES), min_size=1, max_size=30)
    for _ in range(5):
        indices, values = map(np.array, zip(*data.draw(changes), strict=True))
        tree.set(indices, values)
        for index, value in zip(indices, values, strict=True):
            leaves[index] = value
    np.testing.assert_array_equal(tree.leaves, leaves)
    again = SumTree(size)
    again.set(np.zeros(1, int), np.array([5.0]))  # what was there before must not matter
    again.rebuild(tree.leaves)
    assert again._nodes.tobytes() == tree._nodes.tobytes()
    assert tree.total == pytest.approx(leaves.sum(), rel=1e-12)


def test_a_million_changes_leave_no_error() -> None:
    """Sums kept up by adding differences would be off by far more than the small leaves that are left."""
    random, tree = np.random.default_rng(0), SumTree(1000)
    for _ in range(1000):
        tree.set(random.integers(0, 1000, 1000), random.exponential(1e12, 1000))
    tree.set(np.arange(1000), np.full(1000, 1e-9))
    assert tree.total == pytest.approx(1e-6, rel=1e-12)


def test_draws_follow_the_values() -> None:
    """Chi-square over 10^6 independent draws, of which a tenth of the leaves can never come."""
    random = np.random.default_rng(1)
    values = random.uniform(0.1, 3, 50)
    values[::10] = 0
    tree = filled(values)
    counts = np.bincount(tree.find(random.random(10**6) * tree.total), minlength=50)
    assert chi_square(counts, values / values.sum()) > 1e-3
    assert chi_square(counts, values**1.02 / (values**1.02).sum()) < 1e-3


@pytest.mark.parametrize(("index", "value"), [(5, 1), (-1, 1), (0, -1), (0, np.nan), (0, np.inf)])
def test_what_cannot_be_is_refused_and_changes_nothing(index, value) -> None:
    tree = filled([1, 2, 3, 4, 5])
    with pytest.raises(ValueError, match="indices must lie in"):
        tree.set(np.array([1, index]), np.array([9.0, value]))
    np.testing.assert_array_equal(tree.leaves, [1, 2, 3, 4, 5])


def test_nothing_to_find() -> None:
    with pytest.raises(ValueError, match="every leaf is 0"):
        SumTree(3).find(np.zeros(1))
