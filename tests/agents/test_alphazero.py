"""AlphaZero: what it learns from, that it continues exactly, and that it comes close to perfect Tic-tac-toe."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from keel.agents.alphazero import AlphaZero, AlphaZeroConfig, entropy, policy_loss
from keel.agents.positions import Positions, Window
from keel.agents.search import Search, SearchConfig
from keel.agents.selfplay import SelfPlay
from keel.envs.games.games import make_game
from keel.envs.games.opponents import play
from keel.networks.backbone import BoardConfig, LSTMConfig
from keel.networks.policy_value import PolicyValueNetwork

CPU = torch.device("cpu")
SMALL = BoardConfig(blocks=1, channels=8, squeeze=4, features=16)


def make(rule: Any = "gumbel", name: str = "tic_tac_toe", iterations: int = 10, **changes: Any) -> AlphaZero:
    common = {"games": 8, "moves": 6, "window": 500, "learning_starts": 20, "batch_size": 32}
    return AlphaZero(
        make_game(name),
        iterations=iterations,
        config=AlphaZeroConfig(**(common | changes)),
        search=SearchConfig(simulations=8, rule=rule),
        backbone=SMALL,
        seed=3,
        device=CPU,
    )


def uniform(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((len(states), 9), np.float32), np.zeros(len(states), np.float32)


def test_the_policys_loss_is_cross_entropy_over_legal_moves() -> None:
    """Two legal moves with logits 0 and ln 3 have chances 1/4 and 3/4; the third would have the most."""
    logits = torch.tensor([[0.0, math.log(3.0), 50.0]])
    target, legal = torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[True, True, False]])
    assert policy_loss(logits, target, legal).item() == pytest.approx(-0.5 * math.log(0.25) - 0.5 * math.log(0.75))
    assert entropy(target).item() == pytest.approx(math.log(2.0))


@pytest.mark.parametrize("rule", ["gumbel", "puct"])
def test_positions_are_those_of_games_that_were_played(rule: Any) -> None:
    """Each position follows from the one before by one move, and the outcome is seen by who is to move."""
    game = make_game("tic_tac_toe")
    selfplay = SelfPlay(game, SearchConfig(simulations=6, rule=rule), 5, 0, opening_moves=9, dirichlet=1.0)
    games, results = [], set()
    for _ in range(30):
        positions, count = selfplay.step(uniform)
        starts = np.flatnonzero((positions.states == 0).all(axis=1))
        assert len(starts) == count
        games += [Positions(*(np.split(part, starts[1:])[i] for part in positions)) for i in range(count)]
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
        np.testing.assert_allclose(one.policy.sum(axis=1), 1.0, atol=1e-5)
        assert not one.policy[~game.legal(one.states)].any()
        results.add(float(one.outcome[0]))
    assert len(results) > 1, "games of all kinds"


def test_the_window_keeps_the_latest() -> None:
    game = make_game("tic_tac_toe")
    window = Window(game, 5)
    for first in (0, 3, 6):
        numbers = np.arange(first, first + 3, dtype=np.float32)
        window.add(Positions(np.zeros((3, 9), np.int8), np.zeros((3, 9), np.float32), numbers, numbers))
    seen = window.draw(np.random.default_rng(0), 200)[2]
    assert len(window) == 5
    assert set(seen.value.tolist()) == {4.0, 5.0, 6.0, 7.0, 8.0}
    window.add(Positions(*(np.zeros((7, *part.shape[1:]), part.dtype) for part in seen)))
    assert set(window.draw(np.random.default_rng(0), 50)[2].value.tolist()) == {0.0}


def test_policies_are_turned_with_the_board() -> None:
    """Whatever the turn, the policy's mass lies on the cell that has a stone, and that cell alone is not free."""
    game, window = make_game("tic_tac_toe"), Window(make_game("tic_tac_toe"), 10)
    state = np.zeros((1, 9), np.int8)
    state[0, 1] = 1
    policy = (state != 0).astype(np.float32)
    window.add(Positions(state, policy, np.zeros(1, np.float32), np.zeros(1, np.float32)))
    planes, legal, drawn = window.draw(np.random.default_rng(0), 100)
    cells = planes[:, 0].reshape(100, 9)
    np.testing.assert_array_equal(cells, drawn.policy)
    np.testing.assert_array_equal(cells == 0, legal)
    assert set(cells.argmax(axis=1).tolist()) == {1, 3, 5, 7}, "every edge, and nothing but edges"
    assert game.planes == planes.shape[1]


