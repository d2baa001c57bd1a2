"""Encoding observations, against Gymnasium's own flattening."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.spaces.utils import flatten as peer_flatten

from keel.networks.actions import ActionSpace
from keel.networks.actor_critic import ActorCritic
from keel.networks.backbone import FusionConfig, GRUConfig, LSTMConfig, MLPConfig, TransformerConfig
from keel.networks.build import build_backbone, default_backbone
from keel.networks.observations import Encoder

NESTED = spaces.Dict(
    {
        "inner": spaces.Dict({"choice": spaces.Discrete(3, start=2), "reals": spaces.Box(-1, 1, (2, 2), np.float32)}),
        "switches": spaces.MultiBinary(3),
        "choices": spaces.MultiDiscrete([2, 4]),
    }
)


def batch(space, count):
    """`count` samples as nested arrays with a batch axis, and the samples themselves."""
    space.seed(0)
    samples = [space.sample() for _ in range(count)]

    def stack(parts):
        if isinstance(parts[0], dict):
            return {key: stack([part[key] for part in parts]) for key in parts[0]}
        return np.stack([np.asarray(part) for part in parts])

    return stack(samples), samples


@pytest.mark.parametrize(
    "space",
    [spaces.Box(-1, 1, (4,), np.float32), spaces.Box(-1, 1, (), np.float32), spaces.Discrete(5), spaces.MultiBinary(4),
     spaces.MultiDiscrete([3, 2], start=[1, 0]), NESTED],
)  # fmt: skip
def test_vectors_equal_gymnasiums(space):
    stacked, samples = batch(space, 6)
    encoded, mask = Encoder(space, normalise=False)(stacked)
    assert mask is None
    np.testing.assert_allclose(encoded.numpy(), np.stack([peer_flatten(space, s) for s in samples]), rtol=1e-6)


def test_time_and_batch_axes_are_kept():
    stacked, _ = batch(NESTED, 6)
    folded = {key: _fold(value) for key, value in stacked.items()}
    encoder = Encoder(NESTED, normalise=False)
    assert torch.equal(encoder(folded)[0].flatten(0, 1), encoder(stacked)[0])


def _fold(value):
    if isinstance(value, dict):
        return {key: _fold(part) for key, part in value.items()}
    return value.reshape(2, 3, *value.shape[1:])


def test_masks_are_taken_out():
    space = spaces.Dict({"observation": spaces.Box(-1, 1, (3,)), "action_mask": spaces.MultiBinary(2)})
    encoder = Encoder(space, normalise=False)
    vector = np.ones((4, 3), np.float32)
    encoded, mask = encoder({"observation": vector, "action_mask": np.array([[1, 0]] * 4, np.int8)})
    assert encoder.shape == (3,)
    np.testing.assert_array_equal(encoded.numpy(), vector)
    assert mask is not None
    assert mask.tolist() == [[True, False]] * 4


def test_images_keep_their_bytes_and_get_channels_first():
    image = np.random.default_rng(0).integers(0, 256, (2, 5, 36, 40, 3), dtype=np.uint8)
    encoder = Encoder(spaces.Box(0, 255, (36, 40, 3), np.uint8), normalise=True)
    encoded, _ = encoder(image)
    assert encoder.shape == (3, 36, 40)
    assert encoded.dtype == torch.uint8
    np.testing.assert_array_equal(encoded.numpy(), image.transpose(0, 1, 4, 2, 3))
    assert Encoder(spaces.Box(0, 255, (4, 84, 84), np.uint8), normalise=False).shape == (4, 84, 84)


def test_normalised_vectors_follow_what_was_seen_and_nothing_else():
    random = np.random.default_rng(0)
    seen = random.normal([5.0, -100.0], [2.0, 30.0], size=(50, 40, 2)).astype(np.float32)
    encoder = Encoder(spaces.Box(-np.inf, np.inf, (2,)), normalise=True)
    np.testing.assert_allclose(encoder(seen)[0].numpy(), np.clip(seen, -10, 10), atol=1e-6)  # the identity at first
    encoder.learn_scale(seen[:20])
    encoder.learn_scale(seen[20:])
    flat = seen.reshape(-1, 2).astype(np.float64)
    expected = np.clip((seen - flat.mean(axis=0)) / flat.std(axis=0), -10, 10)
    np.testing.assert_allclose(encoder(seen)[0].numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(encoder.plain(seen[0]), encoder(seen[0])[0].numpy(), atol=1e-6)


def test_what_no_vector_holds_is_named():
    with pytest.raises(ValueError, match=r"observation is .*supported are images"):
        Encoder(spaces.Box(0, 1, (2, 3, 4, 5)), normalise=False)
    with pytest.raises(ValueError, match=r"observation\.inner\.words is Text.*supported are images"):
        Encoder(
            spaces.Dict({"inner": spaces.Dict({"words": spaces.Text(5)}), "x": spaces.Discrete(2)}), normalise=False
        )


MIXED = spaces.Dict(
    {
        "camera": spaces.Box(0, 255, (6, 8, 3), np.uint8),
        "inner": spaces.Dict({"words": spaces.MultiDiscrete([9] * 4, start=[1] * 4), "gear": spaces.Discrete(3)}),
        "lidar": spaces.Box(-5, 5, (5, 2), np.float32),
        "speed": spaces.Box(-5, 5, (2,), np.float32),
    }
)


class TestPartsApart:
    def test_every_part_can_be_found_again(self):
        encoder = Encoder(MIXED, normalise=False)
        assert [(part.name, part.kind, part.shape) for part in encoder.parts] == [
            ("observation.inner.gear", "vector", (3,)),
            ("observation.lidar", "sequence", (5, 2)),
            ("observation.speed", "vector", (2,)),
            ("observation.camera", "image", (3, 6, 8)),
            ("observation.inner.words", "tokens", (4,)),
        ]
        assert encoder.shape == (3 + 10 + 2 + 144 + 4,)
        stacked, _ = batch(MIXED, 6)
        encoded, mask = encoder(stacked)
        assert mask is None
        gear, lidar, speed, camera, words = encoded.split([part.size for part in encoder.parts], dim=-1)
        np.testing.assert_array_equal(gear.argmax(-1), stacked["inner"]["gear"])
        np.testing.assert_allclose(lidar.unflatten(-1, (5, 2)), stacked["lidar"])
        np.testing.assert_allclose(speed, stacked["speed"])
        np.testing.assert_allclose(
            camera.unflatten(-1, (3, 6, 8)) * 255, stacked["camera"].transpose(0, 3, 1, 2), rtol=1e-5
        )
        np.testing.assert_array_equal(words, stacked["inner"]["words"] - 1)
        folded = {key: _fold(value) for key, value in stacked.items()}
        assert torch.equal(encoder(folded)[0].flatten(0, 1), encoded)

    def test_running_statistics_leave_images_and_tokens_alone(self):
        encoder = Encoder(MIXED, normalise=True)
        stacked, _ = batch(MIXED, 50)
        plain, _ = Encoder(MIXED, normalise=False)(stacked)
        encoder.learn_scale(stacked)
        encoded, _ = encoder(stacked)
        np.testing.assert_allclose(encoded[:, :15].mean(0), 0, atol=1e-5)
        assert torch.equal(encoded[:, 15:], plain[:, 15:])

    def test_only_where_it_is_wanted_or_needed(self):
        assert Encoder(NESTED, normalise=False).parts == ()
        assert [part.kind for part in Encoder(NESTED, normalise=False, apart=True).parts] == [
            "vector", "vector", "sequence", "vector",
        ]  # fmt: skip
        assert Encoder(spaces.Box(0, 1, (8, 8, 3)), normalise=False, apart=True).parts == ()

    @pytest.mark.parametrize("combine", ["concatenate", "attend"])
    def test_fusion_sees_every_part(self, combine):
        """Each part alone, changed, changes the features; the agent that fuses them does not mix up rows."""
        torch.manual_seed(0)
        encoder = Encoder(MIXED, normalise=False)
        fusion = build_backbone(encoder.shape, FusionConfig(width=8, features=16, combine=combine), encoder.parts)
        stacked, _ = batch(MIXED, 6)
        x = encoder(stacked)[0].unsqueeze(0)
        is_first = torch.zeros(1, 6).bool()
        before = fusion(x, (), is_first)[0]
        start = 0
        for part in encoder.parts:
            changed = x.clone()
            columns = slice(start, start + part.size)
            changed[0, 2, columns] = changed[0, 3, columns].roll(1) + (part.kind != "tokens")
            after = fusion(changed, (), is_first)[0]
            assert not torch.allclose(after[0, 2], before[0, 2]), part.name
            torch.testing.assert_close(after[0, [0, 1, 3, 4, 5]], before[0, [0, 1, 3, 4, 5]])
            start += part.size

    @pytest.mark.parametrize("config", [FusionConfig(), GRUConfig(), LSTMConfig(), TransformerConfig()])
    def test_every_backbone_that_can_takes_them(self, config):
        network = ActorCritic(MIXED, spaces.Discrete(3), config, normalise_observation=True).to("meta")
        encoder = Encoder(MIXED, normalise=False)
        encoded = torch.zeros(4, 6, *encoder.shape, device="meta")
        is_first = torch.zeros(4, 6, device="meta").bool()
        distribution, value = network(encoded, None, network.initial_memory(6), is_first)
        (distribution.entropy() + value).sum().backward()
        torch.optim.Adam(network.parameters()).step()

    def test_the_mlp_refuses_an_image_among_them(self):
        with pytest.raises(ValueError, match=r"observation\.camera is an image: --backbone fusion"):
            ActorCritic(MIXED, spaces.Discrete(3), MLPConfig())
        assert default_backbone((5,), Encoder(MIXED, normalise=False).parts) == FusionConfig()


def test_an_observation_without_its_mask_is_refused():
    space = spaces.Dict({"observation": spaces.Box(-1, 1, (3,)), "action_mask": spaces.MultiBinary(2)})
    encoder = Encoder(space, normalise=False)
    vector = np.ones((4, 3), np.float32)
    for observation in (vector, {"observation": vector}):
        with pytest.raises(ValueError, match="no 'action_mask'"):
            encoder(observation)


@pytest.mark.parametrize(
    ("mask", "actions"),
    [
        (spaces.MultiBinary(5), spaces.Discrete(3)),
        (spaces.MultiBinary((2, 3)), spaces.MultiDiscrete([3, 3])),
        (spaces.Discrete(3), spaces.Discrete(3)),
    ],
)
def test_a_mask_that_does_not_fit_the_actions_is_refused(mask, actions):
    space = spaces.Dict({"x": spaces.Box(-1, 1, (3,)), "action_mask": mask})
    size = ActionSpace(actions).parameters
    with pytest.raises(ValueError, match=rf"action_mask in the observation is .*must have the shape \({size},\)"):
        ActorCritic(space, actions, MLPConfig())
    ActorCritic(spaces.Dict({**space.spaces, "action_mask": spaces.MultiBinary(size)}), actions, MLPConfig())
