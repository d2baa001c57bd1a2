"""Training by Stable-Baselines3 in the place of Keel's own loop: its `learn`, and Keel's rows between its rollouts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import stable_baselines3
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.noise import NormalActionNoise
from torch import nn

from keel.agents.agent import Agent, Metrics
from keel.agents.checks import check_finite
from keel.envs.protocol import State, VecEnv
from keel.envs.seeding import derive_seed
from keel.networks.sb3 import KeelExtractor, check_space
from keel.networks.transfer import Transfer, begin_with
from keel.runners.loop import EpisodeStatistics, seed_global_chance
from keel.runners.pretrained import transfer_of
from keel.runners.sb3.agent import SB3Agent, check_actions, policy_arguments, policy_class
from keel.runners.sb3.settings import SB3Config, SB3TD3Config, check_training
from keel.runners.sb3.worlds import SB3Worlds
from keel.runners.settings import Settings

OWN_FIELDS = ("learning_rate_schedule", "clip_range_schedule", "action_noise", "head", "report_every")

# Names of what the algorithms log, and of the same in a row of metrics.
NAMES = {
    "train/actor_loss": "loss/actor",
    "train/critic_loss": "loss/critic",
    "train/ent_coef_loss": "loss/entropy_coefficient",
    "train/ent_coef": "policy/entropy_coefficient",
    "train/loss": "loss/total",
    "train/policy_loss": "loss/policy",
    "train/policy_gradient_loss": "loss/policy",
    "train/value_loss": "loss/value",
    "train/entropy_loss": "loss/entropy",
    "train/explained_variance": "loss/explained_variance",
    "train/approx_kl": "policy/approximate_kl",
    "train/clip_fraction": "policy/fraction_clipped",
    "train/std": "policy/standard_deviation",
    "train/learning_rate": "policy/learning_rate",
}
MAY_BE_NAN = {"loss/explained_variance"}  # of returns that are all alike


class SB3Loop:
    """An algorithm of Stable-Baselines3 in Keel's worlds.

    Its chance is the process's global streams, as with Stable-Baselines3 everywhere, which `start` seeds: equal runs
    are equal, and none can be resumed.

    Raises:
        ValueError: where algorithm, backbone, worlds and settings do not fit.
    """

    resume: Literal["none"] = "none"

    def __init__(self, settings: Settings, envs: VecEnv, config: SB3Config, device: torch.device) -> None:
        check_training(config, settings.training.total_steps, envs.num_envs)
        check_actions(config, envs.action_space)
        check_space(envs.observation_space)
        self.envs = envs
        self.seed = derive_seed(settings.seed, "training")
        self.report_every = config.report_every
        self.episodes = EpisodeStatistics(envs.num_envs)
        self.worlds = SB3Worlds(envs, self.seed, self.episodes.add)
        self.model = make_algorithm(settings, self.worlds, config, device)
        if (transfer := transfer_of(settings, begin=True)) is not None:
            take_over(self.model.policy, transfer)
        self.logger = MeanLogger(None, [])
        self.model.set_logger(self.logger)
        self.agent: Agent = SB3Agent(self.model.policy)
        self.global_step = 0

    def start(self) -> None:
        """Seed all chance, and see that every world starts."""
        seed_global_chance(derive_seed(self.seed, "global"))
        self.worlds.reset()

    def run(self, total_steps: int, on_update: Callable[[Metrics], bool]) -> None:
        """Train to the end of the first rollout at or after `total_steps`, or until `on_update`, called with each row,
        returns True."""
        rows = Rows(self, on_update)
        self.model.learn(total_steps, callback=rows, log_interval=None)  # type: ignore[arg-type]
        if not rows.stop:
            self.row(on_update)

    def row(self, on_update: Callable[[Metrics], bool]) -> bool:
        """One row of the metrics since the last one; returns whether to stop."""
        self.global_step = self.model.num_timesteps
        return on_update(self.logger.collect(self.model) | self.episodes.collect())

    def state_dict(self) -> State:
        """Nothing: what an exact continuation would need is Stable-Baselines3's own."""
        return {}


class Rows(BaseCallback):
    """A row whenever a multiple of `report_every` steps was crossed, when the last rollout has been learnt from."""

    def __init__(self, loop: SB3Loop, on_update: Callable[[Metrics], bool]) -> None:
        super().__init__()
        self.loop = loop
        self.on_update = on_update
        self.stop = False

    def _on_rollout_start(self) -> None:
        every, before = self.loop.report_every, self.loop.global_step
        if self.model.num_timesteps // every > before // every:
            self.stop = self.loop.row(self.on_update)

    def _on_step(self) -> bool:
        return not self.stop


class MeanLogger(Logger):
    """Keeps the means of what an algorithm logs in its many small trainings, for a row of metrics."""

    def record(self, key: str, value: Any, exclude: Any = None) -> None:
        if key == "train/learning_rate":  # a setting, of which the last is wanted as it is
            super().record(key, value, exclude)
        else:
            self.record_mean(key, value, exclude)

    def collect(self, model: BaseAlgorithm) -> Metrics:
        """By Keel's names, and how many gradient steps there have been. Raises: KeelError for nan and infinity."""
        found = {NAMES[key]: float(value) for key, value in self.name_to_value.items() if key in NAMES}
        self.dump()
        updates = model._n_updates
        losses = {name: value for name, value in found.items() if name not in MAY_BE_NAN}
        check_finite(losses, updates, model.num_timesteps)
        return found | {"policy/gradient_steps_so_far": float(updates)}


def take_over(policy: nn.Module, transfer: Transfer) -> None:
    """Let every backbone of the policy, the targets' too, begin with the pretrained one; frozen, only heads learn.

    Raises:
        ValueError: the weights are those of another backbone.
    """
    for module in policy.modules():
        if isinstance(module, KeelExtractor):
            begin_with(module.backbone, transfer.weights)
            module.backbone.requires_grad_(not transfer.freeze)


def make_algorithm(settings: Settings, worlds: SB3Worlds, config: SB3Config, device: torch.device) -> BaseAlgorithm:
    """The algorithm before its first step."""
    algorithm: type[Any] = getattr(stable_baselines3, config.algorithm)
    return algorithm(
        policy_class(config),
        worlds,
        policy_kwargs=policy_arguments(config, settings.backbone),
        seed=derive_seed(settings.seed, "network"),
        device=device,
        **algorithm_arguments(config, worlds),
    )


def algorithm_arguments(config: SB3Config, worlds: SB3Worlds) -> dict[str, Any]:
    """The settings as the algorithm's constructor takes them."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    arguments = {name: value for name, value in values.items() if name not in OWN_FIELDS}
    for name in ("learning_rate", "clip_range"):
        if values.get(f"{name}_schedule") == "linear":
            arguments[name] = falling(values[name])
    if config.algorithm == "SAC" and arguments["ent_coef"] is None:
        arguments["ent_coef"] = "auto"
    if isinstance(config, SB3TD3Config) and config.action_noise:
        size = worlds.action_space.shape or ()
        arguments["action_noise"] = NormalActionNoise(np.zeros(size), np.full(size, config.action_noise))
    return arguments


def falling(start: float) -> Callable[[float], float]:
    """From `start` in a straight line to zero; takes what is left of training, 1 to 0."""
    return lambda left: start * left
