"""Adam over all parameters as one vector: one kernel a step, however many layers there are."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from keel.envs.protocol import State


class FlatAdam:
    """Adam with the gradient clipped by its global norm.

    The trainable parameters of `network` become views of one vector, so gathering, clipping and stepping are a handful
    of calls instead of a few for each layer. A network must be on its device before, and stay there.

    Source: Kingma and Ba 2015, Adam; epsilon 1e-5 as in the PPO authors' code.
    """

    def __init__(
        self, network: nn.Module, learning_rate: float, max_gradient_norm: float, epsilon: float = 1e-5
    ) -> None:
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.max_gradient_norm = max_gradient_norm
        self.vector = nn.Parameter(torch.cat([parameter.detach().flatten() for parameter in self.parameters]))
        views = self.vector.detach().split([parameter.numel() for parameter in self.parameters])
        for parameter, view in zip(self.parameters, views, strict=True):
            parameter.data = view.view_as(parameter)
        fused = self.vector.device.type in ("cpu", "cuda")
        self.adam = torch.optim.Adam([self.vector], lr=learning_rate, eps=epsilon, fused=fused)

    @property
    def learning_rate(self) -> float:
        return self.adam.param_groups[0]["lr"]

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.adam.param_groups[0]["lr"] = value

    def step(self, loss: Tensor) -> Tensor:
        """One step down the gradient of `loss`; returns the gradient's norm before clipping."""
        gradients = torch.autograd.grad(loss, self.parameters)
        gradient = torch.cat([part.flatten() for part in gradients])
        norm = torch.linalg.vector_norm(gradient)
        gradient.mul_((self.max_gradient_norm / (norm + 1e-6)).clamp(max=1.0))
        self.vector.grad = gradient
        self.adam.step()
        return norm

    def state_dict(self) -> State:
        """The moments and the step count; settings are not state, they come from the config."""
        return dict(self.adam.state_dict()["state"].get(0, {}))

    def load_state_dict(self, state: State) -> None:
        whole = self.adam.state_dict()
        whole["state"] = {0: dict(state)} if state else {}
        self.adam.load_state_dict(whole)


def scheduled(start: float, schedule: Literal["constant", "linear"], progress: float) -> float:
    """The value at `progress` (0 at the start of training, 1 at its end)."""
    return start * (1.0 - progress) if schedule == "linear" else start
