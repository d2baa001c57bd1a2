"""PPO's speed beside Stable-Baselines3's: the same work, in turn, in one process, on one torch thread."""

from __future__ import annotations

import statistics
import time
from typing import Any, NamedTuple

import torch

from keel.agents.ppo import PPO, PPOConfig
from keel.envs.vector import make_vec
from keel.networks.backbone import MLPConfig
from keel.runners.benchmark import markdown_table
from keel.runners.loop import Loop

NUM_ENVS, NUM_STEPS, EPOCHS, MINIBATCH_SIZE = 8, 128, 4, 256  # 4 minibatches
WORK = f"{NUM_ENVS} envs x {NUM_STEPS} steps, {EPOCHS} epochs, 4 minibatches of {MINIBATCH_SIZE}, 64x64 tanh, one torch thread"


class Pair(NamedTuple):
    env: str
    peer_env: str
    wanted: float | None
    peer_options: dict[str, Any]
    note: str


PAIRS = (
    Pair("CartPole-v1", "CartPole-v1", 2.2, {}, ""),
    Pair("keel/CartPole-v0", "CartPole-v1", 3.0, {}, ""),
    Pair("LunarLander-v3", "LunarLander-v3", 2.5, {}, "SB3's make_vec_env draws, and so simulates exhaust particles"),
    Pair("LunarLander-v3", "LunarLander-v3", None, {"render_mode": None}, "the same, told not to draw"),
)


def run(*, rounds: int = 5, rollouts: int = 12) -> dict[str, Any]:
    """Environment steps per second of both, medians over `rounds` alternating measurements, and their ratios."""
    torch.set_num_threads(1)
    steps = rollouts * NUM_ENVS * NUM_STEPS
    rows = []
    for pair in PAIRS:
        ours, theirs = keel_training(pair.env), sb3_training(pair.peer_env, pair.peer_options)
        for training in (ours, theirs):
            training(steps // 4)  # warm up: compiled kernels, allocator, caches
        measured = [(speed(theirs, steps), speed(ours, steps)) for _ in range(rounds)]
        peer, keel = (statistics.median(column) for column in zip(*measured, strict=True))
        row = {"env": pair.env, "peer_env": pair.peer_env, "peer_options": pair.peer_options, "note": pair.note}
        row |= {"sb3_steps_per_second": peer, "keel_steps_per_second": keel}
        row |= {"ratio": statistics.median(k / p for p, k in measured), "wanted": pair.wanted}
        rows.append(row | {"rounds": [{"sb3": p, "keel": k} for p, k in measured]})
    return {"work": WORK, "steps_per_measurement": steps, "rows": rows}


def speed(training: Any, steps: int) -> float:
    start = time.perf_counter()
    training(steps)
    return steps / (time.perf_counter() - start)


def keel_training(env_id: str) -> Any:
    """A function that trains Keel's PPO for a number of steps, going on where it stopped."""
    envs = make_vec(env_id, NUM_ENVS)
    config = PPOConfig(num_steps=NUM_STEPS, epochs=EPOCHS, minibatch_size=MINIBATCH_SIZE)
    agent = PPO(
        envs.observation_space,
        envs.action_space,
        num_envs=NUM_ENVS,
        total_steps=10**9,
        config=config,
        backbone=MLPConfig(),
        seed=0,
        device=torch.device("cpu"),
    )
    loop = Loop(agent, envs, seed=0)
    loop.start()
    return lambda steps: loop.run(loop.global_step + steps, lambda metrics: False)


def sb3_training(env_id: str, options: dict[str, Any]) -> Any:
    """The same for Stable-Baselines3, set up as its documentation does."""
    import stable_baselines3
    from stable_baselines3.common.env_util import make_vec_env

    envs = make_vec_env(env_id, n_envs=NUM_ENVS, seed=0, env_kwargs=options)
    model = stable_baselines3.PPO(
        "MlpPolicy", envs, n_steps=NUM_STEPS, n_epochs=EPOCHS, batch_size=MINIBATCH_SIZE, device="cpu", seed=0
    )
    return lambda steps: model.learn(steps, reset_num_timesteps=False)


def table(result: dict[str, Any]) -> str:
    """One line a pair."""
    header = ["Keel's world", "peer's world", "SB3 steps/s", "Keel steps/s", "ratio", "wanted", "note"]
    rows = []
    for row in result["rows"]:
        speeds = [f"{row[name]:,.0f}" for name in ("sb3_steps_per_second", "keel_steps_per_second")]
        wanted = "" if row["wanted"] is None else f"{row['wanted']:g}"
        rows.append([row["env"], row["peer_env"], *speeds, f"{row['ratio']:.2f}", wanted, row["note"]])
    return f"{result['work']}.\n\n" + markdown_table(header, rows)
