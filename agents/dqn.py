"""Deep Q-learning from Mnih et al. 2015 to Rainbow: settings, losses, agent. Every part is a switch of its own."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from gymnasium import spaces
from torch import Tensor

from keel.agents.agent import Decision, Memory, Metrics
from keel.agents.checks import at_least, between, check_finite, finite, positive
from keel.agents.exploration import Blocks, Persistence, epsilon_greedy, standard_normal
from keel.agents.optimiser import FlatAdam, flat_parameters, scheduled
from keel.agents.plain_dqn import plain_gradient
from keel.agents.replay import Batch, FrameStack, Replay
from keel.agents.schedule import Schedule
from keel.envs.protocol import Array, Observation, State, Step
from keel.envs.seeding import derive_seed
from keel.networks.backbone import BackboneConfig
from keel.networks.heads import spread_out
from keel.networks.plain_q import PlainQ
from keel.networks.q_network import Distribution, QNetwork, pick
from keel.networks.transfer import Transfer


@dataclass(frozen=True)
class DQNConfig:
    """Settings of DQN and Rainbow. Steps are those of single worlds, in however many they are made."""

    gamma: float = 0.99
    """Discount per step."""
    learning_rate: float = 5e-4
    learning_rate_schedule: Literal["constant", "linear"] = "constant"
    """`linear` falls to zero at the end of training."""
    batch_size: int = 64
    """Transitions per gradient step."""
    update_every: int = 4
    """Steps per gradient step: the ratio holds for any number of worlds."""
    learning_starts: int = 1_000
    """Random steps before the first gradient step."""
    replay_capacity: int = 100_000
    """Transitions that are remembered."""
    replay_folder: str | None = None
    """Keep the replay in a file in this folder instead of in memory."""
    n_step: int = 3
    """Rewards that are summed before the estimate takes over."""
    double: bool = True
    """The network chooses the next action, the target network says what it is worth (van Hasselt et al. 2016)."""
    dueling: bool = True
    """Values and advantages in two streams (Wang et al. 2016)."""
    prioritised: bool = False
    """Sample transitions by their last error (Schaul et al. 2016)."""
    priority_exponent: float = 0.5
    """0: uniform, 1: proportional to the error."""
    importance: Schedule = Schedule(0.4, 1.0)
    """Exponent beta of the weights that undo the priorities' bias."""
    distribution: Distribution = "none"
    """Learn the whole distribution of the return: over fixed atoms (Bellemare et al. 2017, C51) or as quantiles
    (Dabney et al. 2018, QR-DQN)."""
    atoms: int = 51
    """Atoms or quantiles."""
    lowest_value: float = -10.0
    """Of the categorical atoms; returns beyond are taken for the end."""
    highest_value: float = 10.0
    """Of the categorical atoms."""
    noisy: bool = False
    """Explore by trembling weights in the head (Fortunato et al. 2018)."""
    head_hidden: int = 0
    """Width of a hidden layer in each stream of the head; 0: none."""
    epsilon: Schedule = Schedule(1.0, 0.05, 0.1)
    """How often a random action begins; a fixed chance has the same start and end."""
    persistence: float = 0.0
    """Chance that a random action is made again in the next step; above 0 exploration swings instead of trembling."""
    clip_reward: float | None = None
    """Learn from rewards cut to plus and minus this; None: as they are."""
    loss: Literal["huber", "mse"] = "huber"
    """Of the error; `huber` bends to a line at 1 (and is the quantile loss's bend)."""
    target_every: int = 250
    """Gradient steps between two updates of the target network."""
    target_mix: float = 1.0
    """How much of the network each of them takes over; 1: all, small with target_every 1: a moving average."""
    max_gradient_norm: float = 10.0
    """Longer gradients are shortened to this."""
    adam_epsilon: float = 1e-8
    normalise_observation: bool = False
    """Scale observations by running statistics (vectors only)."""
    report_every: int = 1_000
    """Steps between two rows of metrics, which are also where a run can be saved."""

    def __post_init__(self) -> None:
        at_least(1, batch_size=self.batch_size, update_every=self.update_every, n_step=self.n_step)
        at_least(
            1, replay_capacity=self.replay_capacity, target_every=self.target_every, report_every=self.report_every
        )
        at_least(0, learning_starts=self.learning_starts, head_hidden=self.head_hidden)
        at_least(2, atoms=self.atoms)
        positive(learning_rate=self.learning_rate, max_gradient_norm=self.max_gradient_norm)
        positive(adam_epsilon=self.adam_epsilon, target_mix=self.target_mix)
        between(0.0, 1.0, gamma=self.gamma, priority_exponent=self.priority_exponent, target_mix=self.target_mix)
        between(0.0, 0.999, persistence=self.persistence)
        if self.clip_reward is not None:
            positive(clip_reward=self.clip_reward)
        finite(lowest_value=self.lowest_value, highest_value=self.highest_value)
        if not self.lowest_value < self.highest_value:
            raise ValueError(
                f"highest_value is {self.highest_value}: it must be above lowest_value {self.lowest_value}"
            )


