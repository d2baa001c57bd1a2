"""Log-probabilities and entropies against torch.distributions."""

import torch
from torch import distributions as peer

from keel.networks.distributions import Bernoulli, Categorical, DiagonalGaussian, MultiCategorical

torch.manual_seed(0)
LOGITS = torch.randn(7, 5, 6, dtype=torch.float64)


def test_categorical():
    ours, theirs = Categorical(LOGITS), peer.Categorical(logits=LOGITS)
    action = theirs.sample()
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())


def test_masked_categorical_is_the_categorical_over_the_legal_actions():
    mask = torch.tensor([True, False, True, True, False, True])
    ours, theirs = Categorical(LOGITS, mask.expand_as(LOGITS)), peer.Categorical(logits=LOGITS[..., mask])
    places = torch.tensor([0, 2, 3, 5])
    for index, action in enumerate(places):
        expected = theirs.log_prob(torch.full(LOGITS.shape[:-1], index))
        torch.testing.assert_close(ours.log_prob(action.expand(LOGITS.shape[:-1])), expected)
    torch.testing.assert_close(ours.entropy(), theirs.entropy())


def test_multi_categorical_is_the_product_of_its_parts():
    ours = MultiCategorical(LOGITS, (2, 4))
    parts = [peer.Categorical(logits=LOGITS[..., :2]), peer.Categorical(logits=LOGITS[..., 2:])]
    action = torch.stack([part.sample() for part in parts], dim=-1)
    expected = sum(part.log_prob(action[..., i]) for i, part in enumerate(parts))
    torch.testing.assert_close(ours.log_prob(action), expected)
    torch.testing.assert_close(ours.entropy(), sum(part.entropy() for part in parts))


def test_bernoulli():
    ours, theirs = Bernoulli(LOGITS), peer.Independent(peer.Bernoulli(logits=LOGITS), 1)
    action = theirs.sample()
    torch.testing.assert_close(ours.log_prob(action.long()), theirs.log_prob(action))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())


def test_diagonal_gaussian():
    log_std = torch.randn(6, dtype=torch.float64)
    ours = DiagonalGaussian(LOGITS, log_std)
    theirs = peer.Independent(peer.Normal(LOGITS, log_std.exp().expand_as(LOGITS)), 1)
    action = theirs.sample()
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
