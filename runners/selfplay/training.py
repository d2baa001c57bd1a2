"""Settings of a training by self-play that are not the algorithm's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from keel.agents.checks import at_least, positive


@dataclass(frozen=True)
class SelfPlayTraining:
    """How long to train, and what happens beside."""

    minutes: float = 10.0
    """Minutes to train for, without evaluations."""
    iterations: int = 0
    """Train for this many iterations instead: what comes of it is then a function of the seed alone, and a run that
    was killed ends as if it had not been. 0: for `minutes`."""
    evaluations: int = 6
    """Evaluations, evenly spread over the training; 0: none."""
    evaluate_games: int = 40
    """Games of each evaluation against each opponent; even, as every opening is played with both colours."""
    opponents: tuple[str, ...] = ("random", "rollouts:100")
    """Whom an evaluation meets, beside the best network so far: random, one_ply or rollouts:SIMULATIONS."""
    checkpoint_seconds: float = 60.0
    """Between two snapshots to resume from; there is one after every evaluation, too."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    workers: Literal["auto", "threads", "processes"] = "auto"
    """What actors are; `auto`: threads where the rules are compiled, processes where they are Python."""
    video: bool = True
    """Film a game of the best network against itself at the end."""
    track: Literal["none", "wandb"] = "none"
    """Mirror the run to Weights & Biases (offline where no key is set)."""
    track_checkpoints: bool = False
    """Send the best checkpoint to Weights & Biases at the end, as an artifact."""

    def __post_init__(self) -> None:
        positive(minutes=self.minutes)
        at_least(
            0, iterations=self.iterations, evaluations=self.evaluations, checkpoint_seconds=self.checkpoint_seconds
        )
        for name in self.opponents:
            if self.opponents.count(name) > 1:
                raise ValueError(f"opponents names {name!r} {self.opponents.count(name)} times: once is enough")
        at_least(2, evaluate_games=self.evaluate_games)
        if self.evaluate_games % 2:
            raise ValueError(f"evaluate_games is {self.evaluate_games}: it must be even, as colours are swapped")
