"""Runs side by side: curves with bands over seeds, a table, what their settings differ in, as one page and as data."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keel.envs.errors import KeelError
from keel.runners import figures, page
from keel.runners.files import write_text
from keel.runners.formats import format_value
from keel.runners.run import Run
from keel.runners.seed_statistics import Band, Curve, band, curve, smoothed, summary

METRICS = {
    "eval/return": ("evaluation", "return of greedy evaluation"),
    "train/episode_return": ("training", "return of training episodes"),
}
_SAME_FOR_ALL = {"format", "name", "seed", "env", "agent"}  # what a group's settings are not
_BOOKKEEPING = {"training.video", "training.track", "training.checkpoint_every"}  # what no result depends on
_MOST_SETTINGS_IN_LABEL = 3


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seed. `differs` holds the settings that set it apart from its neighbours."""

    env: str
    label: str
    differs: dict[str, Any]
    runs: list[Run]


@dataclass(frozen=True)
class Outcome:
    """One run in numbers; None where it did not measure."""

    steps: int
    best_eval_return: float | None
    final_train_return: float | None
    training_seconds: float | None
    steps_per_second: float | None


def compare_runs(runs: Sequence[Run], output: Path) -> dict[str, Any]:
    """Write compare.html, and a PNG and a CSV of each figure, into `output`.

    Runs of one environment, agent and settings are seeds of one group. Different environments get figures of their own.

    Returns: `page`, `figures`, `data` (paths) and `groups`: for each its label, environment, seeds, what sets it apart
    and the summary over seeds of best_eval_return, final_train_return, steps, training_seconds, steps_per_second.

    Raises:
        KeelError: no runs, or a run that has not measured any return yet.
    """
    if not runs:
        raise KeelError("compare needs at least one run, got none")
    unique = list({run.path.resolve(): run for run in runs}.values())
    rows = {run.path: run.metrics() for run in unique}
    for run in unique:
        _check_measured(run, rows[run.path])
    groups = group_runs(unique)
    outcomes = {run.path: _outcome(run, rows[run.path]) for run in unique}
    described = [_describe(group, outcomes) for group in groups]

    output.mkdir(parents=True, exist_ok=True)
    body, pictures, tables = [], [], []
    for env in dict.fromkeys(group.env for group in groups):
        here = [group for group in groups if group.env == env]
        body.append(f"<h2>{page.text(env)}</h2>")
        for metric in METRICS:
            lines = _lines(here, rows, metric)
            if lines:
                stem = f"{_file_name(env)}-{METRICS[metric][0]}"
                body.append(_figure_card(env, metric, lines, stem))
                pictures.append(figures.save_png(_draw(env, metric, lines), output / f"{stem}.png"))
                tables.append(_write_csv(lines, output / f"{stem}.csv"))
        body.append(_group_table([entry for entry in described if entry["env"] == env]))
        body.append(_run_table(here, outcomes))
    body.append(_explanation())
    seeds = f"{len(unique)} run{'s' * (len(unique) != 1)} in {len(groups)} group{'s' * (len(groups) != 1)}"
    write_text(output / "compare.html", page.page("Runs compared", body, subtitle=seeds))
    return {
        "page": str(output / "compare.html"),
        "figures": [str(path) for path in pictures],
        "data": [str(path) for path in tables],
        "groups": described,
    }


def _check_measured(run: Run, rows: Sequence[Mapping[str, Any]]) -> None:
    if not any(len(curve(rows, metric)[0]) for metric in METRICS):
        raise KeelError(
            f"run {run.name} holds no {' or '.join(METRICS)} yet ({len(rows)} rows in metrics.jsonl): "
            "leave it out, or let it train until an episode has ended"
        )


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Runs by environment, agent and settings without the seed, in the order of their first run.

    A label names the agent and the settings in which groups of the same environment and agent differ.
    """
    families: dict[tuple[str, str], dict[str, list[Run]]] = {}
    for run in runs:
        family = families.setdefault((run.config["env"], run.config["agent"]), {})
        family.setdefault(json.dumps(_settings(run), sort_keys=True), []).append(run)
    return [
        group
        for (env, agent), family in families.items()
        for group in _groups_of_family(env, agent, list(family.values()))
    ]


def _groups_of_family(env: str, agent: str, members: Sequence[list[Run]]) -> list[Group]:
    settings = [_settings(runs[0]) for runs in members]
    differing = [_differing(own, settings) for own in settings]
    labels = [_label(agent, differs, _MOST_SETTINGS_IN_LABEL) for differs in differing]
    if len(set(labels)) < len(labels):
        labels = [_label(agent, differs, len(differs)) for differs in differing]
    return [
        Group(env, label, differs, sorted(runs, key=lambda run: run.config["seed"]))
        for label, differs, runs in zip(labels, differing, members, strict=True)
    ]


def _differing(own: Mapping[str, Any], rivals: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The settings that are not the same in all `rivals`, as they are in `own`; kinds first, they say most."""
    missing = object()
    names = sorted({name for rival in rivals for name in rival}, key=lambda name: (not name.endswith(".kind"), name))
    return {
        name: own.get(name)
        for name in names
        if any(rival.get(name, missing) != own.get(name, missing) for rival in rivals)
    }


