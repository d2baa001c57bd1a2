"""All that decides a training run, and its form as JSON: read strictly, so that nothing is silently accepted."""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar, Union

import tyro

from keel.agents.checks import at_least
from keel.agents.dqn import DQNConfig
from keel.agents.ppo import PPOConfig
from keel.agents.pqn import PQNConfig
from keel.agents.r2d2 import R2D2Config
from keel.envs.errors import closest
from keel.networks.backbone import BACKBONES, BackboneConfig, MLPConfig
from keel.runners.provenance import REDACTED
from keel.runners.sb3.settings import SB3_AGENTS, SB3Config

Hyperparameters: TypeAlias = PPOConfig | DQNConfig | PQNConfig | R2D2Config | SB3Config

AGENTS: dict[str, type[Hyperparameters]] = {
    "ppo": PPOConfig,
    "dqn": DQNConfig,
    "dqn-2015": DQNConfig,  # the same algorithm with other switches: runners/presets/find.py
    "rainbow": DQNConfig,
    "pqn": PQNConfig,
    "r2d2": R2D2Config,
    **SB3_AGENTS,
}

T = TypeVar("T")


@dataclass(frozen=True)
class Training:
    """Settings of a training run that are not the algorithm's own. All steps count single worlds."""

    total_steps: int = 200_000
    """Environment steps to train for."""
    num_envs: int = 8
    """Worlds that run in step."""
    workers: int = 0
    """Processes that hold the worlds; 0: all in this one."""
    backend: Literal["auto", "envpool"] = "auto"
    """`envpool` is faster for the worlds it has and resumes only approximately (extra `fast`)."""
    frame_stack: int = 0
    """Join this many successive observations; 0: as the world gives them."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    torch_threads: int = 1
    """Threads of torch and of numpy's matrix products; one is fastest for small networks."""
    evaluate_every: int = 20_000
    """Steps between two greedy evaluations; 0: none but the last."""
    evaluate_episodes: int = 20
    """Episodes of each evaluation during training; the best one decides checkpoints/best."""
    stop_at_return: float | None = None
    """Stop once an evaluation reaches this mean return and a second one on other episodes confirms it."""
    checkpoint_every: int = 50_000
    """Steps between two snapshots to resume from; 0: only at the end."""
    video: bool = True
    """Record an episode of the best checkpoint at the end."""
    track: Literal["none", "wandb"] = "none"
    """Mirror the run to Weights & Biases (offline where no key is set)."""
    track_checkpoints: bool = False
    """Send the best checkpoint to Weights & Biases at the end, as an artifact."""
    energy_country: str | None = None
    """ISO code of three letters, such as DEU: measure energy with codecarbon (extra `energy`), and count the CO2 of its
    grid."""
    pretrained: str | None = None
    """A run whose backbone the agent begins with, instead of at random."""
    freeze: bool = False
    """Keep that backbone as it is, and learn from its features with a small MLP."""
    env_options: tyro.conf.Suppress[dict[str, Any]] = field(default_factory=dict)
    """What the world is made with; on the command line --env.NAME VALUE."""

    def __post_init__(self) -> None:
        at_least(1, total_steps=self.total_steps, num_envs=self.num_envs, torch_threads=self.torch_threads)
        at_least(1, evaluate_episodes=self.evaluate_episodes)
        at_least(0, workers=self.workers, frame_stack=self.frame_stack)
        at_least(0, evaluate_every=self.evaluate_every, checkpoint_every=self.checkpoint_every)
        if self.freeze and self.pretrained is None:
            raise ValueError("freeze is True without a pretrained backbone: name a run with --pretrained RUN")
        if self.stop_at_return is not None and not math.isfinite(self.stop_at_return):
            raise ValueError(f"stop_at_return is {self.stop_at_return}: it must be a finite number")
        if self.workers > self.num_envs:
            raise ValueError(f"workers is {self.workers}: more than the {self.num_envs} worlds of num_envs")
        check_country_form(self.energy_country)


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run."""

    agent: str
    env: str
    seed: int
    training: Training
    hyperparameters: Hyperparameters
    backbone: BackboneConfig

    def __post_init__(self) -> None:
        at_least(0, seed=self.seed)

    def to_json(self) -> dict[str, Any]:
        return {
            "agent": self.agent,
            "env": self.env,
            "seed": self.seed,
            "training": dataclasses.asdict(self.training),
            "hyperparameters": dataclasses.asdict(self.hyperparameters),
            "backbone": {"kind": self.backbone.kind, **dataclasses.asdict(self.backbone)},
        }

    @staticmethod
    def from_json(config: Mapping[str, Any], source: str = "config.json") -> Settings:
        """The settings that a config.json holds.

        Raises:
            ValueError: names the field, the value it got and what would be right.
        """
        for key in ("agent", "env", "seed", "training", "hyperparameters", "backbone"):
            if key not in config:
                raise ValueError(f"{source} has no '{key}': it is not the config.json of a run")
        backbone = dict(mapping(config["backbone"], "backbone"))
        kind = backbone.pop("kind", None)
        return Settings(
            agent=known("agent", config["agent"], AGENTS),
            env=convert(str, config["env"], "env"),
            seed=convert(int, config["seed"], "seed"),
            training=read(Training, config["training"], "training"),
            hyperparameters=read(AGENTS[config["agent"]], config["hyperparameters"], "hyperparameters"),
            backbone=read(BACKBONES[known("backbone.kind", kind, BACKBONES)], backbone, "backbone"),
        )


def check_country_form(country: str | None) -> None:
    """Raises: ValueError for what cannot be a country's code; whether there is such a country only codecarbon knows."""
    if country is not None and not re.fullmatch("[A-Z]{3}", country):
        raise ValueError(
            f"energy_country is {country!r}: it must be the ISO code of a country in three capital letters, such as DEU"
        )


