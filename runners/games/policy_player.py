"""A policy that learnt in a board game's world, as PPO and DQN do, as a player: the network alone, without a search."""

from __future__ import annotations

from typing import Literal

import numpy as np

from keel.agents.players import MOST_GAMES
from keel.envs.games.game import Game
from keel.envs.protocol import ACTION_MASK, Array
from keel.envs.registry import find_entry
from keel.runners.run import Run

BOARD_GAME = "keel.envs.games.as_env:BoardGame"


def policy_game(run: Run) -> str:
    """The name of the board game that a run's policy plays.

    Raises: ValueError: its world is no board game.
    """
    entry = find_entry(str(run.config.get("env")))
    if entry is None or entry.path != BOARD_GAME:
        raise ValueError(f"{run.name} acts in {run.config.get('env')}, which is no board game")
    options = run.config.get("training", {}).get("env_options", {})
    return {**entry.options, **options}["game"]


class PolicyPlayer:
    """Plays what the policy of a run thinks best (greedy), of the legal moves.

    Raises:
        ValueError: a run of another game or of no game, or a policy that remembers: it has seen its own games move by
            move, and a player is shown single positions.
        CheckpointError: there is no such checkpoint, or a damaged one.
    """

    def __init__(
        self, run: Run, game: Game, *, checkpoint: Literal["best", "last"] = "best", device: str = "cpu"
    ) -> None:
        from keel.runners.agents import load_policy

        plays = policy_game(run)
        if plays != game.name:
            raise ValueError(f"{run.name} plays {plays}, and the game is {game.name}")
        self.name = run.name
        self._game = game
        policy = load_policy(run, checkpoint, device=device)
        self._agent = policy.agent
        stacked = policy.settings.training.frame_stack
        if stacked > 1 or self._agent.initial_memory(1):
            what = f"frame_stack {stacked}" if stacked > 1 else f"the backbone {policy.settings.backbone.kind}"
            raise ValueError(
                f"{run.name} remembers ({what}), and a player is shown single positions: it cannot take part"
            )

    def choose(self, states: Array, chance: np.random.Generator) -> Array:
        parts = [self._act(states[first : first + MOST_GAMES]) for first in range(0, len(states), MOST_GAMES)]
        return np.concatenate(parts)

    def _act(self, states: Array) -> Array:
        legal = self._game.legal(states).astype(np.int8)
        observation = {"observation": self._game.observe(states), ACTION_MASK: legal}
        first = np.ones(len(states), bool)
        return self._agent.act(observation, (), first, explore=False).action.astype(np.int32)
