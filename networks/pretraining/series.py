"""Forecasts of daily prices: features of the past, a split by date that gives nothing away, and a network with memory.

Whatever the target, it is a change from the last known value, in units of its spread in training: the forecast 0 is the
naive one that nothing changes, and `skill` says how much of its squared error a forecast removes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from keel.networks.backbone import GRUConfig, LSTMConfig, MemoryConfig, TransformerConfig
from keel.networks.build import build_backbone
from keel.networks.initialise import orthogonal
from keel.networks.pretraining import prices
from keel.networks.pretraining.data import Array, Data, Split
from keel.networks.pretraining.learner import (
    Chance,
    FitConfig,
    Metrics,
    Objective,
    Plan,
    Supervised,
    torch_chance,
)
from keel.networks.pretraining.prices import Prices

WEEK, MONTH = 5, 22  # trading days, as in the heterogeneous autoregression of Corsi 2009
FRACTIONS = (0.7, 0.15, 0.15)  # of all trading days, in order: train, validation, test
LIMIT = 5.0  # scaled features are cut to ± so many standard deviations: crashes are rare and far out
LEAST_VARIANCE = 1e-10  # of daily log returns: days without a trade have no logarithm
SOURCES = {"stocks": prices.sample, "prices": prices.from_folder}


@dataclass(frozen=True)
class SeriesConfig:
    """Settings of a forecaster."""

    fit: FitConfig = field(default_factory=FitConfig)
    target: Literal["return", "volatility"] = "return"
    """`return`: the logarithm of the price so many days ahead, less that of the last one. `volatility`: the logarithm
    of the root mean squared daily return over so many days ahead, less that over as many days until now."""
    horizon_days: int = 1
    """Trading days ahead."""
    window_days: int = 32
    """Trading days of the past that the network reads."""
    dropout: float = 0.2
    """Of the features before the last layer (Srivastava et al. 2014)."""

    def __post_init__(self) -> None:
        least = 2 if self.target == "volatility" else 1
        if self.horizon_days < least:
            advice = ": volatility takes two days or more, such as 5" if least == 2 else ": it must be at least 1"
            raise ValueError(f"horizon_days is {self.horizon_days}{advice}")
        if self.window_days < 1:
            raise ValueError(f"window_days is {self.window_days}: it must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}: it must lie in [0, 1)")


class Windows(NamedTuple):
    """N forecasts to make: `inputs` [N window F] until the end of a `date` [N], the `target` [N] after it, the last
    known `level` [N] that the target is a change from, and `symbol` [N]; `first` and `last` [N] are the days between
    which lies all that a forecast reads, however indirectly, and foretells."""

    inputs: Array
    target: Array
    level: Array
    date: Array
    symbol: Array
    first: Array
    last: Array

    def rows(self, chosen: Array) -> Windows:
        return Windows(*(part[chosen] for part in self))


class Forecaster(nn.Module):
    """Features [B T F] of the past -> the scaled change [B] that comes, from the backbone's features of the last day."""

    def __init__(self, inputs: int, dropout: float, backbone: MemoryConfig) -> None:
        super().__init__()
        self.backbone: Any = build_backbone((inputs,), backbone)
        self.dropout = nn.Dropout(dropout)
        self.head = orthogonal(nn.Linear(self.backbone.features, 1), gain=0.01)  # begins as the naive forecast

    def forward(self, windows: Tensor) -> Tensor:
        days = windows.transpose(0, 1)
        features, _ = self.backbone(days, (), torch.zeros(days.shape[:2], dtype=torch.bool, device=days.device))
        return self.head(self.dropout(features[-1])).squeeze(-1)


def preset(kind: str, task: str) -> Plan:
    """What is known to do no harm: small networks, few epochs, and the best one on the validation days."""
    config = SeriesConfig(FitConfig(batch_size=128, learning_rate=3e-3, weight_decay=0.1))
    if kind == "transformer":
        return Plan(kind, task, 15, 5, config, TransformerConfig(width=32, layers=1, heads=4, window=32, hidden=()))
    memory = {"gru": GRUConfig, "lstm": LSTMConfig}[kind](width=32, layers=1, hidden=())
    return Plan(kind, task, 15, 5, config, memory)


def build(plan: Plan, chance: Chance, device: torch.device) -> Supervised:
    """Finds the data of the plan's task and makes the learner; `chance` also gives the initial weights."""
    series, source = SOURCES[plan.task](plan.data_dir)
    return learner(scaled(split_by_date(series, plan.config), plan, source), plan, chance, device)


def learner(data: Data, plan: Plan, chance: Chance, device: torch.device) -> Supervised:
    """The learner for windows that are already scaled."""
    config: SeriesConfig = plan.config
    assert isinstance(plan.backbone, GRUConfig | TransformerConfig)
    with torch_chance(chance("network", 0)):
        network = Forecaster(data.shape[1], config.dropout, plan.backbone)
    return Supervised(network, data, regression(), config.fit, epochs=plan.epochs, chance=chance, device=device)


def regression() -> Objective:
    """Changes [N] from forecasts [N]: the squared error, and the skill beside the forecast that nothing changes."""
    return Objective(lambda forecast, change: (forecast - change).square().mean(), regression_metrics, "skill")


