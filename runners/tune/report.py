"""What a study leaves: study.json, best.json for `keel train --config`, a page, and its figures as PNG."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keel.runners import figures, page
from keel.runners.console import format_seconds
from keel.runners.files import write_json, write_text
from keel.runners.tune import figures as tune_figures
from keel.runners.tune.console import shown_setting, shown_value, shown_worth
from keel.runners.tune.plan import Plan
from keel.runners.tune.space import Values, value_of, with_values
from keel.runners.tune.study import Study, Trial
from keel.runners.tune.verify import Verification, judged

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENOUGH_FOR_SLICES = 2


@dataclass(frozen=True)
class Report:
    """All that is known of a study."""

    plan: Plan
    folder: Path
    trials: list[Trial]
    best: Trial | None
    shares: dict[str, float]
    method: str
    verification: Verification | None

    @property
    def judgement(self) -> dict[str, Any] | None:
        return None if self.verification is None else judged(self.plan.objective, self.verification)


def write_report(study: Study, folder: Path, verification: Verification | None = None) -> dict[str, Any]:
    """Write everything; returns what study.json holds, with the paths of the rest."""
    shares, method = study.importances()
    report = Report(study.plan, folder, study.trials(), study.best(), shares, method, verification)
    document = study_json(report)
    write_json(folder / "study.json", document)
    if report.best is not None:
        write_json(folder / "best.json", with_values(study.plan.settings, report.best.values).to_json())
    pictures = drawings(report)
    for stem, draw in pictures.items():
        figures.save_png(draw(figures.WIDE_INCHES), folder / f"{stem}.png")
    write_text(folder / "study.html", study_page(report, pictures))
    return document


def study_json(report: Report) -> dict[str, Any]:
    """Plan, trials, the best one, importances and verification as JSON values."""
    plan = report.plan
    return {
        "name": plan.name,
        "agent": plan.settings.agent,
        "env": plan.settings.env,
        "objective": {
            "name": plan.objective.name,
            "meaning": plan.objective.words,
            "better": "fewer" if plan.objective.fewer else "more",
            "goal": plan.objective.goal,
            "total_steps": plan.objective.total_steps,
        },
        "seed": plan.settings.seed,
        "seeds_per_trial": plan.seeds_per_trial,
        "space": {name: dimension.to_json() for name, dimension in plan.space.items()},
        "tuned_from": tuned_from(plan),
        "best": None if report.best is None else _trial_json(report.best),
        "best_config": str(report.folder / "best.json") if report.best else None,
        "page": str(report.folder / "study.html"),
        "importances": report.shares,
        "importance_method": report.method,
        "verification": report.judgement,
        "trials": [_trial_json(trial) for trial in report.trials],
    }


def tuned_from(plan: Plan) -> Values:
    """What the settings of the space were before."""
    return {name: value_of(plan.settings, name) for name in plan.space}


def drawings(report: Report) -> dict[str, Callable[[float], Figure]]:
    """The figures there is something to draw for, by the stems of their files."""
    plan, trials = report.plan, report.trials
    found: dict[str, Callable[[float], Figure]] = {}
    whole = [trial for trial in trials if trial.value is not None]
    if whole:
        found["history"] = lambda width: tune_figures.history(plan, trials, width)
    if report.shares:
        found["importances"] = lambda width: tune_figures.importances(report.shares, report.method, width)
    if len(whole) >= ENOUGH_FOR_SLICES:
        found["slices"] = lambda width: tune_figures.slices(plan, trials, width)
    verification = report.verification
    if verification is not None and verification.tuned:
        found["verification"] = lambda width: tune_figures.verification(plan.objective, verification, width)
    return found


def study_page(report: Report, pictures: dict[str, Callable[[float], Figure]]) -> str:
    """The page: the few numbers, the verdict, the figures and every trial."""
    plan, best = report.plan, report.best
    count = sum(trial.counts for trial in report.trials)
    numbers = {
        "trials": str(count),
        f"best {plan.objective.name}": shown_worth(plan.objective, best, short=True) if best else "–",
        f"{plan.objective.name} of the settings tuned from": _first_value(report),
        "of computing": format_seconds(sum(trial.seconds or 0.0 for trial in report.trials)),
    }
    body = [page.tiles(numbers), "<h2>Are the tuned settings better?</h2>", page.card(*_verdict(report))]
    for title, stems in (("The search", ("history", "importances")), ("The settings", ("slices",))):
        cards = [page.card(_svg(stem, pictures[stem])) for stem in stems if stem in pictures]
        body += [f"<h2>{title}</h2>", *cards] if cards else []
    body += [page.card(_best_table(report)), _note(plan), "<h2>Every trial</h2>", page.card(_trial_table(report))]
    subtitle = f"{plan.settings.agent} on {plan.settings.env}: {plan.objective.words}"
    return page.page(f"Tuning: {plan.name}", body, subtitle=subtitle)


def _verdict(report: Report) -> list[str]:
    judgement = report.judgement
    if report.best is None:
        return ["<p>No trial was whole.</p>"]
    if report.plan.trial_settings(report.best.values) == report.plan.trial_settings({}):
        return ["<p>The settings tuned from are the best that were found: there is nothing to verify.</p>"]
    if judgement is None or report.verification is None:
        words = "Not verified yet: the best of many trials looks better than it is. Train both on seeds that chose nothing: "
        command = f"keel tune --resume {shlex.quote(str(report.folder))} --verify 10"
        return [f"<p>{page.text(words)}<code>{page.text(command)}</code></p>"]
    parts = [f"<p><b>{page.text(judgement['words'])}</b></p>"]
    if report.verification.tuned:
        parts.append(_svg("verification", lambda width: _verification(report, width)))
        parts.append(_sides_table(report.plan, judgement))
    if failed := judgement["failed"]:
        words = f"Held-out seeds that failed or were not finished, and are left out on both sides: {failed}."
        parts.append(f'<p class="note">{words}</p>')
    return parts


def _verification(report: Report, width: float) -> Figure:
    assert report.verification is not None
    return tune_figures.verification(report.plan.objective, report.verification, width)


def _sides_table(plan: Plan, judgement: dict[str, Any]) -> str:
    unit = plan.objective.name
    own_median = [] if plan.objective.fewer else [f"median {unit}"]  # steps and seconds have their columns anyway
    header = ["settings", *own_median, f"{unit}, IQM", "95 %", "solved", "median steps", "median seconds"]
    rows = []
    for name in ("tuned", "before"):
        side = judgement[name]
        interval = side["interval"]
        robust = [shown_value(side["interquartile_mean"]), "–" if interval is None else _span(interval)]
        solved = f"{side['solved']} of {judgement['seeds']}" if plan.objective.fewer else "–"
        steps, seconds = f"{side['median_steps']:,.0f}", f"{side['median_seconds']:.2f}"
        rows.append([name, *([shown_value(side["median"])] if own_median else []), *robust, solved, steps, seconds])
    return page.table(header, rows)


def _span(interval: Sequence[float]) -> str:
    return " … ".join(shown_value(end) for end in interval)


def _best_table(report: Report) -> str:
    before = tuned_from(report.plan)
    best = report.best.values if report.best else {}
    rows = [[name, shown_setting(before[name]), shown_setting(best.get(name, "–"))] for name in before]
    agent, env = report.plan.settings.agent, report.plan.settings.env
    command = f"keel train {agent} --env {env} --config {shlex.quote(str(report.folder / 'best.json'))}"
    title = f"trial {report.best.number}" if report.best else "best"
    return page.table(["setting", "tuned from", title], rows) + f"<p><code>{page.text(command)}</code></p>"


def _trial_table(report: Report) -> str:
    names = list(report.plan.space)
    header = ["trial", "state", report.plan.objective.name, "seconds", *names]
    rows = []
    for trial in report.trials:
        worth = shown_worth(report.plan.objective, trial, short=True)
        value = trial.error if trial.error and trial.value is None else worth
        seconds = "–" if trial.seconds is None else f"{trial.seconds:.1f}"
        cells = [shown_setting(trial.values[name]) if name in trial.values else "–" for name in names]
        rows.append([str(trial.number), trial.state, value, seconds, *cells])
    return page.table(header, rows, labels=2)


def _note(plan: Plan) -> str:
    words = (
        f"A trial trains {plan.seeds_per_trial} run{'s' * (plan.seeds_per_trial > 1)} with seeds of its own; its value "
        f"is the mean of their {plan.objective.words}. "
    )
    if plan.objective.fewer:
        words += (
            f"The goal is a mean evaluation of {plan.objective.goal:g}, confirmed by a second one; a run that never "
            "reaches it counts as ten times its budget and more, the more it fell short. "
        )
    words += "Importances come from whole trials alone and are rough where these are few."
    return f'<p class="note">{page.text(words)}</p>'


def _svg(stem: str, draw: Callable[[float], Figure]) -> str:
    return figures.inline_svg(draw, name=stem, description=f"{stem} of the study")


def _first_value(report: Report) -> str:
    """The worth of the first whole trial of the settings that were tuned from."""
    before = tuned_from(report.plan)
    whole = (trial for trial in report.trials if trial.values == before and trial.value is not None)
    first = next(whole, None)
    return shown_worth(report.plan.objective, first, short=True) if first else "–"


def _trial_json(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state,
        "value": trial.value,
        "settings": trial.values,
        "error": trial.error,
        "seconds": trial.seconds,
        "runs": trial.runs,
        "outcomes": [outcome.to_json() for outcome in trial.outcomes],
    }
