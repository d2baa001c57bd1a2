"""Does tuning pay? PPO on CartPole-v1 tuned for a few trials, and what came of it on seeds that chose nothing."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Any

from keel.runners.benchmark import markdown_table
from keel.runners.tune.command import make_plan, run_study
from keel.runners.tune.console import shown_setting, shown_value


def run(
    *,
    agent: str = "ppo",
    env: str = "CartPole-v1",
    trials: int = 20,
    seeds_per_trial: int = 3,
    verify: int = 20,
    jobs: int = 1,
    objective: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """A study and its verification.

    Args: verify: held-out seeds, on each of which the best settings and the preset train; jobs: trainings at a time.
    """
    if verify < 1:
        raise ValueError("verify must be at least 1: without held-out seeds there is no verdict")
    arguments = ["--env", env, "--seed", str(seed)]
    own = ["--seeds-per-trial", str(seeds_per_trial), *(["--objective", objective] if objective else [])]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        plan = make_plan([agent, *arguments, *own])
        study, _ = run_study(plan, Path("study"), trials=trials, jobs=jobs, seeds=verify, stream=sys.stderr)
    return {"study": study}


def table(result: dict[str, Any]) -> str:
    """The verdict in a sentence, both sides in numbers, and the settings that were found."""
    study = result["study"]
    best, found = study["best"], study["verification"]
    if best is None or found is None:
        return "No settings better than the preset were found, so there was nothing to verify."
    rows = []
    for name, side in (("tuned", found["tuned"]), ("preset", found["before"])):
        low, high = side["interval"]
        numbers = [shown_value(side["interquartile_mean"]), f"{shown_value(low)} … {shown_value(high)}"]
        medians = [f"{side['median_steps']:,.0f}", f"{side['median_seconds']:.2f}"]
        rows.append([name, *medians, *numbers, f"{side['solved']} of {found['seeds']}"])
    unit = study["objective"]["name"]
    header = ["settings", "steps, median", "seconds, median", f"{unit}, IQM", "95 %", "solved"]
    settings = [
        [name, shown_setting(before), shown_setting(best["settings"][name])]
        for name, before in study["tuned_from"].items()
    ]
    states = [trial["state"] for trial in study["trials"]]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("complete", "pruned", "failed"))
    return "\n\n".join(
        [
            found["words"],
            markdown_table(header, rows),
            f"{counts} trials of {study['seeds_per_trial']} seeds each. What trial {best['number']} changed:",
            markdown_table(["setting", "preset", "tuned"], settings),
        ]
    )
