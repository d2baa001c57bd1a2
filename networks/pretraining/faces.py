"""A pair of networks that learn to draw: DCGAN (Radford, Metz and Chintala 2016), for digits and faces.

The generator turns noise into images; the discriminator learns to tell them from real ones, and each learns from the
other's mistakes (Goodfellow et al. 2014). A classifier that learnt the same images judges what is drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from keel.networks.backbone import CNNConfig
from keel.networks.pretraining.audit import probabilities
from keel.networks.pretraining.data import Array, Data, SplitName
from keel.networks.pretraining.image_data import load_images
from keel.networks.pretraining.images import Classifier
from keel.networks.pretraining.learner import (
    Chance,
    FitConfig,
    Metrics,
    Plan,
    State,
    Supervised,
    classification,
    torch_chance,
)

SMALLEST = 4  # side of the first map of the generator and the last one of the discriminator
INITIAL_SPREAD = 0.02  # standard deviation of the initial weights (section 3)
SLOPE = 0.2  # of the leaky rectifiers (section 3)
JUDGED = 500  # images that the judge sees
JUDGE_EPOCHS = 4


@dataclass(frozen=True)
class DCGANConfig:
    """Settings of a DCGAN; the defaults are those of the paper where it gives them."""

    batch_size: int = 64
    """Real images, and as many drawn ones, of each gradient step."""
    learning_rate: float = 2e-4
    """Of Adam, for both networks."""
    beta_1: float = 0.5
    """Of Adam: how long its mean gradient remembers."""
    noise: int = 100
    """Numbers that the generator starts from."""
    channels: int = 32
    """Of the largest maps; each halving of the side doubles them (the paper has 128)."""
    image_side: int = 32
    """Cut and scale images to squares of this many pixels a side: 8, 16, 32, 64 or 128."""
    real_target: float = 0.9
    """What the discriminator is to say of real images, below 1 so that it never gets too sure (Salimans et al. 2016)."""
    sheet_every: int = 5
    """Epochs between two sheets of samples; 0: only the last."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "noise", "channels"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if self.batch_size < 2:
            raise ValueError("batch_size is 1: batch normalisation needs at least 2")
        if self.image_side not in (8, 16, 32, 64, 128):
            raise ValueError(f"image_side is {self.image_side}: it must be 8, 16, 32, 64 or 128")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate is {self.learning_rate}: it must be greater than 0")
        if not 0 <= self.beta_1 < 1:
            raise ValueError(f"beta_1 is {self.beta_1}: it must lie in [0, 1)")
        if not 0.5 < self.real_target <= 1:
            raise ValueError(f"real_target is {self.real_target}: it must lie in (0.5, 1]")
        if self.sheet_every < 0:
            raise ValueError(f"sheet_every is {self.sheet_every}: it must be at least 0")


class Generator(nn.Module):
    """Noise [N noise] to images [N C side side] in -1…1."""

    def __init__(self, noise: int, channels: int, side: int, colours: int) -> None:
        super().__init__()
        width = channels * side // (2 * SMALLEST)
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(noise, width, SMALLEST, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        while width > channels:
            layers += [
                nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False),
                nn.BatchNorm2d(width // 2),
                nn.ReLU(),
            ]
            width //= 2
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(width, colours, 4, 2, 1), nn.Tanh())
        initialise(self)

    def forward(self, noise: Tensor) -> Tensor:
        return self.layers(noise[:, :, None, None])


class Discriminator(nn.Module):
    """Images [N C side side] in -1…1 to logits [N]: how surely each is real."""

    def __init__(self, channels: int, side: int, colours: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(colours, channels, 4, 2, 1), nn.LeakyReLU(SLOPE)]
        width, side = channels, side // 2
        while side > SMALLEST:
            layers += [nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * width), nn.LeakyReLU(SLOPE)]
            width, side = 2 * width, side // 2
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 1, SMALLEST))
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).flatten()


class Pair(nn.Module):
    """Both networks."""

    def __init__(self, config: DCGANConfig, colours: int) -> None:
        super().__init__()
        self.generator = Generator(config.noise, config.channels, config.image_side, colours)
        self.discriminator = Discriminator(config.channels, config.image_side, colours)


