"""Forecasts of daily prices by networks with memory beside simple ones, on later days than any of them was fitted to."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from keel.envs.protocol import Array
from keel.envs.seeding import generator
from keel.networks.pretraining import series
from keel.networks.pretraining.forecast import (
    Estimate,
    Measured,
    measure,
    simple_forecasts,
)
from keel.networks.pretraining.series import SeriesConfig, Windows
from keel.runners.benchmark import markdown_table
from keel.runners.benchmarks.intervals import Line, interval_figure
from keel.runners.benchmarks.pretraining import chance_of, fit
from keel.runners.pretrain.series import MEASURES, NOTE, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TARGETS: dict[str, dict[str, Any]] = {
    "the return of the next day": {"target": "return", "horizon_days": 1},
    "the volatility of the next five days": {"target": "volatility", "horizon_days": 5},
}
KINDS = ("gru", "lstm", "transformer")


def run(*, seeds: int = 5, epochs: int | None = None) -> dict[str, Any]:
    """Each network's preset on the sample of five shares, once a seed; its figures are means over the seeds' errors."""
    torch.set_num_threads(1)
    shares, source = series.SOURCES["stocks"](None)
    tasks = []
    for name, options in TARGETS.items():
        config = dataclasses.replace(series.preset("gru", "stocks").config, **options)
        parts = series.split_by_date(shares, config)
        train, _, test = parts
        names = series.features(shares[0])[1]
        rows = [
            judged(forecaster, [forecast], test)
            for forecaster, forecast in simple_forecasts(train, test, names, config.target).items()
        ]
        for kind in KINDS:
            learnt = [learn(kind, config, parts, source, seed, epochs) for seed in range(seeds)]
            rows.append(judged(kind, [forecast for forecast, _, _ in learnt], test))
            rows[-1]["best_epochs"] = [epoch for _, epoch, _ in learnt]
            rows[-1]["seconds"] = [round(seconds, 2) for _, _, seconds in learnt]
        facts = {"examples": _examples(parts), "days": _days(parts), "rises": float((test.target > 0).mean())}
        tasks.append({"name": name, **options, **facts, "rows": rows})
    shown = [{"symbol": prices.symbol, "days": len(prices)} for prices in shares]
    return {"source": source, "shares": shown, "seeds": seeds, "tasks": tasks}


def learn(
    kind: str,
    config: SeriesConfig,
    parts: tuple[Windows, Windows, Windows],
    source: str,
    seed: int,
    epochs: int | None = None,
) -> tuple[Array, int, float]:
    """Forecast changes [N] of the test days in their own unit, the best epoch, and the seconds of learning."""
    plan = series.preset(kind, "stocks")
    plan = plan._replace(config=config, epochs=epochs or plan.epochs)
    learner = series.learner(series.scaled(parts, plan, source), plan, chance_of(seed), torch.device("cpu"))
    fitted = fit(learner, plan.epochs, plan.patience)
    forecast = learner.predict(learner.data.test.inputs).astype(np.float64) * learner.data.details["target_unit"]
    return forecast, fitted.epoch, fitted.seconds


def judged(name: str, forecasts: Sequence[Array], test: Windows) -> dict[str, Any]:
    """One line: the seeds' forecasts for a day stay together in the bootstrap, so more seeds narrow no interval."""
    together, change, date = (
        np.concatenate(part) for part in (forecasts, [test.target] * len(forecasts), [test.date] * len(forecasts))
    )
    naive = np.square(test.target).sum()
    return {
        "name": name,
        **measure(together, change, date, generator(0, "bootstrap"))._asdict(),
        "squared_error_of_seeds": [float(np.square(one - test.target).sum() / naive) for one in forecasts],
    }


def _examples(parts: tuple[Windows, Windows, Windows]) -> dict[str, int]:
    return {name: len(part.date) for name, part in zip(("train", "validation", "test"), parts, strict=True)}


def _days(parts: tuple[Windows, Windows, Windows]) -> dict[str, list[str]]:
    """The first and last day on which each part makes a forecast."""
    names = ("train", "validation", "test")
    return {name: [str(p.date.min()), str(p.date.max())] for name, p in zip(names, parts, strict=True)}


def table(result: dict[str, Any]) -> str:
    """One table a target."""
    shares = ", ".join(f"{share['symbol']} {share['days']:,}" for share in result["shares"])
    parts = [
        (
            f"SAMPLE DATA: daily prices that {result['source']} ships (days: {shares}). All was fitted, scaled and "
            "chosen on earlier days than those it is judged on, and no day is read or foretold by two of training, "
            f"validation and test. Networks: the presets, {result['seeds']} seed(s). {NOTE}"
        )
    ]
    for task in result["tasks"]:
        parts += [f"## {task['name'][0].upper()}{task['name'][1:]}", _task_table(task), verdict(task)]
    return "\n\n".join(parts)


def _task_table(task: dict[str, Any]) -> str:
    lines = []
    for row in task["rows"]:
        seeds, seconds = row["squared_error_of_seeds"], row.get("seconds")
        lines.append(
            [
                row["name"],
                *shown(Measured(row["squared_error"], row["absolute_error"], row["direction"])),
                f"{min(seeds):.3f} … {max(seeds):.3f}" if len(seeds) > 1 else "",
                f"{np.mean(seconds):.0f}" if seconds else "",
            ]
        )
    days, examples = task["days"], task["examples"]
    spans = ", ".join(f"{name} {days[name][0]} to {days[name][1]} ({examples[name]:,})" for name in days)
    note = f"Forecasts: {spans}. Of the test days {100 * task['rises']:.1f} % brought a rise."
    header = ["forecast", *MEASURES, "squared error over seeds", "training seconds"]
    return note + "\n\n" + markdown_table(header, lines)


def verdict(task: dict[str, Any]) -> str:
    """What the intervals allow to say, in words."""
    rows = {row["name"]: Estimate(*row["squared_error"]) for row in task["rows"]}
    better = [name for name, estimate in rows.items() if estimate.high < 1]
    worse = [name for name, estimate in rows.items() if estimate.low > 1]
    words = f"Better than that nothing changes, by the whole interval: {', '.join(better) or 'none'}."
    if worse:
        words += f" Worse, by the whole interval: {', '.join(worse)}."
    if task["target"] == "return" and not better:
        words += " Daily returns of large shares are close to unpredictable, and no network here changes that."
    simple = min((name for name in rows if name not in KINDS), key=lambda name: rows[name].value)
    network = min(KINDS, key=lambda name: rows[name].value)
    return words + (
        f" The best network ({network}) has {rows[network].value:.3f} of its squared error, the best simple forecast "
        f"({simple}) {rows[simple].value:.3f}."
    )


def figures(result: dict[str, Any]) -> dict[str, Figure]:
    """The ratio of squared errors with its interval, one panel a target."""
    panels: dict[str, list[Line]] = {}
    for task in result["tasks"]:
        panels[task["name"]] = [
            (row["name"], *row["squared_error"], row["squared_error_of_seeds"])
            for row in task["rows"]
            if row["name"] != "nothing changes"
        ]
    return {"squared-errors": interval_figure(panels, "squared error beside that of no change (below 1 is better)")}
