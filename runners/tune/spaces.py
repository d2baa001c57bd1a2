"""The spaces that `keel tune` searches unless told otherwise: one for each agent.

Every point of them is valid: a rollout's minibatches divide the smallest rollout there is, so they divide all. The
settings that are tuned from lie inside, so that the search can begin with them.
"""

from __future__ import annotations

from collections.abc import Collection

from keel.agents.dqn import DQNConfig
from keel.agents.ppo import PPOConfig
from keel.agents.pqn import PQNConfig
from keel.agents.r2d2 import R2D2Config
from keel.networks.backbone import (
    BackboneConfig,
    BoardConfig,
    CNNConfig,
    FusionConfig,
    GRUConfig,
    MLPConfig,
    TransformerConfig,
)
from keel.runners.settings import Settings
from keel.runners.tune.space import Choices, Range, Space, value_of

GAMMA = Choices((0.9, 0.95, 0.98, 0.99, 0.995, 0.999))
ENTROPY = Choices((0.0, 0.001, 0.003, 0.01, 0.03))
WIDTHS = Choices((32, 64, 128, 256))
LAYERS = Choices(([32, 32], [64, 64], [128, 128], [256, 256]))

ON_POLICY: Space = {
    "learning_rate": Range(1e-4, 1e-2, log=True),
    "gamma": GAMMA,
    "epochs": Range(1, 12, whole=True),
}
OFF_POLICY: Space = {
    "learning_rate": Range(5e-5, 5e-3, log=True),
    "gamma": GAMMA,
    "batch_size": Choices((32, 64, 128, 256)),
    "update_every": Choices((1, 2, 4, 8, 16)),
    "target_every": Range(20, 2_000, log=True, whole=True),
    "n_step": Choices((1, 3, 5, 10)),
}
EPSILON: Space = {
    "epsilon.end": Choices((0.005, 0.01, 0.02, 0.05, 0.1)),
    "epsilon.fraction": Range(0.02, 0.5),
}
# By the names that Stable-Baselines3 gives them; an agent has those that its settings have.
SB3: Space = {
    "learning_rate": Range(1e-4, 1e-2, log=True),
    "gamma": GAMMA,
    "tau": Choices((0.001, 0.005, 0.02, 1.0)),
    "train_freq": Choices((1, 2, 4, 8)),
    "gae_lambda": Range(0.8, 1.0),
    "exploration_final_eps": Choices((0.01, 0.05, 0.1)),
    "action_noise": Choices((0.05, 0.1, 0.2)),
}


def default_space(settings: Settings, fixed: Collection[str] = ()) -> Space:
    """The space around `settings` for their agent and backbone, without what is `fixed` on the command line.

    Raises:
        ValueError: nothing is left to search.
    """
    space = _agent_space(settings) | _backbone_space(settings.backbone)
    free = {name: dimension for name, dimension in space.items() if name not in fixed}
    if not free:
        raise ValueError(f"nothing is left to tune: all of {', '.join(space)} are fixed on the command line")
    return {name: dimension.with_value(value_of(settings, name)) for name, dimension in free.items()}


def _agent_space(settings: Settings) -> Space:
    match settings.hyperparameters:
        case PPOConfig():
            own: Space = {"gae_lambda": Range(0.8, 1.0), "clip_range": Range(0.1, 0.4), "entropy_coefficient": ENTROPY}
            return ON_POLICY | own | _rollouts(settings)
        case PQNConfig():
            return ON_POLICY | {"lambda_": Range(0.3, 1.0)} | EPSILON | _rollouts(settings)
        case DQNConfig(noisy=noisy):
            space = OFF_POLICY if noisy else OFF_POLICY | EPSILON
            # Without longer steps it is the DQN of 2015, and with them it would be another one.
            return {name: part for name, part in space.items() if settings.agent != "dqn-2015" or name != "n_step"}
        case R2D2Config():
            return OFF_POLICY | EPSILON
        case other:
            return {name: dimension for name, dimension in SB3.items() if hasattr(other, name)}


def _rollouts(settings: Settings) -> Space:
    """Lengths of rollouts and minibatches around those of `settings`, any of which fit one another."""
    config, worlds = settings.hyperparameters, settings.training.num_envs
    assert isinstance(config, PPOConfig | PQNConfig)
    length, size = config.num_steps, config.minibatch_size
    if isinstance(settings.backbone, GRUConfig | TransformerConfig):  # which learn on whole sequences
        lengths = [length]
        sizes = [length * count for count in range(1, worlds + 1) if worlds % count == 0 and length * count >= 2]
    else:
        halved = length % 2 == 0 and worlds * length // 2 % size == 0
        lengths = [length * factor // (1 + halved) for factor in (1, 2, 4, 8)]
        sizes = [size * factor // 4 for factor in (1, 2, 4, 8, 16) if size * factor % 4 == 0 and size * factor >= 8]
        sizes = [part for part in sizes if worlds * lengths[0] % part == 0]
    found = {"num_steps": lengths, "minibatch_size": sizes}
    return {name: Choices(tuple(values)) for name, values in found.items() if len(values) > 1}


def _backbone_space(backbone: BackboneConfig) -> Space:
    match backbone:
        case MLPConfig():
            return {"backbone.hidden": LAYERS}
        case CNNConfig() | BoardConfig() | FusionConfig():
            return {"backbone.features": Choices((64, 128, 256, 512))}
        case GRUConfig() | TransformerConfig():
            return {"backbone.width": WIDTHS}
