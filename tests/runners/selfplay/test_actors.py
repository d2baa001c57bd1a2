"""Actors: threads and processes play the same games, and one that is killed is replaced without a trace."""

from __future__ import annotations

import dataclasses
import os
import signal
from typing import Any

import numpy as np
import pytest
import torch

from keel.agents.alphazero import AlphaZeroConfig
from keel.agents.search import SearchConfig
from keel.agents.selfplay import Played, SelfPlayConfig
from keel.envs.errors import KeelError
from keel.envs.games.games import make_game
from keel.networks.backbone import BoardConfig
from keel.networks.policy_value import PolicyValueNetwork
from keel.runners.selfplay.actors import Actors, ThreadActors, make_actors
from keel.runners.selfplay.processes import ProcessActors, packed, unpacked

CPU = torch.device("cpu")
SMALL = BoardConfig(blocks=1, channels=8, squeeze=4, features=16)
CONFIG = AlphaZeroConfig(
    search=SearchConfig(simulations=8), selfplay=SelfPlayConfig(games=6, moves=5, random_moves=2, fast_simulations=4)
)


def network_of(seed: int = 0) -> PolicyValueNetwork:
    torch.manual_seed(seed)
    return PolicyValueNetwork((2, 3, 3), 9, SMALL)


def rounds(actors: Actors, count: int) -> list[Played]:
    played = []
    for number in range(count):
        actors.begin(network_of(number))
        played += actors.end()
    return played


def same(ours: list[Played], theirs: list[Played]) -> None:
    assert [part[1:] for part in ours] == [part[1:] for part in theirs]
    for one, other in zip(ours, theirs, strict=True):
        for a, b in zip(one.positions, other.positions, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.fixture
def closing() -> Any:
    made: list[Actors] = []
    yield lambda actors: made.append(actors) or actors
    for actors in made:
        actors.close()


def test_threads_and_processes_play_the_same_games(closing: Any) -> None:
    """And so does an actor process that is killed while it plays: its successor begins with the same games."""
    game = make_game("tic_tac_toe")
    expected = rounds(closing(ThreadActors(game, CONFIG, 3, CPU)), 4)
    assert sum(part.games for part in expected) > 10
    processes = closing(ProcessActors(game, CONFIG, SMALL, 3, CPU))
    played = rounds(processes, 2)
    for number in (2, 3):
        processes.begin(network_of(number))
        os.kill(processes._actors[number - 2].process.pid, signal.SIGKILL)
        played += processes.end()
    same(played, expected)


def test_what_actors_save_continues_exactly(closing: Any) -> None:
    game = make_game("tic_tac_toe")
    threads, processes = (closing(make_actors(game, kind, CONFIG, SMALL, 3, CPU)) for kind in ("threads", "processes"))
    rounds(threads, 3)
    processes.load_state_dict(threads.state_dict())
    same(rounds(processes, 2), rounds(threads, 2))


def test_an_actor_that_fails_says_why(closing: Any) -> None:
    game = make_game("tic_tac_toe")
    wrong = dataclasses.replace(SMALL, channels=9)
    actors = closing(ProcessActors(game, CONFIG, wrong, 3, CPU))
    actors.begin(network_of())
    with pytest.raises(KeelError, match=r"(?s)actor 0 of self-play failed: RuntimeError.*size mismatch"):
        actors.end()


def test_an_actor_that_dies_again_and_again_ends_the_training(closing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = dataclasses.replace(CONFIG, selfplay=dataclasses.replace(CONFIG.selfplay, actors=1))
    actors = closing(ProcessActors(make_game("tic_tac_toe"), one, SMALL, 3, CPU))
    asked = type(actors._actors[0]).ask

    def ask_and_kill(self: Any, *arguments: Any) -> None:
        asked(self, *arguments)
        self.process.kill()

    monkeypatch.setattr(type(actors._actors[0]), "ask", ask_and_kill)
    actors.begin(network_of())
    with pytest.raises(KeelError, match="died 4 times in a row with the same games"):
        actors.end()


def test_messages_come_out_as_they_went_in() -> None:
    state = {"a": {"b": np.arange(6, dtype=np.int8).reshape(2, 3), "c": 7}, "d": "text", "e": np.zeros((0, 4), bool)}
    found = unpacked(packed(state))
    assert (found["a"]["c"], found["d"], found["e"].shape, found["e"].dtype) == (7, "text", (0, 4), bool)
    np.testing.assert_array_equal(found["a"]["b"], state["a"]["b"])
