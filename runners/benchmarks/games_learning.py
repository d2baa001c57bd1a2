"""What PPO, DQN and PQN reach in board games: trained against a player by lot, judged against it and a sharper one."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keel.networks.pretraining.audit import wilson
from keel.runners.benchmark import markdown_table
from keel.runners.benchmarks.learning import silent
from keel.runners.benchmarks.trainings import run_trainings
from keel.runners.options import default_settings
from keel.runners.presets.find import find_preset
from keel.runners.subjects import evaluate_subject, run_subject
from keel.runners.train import train

ENVS = ("keel/ConnectFour-v0", "keel/TicTacToe-v0")
AGENTS = ("ppo", "dqn", "pqn")
OPPONENTS = ("random", "one_ply")  # the first is the one that they learn against
EPISODES = 1_000
WANTED = 0.95  # of the games against the first
# By counting through the whole game: nobody wins more often against a player by lot, if lots choose who begins.
MOST_WINS = {"keel/TicTacToe-v0": 0.967}


def run(
    *, envs: list[str] | None = None, agents: list[str] | None = None, seeds: int = 3, jobs: int = 1
) -> dict[str, Any]:
    """One row a training, for each agent and world that has a preset: how 1,000 games of the best checkpoint ended
    against each opponent. Whether it moves first is drawn by lot in each game; the games chose no checkpoint.

    Args: envs, agents: these alone; jobs: trainings at a time, each on one thread of a process of its own.
    """
    pairs = [(agent, env) for env in envs or ENVS for agent in agents or AGENTS if find_preset(agent, env)]
    work = [(agent, env, seed) for agent, env in pairs for seed in range(seeds)]
    rows = run_trainings(train_and_judge, work, jobs)
    return {"episodes": EPISODES, "rows": rows}


def train_and_judge(agent: str, env: str, seed: int) -> dict[str, Any]:
    preset = default_settings(agent, env, None, {})
    training = dataclasses.replace(preset.training, checkpoint_every=0, video=False)
    settings = dataclasses.replace(preset, seed=seed, training=training)
    with tempfile.TemporaryDirectory() as folder:
        result = train(settings, run_dir=Path(folder) / "run", console=silent)
        subjects = {name: run_subject(result.run, env_options={"opponent": name}) for name in OPPONENTS}
        ended = {
            name: tally(evaluate_subject(subject, episodes=EPISODES, seed=seed)["returns"])
            for name, subject in subjects.items()
        }
    about = {"agent": agent, "env": env, "seed": seed, "steps": result.global_step}
    return about | {"training_seconds": round(result.training_seconds, 3), "against": ended}


def tally(returns: Sequence[float]) -> dict[str, int]:
    """Games of which each return is 1, 0 or -1, counted by how they ended."""
    signs = np.sign(returns)
    return {name: int((signs == sign).sum()) for name, sign in (("wins", 1), ("draws", 0), ("losses", -1))}


def table(result: dict[str, Any]) -> str:
    """One line an agent, world and opponent."""
    lines = []
    for env, agent in dict.fromkeys((row["env"], row["agent"]) for row in result["rows"]):
        rows = [row for row in result["rows"] if (row["env"], row["agent"]) == (env, agent)]
        lines += [_line(env, agent, opponent, rows) for opponent in OPPONENTS]
    header = ["world, agent", "against", "games won", "95 % interval", "drawn", "lost", "won by each seed"]
    header += [f"seeds that win {100 * WANTED:g} %", "steps", "training seconds, median"]
    notes = [
        f"{env}: nobody wins more than {percent(most)} of the games against random on average."
        for env, most in MOST_WINS.items()
        if any(row["env"] == env for row in result["rows"])
    ]
    why = (
        f"Each seed's best checkpoint plays {result['episodes']:,} games greedily, and lots choose who begins. "
        f"All were trained against {OPPONENTS[0]} alone. "
        "Intervals (Wilson) say how well the games tell what these networks win, not what other seeds would."
    )
    return "\n\n".join([markdown_table(header, lines), " ".join([why, *notes])])


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _line(env: str, agent: str, opponent: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    ended = [row["against"][opponent] for row in rows]
    games = [sum(tallied.values()) for tallied in ended]
    total = {name: sum(tallied[name] for tallied in ended) for name in ("wins", "draws", "losses")}
    low, high = wilson(total["wins"], sum(games))
    won = [tallied["wins"] / count for tallied, count in zip(ended, games, strict=True)]
    reached = f"{sum(share >= WANTED for share in won)} of {len(won)}" if opponent == OPPONENTS[0] else ""
    return [
        f"{env}, {agent}",
        opponent,
        percent(total["wins"] / sum(games)),
        f"{100 * low:.1f} to {percent(high)}",
        percent(total["draws"] / sum(games)),
        percent(total["losses"] / sum(games)),
        ", ".join(percent(share) for share in won),
        reached,
        f"{statistics.median(row['steps'] for row in rows):,.0f}",
        f"{statistics.median(row['training_seconds'] for row in rows):.0f}",
    ]
