"""The clipped objective: numbers worked out by hand, and its laws."""

import math

import torch

from keel.agents.ppo import ppo_loss
from keel.networks.distributions import Categorical

PLAIN = {"clip_range": 0.2, "clip_range_value": None, "entropy_coefficient": 0.0, "value_coefficient": 0.0}


def tensors(*rows):
    return [torch.tensor(row, dtype=torch.float64) for row in rows]


def test_hand_numbers():
    """Ratios 1.5, 1.5, 0.5, 0.5 with advantages 1, -1, 1, -1: clipping only ever makes the objective smaller."""
    log_prob, advantage = tensors([math.log(1.5)] * 2 + [math.log(0.5)] * 2, [1.0, -1.0, 1.0, -1.0])
    zero = torch.zeros(4, dtype=torch.float64)
    value, return_ = tensors([1.0, 2.0, 3.0, 4.0], [0.0, 2.0, 2.0, 6.0])
    loss, metrics = ppo_loss(
        log_prob, zero, advantage, zero + 0.7, value, zero, return_,
        clip_range=0.2, clip_range_value=None, entropy_coefficient=0.1, value_coefficient=0.5,
    )  # fmt: skip
    policy = -(1.2 - 1.5 + 0.5 - 0.8) / 4
    squares = (1.0 + 0.0 + 1.0 + 4.0) / 4
    assert torch.isclose(loss, torch.tensor(policy - 0.1 * 0.7 + 0.5 * squares, dtype=torch.float64))
    kl = (2 * (0.5 - math.log(1.5)) + 2 * (-0.5 - math.log(0.5))) / 4
    torch.testing.assert_close(metrics, torch.tensor([policy, squares, 0.7, kl, 1.0], dtype=torch.float64))


def test_value_clipping_takes_the_larger_error():
    value, old_value, return_ = tensors([1.0, 1.0], [0.0, 0.0], [2.0, 0.0])
    zero = torch.zeros(2, dtype=torch.float64)
    settings = PLAIN | {"clip_range_value": 0.5, "value_coefficient": 1.0}
    loss, _ = ppo_loss(zero, zero, zero, zero, value, old_value, return_, **settings)
    # held at 0.5: errors (2 - 0.5)^2 = 2.25 against 1 for the first; 0.25 against 1 for the second
    assert torch.isclose(loss, torch.tensor((2.25 + 1.0) / 2, dtype=torch.float64))


def test_at_ratio_one_the_gradient_is_the_policy_gradient():
    torch.manual_seed(0)
    logits = torch.randn(32, 3, dtype=torch.float64, requires_grad=True)
    action, advantage = torch.randint(3, (32,)), torch.randn(32, dtype=torch.float64)
    log_prob = Categorical(logits).log_prob(action)
    loss, _ = ppo_loss(log_prob, log_prob.detach(), advantage, advantage, advantage, advantage, advantage, **PLAIN)
    (found,) = torch.autograd.grad(loss, logits, retain_graph=True)
    (expected,) = torch.autograd.grad(-(log_prob * advantage).mean(), logits)
    torch.testing.assert_close(found, expected)


def test_no_gradient_beyond_the_clip_in_the_improving_direction():
    log_ratio = torch.tensor([math.log(1.3), math.log(0.7)], dtype=torch.float64, requires_grad=True)
    advantage = torch.tensor([1.0, -1.0], dtype=torch.float64)
    zero = torch.zeros(2, dtype=torch.float64)
    loss, _ = ppo_loss(log_ratio, zero, advantage, zero, zero, zero, zero, **PLAIN)
    (gradient,) = torch.autograd.grad(loss, log_ratio)
    assert torch.equal(gradient, zero)


def test_masked_actions_have_no_probability_and_no_gradient():
    logits = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([True, False, True, True]).expand(5, 4)
    distribution = Categorical(logits, mask)
    assert (distribution.log_probs.exp()[:, 1] == 0).all()
    log_prob, entropy = distribution.log_prob(torch.tensor([0, 2, 3, 0, 2])), distribution.entropy()
    assert torch.isfinite(entropy).all()
    (gradient,) = torch.autograd.grad((log_prob + entropy).sum(), logits)
    assert (gradient[:, 1] == 0).all()
    assert (gradient[:, 0] != 0).all()
