"""Proximal policy optimisation (Schulman et al. 2017): settings, loss, agent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from keel.agents.agent import Decision, Memory, Metrics
from keel.agents.buffers import Rollout, check_minibatch_size, select
from keel.agents.checks import at_least, between, check_finite, positive
from keel.agents.exploration import correlated
from keel.agents.optimiser import FlatAdam, scheduled
from keel.agents.returns import explained_variance, gae
from keel.agents.reward_scale import RewardScale
from keel.envs.protocol import Array, Observation, State, Step
from keel.envs.seeding import derive_seed, generator
from keel.networks.actor_critic import ActorCritic
from keel.networks.backbone import BackboneConfig
from keel.networks.transfer import Transfer


@dataclass(frozen=True)
class PPOConfig:
    """Settings of PPO. One rollout is num_steps x num_envs steps."""

    num_steps: int = 128
    """Steps of each world between two updates."""
    epochs: int = 4
    """Passes over each rollout."""
    minibatch_size: int = 256
    """Steps per gradient step; it divides the rollout."""
    learning_rate: float = 3e-4
    learning_rate_schedule: Literal["constant", "linear"] = "constant"
    """`linear` falls to zero at the end of training."""
    gamma: float = 0.99
    """Discount per step."""
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    """How far the probability ratio may move from 1 in one update."""
    clip_range_schedule: Literal["constant", "linear"] = "constant"
    clip_range_value: float | None = None
    """How far a value may move in one update; None: as far as it likes."""
    entropy_coefficient: float = 0.0
    value_coefficient: float = 0.5
    max_gradient_norm: float = 0.5
    target_kl: float | None = None
    """Stop an update where the approximate KL divergence passes 1.5 times this; None: never."""
    normalise_advantage: bool = True
    normalise_observation: bool = False
    """Scale observations by running statistics (vectors only)."""
    normalise_reward: bool = False
    """Scale rewards by the spread of the discounted return."""
    initial_log_std: float = 0.0
    """Of continuous actions, in units where [-1, 1] spans the bounds."""
    noise_correlation: float = 0.0
    """From one step's exploration noise to the next one's; above 0, continuous actions swing instead of trembling."""

    def __post_init__(self) -> None:
        at_least(1, num_steps=self.num_steps, epochs=self.epochs)
        at_least(2 if self.normalise_advantage else 1, minibatch_size=self.minibatch_size)
        positive(learning_rate=self.learning_rate, clip_range=self.clip_range)
        positive(max_gradient_norm=self.max_gradient_norm)
        between(0.0, 1.0, gamma=self.gamma, gae_lambda=self.gae_lambda)
        at_least(0.0, entropy_coefficient=self.entropy_coefficient, value_coefficient=self.value_coefficient)
        between(-20.0, 2.0, initial_log_std=self.initial_log_std)
        between(0.0, 0.999, noise_correlation=self.noise_correlation)
        if self.clip_range_value is not None:
            positive(clip_range_value=self.clip_range_value)
        if self.target_kl is not None:
            positive(target_kl=self.target_kl)


def ppo_loss(
    log_prob: Tensor,
    old_log_prob: Tensor,
    advantage: Tensor,
    entropy: Tensor,
    value: Tensor,
    old_value: Tensor,
    return_: Tensor,
    *,
    clip_range: float,
    clip_range_value: float | None,
    entropy_coefficient: float,
    value_coefficient: float,
) -> tuple[Tensor, Tensor]:
    """The clipped objective, to be minimised.

        ratio = pi(a|s) / pi_old(a|s)
        L = -mean(min(ratio * A, clip(ratio, 1 - eps, 1 + eps) * A)) - c_H mean(H) + c_V mean((V - R)^2)

    With `clip_range_value` the squared error is the larger of that of V and of V held within the range of the old one.

    Args: all tensors of one shape; advantages already normalised where that is wanted.

    Returns:
        the loss, and [policy loss, value loss, entropy, approximate KL, fraction clipped], detached.

    Source: Schulman et al. 2017, Proximal policy optimization algorithms, eq. 7 and 9; KL estimator: Schulman 2020,
        Approximating KL divergence (k3); value clipping as in the authors' code.
    """
    log_ratio = log_prob - old_log_prob
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    policy_loss = -torch.minimum(ratio * advantage, clipped * advantage).mean()
    squared_error = (value - return_).square()
    if clip_range_value is not None:
        held = old_value + (value - old_value).clamp(-clip_range_value, clip_range_value)
        squared_error = torch.maximum(squared_error, (held - return_).square())
    value_loss = squared_error.mean()
    mean_entropy = entropy.mean()
    loss = policy_loss + value_coefficient * value_loss
    if entropy_coefficient:  # otherwise its gradient, which is zero, need not be computed
        loss = loss - entropy_coefficient * mean_entropy
    with torch.no_grad():
        approximate_kl = (ratio - 1 - log_ratio).mean()
        fraction_clipped = (ratio != clipped).to(loss.dtype).mean()
        metrics = torch.stack([policy_loss, value_loss, mean_entropy, approximate_kl, fraction_clipped])
    return loss, metrics


class PPO:
    """The agent: acts, gathers a rollout, and improves the policy on it."""

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        num_envs: int,
        total_steps: int,
        config: PPOConfig,
        backbone: BackboneConfig,
        seed: int,
        device: torch.device,
        transfer: Transfer | None = None,
    ) -> None:
        self.config = config
        self.num_envs = num_envs
        self.total_steps = total_steps
        self.seed = seed
        self.device = device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "network"))
            self.network = ActorCritic(
                observation_space,
                action_space,
                backbone,
                normalise_observation=config.normalise_observation,
                initial_log_std=config.initial_log_std,
                transfer=transfer,
            ).to(device)
        self.optimiser = FlatAdam(self.network, config.learning_rate, config.max_gradient_norm)
        self.network.prepare_acting()
        self.rollout = Rollout(config.num_steps, num_envs)
        self.reward_scale = RewardScale(num_envs, config.gamma) if config.normalise_reward else None
        self.has_memory = bool(self.network.initial_memory(1))
        self.global_step = 0
        self.updates = 0
        self.noise: Array | None = None
        if config.noise_correlation and not self.network.actions.continuous:
            raise ValueError(
                f"noise_correlation is for continuous actions, and these are {action_space}: leave it at 0"
            )
        unit = config.num_steps if self.has_memory else 1
        check_minibatch_size(
            config.minibatch_size, config.num_steps, num_envs, unit, 2 if config.normalise_advantage else 1
        )

    def initial_memory(self, batch: int) -> Memory:
        return tuple(part.to(self.device) for part in self.network.initial_memory(batch))

    def act(self, observation: Observation, memory: Memory, is_first: Array, *, explore: bool) -> Decision:
        noise = self._next_noise() if explore else None
        sample, new_memory = self.network.act(observation, memory, is_first, noise)
        return Decision(self.network.actions.to_world(sample), new_memory, memory, is_first, {"sample": sample})

    def _next_noise(self) -> Array:
        """The noise [B P] of the rollout's next step; all of a rollout's is drawn at its start."""
        if self.noise is None:
            random = generator(self.seed, "acting", self.updates)
            noise = self.network.actions.draw_noise(random, (self.config.num_steps, self.num_envs))
            self.noise = correlated(noise, self.config.noise_correlation)
        return self.noise[self.rollout.length]

    def observe(self, observation: Observation, decision: Decision, step: Step) -> bool:
        self.rollout.add(observation, decision, step, decision.extras["sample"])
        self.global_step += self.num_envs
        return self.rollout.full

    def update(self) -> Metrics:
        config = self.config
        before = self.global_step - config.num_steps * self.num_envs  # so that the last update still learns
        progress = min(before / self.total_steps, 1.0)
        learning_rate = scheduled(config.learning_rate, config.learning_rate_schedule, progress)
        clip_range = scheduled(config.clip_range, config.clip_range_schedule, progress)
        self.optimiser.learning_rate = learning_rate
        batch, memory, fit = self._prepare()
        rows: list[Tensor] = []
        for part, part_memory in self._minibatches(batch, memory):
            metrics = self._learn(part, part_memory, clip_range)
            if metrics is None:
                break
            rows.append(metrics)
        self.network.encoder.learn_scale(self._seen())
        self.rollout.clear()
        self.noise = None
        self.updates += 1
        names = ("loss/policy", "loss/value", "policy/entropy", "policy/approximate_kl", "policy/fraction_clipped")
        names = (*names, "loss/gradient_norm")
        result = dict(zip(names, torch.stack(rows).mean(dim=0).tolist(), strict=True)) if rows else {}
        result |= {
            "loss/explained_variance": fit,
            "policy/learning_rate": learning_rate,
            "policy/clip_range": clip_range,
        }
        result["policy/gradient_steps"] = float(len(rows))
        check_finite(result, self.updates, self.global_step)
        return result

    @torch.no_grad()
    def _prepare(self) -> tuple[dict[str, Tensor], Memory, float]:
        """The rollout with old values, log-probabilities, advantages and returns, as tensors [T B ...]."""
        rollout, config, steps = self.rollout, self.config, self.config.num_steps
        assert rollout.sample is not None
        encoded, mask = self.network.encoder(rollout.observation)
        is_first = torch.from_numpy(rollout.is_first).to(self.device)
        sample = torch.from_numpy(rollout.sample).to(self.device)
        distribution, values = self.network(encoded, mask, rollout.memory, is_first)
        value = values.cpu().numpy().astype(np.float64)
        next_value = value[1:].copy()
        if rollout.cut is not None:
            times, rows, final, memory = rollout.cut
            next_value[times, rows] = self._estimate(final, memory)
        done = rollout.terminated | rollout.truncated
        reward = self.reward_scale(rollout.reward, done) if self.reward_scale else rollout.reward
        flags = (rollout.terminated, rollout.truncated)
        advantage = gae(reward, value[:-1], next_value, *flags, gamma=config.gamma, gae_lambda=config.gae_lambda)
        return_ = advantage + value[:-1]
        batch = {
            "encoded": encoded[:steps],
            "is_first": is_first[:steps],
            "sample": sample[:steps],
            "old_log_prob": distribution.log_prob(sample)[:steps],
            "old_value": values[:steps],
            "advantage": torch.from_numpy(advantage).to(values),
            "return_": torch.from_numpy(return_).to(values),
        }
        if mask is not None:
            batch["mask"] = mask[:steps]
        return batch, rollout.memory, explained_variance(value[:-1], return_)

    def _estimate(self, final: Observation, memory: Memory) -> Array:
        """Values [N] of the final observations of truncated episodes, with the memory that led there."""
        encoded, _ = self.network.encoder(final)
        is_first = torch.zeros(1, len(encoded), dtype=torch.bool, device=self.device)
        return self.network.estimate(encoded.unsqueeze(0), memory, is_first)[0].cpu().numpy()

    def _seen(self) -> Any:
        """The rollout's own observations [T B ...], without the one after it."""
        assert self.rollout.observation is not None
        return select(self.rollout.observation, slice(self.config.num_steps))

    def _minibatches(self, batch: dict[str, Tensor], memory: Memory) -> Iterator[tuple[dict[str, Tensor], Memory]]:
        """Shuffled parts [T N ...]: whole sequences where the network has memory, else single steps (T = 1)."""
        if not self.has_memory:
            batch = {name: part.flatten(0, 1).unsqueeze(0) for name, part in batch.items()}
        length, columns = batch["is_first"].shape
        width = self.config.minibatch_size // length
        random = generator(self.seed, "minibatches", self.updates)
        for _ in range(self.config.epochs):
            order = torch.from_numpy(random.permutation(columns)).to(self.device)
            shuffled = {name: part.index_select(1, order) for name, part in batch.items()}
            shuffled_memory = tuple(part.index_select(1, order) for part in memory)
            for start in range(0, columns, width):
                part = {name: values.narrow(1, start, width) for name, values in shuffled.items()}
                yield part, tuple(values.narrow(1, start, width) for values in shuffled_memory)

    def _learn(self, part: dict[str, Tensor], memory: Memory, clip_range: float) -> Tensor | None:
        """One gradient step; None where the KL limit was passed instead."""
        config = self.config
        distribution, value = self.network(part["encoded"], part.get("mask"), memory, part["is_first"])
        advantage = part["advantage"]
        if config.normalise_advantage:
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        loss, metrics = ppo_loss(
            distribution.log_prob(part["sample"]),
            part["old_log_prob"],
            advantage,
            distribution.entropy(),
            value,
            part["old_value"],
            part["return_"],
            clip_range=clip_range,
            clip_range_value=config.clip_range_value,
            entropy_coefficient=config.entropy_coefficient,
            value_coefficient=config.value_coefficient,
        )
        if config.target_kl is not None and float(metrics[3]) > 1.5 * config.target_kl:
            return None
        norm = self.optimiser.step(loss)
        return torch.cat([metrics, norm.reshape(1)])

    def state_dict(self) -> State:
        """At an update boundary: the rollout is empty, and chance is a function of the seed and the counters."""
        return {
            "network": dict(self.network.state_dict()),
            "optimiser": self.optimiser.state_dict(),
            "reward_scale": None if self.reward_scale is None else self.reward_scale.state_dict(),
            "global_step": self.global_step,
            "updates": self.updates,
        }

    def load_state_dict(self, state: State) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.reward_scale is not None:
            self.reward_scale.load_state_dict(state["reward_scale"])
        self.global_step, self.updates = state["global_step"], state["updates"]
