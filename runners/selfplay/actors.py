"""Who plays an agent's games against itself: threads of this process, or processes where the rules are Python.

Every actor's games are a function of its seed and of the weights it is given, so neither the order in which actors
finish nor one that has to begin again changes what is played.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Literal, Protocol

import torch
from torch import nn

from keel.agents.alphazero import AlphaZeroConfig
from keel.agents.evaluation_cache import CachedEvaluator
from keel.agents.evaluators import NetworkEvaluator, network_evaluator
from keel.agents.search import Evaluate
from keel.agents.selfplay import Played, SelfPlay, together
from keel.envs.games.game import Game
from keel.envs.protocol import State
from keel.envs.seeding import derive_seed
from keel.networks.backbone import BackboneConfig


class Actors(Protocol):
    """Those who play."""

    def begin(self, network: nn.Module) -> None:
        """Each actor begins to make `moves` moves in each of its games, with the network as it is now."""
        ...

    def end(self) -> list[Played]:
        """Wait for all of them; what came of it, in order."""
        ...

    def state_dict(self) -> State: ...

    def load_state_dict(self, state: State) -> None: ...

    def close(self) -> None: ...


def make_selfplay(game: Game, config: AlphaZeroConfig, seed: int, actor: int) -> SelfPlay:
    """The games of one actor."""
    return SelfPlay(game, config.selfplay, config.search, derive_seed(seed, "actor", actor))


def play_moves(selfplay: SelfPlay, evaluate: Evaluate, moves: int, stop: Event | None = None) -> Played:
    """So many moves in every game, at least one; fewer where `stop` is set meanwhile."""
    played = [selfplay.step(evaluate)]
    while len(played) < moves and not (stop is not None and stop.is_set()):
        played.append(selfplay.step(evaluate))
    return together(played)


class ThreadActors:
    """Actors as threads: searches and networks let go of Python's lock while they compute."""

    def __init__(self, game: Game, config: AlphaZeroConfig, seed: int, device: torch.device) -> None:
        self.game, self.config, self.device = game, config.selfplay, device
        self.selfplays = [make_selfplay(game, config, seed, actor) for actor in range(config.selfplay.actors)]
        self._threads = ThreadPoolExecutor(config.selfplay.actors, "actor")
        self._evaluate: NetworkEvaluator | None = None
        self._cached: list[CachedEvaluator] = []  # one for each actor, so that what it plays hangs on nobody else
        self._playing: list[Future[Played]] = []
        self._stop = Event()

    def begin(self, network: nn.Module) -> None:
        if self._evaluate is None:
            self._evaluate = network_evaluator(self.game, network, self.device)
            self._cached = [CachedEvaluator(self.game, self._evaluate) for _ in self.selfplays]
        else:
            self._evaluate.refresh(network)
        self._playing = []
        for selfplay, cached in zip(self.selfplays, self._cached, strict=True):
            cached.forget()
            self._playing.append(self._threads.submit(play_moves, selfplay, cached, self.config.moves, self._stop))

    def end(self) -> list[Played]:
        return [part.result() for part in self._playing]

    def state_dict(self) -> State:
        return {str(actor): selfplay.state_dict() for actor, selfplay in enumerate(self.selfplays)}

    def load_state_dict(self, state: State) -> None:
        for actor, selfplay in enumerate(self.selfplays):
            selfplay.load_state_dict(state[str(actor)])

    def close(self) -> None:
        self._stop.set()  # a training that was broken off does not wait for the end of the iteration
        self._threads.shutdown(cancel_futures=True)


def make_actors(
    game: Game,
    workers: Literal["auto", "threads", "processes"],
    config: AlphaZeroConfig,
    backbone: BackboneConfig,
    seed: int,
    device: torch.device,
) -> Actors:
    """Threads or processes; by themselves threads where the game's rules are compiled."""
    if workers == "threads" or (workers == "auto" and game.compiled):
        return ThreadActors(game, config, seed, device)
    from keel.runners.selfplay.processes import ProcessActors

    return ProcessActors(game, config, backbone, seed, device)
