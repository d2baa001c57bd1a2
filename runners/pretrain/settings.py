"""All that decides a pre-training, how the command line gives it, and its form as JSON."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import tyro

from keel.agents.checks import at_least
from keel.envs.errors import closest
from keel.networks.backbone import BACKBONES, BackboneConfig
from keel.networks.pretraining.learner import Plan
from keel.runners.kinds import PREFIX
from keel.runners.settings import convert, known, mapping, read

TASK_PREFIX = "task/"  # of the world's name there: task/digits and so on


class Field(NamedTuple):
    """A kind of data: the module that learns it, and the one that reports on it."""

    module: str  # has `preset(kind, task) -> Plan` and `build(plan, chance, device) -> Learner`
    report: (
        str  # has `report(learner, run) -> list[str]`, parts of the page, perhaps `after_epoch(learner, run, epoch)`
    )


FIELDS = {
    "images": Field("keel.networks.pretraining.images", "keel.runners.pretrain.images"),
    "faces": Field("keel.networks.pretraining.faces", "keel.runners.pretrain.faces"),
    "text": Field("keel.networks.pretraining.text", "keel.runners.pretrain.text"),
    "series": Field("keel.networks.pretraining.series", "keel.runners.pretrain.series"),
}
# Which networks learn which tasks, and what kind of data a task is.
SEQUENCES = {"imdb": "text", "reviews": "text", "prices": "series", "stocks": "series"}
KINDS: dict[str, dict[str, str]] = {
    "cnn": dict.fromkeys(("digits", "mnist5k", "mnist", "cifar10", "images"), "images"),
    "dcgan": dict.fromkeys(("mnist5k", "mnist", "faces"), "faces"),
    "lstm": SEQUENCES,
    "gru": SEQUENCES,
    "transformer": SEQUENCES,
}


@dataclass(frozen=True)
class PretrainTraining:
    """Settings of a pre-training that are not those of its kind of data."""

    epochs: int = 20
    """Passes over the training data."""
    patience: int = 0
    """Stop after this many epochs without a better score on the validation data; 0: never."""
    data_dir: str | None = None
    """A folder with the data; by default they come from the Hugging Face hub, or from a package for sample tasks."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    torch_threads: int = 1
    """Threads of torch."""
    checkpoint_every: int = 1
    """Epochs between two snapshots to resume from; 0: only at the end."""
    track: Literal["none", "wandb"] = "none"
    """Mirror the run to Weights & Biases (offline where no key is set)."""
    track_checkpoints: bool = False
    """Send the best checkpoint to Weights & Biases at the end, as an artifact."""

    def __post_init__(self) -> None:
        at_least(1, epochs=self.epochs, torch_threads=self.torch_threads)
        at_least(0, patience=self.patience, checkpoint_every=self.checkpoint_every)


@dataclass(frozen=True)
class PretrainSettings:
    """Everything that decides a pre-training."""

    kind: str
    task: str
    seed: int
    training: PretrainTraining
    hyperparameters: Any
    backbone: BackboneConfig | None

    def __post_init__(self) -> None:
        at_least(0, seed=self.seed)

    @property
    def agent(self) -> str:
        return PREFIX + self.kind

    @property
    def env(self) -> str:
        return TASK_PREFIX + self.task

    @property
    def plan(self) -> Plan:
        folder = self.training.data_dir
        return Plan(
            self.kind,
            self.task,
            self.training.epochs,
            self.training.patience,
            self.hyperparameters,
            self.backbone,
            None if folder is None else Path(folder),
        )

    def to_json(self) -> dict[str, Any]:
        backbone = {} if self.backbone is None else {"kind": self.backbone.kind, **dataclasses.asdict(self.backbone)}
        return {
            "agent": self.agent,
            "env": self.env,
            "seed": self.seed,
            "training": dataclasses.asdict(self.training),
            "hyperparameters": dataclasses.asdict(self.hyperparameters),
            "backbone": backbone,
        }

    @staticmethod
    def from_json(config: Mapping[str, Any], source: str = "config.json") -> PretrainSettings:
        """The settings that a config.json holds. Raises: ValueError, naming the field and what would be right."""
        for key in ("agent", "env", "seed", "training", "hyperparameters", "backbone"):
            if key not in config:
                raise ValueError(f"{source} has no '{key}': it is not the config.json of a run")
        kind = known("agent", str(config["agent"]).removeprefix(PREFIX), KINDS)
        task = known("env", str(config["env"]).removeprefix(TASK_PREFIX), KINDS[kind])
        preset = find_preset(kind, task)
        backbone = dict(mapping(config["backbone"], "backbone"))
        name = backbone.pop("kind", None)
        return PretrainSettings(
            kind=kind,
            task=task,
            seed=convert(int, config["seed"], "seed"),
            training=read(PretrainTraining, config["training"], "training"),
            hyperparameters=read(type(preset.config), config["hyperparameters"], "hyperparameters"),
            backbone=None
            if name is None
            else read(BACKBONES[known("backbone.kind", name, BACKBONES)], backbone, "backbone"),
        )


