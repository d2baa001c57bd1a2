"""Action values: heads against hand numbers and explicit matrices, acting in numpy against torch, devices, refusals."""

import itertools

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from keel.networks.backbone import CNNConfig, MLPConfig
from keel.networks.heads import NoisyLinear, QHead, Stream, spread_out
from keel.networks.q_network import QNetwork

VECTOR, GRID = spaces.Box(-1, 1, (6,), np.float32), spaces.Box(0, 255, (10, 10, 3), np.uint8)
SMALL = CNNConfig(variant="small", channels=(4, 8), features=16)


def observations(space, batch=5):
    random = np.random.default_rng(0)
    if space.shape == (6,):
        return random.normal(size=(batch, 6)).astype(np.float32)
    return random.integers(0, 256, (batch, *space.shape), np.uint8)


def numbers_of(network, observation, noise=None):
    encoded, _ = network.encoder(observation)
    numbers, memory = network(encoded[None], (), torch.zeros(1, len(encoded)).bool(), noise)
    assert memory == ()
    return numbers[0]


class TestDueling:
    def test_hand_numbers(self):
        """v = 2 x, a = (x, 3 x, 5 x): their mean is 3 x, so the values are (0, 2, 4) x."""
        head = QHead(1, 3, 1, hidden=0, dueling=True, noisy=False).double()
        with torch.no_grad():
            head.advantage.layers[0].weight.copy_(torch.tensor([[1.0], [3.0], [5.0]]))
            head.value.layers[0].weight.fill_(2.0)
        found = head(torch.tensor([[1.0], [-2.0]], dtype=torch.float64))
        assert found[..., 0].tolist() == [[0.0, 2.0, 4.0], [0.0, -4.0, -8.0]]

    def test_the_mean_over_the_actions_is_the_value(self):
        torch.manual_seed(0)
        head = QHead(8, 4, 5, hidden=6, dueling=True, noisy=False).double()
        assert head.value is not None
        x = torch.randn(3, 7, 8, dtype=torch.float64)
        found, value, advantage = head(x), head.value(x, None), head.advantage(x, None).reshape(3, 7, 4, 5)
        torch.testing.assert_close(found.mean(dim=-2), value, rtol=0, atol=1e-12)
        for a, b in itertools.combinations(range(4), 2):  # atom by atom: each has a mean of its own
            difference = advantage[:, :, a] - advantage[:, :, b]
            torch.testing.assert_close(found[:, :, a] - found[:, :, b], difference, rtol=0, atol=1e-12)

    def test_without_it_the_numbers_are_the_streams_own(self):
        torch.manual_seed(0)
        head, x = QHead(8, 4, 5, hidden=0, dueling=False, noisy=False), torch.randn(3, 8)
        expected = nn.functional.linear(x, *head.advantage.layers[0].parameters()).reshape(3, 4, 5)
        torch.testing.assert_close(head(x), expected)
        assert [name for name, _ in head.named_parameters() if "value" in name] == []

    def test_a_hidden_layer_is_rectified(self):
        torch.manual_seed(0)
        stream, x = Stream(8, 3, 6, noisy=False), torch.randn(5, 8)
        first, last = (list(layer.parameters()) for layer in stream.layers)
        expected = nn.functional.linear(nn.functional.linear(x, *first).clamp(min=0), *last)
        torch.testing.assert_close(stream(x, None), expected)


