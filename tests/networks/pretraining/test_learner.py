"""Fitting: the learning rate, the loss, and that an epoch is a function of the state before it and its number."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss

from keel.envs.seeding import generator
from keel.networks.backbone import CNNConfig
from keel.networks.build import build_backbone
from keel.networks.pretraining.data import Data, Split
from keel.networks.pretraining.images import Classifier, ImagesConfig, augmentation
from keel.networks.pretraining.learner import (
    FitConfig,
    Supervised,
    adamw,
    classification,
    learning_rate_at,
    shuffled,
    torch_chance,
    weighted_mean,
)

BACKBONE = CNNConfig(variant="small", channels=(4,), features=16)


def dots(count: int, seed: int) -> Split:
    """Images with a bright half: left is class 0, right is class 1."""
    chance = np.random.default_rng(seed)
    labels = chance.integers(0, 2, count)
    images = chance.integers(0, 60, (count, 1, 6, 6), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[0, :, 3 * label : 3 * label + 3] += 120
    return Split(images, labels)


def learner(seed: int = 0, **options: float) -> Supervised:
    data = Data("dots", "made up", False, dots(70, 1), dots(20, 2), dots(30, 3), ("left", "right"))
    chance = functools.partial(generator, seed)
    with torch_chance(chance("network", 0)):
        network = Classifier((1, 6, 6), 2, BACKBONE, dropout=0.3)
    return Supervised(
        network,
        data,
        classification(0.1),
        FitConfig(batch_size=8, learning_rate=1e-2, **options),
        epochs=6,
        chance=chance,
        device=torch.device("cpu"),
        augment=augmentation(ImagesConfig(shift=1, rotation=5)),
    )


def numbers(state: dict) -> dict[str, bytes]:
    flat: dict[str, bytes] = {}
    for name, value in state.items():
        flat |= (
            {f"{name}/{k}": v for k, v in numbers(value).items()}
            if isinstance(value, dict)
            else {name: value.numpy().tobytes()}
        )
    return flat


def test_the_learning_rate_rises_in_a_line_and_falls_along_a_cosine() -> None:
    config = FitConfig(learning_rate=1.0, warmup=0.2)
    rates = [learning_rate_at(progress, config) for progress in (0.0, 0.1, 0.2, 0.6, 1.0)]
    assert rates == pytest.approx([0.05, 0.525, 1.0, 0.505, 0.01])
    assert learning_rate_at(0.0, FitConfig(learning_rate=1.0, warmup=0.0)) == 1.0


def test_the_measures_agree_with_scikit_learn() -> None:
    chance = np.random.default_rng(0)
    logits, labels = chance.normal(size=(50, 4)).astype(np.float32), chance.integers(0, 4, 50)
    measured = classification().measure(logits, labels)
    odds = np.exp(logits.astype(np.float64))
    assert measured["loss"] == pytest.approx(log_loss(labels, odds / odds.sum(axis=1, keepdims=True), labels=range(4)))
    assert measured["accuracy"] == accuracy_score(labels, logits.argmax(axis=1))


def test_label_smoothing_by_hand() -> None:
    loss = classification(0.1).loss(torch.tensor([[0.0, np.log(3.0)]]), torch.tensor([1]))
    assert float(loss) == pytest.approx(-(0.95 * np.log(0.75) + 0.05 * np.log(0.25)))


def test_a_pass_sees_every_example_once() -> None:
    batches = list(shuffled(dots(35, 0), 16, np.random.default_rng(0)))
    assert [len(batch) for batch in batches] == [16, 16, 3]
    assert sorted(np.concatenate(batches).tolist()) == list(range(35))


def test_the_mean_loss_counts_examples_not_batches() -> None:
    assert weighted_mean([torch.tensor(1.0), torch.tensor(4.0)], [2, 1]) == pytest.approx(2.0)


def test_weights_decay_and_biases_do_not() -> None:
    network = torch.nn.Linear(3, 2)
    before = copy.deepcopy(network.state_dict())
    optimiser = adamw(network, FitConfig(learning_rate=0.1, weight_decay=0.5))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    torch.testing.assert_close(network.weight, before["weight"] * (1 - 0.1 * 0.5))
    torch.testing.assert_close(network.bias, before["bias"])


def test_it_learns() -> None:
    subject = learner()
    first = subject.evaluate("validation")
    metrics = [subject.epoch(number) for number in range(6)][-1]
    assert subject.evaluate("test")["accuracy"] >= 0.95
    assert subject.evaluate("validation")["loss"] < first["loss"]
    assert metrics["learning_rate"] < 1e-3  # near the end of the cosine
    assert metrics.keys() == {"loss", "accuracy", "gradient_norm", "learning_rate"}


def test_a_continuation_is_the_same_to_the_last_bit() -> None:
    whole, first, second = learner(), learner(), learner()
    rows = [whole.epoch(number) for number in range(4)]
    for number in range(2):
        first.epoch(number)
    second.load_state_dict(first.state_dict())
    first.epoch(2)  # the second one has numbers of its own
    torch.rand(3)  # and nothing depends on torch's own stream
    assert [second.epoch(number) for number in range(2, 4)] == rows[2:]
    assert numbers(whole.state_dict()) == numbers(second.state_dict())


def test_chance_comes_from_the_seed_alone_and_disturbs_nobody() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one = learner(seed=1)
    one.epoch(0)
    assert torch.rand(1) == expected
    other = learner(seed=1)
    other.epoch(0)
    assert numbers(one.state_dict()) == numbers(other.state_dict())
    assert numbers(learner(seed=2).state_dict()) != numbers(learner(seed=1).state_dict())


def test_evaluating_changes_nothing_and_uses_no_dropout() -> None:
    subject = learner()
    subject.epoch(0)
    before = numbers(subject.state_dict())
    assert subject.evaluate("test") == subject.evaluate("test")
    inputs = subject.data.test.inputs
    assert np.allclose(subject.predict(inputs[:5]), subject.predict(inputs)[:5], atol=1e-6)
    assert numbers(subject.state_dict()) == before


def test_agents_can_take_the_backbone_over() -> None:
    subject = learner()
    subject.epoch(0)
    agents_own = build_backbone((1, 6, 6), BACKBONE)
    assert subject.backbone is not None
    agents_own.load_state_dict(subject.backbone.state_dict(), strict=True)
    images = torch.from_numpy(subject.data.test.inputs[None])
    is_first = torch.ones(1, 30, dtype=torch.bool)
    torch.testing.assert_close(agents_own(images, (), is_first)[0], subject.backbone(images, (), is_first)[0])


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("batch_size", 0, "batch_size is 0: it must be at least 1"),
        ("learning_rate", 0.0, "learning_rate is 0.0: it must be greater than 0"),
        ("weight_decay", -1.0, "weight_decay is -1.0"),
        ("warmup", 1.0, r"warmup is 1.0: it must lie in \[0, 1\)"),
        ("max_gradient_norm", float("nan"), "max_gradient_norm is nan"),
    ],
)
def test_settings_out_of_range_are_refused(setting: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FitConfig(**{setting: value})
