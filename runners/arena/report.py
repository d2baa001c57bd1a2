"""What a tournament leaves behind: a table, a page with its figure, the ratings as CSV, and all games, moves by name."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keel.runners import figures, page
from keel.runners.arena.records import write_games
from keel.runners.arena.tournament import Standing, Tournament
from keel.runners.files import write_text
from keel.runners.seed_statistics import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = (
    *("player", "elo", "elo_low", "elo_high", "score", "games", "wins", "draws", "losses"),
    *("score_moving_first", "score_moving_second"),
)
HEADER = ["player", "Elo", "ahead of next", "score", "won / drawn / lost", "moving first", "moving second"]


def write_tournament(tournament: Tournament, output: Path) -> dict[str, Path]:
    """Write arena.html, ratings.png, ratings.csv and games.jsonl, for chess also games.pgn, into `output`.

    Returns: the files by what they are: page, figure, ratings, games, pgn.
    """
    output.mkdir(parents=True, exist_ok=True)
    files = {"page": output / "arena.html", "figure": output / "ratings.png"}
    files["ratings"] = output / "ratings.csv"
    write_text(files["page"], tournament_page(tournament))
    figures.save_png(rating_figure(tournament), files["figure"])
    write_text(files["ratings"], ratings_csv(tournament.standings))
    files |= write_games(output, "games", tournament.game, tournament.matches)
    return files


def percent(share: float) -> str:
    """Of points: 87.5 %."""
    return f"{100 * share:.1f} %"


def plus_minus(value: float, interval: Interval) -> str:
    """A rating with the half width of its interval."""
    return f"{value:.0f} ± {(interval.high - interval.low) / 2:.0f}"


def standing_cells(standing: Standing, anchor: str) -> list[str]:
    """A row of the table, without its first column: rating, distance to the next, score, games, score by who moved first."""
    ahead = "" if standing.ahead_interval is None else plus_minus(standing.ahead or 0.0, standing.ahead_interval)
    return [
        "0" if standing.player == anchor else plus_minus(standing.elo, standing.interval),
        ahead,
        percent(standing.all.score),
        f"{standing.all.wins} / {standing.all.draws} / {standing.all.losses}",
        percent(standing.moving_first.score),
        percent(standing.moving_second.score),
    ]


def cross_cells(tournament: Tournament, *, intervals: bool = False) -> list[list[str]]:
    """Everybody's score against everybody, in the order of the standings."""
    names = [standing.player for standing in tournament.standings]

    def cell(player: str, opponent: str) -> str:
        if player == opponent:
            return "–"
        tally, (low, high) = tournament.match(player, opponent)
        return percent(tally.score) + (f" [{100 * low:.0f}, {100 * high:.0f}]" if intervals else "")

    return [[cell(player, opponent) for opponent in names] for player in names]


def about(tournament: Tournament) -> str:
    """What was played, in a line."""
    openings = tournament.opening_moves
    drawn = "from the start" if not openings else f"after {openings} moves by lot"
    games, distinct = (
        sum(counts) for counts in zip(*((len(m.records), m.distinct) for m in tournament.matches), strict=True)
    )
    differ = "" if distinct == games else f", of which {distinct:,} differ"
    return f"{tournament.game.name}: {tournament.games} games of each pair {drawn}, {games:,} in all{differ}"


def table(tournament: Tournament) -> str:
    """The standings and the cross table as text."""
    anchor = tournament.ratings.anchor
    ranked = [f"{place} {standing.player}" for place, standing in enumerate(tournament.standings, start=1)]
    rows = [[name, *standing_cells(one, anchor)] for name, one in zip(ranked, tournament.standings, strict=True)]
    cross = [[name, *cells] for name, cells in zip(ranked, cross_cells(tournament), strict=True)]
    columns = ["score of the row against", *(str(place + 1) for place in range(len(ranked)))]
    note = f"± is the 95 % interval; {anchor} is the 0 of the ratings"
    return "\n".join([about(tournament), "", *aligned([HEADER, *rows]), note, "", *aligned([columns, *cross]), ""])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        numbers = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join([name.ljust(widths[0]), *numbers]).rstrip())
    return lines