def _settings(run: Run) -> dict[str, Any]:
    """The settings of a run without its seed and its bookkeeping, flat: `hyperparameters.learning_rate` and so on."""
    flat = _flat({name: value for name, value in run.config.items() if name not in _SAME_FOR_ALL})
    return {name: value for name, value in flat.items() if name not in _BOOKKEEPING}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _label(agent: str, differs: Mapping[str, Any], most: int) -> str:
    words = {name: name.rpartition(".")[2] for name in differs}
    parts = [
        page.show(value) if words[name] == "kind" else f"{words[name]} {page.show(value)}"
        for name, value in differs.items()
    ]
    shown = parts[:most]
    more = [f"{len(parts) - len(shown)} more"] if len(parts) > len(shown) else []
    return ", ".join([agent, *shown, *more])


def _outcome(run: Run, rows: Sequence[Mapping[str, Any]]) -> Outcome:
    _, evaluations = curve(rows, "eval/return")
    _, training = curve(rows, "train/episode_return")
    steps = max((row["global_step"] for row in rows), default=0)
    timing = run.timing()
    seconds = timing[-1].get("training_seconds") if timing else None
    return Outcome(
        steps=int(steps),
        best_eval_return=float(evaluations.max()) if len(evaluations) else None,
        final_train_return=float(training[-1]) if len(training) else None,
        training_seconds=seconds,
        steps_per_second=timing[-1]["global_step"] / seconds if seconds else None,
    )


def _describe(group: Group, outcomes: Mapping[Path, Outcome]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "label": group.label,
        "env": group.env,
        "agent": group.runs[0].config["agent"],
        "seeds": [run.config["seed"] for run in group.runs],
        "runs": [run.name for run in group.runs],
        "differs": group.differs,
    }
    for field in Outcome.__dataclass_fields__:
        values = [value for run in group.runs if (value := getattr(outcomes[run.path], field)) is not None]
        described[field] = summary(values) if values else None
    return described


def _lines(groups: Sequence[Group], rows: Mapping[Path, Sequence[Mapping[str, Any]]], metric: str) -> list[_GroupLine]:
    """A line for each group that measured; only runs that did count as its seeds."""
    lines = []
    for place, group in enumerate(groups):
        measured = {run.name: curve(rows[run.path], metric) for run in group.runs}
        measured = {name: points for name, points in measured.items() if len(points[0])}
        if measured:
            smooth = metric.startswith("train/")
            curves = [(steps, smoothed(values) if smooth else values) for steps, values in measured.values()]
            lines.append(_GroupLine(group.label, place, band(curves), curves, measured))
    return lines


@dataclass(frozen=True)
class _GroupLine:
    label: str
    place: int  # among the groups of the environment: a group keeps its colour from figure to figure and in the table
    band: Band
    curves: list[Curve]  # of its runs, smoothed where they are noisy
    runs: dict[str, Curve]  # by the run's name, as measured

    def drawn(self) -> figures.Line:
        center = (self.band.steps, self.band.center)
        if len(self.runs) == 1:
            return figures.Line(f"{self.label} (1 seed)", center, thin=list(self.runs.values()), place=self.place)
        label = f"{self.label} ({len(self.runs)} seeds)"
        return figures.Line(label, center, (self.band.low, self.band.high), self.curves, place=self.place)


def _draw(env: str, metric: str, lines: Sequence[_GroupLine], width_inches: float = figures.WIDE_INCHES) -> Any:
    title = f"{env}: {METRICS[metric][1]}" if width_inches > 5 else METRICS[metric][1]
    return figures.learning_curve([line.drawn() for line in lines], title=title, width_inches=width_inches)


def _figure_card(env: str, metric: str, lines: Sequence[_GroupLine], stem: str) -> str:
    svg = figures.inline_svg(
        lambda width: _draw(env, metric, lines, width),
        name=stem,
        description=f"{METRICS[metric][1]} on {env} over environment steps: {', '.join(line.label for line in lines)}",
    )
    return page.card(svg, f'<p class="note">{page.text(_caption(metric, lines))}</p>')


