"""Episodes that are left, begun again, watched at another speed, or played with weights that change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keel.agents.agent import Decision
from keel.runners.watch.episodes import Watched, film_rate, play, watch
from keel.runners.watch.insight import Insight
from keel.runners.window import Wish

from .test_episodes import Counter, First, Recorder, greys


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def test_each_episode_depends_on_the_seed_and_its_number_alone() -> None:
    envs, other = Counter(1), Counter(3)
    list(play(Watched(First(), envs), seed=7, episodes=3))
    moments = play(Watched(First(), other), seed=7, episodes=3)
    next(moments)
    for _ in range(2):
        moments.send(Wish.NEXT)
    assert envs.seeds == other.seeds
    assert len(set(envs.seeds)) == 3


def test_an_episode_is_begun_again_or_left_when_the_person_wants() -> None:
    envs = Counter(3)
    moments = play(Watched(First(), envs), seed=7, episodes=2)
    assert [next(moments).step, next(moments).step] == [0, 1]
    again = moments.send(Wish.RESTART)
    assert (again.episode, again.step, again.return_) == (1, 0, 0.0)
    assert next(moments).step == 1
    following = moments.send(Wish.NEXT)
    assert (following.episode, following.step) == (2, 0)
    assert envs.seeds[0] == envs.seeds[1] != envs.seeds[2]
    *_, end = [next(moments) for _ in range(3)]
    assert end.outcome == "terminated"
    once_more = moments.send(Wish.RESTART)  # also from its end
    assert (once_more.episode, once_more.step, once_more.outcome) == (2, 0, "")
    with pytest.raises(StopIteration):
        moments.send(Wish.NEXT)


def test_a_moment_says_what_is_seen_and_what_comes_next() -> None:
    class Alternating(Recorder):
        def act(self, observation: Any, memory: Any, is_first: Any, *, explore: bool) -> Decision:
            return Decision(np.array([int(observation[0, 0]) % 2]), memory, memory, is_first, {})

    def look(observation: Any, memory: Any, is_first: Any) -> Insight:
        return Insight(10.0 - float(observation[0, 0]))

    moments = list(play(Watched(Alternating(), Counter(3), look=look), seed=0, episodes=1))
    assert [(int(moment.view.observation[0]), int(moment.view.action)) for moment in moments] == [
        (0, 0), (1, 1), (2, 0), (2, 0)  # at the end the last one stays
    ]  # fmt: skip
    assert [moment.view.insight.value for moment in moments[:3]] == [10.0, 9.0, 8.0]
    assert moments[-1].rewards == [2.0, 2.0, 2.0]
    assert moments[-1].values == [10.0, 9.0, 8.0]


def test_new_weights_come_before_an_episode_and_the_end_of_them_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    weights = iter(["step 10", "step 20", None])
    told: list[dict[str, Any]] = []
    watched = Watched(Recorder(), Counter(2, text=True), before_episode=lambda: next(weights))
    seen = watch(watched, episodes=None, seed=0, text=True, told=told.append)
    assert [episode["weights"] for episode in seen["episodes"]] == ["step 10", "step 20"]
    assert told == seen["episodes"]
    assert "episode 2    step 1    return 2.00    step 20\n" in capsys.readouterr().out


def test_weights_stay_when_an_episode_is_begun_again() -> None:
    weights = iter(["step 10", "step 20", None])
    moments = play(Watched(Recorder(), Counter(2), before_episode=lambda: next(weights)), seed=0, episodes=None)
    assert next(moments).note == "step 10"
    assert moments.send(Wish.RESTART).note == "step 10"
    assert moments.send(Wish.NEXT).note == "step 20"


@pytest.mark.parametrize(
    ("fps", "speed", "every", "rate"),
    [(50, 1, 1, 50), (100, 1, 1, 100), (50, 0.5, 1, 25), (50, 2, 2, 50), (50, 64, 54, 3200 / 54), (12, 4, 1, 48)],
)
def test_fast_films_leave_moments_out(fps: float, speed: float, every: int, rate: float) -> None:
    assert film_rate(fps, speed) == (every, pytest.approx(rate))


@pytest.mark.usefixtures("no_display")
def test_a_fast_film_shows_every_so_many_moments_and_the_end(tmp_path: Path) -> None:
    envs = Counter(5)
    envs.frames_per_second = 50.0
    watch(Watched(Recorder(), envs), episodes=1, seed=0, video=tmp_path / "film.mp4", speed=2.0)
    shown = greys(tmp_path / "film.mp4")
    assert shown[:3] == [0, 2, 4]
    assert set(shown[3:]) == {5}
    assert len(shown[3:]) == 35


@pytest.mark.parametrize("speed", [0.0, 65.0, float("nan")])
def test_speeds_that_nobody_could_see_are_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed is"):
        watch(Watched(Recorder(), Counter(1)), episodes=1, seed=0, speed=speed)


def test_nothing_is_waited_for_after_the_last_episode() -> None:
    weights = iter(["step 10"])  # the next one would never come
    moments = play(Watched(Recorder(), Counter(2), before_episode=lambda: next(weights)), seed=0, episodes=1)
    assert [moment.note for moment in moments][-1] == "step 10"
