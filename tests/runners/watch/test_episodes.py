"""Watching shows the right moments, in whichever way, and leaves the agent and the file system as they should be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import av
import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from keel.agents.agent import Decision
from keel.envs.errors import KeelError
from keel.envs.protocol import Step
from keel.envs.vector import make_vec
from keel.runners.watch import episodes as watching
from keel.runners.watch.episodes import KeepsFinalFrame, Watched, play, record_episode, watch
from keel.runners.window import Window, has_display


class Counter:
    """One world that counts its steps: reset k leads to an episode of `lengths[k]`; the frame's grey is 40 times the
    count. Where it begins the next episode of itself, that has the same length."""

    num_envs = 1
    observation_space: spaces.Space[Any] = spaces.Box(0, 100, (1,), np.float32)
    action_space: spaces.Space[Any] = spaces.Discrete(2)
    resume: Literal["exact", "approximate"] = "exact"
    frames_per_second = 10.0

    def __init__(self, *lengths: int, text: bool = False, truncate: bool = False) -> None:
        self.lengths, self.text, self.truncate = lengths, text, truncate
        self.seeds: list[int] = []
        self.actions = 0
        self.final_frame: Any = None

    def reset(self, seed: int) -> Any:
        self.length = self.lengths[len(self.seeds) % len(self.lengths)]
        self.seeds.append(seed)
        self.count = 0
        return self._observation()

    def step(self, action: Any) -> Step:
        self.actions += 1
        self.count += 1
        end = np.array([self.count >= self.length])
        self.final_frame = self.render() if end[0] else None
        if end[0]:
            self.count = 0
        never = np.array([False])
        terminated, truncated = (never, end) if self.truncate else (end, never)
        return Step(self._observation(), np.array([2.0]), terminated, truncated, None, {})

    def _observation(self) -> Any:
        return np.array([[self.count]], np.float32)

    def render(self) -> Any:
        return f"count {self.count}\n" if self.text else np.full((32, 48, 3), 40 * self.count, np.uint8)

    def state_dict(self) -> Any: ...
    def load_state_dict(self, state: Any) -> Any: ...
    def close(self) -> None: ...


class Recorder:
    """A policy that notes what it is asked; its memory counts the steps since it was cleared."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, bool, bool]] = []

    def initial_memory(self, batch: int) -> Any:
        return (0,)

    def act(self, observation: Any, memory: Any, is_first: Any, *, explore: bool) -> Decision:
        self.asked.append((int(observation[0, 0]), memory[0], bool(is_first[0]), explore))
        return Decision(np.array([0]), (memory[0] + 1,), memory, is_first, {})


class First(Recorder):
    """Takes the first action, whatever it sees."""

    def act(self, observation: Any, memory: Any, is_first: Any, *, explore: bool) -> Decision:
        return Decision(np.array([0]), memory, memory, is_first, {})


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


@pytest.fixture
def window(no_display: None) -> Iterator[Window]:
    with Window("a world") as opened:
        yield opened


def greys(path: Path) -> list[int]:
    """The counts that a film of `Counter` shows."""
    with av.open(str(path)) as film:
        return [round(frame.to_ndarray(format="rgb24").mean() / 40) for frame in film.decode(video=0)]


def press(key: str) -> None:
    import pygame

    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=getattr(pygame, f"K_{key}")))


def frame() -> Any:
    return np.full((30, 40, 3), 200, np.uint8)


