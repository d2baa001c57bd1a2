"""Agents on random experience, shared by the tests of PPO, DQN and PQN."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from keel.agents.dqn import DQN, DQNConfig
from keel.agents.ppo import PPO, PPOConfig
from keel.agents.pqn import PQN, PQNConfig
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


@pytest.fixture
def make_dqn():
    """Makes a small DQN with any settings."""
    return _make_dqn


@pytest.fixture
def make_pqn():
    """Makes a small PQN with any settings."""
    return _make_pqn


@pytest.fixture
def play():
    """Runs an agent through steps whose every number is a function of the step: see `_play`."""
    return _play


def _make_dqn(
    observation_space=VECTOR,
    action_space=None,
    *,
    num_envs=4,
    total_steps=10_000,
    seed=0,
    backbone=None,
    device=CPU,
    frames=None,
    **settings,
):
    common = {"learning_starts": 40, "batch_size": 16, "replay_capacity": 400, "report_every": 100, "target_every": 5}
    return DQN(
        observation_space,
        action_space or spaces.Discrete(3),
        num_envs=num_envs,
        total_steps=total_steps,
        config=DQNConfig(**(common | settings)),
        backbone=backbone or MLPConfig(hidden=(16,), activation="relu"),
        seed=seed,
        device=device,
        frames=frames,
    )


def _make_pqn(
    observation_space=VECTOR,
    action_space=None,
    *,
    num_envs=4,
    total_steps=10_000,
    seed=0,
    backbone=None,
    device=CPU,
    **settings,
):
    return PQN(
        observation_space,
        action_space or spaces.Discrete(3),
        num_envs=num_envs,
        total_steps=total_steps,
        config=PQNConfig(**({"num_steps": 8, "minibatch_size": 16} | settings)),
        backbone=backbone or MLPConfig(hidden=(16,), activation="relu", layer_norm=True),
        seed=seed,
        device=device,
    )


def _play(agent, first, last, *, look=None, seed=0):
    """The actions and the rows of metrics of the steps `first` to `last` of all worlds, updates wherever they are due.

    Observations, rewards and ends of a step depend on its number alone, so that a run can be taken up anywhere.

    Args: look: makes what the agent sees of random numbers [B 4].
    """
    look = look or (lambda numbers: numbers)

    def chance(t):
        random = np.random.default_rng([seed, t])
        numbers, final = random.normal(size=(2, agent.num_envs, 4)).astype(np.float32)
        return numbers, final, random.normal(size=agent.num_envs), random.choice(3, agent.num_envs, p=[0.8, 0.1, 0.1])

    actions, rows = [], []
    is_first = np.ones(agent.num_envs, bool) if first == 0 else chance(first - 1)[3] > 0
    for t in range(first, last):
        numbers, final, reward, ends = chance(t)
        observation = look(numbers)
        decision = agent.act(observation, (), is_first, explore=True)
        step = Step(look(chance(t + 1)[0]), reward, ends == 1, ends == 2, look(final) if ends.any() else None, {})
        if agent.observe(observation, decision, step) and (metrics := agent.update()):
            rows.append(metrics)
        actions.append(decision.action)
        is_first = ends > 0
    return np.array(actions), rows
