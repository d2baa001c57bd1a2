"""Heads: the last layers, from features to the numbers that an algorithm needs."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from keel.networks.actions import ActionSpace
from keel.networks.initialise import HIDDEN_GAIN, orthogonal

POLICY_GAIN = (
    0.01  # a nearly uniform first policy (Andrychowicz et al. 2021, What matters in on-policy RL, section 3.2)
)


class PolicyHead(nn.Module):
    """Features [... F] to the numbers [... P] that make a distribution over actions.

    For continuous actions they are means, and `log_std` [P] is a free parameter beside them.
    """

    def __init__(self, features: int, actions: ActionSpace, initial_log_std: float) -> None:
        super().__init__()
        self.linear = orthogonal(nn.Linear(features, actions.parameters), POLICY_GAIN)
        self.log_std: nn.Parameter | None = None
        if actions.continuous:
            self.log_std = nn.Parameter(torch.full((actions.parameters,), initial_log_std))

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(features)


class ValueHead(nn.Module):
    """Features [... F] to a value [...]."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.linear = orthogonal(nn.Linear(features, 1), 1.0)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(features).squeeze(-1)


class PieceMoves(nn.Module):
    """A map of a board [N channels H W] to a number for each of the `moves` of each cell [N H*W*moves], cell by cell.

    Source: Silver et al. 2018, AlphaZero, supplement: one more 3x3 convolution, and one to as many planes as moves.
    """

    def __init__(self, channels: int, moves: int) -> None:
        super().__init__()
        self.hidden = orthogonal(nn.Conv2d(channels, channels, 3, padding=1))
        self.moves = orthogonal(nn.Conv2d(channels, moves, 1), POLICY_GAIN)

    def forward(self, feature_map: Tensor) -> Tensor:
        return self.moves(torch.relu(self.hidden(feature_map))).permute(0, 2, 3, 1).flatten(1)


class NoisyLinear(nn.Module):
    """A linear layer whose weights tremble by a spread that is learnt.

        y = W x + b + e_out * (S (e_in * x) + s)

    `noise` [... inputs + outputs] holds e_in and e_out, standard normal numbers passed through `spread_out`, one set a
    row, so that every row is an independent draw for the price of one more product; None gives y = W x + b.

    Source: Fortunato et al. 2018, Noisy networks for exploration, factorised noise, section 3 and its initial values.
    """

    INITIAL_SPREAD = 0.5

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        spread = self.INITIAL_SPREAD * bound
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))
        self.weight_spread = nn.Parameter(torch.full((outputs, inputs), spread))
        self.bias_spread = nn.Parameter(torch.full((outputs,), spread))
        self.noise_size = inputs + outputs

    def forward(self, x: Tensor, noise: Tensor | None) -> Tensor:
        y = nn.functional.linear(x, self.weight, self.bias)
        if noise is None:
            return y
        noise_in, noise_out = noise.split([x.shape[-1], y.shape[-1]], dim=-1)
        return y + noise_out * nn.functional.linear(x * noise_in, self.weight_spread, self.bias_spread)


def spread_out(normal: Tensor) -> Tensor:
    """f(x) = sgn(x) sqrt|x|, which makes the products of factorised noise (Fortunato et al. 2018, eq. 10 and 11)."""
    return normal.sign() * normal.abs().sqrt()


class Stream(nn.Module):
    """Features [... F] to numbers [... P], through one hidden layer of rectified units where `hidden` is above 0."""

    def __init__(self, features: int, outputs: int, hidden: int, noisy: bool) -> None:
        super().__init__()
        widths = (features, hidden, outputs) if hidden else (features, outputs)
        pairs = list(itertools.pairwise(widths))
        if noisy:
            self.layers = nn.ModuleList([NoisyLinear(before, after) for before, after in pairs])
        else:
            gains = [HIDDEN_GAIN] * (len(pairs) - 1) + [1.0]
            self.layers = nn.ModuleList(
                [orthogonal(nn.Linear(*pair), gain) for pair, gain in zip(pairs, gains, strict=True)]
            )
        self.noise_size = sum(layer.noise_size for layer in self.layers if isinstance(layer, NoisyLinear))

    def forward(self, x: Tensor, noise: Tensor | None) -> Tensor:
        for index, layer in enumerate(self.layers):
            if index:
                x = torch.relu(x)
            if isinstance(layer, NoisyLinear):
                own, noise = (None, None) if noise is None else noise.tensor_split([layer.noise_size], dim=-1)
                x = layer(x, own)
            else:
                x = layer(x)
        return x


class QHead(nn.Module):
    """Features [... F] to [... A Z]: of each of A actions the Z numbers that say what its value is.

    With `dueling` they are v + a - mean_A(a), from one stream for the state and one for the actions.

    Source: Wang et al. 2016, Dueling network architectures, eq. 9; over atoms as in Hessel et al. 2018, Rainbow.
    """

    def __init__(self, features: int, actions: int, numbers: int, *, hidden: int, dueling: bool, noisy: bool) -> None:
        super().__init__()
        self.actions, self.numbers = actions, numbers
        self.advantage = Stream(features, actions * numbers, hidden, noisy)
        self.value = Stream(features, numbers, hidden, noisy) if dueling else None
        self.noise_size = self.advantage.noise_size + (self.value.noise_size if self.value is not None else 0)

    def forward(self, features: Tensor, noise: Tensor | None = None) -> Tensor:
        own, rest = (None, None) if noise is None else noise.tensor_split([self.advantage.noise_size], dim=-1)
        numbers = self.advantage(features, own).unflatten(-1, (self.actions, self.numbers))
        if self.value is None:
            return numbers
        return self.value(features, rest).unsqueeze(-2) + numbers - numbers.mean(dim=-2, keepdim=True)
