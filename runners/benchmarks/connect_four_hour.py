"""What an hour of self-play at Connect Four reaches, with a larger network and larger searches."""

from __future__ import annotations

import dataclasses
from typing import Any

from keel.runners.benchmarks import connect_four
from keel.runners.benchmarks.connect_four import GAME, figures, trained_and_judged
from keel.runners.presets.selfplay import HOUR
from keel.runners.selfplay.settings import SelfPlaySettings

__all__ = ["figures", "run", "table"]


def run(*, minutes: float = 60.0, seed: int = 0, games: int = 200, folder: str | None = None) -> dict[str, Any]:
    """Train by the preset of an hour and judge. `folder`: of the run; by default under results/runs."""
    training = dataclasses.replace(HOUR.training, minutes=minutes)
    settings = SelfPlaySettings(GAME, seed, training, HOUR.hyperparameters, HOUR.backbone)
    return trained_and_judged(settings, games, folder)


def table(result: dict[str, Any]) -> str:
    """As of ten minutes."""
    return connect_four.table(result, "connect-four-hour")
