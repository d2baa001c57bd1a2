"""What a trial is worth: one number from what its runs came to, and how far a run has come, to stop the hopeless.

A world is solved by a run when a mean evaluation reaches the goal and a second one on other episodes confirms it
(runners/trainer.py). `steps` and `seconds` are those until then, so that fast learners win and not lucky evaluations.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from keel.runners.seed_statistics import curve

ObjectiveName: TypeAlias = Literal["steps", "seconds", "final", "best", "auc"]
OBJECTIVES: dict[ObjectiveName, str] = {
    "steps": "environment steps until the goal is reached and confirmed",
    "seconds": "seconds of training until then",
    "final": "mean of the last three evaluations",
    "best": "best evaluation",
    "auc": "mean evaluation over all steps of training",
}
TO_GOAL = ("steps", "seconds")
UNSOLVED = 10  # a run that never solves counts as this many times its budget (PAR10, Hutter et al. 2009, ParamILS)
LAST_EVALUATIONS = 3


@dataclass(frozen=True)
class Outcome:
    """What came of one run."""

    run: str
    seed: int
    solved: bool
    steps: int
    training_seconds: float
    best_return: float
    final_return: float
    """Mean of the last three evaluations."""
    mean_return: float
    """Mean over the steps of training, each evaluation holding until the next one, and the last one to the end."""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Objective:
    """What is wanted of a training of `total_steps`; `goal` is the mean return that solves the world."""

    name: ObjectiveName
    total_steps: int
    goal: float | None = None

    def __post_init__(self) -> None:
        if self.name in TO_GOAL and self.goal is None:
            raise ValueError(
                f"objective {self.name} needs the mean return that solves the world: give --goal, or another "
                "--objective (final, best, auc)"
            )

    @property
    def fewer(self) -> bool:
        """Whether less is better."""
        return self.name in TO_GOAL

    @property
    def words(self) -> str:
        return OBJECTIVES[self.name]

    def score(self, outcome: Outcome) -> float:
        """One run's worth: steps, seconds or a return."""
        match self.name:
            case "steps" | "seconds":
                used = outcome.steps if self.name == "steps" else outcome.training_seconds
                if outcome.solved:
                    return float(used)
                return UNSOLVED * float(used) * (1 + self._shortfall(outcome.best_return))
            case "final":
                return outcome.final_return
            case "best":
                return outcome.best_return
            case "auc":
                return outcome.mean_return

    def value(self, outcomes: Sequence[Outcome]) -> float:
        """The worth of settings: the mean over their runs, so that one seed in three that fails does count."""
        return statistics.fmean(self.score(outcome) for outcome in outcomes)

    def better(self, one: float, other: float) -> bool:
        return one < other if self.fewer else one > other

    def progress(self, run: int, best_return: float) -> float:
        """How far a trial has come in its run number `run` (from 0), in the direction of the objective.

        A number that a run's best evaluation so far can only improve, and a later run's is beyond every earlier
        one's: so trials are compared at equal steps of equal runs. An infinite return stands for solved.
        """
        squashed = 0.5 + 0.5 * (math.copysign(1, best_return) if math.isinf(best_return) else _squashed(best_return))
        return -(run + squashed) if self.fewer else run + squashed

    def _shortfall(self, best_return: float) -> float:
        """How far a return lies below the goal, in [0, 1)."""
        assert self.goal is not None
        return max(0.0, _squashed((self.goal - best_return) / max(1.0, abs(self.goal))))


def _squashed(value: float) -> float:
    """Into (-1, 1), in the same order."""
    return value / (1 + abs(value))


def outcome_of(
    run: str, seed: int, *, solved: bool, steps: int, seconds: float, rows: Sequence[Mapping[str, Any]], budget: int
) -> Outcome:
    """One run in numbers, from the rows of its metrics.jsonl.

    Raises:
        ValueError: it holds no finite evaluation.
    """
    at, values = curve(rows, "eval/return")
    if not len(values):
        raise ValueError(f"{run} holds no finite eval/return: nothing says what it is worth")
    begins = [0.0, *at[1:].tolist()]
    ends = [*at[1:].tolist(), float(max(budget, at[-1]))]
    area = sum(value * (end - begin) for value, begin, end in zip(values.tolist(), begins, ends, strict=True))
    return Outcome(
        run=run,
        seed=seed,
        solved=solved,
        steps=steps,
        training_seconds=seconds,
        best_return=float(values.max()),
        final_return=float(values[-LAST_EVALUATIONS:].mean()),
        mean_return=area / ends[-1],
    )
