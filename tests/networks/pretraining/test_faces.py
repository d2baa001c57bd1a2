"""The pair that draws: shapes, losses and scores by hand, who learns in which step, and exact continuation."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import scipy.linalg
import torch

from keel.envs.seeding import generator
from keel.networks.pretraining.data import Data, Split
from keel.networks.pretraining.faces import (
    DCGAN,
    DCGANConfig,
    Discriminator,
    Generator,
    discriminator_loss,
    distance,
    drawing_score,
    generator_loss,
)

SMALL = DCGANConfig(batch_size=8, learning_rate=2e-3, noise=6, channels=8, image_side=16)


def discs(count: int, seed: int) -> Split:
    """Discs of one size somewhere near the middle."""
    chance = np.random.default_rng(seed)
    row, column = np.mgrid[:16, :16]
    centers = chance.uniform(5, 10, (count, 2, 1, 1))
    inside = (row - centers[:, 0]) ** 2 + (column - centers[:, 1]) ** 2 < 16
    return Split((inside[:, None] * 255).astype(np.uint8), np.zeros(count, np.int64))


def subject(seed: int = 0) -> DCGAN:
    data = Data("discs", "made up", False, discs(40, 1), discs(10, 2), discs(10, 3), ("disc",))
    return DCGAN(data, SMALL, None, chance=functools.partial(generator, seed), device=torch.device("cpu"))


def numbers(state: dict) -> dict[str, bytes]:
    flat: dict[str, bytes] = {}
    for name, value in state.items():
        flat |= (
            {f"{name}/{k}": v for k, v in numbers(value).items()}
            if isinstance(value, dict)
            else {name: value.numpy().tobytes()}
        )
    return flat


@pytest.mark.parametrize("side", [8, 16, 32, 64])
@pytest.mark.parametrize("colours", [1, 3])
def test_images_come_and_go_in_their_shape(side: int, colours: int) -> None:
    drawn = Generator(10, 4, side, colours)(torch.randn(2, 10))
    assert drawn.shape == (2, colours, side, side)
    assert drawn.abs().max() <= 1
    assert Discriminator(4, side, colours)(drawn).shape == (2,)


def test_losses_by_hand() -> None:
    real, drawn = torch.tensor([np.log(3.0)]), torch.tensor([-np.log(3.0)])  # D(x) = 3/4, D(G(z)) = 1/4
    assert float(discriminator_loss(real, drawn, 1.0)) == pytest.approx(-np.log(0.75) - np.log(0.75))
    smoothed = -0.9 * np.log(0.75) - 0.1 * np.log(0.25) - np.log(0.75)
    assert float(discriminator_loss(real, drawn, 0.9)) == pytest.approx(smoothed)
    assert float(generator_loss(drawn)) == pytest.approx(-np.log(0.25))


def test_the_score_is_best_for_sure_and_even_drawings() -> None:
    best = drawing_score(np.eye(4)[np.arange(8) % 4])
    assert best == pytest.approx({"confidence": 1.0, "spread": 1.0, "score": 1.0})
    one_class = drawing_score(np.eye(4)[np.zeros(8, int)])
    assert one_class == pytest.approx({"confidence": 1.0, "spread": 0.25, "score": 0.25})
    unsure = drawing_score(np.full((8, 4), 0.25))
    assert unsure == pytest.approx({"confidence": 0.25, "spread": 1.0, "score": 0.25})


def test_the_distance_agrees_with_scipy() -> None:
    chance = np.random.default_rng(0)
    a = chance.integers(0, 256, (300, 1, 8, 8), dtype=np.uint8)
    b = (chance.integers(0, 256, (400, 1, 8, 8)) ** 2 // 256).astype(np.uint8)
    x, y = a.reshape(300, 64) / 255, b.reshape(400, 64) / 255
    s, t = np.cov(x.T, bias=True), np.cov(y.T, bias=True)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s + t - 2 * np.real(scipy.linalg.sqrtm(s @ t)))
    assert distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert distance(a, a) == pytest.approx(0, abs=1e-6)


def test_each_half_learns_in_its_own_step() -> None:
    pair = subject()
    before = {name: parameter.detach().clone() for name, parameter in pair.network.named_parameters()}
    loss = discriminator_loss(
        pair.network.discriminator(torch.zeros(4, 1, 16, 16)),
        pair.network.discriminator(pair.network.generator(torch.randn(4, 6))),
        0.9,
    )
    pair._descend("discriminator", loss)
    changed = {name for name, parameter in pair.network.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed
    assert all(name.startswith("discriminator") for name in changed)


def test_it_learns_to_draw() -> None:
    pair = subject()
    before = pair.evaluate("validation")["closeness"]
    metrics = [pair.epoch(number) for number in range(15)][-1]
    assert pair.evaluate("validation")["closeness"] > 0.5 * before  # closer to zero from below
    assert metrics.keys() == {"generator_loss", "discriminator_loss"}


def test_a_continuation_is_the_same_to_the_last_bit() -> None:
    whole, first, second = subject(), subject(), subject()
    rows = [whole.epoch(number) for number in range(3)]
    first.epoch(0)
    second.load_state_dict(first.state_dict())
    torch.rand(2)
    second.evaluate("validation")  # which disturbs nothing
    assert [second.epoch(number) for number in (1, 2)] == rows[1:]
    assert numbers(whole.state_dict()) == numbers(second.state_dict())


def test_drawing_repeats_itself_for_the_same_purpose() -> None:
    pair = subject()
    pair.epoch(0)
    assert (pair.draw(4, "sheet") == pair.draw(4, "sheet")).all()
    assert (pair.draw(4, "sheet") != pair.draw(4, "test")).any()
    assert pair.draw(4, "sheet").dtype == np.uint8


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("batch_size", 1),
        ("noise", 0),
        ("image_side", 20),
        ("learning_rate", -1.0),
        ("beta_1", 1.0),
        ("real_target", 0.4),
    ],
)
def test_settings_out_of_range_are_refused(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{setting} is {value}"):
        DCGANConfig(**{setting: value})