def td_loss(value: Tensor, target: Tensor, kind: Literal["huber", "mse"]) -> Tensor:
    """Loss [N] of values against targets [N]: d^2 / 2 within 1 and |d| - 1/2 beyond (huber), or d^2 (mse)."""
    if kind == "mse":
        return (value - target).square()
    return torch.nn.functional.smooth_l1_loss(value, target, reduction="none")


def categorical_projection(probability: Tensor, support: Tensor, return_: Tensor, discount: Tensor) -> Tensor:
    """The distribution of return_ + discount * Z, brought back to the atoms of Z: each atom's mass is shared by the two
    nearest, in proportion to their nearness; beyond the ends it goes to the end.

    Args: probability [N Z], support [Z] evenly spaced, return_ and discount [N].

    Source: Bellemare et al. 2017, A distributional perspective on reinforcement learning, eq. 7.
    """
    lowest, highest = support[0], support[-1]
    spacing = (highest - lowest) / (len(support) - 1)
    moved = (return_.unsqueeze(-1) + discount.unsqueeze(-1) * support).clamp(lowest, highest)
    position = ((moved - lowest) / spacing).clamp(0, len(support) - 1)
    below = position.floor()
    above_share = position - below
    index = below.long()
    result = torch.zeros_like(probability)
    result.scatter_add_(1, index, probability * (1 - above_share))
    return result.scatter_add_(1, (index + 1).clamp(max=len(support) - 1), probability * above_share)


