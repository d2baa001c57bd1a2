"""What runs cost: wall time, CPU time, energy and CO2, with a word where a number is an estimate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from keel.runners import page
from keel.runners.compare.figures import swatch
from keel.runners.compare.groups import Group
from keel.runners.compare.read import Measured
from keel.runners.report import duration

HEADER = ["wall time", "training", "CPU time", "energy", "CO₂"]
_NOTE = (
    "Means over a group's runs. Wall time is with evaluations, training without them; CPU time adds up all processor "
    "cores. Energy and the CO₂ of the country's grid are there for runs that were asked to measure them."
)
_ESTIMATED = (
    " <b>Estimated</b>: the machine has no energy meter that could be read, so the energy follows from the run's "
    "processor time and the processor's rated power."
)


def cost_card(groups: Sequence[Group], measured: Mapping[Path, Measured], places: Mapping[str, int]) -> str:
    """A table of the groups' costs, and beneath it of every run's."""
    rows = [
        [
            page.Cell(swatch(places[group.label]) + page.text(group.label)),
            *_cells([measured[run.path] for run in group.runs]),
        ]
        for group in groups
    ]
    each = [[run.name, *_cells([measured[run.path]])] for group in groups for run in group.runs]
    own = [measured[run.path] for group in groups for run in group.runs]
    note = page.text(_NOTE) + (_ESTIMATED if any(_is_estimated(one) for one in own) else "")
    total = _total(own)
    return page.card(
        page.table(["group", *HEADER], rows),
        f'<p class="note">{note}{page.text(total)}</p>',
        f"<details><summary>The cost of every run</summary>{page.table(['run', *HEADER], each)}</details>",
    )


def _cells(runs: Sequence[Measured]) -> list[str]:
    outcomes = [run.outcome for run in runs]
    wall, training, processor, energy, emissions = (
        _mean([getattr(outcome, name) for outcome in outcomes])
        for name in ("wall_seconds", "training_seconds", "cpu_seconds", "energy_kwh", "emissions_grams")
    )
    estimated = " estimated" if any(_is_estimated(run) for run in runs) else ""
    return [
        *("–" if seconds is None else duration(seconds) for seconds in (wall, training, processor)),
        "–" if energy is None else energy_words(energy) + estimated,
        "–" if emissions is None else mass_words(emissions) + estimated,
    ]


def energy_words(kwh: float) -> str:
    """Kilowatt hours, and watt hours where these are few."""
    return f"{kwh:,.3g} kWh" if kwh >= 0.1 else f"{1000 * kwh:.3g} Wh"


def mass_words(grams: float) -> str:
    return f"{grams:.3g} g" if grams < 1000 else f"{grams / 1000:,.3g} kg"


def _total(runs: Sequence[Measured]) -> str:
    """What all runs here cost together, as far as they measured it."""
    sums = {
        name: [value for run in runs if (value := getattr(run.outcome, name)) is not None]
        for name in ("wall_seconds", "energy_kwh", "emissions_grams")
    }
    parts = [duration(sum(sums["wall_seconds"]))] if sums["wall_seconds"] else []
    parts += [energy_words(sum(sums["energy_kwh"]))] if sums["energy_kwh"] else []
    parts += [f"{mass_words(sum(sums['emissions_grams']))} CO₂"] if sums["emissions_grams"] else []
    countries = dict.fromkeys(run.cost.country for run in runs if run.cost.country)
    where = f" (grid: {', '.join(countries)})" if countries and sums["emissions_grams"] else ""
    return f" All runs here together: {', '.join(parts)}{where}." if len(runs) > 1 and parts else ""


def _is_estimated(run: Measured) -> bool:
    return run.cost.energy_method == "estimated" and run.outcome.energy_kwh is not None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
