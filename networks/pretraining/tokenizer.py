"""Words and punctuation as numbers: a vocabulary by frequency, with an id for padding and one for the unknown."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

PADDING, UNKNOWN = 0, 1
RESERVED = 2  # the first word's id

# A word keeps its inner apostrophes (don't is one word, not three); every other visible character stands alone.
_TOKEN = re.compile(r"\w+(?:'\w+)*|[^\w\s]")
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,20}>")  # web pages leave <br /> in their texts


def tokens(text: str) -> list[str]:
    """The words and punctuation marks of a text in lower case, without the tags of a web page."""
    return _TOKEN.findall(_TAG.sub(" ", text.replace("\u2019", "'")).lower())


@dataclass(frozen=True)
class Tokenizer:
    """A vocabulary: word i of `words` has the id i + 2; 0 is padding and 1 every word it does not know."""

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.words):
            twice = next(word for word, count in Counter(self.words).items() if count > 1)
            raise ValueError(f"the vocabulary has the word {twice!r} twice: every word needs one id")

    @classmethod
    def fit(cls, texts: Iterable[str], *, size: int, minimum_count: int = 2) -> Tokenizer:
        """The `size` - 2 most frequent words among those that come `minimum_count` times; ties in alphabetical order.

        Raises:
            ValueError: where no word is left, or `size` leaves room for none.
        """
        if size <= RESERVED:
            raise ValueError(f"size is {size}: a vocabulary needs at least {RESERVED + 1} ids, two of them reserved")
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(tokens(text))
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        words = tuple(word for word, count in ranked[: size - RESERVED] if count >= minimum_count)
        if not words:
            raise ValueError(f"no word comes {minimum_count} times in the texts: give more texts")
        return cls(words)

    @cached_property
    def ids(self) -> dict[str, int]:
        return {word: place for place, word in enumerate(self.words, RESERVED)}

    def __len__(self) -> int:
        """How many ids there are, those of padding and of the unknown included."""
        return len(self.words) + RESERVED

    def encode(self, text: str) -> Array:
        """Ids [L] int32 of a text; empty where it has no visible character."""
        return np.array([self.ids.get(token, UNKNOWN) for token in tokens(text)], np.int32)

    def decode(self, ids: Sequence[int] | Array) -> str:
        """The words of ids, with spaces between; padding is left out and the unknown is <unknown>."""
        return " ".join("<unknown>" if id_ == UNKNOWN else self.words[id_ - RESERVED] for id_ in ids if id_ != PADDING)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"words": self.words}, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Raises: ValueError where the file does not hold {"words": [...]} with a text each."""
        try:
            words = json.loads(path.read_text(encoding="utf-8"))["words"]
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a vocabulary: expected JSON with a list of words ({error})") from None
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError(f'{path} is not a vocabulary: expected {{"words": [...]}} with a text each')
        return cls(tuple(words))


def cut(ids: Array, length: int) -> Array:
    """The first third and the last two thirds of `length` ids where a text has more: reviews end with their verdict."""
    if len(ids) <= length:
        return ids
    head = length // 3
    return np.concatenate([ids[:head], ids[len(ids) - (length - head) :]])
