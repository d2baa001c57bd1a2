"""The yardsticks of the cooling world: B2's steady power, and B3's limits tuned for each climate by grid search."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from keel.envs.cooling import assets, tuning
from keel.envs.cooling.weather import SITES, load_weather, summary
from keel.runners.benchmark import markdown_table
from keel.runners.files import write_text

COMMAND = "keel benchmark cooling-baselines --set write true --output results/benchmarks"


def run(*, sites: list[str] | None = None, workload: str = "synthetic", write: bool = False) -> dict[str, Any]:
    """Tune B3 for the sites (keys, or EPW files) on a year of weeks; `write` keeps the tables as assets."""
    reference = [[round(float(value), 2) for value in row] for row in tuning.make_reference_table()]
    tuned = {}
    for site in sites or SITES:
        tuned[site] = tune_site(site, workload)
        print(site, tuned[site], file=sys.stderr, flush=True)
    result = {
        "reference_kw": reference,
        "workload": workload,
        "grid": [list(axis) for axis in tuning.GRID],
        "sites": tuned,
    }
    if write:
        keep("reference.json", {"made_by": COMMAND, "total_kw": reference})
        keep("tuned.json", {"made_by": COMMAND, "sites": tuned})
    return result


def tune_site(site: str, workload: str) -> dict[str, Any]:
    climate = summary(load_weather(site), np.random.default_rng(0))
    return {
        "mean_dry_bulb_celsius": round(climate.mean_dry_bulb_celsius, 2),
        "mean_wet_bulb_celsius": round(climate.mean_wet_bulb_celsius, 2),
        **tuning.tune({"weather": site, "workload": workload}),
    }


def keep(name: str, content: dict[str, Any]) -> None:
    """Write an asset, one row of a table or one site a line."""
    lines = []
    for key, value in content.items():
        if isinstance(value, list):
            lines.append(f" {json.dumps(key)}: [\n" + ",\n".join(f"  {json.dumps(row)}" for row in value) + "\n ]")
        elif isinstance(value, dict):
            inner = ",\n".join(f"  {json.dumps(name)}: {json.dumps(item)}" for name, item in value.items())
            lines.append(f" {json.dumps(key)}: {{\n{inner}\n }}")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value)}")
    write_text(Path(assets.FOLDER) / name, "{\n" + ",\n".join(lines) + "\n}\n")


def table(result: dict[str, Any]) -> str:
    """One line a site."""
    header = ["site", "supply air °C", "chilled water °C", "lift K", "air margin", "minutes > 27 °C", "cooling MWh"]
    rows = []
    for site, found in result["sites"].items():
        supply, chilled, lift, margin = found["limits"]
        minutes, cooling = found["violation_minutes"], found["cooling_kwh"]
        rows.append(
            [site, f"{supply:g}", f"{chilled:g}", f"{lift:g}", f"{margin:g}", f"{minutes:g}", f"{cooling / 1e3:,.0f}"]
        )
    return markdown_table(header, rows)
