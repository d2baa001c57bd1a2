"""All that decides a training by self-play, how the command line gives it, and its form as JSON."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro

from keel.agents.alphazero import AlphaZeroConfig, make_network
from keel.agents.checks import at_least
from keel.envs.games.game import Game
from keel.envs.games.games import GAMES, OPENSPIEL, OPTIONAL_GAMES, make_game
from keel.networks.backbone import BACKBONES, BackboneConfig
from keel.networks.policy_value import PolicyValueNetwork
from keel.runners import checkpoint
from keel.runners.presets.selfplay import find_preset
from keel.runners.run import Run
from keel.runners.selfplay.training import SelfPlayTraining
from keel.runners.settings import convert, known, mapping, read

AGENT = "alphazero"
NAMES = f"{', '.join(GAMES | OPTIONAL_GAMES)}, {OPENSPIEL}NAME"


@dataclass(frozen=True)
class SelfPlaySettings:
    """Everything that decides a training by self-play."""

    game: str
    seed: int
    training: SelfPlayTraining
    hyperparameters: AlphaZeroConfig
    backbone: BackboneConfig

    def __post_init__(self) -> None:
        at_least(0, seed=self.seed)

    def to_json(self) -> dict[str, Any]:
        return {
            "agent": AGENT,
            "env": self.game,
            "seed": self.seed,
            "training": dataclasses.asdict(self.training),
            "hyperparameters": dataclasses.asdict(self.hyperparameters),
            "backbone": {"kind": self.backbone.kind, **dataclasses.asdict(self.backbone)},
        }

    @staticmethod
    def from_json(config: Mapping[str, Any], source: str = "config.json") -> SelfPlaySettings:
        """The settings that a config.json holds. Raises: ValueError, naming the field and what would be right."""
        for key in ("agent", "env", "seed", "training", "hyperparameters", "backbone"):
            if key not in config:
                raise ValueError(f"{source} has no '{key}': it is not the config.json of a run")
        backbone = dict(mapping(config["backbone"], "backbone"))
        kind = known("backbone.kind", backbone.pop("kind", None), BACKBONES)
        return SelfPlaySettings(
            game=convert(str, config["env"], "env"),
            seed=convert(int, config["seed"], "seed"),
            training=read(SelfPlayTraining, config["training"], "training"),
            hyperparameters=read(AlphaZeroConfig, config["hyperparameters"], "hyperparameters"),
            backbone=read(BACKBONES[kind], backbone, "backbone"),
        )

    @staticmethod
    def from_run(run: Run) -> SelfPlaySettings:
        """Those of a run. Raises: ValueError where it is not a training by self-play."""
        if not is_selfplay(run.config):
            raise ValueError(
                f"{run.name} is a run of {run.config.get('agent')} on {run.config.get('env')}, "
                f"and a network that plays by searching was asked for: one of `keel train {AGENT} --game NAME`"
            )
        return SelfPlaySettings.from_json(run.config, str(run.path / "config.json"))


def is_selfplay(config: Mapping[str, Any]) -> bool:
    """Whether a run's config.json is that of a training by self-play."""
    return config.get("agent") == AGENT


def refuse_selfplay(config: Mapping[str, Any]) -> None:
    """Raises: ValueError for a run that plays board games by searching, where a command needs an agent in a world."""
    if is_selfplay(config):
        raise ValueError(
            f"{config.get('name')} learnt {config.get('env')} by self-play and is no agent in a world: `keel arena` "
            "measures it, `keel watch` shows it, `keel play` lets you play against it"
        )


def load_network(
    run: Run, settings: SelfPlaySettings, game: Game, which: Literal["best", "last"], device: torch.device
) -> PolicyValueNetwork:
    """The network of a run's checkpoint. Raises: CheckpointError: none such, a damaged one, or another network's."""
    if which == "best" and not (run.checkpoints / checkpoint.BEST).exists():
        which = "last"  # nothing was evaluated yet
    saved = checkpoint.load(checkpoint.resolve(run.path, which), agent=AGENT)
    weights = saved.state["network"] if "network" in saved.state else saved.state["learner"]["network"]
    with torch.random.fork_rng(devices=[]):
        network = make_network(game, settings.backbone)
    checkpoint.check_shapes({"network": dict(network.state_dict())}, {"network": weights})
    network.load_state_dict(weights)
    return network.to(device).eval()


