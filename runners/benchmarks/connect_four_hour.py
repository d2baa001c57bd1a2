"""What an hour of self-play at Connect Four reaches, with a larger network and larger searches."""

from __future__ import annotations

import dataclasses
from typing import Any

from keel.runners.benchmarks import connect_four
from keel.runners.benchmarks.connect_four import GAME, figures, judged_seeds
from keel.runners.presets.selfplay import HOUR
from keel.runners.selfplay.settings import SelfPlaySettings

__all__ = ["figures", "run", "table"]


def run(*, minutes: float = 60.0, seeds: int = 1, games: int = 200) -> dict[str, Any]:
    """Train by the preset of an hour with each seed, and judge."""
    training = dataclasses.replace(HOUR.training, minutes=minutes)
    settings = SelfPlaySettings(GAME, 0, training, HOUR.hyperparameters, HOUR.backbone)
    return judged_seeds(settings, seeds, games)


def table(result: dict[str, Any]) -> str:
    """As of ten minutes."""
    return connect_four.table(result, "connect-four-hour")