class Preset(NamedTuple):
    """Settings that fit a world, whoever trains in it and with whatever seed."""

    training: Training
    hyperparameters: Hyperparameters
    backbone: BackboneConfig = MLPConfig()


def known(name: str, value: Any, among: Mapping[str, Any]) -> str:
    """`value` where it is a key of `among`; otherwise a ValueError that lists them."""
    if not isinstance(value, str) or value not in among:
        raise ValueError(f"{name} is {value!r}{closest(str(value), among)}; there are: {', '.join(among)}")
    return value


def mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {value!r}: expected an object of settings")
    return value


def read(cls: type[T], values: Any, where: str) -> T:
    """The dataclass `cls` from a dict of JSON values; unknown names and wrong types are refused."""
    values = mapping(values, where)
    hints = typing.get_type_hints(cls)  # without Annotated
    names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for name in values:
        if name not in names:
            raise ValueError(f"{where}.{name} is not a setting{closest(name, names)}")
    return cls(**{name: convert(hints[name], value, f"{where}.{name}") for name, value in values.items()})


def convert(hint: Any, value: Any, where: str) -> Any:
    """`value` as the type `hint` where JSON can carry it without loss; otherwise a ValueError."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value in arguments:
            return value
        raise ValueError(f"{where} is {value!r}; it can be {', '.join(map(repr, arguments))}")
    if origin in (Union, types.UnionType):
        inner = next(a for a in arguments if a is not type(None))
        return None if value is None else convert(inner, value, where)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(convert(arguments[0], item, where) for item in value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if value == REDACTED:
        raise ValueError(f"{where} was a secret and is not stored: worlds must read secrets from the environment")
    if hint in (str, bool) and isinstance(value, hint):
        return value
    if origin is dict and isinstance(value, dict):
        return {
            name: item if item != REDACTED else convert(str, item, f"{where}.{name}") for name, item in value.items()
        }
    if dataclasses.is_dataclass(hint):
        return read(typing.cast(type, hint), value, where)
    expected = getattr(hint, "__name__", str(hint))
    hint_text = " without quotes" if hint in (int, float) and isinstance(value, str) else ""
    raise ValueError(f"{where} is {value!r}: expected {expected}{hint_text}")
