"""Whether AlphaZero plays Tic-tac-toe without a mistake: in every position that can be reached, beside brute force."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from keel.agents.evaluators import network_evaluator
from keel.agents.search import Search, SearchConfig
from keel.envs.games.games import make_game
from keel.envs.games.opponents import play
from keel.envs.protocol import Array
from keel.runners.agents import pick_device
from keel.runners.benchmark import markdown_table
from keel.runners.games.players import playing
from keel.runners.selfplay.settings import SelfPlaySettings, default_settings, load_network
from keel.runners.train_alphazero import train

GAME = "tic_tac_toe"
SIMULATIONS = (0, 25, 100)  # 0: the network alone


def run(*, seeds: int = 5, minutes: float | None = None) -> dict[str, Any]:
    """Train with each seed, by default as long as the preset does, and count mistakes."""
    states, worth = solve()
    rows = []
    for seed in range(seeds):
        settings = dataclasses.replace(default_settings(GAME), seed=seed)
        if minutes is not None:
            settings = dataclasses.replace(settings, training=dataclasses.replace(settings.training, minutes=minutes))
        result = train(settings)
        game, device = make_game(GAME), pick_device("cpu")
        network = load_network(result.run, SelfPlaySettings.from_run(result.run), game, "last", device)
        evaluate = network_evaluator(game, network, device)
        row: dict[str, Any] = {"seed": seed, "training_seconds": result.training_seconds, "games": result.games}
        for count in SIMULATIONS:
            if count:
                actions = (
                    Search(game, playing(SearchConfig(simulations=count)), len(states)).run(states, evaluate).action
                )
            else:
                actions = np.where(game.legal(states), evaluate(states)[0], -np.inf).argmax(axis=1)
            row[str(count)] = int((worth[np.arange(len(states)), actions] < np.nanmax(worth, axis=1)).sum())
        rows.append(row)
    return {"positions": len(states), "rows": rows}


def solve() -> tuple[Array, Array]:
    """Every position in which the game goes on [N S], and what its moves are worth [N A], nan where illegal."""
    game, known = make_game(GAME), {}

    def value(state: Array) -> float:
        if (key := state.tobytes()) not in known:
            moves = np.flatnonzero(game.legal(state[None])[0])
            after = play(game, state[None].repeat(len(moves), axis=0), moves)
            known[key] = worth = np.full(game.actions, np.nan)
            for move, ended, own, following in zip(moves, after.ended, after.value, after.after, strict=True):
                worth[move] = -(own if ended else value(following))
        return float(np.nanmax(known[key]))

    value(game.start())
    return np.stack([np.frombuffer(key, np.int8) for key in known]), np.stack(list(known.values()))


def table(result: dict[str, Any]) -> str:
    """Mistakes of each seed."""
    header = ["seed", "training s", "games", *("network alone" if n == 0 else f"{n} simulations" for n in SIMULATIONS)]
    rows = [
        [
            str(row["seed"]),
            f"{row['training_seconds']:.0f}",
            f"{row['games']:,}",
            *(str(row[str(n)]) for n in SIMULATIONS),
        ]
        for row in result["rows"]
    ]
    what = f"Moves that lose something, of all {result['positions']:,} positions in which the game goes on."
    return f"{what}\n\n" + markdown_table(header, rows)
