"""What electricity costs and how much carbon it brings, hour by hour; no chance in it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from keel.envs.cooling.files import Column, read_column, wrapped
from keel.envs.errors import closest
from keel.envs.protocol import Array

HOURS_PER_YEAR = 8760
MAX_CSV_BYTES = 20_000_000
PRICE_COLUMN = Column(("price", "usd"), -5.0, 5.0, "USD per kWh (not per MWh)")
CARBON_COLUMN = Column(("carbon", "co2"), 0.0, 5000.0, "grams per kWh")
FLAT_PRICE = 0.12  # USD per kWh, about what industry pays
FLAT_CARBON = 380.0  # grams of CO2 per kWh, about the mean of the United States

# The rates of the time-of-use example in dc-rl (HewlettPackard/dc-rl, utils/reward_creator.py): the night, the morning
# peak, midday and the evening. That weekends have the night's rate all day is ours.
NIGHT_PRICE, MORNING_PRICE, MIDDAY_PRICE, EVENING_PRICE = 0.25, 0.41, 0.30, 0.27
WEEKDAY_PRICES = np.repeat(
    [NIGHT_PRICE, MORNING_PRICE, MIDDAY_PRICE, EVENING_PRICE, NIGHT_PRICE], [6, 5, 5, 6, 2]
)  # changes at 6, 11, 16 and 22 o'clock

# A grid with much sun, illustrative: the shape that is called a duck, low at noon and high in the evening.
SOLAR_CARBON = np.array(
    [400, 395, 390, 390, 395, 405, 400, 350, 280, 225, 195, 180, 175, 180, 195, 230, 300, 390, 460, 480, 470, 450, 430, 410],
    np.float64,
)  # fmt: skip


class SignalTrace(NamedTuple):
    """Hourly values, local standard time."""

    price_usd_per_kwh: Array  # [hours] float64
    carbon_grams_per_kwh: Array  # [hours] float64, grams of CO2


class Signals:
    """Hourly price and carbon intensity, each repeated from its beginning after its end."""

    def __init__(self, price_usd_per_kwh: Array, carbon_grams_per_kwh: Array) -> None:
        self._price = price_usd_per_kwh
        self._carbon = carbon_grams_per_kwh

    def hours(self, first_hour: int, count: int) -> SignalTrace:
        """`count` hours, the first of which starts `first_hour` hours after the start of the year."""
        return SignalTrace(wrapped(self._price, first_hour, count), wrapped(self._carbon, first_hour, count))


def time_of_use_prices() -> Array:
    """A year that starts on a Monday: [8760] USD per kWh, by the hour on weekdays, the night's rate on weekends."""
    week = np.concatenate([np.tile(WEEKDAY_PRICES, 5), np.full(48, NIGHT_PRICE)])
    return wrapped(week, 0, HOURS_PER_YEAR)


def load_signals(price: str, carbon: str) -> Signals:
    """The signals by name or from hourly CSV files that start with the year.

    Args:
        price: "flat" (0.12 USD/kWh), "time-of-use" (0.25 to 0.41 USD/kWh), or a .csv path: a header line, then USD/kWh,
            -5 to 5 (not USD/MWh), in the first column whose name has "price" or "usd", or in the only one.
        carbon: "flat" (380 g/kWh), "solar" (175 to 480 g/kWh, low at noon), or a .csv path: a header line, then grams of
            CO2 per kWh (not kg), 0 to 5000, in the first column whose name has "carbon" or "co2", or in the only one.

    Raises: ValueError for an unknown name or a damaged file.
    """
    prices = {"flat": np.array([FLAT_PRICE]), "time-of-use": time_of_use_prices()}
    carbons = {"flat": np.array([FLAT_CARBON]), "solar": SOLAR_CARBON}
    price_usd_per_kwh = _load("price", price, prices, PRICE_COLUMN)
    carbon_grams_per_kwh = _load("carbon", carbon, carbons, CARBON_COLUMN)
    if 0.0 < carbon_grams_per_kwh.max() < 2.0:
        raise ValueError(
            f"{carbon}: the largest carbon intensity is {carbon_grams_per_kwh.max():g}; grams, not kilograms, per kWh "
            "would be right"
        )
    return Signals(price_usd_per_kwh, carbon_grams_per_kwh)


def _load(kind: str, spec: str, known: dict[str, Array], column: Column) -> Array:
    if spec in known:
        return known[spec]
    if spec.lower().endswith(".csv"):
        return read_column(Path(spec), column, min_rows=24, max_bytes=MAX_CSV_BYTES)
    names = ", ".join(f"'{name}'" for name in known)
    raise ValueError(f"{kind} is {spec!r}; {names} or the path of a .csv file would be right{closest(spec, known)}")
