"""What the vector environment asks of the thing that holds its worlds.

A backend steps B worlds and starts those it is told to, from the seeds it is given. It knows nothing of autoreset,
of episode counters or of how seeds are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from gymnasium import spaces

from keel.envs.protocol import Array, Frame, Observation, State


class Outcome(NamedTuple):
    """What one step brought; the arrays are fresh and the receiver's to keep."""

    observation: Observation  # [B ...]
    reward: Array  # [B] float64
    terminated: Array  # [B] bool
    truncated: Array  # [B] bool
    metrics: dict[str, Array]  # each [B] float64


class Fault(Exception):
    """World `index` failed; `what` says how. The vector environment adds the seed, the step and the action."""

    def __init__(self, index: int, what: str) -> None:
        super().__init__(what)
        self.index = index
        self.what = what


class NotDeterministic(Exception):
    """World `index`, started from its seed and given the same actions, went another way at step `step`."""

    def __init__(self, index: int, step: int) -> None:
        super().__init__(f"world {index} went another way at step {step}")
        self.index = index
        self.step = step


class Backend(Protocol):
    """B worlds without autoreset."""

    kind: str  # written into the state, so that it is never loaded into another kind
    num_envs: int
    observation_space: spaces.Space[Any]  # of one world
    action_space: spaces.Space[Any]  # of one world
    frames_per_second: float  # steps shown in a second at the world's own speed
    episode_steps: int | None  # the limit of an episode, where it is known

    def reset(self, indices: Array, seeds: Sequence[int]) -> Observation:
        """Start these worlds from these seeds; returns their N observations, [N ...]."""
        ...

    def step(self, action: Array) -> Outcome:
        """One step of every world. Raises: Fault."""
        ...

    def state_dict(self) -> State: ...

    def load_state_dict(self, state: State) -> Observation:
        """Bring every world to where `state` was taken; returns the observations of that moment.

        Raises: Fault, NotDeterministic, ValueError (the state does not belong here).
        """
        ...

    def render(self) -> Frame | None:
        """World 0 as it looks now, or None where it was not made to be drawn. Raises: Fault."""
        ...

    def close(self) -> None: ...


def plain(value: Any) -> str:
    """A value as short text for an error message."""
    if isinstance(value, np.ndarray):
        text = np.array2string(value, threshold=16, separator=", ")
    else:
        text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 200 else f"{text[:200]}…"