def initialise(network: nn.Module) -> None:
    """Normal weights of a small spread; scales of batch normalisation around 1."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, INITIAL_SPREAD)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, INITIAL_SPREAD)


def discriminator_loss(real: Tensor, drawn: Tensor, real_target: float) -> Tensor:
    """From logits [N] of real and of drawn images: -(t log D(x) + (1 - t) log(1 - D(x))) - log(1 - D(G(z)))."""
    cross_entropy = nn.functional.binary_cross_entropy_with_logits
    return cross_entropy(real, torch.full_like(real, real_target)) + cross_entropy(drawn, torch.zeros_like(drawn))


def generator_loss(drawn: Tensor) -> Tensor:
    """From logits [N] of drawn images: -log D(G(z)), whose gradient does not fade where the discriminator is sure
    (Goodfellow et al. 2014, section 3)."""
    return nn.functional.binary_cross_entropy_with_logits(drawn, torch.ones_like(drawn))


def drawing_score(probability: Array) -> Metrics:
    """What a classifier of K classes thinks of drawn images, from its probabilities [N K].

    confidence   mean over images of max_k p(k | x): is each one clearly something?
    spread       exp(H(mean over images of p(k | x))) / K: are all classes drawn alike? 1 where they are
    score        exp(mean over images of KL(p(k | x) || p(k))) / K, the inception score of Salimans et al. 2016
                 by a classifier of the same images, as a part of the best there is: from 1 / K to 1
    """
    mean = probability.mean(axis=0)
    classes = probability.shape[1]
    entropy = -_times_log(mean, mean).sum()
    divergence = (_times_log(probability, probability) - _times_log(probability, mean)).sum(axis=1).mean()
    return {
        "confidence": float(probability.max(axis=1).mean()),
        "spread": float(np.exp(entropy) / classes),
        "score": float(np.exp(divergence) / classes),
    }


def _times_log(factor: Array, of: Array) -> Array:
    """factor log(of), 0 where the factor is."""
    return factor * np.log(np.where(of > 0, of, 1.0))


def distance(drawn: Array, real: Array) -> float:
    """The Fréchet distance (squared) of two sets of images uint8 [N C H W], each seen as a Gaussian of its pixels.

        |m - n|^2 + tr(S + T - 2 (S^1/2 T S^1/2)^1/2),   means m, n and covariances S, T

    Pixels are averaged to a side of 8 and scaled to 0…1. It is Dowson and Landau 1982, as Heusel et al. 2017 use it with
    features of a network: here no other network has a say.
    """
    (mean, covariance), (other_mean, other) = _gaussian(drawn), _gaussian(real)
    root = _square_root(covariance)
    both = _square_root(root @ other @ root)
    return float(((mean - other_mean) ** 2).sum() + np.trace(covariance + other - 2 * both))


def _gaussian(images: Array) -> tuple[Array, Array]:
    small = nn.functional.adaptive_avg_pool2d(torch.from_numpy(images).double() / 255, 8).flatten(1).numpy()
    return small.mean(axis=0), np.atleast_2d(np.cov(small, rowvar=False, bias=True))


def _square_root(matrix: Array) -> Array:
    """Of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


