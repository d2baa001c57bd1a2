"""The arena: its tables add up from its games, its files can be read by others, and it refuses what makes no sense."""

from __future__ import annotations

import csv
import io
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import chess.pgn
import numpy as np
import pytest

from keel.agents.players import ScriptedPlayer
from keel.envs.games.games import make_game
from keel.runners.arena.command import arena_game, open_run, run_game, show_progress
from keel.runners.arena.elo import Results, rate
from keel.runners.arena.match import Match, Record, Tally
from keel.runners.arena.records import game_rows, games_pgn, move_names
from keel.runners.arena.report import (
    aligned,
    cross_cells,
    rating_figure,
    standing_cells,
    table,
    tournament_page,
    write_tournament,
)
from keel.runners.arena.tournament import Tournament, as_json, play_tournament
from keel.runners.run import Run

GAME = make_game("tic_tac_toe")


class Called:
    """A player under another name."""

    def __init__(self, name: str, player: Any) -> None:
        self.name, self.choose = name, player.choose


def field() -> list[Any]:
    scripted = {name: ScriptedPlayer(GAME, name) for name in ("random", "one_ply")}
    return [Called("weak", scripted["random"]), scripted["random"], scripted["one_ply"]]


@pytest.fixture(scope="module")
def tournament() -> Tournament:
    return play_tournament(GAME, field(), 20, 1, opening_moves=2)


def test_everybody_meets_everybody_once(tournament: Tournament) -> None:
    assert [(match.first, match.second) for match in tournament.matches] == [
        ("weak", "random"), ("weak", "one_ply"), ("random", "one_ply")
    ]  # fmt: skip
    assert all(len(match.records) == 20 for match in tournament.matches)
    assert len({match.seed for match in tournament.matches}) == 3


def test_the_standings_are_counted_from_the_games(tournament: Tournament) -> None:
    points = {(name, seat): [] for name in ("weak", "random", "one_ply") for seat in (0, 1)}
    for match in tournament.matches:
        for record in match.records:
            points[match.first, record.seat].append(record.score)
            points[match.second, 1 - record.seat].append(1 - record.score)
    for standing in tournament.standings:
        for seat, tally in enumerate((standing.moving_first, standing.moving_second)):
            expected = points[standing.player, seat]
            assert tally == Tally(*(expected.count(score) for score in (1.0, 0.5, 0.0)))
            assert tally.games == 20
        assert standing.all.games == 40
    assert tournament.standings[0].player == "one_ply"
    assert tournament.standings[0].all.score > 0.7


def test_ratings_are_those_of_the_results(tournament: Tournament) -> None:
    results = Results()
    for match in tournament.matches:
        results.add(match.first, match.second, *match.tally())
    ratings = rate(results, "random")
    for standing, following in pairwise(tournament.standings):
        assert standing.elo == pytest.approx(ratings.of(standing.player)[0])
        assert standing.ahead == pytest.approx(standing.elo - following.elo)
        assert (standing.ahead or 0.0) >= 0.0
    last = tournament.standings[-1]
    assert last.ahead is last.ahead_interval is None


def test_the_same_seed_is_the_same_tournament(tournament: Tournament) -> None:
    assert as_json(play_tournament(GAME, field(), 20, 1, opening_moves=2)) == as_json(tournament)


def test_a_match_is_seen_from_both_sides(tournament: Tournament) -> None:
    tally, (low, high) = tournament.match("weak", "one_ply")
    turned, (turned_low, turned_high) = tournament.match("one_ply", "weak")
    assert turned == Tally(*tally[::-1])
    assert (1 - turned_high, 1 - turned_low) == pytest.approx((low, high))


def test_the_table_says_it_all(tournament: Tournament) -> None:
    text = table(tournament)
    assert text.startswith("tic_tac_toe: 20 games of each pair after 2 moves by lot, 60 in all")
    assert re.search(
        r"^1 one_ply +\d+ ± \d+ +\d+ ± \d+ +\d+\.\d % +\d+ / \d+ / \d+ +\d+\.\d % +\d+\.\d %$", text, re.MULTILINE
    )
    assert re.search(r"^\d random +0 ", text, re.MULTILINE)
    assert "random is the 0 of the ratings" in text
    cells = cross_cells(tournament)
    assert [cells[place][place] for place in range(3)] == ["–"] * 3
    assert float(cells[0][1].rstrip(" %")) + float(cells[1][0].rstrip(" %")) == pytest.approx(100)
    assert re.fullmatch(r"\d+\.\d % \[\d+, \d+\]", cross_cells(tournament, intervals=True)[0][1])


