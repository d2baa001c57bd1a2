"""Worlds that show less than all: Gymnasium's own, without the numbers that say where things are going."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control.pendulum import PendulumEnv

from keel.envs.protocol import Array


class PendulumNoVelocity(gymnasium.ObservationWrapper[Array, Any, Any]):
    """Swing a pendulum up and hold it there, seeing only where it is.

    Observation, Box [2] float32: cosine and sine of the angle from upright, each -1 to 1.
    Actions, rewards, start and ends are those of Gymnasium's Pendulum-v1.
    """

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(PendulumEnv(render_mode=render_mode))
        self.observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def observation(self, observation: Array) -> Array:
        return observation[:2]
