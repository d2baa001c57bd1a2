"""Spaces hold only settings that exist and go together, and say by name what is wrong with those that do not."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keel.networks.backbone import LSTMConfig
from keel.runners.options import read_options
from keel.runners.presets.find import PRESETS
from keel.runners.settings import Settings
from keel.runners.tune.plan import Plan
from keel.runners.tune.score import Objective
from keel.runners.tune.space import Choices, Range, Space, parse_space, read_space, value_of, with_values
from keel.runners.tune.spaces import default_space
from keel.runners.tune.sweep import sweep


def preset(agent: str = "ppo", env: str = "CartPole-v1") -> Settings:
    training, hyperparameters, backbone = PRESETS[agent, env]
    return Settings(agent, env, 0, training, hyperparameters, backbone)


def drawn(space: Space, random: np.random.Generator) -> dict[str, Any]:
    """A point of the space, from its definition and not by Optuna."""
    values: dict[str, Any] = {}
    for name, part in space.items():
        if isinstance(part, Choices):
            values[name] = part.values[random.integers(len(part.values))]
        elif part.whole:
            values[name] = int(random.integers(part.low, part.high + 1))
        else:
            values[name] = float(random.uniform(part.low, part.high))
    return values


@pytest.mark.parametrize(("agent", "env"), PRESETS, ids="-".join)
def test_every_point_of_a_default_space_is_valid_and_the_preset_is_one(agent: str, env: str) -> None:
    settings = preset(agent, env)
    space = default_space(settings)
    assert "learning_rate" in space
    assert "gamma" in space
    for name, part in space.items():
        assert part.holds(value_of(settings, name)), name
    random = np.random.default_rng(0)
    for _ in range(20):
        with_values(settings, drawn(space, random))  # raises where a value is out of its range


@pytest.mark.parametrize(("agent", "env"), [key for key in PRESETS if key[0] in ("ppo", "pqn")], ids="-".join)
def test_minibatches_divide_every_rollout(agent: str, env: str) -> None:
    settings = preset(agent, env)
    space = default_space(settings)
    sizes = space["minibatch_size"].ends() if "minibatch_size" in space else [settings.hyperparameters.minibatch_size]
    lengths = space["num_steps"].ends() if "num_steps" in space else [settings.hyperparameters.num_steps]
    unit = 1 if settings.backbone.kind in ("mlp", "cnn", "fusion", "board") else lengths[0]
    for length, size in itertools.product(lengths, sizes):
        assert length * settings.training.num_envs % size == 0
        assert size % unit == 0


def test_a_network_with_memory_keeps_its_rollout_and_learns_on_whole_sequences() -> None:
    settings = with_values(preset(), {"num_envs": 6, "num_steps": 10, "minibatch_size": 20})
    remembering = Settings("ppo", "CartPole-v1", 0, settings.training, settings.hyperparameters, LSTMConfig())
    space = default_space(remembering)
    assert "num_steps" not in space
    assert space["minibatch_size"].ends() == [10, 20, 30, 60]
    assert space["backbone.width"].ends() == [32, 64, 128, 256]


def test_what_is_fixed_is_not_searched() -> None:
    space = default_space(preset(), fixed={"learning_rate", "gamma"})
    assert not {"learning_rate", "gamma"} & space.keys()
    with pytest.raises(ValueError, match="nothing is left to tune"):
        default_space(preset(), fixed=set(default_space(preset())))


def test_agents_are_tuned_by_what_they_have() -> None:
    assert "epsilon.end" in default_space(preset("dqn"))
    assert "epsilon.end" not in default_space(preset("rainbow"))  # it explores by noise
    assert "n_step" not in default_space(preset("dqn-2015"))
    assert "lambda_" in default_space(preset("pqn"))
    assert "gae_lambda" not in default_space(preset("pqn"))


def test_a_space_file_is_read(tmp_path: Path) -> None:
    document = {
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "epochs": {"low": 2, "high": 10},
        "gamma": {"low": 0, "high": 1},
        "num_envs": {"choices": [16, 32]},
        "backbone.hidden": {"choices": [[64, 64], [256, 256]]},
    }
    path = tmp_path / "space.json"
    path.write_text(json.dumps(document))
    space = read_space(path, preset())
    assert space["learning_rate"] == Range(1e-4, 1e-2, log=True)
    assert space["epochs"] == Range(2, 10, whole=True)
    assert space["gamma"] == Range(0.0, 1.0)
    changed = with_values(preset(), {"backbone.hidden": [256, 256], "num_envs": 16, "epochs": 3})
    assert (changed.backbone.hidden, changed.training.num_envs, changed.hyperparameters.epochs) == ((256, 256), 16, 3)
    assert parse_space({name: part.to_json() for name, part in space.items()}, preset(), "again") == space


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"learning_rat": {"low": 1, "high": 2}}, ["learning_rat ", "did you mean 'learning_rate'"]),
        ({"gamma": {"low": 0.9, "high": 1.5}}, ["gamma", "1.5", "between 0 and 1"]),
        ({"gamma": {"low": 0.9, "high": 0.8}}, ["gamma", "low must be below high"]),
        ({"epochs": {"low": 1.5, "high": 3}}, ["epochs", "1.5", "whole number"]),
        ({"epochs": {"choices": [1, 2.5]}}, ["epochs", "2.5", "expected int"]),
        ({"learning_rate": {"low": 0, "high": 1, "log": True}}, ["learning_rate", "greater than 0"]),
        ({"learning_rate": {"low": "a", "high": 1}}, ["learning_rate", "'a'"]),
        ({"gamma": {"choices": [0.9]}}, ["gamma", "at least two"]),
        ({"gamma": {"choices": 0.9}}, ["gamma", "expected a list"]),
        ({"gamma": {"high": 0.9}}, ["gamma", '"low" and "high"']),
        ({"gamma": 0.9}, ["gamma", "expected an object"]),
        ({"backbone.hidden": {"choices": [[64], [0]]}}, ["backbone.hidden", "at least 1"]),
        ({"backbone.kind": {"choices": ["mlp", "lstm"]}}, ["backbone.kind is not a setting"]),
        ({}, ["names no setting"]),
        ([], ["expected an object"]),
    ],
)
def test_a_wrong_space_is_refused_by_name(document: Any, words: list[str]) -> None:
    with pytest.raises(ValueError, match="SOURCE") as caught:
        parse_space(document, preset(), "SOURCE")
    for word in words:
        assert word in str(caught.value)


def test_a_space_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_space(tmp_path / "none.json", preset())


@pytest.mark.parametrize("agent", ["ppo", "dqn", "pqn"])
def test_a_sweep_gives_what_the_command_line_takes(agent: str) -> None:
    """By W&B's own way of making a command line from the parameters it chose."""
    utils = pytest.importorskip("wandb.sdk.launch.sweeps.utils")
    yaml = pytest.importorskip("yaml")
    settings = preset(agent)
    space = default_space(settings)
    document = sweep(Plan("s", settings, space, Objective("steps", 1000, 475.0)), ["--env", "CartPole-v1"])
    document = yaml.safe_load(json.dumps(document))
    assert document["parameters"].keys() == space.keys() - {"backbone.hidden"}  # a list: see tune/sweep.py
    chosen: dict[str, Any] = {}
    for name, about in document["parameters"].items():
        assert about.get("distribution") in (None, "int_uniform", "uniform", "log_uniform_values")
        chosen[name] = about["values"][-1] if "values" in about else about["max"]
    flags = utils.create_sweep_command_args({"args": {name: {"value": value} for name, value in chosen.items()}})
    command = [part for part in document["command"] if part != "${env}"]
    assert command[:3] == ["keel", "train", agent]
    assert command[-1] == "${args}"
    read, _ = read_options(agent, [*command[3:-1], *flags["args"]])
    assert {name: value_of(read, name) for name in chosen} == chosen
    assert read.training.track == "wandb"


def test_a_range_can_be_widened_and_choices_stay_in_order() -> None:
    assert Range(0.1, 0.4).with_value(0.05) == Range(0.05, 0.4)
    assert Choices((1, 4)).with_value(2) == Choices((1, 2, 4))
    assert Choices(([8], [16])).with_value((4,)) == Choices(([8], [16], [4]))