def ratings_csv(standings: Sequence[Standing]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for one in standings:
        scores = [one.moving_first.score, one.moving_second.score]
        rows.writerow([one.player, one.elo, *one.interval, one.all.score, one.all.games, *one.all, *scores])
    return text.getvalue()


def rating_figure(tournament: Tournament, width_inches: float = figures.WIDE_INCHES) -> Figure:
    """Everybody's rating with its 95 % interval, the strongest on top."""
    from matplotlib.figure import Figure

    standings = tournament.standings
    with figures.house_style():
        figure = Figure(figsize=(width_inches, 1.1 + 0.34 * len(standings)), layout="constrained")
        figure.suptitle(f"{tournament.game.name}: Elo", x=0.01, ha="left", fontsize=10.5, fontweight="bold")
        axes = figure.subplots()
        for place, one in enumerate(standings):
            axes.plot(list(one.interval), [place, place], color=figures.PALETTE[0], linewidth=6, alpha=0.3)
            axes.plot([one.elo], [place], "o", color=figures.PALETTE[0], markersize=6)
        axes.axvline(0.0, color=figures.MUTED, linewidth=1)
        names = [one.player for one in standings]
        if width_inches < 5:  # a long name would leave no room for the figure
            names = [name if len(name) <= 18 else f"{name[:8]}…{name[-8:]}" for name in names]
        axes.set_yticks(range(len(standings)), names)
        axes.set_ylim(len(standings) - 0.5, -0.5)
        axes.set_xlabel(f"Elo above {tournament.ratings.anchor}, 95 % intervals")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}".replace("-", "−"))
        axes.grid(axis="y", visible=False)
        return figure


def tournament_page(tournament: Tournament) -> str:
    """The whole page."""
    best, anchor = tournament.standings[0], tournament.ratings.anchor
    games = [record for match in tournament.matches for record in match.records]
    first_mover = sum(abs(record.score - record.seat) for record in games) / len(games)
    facts = {
        "strongest": best.player,
        "games": f"{len(games):,}",
        "moves a game, on average": f"{sum(len(record.moves) for record in games) / len(games):.1f}",
        "score of who moves first": f"{100 * first_mover:.1f} %",
    }
    svg = figures.inline_svg(
        lambda width: rating_figure(tournament, width),
        name="ratings",
        description=f"Elo ratings on {tournament.game.name}, strongest first: "
        + ", ".join(f"{one.player} {one.elo:.0f}" for one in tournament.standings),
    )
    rows = [[one.player, *standing_cells(one, anchor)] for one in tournament.standings]
    names = [one.player for one in tournament.standings]
    cross = [[name, *cells] for name, cells in zip(names, cross_cells(tournament, intervals=True), strict=True)]
    body = [
        page.tiles(facts),
        "<h2>Ratings</h2>",
        page.card(svg),
        page.card(page.table(HEADER, rows)),
        "<h2>Who scored what against whom</h2>",
        page.card(page.table(["score of the row against", *names], cross)),
        f'<p class="note">{page.text(_explanation(tournament))}</p>',
    ]
    return page.page("Arena", body, subtitle=about(tournament))


def _explanation(tournament: Tournament) -> str:
    openings = (
        f"Every opening of {tournament.opening_moves} moves by lot was played twice, with colours swapped. "
        if tournament.opening_moves
        else "Colours alternated. "
    )
    return (
        f"{openings}Ratings are Bradley and Terry's in units of Elo, a draw being half a win, and one drawn game added "
        f"for every two players; {tournament.ratings.anchor} is their 0, and an interval says how well the distance to "
        "it is known: it is wide for all where nobody ever lost against it. How well neighbours are told apart stands "
        "under “ahead of next”. Intervals of ratings come from the information matrix, those of scores from pairs of "
        f"games that share an opening; both hold 95 %. Seed {tournament.seed}."
    )
