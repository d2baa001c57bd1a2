import dataclasses

import numpy as np
import pytest
import torch

from keel.agents.alphazero import make_network
from keel.agents.evaluators import OnnxEvaluator, TorchEvaluator
from keel.envs.games.game import Game
from keel.envs.games.games import make_game
from keel.networks.backbone import BoardConfig, CNNConfig
from keel.networks.board import BoardResNet
from keel.networks.build import build_backbone
from keel.networks.heads import PieceMoves
from keel.networks.policy_value import PolicyValueNetwork

SMALL = BoardConfig(blocks=1, channels=4, features=8)


def game_of(name: str) -> Game:
    if name == "chess":
        pytest.importorskip("chess")
    return make_game(name)


def test_the_move_of_a_piece_is_the_number_of_its_cell() -> None:
    """By hand: with weights that copy channel c of the map to move c, logit moves * cell + c is the map's [c, cell]."""
    head = PieceMoves(3, 3)
    for convolution in (head.hidden, head.moves):
        convolution.weight.data.zero_()
        convolution.bias.data.zero_()  # pyright: ignore[reportOptionalMemberAccess]
        middle = convolution.kernel_size[0] // 2
        for channel in range(3):
            convolution.weight.data[channel, channel, middle, middle] = 1.0
    feature_map = torch.rand(2, 3, 4, 5)
    logits = head(feature_map)
    for row in range(4):
        for column in range(5):
            for move in range(3):
                assert logits[1, 3 * (5 * row + column) + move] == feature_map[1, move, row, column]


@pytest.mark.parametrize("name", ["chess", "breakthrough"])
def test_moving_the_board_moves_the_policy(name: str) -> None:
    """Away from the edges a map that is shifted by a cell has the logits of the cells beside."""
    game = game_of(name)
    head = make_network(game, SMALL).policy
    assert isinstance(head, PieceMoves)
    feature_map = torch.zeros(1, 4, game.height, game.width)
    feature_map[:, :, 3:5, 3:5] = torch.randn(4, 2, 2)
    shape = (game.height, game.width, game.piece_moves)
    logits, shifted = (head(part).reshape(shape) for part in (feature_map, feature_map.roll((1, -1), (2, 3))))
    torch.testing.assert_close(shifted[2:7, 1:6], logits[1:6, 2:7])
    assert logits.std() > 0


@pytest.mark.parametrize(("name", "knights"), [("chess", {57, 62}), ("breakthrough", set())])
def test_the_moves_of_a_piece_are_those_of_the_rules(name: str, knights: set[int]) -> None:
    """In the start position the moves of the pieces on the second row belong to its cells, of the knights to theirs."""
    game = game_of(name)
    legal = np.flatnonzero(game.legal(game.start()[None])[0])
    assert set((legal // game.piece_moves).tolist()) == knights | set(range(48, 56))


@pytest.mark.parametrize("config", [SMALL, CNNConfig(variant="small", channels=(8,))], ids=lambda c: c.kind)
def test_chess_by_onnx_runtime_and_by_torch(config: BoardConfig | CNNConfig) -> None:
    game = game_of("chess")
    torch.manual_seed(0)
    network = make_network(game, config)
    assert isinstance(network.policy, PieceMoves) == isinstance(config, BoardConfig)
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    states = game.start()[None].repeat(3, axis=0)
    onnx, torchs = OnnxEvaluator(game, network)(states), TorchEvaluator(game, network, torch.device("cpu"))(states)
    assert onnx[0].shape == (3, game.actions)
    for ours, theirs in zip(onnx, torchs, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_pooled_features_say_what_there_is_and_not_where() -> None:
    """Cells that change places change nothing; and by hand, one channel that is 1 on 5 of 16 cells is 5 / 16 x 4."""
    config = BoardConfig(blocks=1, channels=4, squeeze=4, pooled=True, features=8)
    board, cells = (
        build_backbone((2, 4, 4), config),
        build_backbone((2, 4, 4), dataclasses.replace(config, pooled=False)),
    )
    assert isinstance(board, BoardResNet)
    assert isinstance(cells, BoardResNet)
    feature_map = torch.randn(3, 4, 4, 4)
    moved = feature_map.flatten(2)[:, :, torch.randperm(16)].unflatten(2, (4, 4))
    torch.testing.assert_close(board.summary(moved), board.summary(feature_map))
    assert not torch.allclose(cells.summary(moved), cells.summary(feature_map), atol=1e-3)
    for layer in (board.squeeze, board.project):
        layer.weight.data.zero_()
        layer.weight.data[0, 0] = 1.0
    some = torch.zeros(1, 4, 4, 4)
    some[0, 0].view(-1)[[0, 3, 7, 8, 12]] = 1.0
    assert board.summary(some)[0].tolist() == pytest.approx([1.25, *[0.0] * 7])


def test_moves_that_do_not_make_up_the_actions_are_refused() -> None:
    with pytest.raises(ValueError, match="the game has 65 actions: 8 x 8 cells of 3 moves would be 192"):
        PolicyValueNetwork((2, 8, 8), 65, SMALL, piece_moves=3)


def test_gradients_reach_all_weights_on_any_device() -> None:
    network = PolicyValueNetwork((2, 8, 8), 192, SMALL, piece_moves=3).to("meta")
    logits, value = network(torch.zeros(4, 2, 8, 8, device="meta"))
    (logits.sum() + value.sum()).backward()
    assert (logits.shape, value.shape) == ((4, 192), (4,))
    assert all(parameter.grad is not None for parameter in network.parameters())
