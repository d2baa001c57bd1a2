"""Settings of self-play that are known to work, by game."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from keel.agents.alphazero import AlphaZeroConfig
from keel.agents.search import SearchConfig
from keel.agents.selfplay import SelfPlayConfig
from keel.envs.games.chess_rows import MOST_MOVES
from keel.envs.games.game import Game
from keel.networks.backbone import BackboneConfig, BoardConfig
from keel.runners.selfplay.training import SelfPlayTraining

# Found at Connect Four. A smaller c_scale than the paper's 1 makes targets that follow noisy values less, of which a
# network learns more; and few full searches leave time for more games. Learning is what is waited for on two cores:
# with reuse 4, a fifth fewer moves are played, and 48 simulations take no longer than 32. Other games are played with
# this, too, but only Othello was looked at.
COMMON = AlphaZeroConfig(
    search=SearchConfig(simulations=48, c_scale=0.4),
    selfplay=SelfPlayConfig(random_moves=8, full_share=0.3, fast_simulations=10),
    reuse=2.5,
    learning_rate=3e-3,
)


class SelfPlayPreset(NamedTuple):
    """Settings that fit a game."""

    training: SelfPlayTraining = SelfPlayTraining()
    hyperparameters: AlphaZeroConfig = COMMON
    backbone: BackboneConfig = BoardConfig(blocks=3, channels=32, squeeze=32)


PLAIN = SelfPlayPreset()
PRESETS = {
    "tic_tac_toe": SelfPlayPreset(  # all positions are to be known, not those alone that good play leads to
        training=SelfPlayTraining(minutes=0.75, evaluations=3),
        hyperparameters=AlphaZeroConfig(
            search=SearchConfig(simulations=32),
            selfplay=SelfPlayConfig(random_share=1.0, random_moves=6, full_share=0.25, drawn_moves=9),
            window=50_000,
        ),
        backbone=BoardConfig(blocks=2, channels=32),
    ),
    "connect_four": SelfPlayPreset(
        hyperparameters=replace(COMMON, selfplay=replace(COMMON.selfplay, random_moves=16)),
    ),
    "othello_6x6": SelfPlayPreset(training=SelfPlayTraining(minutes=5.0)),
    # Its rules are Python: small searches and a small network, for many games. Who knows nothing moves to and fro and
    # draws, unless chance has a say in all moves: without a network more than half of the games are won by somebody,
    # and a quarter where it has none after the 30th. Moves by lot at the beginning leave one player more than the
    # other, from which there is something to learn. The moves of a game have one end in common, which a network knows
    # by heart before it knows what a piece is worth: hence `pooled`, and positions that are learnt from but once.
    "chess": SelfPlayPreset(
        training=SelfPlayTraining(minutes=60.0, evaluate_games=20, opponents=("random", "one_ply")),
        hyperparameters=replace(
            COMMON,
            search=replace(COMMON.search, simulations=24),
            selfplay=replace(COMMON.selfplay, games=32, random_moves=80, fast_simulations=8, drawn_moves=MOST_MOVES),
            window=150_000,
            reuse=1.0,
            learning_rate=1e-3,
        ),
        backbone=BoardConfig(blocks=3, channels=32, squeeze=32, pooled=True, features=32),
    ),
}


# What an hour is worth at Connect Four: a larger network and larger searches, of which ten minutes cannot make use. The
# better a network, the less its search has to try what the network does not think of (c_init). Most games begin with
# moves by lot, as odd positions are where an hour's network is wrong still; one hour with them tells no difference yet.
HOUR = SelfPlayPreset(
    training=SelfPlayTraining(minutes=60.0, evaluations=8, opponents=("random", "rollouts:100", "rollouts:1000")),
    hyperparameters=replace(
        COMMON,
        search=replace(COMMON.search, simulations=96, c_init=0.7),
        selfplay=replace(COMMON.selfplay, random_share=0.7, random_moves=24, full_share=0.4, fast_simulations=16),
        window=300_000,
        learning_rate=2e-3,
    ),
    backbone=BoardConfig(blocks=4, channels=48, squeeze=32),
)

SLOW = SelfPlayPreset(training=SelfPlayTraining(opponents=("random", "one_ply")))  # rules in Python: no rollouts


def find_preset(game: Game) -> SelfPlayPreset:
    return PRESETS.get(game.name, PLAIN if game.compiled else SLOW)
