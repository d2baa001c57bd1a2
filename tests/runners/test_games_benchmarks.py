"""The judges of board games: what they hold to be right is right."""

from __future__ import annotations

import importlib.util
import json
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from keel.agents.search import SearchConfig
from keel.envs.games.games import make_game
from keel.runners.arena.elo import Results
from keel.runners.benchmarks import connect_four, selfplay_learning, tic_tac_toe
from keel.runners.benchmarks.connect_four_positions import (
    PHASES,
    Solved,
    board_of,
    draw_positions,
    run,
    solved,
    solver,
    states_of,
)
from keel.runners.games.players import judge_of, playing
from keel.runners.selfplay.settings import SelfPlaySettings, load_network
from keel.runners.selfplay.trainer import SelfPlayResult
from keel.runners.train_alphazero import train

PAGE = Path(__file__).parents[2] / "results" / "benchmarks" / "connect-four-positions.json"
NOBODY = {"wins": 0, "draws": 0, "losses": 0}
needs_solver = pytest.mark.skipif(importlib.util.find_spec("bitbully") is None, reason="the extra `oracles` is missing")


def test_tic_tac_toe_is_solved() -> None:
    """5,478 positions can be reached, of which 958 have ended; the corner and the middle draw, as every first move does."""
    states, worth = tic_tac_toe.solve()
    assert states.shape == (4_520, 9)
    start = int(np.flatnonzero((states == 0).all(axis=1))[0])
    assert worth[start].tolist() == [0.0] * 9
    fork = np.array([1, 0, 0, 0, -1, 0, 0, 0, 1], np.int8) * -1  # opposite corners: a corner loses, an edge holds
    row = int(np.flatnonzero((states == fork).all(axis=1))[0])
    assert worth[row, [1, 3, 5, 7]].tolist() == [0.0] * 4
    assert worth[row, [2, 6]].tolist() == [-1.0] * 2


@needs_solver
def test_committed_positions_are_what_the_solver_says() -> None:
    document = json.loads(PAGE.read_text())
    few = run(count=3, seed=document["seed"])["positions"]
    assert few[:3] == document["positions"][:3]
    judge, chance = solver(), np.random.default_rng(0)
    for index in chance.integers(len(document["positions"]), size=60).tolist():
        _, moves, scores = document["positions"][index]
        found = judge.score_all_moves(board_of(states_of([moves])[0]))
        assert [found.get(column) for column in range(7)] == scores


@needs_solver
def test_the_first_player_wins_in_the_middle_alone() -> None:
    """Allis 1988, A knowledge-based approach of Connect-Four: the middle wins, its neighbours draw, the rest loses."""
    scores = solver().score_all_moves(board_of(make_game("connect_four").start()))
    assert [int(np.sign(scores[column])) for column in range(7)] == [-1, -1, 0, 1, 0, -1, -1]


def test_positions_are_of_their_phase_and_all_differ() -> None:
    phases, games = draw_positions(20, 1)
    assert len(set(games)) == len(games) == 60
    for phase, moves in zip(phases, games, strict=True):
        fewest, most = PHASES[phase]
        assert fewest <= len(moves) <= most
    assert draw_positions(20, 1) == (phases, games)


def test_a_move_is_right_where_it_keeps_what_the_position_is_worth() -> None:
    worth = np.array([[1, -1, np.nan, 0, 1, 1, 1], [-1] * 7], np.float32)
    positions = Solved(np.zeros((2, 42), np.int8), np.array(["opening", "end"]), worth)
    assert positions.right(np.array([0, 3])).tolist() == [True, True]
    assert positions.right(np.array([3, 3])).tolist() == [False, True]
    assert positions.choice.tolist() == [True, False]


