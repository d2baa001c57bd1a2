"""Self-play: its games are games, and what it says of their positions is so."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from keel.agents.positions import Positions, unpack
from keel.agents.search import SearchConfig
from keel.agents.selfplay import Played, SelfPlay, SelfPlayConfig, together
from keel.envs.games.games import make_game
from keel.envs.games.opponents import play

PLAIN = SelfPlayConfig(games=5, random_moves=0, full_share=1.0)


def uniform(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((len(states), 9), np.float32), np.zeros(len(states), np.float32)


def make(rule: Any = "gumbel", simulations: int = 6, seed: int = 0, **changes: Any) -> SelfPlay:
    config = dataclasses.replace(PLAIN, **changes)
    return SelfPlay(make_game("tic_tac_toe"), config, SearchConfig(simulations=simulations, rule=rule), seed)


def games_of(part: Played, lengths: list[int] | None = None) -> list[Positions]:
    """The games of some moves, each by itself: a game begins where there are no more stones than before."""
    stones = (part.positions.states != 0).sum(axis=1)
    starts = np.flatnonzero(np.diff(stones, prepend=99) <= 0)
    if len(starts) == 0:
        return []
    return [
        Positions(*parts) for parts in zip(*(np.split(column, starts[1:]) for column in part.positions), strict=True)
    ]


@pytest.mark.parametrize("rule", ["gumbel", "puct"])
def test_positions_are_those_of_games_that_were_played(rule: Any) -> None:
    """Each position follows from the one before by one move, and the outcome is seen by who is to move."""
    game, selfplay = make_game("tic_tac_toe"), make(rule, drawn_moves=9)
    parts = [selfplay.step(uniform) for _ in range(30)]
    results, games = set(), [one for part in parts for one in games_of(part)]
    assert len(games) == sum(part.games for part in parts) > 10
    for one in games:
        stones = (one.states != 0).sum(axis=1)
        assert stones.tolist() == list(range(len(stones)))
        for before, after in zip(one.states[:-1], one.states[1:], strict=True):
            assert ((before != -after).sum(), after[before != -after].tolist()) == (1, [-1])
        legal = np.flatnonzero(game.legal(one.states[-1:])[0])
        last = play(game, one.states[-1:].repeat(len(legal), axis=0), legal)
        possible = {float(-value) for value, ended in zip(last.value, last.ended, strict=True) if ended}
        assert float(one.outcome[-1]) in possible
        signs = (-1.0) ** np.arange(len(stones))[::-1]
        np.testing.assert_array_equal(one.outcome, one.outcome[-1] * signs)
        policy = unpack(one.policy, game.legal(one.states))
        np.testing.assert_allclose(policy.sum(axis=1), 1.0, atol=1e-5)
        assert not policy[~game.legal(one.states)].any()
        results.add(float(one.outcome[0]))
    assert len(results) > 1, "games of all kinds"


def test_games_begin_with_moves_by_lot() -> None:
    """Of 400 games with up to three, about a quarter begins with each number of stones; none has ended before it began."""
    selfplay = make(games=400, random_moves=3, random_share=1.0)
    counts = np.bincount((selfplay.states != 0).sum(axis=1))
    assert len(counts) == 4
    assert counts.min() > 70
    assert (selfplay.states.sum(axis=1) == -(counts := (selfplay.states != 0).sum(axis=1) % 2)).all(), "in turn"
    assert make_game("tic_tac_toe").legal(selfplay.states).any(axis=1).all()
    few = (make(games=400, random_moves=3, random_share=0.2).states != 0).any(axis=1).mean()
    assert few == pytest.approx(0.2 * 0.75, abs=0.05), "a fifth of the games, of which a quarter has drawn none"
    with pytest.raises(ValueError, match="random_moves is 9: no game of tic_tac_toe is longer"):
        make(random_moves=9)


def test_an_opening_that_ends_the_game_is_drawn_again() -> None:
    """With up to eight moves by lot some games are over before: such a game would have no move that could be made."""
    selfplay = make(games=500, random_moves=8, random_share=1.0)
    ended = [row for row in selfplay.states if any(abs(row[list(line)].sum()) == 3 for line in LINES)]
    assert not ended


LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))


def test_full_searches_are_as_many_as_asked_and_alone_teach_moves() -> None:
    """A full search of 40 simulations leaves more behind than a fast one of 2: nine moves cannot all be tried by two."""
    seen: list[int] = []

    def counting(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen.append(len(states))
        return uniform(states)

    selfplay, calls = make("puct", 40, full_share=0.3, fast_simulations=2), []
    taught: list[bool] = []
    for _ in range(200):
        seen.clear()
        part = selfplay.step(counting)
        calls.append(len(seen))
        taught += part.positions.taught.tolist()
    full = np.array(calls) > 3
    assert 0.2 < full.mean() < 0.4
    assert 0.15 < np.mean(taught) < 0.45


def test_lost_games_are_given_up_and_a_tenth_is_checked() -> None:
    """A judge to whom the player with fewer corners has lost: games end early, and those played on are judged."""

    def corners(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return uniform(states)[0], np.sign(states[:, [0, 2, 6, 8]].sum(axis=1)).astype(np.float32) * 0.95

    selfplay = make("puct", 1, games=200, give_up=0.4)
    played = together([selfplay.step(corners) for _ in range(40)])
    usual = together([make("puct", 1, games=200).step(corners) for _ in range(1)])
    assert usual.checked == 0
    assert played.games > 40 * 200 / 6, "shorter than whole games, which have five moves at least"
    assert 0.05 < played.checked / played.games < 0.2
    assert 0 < played.mistaken < played.checked
    shortest = min(len(one.outcome) for one in games_of(played))
    assert shortest < 5
    given_up = [one for one in games_of(played) if len(one.outcome) < 5]
    assert all(one.outcome[-1] == -1.0 for one in given_up), "who gives up has lost"


def test_chance_has_a_say_in_a_games_first_moves_alone() -> None:
    """A search of one simulation plays the likeliest move but for noise, and here that is the first free cell."""

    def first_cells(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(9, 0, -1, dtype=np.float32)[None].repeat(len(states), axis=0), uniform(states)[1]

    def orders(drawn_moves: int) -> set[bytes]:
        selfplay = make(simulations=1, games=50, drawn_moves=drawn_moves)
        games = [one for _ in range(9) for one in games_of(selfplay.step(first_cells))]
        return {one.states.tobytes() for one in games}

    assert len(orders(0)) == 1
    assert len(orders(9)) > 10


@pytest.mark.parametrize("chance", [0.0, 1.0 - 2.0**-53], ids=["lowest", "highest"])
def test_moves_drawn_by_visits_were_visited(chance: float) -> None:
    """Float32 shares whose sum is not quite 1, with none at both ends."""
    game = make_game("othello_6x6")
    config = dataclasses.replace(PLAIN, games=8)
    selfplay = SelfPlay(game, config, SearchConfig(simulations=2, rule="puct"), 0)
    visits = np.random.default_rng(0).integers(0, 50, (8, 37)).astype(np.float32)
    visits[:, [0, -1]] = 0.0

    class Stub:
        policy = visits / visits.sum(axis=1, keepdims=True)
        action = np.zeros(8, np.int32)

        def random(self, shape: tuple[int, ...]) -> np.ndarray:
            return np.full(shape, chance)

    drawn = selfplay._choice(Stub(), Stub())  # pyright: ignore
    assert (visits[np.arange(8), drawn] > 0).all()


@pytest.mark.parametrize("rule", ["gumbel", "puct"])
def test_what_is_saved_continues_exactly(rule: Any) -> None:
    common = {"random_moves": 2, "full_share": 0.5, "fast_simulations": 3, "give_up": 0.5}
    selfplay, other = make(rule, **common), make(rule, **common)
    for _ in range(7):
        selfplay.step(uniform)
    other.load_state_dict(selfplay.state_dict())
    for _ in range(20):
        for ours, theirs in zip(selfplay.step(uniform).positions, other.step(uniform).positions, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("wrong", [{"games": 0}, {"full_share": 0.0}, {"give_up": 1.5}, {"random_moves": -1}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SelfPlayConfig(**wrong)
