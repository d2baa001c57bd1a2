"""Ratings from results: the strengths under which what happened is likeliest, with intervals.

The model is that of Bradley and Terry 1952, "Rank analysis of incomplete block designs: the method of paired
comparisons", in Elo's units: a player whose rating is d higher scores 1 / (1 + 10^(-d / 400)) on average. A draw counts
as half a win. Who moves first is no part of the model, as arena games are played with both colours alike.

Every two players that have met are taken to have drawn one game more. So a player who has won all games has a finite
rating, and the more games there were, the less it changes: 30 points of 40 games mean 185 instead of 191.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keel.agents.checks import at_least
from keel.envs.errors import closest
from keel.envs.protocol import Array
from keel.runners.arena.match import Z_95, Match, Tally
from keel.runners.seed_statistics import Interval

ELO_PER_LOGIT = 400.0 / math.log(10.0)
PRIOR_DRAWS = 1.0  # between every two players that have met
ANCHOR = "random"  # whose rating is 0 where it takes part
MOST_LOGITS, MOST_STEPS = 2.0, 100  # of one step of Newton's method, which could fly away otherwise; and how many


class Results:
    """How often every two players have met, and what came of it; it grows match by match."""

    def __init__(self) -> None:
        self._players: list[str] = []  # in the order in which they came
        self._tallies: dict[tuple[str, str], Tally] = {}

    @property
    def players(self) -> list[str]:
        """In the order in which they came."""
        return list(self._players)

    def add(self, first: str, second: str, wins: int, draws: int, losses: int) -> None:
        """Take in games of two players: so many that the first one won, drew and lost.

        Raises: ValueError: a player against itself, or a negative number of games.
        """
        if first == second:
            raise ValueError(f"{first!r} has met itself: that says nothing about how strong it is")
        at_least(0, wins=wins, draws=draws, losses=losses)
        self._players += [name for name in (first, second) if name not in self._players]
        if (second, first) in self._tallies:
            first, second, wins, losses = second, first, losses, wins
        known = self._tallies.get((first, second), Tally(0, 0, 0))
        self._tallies[first, second] = Tally(known.wins + wins, known.draws + draws, known.losses + losses)

    def add_match(self, match: Match) -> None:
        self.add(match.first, match.second, *match.tally())

    def tally(self, player: str, opponent: str | None = None) -> Tally:
        """Of a player, against one opponent or against all; zeros where they have not met."""
        own = [tally for (first, second), tally in self._tallies.items() if _meets(player, opponent, first, second)]
        turned = [
            tally[::-1] for (first, second), tally in self._tallies.items() if _meets(player, opponent, second, first)
        ]
        return Tally(*(sum(column) for column in zip((0, 0, 0), *own, *turned, strict=True)))

    def to_json(self) -> list[dict[str, Any]]:
        """One row for every two players that have met: first, second, wins, draws, losses."""
        return [
            {"first": first, "second": second, **tally._asdict()} for (first, second), tally in self._tallies.items()
        ]

    @staticmethod
    def from_json(rows: list[Mapping[str, Any]]) -> Results:
        """What `to_json` gave. Raises: ValueError: a row that is not as there."""
        results = Results()
        for row in rows:
            if not isinstance(row, Mapping) or set(row) != {"first", "second", "wins", "draws", "losses"}:
                raise ValueError(f"a result must have first, second, wins, draws and losses, got {row!r}")
            results.add(**row)
        return results


def _meets(player: str, opponent: str | None, first: str, second: str) -> bool:
    return player == first and opponent in (None, second)


@dataclass(frozen=True)
class Ratings:
    """How strong N players are, beside the anchor, whose rating is 0."""

    players: list[str]
    anchor: str
    elo: Array  # [N]
    covariance: Array  # [N N], in Elo squared; 0 for the anchor

    def of(self, player: str) -> tuple[float, Interval]:
        """A player's rating and its 95 % interval, which says how well the distance to the anchor is known."""
        return self.difference(player, self.anchor)

    def difference(self, player: str, opponent: str) -> tuple[float, Interval]:
        """How much stronger a player is than another one, with its 95 % interval."""
        a, b = self.players.index(player), self.players.index(opponent)
        difference = float(self.elo[a] - self.elo[b])
        variance = self.covariance[a, a] + self.covariance[b, b] - 2.0 * self.covariance[a, b]
        half = Z_95 * math.sqrt(max(0.0, float(variance)))
        return difference, Interval(difference - half, difference + half)

    def ranking(self) -> list[str]:
        """The players, the strongest first; equals by name."""
        return [self.players[index] for index in sorted(range(len(self.elo)), key=self._rank)]

    def _rank(self, index: int) -> tuple[float, str]:
        return -round(float(self.elo[index]), 6), self.players[index]


