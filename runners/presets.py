"""One table of settings known to work: (agent, world) -> training, hyperparameters, backbone."""

from __future__ import annotations

from typing import NamedTuple

from keel.agents.ppo import PPOConfig
from keel.networks.backbone import BackboneConfig, MLPConfig
from keel.runners.settings import Training


class Preset(NamedTuple):
    training: Training
    hyperparameters: PPOConfig
    backbone: BackboneConfig


PRESETS: dict[tuple[str, str], Preset] = {
    ("ppo", "CartPole-v1"): Preset(
        Training(total_steps=100_000, num_envs=8, evaluate_every=5_000),
        PPOConfig(num_steps=32, epochs=20, minibatch_size=256, learning_rate=1e-3, gamma=0.98, gae_lambda=0.8),
        MLPConfig(),
    ),
}
PRESETS["ppo", "keel/CartPole-v0"] = PRESETS["ppo", "CartPole-v1"]


def find_preset(agent: str, env_id: str) -> Preset | None:
    """The settings known to work for this agent in this world, or None."""
    return PRESETS.get((agent, env_id))
