"""What a million Atari transitions take: a replay is filled to the last slot in a process of its own, whose resident
memory is read before and after."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import sys
import time
from typing import Any

import numpy as np

from keel.agents.replay import FrameStack, Replay
from keel.envs.protocol import Step
from keel.runners.benchmark import markdown_table

STACK, SIDE, NUM_ENVS, EPISODE_STEPS = 4, 84, 8, 1_000
LITTLE = 2_000
WANTED_BYTES = 7.2e9
# Stable-Baselines3's ReplayBuffer keeps observation and next observation, stacked; or the observation alone.
SB3_BYTES_PER_TRANSITION = {"SB3": 2 * STACK * SIDE * SIDE, "SB3, optimize_memory_usage": STACK * SIDE * SIDE}


def run(*, capacity: int = 1_000_000, prioritised: bool = True) -> dict[str, Any]:
    """Fills a replay of `capacity` transitions of random frames, with an end every 1,000 steps."""
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        measured = pool.submit(fill, capacity, prioritised).result()
    peers = {name: size * capacity for name, size in SB3_BYTES_PER_TRANSITION.items()}
    return {"capacity": capacity, "prioritised": prioritised, **measured, "computed_for_sb3": peers}


def fill(capacity: int, prioritised: bool) -> dict[str, Any]:
    """Resident bytes of this process beyond what it had before; also samples, so that nothing is left untouched."""
    if capacity > LITTLE:
        fill(LITTLE, prioritised)  # what compiled code takes is not the replay's
    exponent = 0.5 if prioritised else None
    frames = FrameStack(STACK, 0)
    replay = Replay(capacity, NUM_ENVS, n_step=3, gamma=0.99, frames=frames, priority_exponent=exponent)
    chance = np.random.default_rng(0)
    stack = _first(chance)
    first = np.ones(NUM_ENVS, bool)
    before, start = resident_bytes(), time.perf_counter()
    for step in range(1, capacity // NUM_ENVS + 1):
        frame = chance.integers(0, 256, (NUM_ENVS, 1, SIDE, SIDE), np.uint8)
        following = np.concatenate([stack[:, 1:], frame], axis=1)
        over = np.full(NUM_ENVS, step % EPISODE_STEPS == 0)
        final = following if over[0] else None
        following = _first(chance) if over[0] else following
        none = np.zeros(NUM_ENVS, bool)
        replay.add(
            stack, np.zeros(NUM_ENVS, np.int64), Step(following, np.zeros(NUM_ENVS), none, over, final, {}), first
        )
        stack, first = following, over
    seconds = time.perf_counter() - start
    batch = replay.sample(chance.random(32))
    assert isinstance(batch.observation, np.ndarray)
    return {
        "transitions": capacity // NUM_ENVS * NUM_ENVS,
        "resident_bytes": resident_bytes() - before,
        "array_bytes": replay.nbytes,
        "seconds_to_fill": round(seconds, 1),
        "wanted_bytes": WANTED_BYTES,
        "batch_shape": list(batch.observation.shape),
    }


def _first(chance: np.random.Generator) -> np.ndarray[Any, Any]:
    return np.repeat(chance.integers(0, 256, (NUM_ENVS, 1, SIDE, SIDE), np.uint8), STACK, axis=1)


def resident_bytes() -> int:
    """Of this process now; on other systems than Linux the most it ever was."""
    import resource

    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def table(result: dict[str, Any]) -> str:
    """Measured bytes beside what the peer's arrays take."""
    lines = [
        ["Keel, measured", f"{result['resident_bytes'] / 1e9:.2f}", f"at most {result['wanted_bytes'] / 1e9:.1f}"],
        ["Keel, its arrays", f"{result['array_bytes'] / 1e9:.2f}", ""],
        *([f"{name}, computed", f"{size / 1e9:.1f}", ""] for name, size in result["computed_for_sb3"].items()),
    ]
    kind = "prioritised" if result["prioritised"] else "uniform"
    introduction = (
        f"A {kind} replay of {result['transitions']:,} transitions of {STACK} stacked {SIDE} x {SIDE} frames, 3 steps, "
        f"filled in {result['seconds_to_fill']:.0f} s: what the process grew by, in GB (10^9 bytes)."
    )
    return introduction + "\n\n" + markdown_table(["replay", "GB", "wanted"], lines)
