"""Adam over one vector against torch's own Adam and gradient clipping, layer by layer."""

import copy

import torch
from torch import nn

from keel.agents.optimiser import FlatAdam, scheduled


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double()


def loss_of(network, step):
    x = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(4, 3) + 0.1 * step
    return network(x).square().sum() * 10


def test_equals_adam_with_clipping():
    ours, theirs = small_network(), small_network()
    flat = FlatAdam(ours, 1e-2, max_gradient_norm=0.5)
    adam = torch.optim.Adam(theirs.parameters(), lr=1e-2, eps=1e-5)
    for step in range(20):
        norm = flat.step(loss_of(ours, step))
        adam.zero_grad()
        loss_of(theirs, step).backward()
        expected_norm = nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        adam.step()
        torch.testing.assert_close(norm, expected_norm)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_state_continues_exactly():
    straight = small_network()
    optimiser = FlatAdam(straight, 1e-2, 0.5)
    for step in range(5):
        optimiser.step(loss_of(straight, step))
    saved_weights, saved = copy.deepcopy(straight.state_dict()), copy.deepcopy(optimiser.state_dict())
    for step in range(5, 10):
        optimiser.step(loss_of(straight, step))

    resumed = small_network()
    again = FlatAdam(resumed, 1e-2, 0.5)
    resumed.load_state_dict(saved_weights)
    again.load_state_dict(saved)
    for step in range(5, 10):
        again.step(loss_of(resumed, step))
    for a, b in zip(resumed.parameters(), straight.parameters(), strict=True):
        assert torch.equal(a, b)


def test_loading_weights_keeps_the_views():
    network, other = small_network(), small_network()
    optimiser = FlatAdam(network, 1e-2, 0.5)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.fill_(3.0)
    network.load_state_dict(other.state_dict())
    assert torch.equal(optimiser.vector, torch.full_like(optimiser.vector, 3.0))


def test_frozen_parameters_do_not_move():
    network = small_network()
    first = network[0]
    assert isinstance(first, nn.Linear)
    first.requires_grad_(False)
    before = first.weight.clone()
    optimiser = FlatAdam(network, 1e-2, 0.5)
    optimiser.step(loss_of(network, 0))
    assert torch.equal(first.weight, before)
    assert optimiser.vector.numel() == 8 * 2 + 2


def test_schedules():
    assert scheduled(2.0, "constant", 0.9) == 2.0
    assert [scheduled(2.0, "linear", progress) for progress in (0.0, 0.25, 1.0)] == [2.0, 1.5, 0.0]


def test_moments_without_gradient_end_at_zero():
    """They would stop at the smallest number there is, where arithmetic is slow."""
    network = torch.nn.Linear(2, 1)
    optimiser = FlatAdam(network, 1e-3, 10.0)
    optimiser.step(network(torch.tensor([1.0, 1e-9])).sum())
    for _ in range(1_000):
        optimiser.descend(torch.zeros(3))
    assert not ((optimiser.mean != 0) & (optimiser.mean.abs() < 1e-37)).any()
    assert (optimiser.mean == 0).all()
    assert optimiser.square[0] > 0
