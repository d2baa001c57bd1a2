"""R2D2 (Kapturowski et al. 2019), deep Q-learning for networks with memory: settings, targets, agent."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from gymnasium import spaces
from torch import Tensor

from keel.agents.agent import Decision, Memory, Metrics
from keel.agents.checks import at_least, between, check_finite, positive
from keel.agents.dqn import td_loss
from keel.agents.exploration import Blocks, epsilon_greedy
from keel.agents.optimiser import FlatAdam, flat_parameters, scheduled
from keel.agents.schedule import Schedule
from keel.agents.sequence_replay import SequenceReplay, Sequences
from keel.envs.protocol import Array, Observation, State, Step
from keel.envs.seeding import derive_seed
from keel.networks.backbone import BackboneConfig
from keel.networks.q_network import QNetwork
from keel.networks.transfer import Transfer

RESCALE_EPSILON = 1e-3  # keeps the inverse of the rescaling from growing without bound (Pohlen et al. 2018)
LARGEST_ERROR_SHARE = 0.9  # of a sequence's priority (Kapturowski et al. 2019, eq. 2, eta)
MOST_MEMORY_BYTES = 4 << 30  # that the beginnings of all sequences in the replay may take


@dataclass(frozen=True)
class R2D2Config:
    """Settings of R2D2. Steps are those of single worlds, in however many they are made."""

    gamma: float = 0.99
    """Discount per step."""
    learning_rate: float = 5e-4
    learning_rate_schedule: Literal["constant", "linear"] = "constant"
    """`linear` falls to zero at the end of training."""
    batch_size: int = 32
    """Sequences per gradient step."""
    burn_in: int = 20
    """Steps at the beginning of each sequence that only warm up the memory."""
    length: int = 40
    """Steps of each sequence that are learnt from; a new sequence begins every half of them."""
    stored_memory: bool = True
    """Begin sequences with the memory that acting had there; otherwise with none, which burn_in then has to make up
    for (and which saves the room that the window of a Transformer takes)."""
    update_every: int = 16
    """Steps per gradient step: the ratio holds for any number of worlds."""
    learning_starts: int = 5_000
    """Random steps before the first gradient step."""
    replay_capacity: int = 100_000
    """Steps that are remembered."""
    n_step: int = 3
    """Rewards that are summed before the estimate takes over."""
    double: bool = True
    """The network chooses the next action, the target network says what it is worth (van Hasselt et al. 2016)."""
    dueling: bool = True
    """Values and advantages in two streams (Wang et al. 2016)."""
    prioritised: bool = True
    """Sample sequences by their last errors (Schaul et al. 2016)."""
    priority_exponent: float = 0.9
    """0: uniform, 1: proportional to the error."""
    importance: Schedule = Schedule(0.6, 0.6)
    """Exponent beta of the weights that undo the priorities' bias."""
    rescale_value: bool = True
    """Learn a root of the values, so that large ones need no clipping (Pohlen et al. 2018)."""
    head_hidden: int = 0
    """Width of a hidden layer in each stream of the head; 0: none."""
    epsilon: Schedule = Schedule(1.0, 0.05, 0.1)
    """How often an action is random; a fixed chance has the same start and end."""
    loss: Literal["huber", "mse"] = "huber"
    """Of the error; `huber` bends to a line at 1."""
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
        at_least(1, batch_size=self.batch_size, length=self.length, update_every=self.update_every)
        at_least(1, n_step=self.n_step, replay_capacity=self.replay_capacity)
        at_least(1, target_every=self.target_every, report_every=self.report_every)
        at_least(0, burn_in=self.burn_in, learning_starts=self.learning_starts, head_hidden=self.head_hidden)
        positive(learning_rate=self.learning_rate, max_gradient_norm=self.max_gradient_norm)
        positive(adam_epsilon=self.adam_epsilon, target_mix=self.target_mix)
        between(0.0, 1.0, gamma=self.gamma, priority_exponent=self.priority_exponent, target_mix=self.target_mix)

    @property
    def sequence(self) -> int:
        """Steps of a sequence with all that learning from it takes: before it to warm up, and after it to look ahead."""
        return self.burn_in + self.length + self.n_step


