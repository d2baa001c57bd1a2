"""Masks of legal actions that leave no action to choose: found before a policy chooses one all the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from keel.envs.backend import Fault, plain
from keel.envs.protocol import ACTION_MASK, Array, Observation


def parts_of_mask(observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> Array | None:
    """Where in the mask each part of the action begins, [parts], or None where there is nothing to check.

    Of every part one choice must be legal; switches (MultiBinary) may all be forbidden. A mask whose size is not the
    action's is for the agent to refuse, which knows what it needs.
    """
    if not isinstance(observation_space, spaces.Dict) or ACTION_MASK not in observation_space.spaces:
        return None
    sizes: Array | None = None
    if isinstance(action_space, spaces.Discrete):
        sizes = np.array([action_space.n])
    elif isinstance(action_space, spaces.MultiDiscrete):
        sizes = action_space.nvec.flatten()
    if sizes is None or observation_space[ACTION_MASK].shape != (int(sizes.sum()),):
        return None
    return np.cumsum(sizes) - sizes


def find_without_choice(observation: Observation, parts: Array, ended: Array | None = None) -> Fault | None:
    """The first world whose mask [B A] forbids every choice of a part, and whose episode goes on, or None."""
    assert isinstance(observation, dict)
    mask = observation[ACTION_MASK]
    assert isinstance(mask, np.ndarray)
    fine = np.logical_or.reduceat(mask, parts, axis=1).all(axis=1)
    if ended is not None:
        fine |= ended
    if fine.all():
        return None
    index = int(np.argmin(fine))
    return Fault(index, f"the {ACTION_MASK} is {plain(mask[index])}, which leaves no legal action to choose")
