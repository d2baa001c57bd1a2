"""What runners may know of agents: the decision and the agent protocol."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias

from keel.envs.protocol import Array, Observation, State, Step

Metrics: TypeAlias = dict[str, float]

# The memory of a recurrent network for a batch of worlds: a tuple of tensors whose second axis is the batch
# (the first counts layers), and the empty tuple where the network has none.
Memory: TypeAlias = tuple[Any, ...]


class Decision(NamedTuple):
    """One action in each of B worlds and all that `Agent.observe` needs to learn from it."""

    action: Array  # [B ...] as the environment takes it
    memory: Memory  # after this observation
    previous_memory: Memory  # before it
    is_first: Array  # [B] bool, the memory was cleared before this observation
    extras: dict[str, Any]  # the algorithm's own: for instance the sample before it was clipped to the bounds


class Agent(Protocol):
    """Memory is passed in and out, so that evaluation never disturbs training.

    Attributes:
        network: a torch module whose state is all that acting needs.
    """

    network: Any

    def initial_memory(self, batch: int) -> Memory: ...

    def act(self, observation: Observation, memory: Memory, is_first: Array, *, explore: bool) -> Decision:
        """Choose an action for each row; with `explore` as in training, otherwise the best one known (greedy)."""
        ...

    def observe(self, observation: Observation, decision: Decision, step: Step) -> bool:
        """Take in what followed; True means that there is enough data: call `update`."""
        ...

    def update(self) -> Metrics:
        """Learn from the data; the metrics are named `loss/…`, `policy/…` and so on.

        An agent that learns in many small steps gives {} until it is time for a row of metrics. Only then is it at a
        boundary where `state_dict` is taken.
        """
        ...

    def state_dict(self) -> State:
        """All that a bit-exact continuation needs; taking it draws no random number."""
        ...

    def load_state_dict(self, state: State) -> None: ...
