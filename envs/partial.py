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

    Observation, Box [2] float32: cosine and sine of the angle from upright, each -1 to 1 (Gymnasium's third number, the
    angular velocity, is left out).
    Actions, Box [1] float32: the torque at the hinge, -2 to 2 newton metres.
    Reward: -(angle^2 + 0.1 angular velocity^2 + 0.001 torque^2) in each step, 0 at best.
    Start: any angle, and an angular velocity within ±1 radian per second.
    Terminated: never. Truncated: after 200 steps of 0.05 seconds.

    Source: Gymnasium's Pendulum-v1, which it is otherwise.
    """

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(PendulumEnv(render_mode=render_mode))
        self.observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def observation(self, observation: Array) -> Array:
        return observation[:2]
