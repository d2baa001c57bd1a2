"""Speed of the cooling world on one thread: a batch, a single Gymnasium environment, a reset, the first import."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from keel.envs.registry import register_all
from keel.envs.vector import make_vec
from keel.runners.benchmark import markdown_table

ENV = "keel/DataCenterCooling-v0"
# Steps a second of others on a machine of this size, as measured for Keel before (one thread).
PEERS = {"SustainDC, one hall": 471.0, "EnergyPlus, raw": 3800.0}
FIRST_USE = (
    "import time; begin = time.perf_counter(); import keel; "
    f"worlds = keel.make_vec('{ENV}', num_envs=1); worlds.reset(0); "
    "worlds.step(worlds.action_space.sample()[None]); print(time.perf_counter() - begin)"
)


def run(*, num_envs: int = 256, rounds: int = 7, seconds: float = 2.0) -> dict[str, Any]:
    """Medians and extremes over `rounds` of `seconds` each; everything is compiled before the clock starts."""
    batch = {f"batch of {num_envs}": {}, f"batch of {num_envs}, shield": {"shield": True}}
    measured = {
        name: [steps_per_second(num_envs, options, seconds) for _ in range(rounds)] for name, options in batch.items()
    }
    measured["single"] = [single_steps_per_second(seconds) for _ in range(rounds)]
    subprocess.run([sys.executable, "-c", FIRST_USE], check=True, capture_output=True)  # fills the cache
    return {
        "env": ENV,
        "num_envs": num_envs,
        "steps_per_second": measured,
        "reset_milliseconds": [reset_milliseconds(num_envs) for _ in range(rounds)],
        "first_use_seconds": [first_use_seconds() for _ in range(3)],
        "peers": PEERS,
    }


def steps_per_second(num_envs: int, options: dict[str, Any], seconds: float) -> float:
    """Worlds' steps of a vector environment with actions of chance, autoreset and checks included."""
    worlds = make_vec(ENV, num_envs, env_options=options)
    worlds.reset(0)
    actions = np.random.default_rng(0).uniform(-1, 1, (64, num_envs, 4)).astype(np.float32)
    worlds.step(actions[0])
    try:
        return num_envs * calls_per_second(lambda call: worlds.step(actions[call % 64]), seconds)
    finally:
        worlds.close()


def single_steps_per_second(seconds: float) -> float:
    """Steps of one plain Gymnasium environment, without the checker's wrapper."""
    register_all()
    env = gymnasium.make(ENV, disable_env_checker=True)
    env.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-1, 1, (64, 4)).astype(np.float32)
    env.step(actions[0])
    begin, calls = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        for action in actions:
            if env.step(action)[3]:
                env.reset()
        calls += len(actions)
    return calls / (time.perf_counter() - begin)


def calls_per_second(call: Callable[[int], Any], seconds: float) -> float:
    begin, calls = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        for _ in range(16):
            call(calls)
            calls += 1
    return calls / (time.perf_counter() - begin)


def reset_milliseconds(num_envs: int) -> float:
    """Of one world's week."""
    worlds = make_vec(ENV, num_envs)
    worlds.reset(0)
    begin = time.perf_counter()
    worlds.reset(1)
    return 1000.0 * (time.perf_counter() - begin) / num_envs


def first_use_seconds() -> float:
    """From the import of keel to the first step, in a new process whose cache is filled."""
    return float(subprocess.run([sys.executable, "-c", FIRST_USE], check=True, capture_output=True, text=True).stdout)


def table(result: dict[str, Any]) -> str:
    """One line a measurement."""
    header = ["measured", "median", "least", "most"]
    rows = [
        [f"{name}: steps/s", *(f"{value:,.0f}" for value in (statistics.median(values), min(values), max(values)))]
        for name, values in result["steps_per_second"].items()
    ]
    for name, unit in (
        ("reset_milliseconds", "reset of a week: ms"),
        ("first_use_seconds", "import to first step, cached: s"),
    ):
        values = result[name]
        rows.append([unit, *(f"{value:.2f}" for value in (statistics.median(values), min(values), max(values)))])
    fastest = statistics.median(result["steps_per_second"][f"batch of {result['num_envs']}"])
    peers = [
        f"{fastest / speed:,.0f} times {name} ({speed:,.0f} steps/s, measured earlier, not in this run)"
        for name, speed in result["peers"].items()
    ]
    return markdown_table(header, rows) + "\n\nThe batch is " + "; ".join(peers) + "."
