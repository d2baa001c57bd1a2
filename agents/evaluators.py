"""What judges positions for a search: a network by torch or by ONNX Runtime, or games played to their end by lot."""

from __future__ import annotations

import copy
import io
import threading
import warnings
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from keel.envs.games.game import Game
from keel.envs.games.opponents import play
from keel.envs.protocol import Array
from keel.envs.seeding import generator

PLANES, LOGITS, VALUE = "planes", "logits", "value"
OPSET = 17


class TorchEvaluator:
    """A copy of the network, on whatever device it is. `refresh` takes over the weights of one that has learnt since."""

    def __init__(self, game: Game, network: nn.Module, device: torch.device) -> None:
        self._game, self._device = game, device
        self._network = copy.deepcopy(network).to(device).eval()

    def refresh(self, network: nn.Module) -> None:
        self._network.load_state_dict(network.state_dict())

    def __call__(self, states: Array) -> tuple[Array, Array]:
        return self.judge(self._game.observe(states))

    @torch.no_grad()
    def judge(self, planes: Array) -> tuple[Array, Array]:
        """Logits [n A] and values [n] of what a network sees, [n C H W]."""
        logits, value = self._network(torch.from_numpy(planes).to(self._device))
        return logits.cpu().numpy(), value.cpu().numpy()


class OnnxEvaluator:
    """The network as ONNX Runtime computes it, on one thread of the CPU: for small batches several times torch's speed.

    Calls from several threads run side by side. `refresh` takes over the weights of a network that has learnt since.
    """

    def __init__(self, game: Game, network: nn.Module) -> None:
        import onnx
        import onnxruntime

        self._game = game
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._make = lambda model: onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._model = onnx.load_from_string(exported(network, (game.planes, game.height, game.width)))
        self._weights = {tensor.name: tensor for tensor in self._model.graph.initializer}
        self.refresh(network)

    def refresh(self, network: nn.Module) -> None:
        """Take over the weights of `network`, whose graph is the one that was given first."""
        for name, weight in network.state_dict().items():
            self._weights[name].raw_data = weight.detach().cpu().contiguous().numpy().tobytes()
        self._session: Any = self._make(self._model.SerializeToString())

    def __call__(self, states: Array) -> tuple[Array, Array]:
        return self.judge(self._game.observe(states))

    def judge(self, planes: Array) -> tuple[Array, Array]:
        """Logits [n A] and values [n] of what a network sees, [n C H W]."""
        logits, value = self._session.run([LOGITS, VALUE], {PLANES: planes})
        return logits, value


def exported(network: nn.Module, planes: tuple[int, int, int]) -> bytes:
    """The network's graph as an ONNX model for any number of positions; weights have their names but no values yet."""
    network = copy.deepcopy(network).cpu().eval()
    for number, weight in enumerate(network.state_dict().values()):
        weight.fill_(number)  # equal ones, such as biases that are still zero, would become one in the model
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter, twenty times as fast as the newer one, is the older one
        torch.onnx.export(
            network,
            (torch.zeros(2, *planes),),
            file,  # pyright: ignore[reportArgumentType] the older exporter takes it
            dynamo=False,
            do_constant_folding=False,  # it would fold weights away
            opset_version=OPSET,
            input_names=[PLANES],
            output_names=[LOGITS, VALUE],
            dynamic_axes={name: {0: "n"} for name in (PLANES, LOGITS, VALUE)},
        )
    return file.getvalue()


NetworkEvaluator: TypeAlias = TorchEvaluator | OnnxEvaluator


def network_evaluator(game: Game, network: nn.Module, device: torch.device) -> NetworkEvaluator:
    """ONNX Runtime's where the network is on the CPU, else torch's."""
    return OnnxEvaluator(game, network) if device.type == "cpu" else TorchEvaluator(game, network, device)


class SymmetricEvaluator:
    """Asks a network about every symmetry of the board, and takes the mean of its logits and of its values.

    That is for playing well, for as many evaluations as the game has symmetries: a network learns that they are alike
    only by and by, and its errors at two mirror images are not the same.

    Source: Silver et al. 2016, Mastering the game of Go with deep neural networks and tree search, methods, "Symmetries",
    who take the mean of probabilities, and inside a search one symmetry by lot.
    """

    def __init__(self, game: Game, evaluate: NetworkEvaluator) -> None:
        self._game, self._evaluate = game, evaluate

    def __call__(self, states: Array) -> tuple[Array, Array]:
        """Logits [n A] and values [n], float32, of states [n S]."""
        game, planes = self._game, self._game.observe(states)
        flat, ways = planes.reshape(*planes.shape[:2], game.height * game.width), len(game.cell_symmetries)
        turned = np.concatenate([flat.take(cells, axis=2) for cells in game.cell_symmetries])
        turned_logits, value = self._evaluate.judge(turned.reshape(-1, *planes.shape[1:]))
        logits = np.zeros((len(states), game.actions), np.float32)
        for way, actions in enumerate(game.action_symmetries):
            logits[:, actions] += turned_logits[way * len(states) : (way + 1) * len(states)]
        return logits / ways, value.reshape(ways, -1).mean(axis=0)


class RolloutEvaluator:
    """No network: every legal move looks the same, and a position is worth what one game by lot from it ends with.

    With it a search is the classic Monte Carlo tree search. All chance is a function of `seed` and of the number of
    the call.
    """

    def __init__(self, game: Game, seed: int) -> None:
        self._game, self._seed, self._calls = game, seed, 0
        self._lock = threading.Lock()

    def __call__(self, states: Array) -> tuple[Array, Array]:
        with self._lock:
            self._calls += 1
            chance = generator(self._seed, "rollouts", self._calls)
        game, logits = self._game, np.zeros((len(states), self._game.actions), np.float32)
        result, rows, sign = np.zeros(len(states), np.float32), np.arange(len(states)), 1.0
        legal = game.legal(states)
        while len(rows):
            draw = (1.0 - chance.random(legal.shape, dtype=np.float32)) * legal  # above 0 for whatever is legal
            played = play(game, states, draw.argmax(axis=1))
            sign = -sign
            over = played.ended
            result[rows[over]] = sign * played.value[over]
            rows, states, legal = rows[~over], played.after[~over], played.legal[~over]
        return logits, result
