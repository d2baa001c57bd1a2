"""What holds for every backbone: shapes, gradients, rows that never look at one another, devices."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from keel.networks.actor_critic import ActorCritic
from keel.networks.backbone import CNNConfig, MLPConfig
from keel.networks.build import build_backbone, default_backbone
from keel.networks.mlp import MLP, TanhLayers

VECTOR, IMAGE = (6,), (3, 40, 44)
CASES = [
    (VECTOR, MLPConfig()),
    (VECTOR, MLPConfig(hidden=(32,), activation="relu", shared=True)),
    (VECTOR, MLPConfig(activation="silu")),
    (IMAGE, CNNConfig(channels=(8, 8, 8), features=16)),
    (IMAGE, CNNConfig(variant="impala", channels=(4, 8), features=16, shared=False)),
]


def observations(shape, *axes):
    torch.manual_seed(1)
    if len(shape) == 3:
        return torch.randint(0, 256, (*axes, *shape), dtype=torch.uint8)
    return torch.randn(*axes, *shape)


@pytest.mark.parametrize(("shape", "config"), CASES)
class TestEveryBackbone:
    def test_shape_and_memory(self, shape, config):
        backbone = build_backbone(shape, config)
        features, state = backbone(observations(shape, 4, 5), backbone.initial_state(5), torch.zeros(4, 5).bool())
        assert features.shape == (4, 5, backbone.features)
        assert len(state) == len(backbone.initial_state(5))

    def test_step_by_step_equals_the_whole_sequence(self, shape, config):
        backbone = build_backbone(shape, config)
        x, is_first = observations(shape, 6, 3), torch.zeros(6, 3).bool()
        is_first[3, 1] = True
        whole, _ = backbone(x, backbone.initial_state(3), is_first)
        state, steps = backbone.initial_state(3), []
        for t in range(6):
            step, state = backbone(x[t : t + 1], state, is_first[t : t + 1])
            steps.append(step)
        torch.testing.assert_close(torch.cat(steps), whole, atol=1e-5, rtol=1e-5)

    def test_rows_never_look_at_one_another(self, shape, config):
        backbone = build_backbone(shape, config)
        x = observations(shape, 2, 4)
        other = x.clone()
        other[:, 2] = observations(shape, 2, 4)[:, 0]
        is_first = torch.zeros(2, 4).bool()
        a, _ = backbone(x, backbone.initial_state(4), is_first)
        b, _ = backbone(other, backbone.initial_state(4), is_first)
        rows = [0, 1, 3]
        torch.testing.assert_close(a[:, rows], b[:, rows])
        assert not torch.allclose(a[:, 2], b[:, 2])

    def test_every_parameter_gets_a_gradient(self, shape, config):
        backbone = build_backbone(shape, config)
        features, _ = backbone(observations(shape, 2, 4), backbone.initial_state(4), torch.zeros(2, 4).bool())
        features.square().sum().backward()
        assert isinstance(backbone, torch.nn.Module)
        for name, parameter in backbone.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name

    def test_forward_backward_and_optimiser_step_on_another_device(self, shape, config):
        """The meta device computes nothing but refuses to mix devices, as a GPU would."""
        space = spaces.Box(0, 255, shape, np.uint8) if len(shape) == 3 else spaces.Box(-1, 1, shape)
        for actions in (spaces.Discrete(3), spaces.Box(-1, 1, (2,))):
            network = ActorCritic(space, actions, config, normalise_observation=True).to("meta")
            optimiser = torch.optim.Adam(network.parameters())
            x = observations(shape, 4, 5).to("meta")
            encoded, mask = network.encoder.encode(x)
            is_first = torch.zeros(4, 5, device="meta").bool()
            distribution, value = network(encoded, mask, network.initial_memory(5), is_first)
            sample = torch.zeros(4, 5, *((2,) if isinstance(actions, spaces.Box) else ()), device="meta")
            (distribution.log_prob(sample) + distribution.entropy() + value).sum().backward()
            optimiser.step()
            assert value.device.type == "meta"


def test_numpy_acting_equals_torch():
    for config in (MLPConfig(), MLPConfig(activation="relu", shared=True)):
        network = ActorCritic(spaces.Box(-1, 1, (6,)), spaces.Discrete(4), config, normalise_observation=True)
        network.encoder.learn_scale(np.random.default_rng(0).normal(3, 2, (100, 6)).astype(np.float32))
        torch.nn.init.normal_(network.policy.linear.weight)  # so that actions differ from row to row
        x = np.random.default_rng(1).normal(3, 2, (64, 6)).astype(np.float32)
        noise = network.actions.draw_noise(np.random.default_rng(2), (64,))
        is_first = np.zeros(64, bool)
        in_torch = [network.act(x, (), is_first, n)[0] for n in (noise, None)]
        network.prepare_acting()
        assert network.acts_in_numpy
        in_numpy = [network.act(x, (), is_first, n)[0] for n in (noise, None)]
        np.testing.assert_array_equal(in_torch, in_numpy)
        assert len(np.unique(in_numpy[0])) == 4


def test_tanh_layers_equal_the_plain_ones():
    """The layers differentiated at once, against torch layer by layer: values, and gradients of parameters and input."""
    torch.manual_seed(0)
    network = MLP(5, MLPConfig(hidden=(7, 4, 6))).double()
    x = torch.randn(3, 8, 5, dtype=torch.float64, requires_grad=True)
    wanted = [x, *network.parameters()]
    found, _ = network(x, (), torch.zeros(3, 8).bool())
    expected = network.layers(x)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    weights = torch.randn_like(found)
    for a, b in zip(*(torch.autograd.grad((y * weights).sum(), wanted) for y in (found, expected)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)
    flat = x.detach().flatten(0, 1).requires_grad_()
    assert torch.autograd.gradcheck(TanhLayers.apply, (flat, *network.parameters()))


def test_nature_has_the_shapes_of_the_paper():
    backbone = build_backbone((4, 84, 84), CNNConfig())
    assert backbone.feature_shape == (64, 7, 7)  # type: ignore[attr-defined]
    assert backbone.features == 512


def test_defaults_and_refusals():
    assert default_backbone((4,)) == MLPConfig()
    assert default_backbone((3, 64, 64)) == CNNConfig()
    for height, width in (
        (36, 36),
        (35, 36),
        (64, 35),
        (7, 7),
        (1, 1),
    ):  # the default always fits, the nature one or not
        config = default_backbone((3, height, width))
        assert isinstance(config, CNNConfig)
        assert config.variant == ("nature" if min(height, width) == 36 else "impala")
        assert build_backbone((3, height, width), config).features == config.features
    with pytest.raises(ValueError, match="--backbone cnn"):
        build_backbone(IMAGE, MLPConfig())
    with pytest.raises(ValueError, match="--backbone mlp"):
        build_backbone(VECTOR, CNNConfig())
    with pytest.raises(ValueError, match="too small"):
        build_backbone((3, 7, 7), CNNConfig())
    with pytest.raises(ValueError, match=r"backbone\.hidden"):
        MLPConfig(hidden=())
    with pytest.raises(ValueError, match="three layers"):
        CNNConfig(channels=(32, 64))