class DCGAN:
    """The learner. Its score is that of `drawing_score` where the data have classes, otherwise minus `distance`.

    Args: judge: a classifier of the same images, or None where they have no classes.
    """

    backbone = None  # nothing of it fits an agent

    def __init__(
        self, data: Data, config: DCGANConfig, judge: Supervised | None, *, chance: Chance, device: torch.device
    ) -> None:
        self.data = data
        self.config = config
        self.device = device
        self.judge = judge
        self.score = "score" if judge is not None else "closeness"
        self._chance = chance
        with torch_chance(chance("network", 0)):
            self.network = Pair(config, data.shape[0]).to(device)
        betas = (config.beta_1, 0.999)
        self.optimisers = {
            name: torch.optim.Adam(self.network.get_submodule(name).parameters(), config.learning_rate, betas)
            for name in ("generator", "discriminator")
        }

    def epoch(self, number: int) -> Metrics:
        chance = self._chance("epoch", number)
        images = self.data.train.inputs
        order = chance.permutation(len(images))
        size = min(self.config.batch_size, len(images))
        self.network.train()
        losses = [
            self._step(images[order[start : start + size]], chance)
            for start in range(0, len(order) - size + 1, size)  # batch normalisation wants whole batches
        ]
        generator, discriminator = torch.stack(losses).mean(dim=0).tolist()
        return {"generator_loss": generator, "discriminator_loss": discriminator}

    def evaluate(self, split: SplitName) -> Metrics:
        """The same noise at every call, so that epochs can be compared; other noise for each split."""
        drawn = self.draw(JUDGED, split)
        metrics = {"closeness": -distance(drawn, self.data.split(split).inputs)}
        if self.judge is not None:
            metrics |= drawing_score(probabilities(self.judge.predict(drawn)))
        return metrics

    @torch.no_grad()
    def draw(self, count: int, purpose: str) -> Array:
        """Images uint8 [count C side side] from noise that belongs to the purpose."""
        chance = self._chance(f"noise {purpose}", 0)
        self.network.eval()
        parts = [
            self.network.generator(self._noise(min(250, count - done), chance)).cpu() for done in range(0, count, 250)
        ]
        return torch.cat(parts).add(1).mul(127.5).round().to(torch.uint8).numpy()

    def state_dict(self) -> State:
        return {
            "network": dict(self.network.state_dict()),
            "optimisers": {
                name: {str(index): dict(moments) for index, moments in optimiser.state_dict()["state"].items()}
                for name, optimiser in self.optimisers.items()
            },
        }

    def load_state_dict(self, state: State) -> None:
        self.network.load_state_dict(state["network"])
        for name, optimiser in self.optimisers.items():
            moments = {int(index): values for index, values in state["optimisers"][name].items()}
            optimiser.load_state_dict(optimiser.state_dict() | {"state": moments})

    def _step(self, real: Array, chance: np.random.Generator) -> Tensor:
        """One step of the discriminator and one of the generator; returns their losses, the generator's first."""
        generator, discriminator = self.network.generator, self.network.discriminator
        images = torch.from_numpy(real).to(self.device).float().div(127.5).sub(1)
        drawn = generator(self._noise(len(real), chance))
        told = discriminator_loss(discriminator(images), discriminator(drawn.detach()), self.config.real_target)
        self._descend("discriminator", told)
        fooled = generator_loss(discriminator(drawn))
        self._descend("generator", fooled)
        return torch.stack([fooled.detach(), told.detach()])

    def _descend(self, name: str, loss: Tensor) -> None:
        self.optimisers[name].zero_grad(set_to_none=True)
        loss.backward(inputs=list(self.network.get_submodule(name).parameters()))
        self.optimisers[name].step()

    def _noise(self, count: int, chance: np.random.Generator) -> Tensor:
        return torch.from_numpy(chance.standard_normal((count, self.config.noise), np.float32)).to(self.device)


def preset(kind: str, task: str) -> Plan:
    """What is known to work on a task."""
    match task:
        case "mnist5k":
            return Plan(kind, task, 40, 0, DCGANConfig(), None)
        case "mnist":
            return Plan(kind, task, 10, 0, DCGANConfig(channels=64, sheet_every=1), None)
    return Plan(kind, task, 200, 0, DCGANConfig(batch_size=16, sheet_every=20), None)  # the 100 faces of the sample


def build(plan: Plan, chance: Chance, device: torch.device) -> DCGAN:
    """A DCGAN of the task's images before its first epoch, and its judge after its last one."""
    config: DCGANConfig = plan.config
    has_classes = plan.task != "faces"
    found = load_images(plan.task, plan.data_dir, config.image_side, labelled=has_classes)
    if len(found.train) < 2:
        raise ValueError(f"{found.source} holds {len(found.train)} images to learn from: it needs at least 2")
    judge = make_judge(found, chance, device) if has_classes else None
    return DCGAN(found, config, judge, chance=chance, device=device)


def make_judge(found: Data, chance: Chance, device: torch.device) -> Supervised:
    """A small classifier that has learnt the data; the same one for the same seed."""

    def own(purpose: str, counter: int) -> np.random.Generator:
        return chance(f"judge {purpose}", counter)

    backbone = CNNConfig(variant="impala", channels=(8, 16, 16), features=64)
    with torch_chance(own("network", 0)):
        network = Classifier(found.shape, len(found.classes), backbone, dropout=0.0)
    judge = Supervised(
        network, found, classification(), FitConfig(learning_rate=3e-3), epochs=JUDGE_EPOCHS, chance=own, device=device
    )
    for number in range(JUDGE_EPOCHS):
        judge.epoch(number)
    return judge
