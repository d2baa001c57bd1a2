"""A tournament: every player of a board game meets every other, and all are rated by what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from keel.agents.players import Player
from keel.envs.games.game import Game
from keel.envs.seeding import derive_seed
from keel.runners.arena.elo import Ratings, Results, rate
from keel.runners.arena.match import OPENING_MOVES, Match, Tally, check_match, play_match
from keel.runners.seed_statistics import Interval

Progress = Callable[[Match | None, str, str, int], None]  # the match once it is over; the two players, games ended


@dataclass(frozen=True)
class Standing:
    """How one player stands when all have met."""

    player: str
    elo: float
    interval: Interval
    """95 %, of the rating."""
    ahead: float | None
    """Of the next player in the ranking, in Elo; None for the last one."""
    ahead_interval: Interval | None
    all: Tally
    moving_first: Tally
    moving_second: Tally


@dataclass(frozen=True)
class Tournament:
    """All matches, and what they say."""

    game: Game
    games: int
    """Of each pair."""
    seed: int
    opening_moves: int
    matches: list[Match]
    ratings: Ratings
    standings: list[Standing]
    """The strongest first."""

    def match(self, player: str, opponent: str) -> tuple[Tally, Interval]:
        """Of two players: what the first of them won, drew and lost, and the 95 % interval of its score."""
        match = next(match for match in self.matches if {match.first, match.second} == {player, opponent})
        tally, (low, high) = match.tally(), match.interval()
        if match.first == player:
            return tally, Interval(low, high)
        return Tally(*tally[::-1]), Interval(1.0 - high, 1.0 - low)


def play_tournament(
    game: Game,
    players: Sequence[Player],
    games: int,
    seed: int,
    *,
    opening_moves: int = OPENING_MOVES,
    progress: Progress = lambda match, first, second, ended: None,
) -> Tournament:
    """Let every two players meet in `games` games. Raises: as `play_match`, before the first game where settings are wrong."""
    check_match(game, games, seed, opening_moves)
    results, matches = Results(), []
    pairs = [(one, other) for place, one in enumerate(players) for other in players[place + 1 :]]
    for one, other in pairs:

        def tell(ended: int, one: Player = one, other: Player = other) -> None:
            progress(None, one.name, other.name, ended)

        own_seed = derive_seed(seed, "match", one.name, other.name)
        match = play_match(game, one, other, games, own_seed, opening_moves=opening_moves, progress=tell)
        progress(match, one.name, other.name, games)
        results.add_match(match)
        matches.append(match)
    ratings = rate(results)
    ranking = ratings.ranking()
    standings = [
        _standing(player, following, ratings, matches)
        for player, following in zip(ranking, [*ranking[1:], None], strict=True)
    ]
    return Tournament(game, games, seed, opening_moves, matches, ratings, standings)


def _standing(player: str, following: str | None, ratings: Ratings, matches: Sequence[Match]) -> Standing:
    by_seat = [
        [match.tally(seat) for match in matches if match.first == player]
        + [Tally(*match.tally(1 - seat)[::-1]) for match in matches if match.second == player]
        for seat in (0, 1)
    ]
    first, second = (Tally(*map(sum, zip(*tallies, strict=True))) for tallies in by_seat)
    elo, interval = ratings.of(player)
    ahead, ahead_interval = ratings.difference(player, following) if following is not None else (None, None)
    both = Tally(*map(sum, zip(first, second, strict=True)))
    return Standing(player, elo, interval, ahead, ahead_interval, both, first, second)


def as_json(tournament: Tournament) -> dict[str, Any]:
    """All numbers of a tournament, as `--json` prints them."""
    return {
        "game": tournament.game.name,
        "games_of_each_pair": tournament.games,
        "seed": tournament.seed,
        "opening_moves": tournament.opening_moves,
        "anchor": tournament.ratings.anchor,
        "players": [_standing_json(standing) for standing in tournament.standings],
        "matches": [_match_json(match) for match in tournament.matches],
    }


def _standing_json(standing: Standing) -> dict[str, Any]:
    ahead = standing.ahead_interval
    return {
        "player": standing.player,
        "elo": standing.elo,
        "elo_interval": list(standing.interval),
        "ahead_of_next": standing.ahead,
        "ahead_of_next_interval": None if ahead is None else list(ahead),
        **{
            name: {**tally._asdict(), "score": tally.score}
            for name, tally in (
                ("all", standing.all),
                ("moving_first", standing.moving_first),
                ("moving_second", standing.moving_second),
            )
        },
    }


def _match_json(match: Match) -> dict[str, Any]:
    tally = match.tally()
    return {
        "first": match.first,
        "second": match.second,
        **tally._asdict(),
        "score": tally.score,
        "score_interval": list(match.interval()),
        "distinct_games": match.distinct,
        "mean_moves": sum(match.lengths) / len(match.lengths),
    }
