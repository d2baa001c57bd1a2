"""Where experience waits to be learnt from."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from keel.agents.agent import Decision, Memory
from keel.envs.protocol import Array, Observation, Step


def preallocate(like: Observation, length: int) -> Observation:
    """Empty arrays [length, *shape] for each array of `like`."""
    if isinstance(like, dict):
        return {key: preallocate(value, length) for key, value in like.items()}
    return np.empty((length, *like.shape), like.dtype)


def write(target: Observation, index: int, source: Observation) -> None:
    """target[index] = source, key by key."""
    if isinstance(target, dict):
        assert isinstance(source, dict)
        for key, part in target.items():
            write(part, index, source[key])
    else:
        target[index] = source


def select(observation: Observation, rows: Array | slice) -> Observation:
    """observation[rows], key by key."""
    if isinstance(observation, dict):
        return {key: select(value, rows) for key, value in observation.items()}
    return observation[rows]


def concatenate(parts: list[Observation]) -> Observation:
    """Join along the first axis, key by key."""
    if isinstance(parts[0], dict):
        return {key: concatenate([part[key] for part in parts if isinstance(part, dict)]) for key in parts[0]}
    return np.concatenate([part for part in parts if not isinstance(part, dict)])


class Rollout:
    """T steps of B worlds, with the observation after the last and the final observations of truncated episodes.

    Attributes:
        observation: [T+1 B ...]; is_first: [T+1 B].
        sample: [T+1 B ...] as the distribution drew it (the last row is never used).
        reward, terminated, truncated: [T B].
        memory: of the network before the first observation.
        cut: (t [N], b [N], final observation [N ...], memory after t for those rows) of the truncated steps, or None.
    """

    def __init__(self, num_steps: int, num_envs: int) -> None:
        self.num_steps = num_steps
        self.reward = np.zeros((num_steps, num_envs))
        self.terminated = np.zeros((num_steps, num_envs), bool)
        self.truncated = np.zeros((num_steps, num_envs), bool)
        self.is_first = np.zeros((num_steps + 1, num_envs), bool)
        self.observation: Observation | None = None
        self.sample: Array | None = None
        self.memory: Memory = ()
        self.length = 0
        self._cuts: list[tuple[Array, Array, Observation, Memory]] = []

    @property
    def full(self) -> bool:
        return self.length == self.num_steps

    def add(self, observation: Observation, decision: Decision, step: Step, sample: Array) -> None:
        t = self.length
        if self.observation is None or self.sample is None:
            self.observation = preallocate(observation, self.num_steps + 1)
            self.sample = np.zeros((self.num_steps + 1, *sample.shape), sample.dtype)
        if t == 0:
            self.memory = decision.previous_memory
            self._cuts.clear()
        write(self.observation, t, observation)
        self.sample[t] = sample
        self.is_first[t] = decision.is_first
        self.reward[t] = step.reward
        self.terminated[t] = step.terminated
        self.truncated[t] = step.truncated
        if step.truncated.any():
            self._keep_final(t, decision, step)
        self.length = t + 1
        if self.full:
            write(self.observation, self.length, step.observation)
            self.is_first[self.length] = step.terminated | step.truncated

    def _keep_final(self, t: int, decision: Decision, step: Step) -> None:
        assert step.final_observation is not None
        rows = np.flatnonzero(step.truncated)
        memory = tuple(part[:, rows] for part in decision.memory)
        self._cuts.append((np.full(len(rows), t), rows, select(step.final_observation, rows), memory))

    @property
    def cut(self) -> tuple[Array, Array, Observation, Any] | None:
        if not self._cuts:
            return None
        times, rows, finals, memories = zip(*self._cuts, strict=True)
        memory = tuple(torch.cat(parts, dim=1) for parts in zip(*memories, strict=True))
        return np.concatenate(times), np.concatenate(rows), concatenate(list(finals)), memory

    def clear(self) -> None:
        self.length = 0


def check_minibatch_size(size: int, num_steps: int, num_envs: int, unit: int, least: int) -> None:
    """Raises ValueError where minibatches of `size` steps do not divide a rollout into parts of whole `unit` steps.

    Args: unit: num_steps where a network with memory learns on whole sequences, else 1; least: the smallest size.
    """
    steps = num_steps * num_envs
    if size <= steps and steps % size == 0 and size % unit == 0:
        return
    fitting = [d for d in range(least, steps + 1) if steps % d == 0 and d % unit == 0]
    better = max((d for d in fitting if d <= size), default=min(fitting, default=None))
    raise ValueError(
        f"minibatch_size is {size}, which does not divide the rollout of {num_envs} worlds x {num_steps} steps = {steps}"
        + (f" into whole sequences of {unit}" if unit > 1 else "")
        + (f"; {better} does" if better else "; raise num_steps or num_envs")
    )
