"""AlphaZero: a network that learns what a search makes of it.

Source: Silver et al. 2018, A general reinforcement learning algorithm that masters chess, shogi and Go through
self-play; by default with the search of Danihelka et al. 2022, Policy improvement by planning with Gumbel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from keel.agents.agent import Metrics
from keel.agents.checks import at_least, between, check_finite, positive
from keel.agents.optimiser import FlatAdam, scheduled
from keel.agents.positions import Window
from keel.agents.search import SearchConfig
from keel.agents.selfplay import SelfPlay
from keel.envs.games.game import Game
from keel.envs.protocol import Array, State
from keel.envs.seeding import derive_seed, generator
from keel.networks.backbone import BackboneConfig
from keel.networks.policy_value import PolicyValueNetwork


@dataclass(frozen=True)
class AlphaZeroConfig:
    """Settings of AlphaZero. One iteration is `moves` moves in each of `games` games, and what is learnt from them."""

    games: int = 64
    """Games that are played side by side."""
    moves: int = 16
    """Moves of each game between two times of learning."""
    window: int = 100_000
    """Positions of the latest games, from which learning draws."""
    learning_starts: int = 2_000
    """Positions that must have been gathered before."""
    batch_size: int = 256
    """Positions of a gradient step."""
    reuse: float = 4.0
    """How often a position is learnt from, on average: gradient steps follow the positions that were added."""
    learning_rate: float = 2e-3
    learning_rate_schedule: Literal["constant", "linear"] = "linear"
    """`linear` falls to zero at the end of training."""
    value_weight: float = 1.0
    """Of the value's loss beside the policy's."""
    search_share: float = 0.5
    """How much of a value's target is the search's opinion; the rest is how the game ended."""
    opening_moves: int = 10
    """puct: moves of a game that are drawn by the shares of visits, so that games differ."""
    dirichlet: float = 1.0
    """puct: parameter of the noise at the root for ten legal moves (Silver et al. 2018 have about this much)."""
    max_gradient_norm: float = 5.0
    adam_epsilon: float = 1e-5

    def __post_init__(self) -> None:
        at_least(1, games=self.games, moves=self.moves, window=self.window, batch_size=self.batch_size)
        at_least(0, learning_starts=self.learning_starts, opening_moves=self.opening_moves)
        positive(reuse=self.reuse, learning_rate=self.learning_rate, dirichlet=self.dirichlet)
        positive(max_gradient_norm=self.max_gradient_norm, adam_epsilon=self.adam_epsilon)
        at_least(0.0, value_weight=self.value_weight)
        between(0.0, 1.0, search_share=self.search_share)
        if self.learning_starts > self.window:
            raise ValueError(
                f"learning_starts is {self.learning_starts} and window {self.window}: learning would never start"
            )


def policy_loss(logits: Tensor, target: Tensor, legal: Tensor) -> Tensor:
    """Cross-entropy of the legal moves' softmax against `target`, both [N A]: a number."""
    log_policy = torch.log_softmax(logits.masked_fill(~legal, -1e9), dim=1)
    return -(target * log_policy).sum(dim=1).mean()


def entropy(target: Tensor) -> Tensor:
    """Of the targets [N A]: the least that `policy_loss` can reach, a number."""
    return -torch.xlogy(target, target).sum(dim=1).mean()


class AlphaZero:
    """The agent: plays against itself and learns from it, an iteration at a time."""

    def __init__(
        self,
        game: Game,
        *,
        iterations: int,
        config: AlphaZeroConfig,
        search: SearchConfig,
        backbone: BackboneConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        at_least(1, iterations=iterations)
        self.game, self.config, self.iterations = game, config, iterations
        self.seed, self.device = seed, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "network"))
            planes = (game.planes, game.height, game.width)
            self.network = PolicyValueNetwork(planes, game.actions, backbone).to(device)
        self.optimiser = FlatAdam(self.network, config.learning_rate, config.max_gradient_norm, config.adam_epsilon)
        self.selfplay = SelfPlay(
            game, search, config.games, seed, opening_moves=config.opening_moves, dirichlet=config.dirichlet
        )
        self.window = Window(game, config.window)
        self.iteration = self.updates = self.games_ended = 0

    @torch.no_grad()
    def evaluate(self, planes: Array) -> tuple[Array, Array]:
        """What the network thinks: logits [n A] and values [n] of planes [n C H W]."""
        logits, value = self.network(torch.from_numpy(planes).to(self.device))
        return logits.cpu().numpy(), value.cpu().numpy()

    def iterate(self) -> Metrics:
        """Play, then learn from what was gathered; the metrics of both. Raises: ValueError where all iterations are over."""
        if self.iteration >= self.iterations:
            raise ValueError(f"iterations is {self.iterations}, and all of them are over")
        ended, before = 0, self.window.added
        for _ in range(self.config.moves):
            positions, games = self.selfplay.step(self.evaluate)
            self.window.add(positions)
            ended += games
        self.games_ended += ended
        metrics = {"selfplay/games": float(self.games_ended), "selfplay/positions": float(self.window.added)}
        if len(self.window) >= max(self.config.learning_starts, 1):
            metrics |= self._learn(self._steps(self.window.added) - self._steps(before))
        self.iteration += 1
        return metrics

    def _steps(self, positions: int) -> int:
        """The gradient steps that so many positions are worth."""
        return int(positions * self.config.reuse / self.config.batch_size)

    def _learn(self, steps: int) -> Metrics:
        config = self.config
        rate = scheduled(config.learning_rate, config.learning_rate_schedule, self.iteration / self.iterations)
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
        chance = generator(self.seed, "learning", self.updates)
        planes, legal, drawn = self.window.draw(chance, config.batch_size)
        target = config.search_share * drawn.value + (1.0 - config.search_share) * drawn.outcome
        arrays = (planes, drawn.policy, legal, target.astype(np.float32))
        planes, policy, legal, target = (torch.from_numpy(array).to(self.device) for array in arrays)
        logits, value = self.network(planes)
        of_policy, of_value = policy_loss(logits, policy, legal), functional.mse_loss(value, target)
        norm = self.optimiser.step(of_policy + config.value_weight * of_value)
        self.updates += 1
        return torch.stack([of_policy.detach(), of_value.detach(), entropy(policy), norm])

    def state_dict(self) -> State:
        """All that a bit-exact continuation needs."""
        return {
            "network": {name: part.clone() for name, part in self.network.state_dict().items()},
            "optimiser": self.optimiser.state_dict(),
            "selfplay": self.selfplay.state_dict(),
            "window": self.window.state_dict(),
            "counts": {"iteration": self.iteration, "updates": self.updates, "games_ended": self.games_ended},
        }

    def load_state_dict(self, state: State) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.selfplay.load_state_dict(state["selfplay"])
        self.window.load_state_dict(state["window"])
        for name, value in state["counts"].items():
            setattr(self, name, value)
