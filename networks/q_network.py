"""Action values over one encoder: the network that DQN and its kin train."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import torch
from gymnasium import spaces
from torch import Tensor, nn

from keel.networks.actions import ActionSpace, Array
from keel.networks.actor_critic import check_mask
from keel.networks.backbone import BackboneConfig, Memory
from keel.networks.heads import QHead
from keel.networks.mlp import MLP
from keel.networks.numpy_layers import Layer, numpy_layers
from keel.networks.observations import Encoder
from keel.networks.transfer import Transfer, make_backbone, make_encoder

# What the numbers of an action's value are: the value itself, logits over fixed atoms, or quantiles.
Distribution: TypeAlias = Literal["none", "categorical", "quantile"]


class QNetwork(nn.Module):
    """encoder -> backbone -> Q head.

    `forward` takes encoded observations [T B ...], memory and is_first [T B], and gives numbers [T B A Z].

    Attributes:
        support: [Z] the values of the atoms, evenly spaced; of use where the distribution is categorical.
        noise_size: how many standard normal numbers a row takes where the head is noisy, else 0.

    Raises:
        ValueError: where backbone and spaces do not fit, or the actions are not Discrete.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        config: BackboneConfig,
        *,
        distribution: Distribution = "none",
        numbers: int = 1,
        value_range: tuple[float, float] = (0.0, 0.0),
        hidden: int = 0,
        dueling: bool = False,
        noisy: bool = False,
        normalise_observation: bool = False,
        transfer: Transfer | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(action_space, spaces.Discrete):
            raise ValueError(f"the actions are {action_space}: Q-learning needs Discrete ones; PPO takes these")
        self.actions = ActionSpace(action_space)
        self.encoder, config = make_encoder(observation_space, config, transfer, normalise=normalise_observation)
        if self.encoder.has_mask:
            check_mask(observation_space, self.actions)
        self.backbone = make_backbone(self.encoder, config, transfer)
        self.head = QHead(
            self.backbone.features, self.actions.parameters, numbers, hidden=hidden, dueling=dueling, noisy=noisy
        )
        self.distribution = distribution
        self.noise_size = self.head.noise_size
        self.register_buffer("support", torch.linspace(*value_range, numbers), persistent=False)
        self.support: Tensor
        self._numpy: list[Layer] | None = None

    def prepare_acting(self) -> None:
        """Find the numpy form of the greedy choice, where it has one; call it when the parameters have their final
        place. The value stream of a dueling head shifts all actions alike, so the choice needs it not."""
        self._numpy = None
        plain = isinstance(self.encoder, Encoder) and self.encoder.is_plain
        plain = plain and self.distribution == "none" and not self.noise_size
        if plain and isinstance(self.backbone, MLP) and self.support.dtype == torch.float32:
            layers = [layer for layer in self.head.advantage.layers]
            between = [module for layer in layers for module in (nn.ReLU(), layer)][1:]
            self._numpy = numpy_layers([*self.backbone.layers, *between])

    @property
    def acts_in_numpy(self) -> bool:
        return self._numpy is not None

    def initial_memory(self, batch: int) -> Memory:
        return self.backbone.initial_state(batch)

    def preferences(
        self, observation: Any, memory: Memory, is_first: Array, noise: Tensor | None
    ) -> tuple[Array, Array | None, Memory]:
        """Numbers [B A] whose order is that of the actions' values, the mask [B A] or None, and the new memory."""
        if self._numpy is None:
            return self._torch_preferences(observation, memory, is_first, noise)
        assert isinstance(self.encoder, Encoder)
        numbers = self.encoder.plain(observation)
        for layer in self._numpy:
            numbers = layer(numbers)
        return numbers, None, memory

    @torch.no_grad()
    def _torch_preferences(
        self, observation: Any, memory: Memory, is_first: Array, noise: Tensor | None
    ) -> tuple[Array, Array | None, Memory]:
        encoded, mask = self.encoder(observation)
        first = torch.from_numpy(is_first).to(encoded.device)
        numbers, memory = self(encoded.unsqueeze(0), memory, first.unsqueeze(0), noise)
        return self.values(numbers[0]).cpu().numpy(), None if mask is None else mask.cpu().numpy(), memory

    def values(self, numbers: Tensor) -> Tensor:
        """Expected values [... A] of the head's numbers [... A Z]."""
        if self.distribution == "categorical":
            return numbers.softmax(dim=-1) @ self.support
        return numbers.mean(dim=-1) if self.distribution == "quantile" else numbers.squeeze(-1)

    def forward(
        self, encoded: Tensor, memory: Memory, is_first: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Memory]:
        features, memory = self.backbone(encoded, memory, is_first)
        return self.head(features, noise), memory


def pick(numbers: Tensor, action: Tensor) -> Tensor:
    """Of numbers [N A Z] those of the actions [N]: [N Z]."""
    index = action.reshape(-1, 1, 1).expand(-1, 1, numbers.shape[-1])
    return numbers.gather(1, index).squeeze(1)
