"""What an agent thinks of one observation: the value it expects, and what it makes of its actions.

Looking changes nothing: it draws no chance, keeps no memory, and acts in no world.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from keel.agents.agent import Memory
from keel.agents.dqn import DQN
from keel.agents.ppo import PPO
from keel.agents.pqn import PQN
from keel.agents.r2d2 import R2D2, rescale_inverse
from keel.envs.protocol import Array, Observation
from keel.networks.actions import ActionSpace
from keel.networks.distributions import Bernoulli, Categorical, DiagonalGaussian, Distribution, MultiCategorical


class Insight(NamedTuple):
    """What an agent thinks in one moment. K: the choices of all parts of a discrete action, or the axes of a real one.

    Attributes:
        value: the discounted return that it expects from here on, or None where it has no such estimate.
        scale: in which units the value is, where they are not those of the rewards.
        kind: whether `numbers` are probabilities, action values, or the means of real actions; "" where it has none.
        numbers: [K]; means are in the world's units.
        spread: [K] standard deviations of means, or None.
        legal: [K] bool, or None where everything is.
    """

    value: float | None
    scale: str = ""
    kind: Literal["", "probability", "value", "mean"] = ""
    numbers: Array | None = None
    spread: Array | None = None
    legal: Array | None = None


Look: TypeAlias = Callable[[Observation, Memory, Array], Insight]  # (observation [1 ...], memory, is_first [1])


def find_look(agent: Any) -> Look | None:
    """How to look into this agent; None for those that show nothing, such as a world's own controller."""
    match agent:
        case PPO():
            return lambda observation, memory, is_first: look_into_ppo(agent, observation, memory, is_first)
        case DQN() | PQN() | R2D2():
            return lambda observation, memory, is_first: look_into_values(agent, observation, memory, is_first)
    if "keel.runners.sb3.agent" in sys.modules:  # an agent of it has imported it
        from keel.runners.sb3.agent import SB3Agent

        if isinstance(agent, SB3Agent):
            return lambda observation, memory, is_first: look_into_sb3(agent.network, observation)
    return None


@torch.no_grad()
def look_into_ppo(agent: PPO, observation: Observation, memory: Memory, is_first: Array) -> Insight:
    """The value, and the distribution from which training draws its actions."""
    network = agent.network
    encoded, mask = network.encoder(observation)
    first = torch.from_numpy(is_first).to(encoded.device).unsqueeze(0)
    mask = None if mask is None else mask.unsqueeze(0)
    distribution, value = network(encoded.unsqueeze(0), mask, memory, first)
    insight = of_distribution(distribution, network.actions)
    legal = None if mask is None else _numpy(mask[0, 0])
    scale = "scaled rewards" if agent.config.normalise_reward else ""
    return insight._replace(value=float(value[0, 0]), scale=scale, legal=legal)


@torch.no_grad()
def look_into_values(agent: DQN | PQN | R2D2, observation: Observation, memory: Memory, is_first: Array) -> Insight:
    """The action values, and the best legal one of them as the value."""
    network = agent.network
    encoded, mask = network.encoder(observation)
    first = torch.from_numpy(is_first).to(encoded.device).unsqueeze(0)
    numbers, _ = network(encoded.unsqueeze(0), memory, first)
    values = network.values(numbers[0])[0]
    if isinstance(agent, R2D2) and agent.config.rescale_value:
        values = rescale_inverse(values)
    clipped = isinstance(agent, DQN) and agent.config.clip_reward is not None
    legal = None if mask is None else _numpy(mask[0])
    return _of_values(_numpy(values), legal)._replace(scale="clipped rewards" if clipped else "")


@torch.no_grad()
def look_into_sb3(policy: Any, observation: Observation) -> Insight:
    """What a policy of Stable-Baselines3 offers: action values (DQN), value and distribution (PPO, A2C), or the mean
    action and what the critics think of it, the least of them (SAC, TD3)."""
    seen, _ = policy.obs_to_tensor(observation)
    if hasattr(policy, "q_net"):
        return _of_values(_numpy(policy.q_net(seen)[0]), None)
    if hasattr(policy, "predict_values"):
        value = float(policy.predict_values(seen)[0, 0])
        inner = policy.get_distribution(seen).distribution
        return _of_torch(inner, policy.action_space)._replace(value=value)
    if not hasattr(policy, "critic"):
        return Insight(None)
    action = policy.actor(seen, deterministic=True) if hasattr(policy.actor, "log_std") else policy.actor(seen)
    value = float(torch.cat(policy.critic(seen, action), dim=1).min())
    half = (policy.action_space.high - policy.action_space.low).ravel() / 2
    spread = None
    if hasattr(policy.actor, "log_std"):  # SAC squashes a Gaussian; its spread is what a standard deviation moves
        mean, log_std, _ = policy.actor.get_action_dist_params(seen)
        spread = _numpy((torch.tanh(mean + log_std.exp()) - torch.tanh(mean - log_std.exp()))[0]) / 2 * half
    mean = policy.unscale_action(_numpy(action[0]).reshape(policy.action_space.shape)).ravel()
    return Insight(value, "", "mean", mean, spread)


def of_distribution(distribution: Distribution, actions: ActionSpace) -> Insight:
    """A distribution over one action [1 1 ...], its real numbers in the world's units."""
    match distribution:
        case Categorical():
            numbers = _numpy(distribution.log_probs[0, 0].exp())
        case MultiCategorical():
            numbers = np.concatenate([_numpy(part.log_probs[0, 0].exp()) for part in distribution.parts])
        case Bernoulli():
            numbers = _numpy(distribution.logits[0, 0].sigmoid())
        case DiagonalGaussian():
            half, middle = np.ravel(actions.half_width), np.ravel(actions.middle)
            spread = np.broadcast_to(_numpy(distribution.log_std.exp()), half.shape) * half
            return Insight(None, "", "mean", _numpy(distribution.mean[0, 0]) * half + middle, spread)
        case _:
            return Insight(None)
    return Insight(None, "", "probability", numbers)


def _of_torch(distribution: Any, space: spaces.Space[Any]) -> Insight:
    """The same for distributions of torch over one action [1 ...], as Stable-Baselines3 keeps them."""
    match space:
        case spaces.Box():
            return Insight(None, "", "mean", _numpy(distribution.mean[0]), _numpy(distribution.stddev[0]))
        case spaces.MultiDiscrete():
            return Insight(None, "", "probability", np.concatenate([_numpy(part.probs[0]) for part in distribution]))
    return Insight(None, "", "probability", _numpy(distribution.probs[0]))


def _of_values(values: Array, legal: Array | None) -> Insight:
    possible = values if legal is None or not legal.any() else values[legal]
    return Insight(float(possible.max()), "", "value", values, legal=legal)


def _numpy(tensor: Tensor) -> Array:
    return tensor.detach().cpu().numpy().astype(np.float64 if tensor.is_floating_point() else bool)
