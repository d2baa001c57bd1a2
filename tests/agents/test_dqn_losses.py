"""DQN's losses against loops over every pair of atoms or quantiles, hand numbers and torch's own functions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.agents.dqn import categorical_loss, categorical_projection, pick, quantile_loss, td_loss

HUGE = st.floats(-1e6, 1e6)


def tensor(numbers):
    return torch.tensor(numbers, dtype=torch.float64)


class TestProjection:
    """Bellemare et al. 2017, eq. 7: atom i gets p_j [1 - |clip(r + d z_j) - z_i| / spacing]_0^1 of each atom j."""

    @staticmethod
    def by_definition(probability, support, return_, discount):
        spacing = (support[-1] - support[0]) / (len(support) - 1)
        result = np.zeros_like(probability)
        for n in range(len(probability)):
            for j, atom in enumerate(support):
                moved = min(max(return_[n] + discount[n] * atom, support[0]), support[-1])
                for i, other in enumerate(support):
                    result[n, i] += probability[n, j] * min(max(1 - abs(moved - other) / spacing, 0.0), 1.0)
        return result

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def test_equals_the_loop_over_all_pairs_of_atoms(self, data):
        atoms, rows = data.draw(st.integers(2, 12)), data.draw(st.integers(1, 4))
        lowest, width = data.draw(st.floats(-20, 20)), data.draw(st.floats(0.1, 40))
        support = torch.linspace(lowest, lowest + width, atoms, dtype=torch.float64)
        # Anywhere in and beyond the atoms, exactly on one, exactly on an end, and out of all proportion.
        scale = st.floats(-1.5, 1.5).map(lambda share: share * width)
        return_ = st.one_of(scale, st.sampled_from(support.tolist()), st.just(0.0), HUGE)
        discount = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.99]))
        chance = np.random.default_rng(data.draw(st.integers(0, 999)))
        probability = chance.dirichlet(np.full(atoms, 0.5), size=rows)
        probability[0] = np.eye(atoms)[data.draw(st.integers(0, atoms - 1))]  # all its mass on one atom
        returns = data.draw(st.lists(return_, min_size=rows, max_size=rows))
        discounts = data.draw(st.lists(discount, min_size=rows, max_size=rows))
        found = categorical_projection(tensor(probability), support, tensor(returns), tensor(discounts)).numpy()
        expected = self.by_definition(probability, support.numpy(), returns, discounts)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=0, atol=1e-12)
        assert (found >= 0).all()

    def test_hand_numbers(self):
        """Atoms 0 1 2; returns between two atoms, on one with discount 0, and beyond either end."""
        support, even = tensor([0.0, 1.0, 2.0]), [0.5, 0.25, 0.25]
        found = categorical_projection(
            tensor([even] * 5), support, tensor([0.25, 1.0, 0.0, 50.0, -50.0]), tensor([0.5, 0.0, 1.0, 1.0, 0.9])
        )
        expected = [
            # 0.25, 0.75 and 1.25 with the chances of `even`
            [0.5 * 0.75 + 0.25 * 0.25, 0.5 * 0.25 + 0.25 * 0.75 + 0.25 * 0.75, 0.25 * 0.25],
            [0.0, 1.0, 0.0],
            even,
            [0.0, 0.0, 1.0],
            [1.0, 0.0, 0.0],
        ]
        torch.testing.assert_close(found, tensor(expected), rtol=0, atol=1e-15)

    @pytest.mark.parametrize(("lowest", "highest"), [(-10, 10), (-20, 0), (-5, 25), (0, 1), (-300, 300)])
    def test_a_distribution_that_does_not_move_stays_in_single_precision(self, lowest, highest):
        support, delta = torch.linspace(lowest, highest, 51), torch.eye(51)
        found = categorical_projection(delta, support, torch.zeros(51), torch.ones(51))
        torch.testing.assert_close(found, delta, rtol=0, atol=1e-5)

    def test_the_mean_moves_as_the_return_does(self):
        """Where nothing is cut, the mean of the projection is return + discount * mean."""
        support = torch.linspace(-10, 10, 41, dtype=torch.float64)
        torch.manual_seed(0)
        probability = torch.randn(64, 41, dtype=torch.float64).mul(3).softmax(dim=-1)
        return_, discount = torch.empty(64).uniform_(-2, 2).double(), torch.empty(64).uniform_(0, 0.8).double()
        found = categorical_projection(probability, support, return_, discount) @ support
        torch.testing.assert_close(found, return_ + discount * (probability @ support), rtol=0, atol=1e-12)


class TestCategoricalLoss:
    def test_equals_cross_entropy_with_soft_targets(self):
        torch.manual_seed(0)
        logits = torch.randn(32, 51, dtype=torch.float64).mul(4).requires_grad_()
        target = torch.randn(32, 51, dtype=torch.float64).mul(2).softmax(dim=-1)
        found = categorical_loss(logits, target)
        expected = torch.nn.functional.cross_entropy(logits, target, reduction="none")
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        (gradient,) = torch.autograd.grad(found.sum(), logits)
        torch.testing.assert_close(gradient, (logits.softmax(dim=-1) - target).detach(), rtol=0, atol=1e-12)

    def test_far_logits_stay_finite(self):
        logits = torch.tensor([[1e4, 0.0, -1e4]], requires_grad=True)
        loss = categorical_loss(logits, torch.tensor([[0.0, 0.5, 0.5]]))
        assert loss.item() == pytest.approx(0.5 * 1e4 + 0.5 * 2e4)


class TestTemporalDifferenceLoss:
    def test_hand_numbers(self):
        value, target = tensor([0.0, 1.0, 3.0, -4.0, 2.0]), tensor([0.5, 0.0, 0.0, 0.0, 2.0])
        # differences -0.5, 1, 3, -4, 0
        assert td_loss(value, target, "huber").tolist() == [0.125, 0.5, 2.5, 3.5, 0.0]
        assert td_loss(value, target, "mse").tolist() == [0.25, 1.0, 9.0, 16.0, 0.0]

    def test_slopes(self):
        value = tensor([0.0, 1.0, 3.0, -4.0, 2.0]).requires_grad_()
        target = tensor([0.5, 0.0, 0.0, 0.0, 2.0])
        (huber,) = torch.autograd.grad(td_loss(value, target, "huber").sum(), value)
        (mse,) = torch.autograd.grad(td_loss(value, target, "mse").sum(), value)
        assert huber.tolist() == [-0.5, 1.0, 1.0, -1.0, 0.0]
        assert mse.tolist() == [-1.0, 2.0, 6.0, -8.0, 0.0]


class TestQuantileLoss:
    """Dabney et al. 2018, eq. 10, written out."""

    @staticmethod
    def by_definition(quantiles, target, kind):
        rows, count = quantiles.shape
        result = np.zeros(rows)
        for n in range(rows):
            for i in range(count):
                for j in range(count):
                    u = target[n, j] - quantiles[n, i]
                    level = (2 * i + 1) / (2 * count)
                    size = u * u if kind == "mse" else (0.5 * u * u if abs(u) <= 1 else abs(u) - 0.5)
                    result[n] += (1 - level if u < 0 else level) * size / count
        return result

    @pytest.mark.parametrize("kind", ["huber", "mse"])
    @settings(max_examples=60, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 3), count=st.integers(1, 9), scale=st.floats(0.01, 5))
    def test_equals_three_loops(self, kind, seed, rows, count, scale):
        chance = np.random.default_rng(seed)
        quantiles, target = chance.normal(0, scale, (2, rows, count))
        target[0, 0] = quantiles[0, -1]  # one difference of exactly zero
        found = quantile_loss(tensor(quantiles), tensor(target), kind).numpy()
        np.testing.assert_allclose(found, self.by_definition(quantiles, target, kind), rtol=1e-12, atol=1e-14)

    @pytest.mark.parametrize("kind", ["huber", "mse"])
    def test_the_gradient_is_that_of_the_loops(self, kind):
        """By finite differences of the loops: its sign, and its size."""
        quantiles, target = np.random.default_rng(0).normal(0, 1.5, (2, 2, 5))
        numbers = tensor(quantiles).requires_grad_()
        (found,) = torch.autograd.grad(quantile_loss(numbers, tensor(target), kind).sum(), numbers)
        small, slopes = 1e-6, np.zeros_like(quantiles)
        for place in np.ndindex(quantiles.shape):
            up, down = quantiles.copy(), quantiles.copy()
            up[place] += small
            down[place] -= small
            rise = self.by_definition(up, target, kind).sum() - self.by_definition(down, target, kind).sum()
            slopes[place] = rise / (2 * small)
        np.testing.assert_allclose(found.numpy(), slopes, rtol=1e-6, atol=1e-8)

    def test_high_quantiles_are_pushed_up_harder_than_low_ones(self):
        """Samples equally far above: the pull on a quantile is its level."""
        quantiles = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(quantile_loss(quantiles, torch.full((1, 4), 10.0), "huber").sum(), quantiles)
        assert gradient[0].tolist() == [-0.125, -0.375, -0.625, -0.875]

    def test_descending_it_finds_the_quantiles(self):
        """Of the samples 0 to 99, the quantiles at 1/10, 3/10 … of a loss that hardly bends at this scale."""
        samples = torch.arange(100.0, dtype=torch.float64)
        quantiles = torch.zeros(5, dtype=torch.float64, requires_grad=True)
        for step in range(400):
            draws = samples.reshape(20, 5)
            loss = quantile_loss(quantiles.expand(20, 5), draws, "huber").mean()
            (gradient,) = torch.autograd.grad(loss, quantiles)
            quantiles.data -= (40.0 if step < 200 else 4.0) * gradient
        np.testing.assert_allclose(quantiles.detach().numpy(), [9.5, 29.5, 49.5, 69.5, 89.5], atol=1.0)


def test_pick_takes_the_numbers_of_the_actions():
    numbers = torch.arange(24).reshape(3, 4, 2)
    assert pick(numbers, torch.tensor([3, 0, 2])).tolist() == [[6, 7], [8, 9], [20, 21]]
