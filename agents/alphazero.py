"""AlphaZero: a network that learns what a search makes of it.

Source: Silver et al. 2018, A general reinforcement learning algorithm that masters chess, shogi and Go through
self-play; by default with the search of Danihelka et al. 2022, Policy improvement by planning with Gumbel, and with
full searches for a share of the moves alone, as in Wu 2019, Accelerating self-play learning in Go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from keel.agents.agent import Metrics
from keel.agents.checks import at_least, between, check_finite, positive
from keel.agents.optimiser import FlatAdam, scheduled
from keel.agents.positions import Window
from keel.agents.search import SearchConfig
from keel.agents.selfplay import Played, SelfPlayConfig
from keel.envs.games.game import Game
from keel.envs.protocol import State
from keel.envs.seeding import derive_seed, generator
from keel.networks.backbone import BackboneConfig
from keel.networks.policy_value import PolicyValueNetwork


@dataclass(frozen=True)
class AlphaZeroConfig:
    """Settings of AlphaZero. One iteration is some moves of self-play, and what is learnt from them."""

    search: SearchConfig = SearchConfig()
    selfplay: SelfPlayConfig = SelfPlayConfig()
    window: int = 200_000
    """Positions of the latest games, from which learning draws."""
    learning_starts: int = 5_000
    """Positions that must have been gathered before."""
    batch_size: int = 256
    """Positions of a gradient step."""
    reuse: float = 4.0
    """How often a position is learnt from, on average: gradient steps follow the positions that were added, once
    learning has started."""
    learning_rate: float = 2e-3
    learning_rate_schedule: Literal["constant", "linear"] = "linear"
    """`linear` falls to zero at the end of training."""
    value_weight: float = 1.0
    """Of the value's loss beside the policy's."""
    search_share: float = 0.5
    """How much of a value's target is the search's opinion; the rest is how the game ended."""
    max_gradient_norm: float = 5.0
    adam_epsilon: float = 1e-5

    def __post_init__(self) -> None:
        at_least(1, window=self.window, batch_size=self.batch_size)
        at_least(0, learning_starts=self.learning_starts)
        positive(reuse=self.reuse, learning_rate=self.learning_rate)
        positive(max_gradient_norm=self.max_gradient_norm, adam_epsilon=self.adam_epsilon)
        at_least(0.0, value_weight=self.value_weight)
        between(0.0, 1.0, search_share=self.search_share)
        if self.learning_starts > self.window:
            raise ValueError(
                f"learning_starts is {self.learning_starts} and window {self.window}: learning would never start"
            )


def policy_loss(logits: Tensor, target: Tensor, legal: Tensor, taught: Tensor) -> Tensor:
    """Cross-entropy of the legal moves' softmax against `target`, both [N A], over the positions `taught` [N]: a number."""
    log_policy = torch.log_softmax(logits.masked_fill(~legal, -1e9), dim=1)
    return -((target * log_policy).sum(dim=1) * taught).sum() / taught.sum().clamp(min=1)


def entropy(target: Tensor, taught: Tensor) -> Tensor:
    """Of the targets [N A]: the least that `policy_loss` can reach, a number."""
    return -(torch.xlogy(target, target).sum(dim=1) * taught).sum() / taught.sum().clamp(min=1)


def make_network(game: Game, backbone: BackboneConfig) -> PolicyValueNetwork:
    """A fresh network for a game, its weights drawn from torch's generator. Raises: ValueError, as the network does."""
    planes = (game.planes, game.height, game.width)
    return PolicyValueNetwork(planes, game.actions, backbone, game.piece_moves)


class AlphaZero:
    """The half of the agent that learns; the one that plays is `SelfPlay`, with this one's network."""

    def __init__(
        self, game: Game, *, config: AlphaZeroConfig, backbone: BackboneConfig, seed: int, device: torch.device
    ) -> None:
        self.game, self.config = game, config
        self.seed, self.device = seed, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "network"))
            self.network = make_network(game, backbone).to(device)
        self.optimiser = FlatAdam(self.network, config.learning_rate, config.max_gradient_norm, config.adam_epsilon)
        self.window = Window(game, config.window)
        self.iteration = self.updates = self.games = self.moves = self.checked = self.mistaken = 0
        self.learnt = 0  # of the window's positions, those that were there the last time

    def take(self, played: Sequence[Played]) -> Metrics:
        """Take in what was played; what there is to say of it."""
        for part in played:
            self.window.add(part.positions)
            self.games += part.games
            self.moves += part.moves
            self.checked += part.checked
            self.mistaken += part.mistaken
        metrics: Metrics = {"selfplay/games": float(self.games), "selfplay/positions": float(self.window.added)}
        if self.checked:
            metrics["selfplay/given_up_mistaken"] = self.mistaken / self.checked
        if ended := sum(part.games for part in played):
            outcomes = np.concatenate([part.positions.outcome for part in played])
            metrics["selfplay/game_length"] = len(outcomes) / ended
            metrics["selfplay/drawn"] = float((outcomes == 0.0).mean())
        return metrics

    def learn(self, progress: float) -> Metrics:
        """The gradient steps that are due for the positions taken in since the last time; nothing until there are
        enough of them.

        Args: progress: how much of the training is over, 0 to 1, for the learning rate.
        Raises: KeelError where training has diverged.
        """
        self.iteration += 1
        due = self._steps(self.window.added) - self._steps(self.learnt)
        self.learnt = self.window.added
        return self._learn(due, progress) if len(self.window) >= max(self.config.learning_starts, 1) else {}

    def _steps(self, positions: int) -> int:
        """The gradient steps that so many positions are worth."""
        return int(positions * self.config.reuse / self.config.batch_size)

    def _learn(self, steps: int, progress: float) -> Metrics:
        config = self.config
        rate = scheduled(config.learning_rate, config.learning_rate_schedule, progress)
        self.optimiser.learning_rate = rate
        losses = [self._step() for _ in range(steps)]
        if not losses:
            return {}
        names = ("loss/policy", "loss/value", "policy/target_entropy", "loss/gradient_norm")
        metrics: Metrics = dict(zip(names, torch.stack(losses).mean(dim=0).tolist(), strict=True))
        check_finite(metrics, self.updates, self.iteration)
        return metrics | {"learning_rate": rate}

    def _step(self) -> Tensor:
        config = self.config
        drawn = self.window.draw(generator(self.seed, "learning", self.updates), config.batch_size)
        planes, legal, policy, search_value, taught, outcome = (
            torch.from_numpy(part).to(self.device, non_blocking=True) for part in drawn
        )
        target = config.search_share * search_value + (1.0 - config.search_share) * outcome
        logits, value = self.network(planes)
        of_policy = policy_loss(logits, policy, legal, taught)
        of_value = (value - target).square().mean()
        norm = self.optimiser.step(of_policy + config.value_weight * of_value)
        self.updates += 1
        return torch.stack([of_policy.detach(), of_value.detach(), entropy(policy, taught), norm])

    def state_dict(self) -> State:
        """All that a bit-exact continuation needs of the learner."""
        return {
            "network": {name: part.clone() for name, part in self.network.state_dict().items()},
            "optimiser": self.optimiser.state_dict(),
            "window": self.window.state_dict(),
            "counts": {name: getattr(self, name) for name in COUNTS},
        }

    def load_state_dict(self, state: State) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.window.load_state_dict(state["window"])
        for name, value in state["counts"].items():
            setattr(self, name, value)


COUNTS = ("iteration", "updates", "games", "moves", "checked", "mistaken", "learnt")
