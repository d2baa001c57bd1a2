"""What holds for every backbone: shapes, gradients, rows that never look at one another, devices."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from keel.networks.actor_critic import ActorCritic
from keel.networks.backbone import (
    BoardConfig,
    CNNConfig,
    FusionConfig,
    GRUConfig,
    LSTMConfig,
    MLPConfig,
    TransformerConfig,
)
from keel.networks.build import build_backbone, default_backbone
from keel.networks.mlp import MLP, ReLULayers, TanhLayers
from keel.networks.observations import Encoder, channels_come_last

VECTOR, IMAGE, GRID = (6,), (3, 40, 44), (4, 10, 9)
CASES = [
    (VECTOR, MLPConfig()),
    (VECTOR, MLPConfig(hidden=(32,), activation="relu", shared=True)),
    (VECTOR, MLPConfig(activation="silu")),
    (IMAGE, CNNConfig(channels=(8, 8, 8), features=16)),
    (IMAGE, CNNConfig(variant="impala", channels=(4, 8), features=16, shared=False)),
    (VECTOR, MLPConfig(hidden=(32, 16), activation="relu", layer_norm=True)),
    (GRID, CNNConfig(variant="small", channels=(4, 8), features=16)),
    (GRID, CNNConfig(variant="small", channels=(4,), features=16, layer_norm=True, shared=False)),
    (VECTOR, GRUConfig(width=16)),
    (VECTOR, GRUConfig(width=8, layers=2, hidden=())),
    (VECTOR, LSTMConfig(width=16, hidden=(32, 16))),
    (VECTOR, LSTMConfig(width=8, layers=2)),
    (GRID, LSTMConfig(width=16)),
    (VECTOR, TransformerConfig(width=16, layers=2, heads=2, window=3)),
    (VECTOR, TransformerConfig(width=16, layers=1, heads=4, window=16, hidden=())),
    (GRID, TransformerConfig(width=16, layers=2, heads=2, window=4)),
    (VECTOR, FusionConfig(width=8, features=16)),
    (VECTOR, FusionConfig(width=8, heads=2, features=16, combine="attend")),
    (GRID, BoardConfig(blocks=2, channels=8, squeeze=4, features=16)),
    (GRID, BoardConfig(blocks=1, channels=8, squeeze=4, pooled=True, features=16)),
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

    def test_the_empty_tuple_is_the_initial_state(self, shape, config):
        backbone = build_backbone(shape, config)
        x, is_first = observations(shape, 4, 3), torch.zeros(4, 3).bool()
        is_first[2, 1] = True
        (a, state_a), (b, state_b) = (backbone(x, state, is_first) for state in ((), backbone.initial_state(3)))
        torch.testing.assert_close(a, b)
        for mine, other in zip(state_a, state_b, strict=True):
            assert mine.shape == other.shape
            assert mine.dtype == other.dtype

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
        assert isinstance(backbone, torch.nn.Module)
        with torch.no_grad():  # residual branches begin with a scale of zero, and pass nothing on
            for parameter in backbone.parameters():
                parameter += 0.01 * torch.randn_like(parameter)
        features, _ = backbone(observations(shape, 2, 4), backbone.initial_state(4), torch.zeros(2, 4).bool())
        features.square().sum().backward()
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


def test_what_the_new_settings_refuse():
    for make, message in (
        (lambda: GRUConfig(width=0), r"backbone\.width is 0"),
        (lambda: LSTMConfig(layers=0), r"backbone\.layers is 0"),
        (lambda: GRUConfig(hidden=(3, 0)), r"backbone\.hidden is \(3, 0\)"),
        (lambda: TransformerConfig(width=10, heads=4), r"heads is 4: it must divide the width, which is 10"),
        (lambda: TransformerConfig(window=0), r"backbone\.window is 0"),
        (lambda: FusionConfig(combine="attend", heads=3), r"heads is 3: it must divide"),
        (lambda: BoardConfig(blocks=-1), r"backbone\.blocks is -1"),
        (lambda: build_backbone(VECTOR, BoardConfig()), "board backbone takes images.*--backbone mlp"),
        (lambda: build_backbone(IMAGE, FusionConfig()), "fusion backbone takes the parts of a Dict.*--backbone cnn"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


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


@pytest.mark.parametrize(("activation", "fused"), [("tanh", TanhLayers), ("relu", ReLULayers)])
def test_fused_layers_equal_the_plain_ones(activation, fused):
    """The layers differentiated at once, against torch layer by layer: values, gradients of parameters and input."""
    torch.manual_seed(0)
    network = MLP(5, MLPConfig(hidden=(7, 4, 6), activation=activation)).double()
    assert network.fused is fused
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    x = torch.randn(3, 8, 5, dtype=torch.float64, requires_grad=True)
    wanted = [x, *network.parameters()]
    found, _ = network(x, (), torch.zeros(3, 8).bool())
    expected = network.layers(x)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    weights = torch.randn_like(found)
    for a, b in zip(*(torch.autograd.grad((y * weights).sum(), wanted) for y in (found, expected)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)
        assert a.abs().max() > 0
    flat = x.detach().flatten(0, 1).requires_grad_()
    assert torch.autograd.gradcheck(fused.apply, (flat, *network.parameters()))


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_fused_layers_leave_their_input_alone(activation):
    """Also where it takes no gradient, and where a layer before gives it one."""
    torch.manual_seed(0)
    network = MLP(5, MLPConfig(hidden=(7,), activation=activation))
    x = torch.randn(1, 4, 5)
    kept = x.clone()
    network(x, (), torch.zeros(1, 4).bool())[0].sum().backward()
    assert torch.equal(x, kept)
    assert x.grad is None


@pytest.mark.parametrize("activation", ["tanh", "relu", "silu"])
def test_layer_norm_comes_before_the_activation(activation):
    torch.manual_seed(0)
    network = MLP(5, MLPConfig(hidden=(7, 6), activation=activation, layer_norm=True))
    assert network.fused is None
    x = expected = torch.randn(2, 3, 5)
    layers: list[Any] = list(network.layers)
    for linear, norm in (layers[0:2], layers[3:5]):
        with torch.no_grad():
            norm.weight.normal_()
            norm.bias.normal_()
        sums = expected @ linear.weight.T + linear.bias
        centred = sums - sums.mean(dim=-1, keepdim=True)
        scaled = centred / (centred.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
        expected = getattr(torch.nn.functional, activation)(scaled * norm.weight + norm.bias)
    torch.testing.assert_close(network(x, (), torch.zeros(2, 3).bool())[0], expected)


class TestSmall:
    @pytest.mark.parametrize(
        ("shape", "channels", "after"),
        [((4, 10, 10), (16,), (16, 8, 8)), ((7, 10, 9), (16, 32), (32, 6, 5)), ((3, 5, 5), (8, 8), (8, 1, 1))],
    )
    def test_shapes(self, shape, channels, after):
        """3x3 without padding: each layer takes two from either side."""
        backbone = build_backbone(shape, CNNConfig(variant="small", channels=channels, features=12))
        assert backbone.feature_shape == after
        assert backbone.feature_map(observations(shape, 2)).shape == (2, *after)
        assert backbone.project.in_features == after[0] * after[1] * after[2]
        assert backbone(observations(shape, 2, 3), (), torch.zeros(2, 3).bool())[0].shape == (2, 3, 12)

    @pytest.mark.parametrize("layer_norm", [False, True])
    def test_against_the_sums_written_out(self, layer_norm):
        """Norms over all channels and places of one image, before each rectifier."""
        torch.manual_seed(0)
        config = CNNConfig(variant="small", channels=(4, 6), features=8, layer_norm=layer_norm)
        backbone, images = build_backbone((3, 7, 6), config), observations((3, 7, 6), 2, 5)

        def normalise(sums):
            if not layer_norm:
                return sums
            flat = sums.flatten(1)
            centred = flat - flat.mean(dim=1, keepdim=True)
            return (centred / (centred.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()).reshape(sums.shape)

        x = images.flatten(0, 1) / 255.0
        for layer in backbone.convolutions:
            if isinstance(layer, torch.nn.Conv2d):
                x = normalise(torch.nn.functional.conv2d(x, layer.weight, layer.bias)).clamp(min=0)
        sums = x.flatten(1) @ backbone.project.weight.T + backbone.project.bias
        found = backbone(images, (), torch.zeros(2, 5).bool())[0]
        torch.testing.assert_close(found.flatten(0, 1), normalise(sums).clamp(min=0), atol=1e-5, rtol=1e-4)

    def test_refusals(self):
        for shape in ((3, 4, 10), (3, 10, 4), (3, 2, 2)):
            with pytest.raises(ValueError, match=r"images of shape .* are too small for the small convolutions"):
                build_backbone(shape, CNNConfig(variant="small", channels=(8, 8)))
        with pytest.raises(ValueError, match="layer_norm is for the variants nature and small, and this is impala"):
            CNNConfig(variant="impala", channels=(16, 32), layer_norm=True)
        with pytest.raises(ValueError, match=r"backbone\.channels is \(\)"):
            CNNConfig(variant="small", channels=())
        with pytest.raises(ValueError, match=r"backbone\.features is 0"):
            CNNConfig(variant="small", features=0)


@pytest.mark.parametrize(
    ("shape", "last"),
    [
        ((84, 84, 4), True), ((4, 84, 84), False), ((210, 160, 3), True), ((3, 210, 160), False), ((10, 10, 4), True),
        ((10, 10, 10), True), ((7, 10, 10), False), ((10, 9, 6), True), ((84, 84, 128), True), ((128, 8, 8), False),
    ],
)  # fmt: skip
def test_where_the_channels_are(shape, last):
    """By the two sides that are equal; otherwise, and in a cube (MinAtar's Seaquest), last unless that is the largest."""
    assert channels_come_last(shape) == last
    encoder = Encoder(spaces.Box(0, 255, shape, np.uint8), normalise=False)
    image = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    encoded, _ = encoder(image)
    assert encoder.shape == ((shape[2], shape[0], shape[1]) if last else shape)
    np.testing.assert_array_equal(encoded.numpy(), image.transpose(0, 3, 1, 2) if last else image)


def test_nature_has_the_shapes_of_the_paper():
    backbone = build_backbone((4, 84, 84), CNNConfig())
    assert backbone.feature_shape == (64, 7, 7)  # type: ignore[attr-defined]
    assert backbone.features == 512


def test_defaults_and_refusals():
    assert default_backbone((4,)) == MLPConfig()
    assert default_backbone((3, 64, 64)) == CNNConfig()
    for variant, sides in (
        ("nature", ((36, 36), (210, 160))),
        ("small", ((16, 16), (7, 7), (5, 16), (10, 10))),
        ("impala", ((35, 36), (64, 35), (17, 16), (4, 9), (1, 1))),
    ):  # the default always fits
        for height, width in sides:
            config = default_backbone((3, height, width))
            assert isinstance(config, CNNConfig)
            assert config.variant == variant
            backbone = build_backbone((3, height, width), config)
            x = observations((3, height, width), 1, 2)
            assert backbone(x, (), torch.zeros(1, 2).bool())[0].shape == (1, 2, config.features)
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
