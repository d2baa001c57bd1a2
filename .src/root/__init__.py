"""Keel: deep reinforcement learning you can watch, compare, trust and resume exactly.

The same things as on the command line, without ceremony:

    run = keel.train("ppo", env="CartPole-v1", total_steps=100_000)
    policy = keel.load(run)
    action = policy.act(observation)
    keel.evaluate(run, episodes=100)
    worlds = keel.make_vec("keel/CartPole-v0", num_envs=64)
    player = keel.load_player(keel.train_selfplay("connect_four", minutes=10))

Importing keel registers its worlds with Gymnasium, so `gymnasium.make("keel:keel/CartPole-v0")` works anywhere, and
trained players as opponents in its board games. What needs torch is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from keel.envs.games.opponents import register_opponents
from keel.envs.registry import register_all

if TYPE_CHECKING:
    from keel.envs.games.game import Game
    from keel.envs.games.opponents import Opponent
    from keel.envs.vector import make_vec
    from keel.runners.api import evaluate, load, load_player, train, train_selfplay
    from keel.runners.run import Run

__all__ = ["Run", "evaluate", "load", "load_player", "make_vec", "train", "train_selfplay"]

_HOMES = {
    "train": "keel.runners.api",
    "train_selfplay": "keel.runners.api",
    "load_player": "keel.runners.api",
    "load": "keel.runners.api",
    "evaluate": "keel.runners.api",
    "Run": "keel.runners.run",
    "make_vec": "keel.envs.vector",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'keel' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def _load_opponent(name: str, game: Game) -> Opponent:
    return importlib.import_module("keel.runners.games.opponents").load_opponent(name, game)


register_all()
for _form in ("rollouts:N", "run:RUN[:SIMULATIONS]"):
    register_opponents(_form, _load_opponent)
