"""What a forecaster is worth, for its run's page: beside the forecast that nothing changes, on later days."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keel.envs.seeding import generator
from keel.networks.pretraining.forecast import Estimate, Measured, measure
from keel.networks.pretraining.learner import Supervised
from keel.runners import page
from keel.runners.run import Run

MEASURES = ("squared error", "absolute error", "right direction, %")
NOTE = (
    "Errors are shown as their ratio to that of the forecast that nothing changes: below 1 is better. Brackets: 95 % "
    "intervals of a bootstrap that keeps twenty days in a row, and all symbols of a day, together."
)


def report(learner: Supervised, run: Run) -> list[str]:
    """Parts of the page: errors and directions with their intervals, altogether and for each symbol."""
    del run
    split, details = learner.data.test, learner.data.details
    forecast, change = learner.predict(split.inputs).astype(np.float64), split.targets.astype(np.float64)
    dates, symbols = np.array(details["test_dates"], "datetime64[D]"), np.asarray(split.groups)
    chosen = {"all": np.ones(len(split), bool)}
    if len(np.unique(symbols)) > 1:
        chosen |= {str(symbol): symbols == symbol for symbol in np.unique(symbols)}
    measured = {
        name: measure(forecast[rows], change[rows], dates[rows], generator(0, "bootstrap", name))
        for name, rows in chosen.items()
    }
    lines = [[name, f"{chosen[name].sum():,}", *shown(result)] for name, result in measured.items()]
    days = "; ".join(f"{name} {first} to {last}" for name, (first, last) in details["days"].items())
    words = verdict(measured["all"].squared_error, details["target"])
    return [
        "<h2>Beside the forecast that nothing changes</h2>",
        page.card(f"<p>{words}</p>", page.table(["symbol", "days", *MEASURES], lines)),
        page.card(f"<p class='note'>{NOTE} Forecasts: {page.text(days)}.</p>"),
    ]


def shown(measured: Measured) -> list[str]:
    """The cells under `MEASURES`."""
    return [
        _shown(measured.squared_error, "{:.3f}"),
        _shown(measured.absolute_error, "{:.3f}"),
        _shown(measured.direction, "{:.1f}", 100),
    ]


def _shown(estimate: Sequence[float] | None, form: str, times: float = 1) -> str:
    if estimate is None:
        return ""
    value, low, high = (form.format(times * part) for part in estimate)
    return f"{value} [{low}, {high}]"


def verdict(squared: Estimate, what: str) -> str:
    """What the interval of the ratio of squared errors allows to say; `what` is the target."""
    if squared.high < 1:
        return f"It foretells the {what} better than the forecast that nothing changes: the interval lies below 1."
    words = f"It does not foretell the {what} better than the forecast that nothing changes: "
    words += "the interval lies above 1." if squared.low > 1 else "the interval reaches 1."
    if what == "return":
        words += " That is what to expect: daily returns are close to unpredictable."
    return words
