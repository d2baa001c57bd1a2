"""DQN's nine actions on a site and a load that it never saw; everything else as in `cooling_held_out`."""

from __future__ import annotations

from typing import Any

from keel.runners.benchmarks.cooling_held_out import measure, table

__all__ = ["run", "table"]

AGENT, ENV = "dqn", "keel/DataCenterCoolingDiscrete-v0"


def run(
    *, seeds: int = 3, weather: str | None = None, workload: str | None = None, total_steps: int | None = None
) -> dict[str, Any]:
    """DQN with the masks of its preset; see `cooling_held_out.measure`."""
    return measure(AGENT, ENV, seeds, weather, workload, total_steps)
