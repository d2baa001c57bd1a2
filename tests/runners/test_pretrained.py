"""An agent that begins with another run's backbone: what it takes over, what stays frozen, what is refused."""

import dataclasses
import json

import pytest
import torch

from keel.runners import checkpoint
from keel.runners.api import load, train
from keel.runners.options import read_options
from keel.runners.pretrained import read_backbone
from keel.runners.run import Run
from keel.runners.train import resume

SMALL = {
    "total_steps": 512,
    "num_envs": 4,
    "num_steps": 32,
    "minibatch_size": 64,
    "evaluate_episodes": 2,
    "video": False,
}


@pytest.fixture(scope="module")
def donor(tmp_path_factory):
    """An agent that was trained on CartPole with layers of its own size."""
    return train(
        "ppo",
        env="keel/CartPole-v0",
        backbone={"hidden": [24, 8]},
        run_dir=tmp_path_factory.mktemp("runs") / "donor",
        **SMALL,
    )


def network(run, which="last"):
    return checkpoint.load(checkpoint.resolve(run.path, which)).state["agent"]["network"]


def test_the_backbone_and_its_settings_are_taken_over(donor, tmp_path):
    run = train("ppo", env="keel/CartPole-v0", pretrained=str(donor.path), seed=7, run_dir=tmp_path / "run", **SMALL)
    assert run.config["backbone"]["hidden"] == [24, 8]
    first = checkpoint.load(min(run.checkpoints.glob("step-*"))).state
    if first["agent"]["global_step"] == 0:
        weights = read_backbone(donor)
        begun = first["agent"]["network"]
        assert all(torch.equal(begun[f"actor.{name}"], part) for name, part in weights.items())
        assert not torch.equal(network(run)["actor.layers.0.weight"], weights["layers.0.weight"])


@pytest.mark.parametrize("agent", ["ppo", "dqn", "pqn"])
def test_a_frozen_backbone_really_does_not_change(donor, tmp_path, agent):
    settings = dict(SMALL)
    if agent == "dqn":
        settings = {name: value for name, value in SMALL.items() if name not in ("num_steps", "minibatch_size")}
        settings |= {"learning_starts": 64}
    run = train(
        agent, env="keel/CartPole-v0", pretrained=str(donor.path), freeze=True, run_dir=tmp_path / "run", **settings
    )
    weights = read_backbone(donor)
    for which in ("best", "last"):
        after = network(run, which)
        assert all(torch.equal(after[f"encoder.backbone.{name}"], part) for name, part in weights.items())
    assert load(run).act([0.0, 0.0, 0.0, 0.0]).shape == ()


def test_a_run_that_began_so_resumes_without_the_other_one(donor, tmp_path):
    copy = tmp_path / "copy"
    donor.path.rename(copy)
    try:
        run = train("ppo", env="keel/CartPole-v0", pretrained=str(copy), freeze=True, run_dir=tmp_path / "run", **SMALL)
    finally:
        copy.rename(donor.path)
    result = resume(run, total_steps=1024)
    assert result.global_step == 1024
    weights = read_backbone(donor)
    assert all(torch.equal(network(run)[f"encoder.backbone.{name}"], part) for name, part in weights.items())


def test_the_command_line_takes_the_settings_of_the_backbone(donor):
    settings, _ = read_options(
        "ppo", ["--env", "keel/CartPole-v0", "--pretrained", str(donor.path), "--freeze", "True"]
    )
    assert settings.backbone.hidden == (24, 8)
    assert settings.training.freeze
    assert settings.training.pretrained == str(donor.path)


def test_what_is_refused(donor, tmp_path):
    with pytest.raises(ValueError, match="freeze is True without a pretrained backbone"):
        train("ppo", env="keel/CartPole-v0", freeze=True, run_dir=tmp_path / "a", **SMALL)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        train("ppo", env="keel/CartPole-v0", pretrained="nowhere", run_dir=tmp_path / "a", **SMALL)
    with pytest.raises(ValueError, match=r"backbone is 'gru', and the run .* has 'mlp'"):
        read_options("ppo", ["--env", "keel/CartPole-v0", "--backbone", "gru", "--pretrained", str(donor.path)])
    with pytest.raises(ValueError, match=r"does not fit: its layers\.0\.weight is \[24, 4\], and here it is \[24, 3\]"):
        train("ppo", env="Pendulum-v1", pretrained=str(donor.path), run_dir=tmp_path / "a", **SMALL)
    assert not (tmp_path / "a").exists()


def test_the_run_can_be_read_again(donor):
    config = json.loads((donor.path / "config.json").read_text())
    assert config["training"]["pretrained"] is None
    assert Run.open(donor.path).config == config
    assert dataclasses.is_dataclass(donor)
