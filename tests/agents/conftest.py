"""Agents on random experience, shared by the tests of PPO."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from keel.agents.ppo import PPO, PPOConfig
from keel.envs.protocol import Step
from keel.networks.backbone import MLPConfig

CPU = torch.device("cpu")
VECTOR = spaces.Box(-10, 10, (4,), np.float32)


@pytest.fixture
def make_agent():
    """Makes a small PPO with any settings."""
    return _make_agent


@pytest.fixture
def gather():
    """Fills an agent's rollout with random experience in which episodes end in both ways."""
    return _gather


def _make_agent(observation_space=VECTOR, action_space=None, *, num_envs=4, backbone=None, **settings):
    config = PPOConfig(**({"num_steps": 16, "minibatch_size": 32} | settings))
    return PPO(
        observation_space,
        action_space or spaces.Discrete(3),
        num_envs=num_envs,
        total_steps=10_000,
        config=config,
        backbone=backbone or MLPConfig(),
        seed=0,
        device=CPU,
    )


def _gather(agent, seed=0, steps=None):
    """Fill the agent's rollout with random experience in which episodes end in both ways."""
    random = np.random.default_rng(seed)
    batch, finals = agent.num_envs, []
    observation = random.normal(size=(batch, 4)).astype(np.float32)
    is_first = np.ones(batch, bool)
    memory = agent.initial_memory(batch)
    for _ in range(steps or agent.config.num_steps):
        decision = agent.act(observation, memory, is_first, explore=True)
        ends = random.choice(3, batch, p=[0.8, 0.1, 0.1])
        following, final = random.normal(size=(2, batch, 4)).astype(np.float32)
        step = Step(following, random.normal(size=batch), ends == 1, ends == 2, final, {})
        agent.observe(observation, decision, step)
        finals.append(final)
        observation, is_first, memory = following, ends > 0, decision.memory
    assert agent.rollout.full or steps
    return np.array(finals)