class TestNoisyLinear:
    """Fortunato et al. 2018, section 3."""

    def test_every_row_has_the_weights_of_its_noise(self):
        """w = W + S * (e_out outer e_in), b = bias + s * e_out, written out row by row."""
        torch.manual_seed(0)
        x, noise = torch.randn(7, 5, dtype=torch.float64), spread_out(torch.randn(7, 8, dtype=torch.float64))
        layer = NoisyLinear(5, 3).double()
        with torch.no_grad():
            layer.weight_spread.normal_()
            layer.bias_spread.normal_()
        found = layer(x, noise)
        for n in range(7):
            e_in, e_out = noise[n, :5], noise[n, 5:]
            weight = layer.weight + layer.weight_spread * torch.outer(e_out, e_in)
            expected = weight @ x[n] + layer.bias + layer.bias_spread * e_out
            torch.testing.assert_close(found[n], expected, rtol=0, atol=1e-12)
        shared = layer(x, noise[2])  # one noise for all rows, as learning has it
        torch.testing.assert_close(shared[2], found[2], rtol=0, atol=1e-12)
        assert (shared[3] - found[3]).abs().max() > 1e-3

    def test_the_mean_over_the_noise_is_the_layer_without(self):
        torch.manual_seed(0)
        layer, x, draws = NoisyLinear(4, 3), torch.randn(1, 4), 40_000
        found = layer(x.expand(draws, 4), spread_out(torch.randn(draws, 7)))
        error = found.std(dim=0) / draws**0.5
        assert ((found.mean(dim=0) - layer(x, None)[0]).abs() < 5 * error).all()
        assert (found.std(dim=0) > 0.05).all()
        torch.testing.assert_close(layer(x, None)[0], layer.weight @ x[0] + layer.bias)

    def test_initial_values(self):
        torch.manual_seed(0)
        layer = NoisyLinear(64, 200)
        bound = 1 / 8
        for part in (layer.weight, layer.bias):
            assert part.abs().max() <= bound
            assert part.abs().max() > 0.97 * bound
            assert part.std().item() == pytest.approx(2 * bound / 12**0.5, rel=0.1)
        for part in (layer.weight_spread, layer.bias_spread):
            torch.testing.assert_close(part.detach(), torch.full_like(part, 0.5 / 8))

    def test_spread_out_numbers(self):
        assert spread_out(torch.tensor([4.0, -9.0, 0.0, 0.25])).tolist() == [2.0, -3.0, 0.0, 0.5]

    @pytest.mark.parametrize(("dueling", "hidden"), [*itertools.product([False, True], [0, 6])])
    def test_every_layer_has_its_own_part_of_the_noise(self, dueling, hidden):
        """Each number of the noise changes the values; and the head without noise is that of zero noise."""
        torch.manual_seed(0)
        head = QHead(4, 3, 1, hidden=hidden, dueling=dueling, noisy=True).double()
        layers = ([(4, 6), (6, 3)] if hidden else [(4, 3)]) + ([(4, 6), (6, 1)] if hidden else [(4, 1)]) * dueling
        assert head.noise_size == sum(map(sum, layers))
        x = torch.randn(64, 4, dtype=torch.float64)
        noise = torch.randn(head.noise_size, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(head(x, noise).square().sum(), noise)
        assert (gradient != 0).sum() == head.noise_size
        torch.testing.assert_close(head(x, torch.zeros_like(noise)), head(x, None))


class TestValues:
    def test_plain(self):
        network = QNetwork(VECTOR, spaces.Discrete(3), MLPConfig())
        assert network.values(torch.tensor([[[1.0], [2.0], [3.0]]])).tolist() == [[1.0, 2.0, 3.0]]

    def test_categorical(self):
        network = QNetwork(
            VECTOR, spaces.Discrete(2), MLPConfig(), distribution="categorical", numbers=3, value_range=(-10.0, 10.0)
        )
        assert network.support.tolist() == [-10.0, 0.0, 10.0]
        numbers = torch.log(torch.tensor([[[0.25, 0.25, 0.5], [0.7, 0.2, 0.1]]])) + 3.0
        torch.testing.assert_close(network.values(numbers), torch.tensor([[2.5, -6.0]]))

    def test_quantiles(self):
        network = QNetwork(VECTOR, spaces.Discrete(2), MLPConfig(), distribution="quantile", numbers=4)
        assert network.values(torch.tensor([[[1.0, 2.0, 3.0, 6.0], [-1.0, 0, 0, 0]]])).tolist() == [[3.0, -0.25]]


class TestActingInNumpy:
    CONFIGS = (
        MLPConfig(hidden=(32, 16)),
        MLPConfig(activation="relu", layer_norm=True),
        MLPConfig(hidden=(16,), layer_norm=True),
        MLPConfig(activation="relu"),
    )

    @pytest.mark.parametrize(("dueling", "hidden"), [*itertools.product([False, True], [0, 8])])
    @pytest.mark.parametrize("config", CONFIGS)
    def test_equals_torch_up_to_the_value_of_the_state(self, config, dueling, hidden):
        torch.manual_seed(0)
        network = QNetwork(
            VECTOR, spaces.Discrete(4), config, dueling=dueling, hidden=hidden, normalise_observation=True
        )
        with torch.no_grad():
            for parameter in network.parameters():  # biases and norms too
                parameter.add_(0.1 * torch.randn(parameter.shape))
        random = np.random.default_rng(0)
        network.encoder.learn_scale(random.normal(3, 2, (100, 6)).astype(np.float32))
        x, first = random.normal(3, 2, (64, 6)).astype(np.float32), np.zeros(64, bool)
        in_torch, mask, memory = network.preferences(x, (), first, None)
        assert not network.acts_in_numpy
        network.prepare_acting()
        assert network.acts_in_numpy
        in_numpy, *rest = network.preferences(x, (), first, None)
        assert [mask, memory] == rest == [None, ()]
        assert in_numpy.dtype == np.float32
        np.testing.assert_array_equal(in_numpy.argmax(axis=1), in_torch.argmax(axis=1))
        assert len(np.unique(in_torch.argmax(axis=1))) > 1
        difference = in_torch - in_numpy
        if dueling:  # the state's value less the mean advantage, the same for all actions
            assert abs(difference).max() > 1e-3
            difference = difference - difference[:, :1]
        np.testing.assert_allclose(difference, 0, atol=1e-5)

    def test_weights_that_move_in_place_are_seen_at_once(self):
        network = QNetwork(VECTOR, spaces.Discrete(3), MLPConfig(hidden=(8,), layer_norm=True))
        network.prepare_acting()
        x, first = observations(VECTOR), np.zeros(5, bool)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(0.5).add_(0.25)
            expected = numbers_of(network, x)[..., 0].numpy()
        np.testing.assert_allclose(network.preferences(x, (), first, None)[0], expected, atol=1e-6)

    @pytest.mark.parametrize(
        ("space", "config", "settings"),
        [
            (VECTOR, MLPConfig(activation="silu"), {}),
            (VECTOR, MLPConfig(hidden=(300,)), {}),
            (VECTOR, MLPConfig(), {"noisy": True}),
            (VECTOR, MLPConfig(), {"distribution": "quantile", "numbers": 5}),
            (GRID, SMALL, {}),
            (spaces.Dict({"x": VECTOR, "action_mask": spaces.MultiBinary(3)}), MLPConfig(), {}),
            (spaces.Discrete(4), MLPConfig(), {}),
        ],
    )
    def test_what_has_no_numpy_form_acts_in_torch(self, space, config, settings):
        network = QNetwork(space, spaces.Discrete(3), config, **settings)
        network.prepare_acting()
        assert not network.acts_in_numpy


HEADS = [
    {"distribution": distribution, "numbers": numbers, "dueling": dueling, "noisy": noisy, "hidden": hidden}
    for (distribution, numbers), dueling, noisy, hidden in itertools.product(
        [("none", 1), ("categorical", 5), ("quantile", 7)], [False, True], [False, True], [0, 8]
    )
]


@pytest.mark.parametrize("head", HEADS, ids=lambda head: "-".join(str(value) for value in head.values()))
class TestEveryHead:
    @pytest.mark.parametrize(("space", "config"), [(VECTOR, MLPConfig(hidden=(8,))), (GRID, SMALL)])
    def test_shapes_and_gradients(self, head, space, config):
        network = QNetwork(space, spaces.Discrete(3), config, value_range=(-1.0, 1.0), **head)
        noise = torch.randn(network.noise_size) if head["noisy"] else None
        numbers = numbers_of(network, observations(space), noise)
        assert numbers.shape == (5, 3, head["numbers"])
        assert network.values(numbers).shape == (5, 3)
        numbers.square().sum().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name

    @pytest.mark.parametrize("built_there", [False, True])
    def test_another_device(self, head, built_there):
        """The meta device computes nothing but refuses to mix devices, as a GPU would."""
        for space, config in ((VECTOR, MLPConfig(hidden=(8,), layer_norm=True)), (GRID, SMALL)):
            with torch.device("meta" if built_there else "cpu"):
                network = QNetwork(space, spaces.Discrete(3), config, value_range=(-1.0, 1.0), **head)
            network = network.to("meta")
            network.prepare_acting()
            assert not network.acts_in_numpy
            optimiser = torch.optim.Adam(network.parameters())
            encoded, _ = network.encoder.encode(torch.from_numpy(observations(space)).to("meta"))
            noise = torch.zeros(5, network.noise_size, device="meta") if head["noisy"] else None
            numbers, _ = network(encoded[None], (), torch.zeros(1, 5, device="meta").bool(), noise)
            values = network.values(numbers)
            (values.sum() + numbers.sum()).backward()
            optimiser.step()
            assert values.device.type == "meta"
            assert values.shape == (1, 5, 3)


def test_refusals():
    for space in (spaces.Box(-1, 1, (2,)), spaces.MultiDiscrete([2, 2]), spaces.MultiBinary(2)):
        with pytest.raises(ValueError, match=r"the actions are .*: Q-learning needs Discrete ones; PPO takes these"):
            QNetwork(VECTOR, space, MLPConfig())
    with pytest.raises(ValueError, match="--backbone cnn"):
        QNetwork(GRID, spaces.Discrete(2), MLPConfig())
    masked = spaces.Dict({"x": VECTOR, "action_mask": spaces.MultiBinary(5)})
    with pytest.raises(ValueError, match=r"must have the shape \(3,\)"):
        QNetwork(masked, spaces.Discrete(3), MLPConfig())


def test_dict_observations_without_a_mask_and_starts_elsewhere():
    network = QNetwork(spaces.Dict({"x": VECTOR, "k": spaces.Discrete(3)}), spaces.Discrete(2, start=4), MLPConfig())
    first = nn.init.normal_(network.backbone.layers[0].weight.detach())
    assert first.shape == (64, 9)
    preferences, mask, _ = network.preferences(
        {"x": observations(VECTOR), "k": np.array([0, 1, 2, 0, 1])}, (), np.zeros(5, bool), None
    )
    assert preferences.shape == (5, 2)
    assert mask is None
    assert network.actions.to_world(np.array([0, 1])).tolist() == [4, 5]
