"""Native worlds: rules compiled by numba over one flat float64 array, a row for each world.

All chance enters when an episode starts; after that a step is a pure function of state and action. So a batch is one
call, and a state saved is a state restored, bit for bit.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces

from keel.envs.backend import Outcome
from keel.envs.chance import ReusableGenerator
from keel.envs.errors import closest
from keel.envs.protocol import Array, Observation, State

if TYPE_CHECKING:
    import pygame


class World(Protocol):
    """The rules of one native world. Its class docstring is its documentation, its constructor takes its options."""

    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]
    state_size: int  # S, the numbers that say all about one world
    metric_names: tuple[str, ...]  # M, the world's own measures
    frames_per_second: int
    frame_size: tuple[int, int]  # width and height in pixels
    episode_steps: int | None  # after which the world itself cuts an episode, where it does

    def start(self, generator: np.random.Generator, **options: Any) -> Array:
        """The state [S] in which an episode starts: the only place with chance. `options` are those of a reset."""
        ...

    def step(self, state: Array, action: Array, reward: Array, terminated: Array, metrics: Array) -> None:
        """Change `state` [B S] in place; fill `reward` [B], `terminated` [B] (bool) and `metrics` [B M]."""
        ...

    def observe(self, state: Array) -> Observation:
        """Fresh observations [B ...] of the states [B S]."""
        ...

    def draw(self, state: Array, canvas: pygame.Surface) -> None:
        """Paint one state [S]."""
        ...

    def text(self, state: Array) -> str:
        """One state [S] in words."""
        ...


def load_world(path: str, **options: Any) -> World:
    """The world at "module:class", for instance "keel.envs.cartpole:CartPole"."""
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)(**options)


class NativeBackend:
    """B copies of a native world, advanced by one call.

    Args: worlds: one for all, or one for each copy; they may differ in how an episode starts and in nothing else.
    """

    kind = "native"

    def __init__(self, worlds: Sequence[World], num_envs: int, max_episode_steps: int | None) -> None:
        world = worlds[0]
        self._starters = [worlds[index % len(worlds)] for index in range(num_envs)]
        self.num_envs = num_envs
        self.observation_space = world.observation_space
        self.action_space = world.action_space
        self.frames_per_second = float(world.frames_per_second)
        self._world = world
        limits = [limit for limit in (max_episode_steps, world.episode_steps) if limit is not None]
        self.episode_steps = min(limits, default=None)
        self._limit = np.iinfo(np.int64).max if self.episode_steps is None else self.episode_steps
        self._state = np.zeros((num_envs, world.state_size))
        self._generator = ReusableGenerator()
        self._elapsed = np.zeros(num_envs, np.int64)

    def reset(self, indices: Array, seeds: Sequence[int]) -> Observation:
        for index, seed in zip(indices, seeds, strict=True):
            self._state[index] = self._starters[index].start(self._generator.seeded(seed))
        self._elapsed[indices] = 0
        return self._world.observe(self._state[indices])

    def step(self, action: Array) -> Outcome:
        reward = np.empty(self.num_envs)
        terminated = np.empty(self.num_envs, np.bool_)
        metrics = np.empty((self.num_envs, len(self._world.metric_names)))
        self._world.step(self._state, action, reward, terminated, metrics)
        self._elapsed += 1
        named = {name: metrics[:, column] for column, name in enumerate(self._world.metric_names)}
        return Outcome(self._world.observe(self._state), reward, terminated, self._elapsed >= self._limit, named)

    def state_dict(self) -> State:
        return {"state": self._state.copy(), "elapsed": self._elapsed.copy()}

    def load_state_dict(self, state: State) -> Observation:
        for name, own in (("state", self._state), ("elapsed", self._elapsed)):
            saved = np.asarray(state[name])
            if saved.shape != own.shape:
                raise ValueError(f"the saved array '{name}' has shape {saved.shape}, this world needs {own.shape}")
            own[...] = saved
        return self._world.observe(self._state)

    def render(self) -> None:
        return None

    def close(self) -> None:
        pass


class NativeEnv(gymnasium.Env[Any, Any]):
    """One native world as an ordinary Gymnasium environment; a limit on steps beside the world's own is Gymnasium's own
    wrapper's."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["human", "rgb_array", "ansi"], "render_fps": 50}

    def __init__(self, world: str, render_mode: str | None = None, **options: Any) -> None:
        self._world = load_world(world, **options)
        self.observation_space = self._world.observation_space
        self.action_space = self._world.action_space
        self.metadata = {**self.metadata, "render_fps": self._world.frames_per_second}  # pyright: ignore
        self.render_mode = render_mode
        self._state = np.zeros((1, self._world.state_size))
        self._canvas: pygame.Surface | None = None
        self._window: Window | None = None
        self._elapsed = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._check_options(options or {})
        self._state[0] = self._world.start(self.np_random, **(options or {}))
        self._elapsed = 0
        if self.render_mode == "human":
            self.render()
        return self._observation(), self._info(np.zeros((1, len(self._world.metric_names))))

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward, terminated = np.empty(1), np.empty(1, np.bool_)
        metrics = np.empty((1, len(self._world.metric_names)))
        batch = np.asarray(action, self.action_space.dtype)[None]
        if batch.shape[1:] != self.action_space.shape:
            raise ValueError(f"action is {action!r}: expected the shape {self.action_space.shape}")
        self._world.step(self._state, batch, reward, terminated, metrics)
        self._elapsed += 1
        truncated = self._world.episode_steps is not None and self._elapsed >= self._world.episode_steps
        if self.render_mode == "human":
            self.render()
        return self._observation(), float(reward[0]), bool(terminated[0]), truncated, self._info(metrics)

    def render(self) -> Any:
        if self.render_mode is None:
            return None
        if self.render_mode == "ansi":
            return self._world.text(self._state[0])
        import pygame

        if self._canvas is None:
            self._canvas = pygame.Surface(self._world.frame_size)
        self._world.draw(self._state[0], self._canvas)
        if self.render_mode == "rgb_array":
            width, height = self._canvas.get_size()  # through bytes: five times as fast as pygame.surfarray
            return np.frombuffer(pygame.image.tobytes(self._canvas, "RGB"), np.uint8).reshape(height, width, 3).copy()
        if self._window is None:
            self._window = Window(self._world.frame_size, self._world.frames_per_second)
        return self._window.show(self._canvas)

    def close(self) -> None:
        if self._window is not None:
            self._window.close()
            self._window = None

    def _check_options(self, options: dict[str, Any]) -> None:
        """Raises: ValueError for an option of a reset that the world does not take, naming those it takes."""
        known = [name for name in inspect.signature(self._world.start).parameters if name != "generator"]
        for name, value in options.items():
            if name not in known:
                raise ValueError(
                    f"reset takes no option '{name}' (got {value!r}){closest(name, known)}; it takes: "
                    f"{', '.join(known) or 'none'}"
                )

    def _observation(self) -> Any:
        return _first(self._world.observe(self._state))

    def _info(self, metrics: Array) -> dict[str, Any]:
        names = self._world.metric_names
        if not names:
            return {}
        named = dict(zip(names, metrics[0].tolist(), strict=True))
        return named | {"metrics": named}


class Window:
    """A pygame window that shows frames at a steady rate."""

    def __init__(self, size: tuple[int, int], frames_per_second: int) -> None:
        import pygame

        pygame.display.init()
        pygame.display.set_caption("Keel")
        self._pygame = pygame
        self._screen = pygame.display.set_mode(size)
        self._clock = pygame.time.Clock()
        self._frames_per_second = frames_per_second

    def show(self, canvas: pygame.Surface) -> None:
        self._screen.blit(canvas, (0, 0))
        self._pygame.event.pump()
        self._pygame.display.flip()
        self._clock.tick(self._frames_per_second)

    def close(self) -> None:
        self._pygame.display.quit()


def _first(observation: Observation) -> Any:
    if isinstance(observation, dict):
        return {name: _first(part) for name, part in observation.items()}
    return observation[0]
