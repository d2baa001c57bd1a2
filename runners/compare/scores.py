"""Who is better, and how sure that is: interquartile means, performance profiles, probabilities of improvement.

As in Agarwal et al. 2021: a run is one score, several worlds count together once their scores are on one scale, and
every number has its interval from runs drawn again within each world.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from keel.envs.protocol import Array
from keel.runners.compare.figures import DotFigure, Figure, LineFigure, Series
from keel.runners.compare.groups import Group
from keel.runners.compare.read import Measured
from keel.runners.seed_statistics import (
    Band,
    Estimate,
    Scores,
    bootstrap_interval,
    draw_runs,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
)

Score = Literal["best", "last"]
SCORES: dict[Score, tuple[str, str]] = {
    "best": ("best_eval_return", "best evaluation of a run"),
    "last": ("last_eval_return", "last evaluation of a run"),
}
_TRAINING = ("final_train_return", "last training return of a run")
LEAST_RUNS = 3  # of a group in each world: fewer say nothing about how sure a number is
_MOST_PAIRS = 15  # in a figure


@dataclass(frozen=True)
class Contest:
    """Groups judged in the same worlds.

    Args:
        scores: by label, in each world of `worlds`. places: by label, in the palette. meaning: what a score is.
    """

    name: str
    stem: str
    meaning: str
    worlds: Sequence[str]
    scores: Mapping[str, Scores]
    places: Mapping[str, int]

    def ranking(self) -> list[str]:
        """Labels by their interquartile mean, the best first."""
        return sorted(self.scores, key=lambda label: -float(interquartile_mean(np.concatenate(self.scores[label]))))


def world_contest(
    env: str,
    groups: Sequence[Group],
    measured: Mapping[Path, Measured],
    score: Score,
    places: Mapping[str, int],
    stem: str,
) -> Contest:
    """The groups of one world with at least three runs that have the score.

    Where no run was ever evaluated, what counts is the last training return.
    """
    outcomes = {group.label: [measured[run.path].outcome for run in group.runs] for group in groups}
    field, meaning = SCORES[score]
    if all(getattr(outcome, field) is None for own in outcomes.values() for outcome in own):
        field, meaning = _TRAINING
    scores = {
        label: np.array([value for outcome in own if (value := getattr(outcome, field)) is not None])
        for label, own in outcomes.items()
    }
    enough = {label: [values] for label, values in scores.items() if len(values) >= LEAST_RUNS}
    return Contest(env, stem, meaning, [env], enough, places)


def joint_contest(contests: Sequence[Contest]) -> Contest | None:
    """The groups that met in the same two or more worlds, each world's scores between its lowest, 0, and highest, 1.

    Of all sets of worlds that two or more groups have in common, the one with the most groups times worlds is taken;
    None where there is none.
    """
    worlds = {
        label: frozenset(contest.name for contest in contests if label in contest.scores)
        for label in dict.fromkeys(label for contest in contests for label in contest.scores)
    }

    def members(shared: frozenset[str]) -> list[str]:
        return [label for label, own in worlds.items() if shared <= own]

    candidates = {first & second for first, second in itertools.combinations(worlds.values(), 2)}
    candidates = {shared for shared in candidates if len(shared) >= 2}
    if not candidates:
        return None
    shared = max(sorted(candidates, key=sorted), key=lambda shared: len(shared) * len(members(shared)))
    chosen = [contest for contest in contests if contest.name in shared]
    labels = members(shared)
    ends = [_ends([contest.scores[label][0] for label in labels]) for contest in chosen]
    scores = {
        label: [_normalised(contest.scores[label][0], *end) for contest, end in zip(chosen, ends, strict=True)]
        for label in labels
    }
    names = [contest.name for contest in chosen]
    meaning = f"normalised score ({', '.join(dict.fromkeys(contest.meaning for contest in chosen))})"
    return Contest(f"{len(names)} worlds together", "all-worlds", meaning, names, scores, chosen[0].places)


def _ends(scores: Scores) -> tuple[float, float]:
    together = np.concatenate(scores)
    return float(together.min()), float(together.max())


def _normalised(scores: Array, lowest: float, highest: float) -> Array:
    """0 for the lowest run of the world and 1 for its highest; 1 for all where they are alike."""
    return (scores - lowest) / (highest - lowest) if highest > lowest else np.ones_like(scores)


def describe_contest(contest: Contest) -> dict[str, Any]:
    """The numbers of a contest, for JSON; groups by their rank."""
    numbers = {label: _robust_mean(contest.scores[label]) for label in contest.ranking()}
    return {
        "name": contest.name,
        "worlds": list(contest.worlds),
        "score": contest.meaning,
        "groups": [
            {
                "label": label,
                "runs": sum(len(task) for task in contest.scores[label]),
                "interquartile_mean": number.value,
                "interval": [number.low, number.high],
            }
            for label, number in numbers.items()
        ],
        "improvement": [
            {"label": better, "over": other, "probability": number.value, "interval": [number.low, number.high]}
            for (better, other), number in improvements(contest).items()
        ],
    }


def improvements(contest: Contest) -> dict[tuple[str, str], Estimate]:
    """How probable it is that a run of the first does better than one of the second, for every pair of the ranking."""
    draws = {label: draw_runs(scores, seed) for seed, (label, scores) in enumerate(contest.scores.items())}
    return {
        (first, second): probability_of_improvement(
            contest.scores[first], contest.scores[second], draws[first], draws[second]
        )
        for first, second in itertools.combinations(contest.ranking(), 2)
    }


def score_figures(contest: Contest) -> list[Figure]:
    """Interquartile means, from two groups on probabilities of improvement, and performance profiles."""
    if not contest.scores:
        return []
    pairs = [_improvement(contest)] if len(contest.scores) > 1 else []
    return [_means(contest), *pairs, _profiles(contest)]


def _robust_mean(scores: Scores) -> Estimate:
    value = float(interquartile_mean(np.concatenate(scores)))
    return Estimate(value, *bootstrap_interval(scores, draw_runs(scores)))


def _means(contest: Contest) -> DotFigure:
    rows = [(label, contest.places[label], _robust_mean(contest.scores[label])) for label in contest.ranking()]
    caption = (
        "Interquartile mean (IQM: of the middle half of all runs) with its 95 % interval from a stratified bootstrap. "
        f"A score is the {contest.meaning}."
    )
    if len(contest.worlds) > 1:
        caption += _scale(contest)
    return DotFigure(f"{contest.stem}-iqm", contest.name, "interquartile mean", contest.meaning, rows, caption)


def _profiles(contest: Contest) -> LineFigure:
    every = np.concatenate([task for scores in contest.scores.values() for task in scores])
    low, high = float(every.min()), float(every.max())
    margin = 0.02 * (high - low) or max(1.0, 0.02 * abs(high))
    thresholds = np.concatenate([[low - margin], np.unique(every), [high + margin]])  # a profile falls only at scores
    series = []
    for label, scores in contest.scores.items():
        profile = performance_profile(scores, thresholds, draw_runs(scores))
        share, least, most = (np.repeat(line, 2)[:-1] for line in profile)  # stairs
        meaning = "share of runs, band of 95 % (bootstrap over seeds)"
        band = Band(np.repeat(thresholds, 2)[1:], share, least, most, meaning)
        runs = sum(len(task) for task in scores)
        series.append(Series(label, contest.places[label], {"score": [band]}, note=f"{runs} runs"))
    caption = (
        "Performance profile: the share of runs that score more than the value below it. Where one line lies above "
        "another everywhere, its runs are better at every level. Bands of 95 % at each value by itself."
    )
    return LineFigure(
        f"{contest.stem}-profile",
        contest.name,
        "performance profile",
        "share of runs above",
        {"score": contest.meaning},
        series,
        caption,
        x_name="score",
        y_range=(-0.02, 1.02),
    )


def _improvement(contest: Contest) -> DotFigure:
    pairs = improvements(contest)
    caption = (
        "How probable it is that a run of the first scores more than a run of the second (ties count half), with its "
        "95 % interval. An interval that holds 0.5 leaves open who is better."
    )
    if len(contest.worlds) > 1:
        caption += " A mean over the worlds."
    if len(pairs) > _MOST_PAIRS:
        best = contest.ranking()[0]
        pairs = {pair: number for pair, number in pairs.items() if pair[0] == best}
        caption += f" Of all pairs those of the best group, {best}."
    rows = [(f"{first} > {second}", contest.places[first], number) for (first, second), number in pairs.items()]
    title = "probability of improvement"
    stem, ends = f"{contest.stem}-improvement", (-0.02, 1.02)
    return DotFigure(stem, contest.name, title, "probability", rows, caption, middle=0.5, x_range=ends)


def _scale(contest: Contest) -> str:
    return (
        f" In each world ({', '.join(contest.worlds)}) 0 is the lowest score of the runs compared here and 1 the "
        "highest, so other runs beside them change the scale."
    )
