"""Watching an agent act: in a window, as a film, or as text. The agent acts greedily and nothing of it changes."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TextIO, TypeAlias, runtime_checkable

import numpy as np

from keel.agents.agent import Decision, Memory
from keel.agents.checks import between
from keel.envs.errors import KeelError
from keel.envs.protocol import Array, Frame, Observation, VecEnv
from keel.envs.seeding import derive_seed
from keel.runners.video import VideoWriter
from keel.runners.watch.moment import Moment, View
from keel.runners.window import FASTEST, SLOWEST, Window, Wish, open_window

if TYPE_CHECKING:
    from keel.runners.watch.insight import Look
    from keel.runners.watch.rows import Overlay

END_SECONDS = 0.7  # how long the end of an episode stays to be seen
MAX_STEPS = 10_000  # of one episode, for worlds that would never end
FILM_RATE = 60.0  # pictures a second; films at a higher speed leave some out


class Policy(Protocol):
    """The part of an agent that acts."""

    def initial_memory(self, batch: int) -> Memory: ...

    def act(self, observation: Observation, memory: Memory, is_first: Array, *, explore: bool) -> Decision: ...


@runtime_checkable
class KeepsFinalFrame(Protocol):
    """Worlds that keep how the first of them looked when the last step ended its episode, as `Vector` does."""

    final_frame: Frame | None


class Watched(NamedTuple):
    """Who is watched, and where.

    Attributes:
        envs: one world, made with render_mode "rgb_array" (to be shown as text: "ansi").
        title: for instance the environment and the agent.
        look: how to look into the agent, where the overlay shall say what it thinks.
        overlay: what the panel beside the frame says of world and agent; None: there is no panel.
        before_episode: called before each new one, as to load newer weights; says which weights act, or None when
            there is nothing more to see.
    """

    policy: Policy
    envs: VecEnv
    title: str = ""
    look: Look | None = None
    overlay: Overlay | None = None
    before_episode: Callable[[], str | None] | None = None


Moments: TypeAlias = Generator[Moment, Wish | None, None]  # may be sent what the person wants next
Show: TypeAlias = Callable[[Moment], Wish]


def watch(
    watched: Watched,
    *,
    episodes: int | None,
    seed: int,
    video: Path | None = None,
    default_video: Path = Path("watch.mp4"),
    text: bool = False,
    speed: float = 1.0,
    told: Callable[[dict[str, Any]], None] = lambda episode: None,
) -> dict[str, Any]:
    """Show episodes in a window, or film them where `video` asks for it or where no window can be opened.

    Args:
        episodes: how many; None: until the window is closed or there is nothing more to see.
        video: the film's file. default_video: the film's file where there is no display.
        text: print the frames of a world that draws itself in text.
        speed: times that of the world, 1/16 to 64; in a window to begin with.
        told: called with each episode when it ends.
    Returns: `episodes`, for each that was seen to its end `return`, `length` and `outcome`; `video`, the film or None.
    Raises:
        ValueError: a setting out of its range.
        KeelError: the environment cannot be drawn.
    """
    between(SLOWEST, FASTEST, speed=speed)
    moments = play(watched, seed=seed, episodes=episodes, text=text)
    fps, film = watched.envs.frames_per_second, None
    if text:
        viewer = _printed(watched, fps * speed, sys.stdout)
    elif video is None and (window := open_window(watched.title)) is not None:
        window.speed = speed
        viewer = _windowed(window, watched, fps)
    else:
        film = video or default_video
        viewer = _filmed(film, watched, fps, speed)
    return {"episodes": _view(viewer, moments, told), "video": None if film is None else str(film)}


def record_episode(
    policy: Policy, envs: VecEnv, path: Path, *, seed: int, max_steps: int = MAX_STEPS
) -> dict[str, Any]:
    """Film the first episode of `seed`, cut after `max_steps`. Returns: its `return` and `length`, and the `path`."""
    watched = Watched(policy, envs)
    moments = play(watched, seed=seed, episodes=1, max_steps=max_steps)
    episode = _view(_filmed(path, watched, envs.frames_per_second, 1.0), moments)[0]
    return {"return": episode["return"], "length": episode["length"], "path": str(path)}


def play(
    watched: Watched, *, seed: int, episodes: int | None, max_steps: int = MAX_STEPS, text: bool = False
) -> Moments:
    """The moments of the episodes of `seed`: one before every action and one when the episode has ended.

    Episode k depends on the seed and on k alone. Sent `Wish.NEXT`, it leaves the episode for the next one; sent
    `Wish.RESTART`, it begins this one again.

    A vector environment that reports an end has begun an episode of its own already. The moment of the end has the
    frame that it kept of the world as the last action left it; where it kept none, the frame that this action answered.
    """
    for name, value in (("episodes", episodes), ("max_steps", max_steps)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if watched.envs.num_envs != 1:
        raise ValueError(f"one world is watched at a time, got num_envs {watched.envs.num_envs}")
    return _play(watched, seed, episodes, max_steps, text)


def _play(watched: Watched, seed: int, episodes: int | None, max_steps: int, text: bool) -> Moments:
    episode, wish, note = 0, Wish.NEXT, ""
    while True:
        if wish is not Wish.RESTART:
            episode += 1
            if episodes is not None and episode > episodes:
                return  # without a look at what comes next, which could be long in coming
            note = watched.before_episode() if watched.before_episode is not None else ""
            if note is None:
                return
        start = seed if episode == 1 else derive_seed(seed, "episode", episode)
        wish = yield from _play_episode(watched, start, episode, max_steps, text, note)


def _play_episode(
    watched: Watched, seed: int, episode: int, max_steps: int, text: bool, note: str
) -> Generator[Moment, Wish | None, Wish]:
    """One episode; returns what follows it: the next one, or this one again."""
    policy, envs = watched.policy, watched.envs
    observation, rewards, values = envs.reset(seed), [], []
    memory, is_first = policy.initial_memory(1), np.ones(1, dtype=bool)
    frame, return_, outcome, view = _frame(envs, text), 0.0, "", None
    while not outcome:
        decision = policy.act(observation, memory, is_first, explore=False)
        insight = None if watched.look is None else watched.look(observation, memory, is_first)
        if insight is not None and insight.value is not None:
            values.append(insight.value)
        view = View(_first(observation), decision.action[0], insight)
        wish = yield Moment(frame, episode, len(rewards), return_, "", view, rewards, values, note)
        if wish in (Wish.NEXT, Wish.RESTART):
            return wish
        followed = envs.step(decision.action)
        observation, memory, is_first = followed.observation, decision.memory, np.zeros(1, dtype=bool)
        rewards.append(float(followed.reward[0]))
        return_ += rewards[-1]
        outcome = _outcome(bool(followed.terminated[0]), bool(followed.truncated[0]), len(rewards) >= max_steps)
        if outcome in ("", "cut"):
            frame = _frame(envs, text)
        elif isinstance(envs, KeepsFinalFrame) and envs.final_frame is not None:
            frame = envs.final_frame
    wish = yield Moment(frame, episode, len(rewards), return_, outcome, view, rewards, values, note)
    return Wish.RESTART if wish is Wish.RESTART else Wish.NEXT


def _first(observation: Observation) -> Observation:
    """The one world's observation."""
    if isinstance(observation, dict):
        return {key: _first(part) for key, part in observation.items()}
    return observation[0]


