"""A convolutional network that learns to name what an image shows, and what it sees in training: augmentation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from keel.networks.backbone import BackboneConfig, CNNConfig
from keel.networks.build import build_backbone
from keel.networks.initialise import orthogonal
from keel.networks.pretraining.data import Array, Data
from keel.networks.pretraining.image_data import load_images
from keel.networks.pretraining.learner import (
    Augment,
    Chance,
    FitConfig,
    Plan,
    Supervised,
    classification,
    torch_chance,
)


@dataclass(frozen=True)
class ImagesConfig:
    """Settings of an image classifier."""

    fit: FitConfig = field(default_factory=FitConfig)
    label_smoothing: float = 0.1
    """Part of the probability that the targets spread over all classes (Szegedy et al. 2016)."""
    dropout: float = 0.2
    """Of the features before the last layer (Srivastava et al. 2014)."""
    image_side: int = 0
    """Cut and scale images to squares of this many pixels a side; 0: as they are."""
    shift: float = 0.0
    """Training images move by up to this many pixels along each axis."""
    rotation: float = 0.0
    """They turn by up to this many degrees."""
    zoom: float = 0.0
    """They grow or shrink by up to this part."""
    flip: bool = False
    """Half of them are mirrored left to right, where that changes no class: never for digits and letters."""
    cutout: int = 0
    """A square of this many pixels a side is blackened at a random place (DeVries and Taylor 2017); 0: none."""

    def __post_init__(self) -> None:
        for name in ("label_smoothing", "dropout", "zoom"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must lie in [0, 1)")
        for name in ("image_side", "shift", "cutout"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 0")
        if not 0 <= self.rotation <= 180:
            raise ValueError(f"rotation is {self.rotation}: it must lie between 0 and 180 degrees")


class Classifier(nn.Module):
    """Images [N C H W] to logits [N K]: a backbone that agents can take over, and a linear layer."""

    def __init__(self, shape: tuple[int, ...], classes: int, backbone: BackboneConfig, dropout: float) -> None:
        super().__init__()
        self.backbone = build_backbone(shape, backbone)
        self.dropout = nn.Dropout(dropout)
        self.head = orthogonal(nn.Linear(self.backbone.features, classes), gain=0.01)

    def forward(self, images: Tensor) -> Tensor:
        is_first = torch.ones(1, len(images), dtype=torch.bool, device=images.device)
        features, _ = self.backbone(images[None], (), is_first)
        return self.head(self.dropout(features[0]))


def preset(kind: str, task: str) -> Plan:
    """What is known to work on a task."""
    impala = CNNConfig(variant="impala", channels=(16, 32, 32), features=256)
    match task:
        case "digits":
            small = CNNConfig(variant="small", channels=(32, 64), features=128)
            config = ImagesConfig(FitConfig(batch_size=32), shift=0.7, rotation=10, zoom=0.1)
            return Plan(kind, task, 40, 0, config, small)
        case "mnist5k":
            config = ImagesConfig(shift=2, rotation=10, zoom=0.1)
            return Plan(kind, task, 12, 0, config, impala)
        case "mnist":
            config = ImagesConfig(FitConfig(batch_size=128), shift=2, rotation=10, zoom=0.1)
            return Plan(kind, task, 6, 0, config, impala)
        case "cifar10":
            wide = CNNConfig(variant="impala", channels=(32, 64, 64), features=256)
            return Plan(kind, task, 30, 6, ImagesConfig(FitConfig(batch_size=128), shift=4, flip=True, cutout=8), wide)
    return Plan(kind, task, 30, 8, ImagesConfig(shift=2), impala)


def build(plan: Plan, chance: Chance, device: torch.device) -> Supervised:
    """A classifier of the task's images, before its first epoch."""
    return learner(load_images(plan.task, plan.data_dir, plan.config.image_side), plan, chance, device)


def learner(found: Data, plan: Plan, chance: Chance, device: torch.device) -> Supervised:
    """The same for images that are at hand."""
    config: ImagesConfig = plan.config
    if len(found.classes) < 2:
        raise ValueError(f"{found.source} has one class only: a classifier needs two or more")
    if config.cutout > min(found.shape[1:]):
        raise ValueError(f"cutout is {config.cutout}: the images are {found.shape[2]}x{found.shape[1]} pixels")
    assert plan.backbone is not None
    with torch_chance(chance("network", 0)):
        network = Classifier(found.shape, len(found.classes), plan.backbone, config.dropout)
    return Supervised(
        network,
        found,
        classification(config.label_smoothing),
        config.fit,
        epochs=plan.epochs,
        chance=chance,
        device=device,
        augment=augmentation(config),
    )


def augmentation(config: ImagesConfig) -> Augment | None:
    """What the settings say happens to a training batch uint8 [B C H W]; None: nothing."""
    steps: list[Callable[[Array, np.random.Generator], Array]] = []
    if config.flip:
        steps.append(flipped)
    if config.shift or config.rotation or config.zoom:
        steps.append(lambda images, chance: warped(images, chance, config.shift, config.rotation, config.zoom))
    if config.cutout:
        steps.append(lambda images, chance: cut_out(images, chance, config.cutout))
    if not steps:
        return None

    def augment(images: Array, chance: np.random.Generator) -> Array:
        for step in steps:
            images = step(images, chance)
        return images

    return augment


def flipped(images: Array, chance: np.random.Generator) -> Array:
    """Each image [B C H W] mirrored left to right with a probability of one half."""
    return np.where(chance.random(len(images))[:, None, None, None] < 0.5, images[..., ::-1], images)


def warped(images: Array, chance: np.random.Generator, shift: float, rotation: float, zoom: float) -> Array:
    """Each image [B C H W] moved (pixels), turned (degrees) and scaled by what is uniform within ± these limits.

    Between pixels it is bilinear; what comes in from outside is black.
    """
    count, _, height, width = images.shape
    angle = np.radians(chance.uniform(-rotation, rotation, count))
    scale = 1 / chance.uniform(1 - zoom, 1 + zoom, count)
    x, y = chance.uniform(-shift, shift, (2, count))
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    # From places of the result to places of the image, in units of half a side.
    rows = [[cosine, -sine * height / width, 2 * x / width], [sine * width / height, cosine, 2 * y / height]]
    theta = torch.from_numpy(np.moveaxis(np.array(rows), -1, 0)).float()
    grid = nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    source = torch.from_numpy(np.ascontiguousarray(images)).float()
    result = nn.functional.grid_sample(source, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return result.round().clamp(0, 255).to(torch.uint8).numpy()


def cut_out(images: Array, chance: np.random.Generator, side: int) -> Array:
    """Each image [B C H W] with a black square of `side` pixels somewhere within."""
    count, _, height, width = images.shape
    top = chance.integers(0, height - side + 1, count)[:, None, None, None]
    left = chance.integers(0, width - side + 1, count)[:, None, None, None]
    row, column = np.arange(height)[:, None], np.arange(width)
    inside = (row >= top) & (row < top + side) & (column >= left) & (column < left + side)
    return np.where(inside, 0, images).astype(images.dtype)