@dataclass(frozen=True)
class SelfPlayLaunch:
    """How to run, which is no part of a run's settings."""

    run_dir: Path | None = None
    """The run's folder; by default one named after game, agent, seed and time under results/runs."""
    name: str | None = None
    """The run's name, and that of its folder under results/runs."""
    json: tyro.conf.Suppress[bool] = False


def read_options(arguments: list[str]) -> tuple[SelfPlaySettings, SelfPlayLaunch]:
    """The settings and the launch that a command line asks for.

    Raises:
        ValueError: what is wrong and what would be right. SystemExit: help was printed, or tyro's message.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--game")
    parser.add_argument("--backbone")
    parser.add_argument("--json", action="store_true")
    try:
        first, rest = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise ValueError(f"keel train {AGENT}: {error}") from None
    if first.game is None and not {"-h", "--help"} & set(rest):
        raise ValueError(f"keel train {AGENT} needs --game NAME; there are: {NAMES}")
    defaults = default_settings(first.game or "connect_four", first.backbone)
    chosen = tyro.cli(
        _options_type(defaults),
        args=rest,
        prog=f"keel train {AGENT} --game {defaults.game}",
        description=(
            f"Games: {NAMES}. --backbone board|cnn chooses the network. "
            "--json prints one JSON object alone on stdout. Defaults are the game's."
        ),
        config=(tyro.conf.FlagConversionOff, tyro.conf.AvoidSubcommands),
    )
    settings = SelfPlaySettings(defaults.game, chosen.seed, chosen.training, chosen.hyperparameters, chosen.backbone)
    return settings, dataclasses.replace(chosen.launch, json=first.json)


def default_settings(game: str, backbone: str | None = None) -> SelfPlaySettings:
    """What is known to work for this game. Raises: ValueError: no such game or backbone."""
    preset = find_preset(make_game(game))
    chosen = preset.backbone
    if backbone is not None and backbone != chosen.kind:
        chosen = BACKBONES[known("backbone", backbone, BACKBONES)]()
    return SelfPlaySettings(game, 0, preset.training, preset.hyperparameters, chosen)


def check_game(settings: SelfPlaySettings) -> None:
    """Raises: ValueError for settings that do not fit the game, before anything starts."""
    game = make_game(settings.game)
    moves = settings.hyperparameters.selfplay.random_moves
    if moves >= game.most_moves:
        raise ValueError(f"random_moves is {moves}: no game of {game.name} is longer than {game.most_moves} moves")


def check_learning(settings: SelfPlaySettings) -> None:
    """Raises: ValueError where all iterations together could not gather what learning starts with."""
    config, iterations = settings.hyperparameters, settings.training.iterations
    most = iterations * config.selfplay.actors * config.selfplay.games * config.selfplay.moves
    if iterations and most < config.learning_starts:
        raise ValueError(
            f"learning_starts is {config.learning_starts}, and {iterations} iterations make {most} moves: nothing would be "
            "learnt; give more iterations, or a smaller --learning-starts"
        )


def _options_type(defaults: SelfPlaySettings) -> Any:
    """A dataclass of all options with these defaults; tyro reads flags, types and help from it."""
    flat = tyro.conf.arg(name="")
    return dataclasses.make_dataclass(
        "Options",
        [
            ("seed", Annotated[int, tyro.conf.arg(help="Where all chance comes from.")], defaults.seed),
            ("launch", Annotated[SelfPlayLaunch, flat], SelfPlayLaunch()),
            ("training", Annotated[SelfPlayTraining, flat], defaults.training),
            ("hyperparameters", Annotated[AlphaZeroConfig, flat], defaults.hyperparameters),
            ("backbone", type(defaults.backbone), defaults.backbone),
        ],
        frozen=True,
    )