def categorical_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy [N] of logits [N Z] against probabilities [N Z]."""
    return -(target * logits.log_softmax(dim=-1)).sum(dim=-1)


def quantile_loss(quantiles: Tensor, target: Tensor, kind: Literal["huber", "mse"]) -> Tensor:
    """Loss [N] of quantiles [N Z], at (i + 1/2) / Z, against samples [N Z] of the target distribution.

        sum_i mean_j |tau_i - 1(u_ij < 0)| * L(u_ij),  u_ij = target_j - quantile_i

    Source: Dabney et al. 2018, Distributional reinforcement learning with quantile regression, eq. 10.
    """
    count = quantiles.shape[-1]
    levels = (torch.arange(count, device=quantiles.device, dtype=quantiles.dtype) + 0.5) / count
    difference = target.unsqueeze(-2) - quantiles.unsqueeze(-1)  # [N i j]
    side = (levels.unsqueeze(-1) - (difference.detach() < 0).to(levels.dtype)).abs()
    return (side * td_loss(difference, torch.zeros_like(difference), kind)).mean(dim=-1).sum(dim=-1)


class DQN:
    """The agent: acts, remembers, and learns from what it remembers."""

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        num_envs: int,
        total_steps: int,
        config: DQNConfig,
        backbone: BackboneConfig,
        seed: int,
        device: torch.device,
        frames: FrameStack | None = None,
        transfer: Transfer | None = None,
    ) -> None:
        """Args: frames: how observations are stacked, where they are, so that each frame is stored once."""
        self.config = config
        self.num_envs = num_envs
        self.total_steps = total_steps
        self.device = device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "network"))
            self.network = build_network(observation_space, action_space, backbone, config, transfer).to(device)
        if self.network.initial_memory(1):
            raise ValueError("DQN learns from single transitions, and this backbone has memory: r2d2 and ppo take it")
        self.target = copy.deepcopy(self.network)
        _, self.target_vector = flat_parameters(self.target)
        self.optimiser = FlatAdam(self.network, config.learning_rate, config.max_gradient_norm, config.adam_epsilon)
        self.network.prepare_acting()
        self.plain = (PlainQ(self.network), PlainQ(self.target)) if PlainQ.fits(self.network) else None
        self.replay = Replay(
            config.replay_capacity,
            num_envs,
            n_step=config.n_step,
            gamma=config.gamma,
            frames=frames,
            priority_exponent=config.priority_exponent if config.prioritised else None,
            folder=None if config.replay_folder is None else Path(config.replay_folder),
        )
        if config.learning_starts < (least := (config.n_step + 1) * num_envs):
            raise ValueError(
                f"learning_starts is {config.learning_starts}: with {num_envs} worlds and n_step {config.n_step} the "
                f"first transition is whole after {least} steps, so it must be at least that"
            )
        actions, noise_size = self.network.actions.parameters, self.network.noise_size
        self.acting_chance = Blocks(seed, "acting", lambda random, rows: random.random((rows, num_envs, 1 + actions)))
        self.acting_noise = Blocks(seed, "acting noise", standard_normal(num_envs, noise_size), 8)
        self.again_chance = Blocks(seed, "persistence", lambda random, rows: random.random((rows, num_envs)))
        self.persistence = Persistence(num_envs, config.persistence)
        self.replay_chance = Blocks(seed, "replay", lambda random, rows: random.random((rows, config.batch_size)))
        self.learning_noise = Blocks(seed, "learning noise", standard_normal(3, noise_size))
        self.no_first = torch.zeros(1, config.batch_size, dtype=torch.bool, device=device)
        self.global_step = 0
        self.updates = 0
        self.rows: list[Tensor] = []

    @property
    def progress(self) -> float:
        return min(self.global_step / self.total_steps, 1.0)

    @property
    def epsilon(self) -> float:
        return 1.0 if self.global_step < self.config.learning_starts else self.config.epsilon(self.progress)

    @property
    def updates_due(self) -> int:
        """Gradient steps that the steps so far allow, in all."""
        return max(self.global_step - self.config.learning_starts, 0) // self.config.update_every

    @property
    def report_due(self) -> bool:
        before, every = self.global_step - self.num_envs, self.config.report_every
        return self.global_step // every > before // every or self.global_step >= self.total_steps

    def initial_memory(self, batch: int) -> Memory:
        return ()

    def act(self, observation: Observation, memory: Memory, is_first: Array, *, explore: bool) -> Decision:
        step = self.global_step // self.num_envs
        chance = self.acting_chance.row(step) if explore else None
        noise = self._noise(self.acting_noise.row(step)) if explore and self.config.noisy else None
        preferences, mask, _ = self.network.preferences(observation, (), is_first, noise)
        choice = epsilon_greedy(preferences, mask, chance, self.epsilon)
        if chance is not None and self.config.persistence:
            explored, again = chance[:, 0] < self.epsilon, self.again_chance.row(step)
            choice = self.persistence(choice, explored, again, is_first, mask)
        return Decision(self.network.actions.to_world(choice), (), (), is_first, {"choice": choice})

    def observe(self, observation: Observation, decision: Decision, step: Step) -> bool:
        if (limit := self.config.clip_reward) is not None:
            step = step._replace(reward=step.reward.clip(-limit, limit))
        self.replay.add(observation, decision.extras["choice"], step, decision.is_first)
        self.global_step += self.num_envs
        return self.updates < self.updates_due or self.report_due

    def update(self) -> Metrics:
        self.optimiser.learning_rate = scheduled(
            self.config.learning_rate, self.config.learning_rate_schedule, self.progress
        )
        while self.updates < self.updates_due:
            self.rows.append(self._learn())
            self.updates += 1
            if self.updates % self.config.target_every == 0:
                self.target_vector.lerp_(self.optimiser.vector, self.config.target_mix)
        return self._report() if self.report_due else {}

    def _learn(self) -> Tensor:
        """One gradient step; returns [loss, mean value, mean target, gradient norm]."""
        config = self.config
        batch = self.replay.sample(self.replay_chance.row(self.updates), config.importance(self.progress))
        if self.plain is not None:
            return self._learn_plainly(batch, *self.plain)
        noise = self._noise(self.learning_noise.row(self.updates)) if config.noisy else [None] * 3
        encoded, _ = self.network.encoder(batch.observation)
        action, return_, discount, weight = (
            torch.from_numpy(part).to(self.device)
            for part in (batch.action, batch.return_, batch.discount, batch.weight)
        )
        target = self._target(
            batch.next_observation, return_.to(self.network.support.dtype), discount, noise[1], noise[2]
        )
        numbers, _ = self.network(encoded.unsqueeze(0), (), self.no_first, noise[0])
        chosen = pick(numbers[0], action)
        value = self.network.values(chosen)
        match config.distribution:
            case "none":
                losses = td_loss(value, target, config.loss)
                error = (value - target).detach()
            case "categorical":
                losses = categorical_loss(chosen, target)
                error = losses.detach()  # as Hessel et al. 2018 do: the divergence is the surprise
            case "quantile":
                losses = quantile_loss(chosen, target, config.loss)
                error = losses.detach()
        loss = (losses * weight).mean() if config.prioritised else losses.mean()
        norm = self.optimiser.step(loss)
        if config.prioritised:
            check_finite({"loss/td": loss.item()}, self.updates, self.global_step)  # no priority is nan
            self.replay.update_priorities(batch.index, error.cpu().numpy())
        with torch.no_grad():
            goal = (target @ self.network.support if config.distribution == "categorical" else target).mean()
            return torch.stack([loss, value.mean(), goal, norm])

    def _learn_plainly(self, batch: Batch, network: PlainQ, target: PlainQ) -> Tensor:
        double, loss = self.config.double, self.config.loss
        gradient, error, metrics = plain_gradient(network, target, batch, double=double, loss=loss)
        check_finite({"loss/td": metrics[0]}, self.updates, self.global_step)
        norm = self.optimiser.descend(torch.from_numpy(gradient))
        if self.config.prioritised:
            self.replay.update_priorities(batch.index, error)
        return torch.tensor([*metrics, norm])

    @torch.no_grad()
    def _target(
        self,
        observation: Observation,
        return_: Tensor,
        discount: Tensor,
        own_noise: Tensor | None,
        noise: Tensor | None,
    ) -> Tensor:
        """What the chosen actions turned out to be worth: [N], or probabilities or quantiles [N Z]."""
        encoded, mask = self.network.encoder(observation)
        encoded = encoded.unsqueeze(0)
        numbers = self.target(encoded, (), self.no_first, noise)[0][0]
        chooser = self.network(encoded, (), self.no_first, own_noise)[0][0] if self.config.double else numbers
        preferences = self.network.values(chooser)
        if mask is not None:
            preferences = preferences.masked_fill(~mask, -torch.inf)
        following = pick(numbers, preferences.argmax(dim=-1))
        match self.config.distribution:
            case "none":
                return return_ + discount * following.squeeze(-1)
            case "categorical":
                return categorical_projection(following.softmax(dim=-1), self.network.support, return_, discount)
            case "quantile":
                return return_.unsqueeze(-1) + discount.unsqueeze(-1) * following

    def _noise(self, normal: Array) -> Tensor:
        return spread_out(torch.from_numpy(normal).to(self.device))

    def _report(self) -> Metrics:
        """The means since the last report, and what the schedules say now."""
        names = ("loss/td", "value/mean", "value/target", "loss/gradient_norm")
        result = dict(zip(names, torch.stack(self.rows).mean(dim=0).tolist(), strict=True)) if self.rows else {}
        result |= {
            "policy/epsilon": self.epsilon,
            "policy/learning_rate": self.optimiser.learning_rate,
            "policy/gradient_steps": float(len(self.rows)),
        }
        self.rows.clear()
        if self.network.encoder.normaliser is not None:
            self.network.encoder.learn_scale(self.replay.recent(max(self.config.report_every // self.num_envs, 1)))
        check_finite(result, self.updates, self.global_step)
        return result

    def state_dict(self) -> State:
        """At a report: no metrics are pending, and chance is a function of the seed and the counters."""
        return {
            "network": dict(self.network.state_dict()),
            "target": self.target_vector,
            "optimiser": self.optimiser.state_dict(),
            "replay": self.replay.state_dict(),
            "global_step": self.global_step,
            "updates": self.updates,
            "held_action": self.persistence.held,
        }

    def load_state_dict(self, state: State) -> None:
        self.network.load_state_dict(state["network"])
        self.target_vector.copy_(state["target"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.replay.load_state_dict(state["replay"])
        self.global_step, self.updates = state["global_step"], state["updates"]
        self.persistence.held = state["held_action"]


def build_network(
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    backbone: BackboneConfig,
    config: DQNConfig,
    transfer: Transfer | None,
) -> QNetwork:
    return QNetwork(
        observation_space,
        action_space,
        backbone,
        distribution=config.distribution,
        numbers=1 if config.distribution == "none" else config.atoms,
        value_range=(config.lowest_value, config.highest_value),
        hidden=config.head_hidden,
        dueling=config.dueling,
        noisy=config.noisy,
        normalise_observation=config.normalise_observation,
        transfer=transfer,
    )