def _outcome(terminated: bool, truncated: bool, cut: bool) -> str:
    return "terminated" if terminated else "truncated" if truncated else "cut" if cut else ""


def _frame(envs: VecEnv, text: bool) -> Any:
    frame: Any = envs.render()
    if text:
        fits, wanted = isinstance(frame, str), "text (render_mode 'ansi'): without --text it is a picture"
    else:
        fits = isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3
        wanted = "an image [H W 3] uint8 (render_mode 'rgb_array')"
    if not fits:
        got = f"{frame.dtype} {list(frame.shape)}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise KeelError(f"the environment cannot be drawn: render() gave {got}, needed is {wanted}")
    return frame


def _view(
    viewer: AbstractContextManager[Show],
    moments: Moments,
    told: Callable[[dict[str, Any]], None] = lambda episode: None,
) -> list[dict[str, Any]]:
    """Show moments until they end or the person has seen enough; returns the episodes that were seen to their end."""
    seen: list[dict[str, Any]] = []
    wish: Wish | None = None
    with viewer as show:
        while wish is not Wish.QUIT:
            try:
                moment = moments.send(wish)
            except StopIteration:
                break
            if moment.outcome:
                seen.append(ended(moment))
                told(seen[-1])
            wish = show(moment)
    return seen


def ended(moment: Moment) -> dict[str, Any]:
    """An episode at whose end the moment is, in numbers."""
    episode = {"return": moment.return_, "length": moment.step, "outcome": moment.outcome}
    return episode | ({"weights": moment.note} if moment.note else {})


@contextlib.contextmanager
def _windowed(window: Window, watched: Watched, fps: float) -> Iterator[Show]:
    from keel.runners.watch.picture import paint_moment, picture_size

    with window:

        def show(moment: Moment) -> Wish:
            def paint(surface: Any, with_overlay: bool) -> None:
                paint_moment(surface, moment, watched.overlay if with_overlay else None)

            size = picture_size(moment.frame, watched.overlay is not None)
            return window.present(paint, size, moment.line, END_SECONDS if moment.outcome else 1 / fps)

        yield show


@contextlib.contextmanager
def _filmed(path: Path, watched: Watched, fps: float, speed: float) -> Iterator[Show]:
    """With the overlay where there is one. At a higher speed only every so many moments are drawn."""
    every, rate = film_rate(fps, speed)
    with VideoWriter(path, rate) as writer:

        def show(moment: Moment) -> Wish:
            if moment.outcome or moment.step % every == 0:
                picture = moment.frame
                if watched.overlay is not None:
                    from keel.runners.watch.picture import moment_picture

                    picture = moment_picture(moment, watched.overlay)
                for _ in range(max(1, round(END_SECONDS * rate)) if moment.outcome else 1):
                    writer.append(picture)
            return Wish.GO_ON

        yield show


def film_rate(fps: float, speed: float) -> tuple[int, float]:
    """Of how many moments one is filmed, and how many pictures a second there are then."""
    every = max(1, round(np.ceil(fps * speed / FILM_RATE))) if speed > 1 else 1
    return every, fps * speed / every


@contextlib.contextmanager
def _printed(watched: Watched, per_second: float, stream: TextIO) -> Iterator[Show]:
    def show(moment: Moment) -> Wish:
        if stream.isatty():
            stream.write("\x1b[H\x1b[2J")  # a terminal shows the frames in one place, at their speed
            time.sleep(END_SECONDS if moment.outcome else 1 / per_second)
        said = [moment.frame.rstrip(), moment.line]
        if watched.overlay is not None:
            from keel.runners.watch.rows import overlay_lines

            said += overlay_lines(moment, watched.overlay)
        stream.write("\n".join([*said, "", ""]))
        stream.flush()
        return Wish.GO_ON

    yield show
