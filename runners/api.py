"""Keel from Python: train, load, evaluate."""

from __future__ import annotations

import dataclasses
import functools
import operator
import signal
import sys
from pathlib import Path
from typing import Any, Literal

from keel.envs.errors import closest
from keel.runners.agents import Policy, load_policy
from keel.runners.commands import what_next
from keel.runners.console import Console
from keel.runners.options import default_settings
from keel.runners.run import Run
from keel.runners.settings import AGENTS, known, mapping, read
from keel.runners.subjects import evaluate_run
from keel.runners.train import train as train_run

NESTED = ("search", "selfplay")  # settings that are groups of settings: what is not given stays as it is


def train(
    agent: str,
    *,
    env: str,
    seed: int = 0,
    backbone: str | dict[str, Any] | None = None,
    env_options: dict[str, Any] | None = None,
    run_dir: Path | str | None = None,
    name: str | None = None,
    **settings: Any,
) -> Run:
    """Train an agent and return its run; progress goes to stderr.

    The process's random streams (`random`, NumPy, torch) start anew from the seed, and torch's threads are set to
    `torch_threads`. Ctrl-C and SIGTERM save the run first, then do what they do without Keel.

    Args:
        agent: "ppo", "dqn", "dqn-2015", "rainbow", "pqn", "r2d2", or "sb3-sac" and its kin.
        env: a Gymnasium id.
        seed: where all chance comes from, at least 0.
        backbone: "mlp", "cnn", "lstm" or another kind, or its settings as config.json has them, such as
            {"hidden": [64, 64]}, with or without "kind"; by default what the preset says or the observations ask for.
        env_options: what the world is made with.
        run_dir, name: the run's folder, or its name under results/runs.
        settings: any field of Training or of the agent's settings, such as total_steps or gamma.

    Raises:
        ValueError: a setting that does not exist (the nearest one is named), has the wrong type or is out of range.
        KeyboardInterrupt: Ctrl-C, once the run is saved; how to go on is printed.
    """
    if agent == "alphazero":
        raise ValueError(
            "alphazero learns games, not worlds: keel.train_selfplay(game) or keel train alphazero --game NAME"
        )
    known("agent", agent, AGENTS)
    network = {"kind": backbone} if isinstance(backbone, str) else dict(mapping(backbone or {}, "backbone"))
    world_options = {key: settings[key] for key in ("backend", "frame_stack", "pretrained") if key in settings}
    defaults = default_settings(agent, env, network.pop("kind", None), env_options or {}, **world_options)
    chosen = dataclasses.replace(
        defaults,
        seed=_whole_number("seed", seed),
        training=_replace(defaults.training, settings),
        hyperparameters=_replace(defaults.hyperparameters, settings),
        backbone=read(type(defaults.backbone), dataclasses.asdict(defaults.backbone) | network, "backbone"),
    )
    _refuse_unknown(agent, (chosen.training, chosen.hyperparameters), settings)
    console = functools.partial(Console, stream=sys.stderr)
    result = train_run(chosen, run_dir=Path(run_dir) if run_dir else None, name=name, console=console)
    if result.stopped_by is not None:
        print(what_next(result), file=sys.stderr)
        signal.raise_signal(result.stopped_by)  # now to whom it was meant for: by default it ends the process
    return result.run


def train_selfplay(
    game: str,
    *,
    seed: int = 0,
    backbone: str | None = None,
    run_dir: Path | str | None = None,
    name: str | None = None,
    **settings: Any,
) -> Run:
    """Train AlphaZero by playing against itself, and return its run; progress goes to stderr.

    Args:
        game: such as "connect_four", or "openspiel:NAME".
        backbone: "board" or "cnn"; by default what the game's preset says.
        run_dir, name: the run's folder, or its name under results/runs.
        settings: any field of SelfPlayTraining or AlphaZeroConfig, such as minutes, or search={"simulations": 64}.

    Raises:
        ValueError: a setting that does not exist (the nearest one is named), has the wrong type or is out of range.
        KeyboardInterrupt: Ctrl-C, once the run is saved; how to go on is printed.
    """
    from keel.runners import train_alphazero
    from keel.runners.selfplay.console import SelfPlayConsole
    from keel.runners.selfplay.settings import default_settings as selfplay_settings

    defaults = selfplay_settings(game, backbone)
    chosen = dataclasses.replace(
        defaults,
        seed=_whole_number("seed", seed),
        training=_replace(defaults.training, settings),
        hyperparameters=_replace(defaults.hyperparameters, settings),
    )
    _refuse_unknown("alphazero", (chosen.training, chosen.hyperparameters), settings)
    console = functools.partial(SelfPlayConsole, stream=sys.stderr)
    folder = Path(run_dir) if run_dir else None
    result = train_alphazero.train(chosen, run_dir=folder, name=name, console=console)
    if result.stopped_by is not None:
        print(train_alphazero.what_next(result), file=sys.stderr)
        signal.raise_signal(result.stopped_by)
    return result.run


def load_player(
    run: Run | Path | str,
    simulations: int | None = None,
    checkpoint: Literal["best", "last"] = "best",
    *,
    device: str = "cpu",
) -> Any:
    """The network of a run of `train_selfplay` with its search: `agents.players.SearchPlayer`, whose `think(states)` says
    what it finds in states [N S] of the game."""
    from keel.envs.games.games import make_game
    from keel.runners.games.players import run_player
    from keel.runners.selfplay.settings import SelfPlaySettings

    found = run if isinstance(run, Run) else Run.open(run)
    game = make_game(SelfPlaySettings.from_run(found).game)
    return run_player(found, game, simulations, checkpoint=checkpoint, device=device)


def _refuse_unknown(agent: str, parts: tuple[Any, ...], settings: dict[str, Any]) -> None:
    """Raises: ValueError for settings that are left over; names the nearest ones there are."""
    if settings:
        names = [f.name for part in parts for f in dataclasses.fields(part)]
        name = next(iter(settings))
        raise ValueError(f"{name} is not a setting of {agent}{closest(name, names)}")


def _whole_number(name: str, value: Any) -> int:
    """`value` as an int, also where it is one of NumPy's."""
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{name} is {value!r}: expected a whole number") from None


def _replace(part: Any, settings: dict[str, Any]) -> Any:
    """`part` with those of `settings` that are its own, which are taken out of `settings`."""
    before = dataclasses.asdict(part)
    own = {f.name: settings.pop(f.name) for f in dataclasses.fields(part) if f.name in settings}
    nested = {name: before[name] | value for name, value in own.items() if name in NESTED and isinstance(value, dict)}
    return read(type(part), before | own | nested, type(part).__name__)


def load(run: Run | Path | str, checkpoint: Literal["best", "last"] = "best", *, device: str = "cpu") -> Policy:
    """The trained agent of a run: `load("latest").act(observation)` is one action for one observation."""
    return load_policy(run if isinstance(run, Run) else Run.open(run), checkpoint, device=device)


def evaluate(
    run: Run | Path | str,
    *,
    episodes: int = 100,
    seed: int = 0,
    checkpoint: Literal["best", "last"] = "best",
    device: str = "cpu",
) -> dict[str, Any]:
    """Greedy episodes on seeds that training never saw: mean, std, min, max, returns."""
    found = run if isinstance(run, Run) else Run.open(run)
    return evaluate_run(found, episodes=episodes, seed=seed, which=checkpoint, device=device)
