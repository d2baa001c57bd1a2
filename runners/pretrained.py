"""The backbone of another run, for an agent to begin with: one that was pre-trained, or another agent's."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from keel.envs.errors import KeelError
from keel.networks.backbone import BACKBONES, BackboneConfig
from keel.networks.transfer import Transfer
from keel.runners import checkpoint
from keel.runners.run import Run
from keel.runners.settings import Settings, known, read

# Where an agent's network keeps its backbone; a frozen one first, as it has a smaller one behind it.
PLACES = (
    "encoder.backbone.",
    "actor.features_extractor.backbone.",  # Stable-Baselines3's agents
    "features_extractor.backbone.",
    "q_net.features_extractor.backbone.",
    "actor.",
    "backbone.",
)


def pretrained_config(run: Run) -> BackboneConfig:
    """The settings of the backbone of that run."""
    config = dict(run.config.get("backbone") or {})
    if "kind" not in config:
        raise ValueError(f"pretrained is {run.name}: that run has no backbone that an agent could take")
    if run.config["hyperparameters"].get("normalise_observation"):
        raise ValueError(
            f"pretrained is {run.name}: its backbone knows observations scaled by running statistics alone, which are "
            "not taken over; train it with --normalise-observation False"
        )
    return read(BACKBONES[known("backbone.kind", config.pop("kind"), BACKBONES)], config, "backbone")


def with_pretrained(settings: Settings, chosen: str | None) -> Settings:
    """The settings with the backbone of the run that `training.pretrained` names, where it names one.

    Args: chosen: the kind of backbone that was asked for, if any.

    Raises:
        ValueError: the run has another kind of backbone.
    """
    reference = settings.training.pretrained
    if reference is None:
        return settings
    run = Run.open(reference)
    config = pretrained_config(run)
    if chosen is not None and chosen != config.kind:
        raise ValueError(f"backbone is '{chosen}', and the run {reference} has '{config.kind}': leave --backbone out")
    if "shared" in {field.name for field in dataclasses.fields(config)} and config.kind == settings.backbone.kind:
        config = dataclasses.replace(config, shared=settings.backbone.shared)  # pyright: ignore[reportCallIssue]
    training = dataclasses.replace(settings.training, pretrained=str(run.path))  # `latest` would be another one later
    return dataclasses.replace(settings, training=training, backbone=config)


def transfer_of(settings: Settings, *, begin: bool) -> Transfer | None:
    """What the run's backbones begin with, or None; only with `begin` are the weights read, which a checkpoint brings
    otherwise.

    Raises:
        KeelError: that run has no whole checkpoint, or none with a backbone.
    """
    training = settings.training
    if training.pretrained is None:
        return None
    weights = read_backbone(Run.open(training.pretrained)) if begin else None
    return Transfer(weights, training.freeze)


def read_backbone(run: Run) -> dict[str, Tensor]:
    """The backbone's parameters of a run's best checkpoint, by their names inside the backbone."""
    state = checkpoint.load(checkpoint.resolve(run.path, "best")).state
    if "backbone" in state:
        return dict(state["backbone"])
    network: Mapping[str, Any] = state.get("agent", {}).get("network", {})
    for place in PLACES:
        if found := {name.removeprefix(place): part for name, part in network.items() if name.startswith(place)}:
            return found
    raise KeelError(f"{run.name} holds no backbone that an agent could take")
