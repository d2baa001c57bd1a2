"""What the browser tests share: Chromium, and runs as trainings write them, with curves and a film each."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from keel.runners.run import Run
from keel.runners.tracker import JsonLines
from keel.runners.video import VideoWriter

from .chromium import NAMES, Chromium, find

STEPS = range(1000, 41_000, 1000)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = find()
    if program is None:
        pytest.skip(f"NO BROWSER HERE ({', '.join(NAMES)}): NOTHING WAS TESTED IN ONE; install chromium")
    browser = Chromium(program, tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


def train_for_show(agent: str, env: str, seed: int, learning: float) -> Run:
    """A run folder as a training leaves it, without the training: curves that rise, and a film of a moving square."""
    config = {
        "training": {"total_steps": STEPS[-1], "num_envs": 8, "evaluate_every": 4000},
        "hyperparameters": {"gamma": 0.99, "learning_rate": learning},
        "backbone": {"kind": "mlp", "widths": [64, 64]},
    }
    run = Run.create(env, agent, seed, config, name=f"{env}-{agent}-{seed}")
    rows = JsonLines(run)
    luck = np.random.default_rng(seed)
    for step in STEPS:
        worth = 500 * (1 - math.exp(-step * learning / 8)) + luck.normal(0, 15)
        row = {"train/episode_return": worth, "train/episode_length": worth, "loss/policy": luck.normal(0, 0.01)}
        if step % 4000 == 0:
            row |= {"eval/return": worth + 20, "eval/return_std": 10.0, "eval/length": worth + 20}
        rows.log(step, row)
        timing = {"training_seconds": step / 5000, "wall_seconds": step / 4000, "steps_per_second": 5000.0}
        rows.log_timing(step, timing)
    film = run.videos / f"step-{STEPS[-1]}.mp4"
    with VideoWriter(film, frames_per_second=20) as video:
        for place in range(20):
            frame = np.full((96, 128, 3), 30, np.uint8)
            frame[40:56, 4 * place : 4 * place + 16] = (240, 160, 40)
            video.append(frame)
    rows.video(STEPS[-1], film)
    rows.finish("finished")
    return run


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Run]]:
    """Two agents' runs in one world, two seeds each, under results/runs of a working directory of their own."""
    agents = {"ppo": 1e-3, "dqn": 4e-4}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("trainings"))
        yield [train_for_show(name, "CartPole-v1", seed, rate) for name, rate in agents.items() for seed in range(2)]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go, for a person to look at: KEEL_PICTURES, or pytest's own folder."""
    named = os.environ.get("KEEL_PICTURES")
    return Path(named) if named else tmp_path_factory.mktemp("pictures")
