"""How good an agent is: greedy episodes on seeds of their own."""

from __future__ import annotations

from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from keel.agents.agent import Agent
from keel.envs.protocol import Array, VecEnv

MAX_WORLDS = 100  # of one evaluation: enough to fill a batch, few enough to hold
MAX_EPISODE_STEPS = 40_000  # where an episode is cut in a world that has no limit of its own


class Evaluation(NamedTuple):
    """Undiscounted, unshaped returns [N] and lengths [N] of whole episodes, and what the worlds measured in them."""

    returns: Array
    lengths: Array
    means: dict[str, Array]  # of each of the worlds' own measures the mean over the steps of each episode [N]
    peaks: dict[str, Array]  # and the largest value [N]

    @property
    def mean(self) -> float:
        return float(self.returns.mean())

    def metrics(self) -> dict[str, float]:
        """As a row of metrics.jsonl has them."""
        return {
            "eval/return": self.mean,
            "eval/return_std": float(self.returns.std()),
            "eval/length": float(self.lengths.mean()),
        } | {f"eval/{name}": float(values.mean()) for name, values in self.means.items()}

    def summary(self) -> dict[str, Any]:
        """As a report and `--json` have them."""
        result = {
            "episodes": len(self.returns),
            "mean": self.mean,
            "std": float(self.returns.std()),
            "min": float(self.returns.min()),
            "max": float(self.returns.max()),
            "length_mean": float(self.lengths.mean()),
            "returns": self.returns.tolist(),
        }
        if self.means:
            result["world_means"] = {name: float(values.mean()) for name, values in self.means.items()}
            result["world_peaks"] = {name: float(values.max()) for name, values in self.peaks.items()}
        return result


class Measures:
    """Sums and peaks of the worlds' own measures over the steps of the running episodes."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._sums: dict[str, Array] = {}
        self._peaks: dict[str, Array] = {}
        self._means_of: dict[str, list[list[float]]] = {}
        self._peaks_of: dict[str, list[list[float]]] = {}

    def add(self, metrics: dict[str, Array]) -> None:
        for name, values in metrics.items():
            if name not in self._sums:
                self._sums[name], self._peaks[name] = np.zeros(self._batch), np.full(self._batch, -np.inf)
                self._means_of[name] = [[] for _ in range(self._batch)]
                self._peaks_of[name] = [[] for _ in range(self._batch)]
            self._sums[name] += values
            np.maximum(self._peaks[name], values, out=self._peaks[name])

    def keep(self, row: int, length: int) -> None:
        """The episode of `row` counts, and is over."""
        for name in self._sums:
            self._means_of[name][row].append(float(self._sums[name][row]) / length)
            self._peaks_of[name][row].append(float(self._peaks[name][row]))

    def clear(self, row: int) -> None:
        for name in self._sums:
            self._sums[name][row], self._peaks[name][row] = 0.0, -np.inf

    def collect(self) -> tuple[dict[str, Array], dict[str, Array]]:
        """Means and peaks, [N] each, in the order of the returns."""
        means = {name: np.array([*chain(*rows)]) for name, rows in self._means_of.items()}
        return means, {name: np.array([*chain(*rows)]) for name, rows in self._peaks_of.items()}


def evaluate_agent(agent: Agent, envs: VecEnv, *, episodes: int, seed: int) -> Evaluation:
    """Play `episodes` greedy episodes; nothing of the agent or of its training changes.

    World i plays its first ceil or floor of episodes / B ones, whatever their length, so that short episodes are not
    counted more often than long ones; each has a seed of its own, so the same call gives the same answer. An episode
    that has not ended after MAX_EPISODE_STEPS, in a world without a limit of its own, counts with its return so far, and
    ends the part of its world.
    """
    longest = max(MAX_EPISODE_STEPS, envs.episode_steps or 0)
    batch = envs.num_envs
    quota = np.full(batch, episodes // batch)
    quota[: episodes % batch] += 1
    observation, memory = envs.reset(seed), agent.initial_memory(batch)
    is_first = np.ones(batch, bool)
    return_, length = np.zeros(batch), np.zeros(batch, np.int64)
    returns: list[list[float]] = [[] for _ in range(batch)]
    lengths: list[list[int]] = [[] for _ in range(batch)]
    measures = Measures(batch)
    while any(len(done) < wanted for done, wanted in zip(returns, quota, strict=True)):
        decision = agent.act(observation, memory, is_first, explore=False)
        step = envs.step(decision.action)
        return_ += step.reward
        length += 1
        measures.add(step.metrics)
        observation, memory = step.observation, decision.memory
        is_first = step.terminated | step.truncated
        for row in np.flatnonzero(is_first | (length >= longest)).tolist():
            if len(returns[row]) < quota[row]:
                returns[row].append(float(return_[row]))
                lengths[row].append(int(length[row]))
                measures.keep(row, int(length[row]))
            measures.clear(row)
            if length[row] >= longest:
                quota[row] = len(returns[row])
            return_[row] = length[row] = 0
    return Evaluation(np.array([*chain(*returns)]), np.array([*chain(*lengths)]), *measures.collect())
