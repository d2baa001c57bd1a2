"""The options of `keel train`, read in two passes: the world and the backbone first, then all that belongs to them."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from keel.envs.errors import KeelError
from keel.networks.backbone import BACKBONES, CNNConfig
from keel.networks.build import default_cnn
from keel.networks.observations import Encoder
from keel.runners.files import read_json
from keel.runners.presets.find import PRESETS, find_preset, plain_preset
from keel.runners.pretrained import with_pretrained
from keel.runners.settings import Preset, Settings, Training, known, read

EPILOGUE = (
    "--env ID chooses the world, and --env.NAME VALUE sets an option of it, such as --env.gravity -3.5. "
    "--backbone mlp|cnn|lstm|gru|transformer|fusion|board chooses the network. "
    "--config FILE takes the settings of a run's config.json. "
    "--json prints one JSON object alone on stdout. "
    "Defaults are those of the preset for the world, where there is one."
)
WORDS = {"True": "true", "False": "false", "None": "null"}  # Python's, beside JSON's own


@dataclass(frozen=True)
class Launch:
    """How to run, which is no part of a run's settings."""

    seeds: int = 1
    """Train this many runs, with seeds from --seed upwards."""
    jobs: int = 1
    """Of these runs, train this many at a time, each in a process of its own."""
    run_dir: Path | None = None
    """The run's folder; by default one named after world, agent, seed and time under results/runs."""
    name: str | None = None
    """The run's name, and that of its folder under results/runs."""
    json: tyro.conf.Suppress[bool] = False


def read_options(agent: str, arguments: list[str]) -> tuple[Settings, Launch]:
    """The settings and the launch that a command line asks for.

    Raises:
        ValueError, KeelError: what is wrong and what would be right. SystemExit: help was printed, or tyro's message.
    """
    first, rest = _first_pass(agent, with_true(arguments))
    env_options, rest = split_env_options(rest)
    wants_help = "-h" in rest or "--help" in rest
    if first.env is None and first.config is None and not wants_help:
        worlds = ", ".join(env for name, env in PRESETS if name == agent)
        raise ValueError(f"keel train {agent} needs --env ID (presets: {worlds}; `keel envs` lists more)")
    defaults = _defaults(agent, first, env_options, _world_options(agent, rest))
    chosen = tyro.cli(
        _options_type(defaults),
        args=rest,
        prog=f"keel train {agent} --env {defaults.env}",
        description=EPILOGUE,
        config=(tyro.conf.FlagConversionOff, tyro.conf.AvoidSubcommands),
    )
    training = dataclasses.replace(
        chosen.training,
        env_options=defaults.training.env_options | env_options,
        pretrained=defaults.training.pretrained,
    )
    settings = Settings(agent, defaults.env, chosen.seed, training, chosen.hyperparameters, chosen.backbone)
    if chosen.launch.seeds < 1:
        raise ValueError(f"seeds is {chosen.launch.seeds}: it must be at least 1")
    if chosen.launch.jobs < 1:
        raise ValueError(f"jobs is {chosen.launch.jobs}: it must be at least 1")
    if chosen.launch.jobs > 1 and chosen.launch.seeds == 1:
        raise ValueError(f"--jobs {chosen.launch.jobs} is for several seeds: give --seeds, or leave it out")
    if chosen.launch.seeds > 1 and (chosen.launch.run_dir or chosen.launch.name):
        raise ValueError("--seeds makes a folder for each seed: leave out --run-dir and --name")
    return settings, dataclasses.replace(chosen.launch, json=first.json)


def with_true(arguments: list[str]) -> list[str]:
    """`--freeze` alone means `--freeze True`."""
    result: list[str] = []
    for item, following in itertools.pairwise([*arguments, "--"]):
        result += [item, "True"] if item == "--freeze" and following.startswith("-") else [item]
    return result


def _first_pass(agent: str, arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = _parser()
    parser.add_argument("--env")
    parser.add_argument("--backbone")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--json", action="store_true")
    return _parse_known(parser, agent, arguments)


def _world_options(agent: str, arguments: list[str]) -> dict[str, Any]:
    """The settings of `Training` that decide what else there is to set; they stay in the arguments for tyro."""
    parser = _parser()
    parser.add_argument("--backend")
    parser.add_argument("--frame-stack", "--frame_stack", type=int)
    parser.add_argument("--pretrained")
    found, _ = _parse_known(parser, agent, arguments)
    given = {name: value for name, value in vars(found).items() if value is not None}
    return {name: None if value == "None" else value for name, value in given.items()}


def _parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)


def _parse_known(
    parser: argparse.ArgumentParser, agent: str, arguments: list[str]
) -> tuple[argparse.Namespace, list[str]]:
    try:
        return parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise ValueError(f"keel train {agent}: {error}") from None


