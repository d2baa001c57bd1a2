"""A causal Transformer with gates and a window of memory: GTrXL (Parisotto et al. 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from keel.networks.backbone import Backbone, Memory, TransformerConfig

CLOSED_GATE = 2.0  # initial bias: a block begins close to the identity (Parisotto et al. 2020, section 3.2)


class Transformer(nn.Module):
    """[T B ...] -> [T B config.width]. Each layer sees its input at this step and at the `window` steps before it.

    The memory is (inputs of each layer [layers B window width], which of these are of this episode [1 B window] bool).
    Agents keep the memory without its gradients, which so reach back to the first step of the sequence, as in
    Transformer-XL (Dai et al. 2019); how far apart two steps are is learnt as one bias a head and distance (Raffel et al.
    2020, T5).
    """

    def __init__(self, torso: Backbone, config: TransformerConfig) -> None:
        super().__init__()
        self.torso = torso
        self.window, self.features = config.window, config.width
        self.embed = nn.Linear(torso.features, config.width)
        self.blocks = nn.ModuleList(Block(config.width, config.heads, config.window) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)

    def initial_state(self, batch: int) -> Memory:
        weight = self.embed.weight
        inputs = weight.new_zeros(len(self.blocks), batch, self.window, self.features)
        return inputs, torch.zeros(1, batch, self.window, dtype=torch.bool, device=weight.device)

    def forward(self, observation: Tensor, state: Memory, is_first: Tensor) -> tuple[Tensor, Memory]:
        x, _ = self.torso(observation, (), is_first)
        x = self.embed(x).transpose(0, 1)  # [B T D]
        past = state[0].shape[2] if state else 0  # without a memory nothing lies before the first step
        valid = state[1][0] if state else x.new_zeros(len(x), 0, dtype=torch.bool)
        visible, distance, episode_now = self._look_back(valid, is_first)
        kept = []
        for index, block in enumerate(self.blocks):
            context = torch.cat([state[0][index], x], dim=1) if past else x
            kept.append(context)
            x = block(x, context, visible, distance)
        memory = self._remember(kept, torch.cat([valid & episode_now[:, :past], episode_now[:, past:]], dim=1))
        return self.norm(x).transpose(0, 1), memory

    def _look_back(self, valid: Tensor, is_first: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Which of the S = past + T steps each of the T sees [B T S], how far back they lie [T S], and which of them
        belong to the episode of the last one [B S]."""
        past, length = valid.shape[1], len(is_first)
        time = torch.arange(-past, length, device=valid.device)
        distance = time[past:, None] - time
        episode = is_first.long().cumsum(dim=0).t()  # [B T] counted from that of the memory, which is 0
        episode = torch.cat([episode.new_zeros(len(episode), past), episode], dim=1)
        same = episode[:, past:, None] == episode[:, None, :]
        near = (distance >= 0) & (distance <= self.window)
        exists = torch.cat([valid, valid.new_ones(len(valid), length)], dim=1)
        return same & near & exists[:, None], distance.clamp(0, self.window), episode == episode[:, -1:]

    def _remember(self, inputs: list[Tensor], valid: Tensor) -> Memory:
        """The last `window` inputs of each layer, with empty places before them where there are fewer."""
        missing = max(self.window - valid.shape[1], 0)
        cache = torch.stack([part[:, -self.window :] for part in inputs])
        cache = nn.functional.pad(cache, (0, 0, missing, 0))
        return cache, nn.functional.pad(valid[:, -self.window :], (missing, 0)).unsqueeze(0)


class Block(nn.Module):
    """Attention and a feed-forward layer, each after a layer norm and added by a gate."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.norm_attention, self.norm_feed_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, window)
        self.gate_attention, self.gate_feed_forward = Gate(width), Gate(width)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, context: Tensor, visible: Tensor, distance: Tensor) -> Tensor:
        """x [B T D], context [B S D] whose last T steps are x."""
        seen = self.attention(self.norm_attention(context), x.shape[1], visible, distance)
        x = self.gate_attention(x, torch.relu(seen))
        return self.gate_feed_forward(x, torch.relu(self.feed_forward(self.norm_feed_forward(x))))


class Attention(nn.Module):
    """Multi-head attention of the last `queries` steps over what is visible to each (Vaswani et al. 2017)."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.distance_bias = nn.Parameter(torch.zeros(heads, window + 1))

    def forward(self, context: Tensor, queries: int, visible: Tensor, distance: Tensor) -> Tensor:
        """context [B S D], visible [B T S] bool, distance [T S] in 0…window -> [B T D]."""
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B H T or S d]
            for part in (self.query(context[:, -queries:]), *self.key_value(context).chunk(2, dim=-1))
        )
        bias = self.distance_bias[:, distance].masked_fill(~visible.unsqueeze(1), -torch.inf)
        seen = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.out(seen.transpose(1, 2).flatten(2))


class Gate(nn.Module):
    """Joins what goes on, x, with what a layer adds, y, as a gated recurrent unit does.

        r = s(W_r y + U_r x),  z = s(W_z y + U_z x - b),  g = (1 - z) x + z tanh(W_g y + U_g (r x))

    Source: Parisotto et al. 2020, Stabilizing transformers for reinforcement learning, section 3.2.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.added = nn.Linear(width, 3 * width, bias=False)
        self.onward = nn.Linear(width, 2 * width, bias=False)
        self.candidate = nn.Linear(width, width, bias=False)
        self.bias = nn.Parameter(torch.full((width,), CLOSED_GATE))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        reset_y, update_y, candidate_y = self.added(y).chunk(3, dim=-1)
        reset_x, update_x = self.onward(x).chunk(2, dim=-1)
        update = torch.sigmoid(update_y + update_x - self.bias)
        candidate = torch.tanh(candidate_y + self.candidate(torch.sigmoid(reset_y + reset_x) * x))
        return x + update * (candidate - x)
