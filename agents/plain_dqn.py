"""The gradient of DQN's loss in numpy, for small networks without distribution and noise: the twin of `DQN._learn`."""

from __future__ import annotations

from typing import Literal

import numpy as np

from keel.agents.replay import Batch
from keel.envs.protocol import Array
from keel.networks.plain_q import PlainQ


def plain_gradient(
    network: PlainQ,
    target_network: PlainQ,
    batch: Batch,
    *,
    double: bool,
    loss: Literal["huber", "mse"],
) -> tuple[Array, Array, tuple[float, float, float]]:
    """The gradient [parameters] of the batch's weighted mean loss, each transition's error [N], and
    (loss, mean value, mean target)."""
    rows = np.arange(len(batch.action))
    next_encoded = network.encoder.plain(batch.next_observation)
    following, _ = target_network.forward(next_encoded)
    chooser = network.forward(next_encoded)[0] if double else following
    target = batch.return_ + batch.discount * following[rows, chooser.argmax(axis=1)]
    values, inputs = network.forward(network.encoder.plain(batch.observation))
    value = values[rows, batch.action]
    error = value - target
    bent = error.clip(-1, 1) if loss == "huber" else 2 * error  # the slope of the loss
    losses = bent * (error - 0.5 * bent) if loss == "huber" else error * error
    slope = np.zeros_like(values)
    slope[rows, batch.action] = bent * batch.weight / len(rows)
    gradient = network.backward(inputs, slope)
    return gradient, error, (float((losses * batch.weight).mean()), float(value.mean()), float(target.mean()))
