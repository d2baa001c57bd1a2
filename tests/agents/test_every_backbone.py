"""Every backbone with every agent: one update that changes the weights, with masks, and acting that obeys them."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from keel.agents.dqn import DQN, DQNConfig
from keel.agents.ppo import PPO, PPOConfig
from keel.agents.pqn import PQN, PQNConfig
from keel.agents.r2d2 import R2D2, R2D2Config
from keel.envs.protocol import Step
from keel.networks.backbone import BACKBONES

CPU = torch.device("cpu")
VECTOR = spaces.Box(-1, 1, (5,), np.float32)
GRID = spaces.Box(0, 1, (7, 7, 3), np.bool_)
MIXED = spaces.Dict({"grid": GRID, "vector": VECTOR, "words": spaces.MultiDiscrete([6] * 3)})
SPACES = {"vector": VECTOR, "grid": GRID, "mixed": MIXED}
FITTING = {
    "mlp": ("vector",),
    "cnn": ("grid",),
    "board": ("grid",),
    "fusion": ("vector", "mixed"),
    "gru": ("vector", "grid", "mixed"),
    "lstm": ("vector", "grid", "mixed"),
    "transformer": ("vector", "grid", "mixed"),
}
SMALL = {
    "cnn": {"variant": "small", "channels": (4,), "features": 8},
    "board": {"blocks": 1, "channels": 4, "squeeze": 2, "features": 8},
    "fusion": {"width": 8, "features": 8, "combine": "attend"},
    "gru": {"width": 8},
    "lstm": {"width": 8},
    "transformer": {"width": 8, "layers": 1, "heads": 2, "window": 4},
}
DQN_SETTINGS = {"learning_starts": 64, "report_every": 16, "batch_size": 8}
AGENTS = {
    "ppo": (PPO, PPOConfig(num_steps=16, minibatch_size=32, epochs=2)),
    "dqn": (DQN, DQNConfig(**DQN_SETTINGS)),
    "rainbow": (DQN, DQNConfig(**DQN_SETTINGS, prioritised=True, distribution="categorical", noisy=True)),
    "pqn": (PQN, PQNConfig(num_steps=16, minibatch_size=32)),
    "r2d2": (R2D2, R2D2Config(**DQN_SETTINGS, burn_in=2, length=8, n_step=2, replay_capacity=1_000)),
}
WORLDS, ACTIONS = 4, 3


def with_mask(space):
    parts = dict(space.spaces) if isinstance(space, spaces.Dict) else {"observation": space}
    return spaces.Dict({**parts, "action_mask": spaces.MultiBinary(ACTIONS)})


def draw(space, random):
    """Observations of WORLDS worlds, each with one or two legal actions."""
    parts = {}
    for key, part in space.items():
        samples = []
        for _ in range(WORLDS):
            part.seed(int(random.integers(1 << 30)))
            samples.append(part.sample())
        parts[key] = np.stack(samples)
    mask = np.ones((WORLDS, ACTIONS), np.int8)
    mask[np.arange(WORLDS), random.integers(ACTIONS, size=WORLDS)] = 0
    return parts | {"action_mask": mask}


def experience(agent, space, steps):
    """Random steps with ends of both kinds; returns how often an update changed the weights."""
    random = np.random.default_rng(0)
    observation, memory, is_first = draw(space, random), agent.initial_memory(WORLDS), np.ones(WORLDS, bool)
    changed = 0
    for _ in range(steps):
        decision = agent.act(observation, memory, is_first, explore=True)
        assert observation["action_mask"][np.arange(WORLDS), decision.action].all()
        ends = random.random((2, WORLDS)) < 0.1
        following, final = draw(space, random), draw(space, random)
        step = Step(following, random.normal(size=WORLDS), ends[0], ends[1] & ~ends[0], final, {})
        if agent.observe(observation, decision, step):
            before = agent.optimiser.vector.clone()
            agent.update()
            changed += not torch.equal(before, agent.optimiser.vector)
            assert torch.isfinite(agent.optimiser.vector).all()
        observation, memory, is_first = following, decision.memory, ends[0] | ends[1]
    return changed


def make(agent, kind, space):
    algorithm, config = AGENTS[agent]
    backbone = BACKBONES[kind](**SMALL.get(kind, {}))
    common = {"num_envs": WORLDS, "total_steps": 10_000, "seed": 0, "device": CPU}
    return algorithm(space, spaces.Discrete(ACTIONS), config=config, backbone=backbone, **common)


PAIRS = [(agent, kind, name) for agent in AGENTS for kind, names in FITTING.items() for name in names]


def test_no_backbone_is_left_out():
    assert FITTING.keys() == BACKBONES.keys()


@pytest.mark.parametrize(("agent", "kind", "name"), PAIRS)
def test_one_update(agent, kind, name):
    space = with_mask(SPACES[name])
    if agent in ("dqn", "rainbow") and kind in ("gru", "lstm", "transformer"):
        with pytest.raises(ValueError, match="this backbone has memory: r2d2 and ppo take it"):
            make(agent, kind, space)
        return
    assert experience(make(agent, kind, space), space, 40) > 0


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_first_ratios_are_one_with_masks_and_memory_across_rollouts(kind, monkeypatch):
    """PPO learns with the very log-probabilities that acted, whatever began or ended in between."""
    space = with_mask(VECTOR)
    agent = make("ppo", kind, space)
    seen = []
    learn = agent._learn

    def spy(part, memory, clip_range):
        if agent.optimiser.steps == seen_at[-1]:
            distribution, _ = agent.network(part["encoded"], part["mask"], memory, part["is_first"])
            seen.append((distribution.log_prob(part["sample"]) - part["old_log_prob"]).abs().max().item())
        return learn(part, memory, clip_range)

    update = agent.update
    seen_at = [0]

    def remember_where():
        seen_at.append(agent.optimiser.steps)
        return update()

    monkeypatch.setattr(agent, "_learn", spy)
    monkeypatch.setattr(agent, "update", remember_where)
    assert experience(agent, space, 48) == 3
    assert len(seen) == 3
    assert max(seen) < 1e-5
