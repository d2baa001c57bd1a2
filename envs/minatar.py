"""MinAtar's five games as Gymnasium environments whose every episode follows from its seed alone.

The package has a wrapper of its own, which is not used: it keeps the last action from one episode to the next, where a
sticky action repeats it, so that an episode depends on the one before; and it draws ten pixels by ten.

Source: Young and Tian (2019), "MinAtar: An Atari-Inspired Testbed for Thorough and Reproducible Reinforcement Learning
Experiments", https://github.com/kenjyoung/MinAtar.
"""

from __future__ import annotations

import colorsys
import importlib
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from keel.envs.protocol import Array

GAMES = ("asterix", "breakout", "freeway", "seaquest", "space_invaders")
NUM_ACTIONS = 6  # none, left, up, right, down, fire: the same for all games
# The games know no limit, and a greedy agent can play some without end: it rests at Seaquest's surface, or bounces
# Breakout's ball for ever past the last bricks. An excellent player of Breakout earns some 800 in so many steps.
MAX_EPISODE_STEPS = 10_000
CELL_PIXELS = 32
ENTRY_POINT = "keel.envs.minatar:MinAtar"


class MinAtar(gymnasium.Env[Array, int]):
    """A game on a board of ten cells by ten; every kind of thing on it is a channel.

    Actions: Discrete 6, or with `use_minimal_action_set` only those that the game heeds. With the probability
    `sticky_action_prob` the action before is repeated instead.

    Observation: bool [10 10 C]: y, x, channel. C is 4 in Asterix and Breakout, 7 in Freeway, 10 in Seaquest, 6 in Space
    Invaders.

    Terminated: as the game says; Freeway ends by its clock after 2,501 steps, whatever happens.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 20}  # pyright: ignore

    def __init__(
        self,
        game: str,
        use_minimal_action_set: bool = False,
        sticky_action_prob: float = 0.1,
        difficulty_ramping: bool = True,
        render_mode: str | None = None,
    ) -> None:
        if game not in GAMES:
            raise ValueError(f"game is {game!r}, it must be one of {', '.join(GAMES)}")
        if not 0.0 <= sticky_action_prob <= 1.0:
            raise ValueError(f"sticky_action_prob is {sticky_action_prob!r}, it must be from 0 to 1")
        self._game: Any = importlib.import_module("minatar").Environment(game, sticky_action_prob, difficulty_ramping)
        self._actions = self._game.minimal_action_set() if use_minimal_action_set else list(range(NUM_ACTIONS))
        shape = tuple(self._game.state_shape())
        self.action_space: Any = spaces.Discrete(len(self._actions))
        self.observation_space: Any = spaces.Box(0, 1, shape, np.bool_)  # pyright: ignore
        self.render_mode = render_mode
        self._colours = colours(shape[-1])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        # The stickiness and the game share one stream of chance, as in the package, and it is Gymnasium's.
        self._game.random = self._game.env.random = np.random.RandomState(self.np_random.bit_generator)
        self._game.last_action = 0
        self._game.reset()
        return self._game.state(), {}

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        reward, ended = self._game.act(self._actions[action])
        return self._game.state(), float(reward), bool(ended), False, {}

    def render(self) -> Any:
        """The board, [320 320 3] uint8; of several things in one cell the last channel's is seen, as in the package."""
        if self.render_mode is None:
            return None
        seen = self._game.state() * np.arange(1, len(self._colours))
        return self._colours[seen.max(axis=2)].repeat(CELL_PIXELS, axis=0).repeat(CELL_PIXELS, axis=1)


def colours(channels: int) -> Array:
    """Black for nothing, then one bright colour for each channel, [1 + channels, 3] uint8."""
    bright = [colorsys.hsv_to_rgb(index / channels, 0.7, 0.95) for index in range(channels)]
    return (255.0 * np.array([(0.0, 0.0, 0.0), *bright])).round().astype(np.uint8)


def register() -> None:
    """Register MinAtar/Breakout-v0 (all six actions), MinAtar/Breakout-v1 (the game's own) and so on, by the names
    that the package gives them, in the place of the package's own where those are registered."""
    for game in GAMES:
        for version in (0, 1):
            env_id = f"MinAtar/{game.title().replace('_', '')}-v{version}"
            known = gymnasium.registry.get(env_id)
            if known is not None and known.entry_point == ENTRY_POINT:
                continue
            gymnasium.registry.pop(env_id, None)
            gymnasium.register(
                env_id,
                entry_point=ENTRY_POINT,
                kwargs={"game": game, "use_minimal_action_set": version == 1},
                max_episode_steps=MAX_EPISODE_STEPS,
            )
