"""Adam over all parameters as one vector: a handful of calls a step, however many layers there are."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from keel.envs.protocol import State

BETA_1, BETA_2 = 0.9, 0.999
# Moments of parameters without gradient decay to numbers so small that a processor takes a hundred times as long for
# each, and rounding keeps them from ever reaching zero. They are set to it long before they could matter.
NOTHING, CLEAR_EVERY = 1e-30, 100


class FlatAdam:
    """Adam with the gradient clipped by its global norm.

        m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2
        p <- p - learning_rate * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)

    The trainable parameters of `network` become views of one vector. The network must be on its device before, and stay
    there. torch's own Adam does the same sums; calling it takes longer than the sums, and importing it two seconds.

    Source: Kingma and Ba 2015, Adam, algorithm 1; epsilon 1e-5 as in the PPO authors' code.
    """

    def __init__(
        self, network: nn.Module, learning_rate: float, max_gradient_norm: float, epsilon: float = 1e-5
    ) -> None:
        self.learning_rate = learning_rate
        self.max_gradient_norm = max_gradient_norm
        self.epsilon = epsilon
        self.parameters, self.vector = flat_parameters(network)
        self.mean = torch.zeros_like(self.vector)
        self.square = torch.zeros_like(self.vector)
        self.steps = 0

    def step(self, loss: Tensor) -> Tensor:
        """One step down the gradient of `loss`; returns the gradient's norm before clipping."""
        gradients = torch.autograd.grad(loss, self.parameters)
        return self.descend(torch.cat([part.flatten() for part in gradients]))

    def descend(self, gradient: Tensor) -> Tensor:
        """One step down the gradient [parameters], which is clipped in place; returns its norm before that."""
        norm = torch.linalg.vector_norm(gradient)
        gradient.mul_((self.max_gradient_norm / (norm + 1e-6)).clamp(max=1.0))
        self._descend(gradient)
        return norm

    def _descend(self, gradient: Tensor) -> None:
        self.steps += 1
        self.mean.lerp_(gradient, 1 - BETA_1)
        self.square.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
        if self.steps % CLEAR_EVERY == 0:
            for moment, least in ((self.mean, NOTHING), (self.square, NOTHING * 1e-6)):
                moment.masked_fill_(moment.abs() < least, 0.0)
        spread = self.square.sqrt().div_(math.sqrt(1 - BETA_2**self.steps)).add_(self.epsilon)
        self.vector.addcdiv_(self.mean, spread, value=-self.learning_rate / (1 - BETA_1**self.steps))

    def state_dict(self) -> State:
        """The moments and the step count; settings are not state, they come from the config."""
        return {"mean": self.mean.clone(), "square": self.square.clone(), "steps": self.steps}

    def load_state_dict(self, state: State) -> None:
        self.mean.copy_(state["mean"])
        self.square.copy_(state["square"])
        self.steps = state["steps"]


def flat_parameters(network: nn.Module) -> tuple[list[nn.Parameter], Tensor]:
    """The trainable parameters of `network` and the one vector that they become views of."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    vector = torch.cat([parameter.detach().flatten() for parameter in parameters])
    views = vector.split([parameter.numel() for parameter in parameters])
    for parameter, view in zip(parameters, views, strict=True):
        parameter.data = view.view_as(parameter)
    return parameters, vector


def scheduled(start: float, schedule: Literal["constant", "linear"], progress: float) -> float:
    """The value at `progress` (0 at the start of training, 1 at its end)."""
    return start * (1.0 - progress) if schedule == "linear" else start