def test_play_shows_a_moment_before_each_action_and_one_at_each_end() -> None:
    policy = Recorder()
    moments = list(play(Watched(policy, Counter(3, 2)), seed=7, episodes=2))
    shown = [(moment.episode, moment.step, moment.return_, moment.outcome) for moment in moments]
    assert shown == [
        (1, 0, 0, ""), (1, 1, 2, ""), (1, 2, 4, ""), (1, 3, 6, "terminated"),
        (2, 0, 0, ""), (2, 1, 2, ""), (2, 2, 4, "terminated"),
    ]  # fmt: skip
    assert [int(moment.frame[0, 0, 0]) // 40 for moment in moments] == [0, 1, 2, 3, 0, 1, 2]


def test_worlds_that_keep_no_final_frame_end_with_the_one_before() -> None:
    envs = Counter(3, 2)
    envs.step, step = (lambda action: (step(action), setattr(envs, "final_frame", None))[0]), envs.step
    moments = list(play(Watched(Recorder(), envs), seed=7, episodes=2))
    assert [int(moment.frame[0, 0, 0]) // 40 for moment in moments] == [0, 1, 2, 2, 0, 1, 1]


def test_play_asks_greedily_and_clears_the_memory_at_each_start() -> None:
    policy = Recorder()
    list(play(Watched(policy, Counter(2)), seed=0, episodes=2))
    assert policy.asked == [(0, 0, True, False), (1, 1, False, False), (0, 0, True, False), (1, 1, False, False)]


def test_an_endless_episode_is_cut_and_the_next_one_differs() -> None:
    envs = Counter(1000)
    moments = list(play(Watched(Recorder(), envs), seed=7, episodes=3, max_steps=2))
    assert [moment.outcome for moment in moments] == ["", "", "cut"] * 3
    assert int(moments[2].frame[0, 0, 0]) == 80  # nothing was reset, so the last frame can be drawn
    assert envs.seeds[0] == 7
    assert len(set(envs.seeds[:3])) == 3


def test_settings_and_worlds_that_cannot_be_watched_are_refused_before_the_first_step() -> None:
    envs = Counter(2)
    with pytest.raises(ValueError, match="episodes must be at least 1, got 0"):
        watch(Watched(Recorder(), envs, ""), episodes=0, seed=0)
    with pytest.raises(ValueError, match="max_steps must be at least 1, got 0"):
        play(Watched(Recorder(), envs), seed=0, episodes=1, max_steps=0)
    with pytest.raises(KeelError, match=r"cannot be drawn.*uint8 .*needed is text"):
        watch(Watched(Recorder(), envs, ""), episodes=1, seed=0, text=True)
    with pytest.raises(KeelError, match=r"cannot be drawn.*gave str, needed is an image"):
        list(play(Watched(Recorder(), Counter(2, text=True)), seed=0, episodes=1))
    envs.num_envs = 2
    with pytest.raises(ValueError, match="num_envs 2"):
        play(Watched(Recorder(), envs), seed=0, episodes=1)
    assert envs.actions == 0


def test_record_episode_films_one_episode(tmp_path: Path) -> None:
    path = tmp_path / "videos" / "step.mp4"
    assert record_episode(Recorder(), Counter(4, 2), path, seed=0) == {
        "return": 8.0, "length": 4, "path": str(path)
    }  # fmt: skip
    shown = greys(path)
    assert shown[:4] == [0, 1, 2, 3]
    assert set(shown[4:]) == {4}
    assert len(shown[4:]) == 7  # the end stays for 0.7 seconds


class CountingWorld(gymnasium.Env[Any, Any]):
    """`Counter` as a Gymnasium environment; every episode ends after 4 steps."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array", "ansi"], "render_fps": 10}  # pyright: ignore
    observation_space: spaces.Space[Any] = spaces.Box(0, 100, (1,), np.float32)
    action_space: spaces.Space[Any] = spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.count += 1
        return np.full(1, self.count, np.float32), 2.0, self.count == 4, False, {}

    def render(self) -> Any:
        text = self.render_mode == "ansi"
        return f"count {self.count}\n" if text else np.full((32, 48, 3), 40 * self.count, np.uint8)


@pytest.fixture
def counting_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The id of `CountingWorld`, known to worker processes too."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    gymnasium.register("test/Counting-v0", entry_point=f"{Path(__file__).stem}:CountingWorld")
    yield "test/Counting-v0"
    gymnasium.registry.pop("test/Counting-v0")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_film_shows_the_world_as_the_last_action_left_it(workers: int, counting_world: str, tmp_path: Path) -> None:
    envs = make_vec(counting_world, 1, workers=workers, render_mode="rgb_array")
    path = tmp_path / "film.mp4"
    assert record_episode(Recorder(), envs, path, seed=0)["length"] == 4
    assert greys(path) == [0, 1, 2, 3] + [4] * 7  # the end stays for 0.7 seconds
    envs.close()


def test_the_final_frame_is_kept_for_one_step_and_drawn_only_where_asked(counting_world: str) -> None:
    drawn = make_vec(counting_world, 2, render_mode="ansi")
    plain = make_vec(counting_world, 2)
    for envs, kept in ((drawn, "count 4\n"), (plain, None)):
        assert isinstance(envs, KeepsFinalFrame)
        envs.reset(0)
        frames = []
        for _ in range(9):
            envs.step(np.zeros(2, np.int64))
            frames.append(envs.final_frame)
        assert frames == [None, None, None, kept, None, None, None, kept, None]
    assert drawn.render() == "count 1\n"


def test_the_last_move_of_a_game_is_seen() -> None:
    envs = make_vec("keel/TicTacToe-v0", 1, env_options={"seat": "first"}, render_mode="ansi")
    *_, before, end = play(Watched(First(), envs), seed=0, episodes=1, text=True)  # a cell taken twice loses
    envs.close()
    assert "X to move" in before.frame
    assert end.frame.endswith("you are X, the game has ended\n")


def test_record_episode_of_a_real_world(tmp_path: Path) -> None:
    envs = make_vec("keel/CartPole-v0", 1, render_mode="rgb_array")
    seen = record_episode(Recorder(), envs, tmp_path / "film.gif", seed=1)
    assert 5 <= seen["length"] <= 20  # always to the left: the pole falls soon
    assert seen["return"] == seen["length"]
    envs.close()


@pytest.mark.parametrize(("env_id", "per_second"), [("CartPole-v1", 50), ("FrozenLake-v1", 4)])
def test_a_film_has_the_speed_of_its_world(env_id: str, per_second: int, tmp_path: Path) -> None:
    envs = make_vec(env_id, 1, render_mode="rgb_array")
    record_episode(First(), envs, tmp_path / "film.mp4", seed=1)
    envs.close()
    with av.open(str(tmp_path / "film.mp4")) as film:
        assert film.streams.video[0].average_rate == per_second


@pytest.mark.parametrize(("env_id", "words"), [("keel/CartPole-v0", "angular velocity"), ("FrozenLake-v1", "FFG")])
def test_real_worlds_draw_themselves_in_text(env_id: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    envs = make_vec(env_id, 1, render_mode="ansi")
    seen = watch(Watched(First(), envs, ""), episodes=1, seed=0, text=True)
    envs.close()
    assert capsys.readouterr().out.count(words) == seen["episodes"][0]["length"] + 1  # the end is shown too


def test_without_display_a_film_is_written(tmp_path: Path, no_display: None) -> None:
    path = tmp_path / "watch.mp4"
    seen = watch(Watched(Recorder(), Counter(2, 3, truncate=True), ""), episodes=2, seed=0, default_video=path)
    assert seen == {
        "episodes": [
            {"return": 4.0, "length": 2, "outcome": "truncated"},
            {"return": 6.0, "length": 3, "outcome": "truncated"},
        ],
        "video": str(path),
    }
    assert path.is_file()


def test_a_display_that_does_not_answer_means_a_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(title: str) -> Window:
        raise KeelError("no window can be opened: the display does not answer")

    monkeypatch.setattr("keel.runners.window.has_display", lambda: True)
    monkeypatch.setattr("keel.runners.window.Window", broken)
    path = tmp_path / "watch.gif"
    assert watch(Watched(Recorder(), Counter(2), ""), episodes=1, seed=0, default_video=path)["video"] == str(path)
    captured = capsys.readouterr()
    assert "display does not answer; filming instead" in captured.err
    assert captured.out == ""


def test_text_is_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    seen = watch(Watched(Recorder(), Counter(2, text=True), ""), episodes=1, seed=0, text=True)
    assert seen["video"] is None
    printed = capsys.readouterr().out
    assert printed.index("count 0\nepisode 1    step 0") < printed.index("count 1\nepisode 1    step 1")
    assert "terminated" in printed


def test_has_display_follows_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert not has_display()
    monkeypatch.setenv("DISPLAY", ":0")
    assert has_display()
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    assert not has_display()


def test_watch_in_a_window_shows_every_episode(monkeypatch: pytest.MonkeyPatch, no_display: None) -> None:
    import pygame

    monkeypatch.setattr("keel.runners.window.has_display", lambda: True)
    monkeypatch.setattr(watching, "END_SECONDS", 0.01)
    envs = Counter(2)
    envs.frames_per_second = 500.0
    seen = watch(Watched(Recorder(), envs, "a world"), episodes=3, seed=0)
    assert seen["video"] is None
    assert len(seen["episodes"]) == 3
    assert not pygame.display.get_init()
