"""Backbones that begin with weights from elsewhere, and frozen ones."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from keel.networks.actor_critic import ActorCritic
from keel.networks.backbone import CNNConfig, GRUConfig, MLPConfig
from keel.networks.build import build_backbone
from keel.networks.mlp import MLP
from keel.networks.q_network import QNetwork
from keel.networks.transfer import Transfer

IMAGE = spaces.Box(0, 255, (12, 12, 1), np.uint8)
CNN = CNNConfig(variant="small", channels=(4,), features=8)
ACTIONS = spaces.Discrete(3)


def donor(config=CNN, shape=(1, 12, 12), seed=5):
    torch.manual_seed(seed)
    return build_backbone(shape, config)


def images(*axes):
    return np.random.default_rng(0).integers(0, 256, (*axes, 12, 12, 1), np.uint8)


def same(module, other):
    mine, theirs = module.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_actor_and_critic_begin_with_the_weights_and_learn():
    backbone = donor()
    for shared in (True, False):
        config = CNNConfig(variant="small", channels=(4,), features=8, shared=shared)
        network = ActorCritic(IMAGE, ACTIONS, config, transfer=Transfer(backbone.state_dict(), freeze=False))
        assert same(network.actor, backbone)
        assert network.critic is None or same(network.critic, backbone)
        assert all(parameter.requires_grad for parameter in network.parameters())
    q = QNetwork(IMAGE, ACTIONS, CNN, transfer=Transfer(backbone.state_dict(), freeze=False))
    assert same(q.backbone, backbone)


@pytest.mark.parametrize("kind", [ActorCritic, QNetwork])
def test_a_frozen_backbone_is_part_of_the_encoder(kind):
    backbone = donor()
    network = kind(IMAGE, ACTIONS, CNN, transfer=Transfer(backbone.state_dict(), freeze=True))
    assert same(network.encoder.backbone, backbone)
    trained = network.actor if kind is ActorCritic else network.backbone
    assert isinstance(trained, MLP)
    assert network.encoder.shape == (8,)
    x = images(3, 5)
    features, mask = network.encoder(x)
    assert mask is None
    assert not features.requires_grad
    planes = torch.from_numpy(x.transpose(0, 1, 4, 2, 3))
    torch.testing.assert_close(features, backbone(planes, (), torch.zeros(3, 5).bool())[0].detach())
    torch.testing.assert_close(network.encoder(x[1])[0], features[1])
    frozen = {id(p) for p in network.encoder.parameters()}
    assert {id(p) for p in network.parameters() if p.requires_grad} == {id(p) for p in network.parameters()} - frozen


def test_many_rows_go_through_in_parts(monkeypatch):
    network = ActorCritic(IMAGE, ACTIONS, CNN, transfer=Transfer(None, freeze=True))
    x = images(4, 5)
    whole, _ = network.encoder(x)
    seen = []
    backbone = network.encoder.backbone
    monkeypatch.setattr("keel.networks.transfer.MOST_ROWS", 7)
    backbone.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape[1]))
    torch.testing.assert_close(network.encoder(x)[0], whole)
    assert seen == [7, 7, 6]


def test_masks_pass_by():
    space = spaces.Dict({"observation": IMAGE, "action_mask": spaces.MultiBinary(3)})
    network = ActorCritic(space, ACTIONS, CNN, transfer=Transfer(None, freeze=True))
    legal = np.array([[1, 0, 1]] * 4, np.int8)
    features, mask = network.encoder({"observation": images(4), "action_mask": legal})
    assert features.shape == (4, 8)
    np.testing.assert_array_equal(mask, legal.astype(bool))


def test_on_another_device():
    network = ActorCritic(IMAGE, ACTIONS, CNN, transfer=Transfer(None, freeze=True)).to("meta")
    encoded, mask = network.encoder.encode(torch.zeros(2, 3, 12, 12, 1, dtype=torch.uint8, device="meta"))
    distribution, value = network(encoded, mask, (), torch.zeros(2, 3, device="meta").bool())
    (distribution.entropy() + value).sum().backward()
    torch.optim.Adam([p for p in network.parameters() if p.requires_grad]).step()


def test_what_does_not_fit_is_refused():
    other = Transfer(donor(CNNConfig(variant="small", channels=(4,), features=9)).state_dict(), freeze=False)
    with pytest.raises(ValueError, match=r"project\.weight is \[9, 400\], and here it is \[8, 400\]"):
        ActorCritic(IMAGE, ACTIONS, CNN, transfer=other)
    mlp = Transfer(donor(MLPConfig(), (3,)).state_dict(), freeze=True)
    with pytest.raises(ValueError, match=r"does not fit: its .* is missing, and here it is"):
        ActorCritic(IMAGE, ACTIONS, CNN, transfer=mlp)
    vector = spaces.Box(-1, 1, (3,))
    with pytest.raises(ValueError, match="freeze is for backbones without memory"):
        ActorCritic(vector, ACTIONS, GRUConfig(), transfer=Transfer(None, freeze=True))
    with pytest.raises(ValueError, match="normalise_observation changes what a frozen backbone sees"):
        ActorCritic(vector, ACTIONS, MLPConfig(), normalise_observation=True, transfer=Transfer(None, freeze=True))
