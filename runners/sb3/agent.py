"""A policy of Stable-Baselines3 as an agent of Keel: it acts like any other, and learns in `loop.SB3Loop` alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.vec_env import VecTransposeImage

from keel.agents.agent import Decision, Memory, Metrics
from keel.envs.protocol import Array, Observation, State, Step
from keel.networks.backbone import BackboneConfig
from keel.networks.sb3 import KeelExtractor
from keel.runners.sb3.settings import SB3Config, SB3DQNConfig, SB3SACConfig, SB3TD3Config


class SB3Agent:
    """The acting half of an agent over a policy of Stable-Baselines3.

    With `explore` the policies that are distributions (SAC, PPO, A2C) are sampled with torch's global stream of chance;
    those of DQN and TD3 are greedy all the same, because what explores there is their training.
    """

    def __init__(self, policy: BasePolicy) -> None:
        self.network: Any = policy

    def initial_memory(self, batch: int) -> Memory:
        return ()

    def act(self, observation: Observation, memory: Memory, is_first: Array, *, explore: bool) -> Decision:
        action, _ = self.network.predict(observation, deterministic=not explore)
        return Decision(as_worlds_take(self.network.action_space, action), (), (), is_first, {})

    def observe(self, observation: Observation, decision: Decision, step: Step) -> bool:
        raise RuntimeError("Stable-Baselines3 gathers its own experience: train through SB3Loop")

    def update(self) -> Metrics:
        raise RuntimeError("Stable-Baselines3 makes its own gradient steps: train through SB3Loop")

    def state_dict(self) -> State:
        """The weights, target networks among them: what is saved of such a run."""
        return {"network": dict(self.network.state_dict())}

    def load_state_dict(self, state: State) -> None:
        self.network.load_state_dict(state["network"])


def make_sb3_agent(
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    *,
    config: SB3Config,
    backbone: BackboneConfig,
    device: torch.device,
) -> SB3Agent:
    """An agent to load weights into: its policy without the algorithm, its replay and its worlds.

    Raises:
        ValueError: where algorithm, backbone and spaces do not fit.
    """
    check_actions(config, action_space)
    with torch.random.fork_rng(devices=[]):  # its first weights are drawn, and will be replaced
        policy = policy_class(config)(
            as_channels_first(observation_space),
            action_space,
            lambda _: config.learning_rate,
            **policy_arguments(config, backbone),
        )
    return SB3Agent(policy.to(device))


def policy_class(config: SB3Config) -> type[Any]:
    return getattr(stable_baselines3, config.algorithm).policy_aliases["MlpPolicy"]


def policy_arguments(config: SB3Config, backbone: BackboneConfig) -> dict[str, Any]:
    """What the policy of the algorithm is built with, beside spaces and learning rate."""
    arguments: dict[str, Any] = {
        "features_extractor_class": KeelExtractor,
        "features_extractor_kwargs": {"backbone": {"kind": backbone.kind, **dataclasses.asdict(backbone)}},
        "net_arch": list(config.head),
    }
    if not isinstance(config, SB3DQNConfig):
        arguments["share_features_extractor"] = backbone.shared
    return arguments


def check_actions(config: SB3Config, space: spaces.Space[Any]) -> None:
    """Raises: ValueError for actions that the algorithm does not take; says which one does."""
    name = f"Stable-Baselines3's {config.algorithm}"
    match config, space:
        case _, spaces.Box() if not np.all(np.isfinite(space.low) & np.isfinite(space.high)):
            raise ValueError(f"the actions are {space}: {name} needs finite bounds; Keel's own ppo takes these")
        case SB3SACConfig() | SB3TD3Config(), _ if not isinstance(space, spaces.Box):
            raise ValueError(f"the actions are {space}: {name} needs Box; sb3-ppo, sb3-a2c and sb3-dqn may take these")
        case SB3DQNConfig(), _ if not isinstance(space, spaces.Discrete):
            raise ValueError(f"the actions are {space}: {name} needs Discrete; sb3-ppo and sb3-a2c may take these")
        case _, spaces.Discrete() | spaces.MultiDiscrete() if np.any(space.start != 0):
            raise ValueError(f"the actions are {space}: {name} needs choices that are counted from 0")


def as_channels_first(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """The space as the algorithms of Stable-Baselines3 see it: pictures whose channels come last are turned."""
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: as_channels_first(part) for key, part in space.items()})
    if isinstance(space, spaces.Box) and is_image_space(space) and not is_image_space_channels_first(space):
        return VecTransposeImage.transpose_space(space)
    return space


def as_worlds_take(space: spaces.Space[Any], action: Array) -> Array:
    """Actions [B ...] of the right type, and not outside the bounds by a rounding error: Keel's worlds are strict."""
    return np.clip(action, space.low, space.high) if isinstance(space, spaces.Box) else action.astype(space.dtype)