@pytest.mark.parametrize("rule", ["gumbel", "puct"])
def test_what_is_saved_continues_exactly(rule: Any) -> None:
    agent = make(rule, window=60)
    for _ in range(4):
        agent.iterate()
    assert agent.updates > 0
    assert agent.window.added > 60, "the window has wrapped"
    saved = agent.state_dict()
    expected = [agent.iterate() for _ in range(4)]
    other = make(rule, window=60)
    other.load_state_dict(saved)
    assert [other.iterate() for _ in range(4)] == expected
    for ours, theirs in zip(agent.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_training_has_an_end() -> None:
    agent = make(iterations=1)
    agent.iterate()
    with pytest.raises(ValueError, match="iterations is 1, and all of them are over"):
        agent.iterate()


@pytest.mark.parametrize("chance", [0.0, 1.0 - 2.0**-53], ids=["lowest", "highest"])
def test_moves_drawn_by_visits_were_visited(chance: float) -> None:
    """Float32 shares whose sum is not quite 1, with none at both ends."""
    selfplay = make("puct", "othello_6x6").selfplay
    visits = np.random.default_rng(0).integers(0, 50, (8, 37)).astype(np.float32)
    visits[:, [0, -1]] = 0.0

    class Stub:
        def random(self, shape: tuple[int, ...]) -> np.ndarray:
            return np.full(shape, chance)

    drawn = selfplay._drawn(visits / visits.sum(axis=1, keepdims=True), np.zeros(8), Stub())  # pyright: ignore
    assert (visits[np.arange(8), drawn] > 0).all()


def test_every_position_is_learnt_from_as_often_as_asked() -> None:
    agent = make(reuse=4.0, learning_starts=0)
    for _ in range(6):
        agent.iterate()
    assert agent.updates == agent.window.added * 4 // 32 > 10


def test_other_games_and_networks() -> None:
    for name in ("connect_four", "othello_6x6", "hex_7x7"):
        metrics = make(name=name, learning_starts=0, moves=45, games=2).iterate()
        assert metrics["selfplay/games"] >= 2
        assert metrics["loss/policy"] > 0
    with pytest.raises(ValueError, match="lstm has memory, and a position says it all: choose board"):
        PolicyValueNetwork((2, 3, 3), 9, LSTMConfig())
    network = PolicyValueNetwork((2, 6, 7), 7, SMALL).to("meta")
    logits, value = network(torch.zeros(4, 2, 6, 7, device="meta"))
    (logits.sum() + value.sum()).backward()
    assert (logits.shape, value.shape) == ((4, 7), (4,))


@pytest.mark.parametrize(
    "wrong", [{"games": 0}, {"reuse": 0.0}, {"search_share": 1.5}, {"window": 10, "learning_starts": 20}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AlphaZeroConfig(**wrong)


def solved() -> dict[bytes, dict[int, float]]:
    """What each move of every open position of Tic-tac-toe is worth, by brute force."""
    game, known = make_game("tic_tac_toe"), {}

    def solve(state: np.ndarray) -> float:
        if (key := state.tobytes()) not in known:
            moves = np.flatnonzero(game.legal(state[None])[0])
            after = play(game, state[None].repeat(len(moves), axis=0), moves)
            worth = (-(v if e else solve(s)) for s, e, v in zip(after.after, after.ended, after.value, strict=True))
            known[key] = dict(zip(moves.tolist(), map(float, worth), strict=True))
        return max(known[key].values())

    assert solve(game.start()) == 0.0
    assert len(known) == 4_520  # 5,478 reachable positions, of which 958 have ended
    return known


def mistakes(known: dict[bytes, dict[int, float]], actions: np.ndarray) -> int:
    return sum(worth[action] < max(worth.values()) for worth, action in zip(known.values(), actions, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["gumbel", "puct"])
def test_a_search_alone_solves_tic_tac_toe(rule: Any) -> None:
    """Where nothing is known of any position, it makes no mistake in any of them with 3,000 simulations."""
    known, game = solved(), make_game("tic_tac_toe")
    states = np.stack([np.frombuffer(key, np.int8) for key in known])
    search = Search(game, SearchConfig(simulations=3_000, rule=rule), 500)
    found = [search.run(states[first : first + 500], uniform).action for first in range(0, len(states), 500)]
    assert mistakes(known, np.concatenate(found)) == 0


@pytest.mark.slow
def test_it_learns_tic_tac_toe() -> None:
    known, game = solved(), make_game("tic_tac_toe")
    states = np.stack([np.frombuffer(key, np.int8) for key in known])
    agent = AlphaZero(
        game,
        iterations=30,
        config=AlphaZeroConfig(window=20_000, learning_starts=1_000),
        search=SearchConfig(simulations=16),
        backbone=BoardConfig(blocks=2, channels=16, features=64),
        seed=0,
        device=CPU,
    )
    search = Search(game, SearchConfig(simulations=100), len(states))
    before = mistakes(known, search.run(states, agent.evaluate).action)
    for _ in range(30):
        agent.iterate()
    after = mistakes(known, search.run(states, agent.evaluate).action)
    assert after <= 45 < before  # 1 % of all positions
