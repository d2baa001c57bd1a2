"""Matches: who scored what is recounted by playing the moves again; openings come in pairs; nobody may cheat."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from keel.agents.evaluators import RolloutEvaluator
from keel.agents.players import ScriptedPlayer, SearchPlayer
from keel.agents.search import SearchConfig
from keel.envs.errors import KeelError
from keel.envs.games.games import make_game
from keel.envs.games.opponents import play
from keel.runners.arena.match import Match, Record, Tally, draw_openings, paired_interval, play_match

TIC_TAC_TOE = make_game("tic_tac_toe")
CONNECT_FOUR = make_game("connect_four")
LINES = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]


def scripted(name: str, game: Any = TIC_TAC_TOE) -> ScriptedPlayer:
    return ScriptedPlayer(game, name)


class Nth:
    """Plays the legal move of this number, counted from the front or, below 0, from the back."""

    def __init__(self, game: Any, number: int) -> None:
        self.game, self.number, self.name = game, number, f"number {number}"
        self.asked: list[int] = []

    def choose(self, states: Any, chance: np.random.Generator) -> Any:
        self.asked.append(len(states))
        return np.array([np.flatnonzero(legal)[self.number] for legal in self.game.legal(states)], np.int32)


class Says:
    """Answers whatever it was told to."""

    name = "cheat"

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def choose(self, states: Any, chance: np.random.Generator) -> Any:
        return self.answer(len(states))


def score_of_first_mover(moves: list[int]) -> float:
    """Of a game of Tic-tac-toe, by the rules written down once more."""
    cells: dict[int, int] = {}
    for ply, cell in enumerate(moves):
        assert cell not in cells
        cells[cell] = ply % 2
        for mark in (0, 1):
            if any(all(cells.get(one) == mark for one in line) for line in LINES):
                assert ply == len(moves) - 1, "the game went on after it was won"
                return 1.0 - mark
    assert len(moves) == 9
    return 0.5


def test_scores_are_those_of_the_moves() -> None:
    match = play_match(TIC_TAC_TOE, scripted("one_ply"), scripted("random"), 60, 3, opening_moves=2)
    assert [record.seat for record in match.records] == [0, 1] * 30
    for record in match.records:
        expected = score_of_first_mover(record.moves)
        assert record.score == (expected if record.seat == 0 else 1.0 - expected)
    assert {record.score for record in match.records} == {0.0, 0.5, 1.0}  # all of it was tested
    assert match.tally() == Tally(*(sum(r.score == s for r in match.records) for s in (1.0, 0.5, 0.0)))
    both = match.tally(0), match.tally(1)
    assert Tally(*map(sum, zip(*both, strict=True))) == match.tally()
    assert both[0].games == both[1].games == 30
    assert match.lengths == [len(record.moves) for record in match.records]


def test_two_games_share_an_opening_and_no_two_pairs_do() -> None:
    match = play_match(CONNECT_FOUR, scripted("random", CONNECT_FOUR), scripted("one_ply", CONNECT_FOUR), 40, 1)
    openings = [tuple(record.moves[:4]) for record in match.records]
    assert openings[::2] == openings[1::2]
    positions = {bytes(after(CONNECT_FOUR, opening)) for opening in openings}
    assert len(positions) == 20
    assert match.distinct == 40


def after(game: Any, moves: tuple[int, ...]) -> Any:
    state = game.start()[None]
    for move in moves:
        state = play(game, state, np.array([move])).after
    return state[0]


def test_colours_swapped_and_no_chance_left_each_game_comes_with_its_mirror() -> None:
    """Whoever plays the same against itself scores one half in every pair."""
    match = play_match(CONNECT_FOUR, Nth(CONNECT_FOUR, 0), Nth(CONNECT_FOUR, 0), 20, 0, opening_moves=3)
    for one, other in zip(match.records[::2], match.records[1::2], strict=True):
        assert one.moves == other.moves
        assert one.score + other.score == 1.0


def test_a_player_may_be_its_own_opponent() -> None:
    player = Nth(CONNECT_FOUR, -1)
    match = play_match(CONNECT_FOUR, player, player, 6, 0)
    assert match.tally().score == 0.5


def test_games_of_one_turn_are_asked_together() -> None:
    first, second = Nth(TIC_TAC_TOE, 0), Nth(TIC_TAC_TOE, -1)
    ended: list[int] = []
    play_match(TIC_TAC_TOE, first, second, 10, 0, opening_moves=1, progress=ended.append)
    assert first.asked[0] == second.asked[0] == 5
    assert len(first.asked) <= 8
    assert ended == sorted(ended)
    assert ended[-1] == 10


def test_the_seed_decides_everything() -> None:
    def moves(seed: int) -> list[Record]:
        return play_match(TIC_TAC_TOE, scripted("random"), scripted("one_ply"), 8, seed, opening_moves=2).records

    assert moves(5) == moves(5)
    assert moves(5) != moves(6)


def test_a_search_wins_against_lots() -> None:
    evaluate = RolloutEvaluator(TIC_TAC_TOE, 0)
    player = SearchPlayer("rollouts:50", TIC_TAC_TOE, evaluate, SearchConfig(simulations=50, rule="puct"))
    match = play_match(TIC_TAC_TOE, player, scripted("random"), 40, 0, opening_moves=0)
    assert match.tally().score > 0.85
    assert (match.first, match.second, match.game) == ("rollouts:50", "random", "tic_tac_toe")


def test_openings_repeat_only_where_there_are_no_others() -> None:
    openings = draw_openings(TIC_TAC_TOE, 20, 0, 1)
    assert {tuple(opening) for opening in openings[:9]} == {(cell,) for cell in range(9)}
    assert len(openings) == 20
    assert draw_openings(TIC_TAC_TOE, 2, 0, 0) == [[], []]


def test_no_opening_ends_the_game() -> None:
    """Of eight moves by lot in Tic-tac-toe most have ended the game on the way."""
    for opening in draw_openings(TIC_TAC_TOE, 20, 0, 8):
        assert len(opening) == 8
        last = (set(range(9)) - set(opening)).pop()
        score_of_first_mover([*opening, last])  # asserts that nobody had won before


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            lambda count: np.full(count, 7, np.int32),
            r"cheat played 7 as move 1 of game 1, .*connect_four; legal: 0 \(a\)",
        ),
        (lambda count: np.full(count, -1, np.int32), r"cheat played -1 as move 1"),
        (
            lambda count: np.zeros(count + 1, np.int32),
            r"cheat was asked for 2 moves, as whole numbers, and gave int32 \[3\]",
        ),
        (lambda count: np.zeros(count), r"gave float64 \[2\]"),
    ],
)
def test_moves_that_are_none_are_named(answer: Any, message: str) -> None:
    with pytest.raises(KeelError, match=message):
        play_match(CONNECT_FOUR, Says(answer), scripted("random", CONNECT_FOUR), 4, 0, opening_moves=0)


def test_an_illegal_move_is_named_with_its_game_and_its_number() -> None:
    """Column a fills up: the seventh stone in it has no place. The cheat moves first in the odd games."""
    cheat = Says(lambda count: np.zeros(count, np.int32))
    with pytest.raises(
        KeelError, match=r"cheat played 0 \(a\) as move 7 of game 1, which is not legal in connect_four"
    ):
        play_match(CONNECT_FOUR, cheat, Nth(CONNECT_FOUR, 0), 2, 0, opening_moves=0)


class Endless:
    """Tic-tac-toe whose games are said to have three moves at most."""

    def __init__(self) -> None:
        self.most_moves = 3

    def __getattr__(self, name: str) -> Any:
        return getattr(TIC_TAC_TOE, name)


def test_broken_rules_end_with_an_error() -> None:
    with pytest.raises(KeelError, match="goes on after 3 moves"):
        play_match(Endless(), scripted("random"), scripted("random"), 2, 0, opening_moves=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"games": 21}, "games is 21: every opening is played twice, so 20 or 22"),
        ({"games": 0}, "games is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"opening_moves": -1}, "opening_moves is -1"),
        ({"opening_moves": 9}, "opening_moves is 9: a game of tic_tac_toe has 9 moves at most"),
    ],
)
def test_settings_are_checked(settings: dict[str, int], message: str) -> None:
    values: dict[str, Any] = {"games": 2, "seed": 0, "opening_moves": 1, **settings}
    with pytest.raises(ValueError, match=message):
        play_match(TIC_TAC_TOE, scripted("random"), scripted("random"), **values)


def test_the_interval_by_hand() -> None:
    """Pairs 1, 1/2, 1/2 and the two that are added: mean 0.6, variance (0.16 + 0.01 + 0.01 + 0.36 + 0.16) / 4."""
    low, high = paired_interval(np.array([1.0, 0.5, 0.5]))
    half = 1.959964 * math.sqrt(0.175 / 5)
    assert low == pytest.approx(0.6 - half)
    assert high == pytest.approx(0.6 + half)


def test_the_interval_of_a_match_is_that_of_its_pairs() -> None:
    scores = [1.0, 0.0, 1.0, 0.0, 1.0, 1.0]
    records = [Record([0], index % 2, score) for index, score in enumerate(scores)]
    match = Match("tic_tac_toe", "a", "b", 0, 0, records)
    assert match.interval() == paired_interval(np.array([0.5, 0.5, 1.0]))


def test_a_match_won_throughout_leaves_room_for_doubt() -> None:
    low, high = paired_interval(np.ones(10))
    assert 0.6 < low < 0.8
    assert high == 1.0


@pytest.mark.parametrize(
    ("chances", "most"),
    [
        ((0.2, 0.1, 0.4, 0.1, 0.2), 0.97),
        ((0.0, 0.0, 0.1, 0.2, 0.7), 0.98),
        ((0.0, 0.05, 0.9, 0.05, 0.0), 1.0),  # who moves first nearly always wins: the pairs that are added weigh most
    ],
)
def test_the_interval_covers_the_truth(chances: tuple[float, ...], most: float) -> None:
    """In about 95 % of 2,000 matches of 40 pairs whose scores are 0, 1/4 … 1 with these chances."""
    values = np.linspace(0, 1, 5)
    truth = float(np.dot(values, chances))
    pairs = np.random.default_rng(0).choice(values, size=(2_000, 40), p=chances)
    covered = np.mean([low <= truth <= high for low, high in map(paired_interval, pairs)])
    assert 0.925 <= covered <= most


def test_pairs_know_more_than_games_where_the_first_mover_wins() -> None:
    low, high = paired_interval(np.full(40, 0.5))
    of_games = 2 * 1.96 * math.sqrt(0.25 / 80)  # if all 80 were independent
    assert high - low < 0.4 * of_games