def rescale(value: Tensor) -> Tensor:
    """h(x) = sgn(x) (sqrt(|x| + 1) - 1) + eps x: nearly x where that is small, and nearly its root where it is large.

    Source: Pohlen et al. 2018, Observe and look further, proposition A.2.
    """
    return value.sign() * ((value.abs() + 1).sqrt() - 1) + RESCALE_EPSILON * value


def rescale_inverse(value: Tensor) -> Tensor:
    """The x of h(x) = value, so written that no digits cancel where eps is small."""
    size = value.abs() + 1 + RESCALE_EPSILON
    root = 2 * size / ((1 + 4 * RESCALE_EPSILON * size).sqrt() + 1)
    return value.sign() * (root.square() - 1)


def sequence_targets(
    reward: Tensor, terminated: Tensor, acts: Tensor, next_value: Tensor, *, gamma: float, n_step: int
) -> Tensor:
    """What the actions along sequences turned out to be worth: n rewards, and then the value.

        G_t = r_t + gamma r_{t+1} + … + gamma^(k-1) r_{t+k-1} + gamma^k V_{t+k}

    k is n, or less: up to the final observation of a truncated episode, whose value goes on, or up to the end of a
    terminated one, after which there is no V.

    Args: all [T N], as in `Sequences`; next_value: of each observation.

    Returns: [T - n N]; meaningless where no action was taken.
    """
    length = len(reward) - n_step
    target = torch.zeros_like(reward[:length])
    scale = torch.ones_like(target)  # of what is still to come; 0: the sum has ended
    for k in range(n_step):
        here, following = slice(k, k + length), slice(k + 1, k + 1 + length)
        target = target + scale * reward[here]
        scale = scale * gamma * ~terminated[here]
        ends = torch.ones_like(acts[here]) if k + 1 == n_step else ~acts[following]
        target = target + torch.where(ends, scale * next_value[following], 0.0)
        scale = scale * ~ends
    return target


def sequence_error(error: Tensor, acts: Tensor) -> Tensor:
    """Of errors [T N] one number a sequence [N]: eta times the largest and (1 - eta) times the mean, of the steps with
    actions.

    Source: Kapturowski et al. 2019, section 2.3.
    """
    size = error.abs() * acts
    mean = size.sum(dim=0) / acts.sum(dim=0).clamp(min=1)
    return LARGEST_ERROR_SHARE * size.amax(dim=0) + (1 - LARGEST_ERROR_SHARE) * mean


