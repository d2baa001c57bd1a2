"""The tables beside the simulator belong to the simulator as it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from keel.envs.cooling import assets, step, tuning
from keel.envs.cooling.weather import SITES, SyntheticClimate, load_weather, summary


def test_the_reference_table_is_that_of_this_plant() -> None:
    """Stored to a hundredth of a kilowatt; `keel benchmark cooling-baselines` makes it anew where physics change."""
    np.testing.assert_allclose(assets.reference_table(), tuning.make_reference_table(), atol=0.006)


def test_the_reference_rises_with_the_load() -> None:
    table = assets.reference_table()
    assert table.shape == (step.REFERENCE_LOADS, step.REFERENCE_WET_BULBS)
    assert (np.diff(table, axis=0) > 30.0).all()
    assert (table[:, -1] > table[:, 0]).all()


def test_the_reference_is_read_between_its_points() -> None:
    """A table that is linear in both, read in plain Python; held beyond its ends."""
    loads, wet_bulbs = tuning.grid_axes()
    table = 400.0 + 500.0 * loads[:, None] + 2.0 * wet_bulbs
    for load, wet_bulb in [(0.0, -20.0), (0.33, 5.5), (0.97, 31.0), (0.5, -40.0)]:
        expected = 400.0 + 500.0 * load + 2.0 * max(wet_bulb, -20.0)
        assert step.reference_kilowatts(table, load, wet_bulb) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("site", SITES)
def test_every_site_has_tuned_limits_of_the_grid(site: str) -> None:
    limits = assets.tuned_limits(load_weather(site))
    stored = json.loads((assets.FOLDER / "tuned.json").read_text())["sites"]
    assert site in stored, "`keel benchmark cooling-baselines` tunes all sites"
    assert all(value in grid for value, grid in zip(limits, tuning.GRID, strict=True))


def test_other_weather_takes_the_limits_of_the_site_most_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    sites = {
        "cold": {"limits": [24.0, 20.0, 14.0, 0.1], "mean_dry_bulb_celsius": 5.0, "mean_wet_bulb_celsius": 3.0},
        "hot": {"limits": [21.0, 17.0, 12.0, 0.2], "mean_dry_bulb_celsius": 24.0, "mean_wet_bulb_celsius": 20.0},
    }
    monkeypatch.setattr(assets, "_read", lambda name: {"sites": sites})
    assert assets.nearest_site(SyntheticClimate("helsinki")) == "cold"
    assert assets.nearest_site(SyntheticClimate("tampa")) == "hot"
    assert assets.tuned_limits(load_weather("any")) == (21.0, 17.0, 12.0, 0.2), "the most cautious of all"


@pytest.mark.parametrize("name", ["tampa", "any"])
def test_a_file_is_known_by_its_weather_and_not_by_its_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cold year in a file called tampa.epw or any.epw, summarised once; a file that changes is read again."""
    summaries = []
    monkeypatch.setattr(assets, "summary", lambda *given: summaries.append(given) or summary(*given))

    def write(dry_bulb: float) -> None:
        row = f"1999,1,1,1,0,?,{dry_bulb},{dry_bulb - 3},50,101325" + ",0" * 25
        path.write_text("LOCATION,x,x,x,x,0,0,0,0,0\n" + "header\n" * 7 + f"{row}\n" * 8760)

    path = tmp_path / f"{name}.epw"
    write(5.0)
    cold = assets.tuned_limits(load_weather(str(path)))
    assert cold == assets.tuned_limits(load_weather("helsinki"))
    assert load_weather(str(path)) is load_weather(str(path)), "a year of worlds reads its file once"
    assert assets.tuned_limits(load_weather(str(path))) == cold
    assert len(summaries) == 1
    write(27.55)
    assert assets.tuned_limits(load_weather(str(path))) == assets.tuned_limits(load_weather("ahmedabad"))