def field_of(kind: str, task: str) -> Field:
    return FIELDS[KINDS[kind][task]]


def find_preset(kind: str, task: str) -> Plan:
    return importlib.import_module(field_of(kind, task).module).preset(kind, task)


def default_settings(kind: str, task: str) -> PretrainSettings:
    """What is known to work for this network and task."""
    preset = find_preset(kind, task)
    training = PretrainTraining(epochs=preset.epochs, patience=preset.patience)
    return PretrainSettings(kind, task, 0, training, preset.config, preset.backbone)


@dataclass(frozen=True)
class PretrainLaunch:
    """How to run, which is no part of a run's settings."""

    run_dir: Path | None = None
    """The run's folder; by default one named after task, network, seed and time under results/runs."""
    name: str | None = None
    """The run's name, and that of its folder under results/runs."""
    json: tyro.conf.Suppress[bool] = False


def read_options(kind: str, arguments: list[str]) -> tuple[PretrainSettings, PretrainLaunch]:
    """The settings and the launch that a command line asks for.

    Raises:
        ValueError: what is wrong and what would be right. SystemExit: help was printed, or tyro's message.
    """
    tasks = KINDS[kind]
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--task")
    parser.add_argument("--json", action="store_true")
    try:
        first, rest = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise ValueError(f"keel pretrain {kind}: {error}") from None
    if first.task is None and not {"-h", "--help"} & set(rest):
        raise ValueError(f"keel pretrain {kind} needs --task NAME; there are: {', '.join(tasks)}")
    task = known("task", first.task or next(iter(tasks)), tasks)
    defaults = default_settings(kind, task)
    chosen = tyro.cli(
        _options_type(defaults),
        args=rest,
        prog=f"keel pretrain {kind} --task {task}",
        description=f"Tasks: {', '.join(tasks)}. --json prints one JSON object alone on stdout. Defaults are the task's.",
        config=(tyro.conf.FlagConversionOff, tyro.conf.AvoidSubcommands),
    )
    backbone = None if defaults.backbone is None else chosen.backbone
    settings = PretrainSettings(kind, task, chosen.seed, chosen.training, chosen.hyperparameters, backbone)
    return settings, dataclasses.replace(chosen.launch, json=first.json)


def check_kind(arguments: list[str]) -> tuple[str, list[str]]:
    """The network of a command line and the arguments after it. Raises: ValueError, naming the nearest one."""
    if not arguments or arguments[0].startswith("-"):
        raise ValueError(f"keel pretrain NETWORK --task NAME: say which network; there are: {', '.join(KINDS)}")
    if arguments[0] not in KINDS:
        raise ValueError(
            f"'{arguments[0]}' is not a network{closest(arguments[0], KINDS)}; there are: {', '.join(KINDS)}"
        )
    return arguments[0], arguments[1:]


def _options_type(defaults: PretrainSettings) -> Any:
    """A dataclass of all options with these defaults; tyro reads flags, types and help from it."""
    flat = tyro.conf.arg(name="")
    fields: list[Any] = [
        ("seed", Annotated[int, tyro.conf.arg(help="Where all chance comes from.")], defaults.seed),
        ("launch", Annotated[PretrainLaunch, flat], PretrainLaunch()),
        ("training", Annotated[PretrainTraining, flat], defaults.training),
        ("hyperparameters", Annotated[type(defaults.hyperparameters), flat], defaults.hyperparameters),
    ]
    if defaults.backbone is not None:
        fields.append(("backbone", type(defaults.backbone), defaults.backbone))
    return dataclasses.make_dataclass("Options", fields, frozen=True)
