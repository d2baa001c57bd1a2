"""A network that tells what a text means from its words: embedding, backbone with memory, pooling, linear head."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from keel.networks.backbone import GRUConfig, LSTMConfig, MemoryConfig, TransformerConfig
from keel.networks.build import build_backbone
from keel.networks.pretraining import reviews
from keel.networks.pretraining.data import Array, Data, Split
from keel.networks.pretraining.learner import (
    Augment,
    Chance,
    FitConfig,
    Plan,
    Supervised,
    classification,
    torch_chance,
)
from keel.networks.pretraining.tokenizer import PADDING, UNKNOWN, Tokenizer, cut

LENGTH_BANDS = (100, 200, 400)  # words, for audits
BUCKET_BATCHES = 20  # among how many random batches texts are ordered by length
SOURCES = {"imdb": reviews.imdb, "reviews": reviews.sample}


@dataclass(frozen=True)
class TextConfig:
    """Settings of a text classifier."""

    fit: FitConfig = field(default_factory=FitConfig)
    vocabulary_size: int = 20_000
    """Ids at most, two of them reserved; words that are rarer than all of these are the unknown one."""
    length: int = 200
    """Words of a text that are read: the first third and the last two thirds of so many where it has more."""
    embedding: int = 64
    """Numbers that stand for a word."""
    dropout: float = 0.4
    """Part of the numbers of each word, and of those the head sees, that is hidden in training."""
    word_dropout: float = 0.2
    """Part of the words that is unknown in training."""
    label_smoothing: float = 0.0
    """Part of the probability that the targets spread over both classes."""

    def __post_init__(self) -> None:
        for name, least in (("vocabulary_size", 3), ("length", 3), ("embedding", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least {least}")
        for name in ("dropout", "word_dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must lie in [0, 1)")


class TextClassifier(nn.Module):
    """Ids [B T] -> logits [B classes], from three views of the backbone's features over the words: their mean, a mean
    by weights that are learnt (attention, Yang et al. 2016, Hierarchical attention networks), and their maximum.

    The backbone looks from left to right, so padding at the end changes nothing before it.
    """

    def __init__(self, vocabulary: int, classes: int, config: TextConfig, backbone: MemoryConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, config.embedding, padding_idx=PADDING)
        nn.init.normal_(self.embedding.weight, std=0.1)
        with torch.no_grad():
            self.embedding.weight[PADDING] = 0
        self.dropout = nn.Dropout(config.dropout)
        self.backbone: Any = build_backbone((config.embedding,), backbone)
        self.weigh = nn.Linear(self.backbone.features, 1)
        nn.init.zeros_(self.weigh.weight)  # begins as the plain mean
        self.head = nn.Linear(3 * self.backbone.features, classes)

    def forward(self, ids: Tensor) -> Tensor:
        exists = ids.t() != PADDING  # [T B]
        longest = int(exists.any(dim=1).sum())  # what is nothing but padding need not be computed
        ids, exists = ids.t()[:longest], exists[:longest].unsqueeze(-1)
        words = self.dropout(self.embedding(ids))
        features, _ = self.backbone(words, (), torch.zeros_like(ids, dtype=torch.bool))
        mean = (features * exists).sum(dim=0) / exists.sum(dim=0)
        weights = self.weigh(features).masked_fill(~exists, -torch.inf).softmax(dim=0)
        highest = features.masked_fill(~exists, -torch.inf).amax(dim=0)
        return self.head(self.dropout(torch.cat([mean, (weights * features).sum(dim=0), highest], dim=-1)))


def preset(kind: str, task: str) -> Plan:
    """What is known to work."""
    fit = FitConfig(learning_rate=2e-3)
    if kind == "transformer":
        backbone = TransformerConfig(width=32, layers=1, heads=2, window=160, hidden=())
        return Plan(kind, task, 4, 0, TextConfig(fit, length=160), backbone)
    memory = {"gru": GRUConfig, "lstm": LSTMConfig}[kind](width=64, layers=1, hidden=())
    return Plan(kind, task, 3, 0, TextConfig(fit), memory)


def build(plan: Plan, chance: Chance, device: torch.device) -> Supervised:
    """Finds the data of the plan's task and makes the learner; `chance` also gives the initial weights."""
    return learner(encoded(SOURCES[plan.task](plan.data_dir), plan.config), plan, chance, device)


