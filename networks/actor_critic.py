"""A policy and a value over one encoder: the network that policy-gradient agents train."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from keel.networks.actions import ActionSpace, Array
from keel.networks.backbone import BackboneConfig, Memory
from keel.networks.distributions import Distribution
from keel.networks.heads import PolicyHead, ValueHead
from keel.networks.mlp import MLP
from keel.networks.numpy_layers import Layer, numpy_layers
from keel.networks.observations import ACTION_MASK, Encoder
from keel.networks.transfer import Transfer, make_backbone, make_encoder


class ActorCritic(nn.Module):
    """encoder -> backbone -> policy head, and the value head on the same backbone or on one of its own.

    `forward` and `estimate` take encoded observations [T B ...], masks [T B A] or None, memory and is_first [T B].

    Args: transfer: what the backbones begin with; frozen they become part of the encoder.

    Raises:
        ValueError: where backbone and spaces do not fit.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        config: BackboneConfig,
        *,
        normalise_observation: bool = False,
        initial_log_std: float = 0.0,
        transfer: Transfer | None = None,
    ) -> None:
        super().__init__()
        self.actions = ActionSpace(action_space)
        self.encoder, config = make_encoder(observation_space, config, transfer, normalise=normalise_observation)
        if self.encoder.has_mask:
            check_mask(observation_space, self.actions)
        self.actor = make_backbone(self.encoder, config, transfer)
        self.critic = None if config.shared else make_backbone(self.encoder, config, transfer)
        self.actor_parts = len(self.actor.initial_state(1))  # of the memory; the critic's come behind them
        self.critic_remembers = self.critic is not None and bool(self.critic.initial_state(1))
        self.policy = PolicyHead(self.actor.features, self.actions, initial_log_std)
        self.value = ValueHead(self.actor.features)
        self._numpy: list[Layer] | None = None

    def prepare_acting(self) -> None:
        """Find the numpy form of the policy, where it has one; call it when the parameters have their final place."""
        self._numpy = None
        plain = isinstance(self.encoder, Encoder) and self.encoder.is_plain
        if plain and isinstance(self.actor, MLP) and self.policy.linear.weight.dtype == torch.float32:
            self._numpy = numpy_layers([*self.actor.layers, self.policy.linear])

    @property
    def acts_in_numpy(self) -> bool:
        return self._numpy is not None

    def initial_memory(self, batch: int) -> Memory:
        """The actor's, and behind it the critic's where it has one of its own."""
        return self.actor.initial_state(batch) + (() if self.critic is None else self.critic.initial_state(batch))

    @torch.no_grad()
    def act(self, observation: Any, memory: Memory, is_first: Array, noise: Array | None) -> tuple[Array, Memory]:
        """Samples [B ...] for observations [B ...]: the policy alone, all that acting needs.

        Args: noise [B P] from `actions.draw_noise`, or None for the most likely actions.
        """
        if self._numpy is not None:
            assert isinstance(self.encoder, Encoder)
            numbers, mask = self.encoder.plain(observation), None
            for layer in self._numpy:
                numbers = layer(numbers)
        else:
            numbers, mask, memory = self._torch_numbers(observation, memory, is_first)
        log_std = None if self.policy.log_std is None else self.policy.log_std.cpu().numpy()
        return self.actions.choose(numbers, log_std, mask, noise), memory

    def _torch_numbers(self, observation: Any, memory: Memory, is_first: Array) -> tuple[Array, Array | None, Memory]:
        encoded, mask = self.encoder(observation)
        encoded, first = encoded.unsqueeze(0), torch.from_numpy(is_first).to(encoded.device).unsqueeze(0)
        features, after = self.actor(encoded, memory[: self.actor_parts], first)
        if self.critic is not None and self.critic_remembers:  # the rollout needs it
            after += self.critic(encoded, memory[self.actor_parts :], first)[1]
        numbers = self.policy(features.squeeze(0)).cpu().numpy()
        return numbers, None if mask is None else mask.cpu().numpy(), after

    def estimate(self, encoded: Tensor, memory: Memory, is_first: Tensor) -> Tensor:
        """The values [T B] alone."""
        if self.critic is None:
            return self.value(self.actor(encoded, memory, is_first)[0])
        return self.value(self.critic(encoded, memory[self.actor_parts :], is_first)[0])

    def forward(
        self, encoded: Tensor, mask: Tensor | None, memory: Memory, is_first: Tensor
    ) -> tuple[Distribution, Tensor]:
        """Policy and values [T B]: all that learning needs."""
        features, _ = self.actor(encoded, memory[: self.actor_parts], is_first)
        distribution = self.actions.distribution(self.policy(features), self.policy.log_std, mask)
        if self.critic is not None:
            features, _ = self.critic(encoded, memory[self.actor_parts :], is_first)
        return distribution, self.value(features)


def check_mask(observation_space: spaces.Space[Any], actions: ActionSpace) -> None:
    """Raises ValueError where the world reports legal actions in a form that does not fit its actions."""
    if actions.continuous:
        raise ValueError(f"the world reports an {ACTION_MASK}, and its actions are {actions.space}: a Box has none")
    assert isinstance(observation_space, spaces.Dict)
    mask = observation_space[ACTION_MASK]
    if mask.shape != (actions.parameters,):
        raise ValueError(
            f"the {ACTION_MASK} in the observation is {mask}, and the actions are {actions.space}: it must have the "
            f"shape ({actions.parameters},), one number an action, 1 = legal"
        )
