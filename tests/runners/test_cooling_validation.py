"""The validation page of the data centre: what is measured, verdicts that follow the figures, tables and plots."""

from __future__ import annotations

import copy
import functools
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from keel.runners.benchmarks import cooling_checks, cooling_figures, cooling_oracles, cooling_validation
from keel.runners.benchmarks.cooling_checks import BESIDE, FAILS, HOLDS, TESTS, UNCHECKED, Check, overall, verdict

SITES = ["stockholm", "helsinki", "ashburn", "new-york", "tampa", "ahmedabad"]


def fake_corners(site: str) -> dict[str, Any]:
    """What would take half a minute to measure."""
    rows = [{"set_points": [16.0, 0.3, 7.0, 0.1], "percent": 20.0, "minutes": 0.0} for _ in range(16)]
    return {"total_kwh": 1.7e6, "violation_minutes": 0.0, "air_margin": 0.02, "corners": rows}


@pytest.fixture(scope="module")
def measured() -> Iterator[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cooling_validation, "corners", fake_corners)
        patch.setattr(cooling_validation, "energy", functools.partial(cooling_validation.energy, days=2))
        patch.setattr(cooling_validation, "wet_bulb", lambda: {"points": 9, "excepted": 1, "worst_kelvin": 0.004})
        yield cooling_validation.run(random_steps=300, sites=SITES)


