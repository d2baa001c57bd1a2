"""Recurrent backbones: a torso that encodes each observation, and an LSTM or GRU that remembers."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn

from keel.networks.backbone import Backbone, GRUConfig, LSTMConfig, Memory


class RNN(nn.Module):
    """[T B ...] -> [T B config.width], with the memory (h,) or (h, c), each [layers B width].

    Sources: GRU: Cho et al. 2014; LSTM: Hochreiter and Schmidhuber 1997, forget gates of Gers et al. 2000 that begin
    open (Jozefowicz et al. 2015, An empirical exploration of recurrent network architectures).
    """

    def __init__(self, torso: Backbone, config: GRUConfig) -> None:
        super().__init__()
        self.torso = torso
        self.is_lstm = isinstance(config, LSTMConfig)
        kind: type[nn.RNNBase] = nn.LSTM if self.is_lstm else nn.GRU
        self.cell: Any = kind(torso.features, config.width, config.layers)
        self._initialise(config.width)
        self.features = config.width

    @torch.no_grad()
    def _initialise(self, width: int) -> None:
        """Orthogonal weights, a square a gate; biases of zero, and of one for the forget gate."""
        for name, parameter in self.cell.named_parameters():
            if name.startswith("weight"):
                for gate in parameter.split(width):
                    nn.init.orthogonal_(gate)
            else:
                parameter.zero_()
                if self.is_lstm and name.startswith("bias_ih"):
                    parameter[width : 2 * width] = 1.0  # torch's order: input, forget, cell, output

    def initial_state(self, batch: int) -> Memory:
        zeros = self.cell.weight_hh_l0.new_zeros(self.cell.num_layers, batch, self.features)
        return (zeros, zeros.clone()) if self.is_lstm else (zeros,)

    def forward(self, observation: Tensor, state: Memory, is_first: Tensor) -> tuple[Tensor, Memory]:
        x, _ = self.torso(observation, (), is_first)
        state = state or self.initial_state(x.shape[1])
        outputs = []
        for begin, end in segments(is_first):
            keep = (~is_first[begin]).to(x.dtype).unsqueeze(-1)
            state = tuple(part * keep for part in state)
            output, new = self.cell(x[begin:end], state if self.is_lstm else state[0])
            outputs.append(output)
            state = new if self.is_lstm else (new,)
        return (outputs[0] if len(outputs) == 1 else torch.cat(outputs)), state


def segments(is_first: Tensor) -> list[tuple[int, int]]:
    """The stretches of [T B] at whose first step alone a row may begin anew: torch's cells run through each at once."""
    length = len(is_first)
    if is_first.is_meta:  # without values, the shapes of one stretch tell all
        return [(0, length)]
    inner = (is_first[1:].any(dim=1).nonzero().flatten() + 1).tolist() if length > 1 else []
    return list(itertools.pairwise([0, *inner, length]))
