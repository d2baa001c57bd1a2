"""What a pre-training runner knows of a learner, and the one that learns from examples with targets.

All chance comes from numpy generators that are handed in as `Chance`, a function of a purpose and a counter, so that
nothing of it is ever stored: an epoch is a function of the state before it and its number.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from keel.networks.backbone import BackboneConfig
from keel.networks.pretraining.data import Array, Data, Split, SplitName

State: TypeAlias = dict[str, Any]
Metrics: TypeAlias = dict[str, float]
Chance: TypeAlias = Callable[[str, int], np.random.Generator]  # (purpose, counter)
Augment: TypeAlias = Callable[[Array, np.random.Generator], Array]  # inputs [B ...] to inputs of the same kind

START, END = 0.05, 0.01  # of the learning rate, at the start of warming up and at the end of training


class Learner(Protocol):
    """Something that learns in epochs.

    Attributes:
        data: what it learns from.
        network: a torch module whose state is all that using it needs.
        backbone: the part of it that agents reuse, with the parameter names of `build_backbone`; None: there is none.
        score: the metric of `evaluate` that chooses the best epoch; higher is better.
    """

    data: Data
    network: nn.Module
    score: str

    @property
    def backbone(self) -> nn.Module | None: ...

    def epoch(self, number: int) -> Metrics:
        """One pass over the training split; `number` counts from 0. Metrics by bare names, such as `loss`."""
        ...

    def evaluate(self, split: SplitName) -> Metrics:
        """Metrics of a split by bare names; changes nothing."""
        ...

    def state_dict(self) -> State:
        """All that a bit-exact continuation needs: nested dicts of tensors and numbers."""
        ...

    def load_state_dict(self, state: State) -> None: ...


@dataclass(frozen=True)
class FitConfig:
    """How a network is fitted, whatever it sees."""

    batch_size: int = 64
    """Examples of each gradient step."""
    learning_rate: float = 1e-3
    """The highest; it rises in a straight line and falls along a cosine (Loshchilov and Hutter 2017)."""
    warmup: float = 0.1
    """Part of all epochs in which it rises."""
    weight_decay: float = 0.01
    """Of AdamW (Loshchilov and Hutter 2019), for weights and not for biases and scales."""
    max_gradient_norm: float = 1.0

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}: it must be at least 1")
        for name in ("learning_rate", "max_gradient_norm"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}: it must be greater than 0")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise ValueError(f"weight_decay is {self.weight_decay}: it must be at least 0")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup is {self.warmup}: it must lie in [0, 1)")


class Plan(NamedTuple):
    """What is to be learnt, how and for how long.

    Each module of a kind of data has `preset(kind, task) -> Plan` with what is known to work, and
    `build(plan, chance, device) -> Learner`, which finds the data and makes the network.
    """

    kind: str  # cnn, dcgan, lstm, gru, transformer
    task: str
    epochs: int
    patience: int  # epochs without a better score after which training stops; 0: never
    config: Any  # a frozen dataclass of settings, the module's own
    backbone: BackboneConfig | None  # None: the kind has none that agents could reuse
    data_dir: Path | None = None


class Objective(NamedTuple):
    """What outputs [N ...] are to be, given targets [N ...]."""

    loss: Callable[[Tensor, Tensor], Tensor]  # the mean over a batch, to be minimised
    measure: Callable[[Array, Array], Metrics]  # of a whole split, in numpy
    score: str  # which of them counts; higher is better


def classification(label_smoothing: float = 0.0) -> Objective:
    """Classes from logits [N K] and labels [N]: cross-entropy in nats, and accuracy (the score) from 0 to 1.

    Label smoothing (Szegedy et al. 2016, section 7) is part of the loss that is learnt, not of the one measured.
    """

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)

    return Objective(loss, classification_metrics, "accuracy")


def classification_metrics(logits: Array, labels: Array) -> Metrics:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_probability = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_probability[np.arange(len(labels)), labels].mean()
    return {"loss": float(loss), "accuracy": float((logits.argmax(axis=1) == labels).mean())}


Batches: TypeAlias = Callable[[Split, int, np.random.Generator], Iterator[Array]]


def shuffled(split: Split, batch_size: int, chance: np.random.Generator) -> Iterator[Array]:
    """The indices of one pass in random order; the last batch may be smaller."""
    order = chance.permutation(len(split))
    yield from (order[start : start + batch_size] for start in range(0, len(order), batch_size))


def learning_rate_at(progress: float, config: FitConfig) -> float:
    """At `progress` from 0 to 1 of the whole training."""
    if progress < config.warmup:
        return config.learning_rate * (START + (1 - START) * progress / config.warmup)
    falling = (progress - config.warmup) / (1 - config.warmup)
    return config.learning_rate * (END + (1 - END) * 0.5 * (1 + math.cos(math.pi * falling)))


@contextlib.contextmanager
def torch_chance(generator: np.random.Generator) -> Iterator[None]:
    """Within it torch draws from a stream that begins at `generator`: initial weights, dropout."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator.integers(2**62)))
        yield


