"""Runs side by side: curves with bands over seeds, who is better, what it cost, as one page and as data."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keel.envs.errors import KeelError
from keel.runners import page
from keel.runners.compare import films as compare_films
from keel.runners.compare.cost import cost_card
from keel.runners.compare.curves import METRICS, curve_figure
from keel.runners.compare.figures import Figure, card, save
from keel.runners.compare.groups import Group, group_runs
from keel.runners.compare.page import explanation, group_table, navigation, run_table, threshold_table, write_page
from keel.runners.compare.read import MEASURED, Measured, Outcome, read_runs
from keel.runners.compare.scores import Contest, Score, describe_contest, joint_contest, score_figures, world_contest
from keel.runners.compare.threshold import Reached, read_thresholds, threshold_figure, time_to_threshold
from keel.runners.files import write_text
from keel.runners.run import Run
from keel.runners.seed_statistics import summary

__all__ = ["Group", "compare_runs", "group_runs"]

_log = logging.getLogger("keel")


def compare_runs(
    runs: Sequence[Run],
    output: Path,
    *,
    thresholds: Sequence[str] = (),
    score: Score = "best",
    leave_out: bool = False,
    jobs: int = 1,
) -> dict[str, Any]:
    """Write compare.html, and a PNG and a CSV of each figure, into `output`.

    Runs of one environment, agent and settings are seeds of one group. Different environments get figures of their own,
    and where two or more groups of the same name share two or more of them, figures over all these together.

    Args:
        thresholds: VALUE or WORLD=VALUE, the returns that are good enough; by default what a world says of itself.
        score: which evaluation a run is judged by. leave_out: runs without a return are left out with a warning.
        jobs: processes that read, where there is much to read; with more than one, a script that calls this needs
            `if __name__ == "__main__"`.

    Returns: `page`, `figures`, `data` (paths), `left_out` (names) and `groups`: for each its label, environment, seeds,
    what sets it apart, the summary over seeds of every number of an `Outcome`, how its energy is known, and
    `time_to_threshold`; `contests`: for each world with groups of three or more runs, and for worlds together, the
    interquartile means and the probabilities of improvement.

    Raises:
        KeelError: no runs, or a run that has not measured any return yet.
        ValueError: a threshold that is no number, or of another world.
    """
    if not runs:
        raise KeelError("compare needs at least one run, got none")
    unique = list({run.path.resolve(): run for run in runs}.values())
    levels = read_thresholds(thresholds, list(dict.fromkeys(run.config["env"] for run in unique)))
    measured = read_runs(unique, jobs)
    left_out = [run for run in unique if not _has_measured(measured[run.path])]
    if left_out and (not leave_out or len(left_out) == len(unique)):
        raise KeelError(_unmeasured(left_out[0], measured))
    for run in left_out:
        _log.warning("left out a run: %s", _unmeasured(run, measured))
    groups = group_runs([run for run in unique if run not in left_out])
    comparison = Comparison(groups, measured, score, output)
    output.mkdir(parents=True, exist_ok=True)
    described = [_describe(group, measured, levels.get(group.env)) for group in groups]
    comparison.write(described, levels, len(unique) - len(left_out))
    return {
        "page": str(output / "compare.html"),
        "figures": [str(picture) for picture, _ in comparison.files],
        "data": [str(table) for _, table in comparison.files],
        "left_out": [run.name for run in left_out],
        "groups": described,
        "contests": [describe_contest(contest) for contest in comparison.contests if contest.scores],
    }


def _has_measured(measured: Measured) -> bool:
    return any(metric in measured.curves for metric in MEASURED)


def _unmeasured(run: Run, measured: Mapping[Path, Measured]) -> str:
    return (
        f"run {run.name} holds no {' or '.join(MEASURED)} yet ({measured[run.path].rows} rows in metrics.jsonl): "
        "leave it out, or let it train until an episode has ended"
    )


def _describe(group: Group, measured: Mapping[Path, Measured], threshold: float | None) -> dict[str, Any]:
    described: dict[str, Any] = {
        "label": group.label,
        "env": group.env,
        "agent": group.runs[0].config["agent"],
        "seeds": [run.config["seed"] for run in group.runs],
        "runs": [run.name for run in group.runs],
        "differs": group.differs,
    }
    own = [measured[run.path] for run in group.runs]
    for field in Outcome.__dataclass_fields__:
        values = [value for run in own if (value := getattr(run.outcome, field)) is not None]
        described[field] = summary(values) if values else None
    methods = dict.fromkeys(run.cost.energy_method for run in own if run.outcome.energy_kwh is not None)
    described["energy_methods"] = list(methods)
    reached = None if threshold is None else time_to_threshold(group, measured, threshold)
    described["time_to_threshold"] = reached and reached._asdict()
    return described


class Comparison:
    """Groups on their way into a page. `files` collects the PNG and the CSV of each figure."""

    def __init__(self, groups: Sequence[Group], measured: Mapping[Path, Measured], score: Score, output: Path) -> None:
        self.groups, self.measured, self.output = groups, measured, output
        self.score: Score = score
        self.envs = list(dict.fromkeys(group.env for group in groups))
        self.stems = _stems(self.envs)
        # A label keeps its colour from figure to figure and from world to world.
        self.places = {label: place for place, label in enumerate(dict.fromkeys(group.label for group in groups))}
        self.films = compare_films.Budget(compare_films.MOST_EMBEDDED_BYTES)
        self.files: list[tuple[Path, Path]] = []
        self.contests: list[Contest] = []

    def write(self, described: Sequence[Mapping[str, Any]], thresholds: Mapping[str, float], runs: int) -> None:
        """Write the page and all figures."""
        parts = {}
        for env in self.envs:
            entries = [entry for entry in described if entry["env"] == env]
            parts[env] = self._world(env, entries, thresholds.get(env))
        together = self._together()
        body = []
        if len(self.envs) > 1:
            first = {"All worlds together": "all-worlds"} if together else {}
            body.append(navigation(first | {env: self.stems[env] for env in self.envs}))
        body += together
        for env, part in parts.items():
            body += [f'<h2 id="{page.text(self.stems[env])}">{page.text(env)}</h2>', *part]
        body.append(explanation())
        count = f"{runs} run{'s' * (runs != 1)} in {len(self.groups)} group{'s' * (len(self.groups) != 1)}"
        write_text(self.output / "compare.html", write_page("Runs compared", count, body))

    def _world(self, env: str, described: Sequence[Mapping[str, Any]], threshold: float | None) -> list[str]:
        """The parts of the page on one world."""
        groups = [group for group in self.groups if group.env == env]
        measured, places, stem = self.measured, self.places, self.stems[env]
        curves = [curve_figure(env, groups, measured, metric, places, stem) for metric in METRICS]
        body = [self._figure(figure) for figure in curves if figure is not None]
        body.append(group_table(described, places))
        contest = world_contest(env, groups, measured, self.score, places, stem)
        self.contests.append(contest)
        body += self._scores(contest)
        if threshold is not None:
            reached = {entry["label"]: Reached(**entry["time_to_threshold"]) for entry in described}
            figure = threshold_figure(env, groups, measured, threshold, places, stem)
            body += [] if figure is None else [self._figure(figure)]
            body.append(threshold_table(reached, places))
        body.append(compare_films.films_card(groups, measured, self.score, places, self.output, self.films))
        body += [cost_card(groups, measured, places), run_table(groups, measured)]
        return body

    def _together(self) -> list[str]:
        """The parts on all worlds that groups have in common; none where they have not."""
        contest = joint_contest(self.contests)
        if contest is None:
            return []
        self.contests.append(contest)
        return ['<h2 id="all-worlds">All worlds together</h2>', *self._scores(contest)]

    def _scores(self, contest: Contest) -> list[str]:
        cards = [self._figure(figure) for figure in score_figures(contest)]
        return [f'<div class="pair">{"".join(cards[:2])}</div>', *cards[2:]] if len(cards) > 1 else cards

    def _figure(self, figure: Figure) -> str:
        self.files.append(save(figure, self.output))
        return card(figure)


def _stems(envs: Sequence[str]) -> dict[str, str]:
    """What the files of each world begin with: its id in letters that a file's name can have, and no two alike."""
    stems: dict[str, str] = {}
    for env in envs:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", env)
        while stem in (*stems.values(), "all-worlds"):  # the figures over all worlds are called so
            stem += "-2"
        stems[env] = stem
    return stems
