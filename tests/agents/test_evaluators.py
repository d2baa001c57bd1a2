"""What judges positions: ONNX Runtime says what torch says, and games by lot end as their rules have it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from keel.agents.alphazero import make_network
from keel.agents.evaluators import (
    OnnxEvaluator,
    RolloutEvaluator,
    SymmetricEvaluator,
    TorchEvaluator,
    network_evaluator,
)
from keel.envs.games.games import make_game
from keel.envs.games.opponents import play
from keel.networks.backbone import BackboneConfig, BoardConfig, CNNConfig
from keel.networks.policy_value import PolicyValueNetwork

CPU = torch.device("cpu")
SMALL = BoardConfig(blocks=2, channels=8, squeeze=4, features=16)


def random_states(name: str, count: int, moves: int) -> np.ndarray:
    """Positions of games by lot that have not ended."""
    game, chance, states = make_game(name), np.random.default_rng(0), []
    while len(states) < count:
        state, ended = game.start()[None], False
        for _ in range(moves):
            played = play(game, state, np.array([chance.choice(np.flatnonzero(game.legal(state)[0]))]))
            state, ended = played.after, bool(played.ended[0])
            if ended:
                break
        if not ended:
            states.append(state[0])
    return np.stack(states)


def network_of(name: str, config: BackboneConfig, seed: int = 0) -> PolicyValueNetwork:
    game = make_game(name)
    torch.manual_seed(seed)
    network = make_network(game, config)
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return network


@pytest.mark.parametrize("config", [SMALL, CNNConfig(variant="small", channels=(8,))], ids=lambda c: c.kind)
def test_onnx_runtime_says_what_torch_says(config: BackboneConfig) -> None:
    game, states = make_game("connect_four"), random_states("connect_four", 33, 6)
    network = network_of("connect_four", config)
    onnx, torchs = OnnxEvaluator(game, network), TorchEvaluator(game, network, CPU)
    for other in (network, network_of("connect_four", config, seed=1)):
        onnx.refresh(other)
        torchs.refresh(other)
        for part in (states, states[:1]):
            for ours, theirs in zip(onnx(part), torchs(part), strict=True):
                np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert not np.allclose(onnx(states)[0], network_evaluator(game, network, CPU)(states)[0])


def test_a_fresh_network_whose_biases_are_all_alike_is_exported_whole() -> None:
    game = make_game("tic_tac_toe")
    network = PolicyValueNetwork((2, 3, 3), 9, SMALL)
    evaluator = OnnxEvaluator(game, network)
    for parameter in network.parameters():
        parameter.data.normal_()
    evaluator.refresh(network)
    states = random_states("tic_tac_toe", 8, 2)
    np.testing.assert_allclose(evaluator(states)[1], TorchEvaluator(game, network, CPU)(states)[1], atol=1e-4)


def test_an_evaluator_keeps_the_weights_it_was_given() -> None:
    """What a learner does to its network meanwhile does not reach those who play."""
    game, network = make_game("tic_tac_toe"), network_of("tic_tac_toe", SMALL)
    evaluators = (OnnxEvaluator(game, network), TorchEvaluator(game, network, CPU))
    states = random_states("tic_tac_toe", 4, 2)
    before = [evaluate(states)[0].copy() for evaluate in evaluators]
    for parameter in network.parameters():
        parameter.data.zero_()
    for evaluate, expected in zip(evaluators, before, strict=True):
        np.testing.assert_array_equal(evaluate(states)[0], expected)


def test_mirror_images_are_judged_as_the_mean_of_both() -> None:
    game, states = make_game("connect_four"), random_states("connect_four", 9, 7)
    evaluate = network_evaluator(game, network_of("connect_four", SMALL), CPU)
    images = states.reshape(-1, 6, 7)[:, :, ::-1].reshape(states.shape)
    (logits, value), (of_images, value_of_images) = evaluate(states), evaluate(images)
    assert np.abs(logits - of_images[:, ::-1]).max() > 1e-3, "the network itself does not know that they are alike"
    found, found_value = SymmetricEvaluator(game, evaluate)(states)
    np.testing.assert_allclose(found, (logits + of_images[:, ::-1]) / 2, atol=1e-5)
    np.testing.assert_allclose(found_value, (value + value_of_images) / 2, atol=1e-5)


@pytest.mark.parametrize("name", ["tic_tac_toe", "othello_6x6", "hex_7x7", "breakthrough"])
def test_turning_the_board_turns_what_is_thought_of_it(name: str) -> None:
    """Positions after the same moves on a board turned first: their logits are the same, each for the turned action."""
    game, chance = make_game(name), np.random.default_rng(1)
    network = TorchEvaluator(game, network_of(name, SMALL), CPU)
    evaluate, unlike = SymmetricEvaluator(game, network), 0.0
    for cells, actions in zip(game.cell_symmetries, game.action_symmetries, strict=True):
        back = np.argsort(actions)  # of an action the one that it is on the turned board
        state, turned = game.start()[None], game.start()[None]
        turned[:, : len(cells)] = state[:, cells]  # Othello does not begin alike from all sides
        for _ in range(4):
            move = chance.choice(np.flatnonzero(game.legal(state)[0]))
            state, turned = play(game, state, np.array([move])).after, play(game, turned, back[[move]]).after
        (logits, value), (of_turned, value_of_turned) = evaluate(state), evaluate(turned)
        np.testing.assert_allclose(of_turned[0], logits[0, actions], atol=1e-5)
        np.testing.assert_allclose(value_of_turned, value, atol=1e-5)
        unlike = max(unlike, float(np.abs(network(turned)[0][0] - network(state)[0][0, actions]).max()))
    assert unlike > 1e-3, "the network itself does not know that they are alike"


def test_games_by_lot_are_worth_what_they_are_on_average() -> None:
    """Tic-tac-toe with two cells left: one wins at once, and with the other one the opponent wins: half of each."""
    game = make_game("tic_tac_toe")
    state = np.array([1, 1, 0, -1, -1, 1, -1, 1, 0], np.int8)  # cell 2 ends a line of either player
    values = RolloutEvaluator(game, 0)(state[None].repeat(4_000, axis=0))[1]
    assert (values == 1.0).mean() == pytest.approx(0.5, abs=0.03)
    assert (values == -1.0).mean() == pytest.approx(0.5, abs=0.03)
    again = RolloutEvaluator(game, 0)(state[None].repeat(4_000, axis=0))[1]
    np.testing.assert_array_equal(values, again)
