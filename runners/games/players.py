"""Players by what the command line calls them: `random`, `one_ply`, `rollouts:1000`, RUN or RUN:SIMULATIONS."""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from torch import nn

from keel.agents.evaluators import RolloutEvaluator, SymmetricEvaluator, network_evaluator
from keel.agents.players import Player, ScriptedPlayer, SearchPlayer
from keel.agents.search import Evaluate, SearchConfig
from keel.envs.errors import closest
from keel.envs.games.game import Game
from keel.envs.games.opponents import OPPONENTS
from keel.runners.agents import pick_device
from keel.runners.games.policy_player import PolicyPlayer
from keel.runners.run import Run
from keel.runners.selfplay.settings import SelfPlaySettings, is_selfplay, load_network

ROLLOUTS = "rollouts"
PLAYERS = f"{', '.join(OPPONENTS)}, {ROLLOUTS}:SIMULATIONS, RUN or RUN:SIMULATIONS"


def make_player(
    words: str, game: Game, *, checkpoint: Literal["best", "last"] = "best", device: str = "cpu", seed: int = 0
) -> Player:
    """Who is meant by `words`, to play `game`.

    Raises:
        ValueError: no such player, a run that does not play this game, or simulations that are no whole number.
        FileNotFoundError: no such run. CheckpointError: it has no whole checkpoint.
    """
    if words in OPPONENTS:
        return ScriptedPlayer(game, words)
    name, _, number = words.rpartition(":") if ":" in words else (words, "", "")
    if name == ROLLOUTS or words == ROLLOUTS:
        simulations = _simulations(number or "1000", words)
        config = SearchConfig(simulations=simulations, rule="puct", prove=False)  # as it is known as a yardstick
        return SearchPlayer(f"{ROLLOUTS}:{simulations}", game, RolloutEvaluator(game, seed), config)
    run = Run.open(name)
    if not is_selfplay(run.config):
        if number:
            raise ValueError(f"the player {words!r}: the policy of {run.name} does not search; leave out :{number}")
        return PolicyPlayer(run, game, checkpoint=checkpoint, device=device)
    return run_player(run, game, _simulations(number, words) if number else None, checkpoint=checkpoint, device=device)


def run_player(
    run: Run,
    game: Game,
    simulations: int | None = None,
    *,
    checkpoint: Literal["best", "last"] = "best",
    device: str = "cpu",
) -> SearchPlayer:
    """A run's network with a search, by default as large as in its self-play. Raises: as `make_player`."""
    evaluate, config = run_search(run, game, checkpoint, device)
    if simulations is not None:
        config = dataclasses.replace(config, simulations=simulations)
    name = run.name if simulations is None else f"{run.name}:{simulations}"
    return SearchPlayer(name, game, evaluate, config)


def run_search(run: Run, game: Game, checkpoint: Literal["best", "last"], device: str) -> tuple[Evaluate, SearchConfig]:
    """A run's network as a judge of positions, and how it searches where it plays to win. Raises: as `make_player`."""
    settings = SelfPlaySettings.from_run(run)
    if settings.game != game.name:
        raise ValueError(f"{run.name} plays {settings.game}, and the game is {game.name}")
    network = load_network(run, settings, game, checkpoint, pick_device(device))
    return judge_of(game, network, pick_device(device)), playing(settings.hyperparameters.search)


def judge_of(game: Game, network: nn.Module, device: torch.device) -> Evaluate:
    """A network as a judge of positions where it plays to win: where the board has one mirror image it is asked about
    both. Othello has eight, which in 400 games brought nothing that could be told, for eight times the work."""
    alone = network_evaluator(game, network, device)
    return SymmetricEvaluator(game, alone) if len(game.cell_symmetries) == 2 else alone


def playing(search: SearchConfig) -> SearchConfig:
    """How a network searches where it plays to win: by PUCT, whose most visited move was right more often at Connect Four
    than Gumbel's, which is made for learning from few simulations."""
    return dataclasses.replace(search, rule="puct")


def check_opponent(words: str) -> None:
    """Raises: ValueError where `words` mean nobody who plays without having learnt."""
    if words in OPPONENTS or words == ROLLOUTS:
        return
    name, _, number = words.partition(":")
    if name != ROLLOUTS:
        known = (*OPPONENTS, ROLLOUTS)
        raise ValueError(
            f"the opponent is {words!r}{closest(name, known)}; it must be one of {', '.join(OPPONENTS)} or "
            f"{ROLLOUTS}:SIMULATIONS"
        )
    _simulations(number, words)


def _simulations(text: str, words: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"the player {words!r}: {text!r} simulations; a whole number of at least 1 would be right")
    return int(text)
