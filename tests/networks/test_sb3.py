"""Keel's backbones as features extractors of Stable-Baselines3: the same features as Keel's own modules give."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecTransposeImage

from keel.networks.build import build_backbone
from keel.networks.observations import Encoder
from keel.networks.sb3 import KeelExtractor, read_backbone

MLP = {"kind": "mlp", "hidden": [8]}
SMALL_CNN = {"kind": "cnn", "variant": "small", "channels": [4], "features": 6}
PICTURE_LAST = spaces.Box(0, 255, (9, 9, 3), np.uint8)
PICTURE_FIRST = spaces.Box(0, 255, (4, 9, 9), np.uint8)


def policy_for(space, backbone):
    """A policy as Stable-Baselines3 would build it over its own view of the space."""
    return ActorCriticPolicy(
        space,
        spaces.Discrete(2),
        lambda _: 1e-3,
        net_arch=[],
        features_extractor_class=KeelExtractor,
        features_extractor_kwargs=json.loads(json.dumps({"backbone": backbone})),
    )


def features_in_sb3(policy, observation):
    tensors, _ = policy.obs_to_tensor(observation)
    with torch.no_grad():
        return policy.extract_features(tensors)


def batch_of(space, count=5):
    rows = [space.sample() for _ in range(count)]
    if isinstance(space, spaces.Dict):
        return {key: np.stack([row[key] for row in rows]) for key in space}
    return np.stack(rows)


@pytest.mark.parametrize(
    ("space", "backbone"),
    [
        (spaces.Box(-1, 1, (3,), np.float32), MLP),
        (spaces.Box(-1, 1, (2, 3), np.float32), MLP),
        (spaces.Box(0, 255, (5,), np.uint8), MLP),
        (spaces.Discrete(4), MLP),
        (spaces.MultiDiscrete([2, 3, 4]), MLP),
        (spaces.MultiBinary(6), MLP),
        (spaces.Dict({"place": spaces.Box(-1, 1, (3,), np.float32), "kind": spaces.Discrete(4)}), MLP),
        (spaces.Dict({"only": PICTURE_FIRST}), SMALL_CNN),
        (PICTURE_FIRST, SMALL_CNN),
        (spaces.Box(0, 7, (4, 9, 9), np.uint8), SMALL_CNN),  # bytes that Stable-Baselines3 does not scale
        (spaces.Box(0, 1, (9, 9, 4), bool), SMALL_CNN),
        (spaces.Box(0, 1, (1, 9, 9), np.float32), SMALL_CNN),
        (PICTURE_FIRST, {"kind": "board", "blocks": 1, "channels": 4, "features": 6}),
        (
            spaces.Dict({"picture": PICTURE_FIRST, "place": spaces.Box(-1, 1, (3,), np.float32)}),
            {"kind": "fusion", "width": 8, "features": 6},
        ),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else None,
)
def test_features_equal_those_of_keels_own_modules(space, backbone):
    space.seed(3)
    policy = policy_for(space, backbone)
    encoder = Encoder(space, normalise=False, apart=backbone["kind"] == "fusion")
    module = build_backbone(encoder.shape, read_backbone(backbone), encoder.parts)
    module.load_state_dict(policy.features_extractor.backbone.state_dict())
    observation = batch_of(space)
    with torch.no_grad():
        expected, _ = module(encoder(observation)[0].unsqueeze(0), (), torch.ones(1, 5, dtype=torch.bool))
    found = features_in_sb3(policy, observation)
    assert policy.features_dim == module.features
    assert torch.equal(found, expected[0])
    assert found.std(dim=0).max() > 0  # it looked at the observations


def test_pictures_whose_channels_come_last_are_seen_alike():
    """Stable-Baselines3 turns them before its policy, and Keel in its encoder."""
    PICTURE_LAST.seed(4)
    policy = policy_for(VecTransposeImage.transpose_space(PICTURE_LAST), SMALL_CNN)
    encoder = Encoder(PICTURE_LAST, normalise=False)
    module = build_backbone(encoder.shape, read_backbone(SMALL_CNN))
    module.load_state_dict(policy.features_extractor.backbone.state_dict())
    observation = batch_of(PICTURE_LAST)
    with torch.no_grad():
        expected, _ = module(encoder(observation)[0].unsqueeze(0), (), torch.ones(1, 5, dtype=torch.bool))
    assert torch.equal(features_in_sb3(policy, observation), expected[0])


@pytest.mark.parametrize("kind", ["lstm", "gru", "transformer"])
def test_a_backbone_with_memory_runs_along_the_frames(kind):
    """As if it had seen the frames one after the other, from an empty memory."""
    space = spaces.Box(-1, 1, (4, 3), np.float32)
    space.seed(5)
    policy = policy_for(space, {"kind": kind, "width": 8})
    observation = batch_of(space)
    backbone = policy.features_extractor.backbone
    memory = backbone.initial_state(5)
    features = torch.empty(0)
    with torch.no_grad():
        for frame in range(4):
            first = torch.full((1, 5), frame == 0)
            features, memory = backbone(torch.from_numpy(observation[:, frame]).unsqueeze(0), memory, first)
    found = features_in_sb3(policy, observation)
    torch.testing.assert_close(found, features[0], rtol=1e-5, atol=1e-6)
    earlier = observation.copy()
    earlier[:, 0] = -earlier[:, 0]
    assert not torch.equal(features_in_sb3(policy, earlier), found)  # the oldest frame counts


def test_gradients_reach_the_backbone():
    policy = policy_for(spaces.Box(-1, 1, (3,), np.float32), MLP)
    value, _, _ = policy.evaluate_actions(torch.ones(2, 3), torch.zeros(2, dtype=torch.long))
    value.sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in policy.features_extractor.parameters())


NUMBERS = spaces.Box(-1, 1, (3,), np.float32)


@pytest.mark.parametrize(
    ("space", "backbone", "message"),
    [
        (NUMBERS, {"kind": "mpl"}, r"backbone.kind is 'mpl'; there are: mlp, cnn"),
        (NUMBERS, {"hidden": [8]}, r"backbone.kind is None"),
        (NUMBERS, {"kind": "mlp", "hiden": [8]}, r"backbone.hiden is not a setting of mlp"),
        (NUMBERS, {"kind": "mlp", "hidden": [0]}, r"backbone.hidden is \(0,\)"),
        (NUMBERS, {"kind": "lstm"}, r"the lstm backbone remembers .* no stack of frames \[k F\]"),
        (PICTURE_FIRST, {"kind": "gru"}, r"the gru backbone remembers"),
        (NUMBERS, {"kind": "cnn"}, r"the cnn backbone takes images"),
        (spaces.Discrete(3, start=1), MLP, r"counted from 0"),
        (spaces.MultiDiscrete([3, 3], start=[0, 1]), MLP, r"counted from 0"),
        (spaces.Dict({"a": spaces.Dict({"b": NUMBERS})}), MLP, r"observation.a is a Dict inside a Dict"),
        (
            spaces.Dict({"observation": NUMBERS, "action_mask": spaces.MultiBinary(2)}),
            MLP,
            r"'action_mask', and the algorithms of Stable-Baselines3 know no illegal actions",
        ),
    ],
)
def test_what_does_not_fit_is_refused(space, backbone, message):
    with pytest.raises(ValueError, match=message):
        KeelExtractor(space, backbone)