class Supervised:
    """A network that learns targets from inputs by AdamW, whatever the inputs are.

    Args:
        network: inputs [B ...] to outputs [B ...]; it has a `backbone`.
        epochs: of the whole training, along which the learning rate changes.
        chance: the streams; this uses the purpose `epoch`.
        augment: changes the inputs of each training batch, in numpy.
        batches: which examples go together; by default `shuffled`.
    """

    def __init__(
        self,
        network: nn.Module,
        data: Data,
        objective: Objective,
        config: FitConfig,
        *,
        epochs: int,
        chance: Chance,
        device: torch.device,
        augment: Augment | None = None,
        batches: Batches = shuffled,
    ) -> None:
        self.network = network.to(device)
        self.data = data
        self.objective = objective
        self.score = objective.score
        self.config = config
        self.epochs = epochs
        self.device = device
        self._chance = chance
        self._augment = augment
        self._batches = batches
        self._half = device.type == "cuda" and torch.cuda.is_bf16_supported()  # whose range needs no loss scaling
        self.optimiser = adamw(network, config)

    @property
    def backbone(self) -> nn.Module | None:
        return self.network.get_submodule("backbone")

    def epoch(self, number: int) -> Metrics:
        chance = self._chance("epoch", number)
        split = self.data.train
        batches = list(self._batches(split, self.config.batch_size, chance))
        losses, norms, outputs = [], [], []
        self.network.train()
        with torch_chance(chance):
            for place, rows in enumerate(batches):
                self._set_learning_rate((number + place / len(batches)) / self.epochs)
                inputs = split.inputs[rows]
                inputs = inputs if self._augment is None else self._augment(inputs, chance)
                output, loss, norm = self._step(inputs, split.targets[rows])
                outputs.append(output)
                losses.append(loss)
                norms.append(norm)
        seen = np.concatenate(batches)
        metrics = self.objective.measure(torch.cat(outputs).float().cpu().numpy(), split.targets[seen])
        return metrics | {
            "loss": weighted_mean(losses, [len(rows) for rows in batches]),
            "gradient_norm": float(torch.stack(norms).mean()),
            "learning_rate": self.optimiser.param_groups[0]["lr"],
        }

    def evaluate(self, split: SplitName) -> Metrics:
        chosen = self.data.split(split)
        return self.objective.measure(self.predict(chosen.inputs), chosen.targets)

    @torch.no_grad()
    def predict(self, inputs: Array) -> Array:
        """Outputs [N ...] float32 for inputs [N ...], by the network as it is used, without dropout."""
        self.network.eval()
        size = max(256, self.config.batch_size)
        parts = [self._forward(inputs[start : start + size]) for start in range(0, len(inputs), size)]
        return torch.cat(parts).float().cpu().numpy()

    def state_dict(self) -> State:
        moments = {
            name: dict(self.optimiser.state[parameter])
            for name, parameter in self.network.named_parameters()
            if parameter in self.optimiser.state
        }
        return {"network": dict(self.network.state_dict()), "moments": moments}

    def load_state_dict(self, state: State) -> None:
        self.network.load_state_dict(state["network"])
        for name, parameter in self.network.named_parameters():
            if name in state["moments"]:
                self.optimiser.state[parameter] = _on_device(state["moments"][name], parameter.device)

    def _step(self, inputs: Array, targets: Array) -> tuple[Tensor, Tensor, Tensor]:
        """One gradient step; returns outputs, loss and the gradient's norm before clipping."""
        output = self._forward(inputs)
        loss = self.objective.loss(output.float(), torch.from_numpy(targets).to(self.device))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.max_gradient_norm)
        self.optimiser.step()
        return output.detach(), loss.detach(), norm

    def _forward(self, inputs: Array) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(inputs)).to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._half):
            return self.network(tensor)

    def _set_learning_rate(self, progress: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate_at(progress, self.config)


def adamw(network: nn.Module, config: FitConfig) -> torch.optim.AdamW:
    """AdamW that decays weights of two axes and more, and leaves biases and scales alone."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=config.learning_rate, fused=True)


def weighted_mean(losses: list[Tensor], sizes: list[int]) -> float:
    """The mean over examples from means over batches."""
    weights = torch.tensor(sizes, dtype=torch.float64)
    return float((torch.stack(losses).double().cpu() * weights).sum() / weights.sum())


def _on_device(moments: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.to(device, copy=True) for name, tensor in moments.items()}
