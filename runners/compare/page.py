"""The page of a comparison: its tables, what its numbers mean, and the script that draws its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from keel.runners import page
from keel.runners.compare.figures import swatch
from keel.runners.compare.groups import Group
from keel.runners.compare.read import Measured
from keel.runners.compare.threshold import Reached
from keel.runners.formats import format_value


def write_page(title: str, subtitle: str, body: Sequence[str]) -> str:
    """The whole page with Plotly inside, which is 5 MB and asks for nothing from elsewhere."""
    from plotly.offline import get_plotlyjs

    assets = files("keel.runners") / "assets"
    scripts = [get_plotlyjs(), (assets / "compare.js").read_text(encoding="utf-8")]
    style = (assets / "compare.css").read_text(encoding="utf-8")
    return page.page(title, body, subtitle=subtitle, scripts=scripts, style=style)


def navigation(places: Mapping[str, str]) -> str:
    """Links to the parts of the page: from what they are called to their ids."""
    links = "".join(f'<a href="#{page.text(place)}">{page.text(name)}</a>' for name, place in places.items())
    return f"<nav>{links}</nav>"


def group_table(described: Sequence[Mapping[str, Any]], places: Mapping[str, int]) -> str:
    header = ["group", "seeds", "best evaluation", "IQM [95 %]", "last training return", "steps", "seconds", "steps/s"]
    rows = [
        [
            page.Cell(swatch(places[entry["label"]]) + page.text(entry["label"])),
            str(len(entry["seeds"])),
            _mean_and_std(entry["best_eval_return"]),
            _robust(entry["best_eval_return"]),
            _mean_and_std(entry["final_train_return"]),
            _mean(entry["steps"], "{:,.0f}"),
            _mean(entry["training_seconds"], "{:,.1f}"),
            _mean(entry["steps_per_second"], "{:,.0f}"),
        ]
        for entry in described
    ]
    return page.card(page.table(header, rows))


def threshold_table(reached: Mapping[str, Reached], places: Mapping[str, int]) -> str:
    """How many runs of each group reached the threshold, and when half of them had."""
    header = ["group", "threshold", "runs that reached it", "steps until half had", "seconds until half had"]
    rows = [
        [
            page.Cell(swatch(places[label]) + page.text(label)),
            f"{found.threshold:g}",
            f"{found.reached} of {found.runs}",
            _number(found.steps, "{:,.0f}"),
            _number(found.seconds, "{:,.1f}"),
        ]
        for label, found in reached.items()
    ]
    note = (
        '<p class="note">Time to threshold: until the first evaluation with that mean return, in training seconds; for '
        "runs that were not evaluated the smoothed return of training. A run that never gets there counts as later than "
        "all others, so there is a dash where less than half of the runs did.</p>"
    )
    return page.card(page.table(header, rows), note)


def run_table(groups: Sequence[Group], measured: Mapping[Path, Measured]) -> str:
    header = ["run", "seed", "state", "best evaluation", "last evaluation", "last training return", "steps", "seconds"]
    rows = []
    for group in groups:
        for run in group.runs:
            outcome = measured[run.path].outcome
            rows.append(
                [
                    run.name,
                    str(run.config["seed"]),
                    run.status()["state"],
                    _return(outcome.best_eval_return),
                    _return(outcome.last_eval_return),
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


def explanation() -> str:
    return (
        '<p class="note">Best evaluation is the highest of the evaluations made during training, so it is selected and '
        "somewhat too good: <code>keel evaluate RUN</code>, for AlphaZero <code>keel arena</code>, measures the best "
        "checkpoint anew. Numbers are "
        "means over seeds ± their standard deviation; from three seeds on also the interquartile mean (IQM) with its "
        "95 % interval from a stratified bootstrap. Seconds are training time without evaluation.</p>"
        "<noscript><p>The figures of this page need JavaScript; the same ones lie beside it as PNG and CSV.</p></noscript>"
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
