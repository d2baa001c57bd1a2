"""Are the tuned settings better? Both they and those tuned from train anew on seeds that chose nothing.

The best of many noisy trials looks better than it is, so its own score proves nothing.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keel.envs.protocol import Array
from keel.runners.files import read_rows
from keel.runners.seed_statistics import interquartile_mean, stratified_bootstrap_interval
from keel.runners.settings import Settings
from keel.runners.stop import StopWish
from keel.runners.tune.console import shown_value
from keel.runners.tune.plan import Plan
from keel.runners.tune.score import Objective, Outcome
from keel.runners.tune.search import unused
from keel.runners.tune.study import Trial
from keel.runners.tune.worker import Worker, supervise

RESAMPLES = 10_000


@dataclass(frozen=True)
class Verification:
    """Outcomes on the same held-out seeds, seed by seed; those that failed are left out of both."""

    trial: int
    tuned: list[Outcome]
    before: list[Outcome]
    failed: int = 0


def verify(plan: Plan, folder: Path, best: Trial, seeds: int, jobs: int, wish: StopWish) -> None:
    """Train the settings of `best` and those tuned from on `seeds` held-out seeds each; what is done stays done.

    The two train one after another in one process, which of them first changes from seed to seed: so both meet the same
    machine, and neither always pays for what only a first training pays.
    """
    tuned, before = plan.trial_settings(best.values), plan.trial_settings({})
    paths = [_path(folder, best, index) for index in range(seeds)]
    todo = [index for index, path in enumerate(paths) if len(read_rows(path.with_suffix(".jsonl"))) < 2]

    def start() -> Worker | None:
        if not todo:
            return None
        index = todo.pop(0)
        seed = plan.seed("verification", index)
        pair = [
            _named(f"{plan.name}-tuned-{best.number:03d}-{index + 1:02d}", tuned, seed),
            _named(f"{plan.name}-before-{index + 1:02d}", before, seed),
        ]
        return Worker.start(paths[index], pair if index % 2 == 0 else pair[::-1])

    supervise(start, jobs, wish, follow=_nothing, finish=_nothing, tick=lambda: None)


def verified(plan: Plan, folder: Path, best: Trial) -> Verification | None:
    """What `verify` has found for the settings of `best` so far; None where it was not begun."""
    count = len(list(_path(folder, best, 0).parent.glob(f"{_stem(best)}-*.json")))
    pairs = [_pair(_path(folder, best, index), flipped=index % 2 == 1) for index in range(count)]
    whole = [pair for pair in pairs if pair is not None]
    if not count:
        return None
    return Verification(best.number, [pair[0] for pair in whole], [pair[1] for pair in whole], count - len(whole))


def judged(objective: Objective, verification: Verification) -> dict[str, Any]:
    """The verification in numbers and in a sentence.

    Returns: `trial`, `seeds`, `failed`, `verdict` (better, worse or undecided), `words`, the probability that a tuned run
    beats one from before, and for each side its outcomes and the medians of score, steps and seconds with the
    interquartile mean of the score and its 95 % interval (bootstrap over seeds).
    """
    tuned, before = (
        np.array([objective.score(outcome) for outcome in side]) for side in (verification.tuned, verification.before)
    )
    sides = {"tuned": _side(objective, verification.tuned), "before": _side(objective, verification.before)}
    about: dict[str, Any] = {"trial": verification.trial, "seeds": len(tuned), "failed": verification.failed} | sides
    if len(tuned) < 3:
        about |= {"verdict": "undecided", "words": f"{len(tuned)} held-out seeds are too few to say anything."}
        return about
    low, high = difference_interval(tuned, before)
    good, bad = (high < 0, low > 0) if objective.fewer else (low > 0, high < 0)
    verdict = "better" if good else "worse" if bad else "undecided"
    about["difference_interval"] = [low, high]
    about["probability_of_improvement"] = probability_of_improvement(tuned, before, fewer=objective.fewer)
    return about | {"verdict": verdict, "words": _words(objective, verdict, about)}


def difference_interval(tuned: Array, before: Array, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of the difference of interquartile means, tuned less before, each side's seeds [K] drawn again
    with replacement on their own."""
    random = np.random.default_rng(seed)
    means = [
        interquartile_mean(side[random.integers(len(side), size=(RESAMPLES, len(side)))], axis=1)
        for side in (tuned, before)
    ]
    low, high = np.percentile(means[0] - means[1], [2.5, 97.5])
    return float(low), float(high)


def probability_of_improvement(tuned: Array, before: Array, *, fewer: bool) -> float:
    """How often a tuned run beats one from before, over all pairs of runs, ties counting half (Agarwal et al. 2021)."""
    difference = tuned[:, None] - before[None, :]
    wins = difference < 0 if fewer else difference > 0
    return float(np.mean(wins + 0.5 * (difference == 0)))


def _side(objective: Objective, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    scores = np.array([objective.score(outcome) for outcome in outcomes])
    if not len(scores):
        return {"outcomes": []}
    enough = len(scores) >= 3
    return {
        "median": float(np.median(scores)),
        "interquartile_mean": float(interquartile_mean(scores)) if enough else None,
        "interval": list(stratified_bootstrap_interval(scores[:, None])) if enough else None,
        "solved": sum(outcome.solved for outcome in outcomes),
        "median_steps": statistics.median(outcome.steps for outcome in outcomes),
        "median_seconds": statistics.median(outcome.training_seconds for outcome in outcomes),
        "outcomes": [outcome.to_json() for outcome in outcomes],
    }


def _words(objective: Objective, verdict: str, about: dict[str, Any]) -> str:
    says = {
        "better": "The tuned settings are better than those tuned from",
        "worse": "The tuned settings are worse than those tuned from",
        "undecided": "Whether the tuned settings are better than those tuned from cannot be said",
    }
    tuned, before = about["tuned"], about["before"]
    low, high = about["difference_interval"]
    words = (
        f"{says[verdict]}: {objective.words}, interquartile mean over {about['seeds']} held-out seeds each, "
        f"{shown_value(tuned['interquartile_mean'])} tuned and {shown_value(before['interquartile_mean'])} before; the "
        f"difference lies between {shown_value(low, '+')} and {shown_value(high, '+')} (95 %)."
    )
    other = "seconds" if objective.name == "steps" else "steps"  # what is saved in one can be paid in the other
    medians = [shown_value(side[f"median_{other}"]) for side in (tuned, before)]
    return f"{words} Median {other} of training: {medians[0]} tuned, {medians[1]} before." if objective.fewer else words


def _stem(best: Trial) -> str:
    return f"trial-{best.number:03d}-seed"


def _path(folder: Path, best: Trial, index: int) -> Path:
    """Names the files of a held-out seed."""
    return folder / "verification" / f"{_stem(best)}-{index + 1:02d}"


def _named(name: str, settings: Settings, seed: int) -> tuple[str, Settings]:
    return unused(name), dataclasses.replace(settings, seed=seed)


def _pair(path: Path, *, flipped: bool) -> tuple[Outcome, Outcome] | None:
    """What a held-out seed came to, tuned and before; None where either failed."""
    rows = [Outcome(**row) for row in read_rows(path.with_suffix(".jsonl"))]
    if len(rows) < 2:
        return None
    return (rows[1], rows[0]) if flipped else (rows[0], rows[1])


def _nothing(worker: Worker) -> None:
    """Verifications are not followed: their outcomes are all that counts."""
