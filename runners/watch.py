"""Watching an agent act: in a window, as a film, or as text. The agent acts greedily and nothing of it changes."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TextIO, TypeAlias, runtime_checkable

import numpy as np

from keel.agents.agent import Decision, Memory
from keel.envs.errors import KeelError
from keel.envs.protocol import Array, Frame, Observation, VecEnv
from keel.envs.seeding import derive_seed
from keel.runners.video import VideoWriter
from keel.runners.window import Window, open_window

END_SECONDS = 0.7  # how long the end of an episode stays to be seen
MAX_STEPS = 10_000  # of one episode, for worlds that would never end


class Policy(Protocol):
    """The part of an agent that acts."""

    def initial_memory(self, batch: int) -> Memory: ...

    def act(self, observation: Observation, memory: Memory, is_first: Array, *, explore: bool) -> Decision: ...


@runtime_checkable
class KeepsFinalFrame(Protocol):
    """Worlds that keep how the first of them looked when the last step ended its episode, as `Vector` does."""

    final_frame: Frame | None


class Moment(NamedTuple):
    """What there is to see at one step of an episode."""

    frame: Any  # [H W 3] uint8, or text where the world is drawn in text
    episode: int  # from 1 on
    step: int  # actions so far in this episode
    return_: float  # sum of the rewards so far in this episode
    outcome: str  # "" while the episode goes on, then "terminated", "truncated" or "cut"

    @property
    def line(self) -> str:
        ended = f"    {self.outcome}" if self.outcome else ""
        return f"episode {self.episode}    step {self.step}    return {self.return_:.2f}{ended}"


Show: TypeAlias = Callable[[Moment], bool]  # False when the person has seen enough


def watch(
    policy: Policy,
    envs: VecEnv,
    *,
    title: str,
    episodes: int,
    seed: int,
    video: Path | None = None,
    default_video: Path = Path("watch.mp4"),
    text: bool = False,
) -> dict[str, Any]:
    """Show episodes in a window, or film them where `video` asks for it or where no window can be opened.

    Args:
        envs: one world, made with render_mode "rgb_array" (with `text`: "ansi").
        title: of the window, for instance the environment and the agent.
        video: the film's file. default_video: the film's file where there is no display.
        text: print the frames of a world that draws itself in text.
    Returns: `episodes`, for each that was seen to its end `return`, `length` and `outcome`; `video`, the film or None.
    Raises:
        ValueError: a setting out of its range.
        KeelError: the environment cannot be drawn.
    """
    moments = play(policy, envs, seed=seed, episodes=episodes, text=text)
    fps = envs.frames_per_second
    if text:
        return _view(_printed(fps, sys.stdout), moments)
    if video is None and (window := open_window(title)) is not None:
        return _view(_windowed(window, fps), moments)
    return _view(_filmed(video or default_video, fps), moments) | {"video": str(video or default_video)}


def record_episode(
    policy: Policy, envs: VecEnv, path: Path, *, seed: int, max_steps: int = MAX_STEPS
) -> dict[str, Any]:
    """Film the first episode of `seed`, cut after `max_steps`. Returns: its `return` and `length`, and the `path`."""
    moments = play(policy, envs, seed=seed, episodes=1, max_steps=max_steps)
    episode = _view(_filmed(path, envs.frames_per_second), moments)["episodes"][0]
    return {"return": episode["return"], "length": episode["length"], "path": str(path)}


def play(
    policy: Policy, envs: VecEnv, *, seed: int, episodes: int, max_steps: int = MAX_STEPS, text: bool = False
) -> Iterator[Moment]:
    """The moments of the first episodes of `seed`: one before every action and one when the episode has ended.

    A vector environment that reports an end has begun the next episode already. The moment of the end has the frame
    that it kept of the world as the last action left it; where it kept none, the frame that this action answered.
    """
    for name, value in (("episodes", episodes), ("max_steps", max_steps)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if envs.num_envs != 1:
        raise ValueError(f"one world is watched at a time, got num_envs {envs.num_envs}")
    return _play(policy, envs, seed, episodes, max_steps, text)


def _play(policy: Policy, envs: VecEnv, seed: int, episodes: int, max_steps: int, text: bool) -> Iterator[Moment]:
    observation = envs.reset(seed)
    for episode in range(1, episodes + 1):
        memory, is_first = policy.initial_memory(1), np.ones(1, dtype=bool)
        frame, steps, return_, outcome = _frame(envs, text), 0, 0.0, ""
        while not outcome:
            yield Moment(frame, episode, steps, return_, "")
            decision = policy.act(observation, memory, is_first, explore=False)
            followed = envs.step(decision.action)
            observation, memory, is_first = followed.observation, decision.memory, np.zeros(1, dtype=bool)
            steps, return_ = steps + 1, return_ + float(followed.reward[0])
            outcome = _outcome(bool(followed.terminated[0]), bool(followed.truncated[0]), steps >= max_steps)
            if outcome in ("", "cut"):
                frame = _frame(envs, text)
            elif isinstance(envs, KeepsFinalFrame) and envs.final_frame is not None:
                frame = envs.final_frame
        yield Moment(frame, episode, steps, return_, outcome)
        if outcome == "cut":
            observation = envs.reset(derive_seed(seed, "after a cut", episode))


def _outcome(terminated: bool, truncated: bool, cut: bool) -> str:
    return "terminated" if terminated else "truncated" if truncated else "cut" if cut else ""


def _frame(envs: VecEnv, text: bool) -> Any:
    frame: Any = envs.render()
    if text:
        fits, wanted = isinstance(frame, str), "text (render_mode 'ansi')"
    else:
        fits = isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3
        wanted = "an image [H W 3] uint8 (render_mode 'rgb_array')"
    if not fits:
        got = f"{frame.dtype} {list(frame.shape)}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise KeelError(f"the environment cannot be drawn: render() gave {got}, needed is {wanted}")
    return frame


def _view(viewer: AbstractContextManager[Show], moments: Iterator[Moment]) -> dict[str, Any]:
    seen = []
    with viewer as show:
        for moment in moments:
            if moment.outcome:
                seen.append({"return": moment.return_, "length": moment.step, "outcome": moment.outcome})
            if not show(moment):
                break
    return {"episodes": seen, "video": None}


@contextlib.contextmanager
def _windowed(window: Window, fps: float) -> Iterator[Show]:
    with window:
        yield lambda moment: window.show(moment.frame, moment.line, END_SECONDS if moment.outcome else 1 / fps)


@contextlib.contextmanager
def _filmed(path: Path, fps: float) -> Iterator[Show]:
    with VideoWriter(path, fps) as writer:

        def show(moment: Moment) -> bool:
            for _ in range(max(1, round(END_SECONDS * fps)) if moment.outcome else 1):
                writer.append(moment.frame)
            return True

        yield show


@contextlib.contextmanager
def _printed(fps: float, stream: TextIO) -> Iterator[Show]:
    def show(moment: Moment) -> bool:
        if stream.isatty():
            stream.write("\x1b[H\x1b[2J")  # a terminal shows the frames in one place, at their speed
            time.sleep(END_SECONDS if moment.outcome else 1 / fps)
        stream.write(f"{moment.frame.rstrip()}\n{moment.line}\n\n")
        stream.flush()
        return True

    yield show
