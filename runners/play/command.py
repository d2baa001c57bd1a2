"""`keel play GAME`: a person plays a board game against an agent, in a window or in the terminal."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from keel.envs.errors import KeelError

if TYPE_CHECKING:
    from keel.envs.games.game import Game
    from keel.runners.play.agent import Agent, Level
    from keel.runners.play.table import Sitting

LEVELS = ("easy", "medium", "hard")
PICTURES = (".png", ".jpg", ".bmp")

EPILOG = """With a network the levels look at 24, 160 and 1,000 positions before a move; easy also draws its moves by
how much it looked at each, and so errs. Without a network chess is played by a search of the same sizes that judges
positions by rules of thumb, and other games by one that judges them by games at random: 100, 1,000 and 4,000 of them,
or fewer where they take long. In the window n begins a new game, u takes back, s swaps sides, h gives a hint, 1 2 3
choose the level, t hides the agent's thinking, p passes where that is a choice, escape quits; in the terminal these
are words."""


def main(arguments: list[str]) -> int:
    """keel play GAME."""
    options = _read(arguments)
    from keel.envs.games.games import make_game
    from keel.runners.play.table import SEATS, Sitting

    game = make_game(options.game)
    if not options.text:
        _check_drawable(game, options.screenshot)
    seed = secrets.randbelow(2**31) if options.seed is None else options.seed
    agent = _agent(game, options, seed)
    level = _level(agent, options)
    sitting = Sitting(game, SEATS.index(options.seat))
    _play(sitting, agent, level, options)
    summary = {"game": game.name, "agent": agent.name, "level": level.name, "games": sitting.records()}
    if options.json:
        print(json.dumps(summary))
    elif summary["games"]:
        print("won {}, lost {}, drawn {}".format(*sitting.score))
    return 0


def _read(arguments: list[str]) -> argparse.Namespace:
    description = "Play a board game against an agent, in a window or in the terminal."
    parser = argparse.ArgumentParser("keel play", description=description, epilog=EPILOG, allow_abbrev=False)
    parser.add_argument("game", metavar="GAME", help="for instance connect_four, othello_6x6, hex_7x7, breakthrough")
    parser.add_argument(
        "--run", metavar="RUN", help="whose network plays (default: the one that comes with Keel, if any)"
    )
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best", help="which weights (default: best)")
    strength = parser.add_mutually_exclusive_group()
    strength.add_argument("--level", choices=LEVELS, default="medium", help="how well it plays (default: medium)")
    strength.add_argument("--simulations", type=_whole_number, help="positions it looks at before a move")
    parser.add_argument("--seat", choices=("first", "second"), default="first", help="yours (default: first)")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--seed", type=int, help="of the agent's chance (default: another one each time)")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--text", action="store_true", help="play in the terminal, moves are typed")
    shown.add_argument(
        "--screenshot", type=Path, metavar="FILE", help="write a picture of the window at the first move, and leave"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object alone on stdout: the games played")
    return parser.parse_args(arguments)


def _play(sitting: Sitting, agent: Agent, level: Level, options: argparse.Namespace) -> None:
    if options.text:
        from keel.runners.play.text import play_text

        play_text(sitting, agent, level, sys.stdin, sys.stderr if options.json else sys.stdout)
        return
    from keel.runners.play.desk import Desk
    from keel.runners.play.window import play_in_window, save_screenshot

    desk = Desk(sitting, agent, level)
    if options.screenshot is None:
        play_in_window(desk)
    else:
        save_screenshot(desk, options.screenshot)


def _check_drawable(game: Game, screenshot: Path | None) -> None:
    """Raises: KeelError: there is no display, or the game has no picture. ValueError: no such kind of picture."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # it would print to stdout, where --json writes
    from keel.envs.games.draw_pieces import LOOKS
    from keel.runners.window import has_display

    if not game.name.startswith(tuple(LOOKS)):
        raise KeelError(f"there is no picture of {game.name}: play it in the terminal with --text")
    if screenshot is not None and screenshot.suffix not in PICTURES:
        raise ValueError(
            f"--screenshot is {str(screenshot)!r}: a file that ends in {', '.join(PICTURES)} would be right"
        )
    if screenshot is None and not has_display():
        raise KeelError("there is no display to open a window on: play in the terminal with --text")


def _agent(game: Game, options: argparse.Namespace, seed: int) -> Agent:
    from keel.runners.games.pretrained import pretrained_run
    from keel.runners.play.agent import chess_agent, rollout_agent, run_agent
    from keel.runners.run import Run

    if options.run is not None:
        return run_agent(Run.open(options.run), game, options.checkpoint, options.device, seed)
    if (run := pretrained_run(game.name)) is not None:
        agent = run_agent(run, game, options.checkpoint, options.device, seed)
        return dataclasses.replace(agent, name="the network that comes with Keel")
    return (chess_agent if game.name == "chess" else rollout_agent)(game, seed)


def _level(agent: Agent, options: argparse.Namespace) -> Level:
    from keel.runners.play.agent import Level

    if options.simulations is not None:
        return Level(f"{options.simulations:,} simulations", options.simulations)
    return next(level for level in agent.levels if level.name == options.level)


def _whole_number(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: a whole number of at least 1 would be right")
    return int(text)
