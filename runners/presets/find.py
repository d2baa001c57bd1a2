"""One table of settings known to work: (agent, world) -> training, hyperparameters, backbone."""

from __future__ import annotations

import dataclasses
from typing import Any

from keel.agents.dqn import DQNConfig
from keel.agents.schedule import Schedule
from keel.networks.backbone import BackboneConfig, CNNConfig, GRUConfig, MLPConfig
from keel.networks.build import default_backbone
from keel.networks.parts import Part
from keel.runners.presets.board_games import DQN_GAME_PRESETS, PPO_GAME_PRESETS, PQN_GAME_PRESETS
from keel.runners.presets.dqn import DQN_PRESETS, PQN_PRESETS, R2D2_PRESETS
from keel.runners.presets.ppo import PPO_PRESETS
from keel.runners.presets.sb3 import SB3_PRESETS
from keel.runners.settings import AGENTS, Hyperparameters, Preset, Training

# What makes DQN one of its kin, whatever the world: the paper of 2015 has none of the later parts, Rainbow all.
DQN_KIN: dict[str, dict[str, Any]] = {
    "dqn-2015": {
        "double": False,
        "dueling": False,
        "n_step": 1,
        "prioritised": False,
        "distribution": "none",
        "noisy": False,
        "persistence": 0.0,
    },
    "rainbow": {
        "double": True,
        "dueling": True,
        "n_step": 3,
        "prioritised": True,
        "distribution": "categorical",
        "noisy": True,
        "epsilon": Schedule(0.0, 0.0),
    },
}


def _kin(agent: str, preset: Preset) -> Preset:
    assert isinstance(preset.hyperparameters, DQNConfig)
    return preset._replace(hyperparameters=dataclasses.replace(preset.hyperparameters, **DQN_KIN[agent]))


ALL_DQN_PRESETS = DQN_PRESETS | DQN_GAME_PRESETS
PRESETS: dict[tuple[str, str], Preset] = {
    **{("ppo", env): preset for env, preset in (PPO_PRESETS | PPO_GAME_PRESETS).items()},
    **{("dqn", env): preset for env, preset in ALL_DQN_PRESETS.items()},
    **{(agent, env): _kin(agent, preset) for agent in DQN_KIN for env, preset in ALL_DQN_PRESETS.items()},
    **{("pqn", env): preset for env, preset in (PQN_PRESETS | PQN_GAME_PRESETS).items()},
    **{("r2d2", env): preset for env, preset in R2D2_PRESETS.items()},
    **SB3_PRESETS,
}


def find_preset(agent: str, env_id: str) -> Preset | None:
    """The settings known to work for this agent in this world, or None."""
    return PRESETS.get((agent, env_id))


def plain_preset(agent: str, shape: tuple[int, ...], parts: tuple[Part, ...] = ()) -> Preset:
    """Defaults for a world without a preset, whose encoded observations have this shape and these parts."""
    hyperparameters: Hyperparameters = AGENTS[agent](**DQN_KIN.get(agent, {}))
    return Preset(Training(), hyperparameters, plain_backbone(agent, shape, parts))


def plain_backbone(agent: str, shape: tuple[int, ...], parts: tuple[Part, ...] = ()) -> BackboneConfig:
    """The usual backbone; rectified and wider for Q-learning, and with layer norm, which PQN needs, where it can be.
    R2D2 is for networks with memory."""
    if agent == "r2d2":
        return GRUConfig()
    backbone = default_backbone(shape, parts)
    match backbone:
        case MLPConfig() if agent != "ppo":
            return MLPConfig(hidden=(128, 128), activation="relu", layer_norm=agent == "pqn")
        case CNNConfig(variant="small" | "nature"):
            return dataclasses.replace(backbone, layer_norm=agent == "pqn")
    return backbone
