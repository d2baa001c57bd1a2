"""Many trainings, each in a process of its own, whose rows are told as they come."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from typing import Any


def run_trainings(
    train_and_judge: Callable[..., dict[str, Any]], work: Sequence[tuple[Any, ...]], jobs: int
) -> list[dict[str, Any]]:
    """One row for the arguments of each training, in their order; `jobs` at a time. Rows are printed on stderr, without
    their curves, so that what was measured is not lost where a later training fails.

    Raises: ValueError: there is nothing to train.
    """
    if not work:
        raise ValueError("there is nothing to train: the options (--set) leave no world, agent or seed")
    rows = []
    with concurrent.futures.ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        for row in pool.map(train_and_judge, *zip(*work, strict=True)):
            rows.append(row)
            print({name: value for name, value in row.items() if name != "curve"}, file=sys.stderr, flush=True)
    return rows
