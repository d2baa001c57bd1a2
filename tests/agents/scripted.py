"""Scripted worlds that remember everything, and random settings of a replay to go with them."""

from collections import deque
from types import SimpleNamespace

import numpy as np
import torch
from hypothesis import strategies as st

from keel.agents.replay import FrameStack, Replay
from keel.envs.protocol import Step

GAMMA = 0.9
GOES_ON, TERMINATES, TRUNCATES, BOTH, TEARS = range(5)


class Worlds:
    """B scripted worlds and all their steps in lists: `seen`[t] holds what one call of `add` was told.

    Every frame ever made is different, and stacks are built as Gymnasium's FrameStackObservation does.
    """

    def __init__(self, num_envs, kind="vector", count=1):
        self.count, self.kind, self.made = count, kind, 0
        self.stacks = [None] * num_envs
        self.seen = []
        self.observation, self.is_first = (
            self._batch([self._begin(b) for b in range(num_envs)]),
            np.ones(num_envs, bool),
        )

    @property
    def frames(self):
        if self.kind == "vector":
            return None
        return FrameStack(self.count, {"first": 0, "last": -1, "dict": 1}[self.kind])

    def _frame(self):
        self.made += 1
        shape = {"vector": (2,), "first": (1, 2, 3), "last": (2, 2, 3), "dict": (2, 3, 2)}[self.kind]
        return self.made * 100.0 + np.arange(np.prod(shape), dtype=np.float32).reshape(shape)

    def _begin(self, b):
        self.stacks[b] = deque([self._frame()] * self.count, self.count)
        return self._look(b)

    def _look(self, b):
        if self.frames is None:
            return self.stacks[b][-1]
        return np.concatenate(list(self.stacks[b]), axis=self.frames.axis)

    def _batch(self, looks):
        stacked = np.stack(looks).astype(np.float32)
        if self.kind != "dict":
            return stacked
        return {"action_mask": stacked.reshape(len(stacked), -1)[:, -3:] % 7 > 2, "observation": stacked}

    def step(self, replay, ends):
        """One step in which world b ends in the way of ends[b]."""
        worlds = range(len(ends))
        ends, action = np.array(ends), np.array([(len(self.seen) * 7 + b) % 5 for b in worlds])
        for b in worlds:
            self.stacks[b].append(self._frame())
        final = [self._look(b) for b in worlds]
        after = [self._begin(b) if ends[b] in (TERMINATES, TRUNCATES, BOTH) else final[b] for b in worlds]
        reward = np.sin(np.arange(len(ends)) * 31.0 + len(self.seen) * 17)
        terminated, truncated = np.isin(ends, (TERMINATES, BOTH)), np.isin(ends, (TRUNCATES, BOTH))
        final = self._batch(final)
        any_end = bool((terminated | truncated).any())
        step = Step(self._batch(after), reward, terminated, truncated, final if any_end else None, {})
        replay.add(self.observation, action, step, self.is_first)
        self.seen.append(
            SimpleNamespace(observation=self.observation, action=action, ends=ends, reward=reward, final=final)
        )
        torn = ends == TEARS
        self.observation = self._batch([self._begin(b) if torn[b] else after[b] for b in worlds])
        self.is_first = terminated | truncated | torn

    def valid(self, slots, n):
        """(t, b) of all transitions that can be sampled: all of their stack and of their n steps is in the ring."""
        now = len(self.seen)
        oldest = now - slots
        times = [t for t in range(now) if t + n < now and (oldest <= 0 or t - (self.count - 1) >= oldest)]
        return {(t, b) for t in times for b in range(len(self.stacks))}

    def transition(self, t, b, n):
        """Observation, action, return, discount and next observation, by walking through the episode."""
        start, total, scale = self.seen[t], 0.0, 1.0
        last = next((i for i in range(t, t + n) if self.seen[i].ends[b] != GOES_ON), t + n - 1)
        for step in self.seen[t : last + 1]:
            total += scale * float(np.float32(step.reward[b]))
            scale *= GAMMA
        end = self.seen[last].ends[b]
        following = row(self.seen[last].final if end else self.seen[t + n].observation, b)
        discount = 0.0 if end in (TERMINATES, BOTH) else scale
        return row(start.observation, b), start.action[b], np.float32(total), np.float32(discount), following


def row(observation, index):
    if isinstance(observation, dict):
        return {key: part[index] for key, part in observation.items()}
    return observation[index]


def assert_same(actual, expected):
    assert type(actual) is type(expected)
    if isinstance(expected, dict):
        assert list(actual) == list(expected)
        for key in expected:
            assert_same(actual[key], expected[key])
    else:
        assert np.asarray(actual).dtype == np.asarray(expected).dtype
        np.testing.assert_array_equal(actual, expected)


@st.composite
def scripts(draw, exponents=(None, 0.7)):
    """A replay's settings, and the ends of up to three rounds of its ring."""
    kind = draw(st.sampled_from(["vector", "first", "last", "dict"]))
    count = 1 if kind == "vector" else draw(st.integers(1, 4))
    n, num_envs = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    slots = n + count + draw(st.integers(1, 8))
    ends = st.sampled_from([GOES_ON] * draw(st.integers(1, 8)) + [TERMINATES, TRUNCATES, BOTH, TEARS])
    steps = draw(st.lists(st.lists(ends, min_size=num_envs, max_size=num_envs), min_size=1, max_size=3 * slots))
    exponent = draw(st.sampled_from(exponents))

    def make(folder=None):
        worlds = Worlds(num_envs, kind, count)
        capacity = slots * num_envs + num_envs - 1
        replay = Replay(
            capacity, num_envs, n_step=n, gamma=GAMMA, frames=worlds.frames, priority_exponent=exponent, folder=folder
        )
        return replay, worlds

    return SimpleNamespace(make=make, steps=steps, slots=slots, n=n, num_envs=num_envs, count=count)


def chi_square(counts, chances):
    possible = chances > 0
    assert counts[~possible].sum() == 0
    expected = counts.sum() * chances[possible]
    statistic = ((counts[possible] - expected) ** 2 / expected).sum()
    halves = torch.tensor([(possible.sum() - 1) / 2, statistic / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(halves[0], halves[1]))
