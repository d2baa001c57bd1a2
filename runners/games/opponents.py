"""Players that search as opponents in worlds; `import keel` tells `keel.envs.games.opponents` to ask here."""

from __future__ import annotations

import numpy as np

from keel.agents.players import Player
from keel.envs.games.game import Game
from keel.envs.games.opponents import Opponent
from keel.envs.protocol import Array
from keel.runners.games.players import make_player
from keel.runners.run import Run

RUN = "run:"

# Networks are one for all worlds of this process: by name, game, folder, and when that last got a checkpoint.
_PLAYERS: dict[tuple[str, str, str, int], Player] = {}


def load_opponent(name: str, game: Game) -> Opponent:
    """The player called "rollouts:N", "run:RUN" or "run:RUN:SIMULATIONS" as an opponent in worlds of `game`.

    Raises: as `make_player`; ValueError for "run:latest".
    """
    return _run_opponent(name, game) if name.startswith(RUN) else _rollouts_opponent(name, game)


def _rollouts_opponent(words: str, game: Game) -> Opponent:
    make_player(words, game)  # refuses what is no number

    def choose(game: Game, state: Array, generator: np.random.Generator) -> int:
        # A player whose games by lot went on from move to move would be elsewhere after a resume.
        player = make_player(words, game, seed=int(generator.integers(2**63)))
        return int(player.choose(state[None], generator)[0])

    return choose


def _run_opponent(name: str, game: Game) -> Opponent:
    words = name.removeprefix(RUN)
    reference = words.rpartition(":")[0] or words
    if reference == "latest":
        raise ValueError(f"opponent is {name!r}: another run would soon be the latest one; give the run's name")
    checkpoints = Run.open(reference).checkpoints.resolve()
    key = words, game.name, str(checkpoints), checkpoints.stat().st_mtime_ns
    if key not in _PLAYERS:
        _PLAYERS[key] = make_player(words, game)
    player = _PLAYERS[key]

    def choose(game: Game, state: Array, generator: np.random.Generator) -> int:
        return int(player.choose(state[None], generator)[0])

    return choose
