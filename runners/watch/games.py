"""`keel watch` for board games: an agent against itself or against another player, in a window, as a film or as text."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TextIO, TypeAlias

from keel.agents.checks import at_least, between
from keel.agents.players import Player
from keel.envs.errors import KeelError
from keel.envs.games.game import Game
from keel.envs.seeding import derive_seed
from keel.runners.arena.match import OPENING_MOVES, draw_openings
from keel.runners.games.scenes import Scene, play_scenes
from keel.runners.run import Run
from keel.runners.selfplay.settings import is_selfplay
from keel.runners.video import VideoWriter
from keel.runners.window import FASTEST, SLOWEST, Window, open_window

MOVE_SECONDS, END_SECONDS = 1.0, 4.0  # a position stays so long, and the last one of a game, so that the win is seen
GAMES = 2  # one with each colour

Show: TypeAlias = Callable[[Scene], bool]  # False when the person has seen enough


def watch_games(
    game: Game,
    first: Player,
    second: Player,
    *,
    games: int = GAMES,
    seed: int = 0,
    opening_moves: int = OPENING_MOVES,
    video: Path | None = None,
    default_video: Path = Path("watch.mp4"),
    text: bool = False,
    speed: float = 1.0,
) -> dict[str, Any]:
    """Show games in a window, or film them where `video` asks for it or where no window can be opened.

    Args:
        games: so many; the players move first in turn. opening_moves: so many are drawn by lot, as players who leave
            nothing to chance would repeat one game. video: the film's file; default_video: that where there is no
            display. text: print the boards instead. speed: times a move a second, 1/16 to 64.
    Returns: `games`, for each that was seen to its end who moved `first` and `second`, the `winner` (`first`,
        `second`, or None for a draw) and the names of the `moves`; `video`, the film or None.
    Raises: ValueError: a setting out of its range, or a game that has no picture and is not to be shown as text.
    """
    at_least(1, games=games)
    at_least(0, seed=seed, opening_moves=opening_moves)
    between(SLOWEST, FASTEST, speed=speed)
    openings = draw_openings(game, games, derive_seed(seed, "watch"), opening_moves)
    scenes = play_scenes(game, first, second, openings, derive_seed(seed, "watch"))
    if text:
        return _view(game, _printed(game, games, speed, sys.stdout), scenes)
    _check_drawable(game)
    if video is None and (window := open_window(f"{game.name} · {first.name} – {second.name}")) is not None:
        window.speed = speed
        return _view(game, _windowed(window, game, games), scenes)
    film = video or default_video
    return _view(game, _filmed(film, game, games, speed), scenes) | {"video": str(film)}


def watch_command(arguments: list[str]) -> int | None:
    """keel watch RUN, where RUN is an agent that learnt by self-play or has to play --against another player.

    Returns: the exit code, or None for any other run, which is watched in its world.
    """
    options, rest = _parser().parse_known_args(arguments)
    if "--controller" in arguments or options.run is None or (run := _find(options.run)) is None:
        return None
    if options.against is None and not is_selfplay(run.config):
        return None
    if rest:
        raise ValueError(f"{rest[0]} has no meaning where a board game is watched; `keel watch --help` says what has")
    from keel.runners.arena.command import arena_game
    from keel.runners.games.players import make_player

    game = arena_game([options.run, options.against or options.run], None)
    player = make_player(options.run, game, checkpoint=options.checkpoint, device=options.device, seed=options.seed)
    opponent = player
    if options.against is not None:
        opponent = make_player(options.against, game, device=options.device, seed=derive_seed(options.seed, "opponent"))
    seen = watch_games(
        game,
        player,
        opponent,
        games=options.episodes,
        seed=options.seed,
        opening_moves=options.opening_moves,
        video=options.video,
        default_video=run.videos / f"watch-{options.checkpoint}-{options.seed}.mp4",
        text=options.text,
        speed=options.speed,
    )
    print(json.dumps(seen) if options.json else told(seen))
    return 0


def told(seen: dict[str, Any]) -> str:
    """What was seen, for people: a line a game."""
    lines = []
    for one in seen["games"]:
        result = "a draw" if one["winner"] is None else f"{one[one['winner']]}, who moved {one['winner']}, won"
        lines.append(f"{one['first']} – {one['second']}: {result} after {len(one['moves'])} moves")
    return "\n".join([*lines, *([f"film: {seen['video']}"] if seen["video"] else [])])


def _find(reference: str) -> Run | None:
    """The run of RUN or RUN:SIMULATIONS; None where there is none, which the watching of worlds reports."""
    try:
        return Run.open(reference.rpartition(":")[0] or reference)
    except (KeelError, OSError, ValueError):
        return None


def _parser() -> argparse.ArgumentParser:
    """Without help: that of `keel watch` speaks of these options too."""
    parser = argparse.ArgumentParser("keel watch", add_help=False, allow_abbrev=False)
    parser.add_argument("run", nargs="?")
    parser.add_argument("--against")
    parser.add_argument("--episodes", type=int, default=GAMES)
    parser.add_argument("--opening-moves", type=int, default=OPENING_MOVES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--video", type=Path)
    parser.add_argument("--text", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser


def _view(game: Game, viewer: AbstractContextManager[Show], scenes: Iterator[Scene]) -> dict[str, Any]:
    seen = []
    with viewer as show:
        for scene in scenes:
            if scene.thought is None:
                seen.append(
                    {
                        "first": scene.players[0],
                        "second": scene.players[1],
                        "winner": None if scene.winner is None else ("first", "second")[scene.winner],
                        "moves": [game.action_name(action, ply % 2) for ply, action in enumerate(scene.moves)],
                    }
                )
            if not show(scene):
                break
    return {"games": seen, "video": None}


def _check_drawable(game: Game) -> None:
    from keel.envs.games.draw_pieces import LOOKS

    if not any(game.name.startswith(beginning) for beginning in LOOKS):
        raise ValueError(f"{game.name} cannot be drawn: --text shows it")


def _seconds(scene: Scene) -> float:
    return END_SECONDS if scene.thought is None else MOVE_SECONDS


@contextlib.contextmanager
def _windowed(window: Window, game: Game, games: int) -> Iterator[Show]:
    from keel.runners.games.frame import count, scene_picture

    with window:
        yield lambda scene: window.show(scene_picture(game, scene, games), count(scene, games), _seconds(scene))


@contextlib.contextmanager
def _filmed(path: Path, game: Game, games: int, speed: float) -> Iterator[Show]:
    from keel.runners.games.frame import scene_picture

    with VideoWriter(path, speed / MOVE_SECONDS) as writer:

        def show(scene: Scene) -> bool:
            frame = scene_picture(game, scene, games)
            for _ in range(round(_seconds(scene) / MOVE_SECONDS)):
                writer.append(frame)
            return True

        yield show


@contextlib.contextmanager
def _printed(game: Game, games: int, speed: float, stream: TextIO) -> Iterator[Show]:
    from keel.runners.games.frame import scene_text

    def show(scene: Scene) -> bool:
        if stream.isatty():
            stream.write("\x1b[H\x1b[2J")  # a terminal shows the boards in one place, at their speed
        stream.write(f"{scene_text(game, scene, games)}\n\n")
        stream.flush()
        if stream.isatty():
            time.sleep(_seconds(scene) / speed)
        return True

    yield show
