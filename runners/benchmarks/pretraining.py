"""How benchmarks fit a learner: all its epochs, and the weights of the best one on the validation data."""

from __future__ import annotations

import copy
import functools
import time
from typing import NamedTuple

from keel.envs.seeding import generator
from keel.networks.pretraining.learner import Chance, Supervised


class Fitted(NamedTuple):
    epoch: int  # the best one, counted from 1
    score: float  # on the validation data
    seconds: float  # of learning, without evaluations


def chance_of(seed: int) -> Chance:
    return functools.partial(generator, seed)


def fit(learner: Supervised, epochs: int, patience: int = 0) -> Fitted:
    """Learn, as `keel pretrain` does, and leave the best epoch's weights in the network; of equals the later one.

    Args: patience: epochs without a better score after which it stops; 0: never.
    """
    best, weights, improved, seconds = Fitted(0, -float("inf"), 0.0), {}, 0, 0.0
    for epoch in range(1, epochs + 1):
        started = time.perf_counter()
        learner.epoch(epoch - 1)
        seconds += time.perf_counter() - started
        score = learner.evaluate("validation")[learner.score]
        improved = epoch if score > best.score else improved
        if score >= best.score:
            best, weights = Fitted(epoch, score, 0.0), copy.deepcopy(learner.network.state_dict())
        if patience and epoch - improved >= patience:
            break
    learner.network.load_state_dict(weights)
    return best._replace(seconds=seconds)
