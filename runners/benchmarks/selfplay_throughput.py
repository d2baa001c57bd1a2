"""How fast self-play is: the search alone, with networks, on one core and on several, and together with learning."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch

from keel.agents.alphazero import AlphaZero, make_network
from keel.agents.evaluators import OnnxEvaluator
from keel.agents.search import Evaluate, Search, SearchConfig
from keel.agents.selfplay import SelfPlay, SelfPlayConfig
from keel.envs.games.game import Game
from keel.envs.games.games import make_game
from keel.envs.protocol import Array
from keel.networks.backbone import BackboneConfig, BoardConfig
from keel.networks.policy_value import PolicyValueNetwork
from keel.runners.benchmark import markdown_table
from keel.runners.selfplay.actors import ThreadActors
from keel.runners.selfplay.settings import default_settings

GAME, SIMULATIONS, GAMES, TREE_GAMES = "connect_four", 32, 64, 256
WORK = (
    f"Connect Four, {SIMULATIONS} simulations a move, {GAMES} games side by side on each core; networks of so many blocks x "
    "channels by ONNX Runtime, one thread a core. Chess the same on one core, its rules in Python"
)


class Case(NamedTuple):
    """A game, a network, and on how many cores."""

    name: str
    game: str
    network: BackboneConfig
    cores: tuple[int, ...]
    wanted_share: str
    wanted_simulations: str


def cases(cores: int) -> list[Case]:
    several = (1, cores)
    return [
        Case("3x32", GAME, BoardConfig(blocks=3, channels=32), several, "0.90", "28,000"),
        Case("4x64", GAME, BoardConfig(blocks=4, channels=64), several, "0.90", ""),
        Case("chess, 4x64", "chess", BoardConfig(blocks=4, channels=64), (1,), "0.70", ""),
    ]


def run(*, rounds: int = 5, seconds: float = 3.0, cores: int = 2) -> dict[str, Any]:
    """Medians over `rounds` turns of `seconds` each, all in turn in one process: what else the machine does meets all."""
    torch.set_num_threads(1)
    measures: dict[str, Callable[[float], dict[str, float]]] = {
        f"tree {rule}": lambda seconds, rule=rule: {"simulations": tree_alone(rule, seconds)}
        for rule in ("gumbel", "puct")
    }
    for case in cases(cores):
        game = make_game(case.game)
        evaluator = OnnxEvaluator(game, network_of(game, case.network))
        for count in case.cores:
            measures[f"{case.name} alone {count}"] = together(alone, game, evaluator, count)
            measures[f"{case.name} search {count}"] = together(searched, game, evaluator, count)
    measures["training"] = Training(cores)
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in measures}
    for turn in range(rounds + 1):
        for name, measure in measures.items():
            value = measure(seconds)
            if turn > 0:  # the first one warms up
                measured[name].append(value)
    medians = {
        name: {key: statistics.median(value[key] for value in values) for key in values[0]}
        for name, values in measured.items()
    }
    return {"work": WORK, "cores": cores, "medians": medians, "rounds": measured}


def tree_alone(rule: Any, seconds: float) -> float:
    """Simulations per second with a judge that costs nothing."""
    game = make_game(GAME)
    search = Search(game, SearchConfig(simulations=SIMULATIONS, rule=rule), TREE_GAMES)
    states = np.stack([game.start()] * TREE_GAMES)
    logits, value = np.zeros((TREE_GAMES, game.actions), np.float32), np.zeros(TREE_GAMES, np.float32)
    searches, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        search.run(states, lambda states: (logits[: len(states)], value[: len(states)]))
        searches += 1
    return searches * TREE_GAMES * SIMULATIONS / spent


def network_of(game: Game, config: BackboneConfig) -> PolicyValueNetwork:
    torch.manual_seed(0)
    return make_network(game, config)


def together(measure: Callable[..., dict[str, float]], game: Game, evaluate: Evaluate, count: int) -> Any:
    """The measure in `count` threads at once, added up."""

    def measured(seconds: float) -> dict[str, float]:
        with ThreadPoolExecutor(count) as threads:
            parts = list(threads.map(lambda seed: measure(game, evaluate, seconds, seed), range(count)))
        return {key: sum(part[key] for part in parts) for key in parts[0]}

    return measured


def alone(game: Game, evaluate: Evaluate, seconds: float, seed: int) -> dict[str, float]:
    """Evaluations per second of the network, with nothing else to do."""
    states = np.stack([game.start()] * GAMES)
    calls, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        evaluate(states)
        calls += 1
    return {"evaluations": calls * GAMES / spent}


def searched(game: Game, evaluate: Evaluate, seconds: float, seed: int) -> dict[str, float]:
    """Simulations, evaluations and moves per second of self-play, every move searched in full."""
    config = SelfPlayConfig(games=GAMES, random_moves=0, full_share=1.0)
    selfplay = SelfPlay(game, config, SearchConfig(simulations=SIMULATIONS), seed)
    evaluations = 0

    def counting(states: Array) -> tuple[Array, Array]:
        nonlocal evaluations
        evaluations += len(states)
        return evaluate(states)

    moves, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        selfplay.step(counting)
        moves += GAMES
    return {"simulations": moves * SIMULATIONS / spent, "evaluations": evaluations / spent, "moves": moves / spent}


class Training:
    """Self-play and learning together as `keel train alphazero --game connect_four` does them, going on where it stopped."""

    def __init__(self, cores: int) -> None:
        settings = default_settings(GAME)
        config = settings.hyperparameters
        config = dataclasses.replace(config, selfplay=dataclasses.replace(config.selfplay, actors=cores))
        game, cpu = make_game(GAME), torch.device("cpu")
        self.learner = AlphaZero(game, config=config, backbone=settings.backbone, seed=0, device=cpu)
        self.actors = ThreadActors(game, config, 0, cpu)
        while len(self.learner.window) < config.learning_starts:
            self._iterate()

    def _iterate(self) -> None:
        self.actors.begin(self.learner.network)
        self.learner.learn(0.0)
        self.learner.take(self.actors.end())

    def __call__(self, seconds: float) -> dict[str, float]:
        """Moves per second, for at least three times `seconds`, as iterations take their time."""
        moves, started = self.learner.moves, time.perf_counter()
        while (spent := time.perf_counter() - started) < 3 * seconds:
            self._iterate()
        return {"moves": (self.learner.moves - moves) / spent}


def table(result: dict[str, Any]) -> str:
    """What was wanted beside what was measured."""
    medians, cores = result["medians"], result["cores"]
    rows = [
        [
            f"tree alone, {rule}, {TREE_GAMES} games, one core",
            "simulations/s",
            f"{medians[f'tree {rule}']['simulations']:,.0f}",
            wanted,
        ]
        for rule, wanted in (("gumbel", "1,500,000"), ("puct", ""))
    ]
    for case in cases(cores):
        for count in case.cores:
            network, search = medians[f"{case.name} alone {count}"], medians[f"{case.name} search {count}"]
            where = f"{case.name}, {count} core{'s' * (count > 1)}"
            share = search["evaluations"] / network["evaluations"]
            wanted = case.wanted_simulations if count == 2 else ""
            rows += [
                [f"{where}: network alone", "evaluations/s", f"{network['evaluations']:,.0f}", ""],
                [f"{where}: search", "simulations/s", f"{search['simulations']:,.0f}", wanted],
                [f"{where}: evaluations beside the network alone", "share", f"{share:.2f}", case.wanted_share],
            ]
    rows.append([f"self-play and learning, {cores} cores", "moves/s", f"{medians['training']['moves']:,.0f}", "1,000"])
    return f"{result['work']}.\n\n" + markdown_table(["measure", "unit", "median", "wanted"], rows)
