"""The agent finds what there is to find, says what it looked at, and can be interrupted."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from keel.agents.alphazero import make_network
from keel.envs.games.games import make_game
from keel.envs.protocol import Array
from keel.runners import checkpoint
from keel.runners.play.agent import (
    ROLLOUT_LEVELS,
    Agent,
    Level,
    Thinker,
    Thought,
    chess_agent,
    paced,
    rollout_agent,
    run_agent,
)
from keel.runners.play.table import Sitting
from keel.runners.run import Run
from keel.runners.selfplay.settings import default_settings

MEDIUM, CONNECT_FOUR = Level("medium", 200), make_game("connect_four")


def after(moves: str, game: str = "connect_four") -> Sitting:
    sitting = Sitting(make_game(game))
    for name in moves.split():
        sitting.play(next(action for action in sitting.position.legal if sitting.name(action) == name))
    return sitting


def answer(thinker: Thinker, seconds: float = 20.0) -> Thought:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        thought = thinker.answer()
        if thought is not None:
            return thought
        time.sleep(0.002)
    raise AssertionError("no answer")


def flat(states: Array) -> tuple[Array, Array]:
    """Every move looks the same, and every position like a draw."""
    return np.zeros((len(states), 7), np.float32), np.zeros(len(states), np.float32)


def test_it_wins_and_says_so() -> None:
    position = after("d a d a d a").position
    thought = rollout_agent(CONNECT_FOUR, 0).think(position, MEDIUM, draw=0)
    best = thought.candidates[0]
    assert (thought.action, best.name, best.line, best.value) == (3, "d", ("d",), 1.0)
    assert thought.value == 1.0
    assert 1 <= thought.simulations < 200  # it is over as soon as the win is found
    assert (
        rollout_agent(CONNECT_FOUR, 0).think(after("d").position, MEDIUM, draw=0).effort.startswith("200 simulations")
    )
    assert thought._replace(simulations=1, seconds=0.04).effort == "1 simulation, 0.0 s"
    assert sum(candidate.share for candidate in thought.candidates) == pytest.approx(1.0)
    shares = [candidate.share for candidate in thought.candidates]
    assert shares == sorted(shares, reverse=True)
    assert thought.position == position


def test_at_chess_it_takes_a_queen_and_mates() -> None:
    """After 1. e4 e5 2. Bc4 Nc6 3. Qh5, the mate on f7 is for white; black's queen on g5 is for the knight on f3."""
    pytest.importorskip("chess")
    agent = chess_agent(make_game("chess"), 0)
    for moves, best in (("e2e4 e7e5 f1c4 b8c6 d1h5 a7a6", "h5f7"), ("d2d4 e7e6 e2e3 d8g5 g1f3 g5g6 f1d3 g6g5", "f3g5")):
        thought = agent.think(after(moves, "chess").position, Level("medium", 24), draw=0)
        assert thought.candidates[0].name == best
        assert agent.game.action_name(thought.action, 0) == best
    assert agent.name == "rules of thumb, no network"


def test_lines_are_named_as_each_player_sees_them() -> None:
    """In Breakthrough the second player sees the board turned; names are always people's."""
    sitting = after("", "breakthrough")
    thought = rollout_agent(sitting.game, 0).think(sitting.position, MEDIUM, draw=0)
    line = max((candidate.line for candidate in thought.candidates), key=len)
    assert len(line) >= 2
    assert line[0][1] == "2"
    assert line[1][1] == "7"


def test_easy_errs_and_its_chance_is_a_function_of_seed_and_draw() -> None:
    position = after("").position
    easy = Level("easy", 60, by_shares=True)
    agent = Agent(CONNECT_FOUR, "flat", flat, (easy,), seed=3)
    moves = [agent.think(position, easy, draw).action for draw in range(40)]
    assert len(Counter(moves)) > 3
    assert moves == [agent.think(position, easy, draw).action for draw in range(40)]
    hard = Level("hard", 60)
    assert len({agent.think(position, hard, draw).action for draw in range(5)}) == 1


def test_a_thinker_answers_once() -> None:
    thinker = Thinker(rollout_agent(CONNECT_FOUR, 0))
    assert thinker.answer() is None
    thinker.ask(after("d a d a d a").position, MEDIUM, 0)
    assert thinker.busy
    assert answer(thinker).action == 3
    assert not thinker.busy
    assert thinker.answer() is None
    thinker.close()


