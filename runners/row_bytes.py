"""Many rows of JSON looked at as bytes, where to parse every one of them would take too long.

Rows are what `files.encode_row` writes, the step first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keel.envs.protocol import Array

_BEGIN = b'{"global_step": '
_MOST_DIGITS = 16  # of a step


class Steps(NamedTuple):
    """The step that every line begins with."""

    steps: Array  # [N] float64
    behind: Array  # [N] int64, where the letter after the step is: a comma, or the brace that ends the row


def complete(data: bytes) -> bytes:
    """Without a last line that has no end: it is still being written, or was torn by a kill."""
    return data[: data.rfind(b"\n") + 1]


def line_ends(data: bytes) -> Array:
    """Where the next line begins, for each of the complete lines [N]."""
    return np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1


def line_starts(ends: Array) -> Array:
    return np.concatenate([[0], ends])[:-1].astype(np.int64)


def find_steps(data: bytes, ends: Array) -> Steps | None:
    """None where a line does not begin with its step, or does not end with its brace."""
    starts = line_starts(ends)
    if len(ends) == 0:
        return Steps(np.empty(0), starts)
    if (ends - starts).min() <= len(_BEGIN) + _MOST_DIGITS:
        return None  # too short to be looked at in this way
    letters = np.frombuffer(data, np.uint8)
    begins = np.lib.stride_tricks.sliding_window_view(letters, len(_BEGIN) + _MOST_DIGITS)[starts]
    digits = begins[:, len(_BEGIN) :] - np.uint8(ord("0"))  # what stands before 0 becomes large
    within = np.logical_and.accumulate(digits <= 9, axis=1)
    behind = starts + len(_BEGIN) + within.sum(axis=1)
    fits = (begins[:, : len(_BEGIN)] == np.frombuffer(_BEGIN, np.uint8)).all()
    fits = fits and within[:, 0].all() and not within[:, -1].any()
    if not (fits and np.isin(letters[behind], [ord(","), ord("}")]).all() and (letters[ends - 2] == ord("}")).all()):
        return None
    steps = np.zeros(len(starts))
    for digit, counts in zip(digits.T, within.T, strict=True):
        steps = np.where(counts, 10 * steps + digit, steps)
    return Steps(steps, behind)


def without_steps(data: bytes, ends: Array, found: Steps) -> list[bytes] | None:
    """The rows without their steps, each JSON again; None where a row holds nothing but its step."""
    opened = np.frombuffer(data, np.uint8).copy()
    if (opened[found.behind] != ord(",")).any() or (opened[found.behind + 1] != ord(" ")).any():
        return None
    opened[found.behind + 1] = ord("{")
    text = opened.tobytes()
    return [text[start:end] for start, end in zip((found.behind + 1).tolist(), (ends - 1).tolist(), strict=True)]


def some_lines(data: bytes, ends: Array, most: int) -> list[bytes]:
    """At most so many lines, evenly taken, the first and the last among them."""
    chosen = np.unique(np.linspace(0, len(ends) - 1, min(len(ends), most)).round().astype(int))
    starts = line_starts(ends)
    return [data[starts[index] : ends[index]] for index in chosen]