def _caption(metric: str, lines: Sequence[_GroupLine]) -> str:
    sentences = [f"Line: {'; '.join(dict.fromkeys(line.band.meaning for line in lines))}."]
    if metric.startswith("train/"):
        sentences.append("Runs are smoothed by a centred moving average.")
    if any(len(line.runs) > 1 for line in lines):
        sentences.append("Thin lines are single runs.")
    return " ".join(sentences)


def _write_csv(lines: Sequence[_GroupLine], path: Path) -> Path:
    """The figure's numbers: for each group the line with its band, then each run's own points."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["group", "series", "global_step", "value", "low", "high"])
    for line in lines:
        points = zip(line.band.steps, line.band.center, line.band.low, line.band.high, strict=True)
        table.writerows(
            [line.label, line.band.meaning, int(step), float(value), float(low), float(high)]
            for step, value, low, high in points
        )
        for name, (steps, values) in line.runs.items():
            table.writerows(
                [line.label, name, int(step), float(value), "", ""] for step, value in zip(steps, values, strict=True)
            )
    write_text(path, text.getvalue())
    return path


def _group_table(described: Sequence[Mapping[str, Any]]) -> str:
    header = ["group", "seeds", "best evaluation", "IQM [95 %]", "last training return", "steps", "seconds", "steps/s"]
    rows = []
    for index, entry in enumerate(described):
        colour = index % len(figures.PALETTE) + 1
        swatch = f'<span class="swatch" style="background: var(--series-{colour})"></span>'
        rows.append(
            [
                page.Cell(swatch + page.text(entry["label"])),
                str(len(entry["seeds"])),
                _mean_and_std(entry["best_eval_return"]),
                _robust(entry["best_eval_return"]),
                _mean_and_std(entry["final_train_return"]),
                _mean(entry["steps"], "{:,.0f}"),
                _mean(entry["training_seconds"], "{:,.1f}"),
                _mean(entry["steps_per_second"], "{:,.0f}"),
            ]
        )
    return page.card(page.table(header, rows))


def _run_table(groups: Sequence[Group], outcomes: Mapping[Path, Outcome]) -> str:
    header = ["run", "seed", "state", "best evaluation", "last training return", "steps", "seconds"]
    rows = []
    for group in groups:
        for run in group.runs:
            outcome = outcomes[run.path]
            rows.append(
                [
                    run.name,
                    str(run.config["seed"]),
                    run.status()["state"],
                    _return(outcome.best_eval_return),
                    _return(outcome.final_train_return),
                    f"{outcome.steps:,}",
                    _number(outcome.training_seconds, "{:,.1f}"),
                ]
            )
    return page.card(f"<details><summary>Every run</summary>{page.table(header, rows)}</details>", _differences(groups))


def _differences(groups: Sequence[Group]) -> str:
    """Settings against groups, for the settings that are not the same in all groups of an agent."""
    names = list(dict.fromkeys(name for group in groups for name in group.differs))
    if not names:
        return ""
    rows = [
        [name, *(page.show(group.differs[name]) if name in group.differs else "–" for group in groups)]
        for name in names
    ]
    table = page.table(["setting", *(group.label for group in groups)], rows)
    return f"<details open><summary>Settings that differ</summary>{table}</details>"


def _explanation() -> str:
    return (
        '<p class="note">Best evaluation is the highest of the evaluations made during training, so it is selected and '
        "somewhat too good: <code>keel evaluate RUN</code>, for AlphaZero <code>keel arena</code>, measures the best "
        "checkpoint anew. Numbers are "
        "means over seeds ± their standard deviation; from three seeds on also the interquartile mean (IQM) with its "
        "95 % interval from a stratified bootstrap. Seconds are training time without evaluation.</p>"
    )


def _number(value: float | None, pattern: str) -> str:
    return "–" if value is None else pattern.format(value)


def _return(value: float | None) -> str:
    return "–" if value is None else format_value(value)


def _mean(values: Mapping[str, Any] | None, pattern: str) -> str:
    return "–" if values is None else pattern.format(values["mean"])


def _mean_and_std(values: Mapping[str, Any] | None) -> str:
    if values is None:
        return "–"
    return format_value(values["mean"]) + (f" ± {format_value(values['std'])}" if values["std"] is not None else "")


def _robust(values: Mapping[str, Any] | None) -> str:
    if values is None or values["interval"] is None:
        return "–"
    low, high = values["interval"]
    return f"{format_value(values['interquartile_mean'])} [{format_value(low)}, {format_value(high)}]"


def _file_name(env: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", env)