@pytest.fixture
def result(measured: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(measured)


def verdict_on(result: dict[str, Any], path: str) -> str:
    (word,) = [word for test in cooling_checks.verdicts(result) for check, _, word in test if check.path == path]
    return word


def verdict_of(result: dict[str, Any], test: int) -> str:
    return overall(cooling_checks.verdicts(result)[test - 1])


def numbers(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for part in value.values():
            yield from numbers(part)
    elif isinstance(value, list):
        for part in value:
            yield from numbers(part)
    else:
        yield value


def test_the_result_is_json_of_numbers(result: dict[str, Any]) -> None:
    assert json.loads(json.dumps(result)) == result
    assert len(result) == len(TESTS) == 10
    assert all(isinstance(value, int | float) and math.isfinite(value) for value in numbers(result))
    assert list(result["climates"]) == SITES
    assert result["energy"]["steps"] == 2 * 288
    assert result["worlds"]["random_steps"] == 512


def test_energy_order_and_batches_hold(result: dict[str, Any]) -> None:
    assert [verdict_of(result, test) for test in (1, 3, 4, 5, 8, 10)] == [HOLDS] * 6
    for path in ("chiller.cop_reference", "chiller.cop_part", "chiller.cop_cold", "chiller.steepest_fall"):
        assert verdict_on(result, path) == HOLDS
    for path in ("climate.cold_to_mixed", "climate.mixed_to_humid", "climate.gain_least", "loss.dry_sustained"):
        assert verdict_on(result, path) == HOLDS


@pytest.mark.parametrize(
    ("test", "path", "spoiled", "judged"),
    [
        (1, "energy.year", 1e-3, ""),
        (2, "chiller.cop_reference", 6.57, ""),
        (2, "chiller.steepest_fall", 0.0, ""),
        (3, "tower.rated", 5.0, ""),
        (4, "server.percent_per_kelvin.1", 0.51, ""),
        (5, "wet_bulb.worst_kelvin", 0.06, ""),
        (6, "loss.dry_sustained", 18.0, ""),
        (7, "climates.tampa.b2.pue", 1.01, "climate.pue_least"),
        (8, "actions.kelvin.3", 0.0, "action.kelvin"),
        (9, "energyplus.tower_most", 3.1, ""),
        (10, "worlds.different_numbers", 1, ""),
        (10, "worlds.random_residual", math.inf, ""),
    ],
)
def test_a_spoiled_figure_flips_the_verdict(
    result: dict[str, Any], test: int, path: str, spoiled: float, judged: str
) -> None:
    assert verdict_on(result, judged or path) == HOLDS
    *way, last = path.split(".")
    place: Any = cooling_checks.look_up(result, ".".join(way))
    place[int(last) if isinstance(place, list) else last] = spoiled
    assert verdict_on(result, judged or path) == FAILS
    assert verdict_of(result, test) == FAILS
    assert cooling_validation.table(result).splitlines()[test + 1].endswith(f"| {FAILS} |")


def test_a_verdict_is_within_both_limits_or_none() -> None:
    check = Check("", "", 1.0, 2.0)
    assert [verdict(check, value) for value in (0.9, 1.0, 2.0, 2.1)] == [FAILS, HOLDS, HOLDS, FAILS]
    assert verdict(check, None) == UNCHECKED
    assert verdict(check, math.nan) == verdict(check, math.inf) == FAILS, "what is no number was not reached"
    assert verdict(Check("", ""), 3.0) == BESIDE


def test_a_corner_near_the_bound_in_every_climate_is_found(result: dict[str, Any]) -> None:
    sites = list(result["actions"]["corners"].values())
    sites[0]["corners"][5]["percent"] = 4.0
    assert verdict_on(result, "action.near") == HOLDS
    for site in sites:
        site["corners"][5]["percent"] = 4.0
    assert verdict_on(result, "action.near") == FAILS
    sites[0]["corners"][5]["minutes"] = 1.0
    assert verdict_on(result, "action.near") == HOLDS


def test_without_psychrolib_the_page_says_so(result: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooling_oracles.importlib.util, "find_spec", lambda name: None)
    result["wet_bulb"] = cooling_oracles.wet_bulb()
    assert verdict_of(result, 5) == UNCHECKED
    assert "NOT CHECKED" in cooling_validation.table(result)


def test_energyplus_figures_are_stale_once_the_physics_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cooling_validation.RECORDED, "probes", cooling_validation.probes())
    assert cooling_validation.energyplus()["unchanged"] == 1
    monkeypatch.setitem(cooling_validation.RECORDED, "probes", [1.001 * one for one in cooling_validation.probes()])
    assert cooling_validation.energyplus()["unchanged"] == 0


def test_the_page_names_all_ten_tests_and_their_plots(result: dict[str, Any]) -> None:
    page = cooling_validation.table(result)
    for number, test in enumerate(TESTS, start=1):
        assert f"\n## {number}. {test.title}\n" in page
        assert all(f"| {check.what} |" in page for check in test.checks)
    figures = cooling_validation.figures(result)
    assert {test.plot for test in TESTS if test.plot} == set(figures)
    assert all(f"(cooling-validation/{stem}.png)" in page for stem in figures)
    assert "Recorded, not measured by this command" in page


def test_a_reason_is_given_only_where_it_does_not_hold(result: dict[str, Any]) -> None:
    (check,) = [check for check in TESTS[6].checks if check.path == "climate.wue_most"]
    for litres, said in ((2.0, False), (2.5, True)):
        for site in result["climates"].values():
            site["b2"]["wue"] = litres
        assert (check.why in cooling_validation.table(result)) == said


def test_figures_have_axes_with_units(result: dict[str, Any]) -> None:
    figures = cooling_validation.figures(result)
    labels = {stem: (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) for stem, figure in figures.items()}
    assert labels["chiller-cop"] == ("entering condenser water, °C", "COP")
    assert all(x and y for x, y in labels.values())
    assert len(figures["chiller-cop"].axes[0].patches) == 2  # the shaded regions


def test_the_published_curves() -> None:
    assert cooling_oracles.york(25.6, 5.56) == pytest.approx(3.8, abs=0.05)
    assert cooling_oracles.york(0.0, 3.5) == pytest.approx(8.2, abs=0.05)
    heat = cooling_oracles.published_capacity_watts(10.0, 26.67)
    assert heat / cooling_oracles.published_chiller_watts(heat, 10.0, 26.67) == pytest.approx(6.39, abs=0.005)


def test_numbers_are_written_as_people_read_them() -> None:
    assert [cooling_figures.number(value) for value in (None, 1000192, 1.2e-14, 0.4793, 12.58, 0.0)] == [
        "none", "1,000,192", "1.2e−14", "0.479", "12.58", "0",
    ]  # fmt: skip
