"""Whether self-play makes networks stronger at games that nobody solved: ratings over training, beside fixed opponents."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import torch

from keel.agents.alphazero import AlphaZero
from keel.envs.seeding import derive_seed
from keel.runners.arena.elo import rate, rate_over_time
from keel.runners.arena.match import play_match
from keel.runners.benchmark import markdown_table
from keel.runners.figures import PALETTE, WIDE_INCHES, house_style, panels, short_number
from keel.runners.games.players import make_player
from keel.runners.selfplay.settings import default_settings
from keel.runners.selfplay.trainer import SelfPlayTrainer
from keel.runners.train_alphazero import train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAMES = {"chess": 10.0, "othello_6x6": 4.0}  # minutes of training
UNTRAINED = "untrained"


def run(
    *,
    games: dict[str, float] | None = None,
    seed: int = 0,
    evaluations: int = 4,
    evaluate_games: int = 40,
    direct_games: int = 200,
) -> dict[str, Any]:
    """Train each game for so many minutes; all that met are rated together at its end.

    Args: evaluate_games: with each opponent during the training. direct_games: of the last network with the first one.
    """
    return {
        "seed": seed,
        "games": {
            name: ladder(name, minutes, seed, evaluations, evaluate_games, direct_games)
            for name, minutes in (games or GAMES).items()
        },
    }


def ladder(
    name: str, minutes: float, seed: int, evaluations: int, evaluate_games: int, direct_games: int
) -> dict[str, Any]:
    """One training: the rating of every network that was evaluated, and of the fixed opponents."""
    settings = default_settings(name)
    training = dataclasses.replace(
        settings.training, minutes=minutes, evaluations=evaluations, evaluate_games=evaluate_games
    )
    settings = dataclasses.replace(settings, seed=seed, training=training)
    moments: dict[str, dict[str, float]] = {UNTRAINED: {"minute": 0.0, "moves": 0}}
    last: list[SelfPlayTrainer] = []

    def note(trainer: SelfPlayTrainer) -> None:
        at = {"minute": trainer.clock.training_seconds / 60.0, "moves": trainer.learner.moves}
        moments[f"iteration {trainer.learner.iteration}"] = at
        last[:] = [trainer]

    result = train(settings, on_evaluation=note)
    results = last[0].results
    meet_untrained(last[0], direct_games)
    ratings = rate(results)
    gained, interval = ratings.difference(list(moments)[-1], UNTRAINED)
    return {
        "minutes": minutes,
        "settings": settings.to_json(),
        "self_play_games": result.games,
        "moves": result.moves,
        "results": results.to_json(),
        "rows": [row | moments.get(row["player"], {}) for row in rate_over_time(results)],
        "gained": {"elo": gained, "low": interval.low, "high": interval.high},
    }


def meet_untrained(trainer: SelfPlayTrainer, direct_games: int) -> None:
    """Let the network as it was before it had learnt anything meet the fixed opponents, and the last one in many games,
    searching as all others did."""
    settings = trainer.settings
    game, config = trainer.game, settings.hyperparameters
    fresh = AlphaZero(game, config=config, backbone=settings.backbone, seed=settings.seed, device=torch.device("cpu"))
    player = trainer.player(UNTRAINED, fresh.network)
    for words in settings.training.opponents:
        seed = derive_seed(settings.seed, UNTRAINED, words)
        trainer.meet(player, make_player(words, game, seed=seed), seed)
    last = trainer.player(f"iteration {trainer.learner.iteration}", trainer.learner.network)
    trainer.results.add_match(
        play_match(game, last, player, direct_games, derive_seed(settings.seed, UNTRAINED, "last"))
    )


def table(result: dict[str, Any]) -> str:
    """One line for each network that was evaluated, and for each fixed opponent."""
    parts = []
    for name, found in result["games"].items():
        rows = [
            [
                row["player"],
                f"{row['minute']:.1f}" if "minute" in row else "",
                f"{row['moves']:,}" if "moves" in row else "",
                f"{row['elo']:.0f}",
                "0" if row["low"] == row["high"] else f"{row['low']:.0f} to {row['high']:.0f}",
                f"{100 * row['score']:.0f} %",
                str(row["games"]),
            ]
            for row in sorted(found["rows"], key=lambda row: row.get("minute", -1.0))  # fixed opponents first
        ]
        gained = found["gained"]
        header = ["player", "minute", "moves of self-play", "Elo", "95 % interval", "points", "games"]
        parts.append(
            f"## {name}\n\n{found['minutes']:g} minutes, {found['self_play_games']:,} games against itself, seed "
            f"{result['seed']}; all that met are rated together. From the untrained network, which searches as the others "
            f"do, to the last one: {gained['elo']:+.0f} Elo ({gained['low']:+.0f} to {gained['high']:+.0f}).\n\n"
            + markdown_table(header, rows)
        )
    return "\n\n".join([*parts, "![Elo over training](selfplay-learning/strength.png)"])


def strength(result: dict[str, Any], width_inches: float = WIDE_INCHES) -> Figure:
    """Elo over minutes of training, a panel a game, with the fixed opponents as lines."""
    with house_style():
        figure, axes = panels("Strength by self-play", len(result["games"]), width_inches, row_inches=2.2)
        for axis, (name, found) in zip(axes, result["games"].items(), strict=True):
            networks = sorted((row for row in found["rows"] if "minute" in row), key=lambda row: row["minute"])
            minutes = [row["minute"] for row in networks]
            low, high = ([row[key] for row in networks] for key in ("low", "high"))
            axis.fill_between(minutes, low, high, color=PALETTE[0], alpha=0.15, lw=0)
            axis.plot(minutes, [row["elo"] for row in networks], marker=".", color=PALETTE[0], label="the network")
            fixed = [row for row in found["rows"] if "minute" not in row]
            for place, row in enumerate(fixed):
                axis.axhline(row["elo"], color=PALETTE[1 + place], lw=1, linestyle=(0, (4, 3)), label=row["player"])
            axis.set_ylabel(f"{name.replace('_', ' ')}, Elo")
            axis.yaxis.set_major_formatter(lambda value, _: short_number(value))
            axis.legend(fontsize=8, loc="lower right", frameon=True, framealpha=1.0, edgecolor="none")
        axes[-1].set_xlabel("minutes of training")
        return figure


def figures(result: dict[str, Any]) -> dict[str, Any]:
    """The picture of the page."""
    return {"strength": strength(result)}