def test_who_asks_again_does_not_get_the_first_answer_and_need_not_wait_for_it() -> None:
    thinker = Thinker(Agent(CONNECT_FOUR, "flat", flat, (MEDIUM,)))
    first, second = after("").position, after("d").position
    thinker.ask(first, Level("endless", 300_000), 0)
    begun = time.monotonic()
    thinker.ask(second, Level("short", 10), 0)
    assert answer(thinker).position is second
    assert time.monotonic() - begun < 5.0
    thinker.ask(first, Level("endless", 300_000), 0)
    thinker.cancel()
    assert (thinker.busy, thinker.progress, thinker.seconds) == (False, 0.0, 0.0)
    thinker.close()


def test_progress_grows_with_the_evaluations() -> None:
    go_on, reached = threading.Event(), threading.Event()
    calls = 0

    def slow(states: Array) -> tuple[Array, Array]:
        nonlocal calls
        calls += 1
        if calls == 5:
            reached.set()
            assert go_on.wait(20)
        return flat(states)

    thinker = Thinker(Agent(CONNECT_FOUR, "slow", slow, (MEDIUM,)))
    thinker.ask(after("").position, Level("ten", 10), 0)
    assert reached.wait(20)
    assert thinker.progress == pytest.approx(0.5)
    go_on.set()
    answer(thinker)
    thinker.close()


def test_what_goes_wrong_in_the_thread_is_raised_where_the_answer_is_fetched() -> None:
    def broken(states: Array) -> tuple[Array, Array]:
        raise RuntimeError("no network")

    thinker = Thinker(Agent(CONNECT_FOUR, "broken", broken, (MEDIUM,)))
    thinker.ask(after("").position, MEDIUM, 0)
    with pytest.raises(RuntimeError, match="no network"):
        answer(thinker)
    thinker.close()


def test_levels_grow_and_shrink_only_where_games_are_slow() -> None:
    simulations = [level.simulations for level in ROLLOUT_LEVELS]
    assert simulations == sorted(simulations)
    assert paced(ROLLOUT_LEVELS, 0.001) == ROLLOUT_LEVELS
    slow = paced(ROLLOUT_LEVELS, 0.1)
    assert [level.simulations for level in slow] == [5, 50, 200]
    assert [level.name for level in slow] == ["easy", "medium", "hard"]


@pytest.fixture
def tic_tac_toe_run(tmp_path: Path) -> Run:
    """A network that has learnt nothing."""
    settings, game = default_settings("tic_tac_toe"), make_game("tic_tac_toe")
    torch.manual_seed(0)
    network = make_network(game, settings.backbone)
    run = Run.create("tic_tac_toe", "alphazero", 0, settings.to_json(), run_dir=tmp_path / "run")
    state: Any = {"network": dict(network.state_dict())}
    checkpoint.save(run.checkpoints, "best", state, about={"agent": "alphazero", "global_step": 1})
    return run


def test_a_runs_network_plays_its_own_game_alone(tic_tac_toe_run: Run) -> None:
    game = make_game("tic_tac_toe")
    agent = run_agent(tic_tac_toe_run, game, "best", "cpu", 0)
    position = after("a3 b2 b3 c2", "tic_tac_toe").position  # c3 wins
    thought = agent.think(position, Level("hard", 400), 0)
    assert thought.candidates[0].name == "c3"
    assert agent.name == tic_tac_toe_run.name
    with pytest.raises(ValueError, match="plays tic_tac_toe, and the game is connect_four"):
        run_agent(tic_tac_toe_run, CONNECT_FOUR, "best", "cpu", 0)


def test_it_plays_what_it_never_looked_at_where_all_else_is_known_to_lose() -> None:
    """X at a1 and b1 wins at c1 next; the network would have O play a3 and X then c1, so that both simulations go there."""
    position, game, a3, c1 = after("a1 a2 b1", "tic_tac_toe").position, make_game("tic_tac_toe"), 0, 8

    def sure(states: Array) -> tuple[Array, Array]:
        logits = np.zeros((len(states), 9), np.float32)
        logits[np.arange(len(states)), np.where((states != 0).sum(axis=1) == 3, a3, c1)] = 10.0
        return logits, np.zeros(len(states), np.float32)

    thought = Agent(game, "sure", sure, ()).think(position, Level("two", 2), draw=0)
    assert thought.action != a3
    assert thought.candidates[0].action == thought.action
    lost = next(candidate for candidate in thought.candidates if candidate.action == a3)
    assert (lost.share, lost.value) == (0.0, -1.0)
    assert sum(candidate.share for candidate in thought.candidates) == pytest.approx(1.0)
