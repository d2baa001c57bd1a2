"""Actors of self-play as processes: for games whose rules are Python, of which threads could run only one at a time.

A process that dies is replaced by one that begins with the same weights and the same games, so it plays the same moves.
"""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import signal
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy
import torch
from torch import nn

from keel.agents.alphazero import AlphaZeroConfig, make_network
from keel.agents.evaluation_cache import CachedEvaluator
from keel.agents.evaluators import network_evaluator
from keel.agents.positions import Positions
from keel.agents.selfplay import Played
from keel.envs.errors import KeelError
from keel.envs.games.game import Game
from keel.envs.games.games import make_game
from keel.envs.protocol import Array, State
from keel.networks.backbone import BackboneConfig
from keel.runners.selfplay.actors import make_selfplay, play_moves

MAX_RESTARTS = 3  # of one actor in a row, without one answer in between
_log = logging.getLogger("keel")


class Recipe(NamedTuple):
    """What a process needs to know to be an actor."""

    game: str
    config: AlphaZeroConfig
    backbone: BackboneConfig
    seed: int
    actor: int
    device: str


class ActorLost(Exception):
    """A process ended without an answer."""


class ProcessActors:
    """One process for each actor. The games stand here too, as they were after the last answer.

    Raises:
        KeelError: an actor fails, or dies again and again.
    """

    def __init__(
        self, game: Game, config: AlphaZeroConfig, backbone: BackboneConfig, seed: int, device: torch.device
    ) -> None:
        actors = range(config.selfplay.actors)
        self._states = [make_selfplay(game, config, seed, actor).state_dict() for actor in actors]
        self._actors = [ActorProcess(Recipe(game.name, config, backbone, seed, actor, str(device))) for actor in actors]
        self._weights: dict[str, Array] = {}

    def begin(self, network: nn.Module) -> None:
        self._weights = {name: part.detach().cpu().numpy().copy() for name, part in network.state_dict().items()}
        for actor, state in zip(self._actors, self._states, strict=True):
            actor.ask(self._weights, state)

    def end(self) -> list[Played]:
        answers = [self._answer(index) for index in range(len(self._actors))]
        self._states = [state for _, state in answers]
        return [played for played, _ in answers]

    def _answer(self, index: int) -> tuple[Played, State]:
        actor = self._actors[index]
        for attempt in range(MAX_RESTARTS + 1):
            try:
                return actor.answer()
            except ActorLost as lost:
                if attempt == MAX_RESTARTS:
                    break
                _log.warning("actor %d %s; restart %d of at most %d", index, lost, attempt + 1, MAX_RESTARTS)
                actor.stop()
                actor.ask(self._weights, self._states[index])
        raise KeelError(f"actor {index} of self-play died {MAX_RESTARTS + 1} times in a row with the same games")

    def state_dict(self) -> State:
        return {str(actor): state for actor, state in enumerate(self._states)}

    def load_state_dict(self, state: State) -> None:
        self._states = [state[str(actor)] for actor in range(len(self._actors))]

    def close(self) -> None:
        for actor in self._actors:
            actor.stop()


class ActorProcess:
    """A process that plays, and the pipe to it; it starts when it is first asked."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.process: Any = None
        self._pipe: Connection | None = None

    def ask(self, weights: dict[str, Array], state: State) -> None:
        """Play on from `state` with a network of these weights."""
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, other = context.Pipe()
            self.process = context.Process(target=serve, args=(other, self.recipe), daemon=True)
            self.process.start()
            other.close()
        assert self._pipe is not None
        with contextlib.suppress(OSError):  # it is gone, which `answer` finds out
            self._pipe.send_bytes(packed({"weights": weights, "games": state}))

    def answer(self) -> tuple[Played, State]:
        """What was played, and the games as they stand. Raises: ActorLost; KeelError: what went wrong over there."""
        assert self._pipe is not None
        try:
            message = unpacked(self._pipe.recv_bytes())
        except (EOFError, OSError):
            self.process.join(5.0)
            raise ActorLost(f"ended with exit code {self.process.exitcode}") from None
        if "error" in message:
            raise KeelError(f"actor {self.recipe.actor} of self-play failed: {message['error']}")
        positions = Positions(**message["positions"])
        return Played(positions, **message["counts"]), message["games"]

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None


def serve(pipe: Connection, recipe: Recipe) -> None:
    """The life of an actor process: plays whenever it is asked to, until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that trains
    torch.set_num_threads(1)
    actor: Actor | None = None
    with contextlib.suppress(EOFError, OSError):
        while True:
            request = unpacked(pipe.recv_bytes())
            try:
                actor = actor or Actor(recipe)
                answer = actor.play(request)
            except Exception as error:  # noqa: BLE001 whatever it is, the process that trains shall say it
                answer = {"error": f"{type(error).__name__}: {error}"}
            pipe.send_bytes(packed(answer))


class Actor:
    """What an actor process keeps from request to request."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.device = recipe, torch.device(recipe.device)
        self.game = make_game(recipe.game)
        self.selfplay = make_selfplay(self.game, recipe.config, recipe.seed, recipe.actor)
        self.network = make_network(self.game, recipe.backbone).to(self.device)
        self.evaluate = network_evaluator(self.game, self.network, self.device)
        self.cached = CachedEvaluator(self.game, self.evaluate)

    def play(self, request: State) -> State:
        """Play on from the games of the request with its weights."""
        self.network.load_state_dict({name: torch.from_numpy(part) for name, part in request["weights"].items()})
        self.evaluate.refresh(self.network)
        self.cached.forget()
        self.selfplay.load_state_dict(request["games"])
        played = play_moves(self.selfplay, self.cached, self.recipe.config.selfplay.moves)
        counts = {name: value for name, value in played._asdict().items() if name != "positions"}
        return {"positions": played.positions._asdict(), "counts": counts, "games": self.selfplay.state_dict()}


def packed(state: State) -> bytes:
    """A tree of arrays, numbers and texts as bytes: a header of JSON, and safetensors."""
    arrays: dict[str, Array] = {}

    def take(node: Any, name: str) -> Any:
        if isinstance(node, dict):
            return {key: take(value, f"{name}/{key}") for key, value in node.items()}
        if isinstance(node, np.ndarray):
            arrays[name] = np.ascontiguousarray(node)
            return [name]
        return node

    header = json.dumps(take(state, "")).encode()
    return len(header).to_bytes(8, "little") + header + safetensors.numpy.save(arrays)


def unpacked(message: bytes) -> State:
    """The opposite of `packed`."""
    length = int.from_bytes(message[:8], "little")
    arrays = safetensors.numpy.load(message[8 + length :])

    def give(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: give(value) for key, value in node.items()}
        return arrays[node[0]] if isinstance(node, list) else node

    return give(json.loads(message[8 : 8 + length]))
