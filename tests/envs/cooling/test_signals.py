"""Prices and carbon: tables by name, files by path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keel.envs.cooling.signals import load_signals


def test_flat() -> None:
    trace = load_signals("flat", "flat").hours(8750, 48)
    assert trace.price_usd_per_kwh.tolist() == [0.12] * 48
    assert trace.carbon_grams_per_kwh.tolist() == [380.0] * 48


def test_time_of_use_knows_hour_and_weekday() -> None:
    signals = load_signals("time-of-use", "flat")
    monday = signals.hours(0, 24).price_usd_per_kwh
    assert monday.tolist() == [0.25] * 6 + [0.41] * 5 + [0.30] * 5 + [0.27] * 6 + [0.25] * 2
    assert signals.hours(5 * 24, 48).price_usd_per_kwh.tolist() == [0.25] * 48, "Saturday and Sunday"
    assert signals.hours(7 * 24, 24).price_usd_per_kwh.tolist() == monday.tolist(), "the next Monday"
    assert signals.hours(8760 + 8, 1).price_usd_per_kwh.tolist() == [0.41], "the year starts again"


def test_solar_is_low_at_noon_and_high_in_the_evening() -> None:
    day = load_signals("flat", "solar").hours(0, 24).carbon_grams_per_kwh
    assert 11 <= day.argmin() <= 14
    assert 18 <= day.argmax() <= 21
    assert (day > 0).all()


def test_no_chance() -> None:
    signals = load_signals("time-of-use", "solar")
    assert np.array(signals.hours(100, 200)).tobytes() == np.array(signals.hours(100, 200)).tobytes()


def test_files_find_their_column_and_repeat(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    rows = "".join(f"{hour},{0.1 + hour / 1000},{300 + hour}\n" for hour in range(30))
    path.write_text("hour,price_usd,carbon_intensity\n" + rows)
    trace = load_signals(str(path), str(path)).hours(29, 2)
    assert trace.price_usd_per_kwh.tolist() == [0.1 + 29 / 1000, 0.1]
    assert trace.carbon_grams_per_kwh.tolist() == [329.0, 300.0]


@pytest.mark.parametrize(
    ("price", "carbon", "words"),
    [
        ("flatt", "flat", "price is 'flatt'.*did you mean 'flat'"),
        ("flat", "sollar", "carbon is 'sollar'.*did you mean 'solar'"),
        ("nowhere.csv", "flat", "nowhere.csv is not a file"),
    ],
)
def test_unknown_names(price: str, carbon: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load_signals(price, carbon)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("co2\n" + "1\n" * 23, "has 23 rows"),
        ("co2\n" + "1\n" * 24 + "-1\n", "line 26: column 'co2' is '-1'; a number from 0 to 5000"),
        ("co2\n" + "1\n" * 24 + "much\n", "line 26: column 'co2' is 'much'"),
    ],
)
def test_damaged_files(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "carbon.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        load_signals("flat", str(path))


@pytest.mark.parametrize(
    ("price", "carbon", "words"),
    [
        ("35.0", "400", r"column 'price' is '35.0'; a number from -5 to 5 USD per kWh \(not per MWh\) would be right"),
        ("-5.1", "400", "column 'price' is '-5.1'; a number from -5 to 5 USD per kWh"),
        ("0.1", "0.4", "carbon.csv: the largest carbon intensity is 0.4; grams, not kilograms, per kWh"),
        ("0.1", "1.99", "is 1.99; grams, not kilograms, per kWh"),
    ],
)
def test_units_of_another_size_are_refused(price: str, carbon: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "price.csv").write_text("price\n" + f"{price}\n" * 24)
    (tmp_path / "carbon.csv").write_text("carbon\n" + f"{carbon}\n" * 24)
    with pytest.raises(ValueError, match=words):
        load_signals(str(tmp_path / "price.csv"), str(tmp_path / "carbon.csv"))


def test_a_grid_without_carbon_and_prices_below_zero_are_possible(tmp_path: Path) -> None:
    (tmp_path / "price.csv").write_text("price\n" + "-0.5\n" * 24)
    (tmp_path / "carbon.csv").write_text("carbon\n" + "0\n" * 24)
    trace = load_signals(str(tmp_path / "price.csv"), str(tmp_path / "carbon.csv")).hours(0, 1)
    assert (trace.price_usd_per_kwh[0], trace.carbon_grams_per_kwh[0]) == (-0.5, 0.0)


def test_files_whose_columns_are_not_told_apart_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    path.write_text("hour,value\n" + "1,0.1\n" * 24)
    with pytest.raises(ValueError, match="has the columns hour, value; one with price or usd in its name is needed"):
        load_signals(str(path), "flat")
    path.write_text("0.1\n" * 25)
    with pytest.raises(ValueError, match="a header line with the columns' names would be right"):
        load_signals(str(path), "flat")
