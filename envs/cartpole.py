"""A pole balanced on a cart: the native twin of Gymnasium's CartPole-v1, bit for bit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from gymnasium import spaces

from keel.envs.compiled import kernel
from keel.envs.protocol import Array

if TYPE_CHECKING:
    import pygame

GRAVITY = 9.8  # metres per second squared
CART_MASS = 1.0  # kilograms
POLE_MASS = 0.1  # kilograms
TOTAL_MASS = CART_MASS + POLE_MASS
HALF_POLE_LENGTH = 0.5  # metres
POLE_MASS_LENGTH = POLE_MASS * HALF_POLE_LENGTH
FORCE = 10.0  # newtons
STEP_SECONDS = 0.02
POSITION_LIMIT = 2.4  # metres
ANGLE_LIMIT = 12 * 2 * math.pi / 360  # radians


@kernel
def advance(state: Array, action: Array, reward: Array, terminated: Array) -> None:
    """One explicit Euler step of every row of `state` [B 4], in place (Barto, Sutton and Anderson 1983, appendix)."""
    for i in range(len(state)):
        position, velocity, angle, angular_velocity = state[i]
        force = FORCE if action[i] == 1 else -FORCE
        cosine, sine = math.cos(angle), math.sin(angle)
        # The order of these operations is Gymnasium's: another one would round differently.
        thrust = (force + POLE_MASS_LENGTH * (angular_velocity * angular_velocity) * sine) / TOTAL_MASS
        angular_acceleration = (GRAVITY * sine - cosine * thrust) / (
            HALF_POLE_LENGTH * (4.0 / 3.0 - POLE_MASS * (cosine * cosine) / TOTAL_MASS)
        )
        acceleration = thrust - POLE_MASS_LENGTH * angular_acceleration * cosine / TOTAL_MASS
        position = position + STEP_SECONDS * velocity
        angle = angle + STEP_SECONDS * angular_velocity
        state[i, 0] = position
        state[i, 1] = velocity + STEP_SECONDS * acceleration
        state[i, 2] = angle
        state[i, 3] = angular_velocity + STEP_SECONDS * angular_acceleration
        reward[i] = 1.0
        terminated[i] = abs(position) > POSITION_LIMIT or abs(angle) > ANGLE_LIMIT


class CartPole:
    """Push a cart left or right so that the pole hinged on it stays up.

    Observation, Box [4] float32:

    | index | meaning                   | unit                 | range                                     |
    |-------|---------------------------|----------------------|-------------------------------------------|
    | 0     | position of the cart      | metres               | -4.8 to 4.8, an episode stays within ±2.4 |
    | 1     | velocity of the cart      | metres per second    | any                                       |
    | 2     | angle of the pole         | radians from upright | ±0.419, an episode stays within ±0.209    |
    | 3     | angular velocity          | radians per second   | any                                       |

    Actions, Discrete 2:

    | action | meaning                                |
    |--------|----------------------------------------|
    | 0      | push to the left with 10 newtons       |
    | 1      | push to the right with 10 newtons      |

    Reward: 1 for every step, the last one included, so the return is the length of the episode (475 is solved).
    Start: all four numbers uniform within ±0.05.
    Terminated: the cart is further than 2.4 metres from the middle, or the pole further than 12 degrees from upright.
    Truncated: after 500 steps of 0.02 seconds.
    Option velocities: False leaves out the numbers 1 and 3, so that a good agent has to remember (or to difference).

    Source: Barto, Sutton and Anderson (1983), "Neuronlike adaptive elements that can solve difficult learning control
    problems", IEEE Transactions on Systems, Man, and Cybernetics 13(5); as Gymnasium's CartPole-v1 computes it: from
    the same seeds and actions every observation is the same to the last bit.
    """

    state_size = 4
    metric_names = ()
    frames_per_second = 50
    frame_size = (720, 405)
    episode_steps = None

    def __init__(self, velocities: bool = True) -> None:
        self.seen = np.arange(4) if velocities else np.array([0, 2])
        high = np.array([POSITION_LIMIT * 2, np.inf, ANGLE_LIMIT * 2, np.inf], np.float32)[self.seen]
        self.observation_space = spaces.Box(-high, high, dtype=np.float32)
        self.action_space = spaces.Discrete(2)

    def start(self, generator: np.random.Generator) -> Array:
        return generator.uniform(-0.05, 0.05, 4)

    def step(self, state: Array, action: Array, reward: Array, terminated: Array, metrics: Array) -> None:
        advance(state, action, reward, terminated)

    def observe(self, state: Array) -> Array:
        return state[:, self.seen].astype(np.float32)

    def text(self, state: Array) -> str:
        width = 61
        column = round((state[0] / POSITION_LIMIT + 1) / 2 * (width - 1))
        lean = "\\" if state[2] < -0.02 else "/" if state[2] > 0.02 else "|"
        track = "".join("#" if abs(i - column) <= 2 else "_" for i in range(width))
        numbers = "position {:+.3f} m, velocity {:+.3f} m/s, angle {:+.3f} rad, angular velocity {:+.3f} rad/s"
        return f"{' ' * max(column, 0)}{lean}\n{track}\n{numbers.format(*state.tolist())}\n"

    def draw(self, state: Array, canvas: pygame.Surface) -> None:
        paint(state, canvas)


def paint(state: Array, canvas: pygame.Surface) -> None:
    """Paint one state [4]: the track with its limits, the cart, and the pole, redder the further it leans."""
    import pygame

    width, height = canvas.get_size()
    pixels_per_metre = width / (2.4 * POSITION_LIMIT)
    ground = round(height * 0.78)
    x = width / 2 + state[0] * pixels_per_metre
    canvas.fill(pygame.Color("#f4f1ea"))
    pygame.draw.rect(canvas, pygame.Color("#e4ded2"), (0, ground, width, height - ground))
    pygame.draw.line(canvas, pygame.Color("#b9b0a0"), (0, ground), (width, ground), 3)
    for metre in range(-2, 3):
        tick = width / 2 + metre * pixels_per_metre
        pygame.draw.line(canvas, pygame.Color("#b9b0a0"), (tick, ground), (tick, ground + 8), 2)
    for limit in (-POSITION_LIMIT, POSITION_LIMIT):
        edge = width / 2 + limit * pixels_per_metre
        pygame.draw.line(canvas, pygame.Color("#c8553d"), (edge, ground - 14), (edge, ground + 14), 4)

    wheel, cart_width, cart_height = 9, 92, 40
    body = pygame.Rect(0, 0, cart_width, cart_height)
    body.midbottom = (round(x), ground - wheel)
    for side in (-1, 1):
        centre = (round(x + side * cart_width * 0.3), ground - wheel)
        pygame.draw.aacircle(canvas, pygame.Color("#22313f"), centre, wheel)
    pygame.draw.rect(canvas, pygame.Color("#34495e"), body, border_radius=8)

    lean = min(abs(state[2]) / ANGLE_LIMIT, 1.0)
    colour = pygame.Color("#2a9d8f").lerp(pygame.Color("#c8553d"), float(lean))
    length, half_thickness = 2 * HALF_POLE_LENGTH * pixels_per_metre * 1.25, 6
    along = np.array([math.sin(state[2]), -math.cos(state[2])])
    across = np.array([-along[1], along[0]]) * half_thickness
    hinge = np.array([x, body.top + 8])
    tip = hinge + along * length
    corners = [hinge - across, hinge + across, tip + across, tip - across]
    pygame.draw.polygon(canvas, colour, [corner.tolist() for corner in corners])
    pygame.draw.aalines(canvas, colour, True, [corner.tolist() for corner in corners])
    pygame.draw.aacircle(canvas, colour, tip.tolist(), half_thickness)
    pygame.draw.aacircle(canvas, pygame.Color("#f4f1ea"), hinge.tolist(), half_thickness + 3)
    pygame.draw.aacircle(canvas, colour, hinge.tolist(), half_thickness)
