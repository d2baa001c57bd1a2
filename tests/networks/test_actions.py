"""Choosing actions: frequencies against the distribution they come from, masks, bounds, refusals."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from keel.networks.actions import ActionSpace

DRAWS = 40_000
RANDOM = np.random.default_rng(0)


def draw(actions, numbers, log_std=None, mask=None):
    rows = np.tile(np.asarray(numbers, np.float32), (DRAWS, 1))
    masks = None if mask is None else np.tile(np.asarray(mask, bool), (DRAWS, 1))
    return actions.choose(rows, log_std, masks, actions.draw_noise(np.random.default_rng(1), (DRAWS,)))


def close_to(found, probability):
    """Within five standard errors of a share."""
    return abs(found - probability) < 5 * np.sqrt(probability * (1 - probability) / DRAWS) + 1e-12


def test_choices_follow_the_softmax():
    logits = np.array([0.0, 1.0, -1.0, 0.5])
    sample = draw(ActionSpace(spaces.Discrete(4)), logits)
    expected = np.exp(logits) / np.exp(logits).sum()
    assert all(close_to((sample == action).mean(), expected[action]) for action in range(4))


def test_illegal_choices_are_never_drawn():
    actions = ActionSpace(spaces.Discrete(4))
    mask = [True, False, True, False]
    sample = draw(actions, [0.0, 50.0, 1.0, 50.0], mask=mask)
    assert set(np.unique(sample)) == {0, 2}
    assert actions.choose(np.array([[0.0, 50.0, 1.0, 50.0]]), None, np.array([mask]), None) == 2


def test_parts_are_chosen_apart():
    actions = ActionSpace(spaces.MultiDiscrete([2, 3]))
    sample = draw(actions, [0.0, 0.0, -50.0, 1.0, 1.0])
    assert close_to((sample[:, 0] == 1).mean(), 0.5)
    assert set(np.unique(sample[:, 1])) == {1, 2}


def test_switches_follow_the_sigmoid():
    sample = draw(ActionSpace(spaces.MultiBinary(2)), [1.0, -2.0])
    assert close_to(sample[:, 0].mean(), 1 / (1 + np.exp(-1.0)))
    assert close_to(sample[:, 1].mean(), 1 / (1 + np.exp(2.0)))


def test_reals_follow_the_normal():
    sample = draw(ActionSpace(spaces.Box(-1, 1, (2,))), [0.5, -3.0], log_std=np.log([2.0, 0.1]).astype(np.float32))
    np.testing.assert_allclose(sample.mean(axis=0), [0.5, -3.0], atol=0.05)
    np.testing.assert_allclose(sample.std(axis=0), [2.0, 0.1], rtol=0.03)


def test_the_world_gets_its_own_units_cut_to_its_bounds():
    box = ActionSpace(spaces.Box(np.array([10.0, -np.inf]), np.array([20.0, np.inf]), dtype=np.float32))
    sample = np.array([[0.0, 0.0], [1.0, 7.0], [-5.0, -7.0]], np.float32)
    world = box.to_world(sample)
    np.testing.assert_allclose(world, [[15.0, 0.0], [20.0, 7.0], [10.0, -7.0]])
    assert world.dtype == np.float32
    assert box.space.contains(world[2])


def test_choices_that_do_not_start_at_zero():
    actions = ActionSpace(spaces.Discrete(3, start=5))
    assert actions.to_world(np.array([0, 2])).tolist() == [5, 7]


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3),
        spaces.MultiDiscrete([3, 2]),
        spaces.MultiBinary(4),
        spaces.Box(-2, 2, (3,)),
        spaces.Box(0, 1, (2, 2)),
    ],
)
def test_the_chosen_action_is_the_most_likely_and_legal(space):
    actions = ActionSpace(space)
    numbers = RANDOM.normal(size=(20, actions.parameters)).astype(np.float32)
    log_std = np.zeros(actions.parameters, np.float32) if actions.continuous else None
    best = actions.choose(numbers, log_std, None, None)
    spread = None if log_std is None else torch.from_numpy(log_std)
    distribution = actions.distribution(torch.from_numpy(numbers), spread, None)
    best_log_prob = distribution.log_prob(torch.from_numpy(best))
    for _ in range(30):
        other = actions.choose(numbers, log_std, None, actions.draw_noise(RANDOM, (20,)))
        assert (distribution.log_prob(torch.from_numpy(other)) <= best_log_prob + 1e-6).all()
        assert all(space.contains(action) for action in actions.to_world(other))


@pytest.mark.parametrize(
    "space", [spaces.Text(5), spaces.Box(0, 5, (2,), dtype=np.int32), spaces.MultiDiscrete([[2, 2]])]
)
def test_spaces_without_a_distribution_are_refused(space):
    with pytest.raises(ValueError, match="the action space is"):
        ActionSpace(space)