class R2D2:
    """The agent: acts with a memory, remembers sequences, and learns along them."""

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        num_envs: int,
        total_steps: int,
        config: R2D2Config,
        backbone: BackboneConfig,
        seed: int,
        device: torch.device,
        transfer: Transfer | None = None,
    ) -> None:
        self.config = config
        self.num_envs = num_envs
        self.total_steps = total_steps
        self.device = device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "network"))
            self.network = QNetwork(
                observation_space,
                action_space,
                backbone,
                hidden=config.head_hidden,
                dueling=config.dueling,
                normalise_observation=config.normalise_observation,
                transfer=transfer,
            ).to(device)
        self.target = copy.deepcopy(self.network)
        _, self.target_vector = flat_parameters(self.target)
        self.optimiser = FlatAdam(self.network, config.learning_rate, config.max_gradient_norm, config.adam_epsilon)
        self.network.prepare_acting()
        self.replay = SequenceReplay(
            config.replay_capacity,
            num_envs,
            length=config.sequence,
            stride=max(config.length // 2, 1),
            priority_exponent=config.priority_exponent if config.prioritised else None,
        )
        self._check_sizes()
        width = 1 + self.network.actions.parameters
        self.acting_chance = Blocks(seed, "acting", lambda random, rows: random.random((rows, num_envs, width)))
        self.replay_chance = Blocks(seed, "replay", lambda random, rows: random.random((rows, config.batch_size)))
        self.global_step = 0
        self.updates = 0
        self.rows: list[Tensor] = []

    def _check_sizes(self) -> None:
        config = self.config
        if config.learning_starts < (least := config.sequence * self.num_envs):
            raise ValueError(
                f"learning_starts is {config.learning_starts}: with {self.num_envs} worlds and burn_in + length + n_step "
                f"= {config.sequence} the first sequence is whole after {least} steps, so it must be at least that"
            )
        size = sum(part.nbytes for part in self.network.initial_memory(1)) * self.replay.sequences
        if config.stored_memory and size > MOST_MEMORY_BYTES:
            raise ValueError(
                f"the replay's sequences would keep {size / 2**30:.1f} GiB of the network's memory: set stored_memory to "
                "False, or lower replay_capacity or the memory's size"
            )

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
        return tuple(part.to(self.device) for part in self.network.initial_memory(batch))

    def act(self, observation: Observation, memory: Memory, is_first: Array, *, explore: bool) -> Decision:
        preferences, mask, new_memory = self.network.preferences(observation, memory, is_first, None)
        chance = self.acting_chance.row(self.global_step // self.num_envs) if explore else None
        choice = epsilon_greedy(preferences, mask, chance, self.epsilon)
        return Decision(self.network.actions.to_world(choice), new_memory, memory, is_first, {"choice": choice})

    def observe(self, observation: Observation, decision: Decision, step: Step) -> bool:
        memories = (decision.previous_memory, decision.memory) if self.config.stored_memory else ((), ())
        self.replay.add(observation, decision.extras["choice"], step, decision.is_first, *memories)
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
        values, target_values, mask = self._unroll(batch)
        reward, terminated, acts, action = (
            torch.from_numpy(part[config.burn_in :]).to(self.device)
            for part in (batch.reward, batch.terminated, batch.acts, batch.action)
        )
        with torch.no_grad():
            next_value = self._next_value(values, target_values, mask)
            target = sequence_targets(
                reward.to(next_value), terminated, acts, next_value, gamma=config.gamma, n_step=config.n_step
            )
            scaled = rescale(target) if config.rescale_value else target
        value = values[: config.length].gather(-1, action[: config.length].unsqueeze(-1)).squeeze(-1)
        acts = acts[: config.length]
        count = acts.sum().clamp(min=1)
        weight = torch.from_numpy(batch.weight).to(value)
        loss = (td_loss(value, scaled, config.loss) * acts * weight).sum() / count
        norm = self.optimiser.step(loss)
        value = value.detach()
        if config.prioritised:
            check_finite({"loss/td": loss.item()}, self.updates, self.global_step)  # no priority is nan
            self.replay.update_priorities(batch.index, sequence_error(value - scaled, acts).cpu().numpy())
        plain = rescale_inverse(value) if config.rescale_value else value
        return torch.stack([loss.detach(), (plain * acts).sum() / count, (target * acts).sum() / count, norm])

    def _unroll(self, batch: Sequences) -> tuple[Tensor, Tensor, Tensor | None]:
        """Values and target values [length + n_step N A] along the sequences, after the burn-in, and the mask."""
        burn_in = self.config.burn_in
        encoded, mask = self.network.encoder(batch.observation)
        is_first = torch.from_numpy(batch.is_first).to(self.device)
        memory: Memory = tuple(torch.from_numpy(part).to(self.device) for part in batch.memory)
        with torch.no_grad():
            target_numbers, _ = self.target(encoded, memory, is_first)
            if burn_in:
                _, memory = self.network.backbone(encoded[:burn_in], memory, is_first[:burn_in])
        numbers, _ = self.network(encoded[burn_in:], memory, is_first[burn_in:])
        values, target_values = self.network.values(numbers), self.network.values(target_numbers[burn_in:])
        return values, target_values, None if mask is None else mask[burn_in:]

    def _next_value(self, values: Tensor, target_values: Tensor, mask: Tensor | None) -> Tensor:
        """What the target network says of the best legal action in each step [T N], not rescaled."""
        preferences = values if self.config.double else target_values
        if mask is not None:  # where an episode ended, no action need be legal
            preferences = preferences.masked_fill(~mask & mask.any(dim=-1, keepdim=True), -torch.inf)
        value = target_values.gather(-1, preferences.argmax(dim=-1, keepdim=True)).squeeze(-1)
        return rescale_inverse(value) if self.config.rescale_value else value

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
        }

    def load_state_dict(self, state: State) -> None:
        self.network.load_state_dict(state["network"])
        self.target_vector.copy_(state["target"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.replay.load_state_dict(state["replay"])
        self.global_step, self.updates = state["global_step"], state["updates"]
