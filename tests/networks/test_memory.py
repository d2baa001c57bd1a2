"""What holds for backbones with memory: what is forgotten and when, what is seen, and torch's own cells beside them."""

import dataclasses

import numpy as np
import pytest
import torch
from gymnasium import spaces

from keel.networks.actor_critic import ActorCritic
from keel.networks.backbone import GRUConfig, LSTMConfig, TransformerConfig
from keel.networks.build import build_backbone
from keel.networks.transformer import Attention

VECTOR = (6,)
MEMORY = [GRUConfig(width=8), LSTMConfig(width=8, layers=2), TransformerConfig(width=8, heads=2, window=3)]


@pytest.mark.parametrize("config", MEMORY)
class TestMemory:
    def test_is_first_forgets_and_nothing_else_does(self, config):
        torch.manual_seed(0)
        backbone = build_backbone(VECTOR, config)
        x, is_first = torch.randn(6, 3, *VECTOR), torch.zeros(6, 3).bool()
        is_first[3, 1] = is_first[0, 2] = True
        _, used = backbone(torch.randn(5, 3, *VECTOR), (), torch.zeros(5, 3).bool())
        after, _ = backbone(x, used, is_first)
        fresh, _ = backbone(x, (), torch.zeros(6, 3).bool())
        forgot, _ = backbone(x[3:], (), torch.zeros(3, 3).bool())
        torch.testing.assert_close(after[3:, 1], forgot[:, 1])
        torch.testing.assert_close(after[:, 2], fresh[:, 2])
        assert not torch.allclose(after[:3, 1], fresh[:3, 1])
        assert not torch.allclose(after[:, 0], fresh[:, 0])

    def test_the_past_counts_and_the_future_does_not(self, config):
        torch.manual_seed(0)
        backbone = build_backbone(VECTOR, config)
        x, is_first = torch.randn(6, 2, *VECTOR), torch.zeros(6, 2).bool()
        changed = x.clone()
        changed[3] += 1.0
        a, b = backbone(x, (), is_first)[0], backbone(changed, (), is_first)[0]
        torch.testing.assert_close(a[:3], b[:3])
        for t in (3, 4, 5):
            assert not torch.allclose(a[t], b[t])

    def test_a_memory_can_be_cut_anywhere(self, config):
        """Gradients through a whole sequence equal those through two halves that pass the memory on undetached."""
        torch.manual_seed(0)
        backbone = build_backbone(VECTOR, config).double()
        x, is_first = torch.randn(7, 3, *VECTOR).double(), torch.zeros(7, 3).bool()
        is_first[2, 0] = is_first[5, 1] = True
        whole, end = backbone(x, (), is_first)
        first, state = backbone(x[:4], (), is_first[:4])
        second, end_of_halves = backbone(x[4:], state, is_first[4:])
        parameters = list(backbone.parameters())
        halves = torch.cat([first, second])
        torch.testing.assert_close(whole, halves, atol=1e-12, rtol=0)
        for a, b in zip(end, end_of_halves, strict=True):
            if a.dtype == torch.bool:
                assert torch.equal(a, b)
            elif len(end) == 2 and end[1].dtype == torch.bool:  # what is kept of other episodes does not matter
                kept = end[1][0].unsqueeze(-1)
                torch.testing.assert_close(a * kept, b * kept, atol=1e-12, rtol=0)
            else:
                torch.testing.assert_close(a, b, atol=1e-12, rtol=0)
        weight = torch.randn_like(whole)
        for a, b in zip(*(torch.autograd.grad((y * weight).sum(), parameters) for y in (whole, halves)), strict=True):
            torch.testing.assert_close(a, b, atol=1e-10, rtol=0)


def test_a_transformer_sees_its_window_and_no_further():
    torch.manual_seed(0)
    backbone = build_backbone(VECTOR, TransformerConfig(width=8, layers=1, heads=2, window=3, hidden=()))
    x, is_first = torch.randn(9, 2, *VECTOR), torch.zeros(9, 2).bool()
    changed = x.clone()
    changed[2] += 1.0
    a, b = backbone(x, (), is_first)[0], backbone(changed, (), is_first)[0]
    differs = [not torch.allclose(a[t], b[t]) for t in range(9)]
    assert differs == [False, False, True, True, True, True, False, False, False]


