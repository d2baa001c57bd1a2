"""DQN beside the DQN and the PPO of Stable-Baselines3: the same worlds, the same number of steps, the last weights."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keel.runners.benchmark import markdown_table
from keel.runners.benchmarks.learning import EPISODES, silent
from keel.runners.benchmarks.trainings import run_trainings
from keel.runners.seed_statistics import interquartile_mean, stratified_bootstrap_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = {"CartPole-v1": 50_000, "Acrobot-v1": 50_000, "LunarLander-v3": 100_000}
WHO = ("Keel dqn", "Keel ppo", "SB3 DQN", "SB3 PPO")

# The settings of rl-baselines3-zoo, hyperparams/dqn.yml and ppo.yml, for these worlds.
_DEEP = {"net_arch": [256, 256]}
_TUNED: dict[str, Any] = {
    "learning_rate": 6.3e-4,
    "batch_size": 128,
    "buffer_size": 50_000,
    "learning_starts": 0,
    "target_update_interval": 250,
    "train_freq": 4,
    "gradient_steps": -1,
    "exploration_fraction": 0.12,
    "exploration_final_eps": 0.1,
    "policy_kwargs": _DEEP,
}
ZOO_DQN: dict[str, dict[str, Any]] = {
    "CartPole-v1": {
        "learning_rate": 2.3e-3,
        "batch_size": 64,
        "buffer_size": 100_000,
        "learning_starts": 1_000,
        "target_update_interval": 10,
        "train_freq": 256,
        "gradient_steps": 128,
        "exploration_fraction": 0.16,
        "exploration_final_eps": 0.04,
        "policy_kwargs": _DEEP,
    },
    "Acrobot-v1": _TUNED,
    "LunarLander-v3": _TUNED,
}
ZOO_PPO: dict[str, dict[str, Any]] = {
    "CartPole-v1": {
        "n_envs": 8,
        "n_steps": 32,
        "batch_size": 256,
        "gae_lambda": 0.8,
        "gamma": 0.98,
        "n_epochs": 20,
        "learning_rate": lambda left: 1e-3 * left,
        "clip_range": lambda left: 0.2 * left,
    },
    "Acrobot-v1": {"n_envs": 16, "normalise": True, "n_steps": 256, "gae_lambda": 0.94, "n_epochs": 4},
    "LunarLander-v3": {
        "n_envs": 16,
        "n_steps": 1_024,
        "batch_size": 64,
        "gae_lambda": 0.98,
        "gamma": 0.999,
        "n_epochs": 4,
        "ent_coef": 0.01,
    },
}


def run(
    *, envs: list[str] | None = None, who: list[str] | None = None, seeds: int = 5, jobs: int = 1
) -> dict[str, Any]:
    """One row a seed: mean return of 100 greedy episodes of the last weights, and seconds of training.

    Args: envs, who: these alone; jobs: trainings at a time, each on one thread of a process of its own.
    """
    work = [(name, env, seed) for env in envs or STEPS for name in who or WHO for seed in range(seeds)]
    rows = run_trainings(train_and_judge, work, jobs)
    return {"steps": STEPS, "episodes": EPISODES, "rows": rows}


def train_and_judge(who: str, env: str, seed: int) -> dict[str, Any]:
    library, algorithm = who.split()
    mean, seconds = (_keel if library == "Keel" else _sb3)(algorithm, env, seed)
    return {"who": who, "env": env, "seed": seed, "mean": mean, "training_seconds": round(seconds, 1)}


def _keel(algorithm: str, env: str, seed: int) -> tuple[float, float]:
    from keel.runners.options import default_settings
    from keel.runners.subjects import evaluate_run
    from keel.runners.train import train

    preset = default_settings(algorithm, env, None, {})
    training = dataclasses.replace(
        preset.training, total_steps=STEPS[env], evaluate_every=0, checkpoint_every=0, video=False
    )
    with tempfile.TemporaryDirectory() as folder:
        settings = dataclasses.replace(preset, seed=seed, training=training)
        result = train(settings, run_dir=Path(folder) / "run", console=silent)
        judged = evaluate_run(result.run, episodes=EPISODES, seed=seed, which="last", device="cpu")
    return judged["mean"], result.training_seconds


def _sb3(algorithm: str, env: str, seed: int) -> tuple[float, float]:
    import stable_baselines3
    import torch
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.vec_env import VecNormalize

    torch.set_num_threads(1)
    settings = dict((ZOO_DQN if algorithm == "DQN" else ZOO_PPO)[env])
    normalise = settings.pop("normalise", False)
    options = {"render_mode": None}  # SB3's own default draws, and LunarLander then simulates exhaust particles
    worlds = make_vec_env(env, n_envs=settings.pop("n_envs", 1), seed=seed, env_kwargs=options)
    test: Any = make_vec_env(env, n_envs=10, seed=10_000 + seed, env_kwargs=options)
    if normalise:
        worlds = VecNormalize(worlds)
        test = VecNormalize(test, training=False, norm_reward=False)
        test.obs_rms = worlds.obs_rms
    model = getattr(stable_baselines3, algorithm)("MlpPolicy", worlds, device="cpu", seed=seed, **settings)
    start = time.perf_counter()
    model.learn(STEPS[env])
    seconds = time.perf_counter() - start
    mean, _ = evaluate_policy(model, test, n_eval_episodes=EPISODES, deterministic=True, warn=False)
    return float(np.mean(mean)), seconds


def summary(result: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a world and learner: IQM over seeds with its 95 % interval, and the median seconds."""
    rows = []
    for env in dict.fromkeys(row["env"] for row in result["rows"]):
        for who in WHO:
            found = [row for row in result["rows"] if (row["env"], row["who"]) == (env, who)]
            if not found:
                continue
            scores = np.array([row["mean"] for row in found])
            low, high = stratified_bootstrap_interval(scores[:, None])
            rows.append(
                {
                    "env": env,
                    "who": who,
                    "iqm": float(interquartile_mean(scores)),
                    "low": low,
                    "high": high,
                    "scores": scores.tolist(),
                    "seconds": float(np.median([row["training_seconds"] for row in found])),
                }
            )
    return rows


