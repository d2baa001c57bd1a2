"""Settings of self-play that are known to work, by game."""

from __future__ import annotations

from typing import NamedTuple

from keel.agents.alphazero import AlphaZeroConfig
from keel.agents.search import SearchConfig
from keel.agents.selfplay import SelfPlayConfig
from keel.envs.games.game import Game
from keel.networks.backbone import BackboneConfig, BoardConfig
from keel.runners.selfplay_training import SelfPlayTraining


class SelfPlayPreset(NamedTuple):
    """Settings that fit a game."""

    training: SelfPlayTraining = SelfPlayTraining()
    hyperparameters: AlphaZeroConfig = AlphaZeroConfig()
    backbone: BackboneConfig = BoardConfig(blocks=3, channels=32)


PLAIN = SelfPlayPreset()
PRESETS = {
    "tic_tac_toe": SelfPlayPreset(
        training=SelfPlayTraining(minutes=0.75, evaluations=3),
        hyperparameters=AlphaZeroConfig(
            search=SearchConfig(simulations=32), selfplay=SelfPlayConfig(random_moves=6), window=50_000
        ),
        backbone=BoardConfig(blocks=2, channels=32),
    ),
    "connect_four": SelfPlayPreset(
        hyperparameters=AlphaZeroConfig(
            search=SearchConfig(simulations=32, c_scale=0.15),
            selfplay=SelfPlayConfig(random_moves=16, full_share=0.3, fast_simulations=10),
            learning_rate=3e-3,
        ),
        backbone=BoardConfig(blocks=3, channels=32, squeeze=32),
    ),
    "othello_6x6": SelfPlayPreset(
        hyperparameters=AlphaZeroConfig(
            search=SearchConfig(simulations=32, c_scale=0.15),
            selfplay=SelfPlayConfig(random_moves=8, full_share=0.3, fast_simulations=10),
            learning_rate=3e-3,
        ),
        backbone=BoardConfig(blocks=3, channels=32, squeeze=32),
    ),
    "chess": SelfPlayPreset(  # rules in Python: few games by lot, and no rollouts as opponents
        training=SelfPlayTraining(minutes=60.0, evaluate_games=20, opponents=("random", "one_ply")),
        hyperparameters=AlphaZeroConfig(selfplay=SelfPlayConfig(games=32), window=100_000),
        backbone=BoardConfig(blocks=4, channels=64, squeeze=8, features=256),
    ),
}


SLOW = SelfPlayPreset(training=SelfPlayTraining(opponents=("random", "one_ply")))  # rules in Python: no rollouts


def find_preset(game: Game) -> SelfPlayPreset:
    return PRESETS.get(game.name, PLAIN if game.compiled else SLOW)