def learner(data: Data, plan: Plan, chance: Chance, device: torch.device) -> Supervised:
    """The learner for texts that are already ids."""
    config: TextConfig = plan.config
    assert isinstance(plan.backbone, GRUConfig | TransformerConfig)
    vocabulary = len(Tokenizer(tuple(data.details["words"])))
    with torch_chance(chance("network", 0)):
        network = TextClassifier(vocabulary, len(data.classes), config, plan.backbone)
    return Supervised(
        network,
        data,
        classification(config.label_smoothing),
        config.fit,
        epochs=plan.epochs,
        chance=chance,
        device=device,
        augment=word_dropout(config.word_dropout) if config.word_dropout else None,
        batches=by_length,
    )


def encoded(data: Data, config: TextConfig) -> Data:
    """Data whose inputs are texts [N] as data whose inputs are ids [N length], by the vocabulary of the training texts
    alone; the groups are bands of length."""
    tokenizer = Tokenizer.fit(data.train.inputs, size=config.vocabulary_size)

    def split(part: Split) -> Split:
        ids, lengths = encode(part.inputs, tokenizer, config.length)
        return Split(ids, part.targets, length_bands(lengths))

    parts = split(data.train), split(data.validation), split(data.test)
    details = {"words": list(tokenizer.words), "length": config.length}
    return Data(data.name, data.source, data.is_sample, *parts, classes=data.classes, details=details)


def encode(texts: Sequence[str] | Array, tokenizer: Tokenizer, length: int) -> tuple[Array, Array]:
    """Ids [N length] int32 of texts, cut (`tokenizer.cut`) and padded, and the length [N] of each before.

    A text without words is one unknown word.
    """
    result, lengths = np.full((len(texts), length), PADDING, np.int32), np.zeros(len(texts), np.int64)
    for row, text in enumerate(texts):
        ids = tokenizer.encode(text)
        lengths[row], ids = len(ids), cut(ids, length)
        result[row, : len(ids)] = ids
    result[lengths == 0, 0] = UNKNOWN
    return result, lengths


def length_bands(lengths: Array) -> Array:
    """The name [N] of the band that each length is in, such as `101 to 200 words`."""
    between = [f"{low + 1} to {high} words" for low, high in itertools.pairwise(LENGTH_BANDS)]
    names = [f"up to {LENGTH_BANDS[0]} words", *between, f"over {LENGTH_BANDS[-1]} words"]
    return np.array(names)[np.searchsorted(LENGTH_BANDS, lengths)]


def word_dropout(part: float) -> Augment:
    """An augmentation that makes `part` of the words of ids [B T] unknown."""

    def augment(ids: Array, chance: np.random.Generator) -> Array:
        hidden = (chance.random(ids.shape, np.float32) < part) & (ids != PADDING)
        return np.where(hidden, ids.dtype.type(UNKNOWN), ids)

    return augment


def by_length(split: Split, batch_size: int, chance: np.random.Generator) -> Iterator[Array]:
    """The indices of one pass in random batches of texts that are about as long: less padding, more speed."""
    lengths = (split.inputs != PADDING).sum(axis=1)
    order = chance.permutation(len(split))
    batches: list[Array] = []
    for start in range(0, len(order), batch_size * BUCKET_BATCHES):
        bucket = order[start : start + batch_size * BUCKET_BATCHES]
        bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
        batches += np.split(bucket, range(batch_size, len(bucket), batch_size))
    yield from (batches[place] for place in chance.permutation(len(batches)))
