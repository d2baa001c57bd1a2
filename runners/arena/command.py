"""`keel arena`: players of a board game meet, every one every other, and are rated by what came of it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TextIO

from keel.agents.players import Player
from keel.envs.errors import closest
from keel.envs.games.game import Game
from keel.envs.games.games import GAMES, OPTIONAL_GAMES, make_game
from keel.envs.games.opponents import OPPONENTS
from keel.envs.seeding import derive_seed
from keel.runners.arena.match import OPENING_MOVES, Match, check_match
from keel.runners.arena.tournament import Progress, as_json, play_tournament
from keel.runners.games.policy_player import policy_game
from keel.runners.run import Run
from keel.runners.selfplay.settings import is_selfplay

GAMES_OF_A_PAIR = 40
LOTS = "rollouts"  # games played to their end by lot judge positions for this player
OUTPUT = Path("results/arena")
NAMES = ", ".join(GAMES | OPTIONAL_GAMES) + " or openspiel:NAME"


def main(arguments: list[str]) -> int:
    """keel arena PLAYER PLAYER…: every pair meets; a table, a page, the games."""
    options = _read(arguments)
    game = arena_game(options.players, options.game)
    check_match(game, options.games, options.seed, options.opening_moves)
    players = make_players(options.players, game, options.seed, options.checkpoint)
    tournament = play_tournament(
        game,
        players,
        options.games,
        options.seed,
        opening_moves=options.opening_moves,
        progress=show_progress(sys.stderr),
    )
    from keel.runners.arena.report import table, write_tournament

    files = write_tournament(tournament, options.output)
    if options.json:
        print(json.dumps(as_json(tournament) | {name: str(path) for name, path in files.items()}))
    else:
        print(table(tournament), *(f"  {name:<8} {path}" for name, path in files.items()), sep="\n")
    return 0


def _read(arguments: list[str]) -> argparse.Namespace:
    description = "Players of a board game meet, every one every other: who is how strong, with 95 % intervals."
    who = f"{', '.join(OPPONENTS)}, {LOTS}:SIMULATIONS, RUN or RUN:SIMULATIONS; at least two"
    parser = argparse.ArgumentParser("keel arena", description=description, allow_abbrev=False)
    parser.add_argument("players", metavar="PLAYER", nargs="+", help=who)
    parser.add_argument("--game", metavar="NAME", help=f"needed where no run takes part: {NAMES}")
    parser.add_argument(
        "--games", type=int, default=GAMES_OF_A_PAIR, help=f"of each pair, an even number (default: {GAMES_OF_A_PAIR})"
    )
    parser.add_argument(
        "--opening-moves",
        type=int,
        default=OPENING_MOVES,
        help=f"moves by lot before the players begin, so that games differ (default: {OPENING_MOVES})",
    )
    parser.add_argument("--seed", type=int, default=0, help="where all chance comes from (default: 0)")
    parser.add_argument(
        "--checkpoint", choices=("best", "last"), default="best", help="which weights of the runs (default: best)"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"the folder to write (default: {OUTPUT})")
    parser.add_argument("--json", action="store_true", help="print one JSON object alone on stdout")
    return parser.parse_args(arguments)


def arena_game(words: Sequence[str], given: str | None) -> Game:
    """The game that all the players play: that of the runs among them, or the one that is given.

    Raises:
        ValueError: fewer than two players, no game or one that is not known, or runs of different games.
        FileNotFoundError: a player that is none, and no run either; names the nearest one.
    """
    if len(words) < 2:
        raise ValueError(f"{', '.join(words) or 'nobody'} alone has nobody to play against: name at least two players")
    runs = {word: open_run(word) for word in words if word not in OPPONENTS and word.partition(":")[0] != LOTS}
    plays = {word: run_game(run) for word, run in runs.items()}
    if given is not None:
        plays = {"--game": given, **plays}
    if not plays:
        raise ValueError(f"say which game with --game, as no run takes part; there are: {NAMES}")
    (one, game), *others = plays.items()
    for word, other in others:
        if other != game:
            raise ValueError(f"all have to play the same game: {one} is {game}, and {word} plays {other}")
    return make_game(game)


def open_run(word: str) -> Run:
    """The run of a player RUN or RUN:SIMULATIONS. Raises: FileNotFoundError: no such player; names the nearest one."""
    try:
        return Run.open(word.rpartition(":")[0] or word)
    except FileNotFoundError as error:
        own = f"{', '.join(OPPONENTS)}, {LOTS}:SIMULATIONS"
        raise FileNotFoundError(f"{error}{closest(word, [*OPPONENTS, LOTS])}; players without a run: {own}") from None


def run_game(run: Run) -> str:
    """The name of the game that a run's agent plays. Raises: ValueError: none."""
    return str(run.config["env"]) if is_selfplay(run.config) else policy_game(run)


def make_players(
    words: Sequence[str], game: Game, seed: int, checkpoint: Literal["best", "last"] = "best"
) -> list[Player]:
    """The players of these names, the runs among them with the weights of that checkpoint.

    Raises: ValueError: two of them are called alike; else as `make_player`.
    """
    from keel.runners.games.players import make_player

    players = [make_player(word, game, seed=derive_seed(seed, "player", word), checkpoint=checkpoint) for word in words]
    names = [player.name for player in players]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is named {names.count(name)} times: every player takes part once")
    return players


def show_progress(stream: TextIO) -> Progress:
    """One line for each match; on a terminal it grows while the match goes on."""

    def show(match: Match | None, first: str, second: str, ended: int) -> None:
        if match is not None:
            tally = match.tally()
            result = f"{tally.wins} won, {tally.draws} drawn, {tally.losses} lost"
            stream.write(f"{_clear(stream)}{first} – {second}: {result}\n")
        elif stream.isatty():
            stream.write(f"{_clear(stream)}{first} – {second}: {ended} games have ended")
        stream.flush()

    return show


def _clear(stream: TextIO) -> str:
    return "\r\x1b[K" if stream.isatty() else ""
