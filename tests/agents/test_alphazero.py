"""AlphaZero: what it learns from, that it continues exactly, and that it comes close to perfect Tic-tac-toe."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from keel.agents.agent import Metrics
from keel.agents.alphazero import AlphaZero, AlphaZeroConfig, entropy, policy_loss
from keel.agents.evaluators import TorchEvaluator
from keel.agents.positions import room
from keel.agents.search import Search, SearchConfig
from keel.agents.selfplay import Played, SelfPlay, SelfPlayConfig
from keel.envs.games.games import make_game
from keel.networks.backbone import BoardConfig, LSTMConfig
from keel.networks.policy_value import PolicyValueNetwork

from .tic_tac_toe import mistakes, solved

CPU = torch.device("cpu")
SMALL = BoardConfig(blocks=1, channels=8, squeeze=4, features=16)
FEW = SelfPlayConfig(games=8, moves=6, random_moves=0)


class Pair:
    """A learner, and one actor that plays with its network."""

    def __init__(self, rule: Any = "gumbel", name: str = "tic_tac_toe", **changes: Any) -> None:
        common = {"selfplay": FEW, "window": 500, "learning_starts": 20, "batch_size": 32}
        config = AlphaZeroConfig(search=SearchConfig(simulations=8, rule=rule), **(common | changes))
        game = make_game(name)
        self.learner = AlphaZero(game, config=config, backbone=SMALL, seed=3, device=CPU)
        self.selfplay = SelfPlay(game, config.selfplay, config.search, 3)

    def iterate(self) -> Metrics:
        evaluate = TorchEvaluator(self.learner.game, self.learner.network, CPU)
        metrics = self.learner.learn(0.0)
        played = [self.selfplay.step(evaluate) for _ in range(self.selfplay.config.moves)]
        return metrics | self.learner.take(played)


def test_the_policys_loss_is_cross_entropy_over_legal_moves() -> None:
    """Two legal moves with logits 0 and ln 3 have chances 1/4 and 3/4; the third would have the most. The second
    position teaches no moves."""
    logits = torch.tensor([[0.0, math.log(3.0), 50.0], [1.0, 2.0, 3.0]])
    target, legal = torch.tensor([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]]), torch.tensor([[True, True, False], [True] * 3])
    taught = torch.tensor([True, False])
    expected = -0.5 * math.log(0.25) - 0.5 * math.log(0.75)
    assert policy_loss(logits, target, legal, taught).item() == pytest.approx(expected)
    assert entropy(target, taught).item() == pytest.approx(math.log(2.0))
    assert policy_loss(logits, target, legal, torch.tensor([False, False])).item() == 0.0


def test_what_is_said_of_games() -> None:
    """A game won after three positions and one drawn after two: 2.5 positions a game, two of five of a drawn one."""
    learner = Pair().learner
    positions = room(learner.game, 5)
    positions.outcome[:] = 1.0, -1.0, 1.0, 0.0, 0.0
    metrics = learner.take([Played(positions, games=2, moves=5, checked=0, mistaken=0)])
    assert metrics["selfplay/game_length"] == 2.5
    assert metrics["selfplay/drawn"] == pytest.approx(0.4)
    assert "selfplay/drawn" not in learner.take([])


@pytest.mark.parametrize("rule", ["gumbel", "puct"])
def test_what_is_saved_continues_exactly(rule: Any) -> None:
    pair, other = Pair(rule, window=60), Pair(rule, window=60)
    for _ in range(5):
        pair.iterate()
    assert pair.learner.updates > 0
    assert pair.learner.window.added > 60, "the window has wrapped"
    other.learner.load_state_dict(pair.learner.state_dict())
    other.selfplay.load_state_dict(pair.selfplay.state_dict())
    assert [pair.iterate() for _ in range(4)] == [other.iterate() for _ in range(4)]
    for ours, theirs in zip(pair.learner.network.parameters(), other.learner.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_every_position_is_learnt_from_as_often_as_asked() -> None:
    pair = Pair(reuse=4.0, learning_starts=0)
    for _ in range(6):
        pair.iterate()
    pair.learner.learn(0.0)
    assert pair.learner.updates == pair.learner.window.added * 4 // 32 > 10


def test_values_are_learnt_from_the_search_and_from_the_outcome_as_asked() -> None:
    """The same positions, with a search that says 1 and outcomes that say -1: the network follows what it is told."""
    values = []
    for share in (0.0, 1.0):
        pair = Pair(search_share=share, learning_starts=0, reuse=20.0)
        part = pair.selfplay.step(TorchEvaluator(pair.learner.game, pair.learner.network, CPU))
        while part.games == 0:
            part = pair.selfplay.step(TorchEvaluator(pair.learner.game, pair.learner.network, CPU))
        told = part.positions._replace(
            value=np.ones_like(part.positions.value), outcome=-np.ones_like(part.positions.outcome)
        )
        pair.learner.take([part._replace(positions=told)])
        for _ in range(3):
            pair.learner.take([part._replace(positions=told)])
            pair.learner.learn(0.0)
        values.append(TorchEvaluator(pair.learner.game, pair.learner.network, CPU)(told.states)[1].mean())
    assert values[0] < -0.7
    assert values[1] > 0.7


def test_other_games_and_networks() -> None:
    for name in ("connect_four", "othello_6x6", "hex_7x7"):
        pair = Pair(name=name, learning_starts=0, selfplay=dataclasses.replace(FEW, moves=45, games=2))
        assert pair.iterate()["selfplay/games"] >= 2
        assert pair.iterate()["loss/policy"] > 0
    with pytest.raises(ValueError, match="lstm has memory, and a position says it all: choose board"):
        PolicyValueNetwork((2, 3, 3), 9, LSTMConfig())
    network = PolicyValueNetwork((2, 6, 7), 7, SMALL).to("meta")
    logits, value = network(torch.zeros(4, 2, 6, 7, device="meta"))
    (logits.sum() + value.sum()).backward()
    assert (logits.shape, value.shape) == ((4, 7), (4,))


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"reuse": 0.0}, {"search_share": 1.5}, {"window": 10, "learning_starts": 20}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AlphaZeroConfig(**wrong)


def uniform(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((len(states), 9), np.float32), np.zeros(len(states), np.float32)


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
    config = AlphaZeroConfig(
        search=SearchConfig(simulations=16),
        selfplay=SelfPlayConfig(random_moves=6),
        window=20_000,
        learning_starts=1_000,
    )
    learner = AlphaZero(game, config=config, backbone=BoardConfig(blocks=2, channels=16), seed=0, device=CPU)
    selfplay = SelfPlay(game, config.selfplay, config.search, 0)
    search = Search(game, SearchConfig(simulations=100), len(states))
    before = mistakes(known, search.run(states, TorchEvaluator(game, learner.network, CPU)).action)
    for iteration in range(30):
        evaluate = TorchEvaluator(game, learner.network, CPU)
        learner.learn(iteration / 30)
        learner.take([selfplay.step(evaluate) for _ in range(16)])
    after = mistakes(known, search.run(states, TorchEvaluator(game, learner.network, CPU)).action)
    assert after <= 45 < before  # 1 % of all positions
