"""Parallelised Q-learning (Gallici et al. 2024): lambda returns and layer norm instead of replay and target network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from keel.agents.agent import Decision, Memory, Metrics
from keel.agents.buffers import Rollout, check_minibatch_size, select
from keel.agents.checks import at_least, between, check_finite, positive
from keel.agents.dqn import td_loss
from keel.agents.exploration import Blocks, epsilon_greedy
from keel.agents.optimiser import FlatAdam, scheduled
from keel.agents.returns import explained_variance, lambda_returns
from keel.agents.schedule import Schedule
from keel.envs.protocol import Array, Observation, State, Step
from keel.envs.seeding import derive_seed, generator
from keel.networks.backbone import BackboneConfig
from keel.networks.q_network import QNetwork
from keel.networks.transfer import Transfer


@dataclass(frozen=True)
class PQNConfig:
    """Settings of PQN. One rollout is num_steps x num_envs steps; choose a backbone with layer norm."""

    num_steps: int = 32
    """Steps of each world between two updates."""
    epochs: int = 2
    """Passes over each rollout."""
    minibatch_size: int = 128
    """Steps per gradient step; it divides the rollout."""
    learning_rate: float = 5e-4
    learning_rate_schedule: Literal["constant", "linear"] = "linear"
    """`linear` falls to zero at the end of training."""
    gamma: float = 0.99
    """Discount per step."""
    lambda_: float = 0.65
    """How far returns look beyond the next estimate: 0 not at all, 1 to the end of the rollout."""
    epsilon: Schedule = Schedule(1.0, 0.05, 0.1)
    """How often an action is random; a fixed chance has the same start and end."""
    loss: Literal["huber", "mse"] = "mse"
    """Of the error; `huber` bends to a line at 1."""
    dueling: bool = False
    """Values and advantages in two streams (Wang et al. 2016)."""
    max_gradient_norm: float = 10.0
    adam_epsilon: float = 1e-5
    normalise_observation: bool = False
    """Scale observations by running statistics (vectors only)."""

    def __post_init__(self) -> None:
        at_least(1, num_steps=self.num_steps, epochs=self.epochs, minibatch_size=self.minibatch_size)
        positive(learning_rate=self.learning_rate, max_gradient_norm=self.max_gradient_norm)
        positive(adam_epsilon=self.adam_epsilon)
        between(0.0, 1.0, gamma=self.gamma, lambda_=self.lambda_)


class Part(NamedTuple):
    """T steps of N worlds, as learning takes them."""

    encoded: Tensor  # [T N ...]
    action: Tensor  # [T N]
    return_: Tensor  # [T N]
    is_first: Tensor  # [T N]
    memory: Memory  # before the first step, each [. N ...]


class PQN:
    """The agent: acts in many worlds at once, gathers a rollout, and fits its values to the rollout's lambda returns."""

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        num_envs: int,
        total_steps: int,
        config: PQNConfig,
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
            self.network = QNetwork(
                observation_space,
                action_space,
                backbone,
                dueling=config.dueling,
                normalise_observation=config.normalise_observation,
                transfer=transfer,
            ).to(device)
        self.optimiser = FlatAdam(self.network, config.learning_rate, config.max_gradient_norm, config.adam_epsilon)
        self.network.prepare_acting()
        self.rollout = Rollout(config.num_steps, num_envs)
        self.has_memory = bool(self.network.initial_memory(1))
        unit = config.num_steps if self.has_memory else 1
        check_minibatch_size(config.minibatch_size, config.num_steps, num_envs, unit, 1)
        width = 1 + self.network.actions.parameters
        self.acting_chance = Blocks(seed, "acting", lambda random, rows: random.random((rows, num_envs, width)))
        self.global_step = 0
        self.updates = 0

    @property
    def progress(self) -> float:
        return min(self.global_step / self.total_steps, 1.0)

    def initial_memory(self, batch: int) -> Memory:
        return tuple(part.to(self.device) for part in self.network.initial_memory(batch))

    def act(self, observation: Observation, memory: Memory, is_first: Array, *, explore: bool) -> Decision:
        preferences, mask, new_memory = self.network.preferences(observation, memory, is_first, None)
        chance = self.acting_chance.row(self.global_step // self.num_envs) if explore else None
        choice = epsilon_greedy(preferences, mask, chance, self.config.epsilon(self.progress))
        return Decision(self.network.actions.to_world(choice), new_memory, memory, is_first, {"choice": choice})

    def observe(self, observation: Observation, decision: Decision, step: Step) -> bool:
        self.rollout.add(observation, decision, step, decision.extras["choice"])
        self.global_step += self.num_envs
        return self.rollout.full

    def update(self) -> Metrics:
        config = self.config
        before = self.global_step - config.num_steps * self.num_envs  # so that the last update still learns
        rate = scheduled(config.learning_rate, config.learning_rate_schedule, min(before / self.total_steps, 1.0))
        self.optimiser.learning_rate = rate
        whole, fit = self._prepare()
        rows = torch.stack([self._learn(part) for part in self._minibatches(whole)])
        assert self.rollout.observation is not None
        self.network.encoder.learn_scale(select(self.rollout.observation, slice(config.num_steps)))
        self.rollout.clear()
        self.updates += 1
        names = ("loss/td", "value/mean", "value/target", "loss/gradient_norm")
        result = dict(zip(names, rows.mean(dim=0).tolist(), strict=True))
        result |= {
            "loss/explained_variance": fit,
            "policy/epsilon": config.epsilon(self.progress),
            "policy/learning_rate": rate,
            "policy/gradient_steps": float(len(rows)),
        }
        check_finite(result, self.updates, self.global_step)
        return result

    @torch.no_grad()
    def _prepare(self) -> tuple[Part, float]:
        """The whole rollout [T B], and how well the values fit already."""
        rollout = self.rollout
        assert rollout.sample is not None
        encoded, mask = self.network.encoder(rollout.observation)
        is_first = torch.from_numpy(rollout.is_first).to(self.device)
        values = self.network.values(self.network(encoded, rollout.memory, is_first)[0])
        best = self._greedy(values, mask)
        next_value = best[1:].copy()
        if rollout.cut is not None:
            times, rows, final, memory = rollout.cut
            next_value[times, rows] = self._estimate(final, memory)
        flags = (rollout.terminated, rollout.truncated)
        return_ = lambda_returns(
            rollout.reward, next_value, *flags, gamma=self.config.gamma, lambda_=self.config.lambda_
        )
        sample = torch.from_numpy(rollout.sample).to(self.device)
        chosen = values.gather(-1, sample.unsqueeze(-1))[:-1, :, 0].cpu().numpy()
        target = torch.from_numpy(return_).to(values)
        whole = Part(encoded[:-1], sample[:-1], target, is_first[:-1], rollout.memory)
        return whole, explained_variance(chosen, return_)

    def _estimate(self, final: Observation, memory: Memory) -> Array:
        """Values [N] of the final observations of truncated episodes, with the memory that led there."""
        encoded, mask = self.network.encoder(final)
        is_first = torch.zeros(1, len(encoded), dtype=torch.bool, device=self.device)
        numbers, _ = self.network(encoded.unsqueeze(0), memory, is_first)
        return self._greedy(self.network.values(numbers[0]), mask)

    @staticmethod
    def _greedy(values: Tensor, mask: Tensor | None) -> Array:
        """The best legal action's value [...] of values [... A]."""
        if mask is not None:  # where an episode ended, no action need be legal
            values = values.masked_fill(~mask & mask.any(dim=-1, keepdim=True), -torch.inf)
        return values.amax(dim=-1).cpu().numpy().astype(np.float64)

    def _minibatches(self, whole: Part) -> Iterator[Part]:
        """Shuffled parts: whole sequences where the network has memory, else single steps (T = 1)."""
        *batch, memory = whole
        if not self.has_memory:
            batch = [values.flatten(0, 1).unsqueeze(0) for values in batch]
        length, columns = batch[-1].shape
        random = generator(self.seed, "minibatches", self.updates)
        for _ in range(self.config.epochs):
            order = torch.from_numpy(random.permutation(columns)).to(self.device)
            for chosen in order.split(self.config.minibatch_size // length):
                encoded, action, return_, is_first = (values.index_select(1, chosen) for values in batch)
                yield Part(encoded, action, return_, is_first, tuple(one.index_select(1, chosen) for one in memory))

    def _learn(self, part: Part) -> Tensor:
        """One gradient step; returns [loss, mean value, mean target, gradient norm]."""
        numbers, _ = self.network(part.encoded, part.memory, part.is_first)
        value = self.network.values(numbers).gather(-1, part.action.unsqueeze(-1)).squeeze(-1)
        loss = td_loss(value, part.return_, self.config.loss).mean()
        norm = self.optimiser.step(loss)
        return torch.stack([loss.detach(), value.detach().mean(), part.return_.mean(), norm])

    def state_dict(self) -> State:
        """At an update boundary: the rollout is empty, and chance is a function of the seed and the counters."""
        return {
            "network": dict(self.network.state_dict()),
            "optimiser": self.optimiser.state_dict(),
            "global_step": self.global_step,
            "updates": self.updates,
        }

    def load_state_dict(self, state: State) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.global_step, self.updates = state["global_step"], state["updates"]
