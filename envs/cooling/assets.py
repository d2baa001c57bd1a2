"""Tables that belong to the simulator, made by `keel benchmark cooling-baselines` and kept beside it."""

from __future__ import annotations

import json
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from keel.envs.cooling import step
from keel.envs.cooling.weather import AnySite, SyntheticClimate, Weather, summary
from keel.envs.protocol import Array

FOLDER = Path(__file__).with_name("assets")


@cache
def _read(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / name).read_text())


@cache
def reference_table() -> Array:
    """Total power in kW of one hall under B2 in steady state, [loads 0 to 1, wet bulbs -20 to 32 degC]."""
    shape = (step.REFERENCE_LOADS, step.REFERENCE_WET_BULBS)
    rows = _read("reference.json").get("total_kw")
    return np.zeros(shape) if rows is None else np.array(rows, np.float64).reshape(shape)


def tuned_limits(weather: Weather) -> tuple[float, ...]:
    """Of B3: warmest supply air and chilled water (degC), most lift (K) and margin of air, tuned for the site.

    For a weather file, those of the site whose year is most alike: mean dry bulb and wet bulb. For weather of many
    sites, of each limit the most cautious.
    """
    sites = _read("tuned.json")["sites"]
    if isinstance(weather, AnySite):
        supply, chilled, lift, margin = zip(*(site["limits"] for site in sites.values()), strict=True)
        return float(min(supply)), float(min(chilled)), float(min(lift)), float(max(margin))
    site = weather.name if isinstance(weather, SyntheticClimate) else nearest_site(weather)
    return tuple(map(float, sites[site]["limits"]))


@lru_cache(maxsize=8)
def nearest_site(weather: Weather) -> str:
    """The site with the most similar yearly means."""
    sites = _read("tuned.json")["sites"]
    own = summary(weather, np.random.default_rng(0))
    return min(
        sites,
        key=lambda site: (
            (sites[site]["mean_dry_bulb_celsius"] - own.mean_dry_bulb_celsius) ** 2
            + (sites[site]["mean_wet_bulb_celsius"] - own.mean_wet_bulb_celsius) ** 2
        ),
    )