def test_numbers_stand_below_one_another() -> None:
    assert aligned([["a", "1", "22"], ["bcd", "333", ""]]) == ["a      1  22", "bcd  333"]


def test_games_that_repeat_are_owned_up_to() -> None:
    records = [Record([0, 1, 2], seat, 0.5) for seat in (0, 1, 0, 1)]
    match = Match("tic_tac_toe", "a", "b", 0, 0, records)
    results = Results()
    results.add_match(match)
    ratings = rate(results)
    assert ", 4 in all, of which 2 differ" in table(Tournament(GAME, 4, 0, 0, [match], ratings, []))


def test_the_files_can_be_read(tournament: Tournament, tmp_path: Path) -> None:
    files = write_tournament(tournament, tmp_path / "new" / "arena")
    assert {name: path.name for name, path in files.items()} == {
        "page": "arena.html", "figure": "ratings.png", "ratings": "ratings.csv", "games": "games.jsonl"
    }  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(files["ratings"].read_text())))
    assert [row["player"] for row in rows] == [standing.player for standing in tournament.standings]
    assert float(rows[0]["elo"]) == tournament.standings[0].elo
    assert float(rows[0]["elo_low"]) < float(rows[0]["elo"]) < float(rows[0]["elo_high"])
    assert int(rows[0]["wins"]) + int(rows[0]["draws"]) + int(rows[0]["losses"]) == int(rows[0]["games"]) == 40
    games = [json.loads(line) for line in files["games"].read_text().splitlines()]
    assert len(games) == 60
    assert files["figure"].read_bytes()[:4] == b"\x89PNG"


def test_the_games_are_written_by_who_moved_first(tournament: Tournament) -> None:
    rows = list(game_rows(tournament.game, tournament.matches))
    won = sum(
        row["result"] == ("1-0" if row["first"] == "one_ply" else "0-1") for row in rows if "one_ply" in row.values()
    )
    assert won == tournament.standings[0].all.wins
    assert {row["result"] for row in rows} == {"1-0", "0-1", "1/2-1/2"}
    assert all(re.fullmatch(r"[abc][123]", move) for row in rows for move in row["moves"])
    assert rows[0]["moves"][:2] == rows[1]["moves"][:2]
    assert (rows[0]["first"], rows[1]["first"]) == ("weak", "random")


def test_moves_are_named_as_each_player_sees_them() -> None:
    """In Hex the second player's board is transposed: its action 1 is another cell."""
    assert move_names(make_game("hex_7x7"), [1, 1]) == ["b1", "a2"]


def test_the_page_stands_alone_and_escapes_names(tournament: Tournament) -> None:
    players = [Called("<b>", field()[0]), *field()[1:]]
    html = tournament_page(play_tournament(GAME, players, 2, 0))
    assert "&lt;b&gt;" in html
    assert "<b>&" not in html
    assert not re.search(r'(src|href)="(?!data:|#)', html)
    assert "Every opening of 4 moves by lot was played twice" in html
    html = tournament_page(tournament)
    assert all(cell in html for standing in tournament.standings for cell in standing_cells(standing, "random"))


def test_the_figure_shows_ratings_and_intervals(tournament: Tournament) -> None:
    (axes,) = rating_figure(tournament).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [standing.player for standing in tournament.standings]
    for place, standing in enumerate(tournament.standings):
        interval, point = axes.lines[2 * place : 2 * place + 2]
        assert tuple(interval.get_xdata()) == standing.interval
        assert point.get_xydata().tolist() == [[standing.elo, place]]


