"""Every world that Keel brings: what it is, how it is made, where it is solved. Importing this imports no world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium


@dataclass(frozen=True)
class Entry:
    """One world of Keel's own."""

    env_id: str
    summary: str
    path: str  # "module:class" of the native world or of the Gymnasium environment
    native: bool = False  # whether `path` is a `native.World`
    max_episode_steps: int | None = None
    reward_threshold: float | None = None  # the mean return at which it counts as solved
    options: Mapping[str, Any] = field(default_factory=dict)  # what its constructor takes, beside its own defaults
    controllers: tuple[str, ...] = ()  # values of the option `controller`: yardsticks that act instead of an agent
    aids: tuple[str, ...] = ()  # options that help an agent and that no yardstick has
    saved: str = ""  # the measure that agents shall lower, beside the yardsticks'
    year: Mapping[str, range] = field(default_factory=dict)  # the option whose values are the parts of a whole year


def _probe(name: str, summary: str, max_episode_steps: int | None = None) -> Entry:
    return Entry(f"keel/Probe{name}-v0", summary, f"keel.envs.probe:{name}", max_episode_steps=max_episode_steps)


def _cooling(name: str, summary: str, **options: Any) -> Entry:
    return Entry(
        f"keel/DataCenterCooling{name}-v0",
        summary,
        "keel.envs.cooling.env:DataCenterCooling",
        native=True,
        options=options,
        controllers=("b0", "b1", "b2", "b3"),
        aids=("shield", "shield_margin", "masks"),
        saved="cooling_kw",
        year={"week": range(52)},
    )


def _board_game(name: str, game: str, summary: str) -> Entry:
    return Entry(
        f"keel/{name}-v0",
        summary,
        "keel.envs.games.as_env:BoardGame",
        options={"game": game, "illegal_move": "lose"},
    )


ENTRIES = (
    _cooling("", "A data centre's halls and cooling plant, set points every five minutes"),
    _cooling("Discrete", "The same with 81 actions (or 9): set points up and down", actions=81),
    _cooling("PO", "The same with late, noisy, drifting sensors and no wet bulb", sensors="real"),
    _cooling("MultiHall", "Three halls that share one plant", halls=3),
    _cooling("Faults", "One hall in which something fails", fault="any"),
    Entry("keel/CartPole-v0", "A pole balanced on a cart, compiled", "keel.envs.cartpole:CartPole", True, 500, 475.0),
    Entry(
        "keel/CartPoleNoVelocity-v0",
        "The same without velocities: what an agent does not remember it does not know",
        "keel.envs.cartpole:CartPole",
        True,
        500,
        475.0,
        options={"velocities": False},
    ),
    Entry(
        "keel/PendulumNoVelocity-v0",
        "Gymnasium's Pendulum without its angular velocity",
        "keel.envs.partial:PendulumNoVelocity",
        max_episode_steps=200,
    ),
    Entry(
        "keel/DigitLine-v0",
        "Read a handwritten digit, walk to that place on a line and stop (extra samples)",
        "keel.envs.digits:DigitLine",
        max_episode_steps=30,
        reward_threshold=0.9,
    ),
    Entry(
        "keel/DigitSort-v0",
        "Read a handwritten digit and carry it to its end of the line, 0 to 4 left, 5 to 9 right (extra samples)",
        "keel.envs.digits:DigitSort",
        max_episode_steps=30,
        reward_threshold=0.9,
    ),
    _board_game("TicTacToe", "tic_tac_toe", "Three in a row, against an opponent who plays at random or looks ahead"),
    _board_game("ConnectFour", "connect_four", "Four in a row of stones that fall down seven columns"),
    _board_game("Othello", "othello", "Discs that turn those they enclose, 8 by 8"),
    _board_game("Othello6x6", "othello_6x6", "The same, 6 by 6"),
    _board_game("Gomoku9x9", "gomoku_9x9", "Five in a row on a board of 9 by 9"),
    _board_game("Hex7x7", "hex_7x7", "Join two edges of a rhombus of 7 by 7 hexagons"),
    _board_game("Breakthrough", "breakthrough", "Sixteen pieces each, of which one has to reach the far row, 8 by 8"),
    _board_game("Go9x9", "go_9x9", "Go on a board of 9 by 9, komi 7.5 (extra games)"),
    _board_game("Chess", "chess", "Chess with the moves and planes of AlphaZero (extra games)"),
    _probe("ConstantReward", "One step, reward 1: the value is 1"),
    _probe("ObservedReward", "The reward is the observation, -1 or 1: the value is the observation"),
    _probe("DelayedReward", "Two steps, reward 1 at the end: the first value is gamma"),
    _probe("ActionReward", "The reward is 1 for one of two actions: that one is taken"),
    _probe("ContextualReward", "The rewarded action is the one observed: policy and value follow the observation"),
    _probe(
        "Truncation", "Reward 1 without end, cut after 10 steps: the value is 1 / (1 - gamma)", max_episode_steps=10
    ),
    _probe("Autoreset", "The observation counts the steps of the episode: it is never stale after an end"),
    _probe("ContinuousBound", "The best action lies on the bound of the action space"),
    _probe("MultiDiscrete", "Each part of the action must copy its part of the observation"),
    _probe("MultiBinary", "Each bit of the action must copy its bit of the observation"),
    _probe("MaskedAction", "Only the legal actions earn anything, and which ones are legal changes"),
    _probe("Cue", "A cue is shown, then nothing, then a choice: the one that was shown is right"),
    _probe("NestedObservation", "The rewarded action is named deep inside a nested observation"),
)
BY_ID = {entry.env_id: entry for entry in ENTRIES}


def find_entry(env_id: str) -> Entry | None:
    """Keel's own world of this id, where it is one."""
    return BY_ID.get(env_id.removeprefix("keel:"))


def register_all() -> None:
    """Register every world with Gymnasium; a second call changes nothing."""
    for entry in ENTRIES:
        if entry.env_id not in gymnasium.registry:
            gymnasium.register(
                entry.env_id,
                entry_point="keel.envs.native:NativeEnv" if entry.native else entry.path,
                kwargs={**({"world": entry.path} if entry.native else {}), **entry.options},
                max_episode_steps=entry.max_episode_steps,
                reward_threshold=entry.reward_threshold,
            )


def describe() -> list[dict[str, str | int | float | bool | None]]:
    """One row a world, for tables and JSON."""
    return [
        {
            "id": entry.env_id,
            "summary": entry.summary,
            "native": entry.native,
            "max_episode_steps": entry.max_episode_steps,
            "reward_threshold": entry.reward_threshold,
        }
        for entry in ENTRIES
    ]
