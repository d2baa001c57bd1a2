"""What augmentation does to an image, by hand, and what a classifier refuses."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from keel.envs.seeding import generator
from keel.networks.backbone import CNNConfig
from keel.networks.pretraining.images import ImagesConfig, augmentation, build, cut_out, flipped, preset, warped

CPU = torch.device("cpu")


class AtTheLimit:
    """A stream whose uniform numbers are all the highest."""

    def uniform(self, low: float, high: float, size: Any) -> np.ndarray:
        return np.full(size, high)


def square_images(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 2, 8, 8), dtype=np.uint8)


def test_without_limits_a_warp_changes_nothing() -> None:
    images = square_images()
    assert (warped(images, np.random.default_rng(0), 0, 0, 0) == images).all()


def test_a_shift_moves_by_pixels_and_brings_in_black() -> None:
    images = square_images()
    moved = warped(images, AtTheLimit(), 2, 0, 0)
    assert (moved[:, :, :-2, :-2] == images[:, :, 2:, 2:]).all()
    assert (moved[:, :, -2:] == 0).all()
    assert (moved[..., -2:] == 0).all()


def test_a_quarter_turn_is_numpys() -> None:
    images = square_images()
    turned = warped(images, AtTheLimit(), 0, 90, 0).astype(int)
    assert np.abs(turned - np.rot90(images, axes=(2, 3)).astype(int)).max() <= 1


def test_images_that_are_not_square_keep_their_proportions_when_turned() -> None:
    images = np.zeros((1, 1, 5, 9), np.uint8)
    images[0, 0, 2, 2:7] = 255  # a bar of five pixels along the rows
    turned = warped(images, AtTheLimit(), 0, 90, 0)
    assert np.argwhere(turned[0, 0] > 200).tolist() == [[row, 4] for row in range(5)]


def test_zoom_makes_things_larger() -> None:
    images = np.zeros((1, 1, 9, 9), np.uint8)
    images[0, 0, 3:6, 3:6] = 255
    larger = warped(images, AtTheLimit(), 0, 0, 0.9)
    assert (larger > 0).sum() > 20
    assert (larger[0, 0, 2:7, 2:7] > 0).all()


def test_limits_are_limits() -> None:
    image = np.zeros((400, 1, 9, 9), np.uint8)
    image[:, 0, 4, 4] = 255
    moved = warped(image, np.random.default_rng(0), 2, 0, 0)
    rows, columns = (moved > 0).any(axis=(0, 1, 3)), (moved > 0).any(axis=(0, 1, 2))
    assert np.flatnonzero(rows).tolist() == np.flatnonzero(columns).tolist() == [2, 3, 4, 5, 6]


def test_half_are_mirrored() -> None:
    images = square_images(200)
    result = flipped(images, np.random.default_rng(0))
    same, mirrored = ((result == other).all(axis=(1, 2, 3)) for other in (images, images[..., ::-1]))
    assert (same ^ mirrored).all()
    assert 70 < same.sum() < 130


def test_a_square_is_cut_out_anywhere() -> None:
    result = cut_out(np.ones((300, 3, 7, 8), np.uint8), np.random.default_rng(0), 3)
    assert ((result == 0).sum(axis=(1, 2, 3)) == 27).all()
    assert (result == 0).any(axis=0).all()  # every pixel of some image


def test_augmentation_is_what_the_settings_say() -> None:
    assert augmentation(ImagesConfig()) is None
    images = square_images(20)
    augment = augmentation(ImagesConfig(flip=True, shift=1, cutout=2))
    assert augment is not None
    once, again = (augment(images, np.random.default_rng(3)) for _ in range(2))
    assert (once == again).all()
    assert (once != images).any()
    assert once.dtype == np.uint8


def test_digits_are_learnt() -> None:
    plan = preset("cnn", "digits")._replace(epochs=5)
    subject = build(plan, functools.partial(generator, 0), CPU)
    for number in range(5):
        subject.epoch(number)
    assert subject.evaluate("test")["accuracy"] > 0.9


def test_what_cannot_be_learnt_is_refused(tmp_path: Path) -> None:
    plan, chance = preset("cnn", "digits"), functools.partial(generator, 0)
    with pytest.raises(ValueError, match="cutout is 9: the images are 8x8 pixels"):
        build(plan._replace(config=ImagesConfig(cutout=9)), chance, CPU)
    with pytest.raises(ValueError, match="too small for the nature convolutions"):
        build(plan._replace(backbone=CNNConfig()), chance, CPU)
    with pytest.raises(ValueError, match="has one class only"):
        build(plan._replace(task="faces"), chance, CPU)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("label_smoothing", 1.0), ("dropout", -0.1), ("shift", -1.0), ("rotation", 181.0), ("cutout", -1), ("zoom", 1.0)],
)
def test_settings_out_of_range_are_refused(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{setting} is {value}: it must"):
        ImagesConfig(**{setting: value})
