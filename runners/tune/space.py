"""What `keel tune` searches: a range or a list of choices for each of some settings of a training.

A space file is a JSON object from settings, named as on the command line with underscores, to what they may be:

    {
      "learning_rate": {"low": 1e-4, "high": 1e-2, "log": true},
      "epochs": {"low": 2, "high": 10},
      "epsilon.end": {"choices": [0.01, 0.05]},
      "backbone.hidden": {"choices": [[64, 64], [256, 256]]}
    }

A range holds both of its ends; it is searched evenly in the logarithm with `log`, and in whole numbers where the
setting is one.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from keel.envs.errors import closest
from keel.runners.files import read_json
from keel.runners.settings import Settings, mapping


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both of them in it."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"low is {self.low} and high {self.high}: low must be below high, both finite")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low}: with log it must be greater than 0")

    def ends(self) -> list[Any]:
        return [self.low, self.high]

    def holds(self, value: Any) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def with_value(self, value: Any) -> Range:
        """The range, widened where `value` lies outside."""
        return dataclasses.replace(self, low=min(self.low, value), high=max(self.high, value))

    def to_json(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high, "log": self.log}


@dataclass(frozen=True)
class Choices:
    """One of these values, which JSON can hold."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if len({json.dumps(value) for value in self.values}) < max(len(self.values), 2):
            raise ValueError(f"choices is {list(self.values)}: give at least two, each once")

    def ends(self) -> list[Any]:
        return list(self.values)

    def holds(self, value: Any) -> bool:
        return _plain(value) in self.values

    def with_value(self, value: Any) -> Choices:
        """The choices, with `value` among them; numbers stay in order."""
        if self.holds(value):
            return self
        values = [*self.values, _plain(value)]
        numbers = all(isinstance(item, int | float) for item in values)
        return Choices(tuple(sorted(values) if numbers else values))

    def to_json(self) -> dict[str, Any]:
        return {"choices": [_plain(value) for value in self.values]}


Dimension: TypeAlias = Range | Choices
Space: TypeAlias = dict[str, Dimension]  # by the name of the setting
Values: TypeAlias = dict[str, Any]  # one point of a space


def tunable(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Every setting that a space can name, and its place in `Settings.to_json`."""
    config = settings.to_json()
    found: dict[str, tuple[str, ...]] = {}
    for section in ("training", "hyperparameters", "backbone"):
        prefix = "backbone." if section == "backbone" else ""
        for name, value in config[section].items():
            if name in ("env_options", "kind"):
                continue
            if isinstance(value, Mapping):
                found |= {f"{prefix}{name}.{part}": (section, name, part) for part in value}
            else:
                found[prefix + name] = (section, name)
    return found


def value_of(settings: Settings, name: str) -> Any:
    """The setting's value, as JSON has it."""
    value: Any = settings.to_json()
    for key in tunable(settings)[name]:
        value = value[key]
    return _plain(value)


def with_values(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """`settings` with those of `values`.

    Raises:
        ValueError: names the setting, the value it got and what would be right.
    """
    config = copy.deepcopy(settings.to_json())
    places = tunable(settings)
    for name, value in values.items():
        *way, last = places[name]
        part = config
        for key in way:
            part = part[key]
        part[last] = value
    return Settings.from_json(config, "the trial")


def read_space(path: Path, settings: Settings) -> Space:
    """The space of a file, each of its ends and choices tried as the only change to `settings`.

    Raises:
        ValueError, KeelError: names the file, the setting, and what is wrong with it. FileNotFoundError.
    """
    if not path.is_file():
        raise FileNotFoundError(f"--space {path}: there is no such file")
    return parse_space(read_json(path), settings, str(path))


def parse_space(document: Any, settings: Settings, source: str) -> Space:
    """A space from its JSON. Raises: ValueError, as `read_space` does."""
    places = tunable(settings)
    space: Space = {}
    for name, about in mapping(document, source).items():
        if name not in places:
            raise ValueError(f"{source}: {name} is not a setting of {settings.agent}{closest(name, places)}")
        try:
            space[name] = _dimension(about, whole=_is_whole(settings, places[name]))
            for value in space[name].ends():
                with_values(settings, {name: value})
        except ValueError as error:
            raise ValueError(f"{source}: {name}: {error}") from None
    if not space:
        raise ValueError(f"{source} names no setting: there is nothing to search")
    return space


def _dimension(about: Any, *, whole: bool) -> Dimension:
    about = mapping(about, "it")
    if about.keys() == {"choices"}:
        if not isinstance(about["choices"], list):
            raise ValueError(f"choices is {about['choices']!r}: expected a list")
        return Choices(tuple(about["choices"]))
    if not {"low", "high"} <= about.keys() <= {"low", "high", "log"}:
        raise ValueError(f'it is {json.dumps(about)}: expected "low" and "high" (and perhaps "log"), or "choices"')
    for end in ("low", "high"):
        kind = int if whole else int | float
        if not isinstance(about[end], kind) or isinstance(about[end], bool):
            raise ValueError(f"{end} is {about[end]!r}: expected a {'whole ' * whole}number")
    if not isinstance(about.get("log", False), bool):
        raise ValueError(f"log is {about['log']!r}: expected true or false")
    number = int if whole else float
    return Range(number(about["low"]), number(about["high"]), about.get("log", False), whole)


def _is_whole(settings: Settings, place: tuple[str, ...]) -> bool:
    """Whether the setting is a whole number by its type."""
    part: Any = settings
    for key in place[:-1]:
        part = getattr(part, key)
    hint = typing.get_type_hints(type(part))[place[-1]]
    return int in (hint, *typing.get_args(hint)) and typing.get_origin(hint) is not tuple


def _plain(value: Any) -> Any:
    """As JSON would give it back."""
    return list(value) if isinstance(value, tuple) else value