def rate(results: Results, anchor: str | None = None) -> Ratings:
    """The ratings of all players, whatever the order of the results.

    The intervals come from the information matrix, in which draws count as if chance had decided those games, so they
    are too wide rather than too narrow; resampling the games would give no width where one player wins all of them.

    Args: anchor: whose rating is 0; by default `random` where it takes part, else the player who came first.
    Raises: ValueError: nobody has played, no such anchor, or players that no chain of games joins to the anchor.
    """
    players = results.players
    if not players:
        raise ValueError("there are no results yet, so there are no ratings")
    anchor = anchor or (ANCHOR if ANCHOR in players else players[0])
    if anchor not in players:
        raise ValueError(f"anchor is {anchor!r}{closest(anchor, players)}; it must be one of {', '.join(players)}")
    index = {player: place for place, player in enumerate(players)}
    games, points = np.zeros((2, len(players), len(players)))
    for row in results.to_json():
        first, second = index[row["first"]], index[row["second"]]
        wins, losses = row["wins"] + 0.5 * row["draws"], row["losses"] + 0.5 * row["draws"]
        games[[first, second], [second, first]] = wins + losses
        points[[first, second], [second, first]] = wins, losses
    met = games > 0
    _check_joined(players, anchor, met)
    free = np.array([player != anchor for player in players])
    logits, covariance = _fit(games + PRIOR_DRAWS * met, points + 0.5 * PRIOR_DRAWS * met, free)
    return Ratings(players, anchor, ELO_PER_LOGIT * logits, ELO_PER_LOGIT**2 * covariance)


def _fit(games: Array, points: Array, free: Array) -> tuple[Array, Array]:
    """Maximum likelihood by Newton's method: logits [N], 0 where not `free`, and their covariance [N N]."""
    logits, covariance, met = np.zeros(len(free)), np.zeros((len(free), len(free))), games > 0
    for _ in range(MOST_STEPS):
        # The logistic function of all differences, written so that large ones do not overflow.
        expected = 0.5 + 0.5 * np.tanh(0.5 * (logits[:, None] - logits[None, :]))
        weight = games * expected * (1.0 - expected)
        information = np.diag(weight.sum(axis=1)) - weight
        covariance[np.ix_(free, free)] = np.linalg.inv(information[np.ix_(free, free)])
        step = covariance @ (points - games * expected).sum(axis=1)
        # What counts is how far those who have met move apart: a long ladder may grow in all its rungs at once.
        apart = float(np.abs(step[:, None] - step[None, :])[met].max())
        if apart < 1e-9:
            break
        logits += step * min(1.0, MOST_LOGITS / apart)
    return logits, covariance


def _check_joined(players: list[str], anchor: str, met: Array) -> None:
    joined = np.array([player == anchor for player in players])
    for _ in players:
        joined |= met[joined].any(axis=0)
    if not joined.all():
        lost = ", ".join(player for player, one in zip(players, joined, strict=True) if not one)
        raise ValueError(
            f"no chain of games joins {anchor} and {lost}: let them meet, as their ratings have no relation"
        )


def rate_over_time(results: Results, anchor: str | None = None) -> list[dict[str, Any]]:
    """The ladder of a training: all players rated together by all results so far, in the order in which they came.

    A row has `player`, `elo`, `low`, `high` (the 95 % interval), `games` and `score`. As every result counts for all,
    older networks' ratings move a little with every match; what was logged before is not the last word.

    Raises: ValueError: as `rate`.
    """
    ratings = rate(results, anchor)
    rows = []
    for player in ratings.players:
        elo, (low, high) = ratings.of(player)
        tally = results.tally(player)
        rows.append(
            {"player": player, "elo": elo, "low": low, "high": high, "games": tally.games, "score": tally.score}
        )
    return rows
