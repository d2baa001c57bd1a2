"""The part of a run's page that is about cooling: a year beside the controllers, and a week of operation beside B3."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from keel.envs.cooling.layout import STEPS_PER_HOUR
from keel.envs.protocol import Array
from keel.envs.seeding import derive_seed
from keel.runners import figures, page
from keel.runners.agents import Policy
from keel.runners.run import Run
from keel.runners.subjects import Subject, evaluate_subject, yardsticks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HOURS_PER_YEAR = 52 * 168.0  # of its 52 weeks
COMPARED_WITH = "b3"
PARTS = {
    "crah_kw": "air handlers",
    "chiller_kw": "chiller",
    "tower_kw": "tower",
    "condenser_pump_kw": "condenser pump",
    "chilled_pump_kw": "chilled water pump",
}
HEADER = (
    "controller",
    "cooling MWh",
    "facility MWh",
    "PUE",
    "WUE L/kWh",
    "minutes above 27 °C",
    "hottest inlet °C",
    "cooling beside the agent",
)


def write_cooling_report(policy: Policy, run: Run) -> tuple[list[str], str]:
    """Parts of the run's page, and the table in words; also writes RUN/week.png.

    Every controller and the agent have the same 52 weeks: the same weather and load.
    """
    settings = policy.settings
    options = {name: value for name, value in settings.training.env_options.items() if name != "week"}
    training = dataclasses.replace(settings.training, env_options=options)
    agent = Subject(policy.agent, settings.env, training, {"agent": settings.agent})
    others = yardsticks(settings.env, options)
    seed = derive_seed(settings.seed, "cooling report")
    years = {
        name: evaluate_subject(subject, seed=seed, year=True) for name, subject in (("agent", agent), *others.items())
    }
    rows = year_rows(years)
    week = {"agent": operate_week(agent, seed), COMPARED_WITH: operate_week(others[COMPARED_WITH], seed)}
    title = f"A week under {settings.agent.upper()} and under {COMPARED_WITH.upper()}: the same weather and load"
    with figures.house_style():
        figures.save_png(week_figure(week, title), run.path / "week.png")
    body = [
        "<h2>A year of operation</h2>",
        page.card(page.table(HEADER, rows)),
        "<h2>A week of operation</h2>",
        page.card(f'<img src="week.png" alt="{page.text(title)}" style="max-width:100%">'),
    ]
    return body, in_words(rows)


def year_figures(summary: dict[str, Any]) -> dict[str, float]:
    """What a year of 52 weeks used, from the summary of its evaluation."""
    means = summary["world_means"]
    served = means["it_kw"] + means["server_fan_kw"]
    return {
        "cooling_mwh": means["cooling_kw"] * HOURS_PER_YEAR / 1000.0,
        "total_mwh": means["total_kw"] * HOURS_PER_YEAR / 1000.0,
        "pue": means["total_kw"] / served,
        "wue": means["water_litres"] * STEPS_PER_HOUR / served,
        "violation_minutes": means["violation_minutes"] * summary["length_mean"] * summary["episodes"],
        "hottest_celsius": summary["world_peaks"]["inlet_max_celsius"],
        "intervention_rate": means["intervention"],
    }


def year_rows(years: dict[str, dict[str, Any]]) -> list[list[str]]:
    """One line a controller: energies of a year, ratios, and what its cooling used beside the agent's."""
    figures_of = {name: year_figures(summary) for name, summary in years.items()}
    own = figures_of["agent"]["cooling_mwh"]
    rows = []
    for name, used in figures_of.items():
        beside = "" if name == "agent" else f"{100 * (used['cooling_mwh'] / own - 1):+.1f} %"
        rows.append(
            [
                name if name == "agent" else name.upper(),
                f"{used['cooling_mwh']:,.1f}",
                f"{used['total_mwh']:,.1f}",
                f"{used['pue']:.3f}",
                f"{used['wue']:.2f}",
                f"{used['violation_minutes']:,.0f}",
                f"{used['hottest_celsius']:.1f}",
                beside,
            ]
        )
    return rows


def in_words(rows: list[list[str]]) -> str:
    """The table for a terminal."""
    widths = [max(len(cells[column]) for cells in (HEADER, *rows)) for column in range(len(HEADER))]
    lines = [
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(cells, widths, strict=True)) for cells in (HEADER, *rows))
    ]
    return "a year of operation, 52 weeks of the same weather and load\n" + "\n".join(f"  {line}" for line in lines)


def operate_week(subject: Subject, seed: int) -> dict[str, Array]:
    """The measures of one episode, [steps] each."""
    worlds = subject.worlds(1)
    observation, memory = worlds.reset(seed), subject.agent.initial_memory(1)
    is_first, kept = np.ones(1, bool), []
    try:
        while True:
            decision = subject.agent.act(observation, memory, is_first, explore=False)
            step = worlds.step(decision.action)
            kept.append({name: float(values[0]) for name, values in step.metrics.items()})
            observation, memory, is_first = step.observation, decision.memory, np.zeros(1, bool)
            if step.terminated[0] or step.truncated[0]:
                return {name: np.array([row[name] for row in kept]) for name in kept[0]}
    finally:
        worlds.close()


def week_figure(week: dict[str, dict[str, Array]], title: str) -> Figure:
    """Cooling power of both, the agent's by parts, hottest inlets, and the energy saved so far."""
    agent, other = week["agent"], week[COMPARED_WITH]
    count = min(len(agent["cooling_kw"]), len(other["cooling_kw"]))
    days = np.arange(count) / (24.0 * STEPS_PER_HOUR)
    figure, (power, parts, inlets, saved) = figures.panels(title, 4)
    for index, (name, measures) in enumerate(week.items()):
        label = name if name == "agent" else name.upper()
        power.plot(days, measures["cooling_kw"][:count], color=figures.PALETTE[index], linewidth=1.2, label=label)
        inlets.plot(days, measures["inlet_max_celsius"][:count], color=figures.PALETTE[index], linewidth=1.2)
    power.set_ylabel("cooling, kW")
    most = max(float(measures["cooling_kw"][:count].max()) for measures in week.values())
    power.set_ylim(0, 1.3 * most)  # the legend stands above the curves
    power.legend(loc="upper right", ncols=2, fontsize=8)
    stacked = [agent[name][:count] for name in PARTS]
    parts.stackplot(days, stacked, labels=list(PARTS.values()), colors=figures.PALETTE, alpha=0.75, linewidth=0)
    parts.set_ylabel("agent's parts, kW")
    parts.legend(loc="upper right", ncols=3, fontsize=7.5)
    parts.set_ylim(0, 1.45 * max(float(np.sum(stacked, axis=0).max()), 1.0))
    inlets.axhline(27.0, color=figures.PALETTE[1], linewidth=1.0, linestyle=(0, (4, 3)))
    inlets.text(0.02, 27.0, "27 °C recommended", fontsize=7.5, va="bottom", color=figures.MUTED)
    inlets.set_ylabel("hottest inlet, °C")
    total = np.cumsum(other["total_kw"][:count] - agent["total_kw"][:count]) / STEPS_PER_HOUR
    saved.fill_between(days, total, color=figures.PALETTE[2], alpha=0.35, linewidth=0)
    saved.plot(days, total, color=figures.PALETTE[2], linewidth=1.2)
    saved.set_ylabel("saved so far, kWh")
    saved.set_xlabel("day")
    saved.margins(x=0)
    return figure