def table(result: dict[str, Any]) -> str:
    """One line a world and learner."""
    header = ["world, learner", "steps", "IQM", "95 % interval", "lowest seed", "highest seed", "seconds, median"]
    lines = [
        [
            f"{row['env']}, {row['who']}",
            f"{result['steps'][row['env']]:,}",
            f"{row['iqm']:.1f}",
            f"{row['low']:.1f} … {row['high']:.1f}",
            f"{min(row['scores']):.1f}",
            f"{max(row['scores']):.1f}",
            f"{row['seconds']:.0f}",
        ]
        for row in summary(result)
    ]
    seeds = 1 + max(row["seed"] for row in result["rows"])
    introduction = (
        f"The last weights after the same number of steps, judged on {result['episodes']} greedy episodes; {seeds} "
        "seeds, their interquartile mean and its bootstrap interval. SB3 with the settings of rl-baselines3-zoo, Keel "
        "with its presets, their schedules drawn out or in to this length; one thread each. PPO is made for longer "
        "trainings than these."
    )
    return introduction + "\n\n" + markdown_table(header, lines)


def figures(result: dict[str, Any]) -> dict[str, Figure]:
    """Every world: the interval of every learner."""
    from keel.runners.benchmarks.intervals import interval_figure

    rows = summary(result)
    return {
        "returns": interval_figure(
            {
                env: [
                    (row["who"], row["iqm"], row["low"], row["high"], row["scores"])
                    for row in rows
                    if row["env"] == env
                ]
                for env in dict.fromkeys(row["env"] for row in rows)
            },
            "mean return of 100 greedy episodes (IQM over seeds, 95 % interval; dots: seeds)",
        )
    }
