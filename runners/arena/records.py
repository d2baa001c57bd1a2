"""Games that were played, as files: a row of JSON for each, and for chess what every chess program reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from keel.envs.games.game import Game
from keel.runners.arena.match import Match, Record
from keel.runners.files import write_text

RESULTS = {1.0: "1-0", 0.5: "1/2-1/2", 0.0: "0-1"}  # by the points of who moved first


def write_games(folder: Path, stem: str, game: Game, matches: Sequence[Match]) -> dict[str, Path]:
    """Write STEM.jsonl, for chess also STEM.pgn. Returns: the files by what they are: games, pgn."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"games": folder / f"{stem}.jsonl"}
    rows = (json.dumps(row, ensure_ascii=False) + "\n" for row in game_rows(game, matches))
    write_text(files["games"], "".join(rows))
    if game.name == "chess":
        files["pgn"] = folder / f"{stem}.pgn"
        write_text(files["pgn"], games_pgn(matches))
    return files


def move_names(game: Game, moves: Sequence[int]) -> list[str]:
    """The moves of a game from its beginning, as people write them."""
    return [game.action_name(action, ply % 2) for ply, action in enumerate(moves)]


def movers(match: Match, record: Record) -> tuple[str, str, str]:
    """Who moved first in a game, who second, and the result as chess players write it."""
    if record.seat == 0:
        return match.first, match.second, RESULTS[record.score]
    return match.second, match.first, RESULTS[1.0 - record.score]


def game_rows(game: Game, matches: Sequence[Match]) -> Iterator[dict[str, Any]]:
    """One row a game: who moved first and second, the result, how many moves were drawn by lot, and all moves."""
    for match in matches:
        for record in match.records:
            first, second, result = movers(match, record)
            yield {
                "game": match.game,
                "first": first,
                "second": second,
                "result": result,
                "opening_moves": match.opening_moves,
                "moves": move_names(game, record.moves),
            }


def games_pgn(matches: Sequence[Match]) -> str:
    """Games of chess, one after the other, in Portable Game Notation."""
    from keel.envs.games.chess_notation import pgn  # needs python-chess

    parts = []
    for match in matches:
        for record in match.records:
            white, black, _ = movers(match, record)
            headers = {"Event": "Keel", "Round": str(len(parts) + 1), "White": white, "Black": black}
            parts.append(pgn(record.moves, headers).rstrip())
    return "\n\n".join(parts) + "\n"
