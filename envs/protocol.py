"""What agents and runners may know of worlds: the observation, one step of many worlds, and the vector environment."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
from gymnasium import spaces

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

# What a world looks like: an image [H W 3] uint8, or text where it was made with render_mode "ansi".
Frame: TypeAlias = Array | str

# An array whose first axis is the world, or a (nested) dict of such arrays. Legal actions, where a world has them, are
# always the reserved key `action_mask` (1 = legal), wherever the world itself reported them.
Observation: TypeAlias = "Array | dict[str, Observation]"

# Nested dicts of arrays and of JSON values (numbers, strings, lists, None): what a checkpoint can hold.
State: TypeAlias = dict[str, Any]

ACTION_MASK = "action_mask"


class Step(NamedTuple):
    """What followed one action in each of B worlds.

    Where an episode ended, `observation` is already the first of the next one and `final_observation` holds the last
    of the old one. Its other rows are meaningless, and it is None where no episode ended. The arrays are the
    receiver's to keep: no later step writes into them.
    """

    observation: Observation  # [B ...]
    reward: Array  # [B] float64
    terminated: Array  # [B] bool, the world came to an end: no value follows
    truncated: Array  # [B] bool, cut by a limit: the value goes on
    final_observation: Observation | None  # [B ...]
    metrics: dict[str, Array]  # the world's own measures, each [B] float64


class VecEnv(Protocol):
    """B worlds in step, the only kind of environment that agents meet."""

    num_envs: int
    observation_space: spaces.Space[Any]  # of one world
    action_space: spaces.Space[Any]  # of one world
    resume: Literal["exact", "approximate"]  # whether load_state_dict continues bit for bit
    frames_per_second: float  # steps shown in a second at the world's own speed
    episode_steps: int | None  # the limit of an episode, where it is known

    def reset(self, seed: int) -> Observation:
        """Start every world anew; episode k of world i is seeded by (seed, i, k) alone."""
        ...

    def step(self, action: Array) -> Step: ...

    def state_dict(self) -> State: ...

    def load_state_dict(self, state: State) -> Observation:
        """Continue where `state` was taken; returns the observation that the next action answers."""
        ...

    def render(self) -> Frame | None:
        """The first world as it looks now, or None where it was not made to be drawn."""
        ...

    def close(self) -> None: ...