def regression_metrics(forecast: Array, change: Array) -> Metrics:
    """`skill` is 1 - sum (change - forecast)^2 / sum change^2, and `direction` the part of forecasts whose sign is
    right, of the changes that have one."""
    error = forecast.astype(np.float64) - change
    moved = change != 0
    return {
        "loss": float(np.square(error).mean()),
        "mean_absolute_error": float(np.abs(error).mean()),
        "skill": float(1 - np.square(error).sum() / np.square(change.astype(np.float64)).sum()),
        "direction": float((np.sign(forecast) == np.sign(change))[moved].mean()) if moved.any() else 0.0,
    }


def features(series: Prices) -> tuple[Array, tuple[str, ...]]:
    """What is known at the end of each day, [N F] float64, and what it is called; nan where the past is too short.

    The daily log return, the logarithms of the root mean squared return over a week and a month; and where the source
    has them the range log(high / low), the return since the opening, and the logarithm of the money traded beside its
    mean over a month. Nothing depends on a later day.
    """
    change = daily_returns(series)
    columns = {"return": change, "week_volatility": log_volatility(change, WEEK)}
    columns["month_volatility"] = log_volatility(change, MONTH)
    if series.bar is not None:
        opening, high, low, volume = series.bar.T
        money = np.log(series.close * volume + 1.0)
        columns["range"] = np.log(high / low)
        columns["since_opening"] = np.log(series.close / opening)
        columns["money"] = money - trailing_mean(money, MONTH)
    return np.stack([*columns.values()], axis=1), tuple(columns)


def daily_returns(series: Prices) -> Array:
    """The log return [N] of each day on the one before; nan on the first."""
    return np.diff(np.log(series.adjusted), prepend=np.nan)


def log_volatility(change: Array, days: int) -> Array:
    """The logarithm of the root mean squared return over the `days` until each."""
    return 0.5 * np.log(trailing_mean(np.square(change), days) + LEAST_VARIANCE)


def trailing_mean(values: Array, days: int) -> Array:
    """The mean [N] over the `days` until each; nan where there are fewer."""
    result = np.full(len(values), np.nan)
    if len(values) >= days:
        result[days - 1 :] = np.lib.stride_tricks.sliding_window_view(values, days).mean(axis=1)
    return result


def windows(series: Prices, config: SeriesConfig) -> Windows:
    """Every forecast that a symbol allows: days with a whole window of features before and the horizon after them."""
    known, _ = features(series)
    ahead, change = config.horizon_days, daily_returns(series)
    level = np.log(series.adjusted) if config.target == "return" else log_volatility(change, ahead)
    target = np.full(len(series), np.nan)
    target[:-ahead] = level[ahead:] - level[:-ahead]  # both spans of a volatility are whole and do not overlap
    whole = trailing_mean(np.isfinite(known).all(axis=1).astype(float), config.window_days) == 1
    days = np.flatnonzero(whole & np.isfinite(target))
    inputs = known[days[:, None] + np.arange(1 - config.window_days, 1)]
    first = series.date[days - max(config.window_days - 1 + MONTH, ahead)]
    symbol = np.full(len(days), series.symbol)
    return Windows(inputs, target[days], level[days], series.date[days], symbol, first, series.date[days + ahead])


def split_by_date(series: Sequence[Prices], config: SeriesConfig) -> tuple[Windows, Windows, Windows]:
    """Train, validation and test, one after the other in time and at the same dates for all symbols.

    Each has the windows that lie within its dates from the first day read to the last foretold, so no day serves two
    of them, and between their forecasts lies a gap as long as all that.

    Raises:
        ValueError: there are too few days.
    """
    calendar = np.unique(np.concatenate([prices.date for prices in series]))
    parts = [windows(prices, config) for prices in series]
    every = Windows(*(np.concatenate([getattr(part, name) for part in parts]) for name in Windows._fields))
    every = every.rows(np.argsort(every.date, kind="stable"))
    edges = np.round(np.cumsum(FRACTIONS) * len(calendar)).astype(int)
    chosen = []
    for days in np.split(calendar, edges[:-1]):
        inside = (every.first >= days[0]) & (every.last <= days[-1]) if len(days) else np.zeros(len(every.date), bool)
        if not inside.any():
            least = round((config.window_days + MONTH + config.horizon_days) / min(FRACTIONS))
            raise ValueError(f"{len(calendar)} trading days are too few to split: give more than {least}")
        chosen.append(every.rows(inside))
    return chosen[0], chosen[1], chosen[2]


def scaled(parts: tuple[Windows, Windows, Windows], plan: Plan, source: str) -> Data:
    """The windows in units of the training data's: features less their mean and over their standard deviation, targets
    over their root mean square. Groups are the symbols; `details` holds the scales and the dates."""
    past = parts[0].inputs
    center, spread = past.mean(axis=(0, 1)), past.std(axis=(0, 1))
    spread = np.where(spread > 0, spread, 1.0)
    unit = float(np.sqrt(np.square(parts[0].target).mean())) or 1.0

    def split(part: Windows) -> Split:
        inputs = np.clip((part.inputs - center) / spread, -LIMIT, LIMIT)
        return Split(inputs.astype(np.float32), (part.target / unit).astype(np.float32), part.symbol)

    details = {
        "target": plan.config.target,
        "center": center.tolist(),
        "spread": spread.tolist(),
        "target_unit": unit,
        "days": {
            name: [str(part.date.min()), str(part.date.max())]
            for name, part in zip(("train", "validation", "test"), parts, strict=True)
        },
        "test_dates": parts[2].date.astype(str).tolist(),
    }
    train, validation, test = map(split, parts)
    return Data(plan.task, source, plan.task == "stocks", train, validation, test, details=details)
