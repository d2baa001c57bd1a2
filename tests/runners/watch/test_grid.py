"""Several agents in one picture: each at its own speed, the ended ones wait, and all begin again together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from keel.runners.watch.episodes import Watched
from keel.runners.watch.grid import CAPTION, GAP, arrange, columns_for, grid_size, paint_grid, rounds, watch_grid
from keel.runners.watch.moment import Moment
from keel.runners.watch.picture import painted
from keel.runners.window import Wish

from .test_episodes import Counter, First


def moment(number: int, outcome: str = "", size: tuple[int, int] = (30, 40), grey: int = 200) -> Moment:
    return Moment(np.full((*size, 3), grey, np.uint8), 1, number, float(number), outcome)


def game(*lengths: int) -> Iterator[Moment]:
    """Episodes of these lengths; understands wishes as `play` does."""
    index = 0
    while index < len(lengths):
        wish: Any = None
        for step in range(lengths[index] + 1):
            wish = yield moment(step, "terminated" if step == lengths[index] else "")._replace(episode=index + 1)
            if wish in (Wish.NEXT, Wish.RESTART):
                break
        index += wish is not Wish.RESTART


def steps(shown: list[Moment]) -> tuple[int, ...]:
    return tuple(one.step for one in shown)


def test_the_ended_wait_for_the_others_and_all_begin_together() -> None:
    shown = list(rounds([game(1, 2), game(3, 1)], [10.0, 10.0]))  # pyright: ignore[reportArgumentType]
    assert [steps(one) for one in shown] == [(0, 0), (1, 1), (1, 2), (1, 3), (0, 0), (1, 1), (2, 1)]
    assert [one[0].episode for one in shown] == [1, 1, 1, 1, 2, 2, 2]


def test_each_goes_at_the_speed_of_its_world() -> None:
    shown = list(rounds([game(20), game(4)], [50.0, 10.0]))  # pyright: ignore[reportArgumentType]
    assert len(shown) == 21
    assert all(slow == fast // 5 for fast, slow in map(steps, shown))


@pytest.mark.parametrize(("wish", "episode"), [(Wish.NEXT, 2), (Wish.RESTART, 1)])
def test_a_wish_is_everybodys(wish: Wish, episode: int) -> None:
    moments = rounds([game(1, 1), game(5, 5)], [10.0, 10.0])  # pyright: ignore[reportArgumentType]
    for _ in range(3):
        next(moments)
    shown = moments.send(wish)
    assert steps(shown) == (0, 0)
    assert [one.episode for one in shown] == [episode, episode]


@pytest.mark.parametrize(("count", "columns"), [(2, 2), (3, 2), (4, 2), (5, 3), (9, 3), (16, 4)])
def test_cells_do_not_overlap_and_stay_inside(count: int, columns: int) -> None:
    assert columns_for(count) == columns
    size = grid_size([np.zeros((400, 600, 3), np.uint8)] * count)
    places = arrange(count, size)
    assert places.columns * (places.width + GAP) + GAP <= size[0]
    assert places.rows * (places.height + GAP) + GAP <= size[1]
    assert places.columns * places.rows >= count
    assert all(side % 2 == 0 for side in size)


def test_frames_of_any_size_keep_their_proportions() -> None:
    shown = [moment(0, size=(100, 50), grey=250), moment(0, size=(20, 200), grey=251)]
    size = grid_size([one.frame for one in shown])
    picture = painted(lambda surface: paint_grid(surface, ["one", "two"], shown), size)
    for grey, ratio in ((250, 2.0), (251, 0.1)):
        lit = (picture[: -CAPTION - GAP] == grey).all(axis=2)
        height, width = np.ptp(np.flatnonzero(lit.any(axis=1))) + 1, np.ptp(np.flatnonzero(lit.any(axis=0))) + 1
        assert height / width == pytest.approx(ratio, rel=0.05)
        assert lit.sum() >= 0.98 * height * width


def test_titles_and_ends_are_seen_and_can_be_left_out() -> None:
    def picture(titles: list[str], shown: list[Moment], captions: bool = True) -> Any:
        return painted(lambda surface: paint_grid(surface, titles, shown, captions=captions), (1280, 400))

    before, after = [moment(3), moment(3)], [moment(3), moment(3, "terminated")]
    assert np.any(picture(["one", "two"], before) != picture(["one", "three"], before))
    assert np.any(picture(["one", "two"], before) != picture(["one", "two"], after))
    bare = picture(["one", "two"], before, captions=False)
    assert np.array_equal(bare, picture(["x", "y"], after, captions=False))
    assert (bare == 200).sum() > (picture(["one", "two"], before) == 200).sum()


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


@pytest.mark.usefixtures("no_display")
def test_a_film_of_two_agents_and_what_came_of_it(tmp_path: Path) -> None:
    worlds = [Counter(2, 1), Counter(4, 3)]
    worlds[1].frames_per_second = 5.0
    told: list[Any] = []
    seen = watch_grid(
        [Watched(First(), world, title) for world, title in zip(worlds, ("one", "two"), strict=True)],
        episodes=2,
        seed=3,
        default_video=tmp_path / "grid.mp4",
        told=lambda index, episode: told.append((index, episode["return"])),
    )
    assert [agent["title"] for agent in seen["agents"]] == ["one", "two"]
    assert [[episode["length"] for episode in agent["episodes"]] for agent in seen["agents"]] == [[2, 1], [4, 3]]
    assert told == [(0, 4.0), (1, 8.0), (0, 2.0), (1, 6.0)]
    assert worlds[0].seeds == worlds[1].seeds  # the same episodes, where the worlds are the same
    with av.open(seen["video"]) as film:
        stream = film.streams.video[0]
        assert stream.average_rate == 10
        count = sum(1 for _ in film.decode(video=0))
    assert count == (2 * 4 + 7) + (2 * 3 + 7)  # the slower one's steps twice, and the ends for 0.7 seconds


@pytest.mark.usefixtures("no_display")
def test_a_window_shows_all_and_hears_wishes(monkeypatch: pytest.MonkeyPatch) -> None:
    import pygame

    monkeypatch.setattr("keel.runners.window.has_display", lambda: True)
    monkeypatch.setattr("keel.runners.watch.grid.END_SECONDS", 0.01)
    world = Counter(3)
    world.frames_per_second = 500.0
    pygame.display.init()
    for key in (pygame.K_r, pygame.K_o):
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))
    seen = watch_grid([Watched(First(), world), Watched(First(), Counter(2))], episodes=1, seed=0, speed=4.0)
    assert seen["video"] is None
    assert [len(agent["episodes"]) for agent in seen["agents"]] == [1, 1]
    assert len(world.seeds) == 2  # begun again
    assert world.seeds[0] == world.seeds[1]
    assert not pygame.display.get_init()


def test_settings_are_checked() -> None:
    one = Watched(First(), Counter(1))
    with pytest.raises(ValueError, match="2 to 16 agents at once, got 17"):
        watch_grid([one] * 17, episodes=1, seed=0)
    with pytest.raises(ValueError, match="speed is 100"):
        watch_grid([one] * 2, episodes=1, seed=0, speed=100)