def test_attention_against_the_sums_written_out():
    """One head at a time: softmax of scaled products and the bias of the distance, over what is visible."""
    torch.manual_seed(0)
    attention = Attention(6, 2, 3).double()
    with torch.no_grad():
        attention.distance_bias.normal_()
    context = torch.randn(1, 5, 6, dtype=torch.float64)
    distance = torch.arange(5)[3:, None] - torch.arange(5)
    visible = (distance >= 0) & (distance <= 3) & (torch.arange(5) != 2)
    query = attention.query(context[0, 3:])
    key, value = attention.key_value(context[0]).chunk(2, dim=-1)
    seen = torch.zeros(2, 6, dtype=torch.float64)
    for head, columns in enumerate((slice(0, 3), slice(3, 6))):
        for t in range(2):
            places = [s for s in range(5) if visible[t, s]]
            scores = torch.stack([
                query[t, columns] @ key[s, columns] / 3**0.5 + attention.distance_bias[head, distance[t, s]]
                for s in places
            ])  # fmt: skip
            seen[t, columns] = scores.softmax(0) @ value[places][:, columns]
    found = attention(context, 2, visible.unsqueeze(0), distance.clamp(0, 3))
    torch.testing.assert_close(found[0], attention.out(seen), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("config", "peer"), [(GRUConfig(width=5), torch.nn.GRUCell), (LSTMConfig(width=5), torch.nn.LSTMCell)]
)
def test_recurrent_layers_equal_torchs_cells(config, peer):
    """Step by step with torch's own single cells, the memory set to zero by hand where an episode begins."""
    torch.manual_seed(0)
    backbone = build_backbone(VECTOR, dataclasses.replace(config, hidden=()))
    cell = peer(VECTOR[0], 5)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in backbone.cell.state_dict().items()})
    x, is_first = torch.randn(6, 3, *VECTOR), torch.zeros(6, 3).bool()
    is_first[2, 0] = is_first[4, 2] = True
    state = [torch.zeros(3, 5), torch.zeros(3, 5)]
    expected = []
    for t in range(6):
        state = [part * ~is_first[t].unsqueeze(-1) for part in state]
        output = cell(x[t], tuple(state) if peer is torch.nn.LSTMCell else state[0])
        state = list(output) if isinstance(output, tuple) else [output]
        expected.append(state[0])
    torch.testing.assert_close(backbone(x, (), is_first)[0], torch.stack(expected))


def test_forget_gates_begin_open():
    cell = build_backbone(VECTOR, LSTMConfig(width=5, layers=2)).cell
    for layer in range(2):
        bias = getattr(cell, f"bias_ih_l{layer}")
        assert bias.split(5)[1].tolist() == [1.0] * 5
        assert bias.sum() == 5.0
        assert not getattr(cell, f"bias_hh_l{layer}").any()


@pytest.mark.parametrize("kind", [GRUConfig, LSTMConfig])
def test_a_critic_of_its_own_remembers_beside_the_actor(kind: type[GRUConfig]) -> None:
    """Acting step by step hands on two memories, each what its own network makes of all that was seen."""
    space, first = spaces.Box(-1, 1, (3,), np.float32), np.zeros((5, 2), bool)
    first[0], first[3, 1] = True, True
    network = ActorCritic(space, spaces.Discrete(2), kind(width=4, hidden=(5,), shared=False))
    assert network.critic is not None
    seen = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    memory = network.initial_memory(2)
    for observation, is_first in zip(seen, first, strict=True):
        memory = network.act(observation, memory, is_first, None)[1]
    half = len(memory) // 2
    assert half == len(network.actor.initial_state(2))
    with torch.no_grad():
        for part, found in ((network.actor, memory[:half]), (network.critic, memory[half:])):
            _, expected = part(torch.from_numpy(seen), part.initial_state(2), torch.from_numpy(first))
            for ours, theirs in zip(found, expected, strict=True):
                torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
        changed = (*memory[:half], *(part + 1.0 for part in memory[half:]))
        encoded, no_first = torch.from_numpy(seen[:1]), torch.zeros(1, 2, dtype=torch.bool)
        policy, value = network(encoded, None, memory, no_first)
        other_policy, other_value = network(encoded, None, changed, no_first)
        assert torch.equal(policy.logits, other_policy.logits)
        assert (value - other_value).abs().min() > 1e-4
        torch.testing.assert_close(network.estimate(encoded, changed, no_first), other_value)
