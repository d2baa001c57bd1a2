"""PPO's speed beside Stable-Baselines3's: the same work, in turn, in one process, on one torch thread."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from keel.agents.ppo import PPO, PPOConfig
from keel.envs.vector import make_vec
from keel.networks.backbone import MLPConfig
from keel.runners.benchmark import markdown_table
from keel.runners.loop import Loop

NUM_ENVS, NUM_STEPS, EPOCHS, MINIBATCH_SIZE = 8, 128, 4, 256  # 4 minibatches
WORK = f"{NUM_ENVS} envs x {NUM_STEPS} steps, {EPOCHS} epochs, 4 minibatches of {MINIBATCH_SIZE}, 64x64 tanh, one torch thread"

# Keel's world, the peer's, and the ratio that is wanted
PAIRS = (
    ("CartPole-v1", "CartPole-v1", 2.2),
    ("keel/CartPole-v0", "CartPole-v1", 3.0),
    ("LunarLander-v3", "LunarLander-v3", 2.5),
)


def run(*, rounds: int = 5, rollouts: int = 12) -> dict[str, Any]:
    """Environment steps per second of both, medians over `rounds` alternating measurements, and their ratios."""
    torch.set_num_threads(1)
    steps = rollouts * NUM_ENVS * NUM_STEPS
    rows = []
    for env, peer_env, wanted in PAIRS:
        ours, theirs = keel_training(env), sb3_training(peer_env)
        for training in (ours, theirs):
            training(steps // 4)  # warm up: compiled kernels, allocator, caches
        measured = [(speed(theirs, steps), speed(ours, steps)) for _ in range(rounds)]
        peer, keel = (statistics.median(column) for column in zip(*measured, strict=True))
        ratio = statistics.median(k / p for p, k in measured)
        rows.append(
            {
                "env": env,
                "peer_env": peer_env,
                "sb3_steps_per_second": peer,
                "keel_steps_per_second": keel,
                "ratio": ratio,
                "wanted": wanted,
                "rounds": [{"sb3": p, "keel": k} for p, k in measured],
            }
        )
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


def sb3_training(env_id: str) -> Any:
    """The same for Stable-Baselines3, set up as its documentation does."""
    import stable_baselines3
    from stable_baselines3.common.env_util import make_vec_env

    envs = make_vec_env(env_id, n_envs=NUM_ENVS, seed=0)
    model = stable_baselines3.PPO(
        "MlpPolicy", envs, n_steps=NUM_STEPS, n_epochs=EPOCHS, batch_size=MINIBATCH_SIZE, device="cpu", seed=0
    )
    return lambda steps: model.learn(steps, reset_num_timesteps=False)


def table(result: dict[str, Any]) -> str:
    """One line a world."""
    header = ["Keel's world", "peer's world", "SB3 steps/s", "Keel steps/s", "ratio", "wanted"]
    rows = [
        [
            row["env"],
            row["peer_env"],
            f"{row['sb3_steps_per_second']:,.0f}",
            f"{row['keel_steps_per_second']:,.0f}",
            f"{row['ratio']:.2f}",
            f"{row['wanted']:g}",
        ]
        for row in result["rows"]
    ]
    return f"{result['work']}.\n\n" + markdown_table(header, rows)