def split_env_options(arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The pairs `--env.NAME VALUE` (or `--env.NAME=VALUE`), and the arguments that are left."""
    options: dict[str, Any] = {}
    rest: list[str] = []
    items = iter(arguments)
    for item in items:
        if not item.startswith("--env."):
            rest.append(item)
            continue
        name, equals, text = item.removeprefix("--env.").partition("=")
        value = text if equals else next(items, None)
        if value is None:
            raise ValueError(f"--env.{name} needs a value")
        options[name.replace("-", "_")] = _plain_value(value)
    return options, rest


def seeds_line(agent: str, arguments: Sequence[str], seed: int, seeds: int) -> str:
    """The command that trains other seeds with the same options."""
    changed = ("--seed", "--seeds") if seeds > 1 else ("--seed", "--seeds", "--jobs")
    rest = without_options(arguments, changed)
    return shlex.join(["keel", "train", agent, *rest, "--seed", str(seed), "--seeds", str(seeds)])


def without_options(arguments: Sequence[str], names: Sequence[str]) -> list[str]:
    """The arguments without `NAME VALUE` and `NAME=VALUE`."""
    rest: list[str] = []
    items = iter(arguments)
    for item in items:
        if item in names:
            next(items, None)
        elif item.partition("=")[0] not in names:
            rest.append(item)
    return rest


def _plain_value(text: str) -> Any:
    """A number, true, false or null where `text` reads as one, otherwise the text."""
    try:
        return json.loads(WORDS.get(text, text))
    except json.JSONDecodeError:
        return text


def _check_env_options(options: dict[str, Any]) -> None:
    """They are kept in config.json: what JSON cannot hold is refused by name."""
    for name, value in options.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"the world's option {name} is {value!r}, which config.json cannot hold: {error}"
            ) from None


def _defaults(
    agent: str, first: argparse.Namespace, env_options: dict[str, Any], world_options: dict[str, Any]
) -> Settings:
    """What holds where the command line is silent: the file of --config, or the preset, or the plain defaults."""
    if first.config is None:
        return default_settings(agent, first.env or "CartPole-v1", first.backbone, env_options, **world_options)
    _check_env_options(env_options)
    found = Settings.from_json(_config_file(first.config), str(first.config))
    if found.agent != agent:
        raise ValueError(f"{first.config} holds settings of agent '{found.agent}', not '{agent}'")
    pretrained = world_options.get("pretrained", found.training.pretrained)
    training = dataclasses.replace(found.training, pretrained=pretrained)
    found = _with_backbone(dataclasses.replace(found, env=first.env or found.env, training=training), first.backbone)
    return with_pretrained(found, first.backbone)


def default_settings(
    agent: str, env: str, backbone: str | None, env_options: dict[str, Any], **world_options: Any
) -> Settings:
    """The preset for this agent and world, or plain defaults; with the backbone of that name, where one is given.

    Args:
        world_options: `backend`, `frame_stack` and `pretrained`, as far as they are chosen: a world without a preset is
            made to see what its observations are, and some can only be made with the first two; a pretrained backbone
            brings its settings.
    """
    _check_env_options(env_options)
    preset = find_preset(agent, env) or _plain_preset(
        agent, env, read(Training, {"env_options": env_options, **world_options}, "training")
    )
    training = dataclasses.replace(
        preset.training,
        env_options=preset.training.env_options | env_options,
        pretrained=world_options.get("pretrained"),
    )
    settings = _with_backbone(Settings(agent, env, 0, training, preset.hyperparameters, preset.backbone), backbone)
    return with_pretrained(settings, backbone)


def _with_backbone(settings: Settings, backbone: str | None) -> Settings:
    """The settings with the usual backbone of that kind, where another kind is asked for."""
    if backbone is None or backbone == settings.backbone.kind:
        return settings
    config = BACKBONES[known("backbone", backbone, BACKBONES)]()
    if isinstance(config, CNNConfig):
        shape = _encoder(settings.env, settings.training).shape
        config = default_cnn(shape) if len(shape) == 3 else config
    return dataclasses.replace(settings, backbone=config)


def _config_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"--config {path}: there is no such file")
    try:
        config = read_json(path)
    except (ValueError, KeelError) as error:
        raise ValueError(f"--config {path} cannot be read as JSON: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"--config {path} holds {type(config).__name__}: expected the settings of a run as an object")
    return config


def _plain_preset(agent: str, env: str, world: Training) -> Preset:
    """Defaults for a world without a preset: the backbone follows its observations."""
    encoder = _encoder(env, world)
    return plain_preset(agent, encoder.shape, encoder.parts)


def _encoder(env: str, world: Training) -> Encoder:
    """How the observations of this world are encoded; the world is made to see them."""
    from keel.envs.vector import make_vec

    worlds = make_vec(env, 1, env_options=world.env_options, backend=world.backend, frame_stack=world.frame_stack)
    try:
        return Encoder(worlds.observation_space, normalise=False)
    finally:
        worlds.close()


def _options_type(defaults: Settings) -> Any:
    """A dataclass of all options with these defaults; tyro reads flags, types and help from it."""
    flat = tyro.conf.arg(name="")
    training = dataclasses.replace(defaults.training, env_options={})
    return dataclasses.make_dataclass(
        "Options",
        [
            ("seed", Annotated[int, tyro.conf.arg(help="Where all chance comes from.")], defaults.seed),
            ("launch", Annotated[Launch, flat], Launch()),
            ("training", Annotated[Training, flat], training),
            ("hyperparameters", Annotated[type(defaults.hyperparameters), flat], defaults.hyperparameters),
            ("backbone", type(defaults.backbone), defaults.backbone),
        ],
        frozen=True,
    )
