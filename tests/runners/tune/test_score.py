"""What trials are worth, by numbers made by hand."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from keel.runners.tune.score import Objective, Outcome, outcome_of

SOLVED = Outcome("a", 1, True, 12_000, 3.0, 480.0, 470.0, 300.0)
UNSOLVED = dataclasses.replace(SOLVED, solved=False, steps=50_000, training_seconds=9.0, best_return=237.5)


def rows(*points: tuple[int, float]) -> list[dict[str, Any]]:
    between = {"global_step": 1, "train/episode_return": 9.0}  # a row without an evaluation
    return [between, *({"global_step": step, "eval/return": value} for step, value in points)]


def test_a_run_in_numbers() -> None:
    measured = rows((10, 1.0), (20, 3.0), (40, 8.0), (50, 4.0))
    outcome = outcome_of("r", 7, solved=False, steps=60, seconds=2.5, rows=measured, budget=60)
    assert (outcome.run, outcome.seed, outcome.steps, outcome.training_seconds) == ("r", 7, 60, 2.5)
    assert outcome.best_return == 8.0
    assert outcome.final_return == 5.0  # (3 + 8 + 4) / 3
    assert outcome.mean_return == pytest.approx((20 * 1 + 20 * 3 + 10 * 8 + 10 * 4) / 60)


def test_the_last_evaluation_holds_to_the_end_of_the_budget() -> None:
    outcome = outcome_of("r", 0, solved=True, steps=20, seconds=1.0, rows=rows((10, 0.0), (20, 6.0)), budget=80)
    assert outcome.mean_return == pytest.approx(60 * 6 / 80)


@pytest.mark.parametrize("points", [[], [(10, math.nan)]])
def test_a_run_that_measured_nothing_is_worth_nothing(points: list[tuple[int, float]]) -> None:
    with pytest.raises(ValueError, match="no finite eval/return"):
        outcome_of("r", 0, solved=False, steps=20, seconds=1.0, rows=rows(*points), budget=80)


def test_scores() -> None:
    assert Objective("steps", 50_000, 475.0).score(SOLVED) == 12_000
    assert Objective("seconds", 50_000, 475.0).score(SOLVED) == 3.0
    assert Objective("final", 50_000).score(SOLVED) == 470.0
    assert Objective("best", 50_000).score(SOLVED) == 480.0
    assert Objective("auc", 50_000).score(SOLVED) == 300.0


def test_a_run_that_never_solves_is_worth_ten_budgets_and_more_the_more_it_fell_short() -> None:
    objective = Objective("steps", 50_000, 475.0)
    # It reached half of the goal: a shortfall of 1/2, squashed to (1/2) / (3/2) = 1/3.
    assert objective.score(UNSOLVED) == pytest.approx(10 * 50_000 * (1 + 1 / 3))
    assert Objective("seconds", 50_000, 475.0).score(UNSOLVED) == pytest.approx(10 * 9.0 * (1 + 1 / 3))
    worse = dataclasses.replace(UNSOLVED, best_return=10.0)
    unconfirmed = dataclasses.replace(UNSOLVED, best_return=490.0)
    assert objective.score(worse) > objective.score(UNSOLVED) > objective.score(unconfirmed) == 500_000


def test_goals_below_zero_order_as_well() -> None:
    objective = Objective("steps", 1_000, -100.0)
    near = dataclasses.replace(UNSOLVED, steps=1_000, best_return=-120.0)
    far = dataclasses.replace(near, best_return=-500.0)
    assert 10_000 < objective.score(near) < objective.score(far) < 20_000


def test_one_seed_that_fails_counts() -> None:
    objective = Objective("steps", 50_000, 475.0)
    assert objective.value([SOLVED, SOLVED]) == 12_000
    assert objective.value([SOLVED, UNSOLVED]) == pytest.approx((12_000 + 10 * 50_000 * 4 / 3) / 2)


def test_better_follows_the_objective() -> None:
    assert Objective("steps", 1, 1.0).better(1, 2)
    assert Objective("final", 1).better(2, 1)


@pytest.mark.parametrize("name", ["steps", "seconds"])
def test_without_a_goal_nothing_can_be_solved(name: Any) -> None:
    with pytest.raises(ValueError, match="--goal"):
        Objective(name, 1_000)


@pytest.mark.parametrize("objective", [Objective("steps", 1, 1.0), Objective("final", 1)])
def test_progress_only_improves_and_a_later_run_is_beyond_an_earlier_one(objective: Objective) -> None:
    returns = [-math.inf, -1e4, -1.0, 0.0, 0.5, 200.0, 201.0, 1e4, math.inf]
    line = [objective.progress(run, value) for run in (0, 1, 2) for value in returns]
    expected = sorted(set(line), reverse=objective.fewer)
    assert list(dict.fromkeys(line)) == expected
    assert len(expected) == 3 * len(returns) - 2  # the end of a run is the beginning of the next