def test_a_judge_that_knows_all_is_right_everywhere_and_one_that_knows_nothing_is_not() -> None:
    """The solver's own values as a network: every search with it makes no mistake, and more of it no more mistakes."""
    every = solved(json.loads(PAGE.read_text()))
    positions = Solved(*(part[::40] for part in every))
    known = {state.tobytes(): row for state, row in zip(positions.states, positions.worth, strict=True)}

    def knows(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = np.stack([known.get(state.tobytes(), np.zeros(7, np.float32)) for state in states])
        return 20.0 * np.nan_to_num(rows, nan=-1.0), np.zeros(len(states), np.float32)

    shares = connect_four.judged(positions, knows, 0, SearchConfig())
    assert shares["all"]["share"] == 1.0
    blind = connect_four.judged(
        positions, lambda s: (np.zeros((len(s), 7)), np.zeros(len(s), np.float32)), 0, SearchConfig()
    )
    assert blind["choice"]["share"] < 0.7
    assert shares["all"]["of"] == len(positions.states) == sum(shares[phase]["of"] for phase in PHASES)


@pytest.mark.slow
@pytest.mark.usefixtures("runs_directory")
def test_every_seed_is_trained_and_the_last_network_of_each_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings of seconds, judged on the committed positions' first ones; the matches are left out."""
    every = Solved(*(part[::300] for part in solved(json.loads(PAGE.read_text()))))
    trained: list[SelfPlayResult] = []

    def train_and_note(*arguments: Any, **options: Any) -> SelfPlayResult:
        trained.append(train(*arguments, **options))
        return trained[-1]

    monkeypatch.setattr(connect_four, "train", train_and_note)
    monkeypatch.setattr(connect_four, "known_positions", lambda: every)
    monkeypatch.setattr(connect_four, "MATCH_SIMULATIONS", ())
    monkeypatch.setattr(connect_four, "against_the_solver", lambda *_: {"first": NOBODY, "second": NOBODY})
    result = connect_four.run(minutes=0.05, seeds=2, evaluations=1, games=2)
    assert [run.run.config["seed"] for run in trained] == [0, 1]
    assert (result["run"], result["others"][0]["run"]) == (trained[0].run.name, trained[1].run.name)
    game, settings = make_game(connect_four.GAME), SelfPlaySettings.from_run(trained[1].run)
    network = load_network(trained[1].run, settings, game, "last", torch.device("cpu"))
    search = playing(settings.hyperparameters.search)
    again = connect_four.judged(every, judge_of(game, network, torch.device("cpu")), 100, search)
    assert result["others"][0]["shares"] == again
    page = connect_four.table(result)
    assert "| 200, without mirror images |" in page
    assert "The same training with 2 seeds" in page


def test_a_training_that_was_stopped_makes_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = SimpleNamespace(stopped_by=signal.SIGINT)
    monkeypatch.setattr(connect_four, "train", lambda *_, **__: stopped)
    with pytest.raises(KeyboardInterrupt):
        connect_four.run(seeds=1)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"seeds": 0}, "seeds is 0"),
        ({"games": 0}, "games is 0"),
        ({"games": 201}, "games is 201"),
        ({"evaluations": 0}, "evaluations is 0"),
    ],
)
def test_what_cannot_be_judged_is_refused_before_anything_is_trained(
    options: dict[str, int], field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect_four, "train", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(ValueError, match=field):
        connect_four.run(**options)


def test_other_seeds_are_told_with_their_mean_and_spread() -> None:
    """Of 100 moves each: 96, 97 and 98 right are 97 on average, with a standard deviation (of a sample) of 1."""

    def shares(right: int) -> dict[str, dict[str, float]]:
        return {name: connect_four.share(right, 100) for name in (*PHASES, "all", "choice")}

    result = {"seed": 0, "moves": 1_000, "judged": {"24": shares(10), "100": shares(96)}, "others": []}
    assert connect_four.seeds_table(result) == []
    result["others"] = [{"seed": seed, "moves": 2_000, "shares": shares(96 + seed)} for seed in (1, 2)]
    _, table = connect_four.seeds_table(result)
    first, *_, last = table.splitlines()[2:]
    assert first.startswith("| 0 | 1,000 | 96.0 % (90.2–98.4) |")
    assert last == "| mean ± standard deviation |  |" + " 97.0 % ± 1.0 |" * 4


@pytest.mark.usefixtures("runs_directory")
def test_the_ladder_of_self_play_begins_with_the_untrained_network() -> None:
    """Six seconds of Tic-tac-toe: the ladder says when each network was rated, and how much was gained."""
    result = selfplay_learning.run(games={"tic_tac_toe": 0.1}, evaluations=2, evaluate_games=10, direct_games=12)
    found = result["games"]["tic_tac_toe"]
    minutes = {row["player"]: row["minute"] for row in found["rows"] if "minute" in row}
    assert minutes["untrained"] == 0.0
    assert 0.05 <= min(minute for minute in minutes.values() if minute) <= max(minutes.values()) < 0.2
    elo = {row["player"]: row["elo"] for row in found["rows"]}
    last = max(minutes, key=lambda player: minutes[player])
    results = Results.from_json(found["results"])
    assert sum(results.tally(last, "untrained")) == 12
    assert found["gained"]["elo"] == pytest.approx(elo[last] - elo["untrained"])
    assert found["gained"]["low"] < found["gained"]["elo"] < found["gained"]["high"]
    lines = selfplay_learning.table(result).splitlines()
    players = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")][1:]
    assert players == ["random", "rollouts:100", *sorted(minutes, key=lambda player: minutes[player])]
    selfplay_learning.strength(result)
