"""DQN's speed beside Stable-Baselines3's: the same work, in turn, in one process, on one torch thread."""

from __future__ import annotations

import statistics
from typing import Any, NamedTuple

import torch

from keel.agents.dqn import DQN, DQNConfig
from keel.envs.vector import make_vec
from keel.networks.backbone import MLPConfig
from keel.runners.benchmark import markdown_table
from keel.runners.benchmarks.ppo_throughput import speed
from keel.runners.loop import Loop

UPDATE_EVERY, BATCH_SIZE, HIDDEN, LEARNING_STARTS, CAPACITY = 10, 128, (120, 84), 1_000, 10_000
WORK = (
    f"CartPole-v1, a gradient step every {UPDATE_EVERY} steps on a batch of {BATCH_SIZE}, {HIDDEN[0]}-{HIDDEN[1]} ReLU, "
    "replay of 10,000, epsilon 0.05, one torch thread; plain DQN (one step, no double, no dueling) on both sides"
)


class Case(NamedTuple):
    num_envs: int
    wanted: float


CASES = (Case(1, 2.5), Case(16, 4.0))


def run(*, rounds: int = 5, steps: int = 8_000) -> dict[str, Any]:
    """Environment steps per second of SB3 in one world, and of Keel in one and in sixteen with the same ratio of
    updates: medians over `rounds` alternating measurements, and their ratios."""
    torch.set_num_threads(1)
    theirs = sb3_training()
    ours = {case: keel_training(case.num_envs) for case in CASES}
    for training in (theirs, *ours.values()):
        training(2 * LEARNING_STARTS)  # warm up: past the random steps, compiled kernels, allocator, caches
    measured: dict[str, list[float]] = {"sb3": [], **{str(case.num_envs): [] for case in CASES}}
    for _ in range(rounds):
        measured["sb3"].append(speed(theirs, steps))
        for case in CASES:
            measured[str(case.num_envs)].append(speed(ours[case], steps))
    rows = []
    for case in CASES:
        speeds = measured[str(case.num_envs)]
        ratio = statistics.median(k / p for k, p in zip(speeds, measured["sb3"], strict=True))
        row = {"num_envs": case.num_envs, "sb3_steps_per_second": statistics.median(measured["sb3"])}
        row |= {"keel_steps_per_second": statistics.median(speeds), "ratio": ratio, "wanted": case.wanted}
        rows.append(row)
    return {"work": WORK, "steps_per_measurement": steps, "rows": rows, "rounds": measured}


def keel_training(num_envs: int) -> Any:
    """A function that trains Keel's DQN for a number of steps, going on where it stopped."""
    envs = make_vec("CartPole-v1", num_envs)
    agent = DQN(
        envs.observation_space,
        envs.action_space,
        num_envs=num_envs,
        total_steps=10**9,
        config=DQNConfig(
            learning_rate=2.5e-4,
            batch_size=BATCH_SIZE,
            update_every=UPDATE_EVERY,
            learning_starts=LEARNING_STARTS,
            replay_capacity=CAPACITY,
            n_step=1,
            double=False,
            dueling=False,
            target_every=50,
            epsilon=_constant(0.05),
        ),
        backbone=MLPConfig(hidden=HIDDEN, activation="relu"),
        seed=0,
        device=torch.device("cpu"),
    )
    loop = Loop(agent, envs, seed=0)
    loop.start()
    return lambda steps: loop.run(loop.global_step + steps, lambda metrics: False)


def _constant(value: float) -> Any:
    from keel.agents.schedule import Schedule

    return Schedule(value, value)


def sb3_training() -> Any:
    """The same for Stable-Baselines3, set up as its documentation does."""
    import stable_baselines3
    from stable_baselines3.common.env_util import make_vec_env

    model = stable_baselines3.DQN(
        "MlpPolicy",
        make_vec_env("CartPole-v1", n_envs=1, seed=0),
        learning_rate=2.5e-4,
        buffer_size=CAPACITY,
        learning_starts=LEARNING_STARTS,
        batch_size=BATCH_SIZE,
        train_freq=UPDATE_EVERY,
        gradient_steps=1,
        target_update_interval=50 * UPDATE_EVERY,
        exploration_fraction=1e-9,  # the share that explores does not change the work
        exploration_final_eps=0.05,
        policy_kwargs={"net_arch": list(HIDDEN)},
        device="cpu",
        seed=0,
    )
    return lambda steps: model.learn(steps, reset_num_timesteps=False)


def table(result: dict[str, Any]) -> str:
    """One line a number of worlds."""
    header = ["Keel's worlds", "SB3 steps/s (one world)", "Keel steps/s", "ratio", "wanted"]
    rows = [
        [
            str(row["num_envs"]),
            f"{row['sb3_steps_per_second']:,.0f}",
            f"{row['keel_steps_per_second']:,.0f}",
            f"{row['ratio']:.2f}",
            f"{row['wanted']:g}",
        ]
        for row in result["rows"]
    ]
    return f"{result['work']}.\n\n" + markdown_table(header, rows)
