"""Ratings: by hand for two players, against strengths that are known for more, and honest about what they do not know."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from keel.runners.arena.elo import Results, rate, rate_over_time
from keel.runners.arena.match import Match, Record, Tally

STRENGTHS = {"a": 0.0, "b": 120.0, "c": 260.0, "d": -90.0}


def expected(difference: float) -> float:
    return 1.0 / (1.0 + 10.0 ** (-difference / 400.0))


def simulated(generator: np.random.Generator, games: int) -> Results:
    results = Results()
    names = list(STRENGTHS)
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            wins = int(generator.binomial(games, expected(STRENGTHS[first] - STRENGTHS[second])))
            results.add(first, second, wins, 0, games - wins)
    return results


def test_three_points_of_four_are_191() -> None:
    """400 log10(3) = 190.85, up to the one drawn game that is added."""
    results = Results()
    results.add("strong", "random", 7_000, 1_000, 2_000)
    assert rate(results).of("strong")[0] == pytest.approx(190.85, abs=0.05)
    results = Results()
    results.add("strong", "random", 28, 4, 8)
    assert rate(results).of("strong")[0] == pytest.approx(400 * math.log10(30.5 / 10.5))


def test_the_interval_of_two_players_by_hand() -> None:
    """The logit of p from n games has the variance 1 / (n p (1 - p))."""
    results = Results()
    results.add("strong", "random", 60, 0, 39)
    p = 60.5 / 100
    half = 1.959964 * 400 / math.log(10) / math.sqrt(100 * p * (1 - p))
    elo, (low, high) = rate(results).of("strong")
    assert (elo - low, high - elo) == pytest.approx((half, half))


def test_the_anchor_is_random_or_the_first_or_whom_one_likes() -> None:
    results = Results()
    results.add("b", "a", 3, 0, 1)
    assert rate(results).anchor == "b"
    results.add("b", "random", 5, 0, 1)
    ratings = rate(results)
    assert ratings.anchor == "random"
    assert ratings.of("random") == (0.0, (0.0, 0.0))
    by_a = rate(results, anchor="a")
    assert by_a.difference("b", "random")[0] == pytest.approx(ratings.difference("b", "random")[0])
    # How well a difference is known does not depend on whose rating is 0 either.
    assert by_a.difference("b", "a")[1] == pytest.approx(ratings.difference("b", "a")[1])
    assert ratings.difference("a", "b")[0] == pytest.approx(-ratings.difference("b", "a")[0])


def test_known_strengths_are_found() -> None:
    results = simulated(np.random.default_rng(1), 40_000)
    ratings = rate(results, anchor="a")
    for player, strength in STRENGTHS.items():
        assert ratings.of(player)[0] == pytest.approx(strength, abs=6)
    assert ratings.ranking() == ["c", "b", "a", "d"]


def test_the_likelihood_has_its_top_there() -> None:
    """Independent of the method: every step away from the ratings makes what happened less likely."""
    results = simulated(np.random.default_rng(2), 12)
    ratings = rate(results)

    def log_likelihood(elo: Any) -> float:
        total = 0.0
        for i, first in enumerate(ratings.players):
            for j, second in enumerate(ratings.players[:i]):
                tally = results.tally(first, second)
                chance = expected(elo[i] - elo[j])
                total += (tally.wins + 0.5 * tally.draws + 0.5) * math.log(chance)
                total += (tally.losses + 0.5 * tally.draws + 0.5) * math.log(1 - chance)
        return total

    best = log_likelihood(ratings.elo)
    for player in range(4):
        for step in (-2.0, 2.0):
            moved = ratings.elo.copy()
            moved[player] += step
            assert log_likelihood(moved) < best


def test_intervals_cover_the_truth() -> None:
    """In about 95 % of 300 tournaments of 30 games for each pair."""
    generator = np.random.default_rng(0)
    covered = []
    for _ in range(300):
        ratings = rate(simulated(generator, 30), anchor="a")
        for player in "bcd":
            low, high = ratings.of(player)[1]
            covered.append(low <= STRENGTHS[player] <= high)
    assert 0.93 <= np.mean(covered) <= 0.975


def test_order_does_not_matter() -> None:
    matches = [("a", "b", 5, 2, 3), ("b", "c", 1, 1, 8), ("c", "a", 4, 0, 6), ("a", "b", 1, 1, 0)]
    forth, back = Results(), Results()
    for first, second, wins, draws, losses in matches:
        forth.add(first, second, wins, draws, losses)
    for first, second, wins, draws, losses in reversed(matches):
        back.add(second, first, losses, draws, wins)
    one, other = rate(forth, "a"), rate(back, "a")
    for player in "abc":
        assert one.of(player)[0] == pytest.approx(other.of(player)[0], abs=1e-6)
        assert one.of(player)[1] == pytest.approx(other.of(player)[1], abs=1e-6)


@pytest.mark.parametrize("games", [1, 10, 100_000])
def test_who_always_wins_has_a_finite_rating_and_a_wide_interval(games: int) -> None:
    results = Results()
    results.add("best", "random", games, 0, 0)
    elo, (low, high) = rate(results).of("best")
    assert elo == pytest.approx(400 * math.log10(2 * games + 1))
    assert high - low > 900
    assert np.isfinite([low, high]).all()


def test_a_long_ladder_of_clean_victories_is_rated() -> None:
    results = Results()
    for rung in range(60):
        results.add(f"iteration {rung + 1}", f"iteration {rung}", 1_000, 0, 0)
    ratings = rate(results, "iteration 0")
    assert ratings.of("iteration 60")[0] == pytest.approx(60 * 400 * math.log10(2_001))


def test_results_add_up_from_both_sides() -> None:
    results = Results()
    results.add("a", "b", 3, 1, 2)
    results.add("b", "a", 10, 0, 1)
    results.add("c", "a", 1, 0, 0)
    assert results.players == ["a", "b", "c"]
    assert results.tally("a", "b") == Tally(4, 1, 12)
    assert results.tally("b", "a") == Tally(12, 1, 4)
    assert results.tally("a") == Tally(4, 1, 13)
    assert results.tally("b", "c") == Tally(0, 0, 0)
    again = Results.from_json(json.loads(json.dumps(results.to_json())))
    assert again.to_json() == results.to_json()
    assert again.players == results.players


def test_a_match_is_taken_in() -> None:
    results = Results()
    results.add_match(Match("hex", "a", "b", 0, 0, [Record([0], 0, 1.0), Record([1], 1, 0.5), Record([2], 0, 1.0)]))
    assert results.tally("b") == Tally(0, 1, 2)


def test_the_ladder_of_a_training() -> None:
    results = Results()
    for iteration, wins in ((0, 12), (10, 18), (20, 19)):
        results.add(f"iteration {iteration}", "random", wins, 0, 20 - wins)
    results.add("iteration 20", "iteration 10", 15, 0, 5)
    rows = rate_over_time(results)
    assert [row["player"] for row in rows] == ["iteration 0", "random", "iteration 10", "iteration 20"]
    elo = {row["player"]: row["elo"] for row in rows}
    assert elo["random"] == 0 < elo["iteration 0"] < elo["iteration 10"] < elo["iteration 20"]
    assert rows[3]["games"] == 40
    assert rows[3]["score"] == 34 / 40
    assert all(row["low"] <= row["elo"] <= row["high"] for row in rows)


def test_what_cannot_be_rated_is_refused() -> None:
    results = Results()
    with pytest.raises(ValueError, match="no results yet"):
        rate(results)
    with pytest.raises(ValueError, match="'a' has met itself"):
        results.add("a", "a", 1, 0, 0)
    with pytest.raises(ValueError, match="losses is -1"):
        results.add("a", "b", 1, 0, -1)
    results.add("random", "b", 1, 0, 0)
    with pytest.raises(ValueError, match="anchor is 'randm'; did you mean 'random'"):
        rate(results, "randm")
    results.add("c", "d", 1, 0, 0)
    with pytest.raises(ValueError, match="no chain of games joins random and c, d"):
        rate(results)
    with pytest.raises(ValueError, match="must have first, second, wins, draws and losses"):
        Results.from_json([{"first": "a"}])
