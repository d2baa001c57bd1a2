"""Several agents side by side: each in its own world, all in one picture, with their titles and returns."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from keel.agents.checks import between
from keel.envs.protocol import Array
from keel.runners.video import VideoWriter
from keel.runners.watch.episodes import END_SECONDS, Moments, Watched, ended, film_rate, play
from keel.runners.watch.moment import Moment
from keel.runners.window import FASTEST, SLOWEST, Wish, open_window

if TYPE_CHECKING:
    import pygame

MOST = 16
WIDTH, MOST_HEIGHT = 1280, 960  # pixels of a film, and of a window to begin with
GAP, CAPTION = 8, 54

Told: TypeAlias = Callable[[int, dict[str, Any]], None]
Rounds: TypeAlias = Generator[list[Moment], Wish | None, None]


class Places(NamedTuple):
    """Where the cells are: columns and rows of one size."""

    columns: int
    rows: int
    width: int  # of a cell
    height: int


def watch_grid(
    all_watched: Sequence[Watched],
    *,
    episodes: int | None,
    seed: int,
    video: Path | None = None,
    default_video: Path = Path("watch.mp4"),
    speed: float = 1.0,
    told: Told = lambda index, episode: None,
) -> dict[str, Any]:
    """Show several agents at once, each at the speed of its world. Who has ended is shown as it was until all have;
    then all begin their next episode.

    Args: as `keel.runners.watch.episodes.watch` has them; `told` is called with the agent's number and its episode.
    Returns: `agents`, for each its `title` and `episodes`; `video`, the film or None.
    Raises:
        ValueError: fewer than two or more than 16 agents, or a setting out of its range.
        KeelError: an environment cannot be drawn.
    """
    if not 2 <= len(all_watched) <= MOST:
        raise ValueError(f"a grid shows 2 to {MOST} agents at once, got {len(all_watched)}")
    between(SLOWEST, FASTEST, speed=speed)
    rates = [watched.envs.frames_per_second for watched in all_watched]
    moments = rounds([play(watched, seed=seed, episodes=episodes) for watched in all_watched], rates)
    titles = [watched.title for watched in all_watched]
    seen: list[list[dict[str, Any]]] = [[] for _ in all_watched]

    def note(shown: list[Moment], before: list[Moment] | None) -> None:
        for index, moment in enumerate(shown):
            if moment.outcome and (before is None or before[index] is not moment):
                seen[index].append(ended(moment))
                told(index, seen[index][-1])

    window = open_window(f"{len(titles)} agents") if video is None else None
    film = None if window is not None else video or default_video
    if window is not None:
        window.speed = speed
        with window:
            _show(moments, lambda shown: _present(window, titles, shown, max(rates)), note)
    else:
        assert film is not None
        every, rate = film_rate(max(rates), speed)
        with VideoWriter(film, rate) as writer:
            _show(moments, _filming(writer, titles, every, rate), note)
    agents = [{"title": title, "episodes": own} for title, own in zip(titles, seen, strict=True)]
    return {"agents": agents, "video": None if film is None else str(film)}


def rounds(games: Sequence[Moments], rates: Sequence[float]) -> Rounds:
    """What all show at once: the moments of each, by their worlds' rates [1/s], the ended ones held.

    Sent `Wish.NEXT` or `Wish.RESTART`, all of them do that. It ends where one of them has no further episode.
    """
    shares = [rate / max(rates) for rate in rates]
    try:
        moments, tick = [next(game) for game in games], 0
        while True:
            wish = yield list(moments)
            if wish in (Wish.NEXT, Wish.RESTART) or all(moment.outcome for moment in moments):
                moments, tick = [game.send(wish) for game in games], 0
                continue
            tick += 1
            for index, share in enumerate(shares):
                due = math.floor(tick * share + 1e-9) > math.floor((tick - 1) * share + 1e-9)
                if due and not moments[index].outcome:
                    moments[index] = next(games[index])
    except StopIteration:
        return


def _show(
    moments: Rounds,
    show: Callable[[list[Moment]], Wish],
    note: Callable[[list[Moment], list[Moment] | None], None],
) -> None:
    wish, before = None, None
    with contextlib.suppress(StopIteration):
        while wish is not Wish.QUIT:
            shown = moments.send(wish)
            note(shown, before)
            wish, before = show(shown), shown


def _present(window: Any, titles: Sequence[str], shown: list[Moment], rate: float) -> Wish:
    def paint(surface: pygame.Surface, with_overlay: bool) -> None:
        paint_grid(surface, titles, shown, captions=with_overlay)

    over = all(moment.outcome for moment in shown)
    going = sum(not moment.outcome for moment in shown)
    line = f"episode {shown[0].episode}    {going} of {len(shown)} going on"
    return window.present(paint, grid_size([moment.frame for moment in shown]), line, END_SECONDS if over else 1 / rate)


def _filming(writer: VideoWriter, titles: Sequence[str], every: int, rate: float) -> Callable[[list[Moment]], Wish]:
    from keel.runners.watch.picture import painted

    tick, size = 0, (0, 0)

    def show(shown: list[Moment]) -> Wish:
        nonlocal tick, size
        over = all(moment.outcome for moment in shown)
        if over or tick % every == 0:
            size = grid_size([moment.frame for moment in shown]) if writer.frames == 0 else size
            picture = painted(lambda surface: paint_grid(surface, titles, shown), size)
            for _ in range(max(1, round(END_SECONDS * rate)) if over else 1):
                writer.append(picture)
        tick = 0 if over else tick + 1
        return Wish.GO_ON

    return show


def grid_size(frames: Sequence[Array]) -> tuple[int, int]:
    """Width and height of a picture in which all frames are about as large as they can be; even numbers."""
    columns = columns_for(len(frames))
    rows = -(-len(frames) // columns)
    tallest = max(frame.shape[0] / frame.shape[1] for frame in frames)
    cell = (WIDTH - GAP) // columns - GAP
    height = min(rows * (round(cell * tallest) + CAPTION + GAP) + GAP, MOST_HEIGHT)
    return WIDTH, height + height % 2


def columns_for(count: int) -> int:
    """As many as rows, or one more."""
    return math.ceil(math.sqrt(count))


def arrange(count: int, size: tuple[int, int]) -> Places:
    columns = columns_for(count)
    rows = -(-count // columns)
    return Places(columns, rows, (size[0] - GAP) // columns - GAP, (size[1] - GAP) // rows - GAP)


def paint_grid(
    surface: pygame.Surface, titles: Sequence[str], moments: Sequence[Moment], *, captions: bool = True
) -> None:
    """All of the surface: a cell each, its frame in its own proportions, and below it who that is and how it goes."""
    import pygame

    from keel.envs.cooling.panel_paint import BACKGROUND, CARD, DIM, GREEN, GRID, MEDIUM, SAND, SMALL, TEXT, Pen
    from keel.runners.watch.names import short
    from keel.runners.window import paint_frame

    surface.fill(BACKGROUND)
    places = arrange(len(moments), surface.get_size())
    caption = CAPTION if captions and places.height > 2 * CAPTION else 0
    for index, (title, moment) in enumerate(zip(titles, moments, strict=True)):
        row, column = divmod(index, places.columns)
        left, top = GAP + column * (places.width + GAP), GAP + row * (places.height + GAP)
        cell = pygame.Rect(left, top, max(1, places.width), max(1, places.height))
        inside = surface.subsurface(cell.clip(surface.get_rect()))
        pen = Pen(inside)
        area = inside.get_rect()
        pen.box(area, CARD, GRID)
        paint_frame(inside.subsurface((0, 0, area.width, max(1, area.height - caption))), moment.frame)
        if not caption:
            continue
        right = f"return {short(moment.return_)}"
        room = area.width - 40 - pen.text(right, area.width - 12, area.height - 37, MEDIUM, GREEN, 1.0).width
        pen.text(title, 12, area.height - 37, MEDIUM, TEXT, width=room)
        step = f"episode {moment.episode}  ·  step {moment.step}" + (f"  ·  {moment.note}" if moment.note else "")
        pen.text(step, 12, area.height - 15, SMALL, DIM, width=area.width - 120)
        if moment.outcome:
            pen.text(moment.outcome, area.width - 12, area.height - 15, SMALL, SAND, 1.0)
        elif len(moment.values) > moment.step:
            pen.text(f"value {short(moment.values[moment.step])}", area.width - 12, area.height - 15, SMALL, DIM, 1.0)
