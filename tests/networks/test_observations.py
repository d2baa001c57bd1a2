"""Encoding observations, against Gymnasium's own flattening."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.spaces.utils import flatten as peer_flatten

from keel.networks.actions import ActionSpace
from keel.networks.actor_critic import ActorCritic
from keel.networks.backbone import MLPConfig
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
    space = spaces.Dict({"camera": spaces.Box(0, 255, (64, 64, 3), np.uint8), "speed": spaces.Box(0, 1, (1,))})
    with pytest.raises(ValueError, match=r"observation\.camera is an image .*inside a Dict"):
        Encoder(space, normalise=False)
    with pytest.raises(ValueError, match=r"observation is .*supported are images"):
        Encoder(spaces.Box(0, 1, (2, 3, 4, 5)), normalise=False)


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