def test_chess_games_are_written_as_pgn(tmp_path: Path) -> None:
    game = make_game("chess")
    tournament = play_tournament(game, [ScriptedPlayer(game, "random"), Lazy(game)], 2, 0)
    text = games_pgn(tournament.matches)
    stream, games = io.StringIO(text), []
    while (one := chess.pgn.read_game(stream)) is not None:
        games.append(one)
    assert [(one.headers["White"], one.headers["Black"]) for one in games] == [("random", "lazy"), ("lazy", "random")]
    assert not any(one.errors for one in games)
    for one, record in zip(games, tournament.matches[0].records, strict=True):
        assert sum(1 for _ in one.mainline_moves()) == len(record.moves)
        score = {"1-0": 1.0, "0-1": 0.0, "1/2-1/2": 0.5}[one.headers["Result"]]
        assert record.score == (score if record.seat == 0 else 1 - score)
    assert write_tournament(tournament, tmp_path)["pgn"].read_text() == text


class Lazy:
    """Plays the first legal move."""

    name = "lazy"

    def __init__(self, game: Any) -> None:
        self.game = game

    def choose(self, states: Any, chance: np.random.Generator) -> Any:
        return self.game.legal(states).argmax(axis=1)


def make_run(folder: Path, env: str, **options: Any) -> Run:
    settings = {"training": {"env_options": options}}
    return Run.create(env, "ppo", 0, settings, run_dir=folder)


def test_the_game_is_that_of_the_runs(tmp_path: Path, runs_directory: Path) -> None:
    make_run(runs_directory / "hexer", "keel/Hex7x7-v0")
    make_run(runs_directory / "big", "keel/Hex7x7-v0", game="hex")
    assert arena_game(["random", "hexer"], None).name == "hex_7x7"
    assert arena_game(["big", "rollouts:5"], "hex").name == "hex"
    assert arena_game(["rollouts", "one_ply"], "othello").name == "othello"
    assert run_game(open_run("hexer:20")) == "hex_7x7"
    with pytest.raises(ValueError, match="the same game: hexer is hex_7x7, and big plays hex"):
        arena_game(["hexer", "random", "big"], None)
    with pytest.raises(ValueError, match="--game is othello, and hexer plays hex_7x7"):
        arena_game(["hexer", "random"], "othello")


@pytest.mark.usefixtures("runs_directory")
def test_what_makes_no_sense_is_refused(keel: Any) -> None:
    for arguments, message in [
        (["random", "--game", "hex"], "random alone has nobody to play against: name at least two players"),
        (["random", "one_ply"], "say which game with --game"),
        (["random", "one_ply", "--game", "chequers"], "game is 'chequers'"),
        (["random", "oneply", "--game", "hex"], "'oneply' is no run.*did you mean 'one_ply'"),
        (
            ["random", "one_ply", "--game", "hex", "--games", "5"],
            "games is 5: every opening is played twice, so 4 or 6",
        ),
        (["random", "one_ply", "--game", "hex", "--opening-moves", "121"], "opening_moves is 121"),
    ]:
        outcome = keel("arena", *arguments)
        assert outcome.code == 2
        assert re.search(message, outcome.error), outcome.error
        assert outcome.out == ""
    assert not Path("results").exists()


@pytest.mark.usefixtures("runs_directory")
def test_the_command_line(keel: Any) -> None:
    arguments = ["arena", "random", "one_ply", "rollouts:5", "--game", "tic_tac_toe", "--games", "4"]
    outcome = keel(*arguments, "--opening-moves", "1")
    assert outcome.code == 0
    assert "tic_tac_toe: 4 games of each pair after 1 moves by lot, 12 in all" in outcome.out
    assert "results/arena/arena.html" in outcome.out
    assert outcome.error.count(" won, ") == 3
    as_object = keel(*arguments, "--opening-moves", "1", "--json", "--output", "elsewhere")
    assert as_object.json["games_of_each_pair"] == 4
    assert {player["player"] for player in as_object.json["players"]} == {"random", "one_ply", "rollouts:5"}
    assert Path(as_object.json["games"]).read_text() == Path("results/arena/games.jsonl").read_text()
    twice = keel("arena", "rollouts", "rollouts:1000", "--game", "tic_tac_toe")
    assert twice.code == 2
    assert "rollouts:1000 is named 2 times: every player takes part once" in twice.error


def test_progress_is_a_line_for_each_match() -> None:
    stream = io.StringIO()
    tournament = play_tournament(GAME, field()[1:], 2, 0, progress=show_progress(stream))
    tally = tournament.matches[0].tally()
    assert stream.getvalue() == f"random – one_ply: {tally.wins} won, {tally.draws} drawn, {tally.losses} lost\n"
