"""A replay buffer of sequences for networks with memory: pieces of B worlds' lives, with the memory at their beginning.

Sources: sequences with stored memory that overlap by half: Kapturowski et al. 2019, Recurrent experience replay in
distributed reinforcement learning, section 2.3; prioritised sampling: Schaul et al. 2016, Prioritized experience replay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keel.agents.agent import Memory
from keel.agents.buffers import select, write
from keel.agents.frames import allocate, count_bytes, first_row
from keel.agents.replay import LEAST_ERROR
from keel.envs.protocol import Array, Observation, State, Step

if TYPE_CHECKING:
    from keel.agents.sum_tree import SumTree


class Sequences(NamedTuple):
    """N sequences of T consecutive elements of one world each.

    What follows an element is always the next one: after a truncated step comes the final observation as an element of
    its own, without an action, and the one after that begins the next episode.
    """

    observation: Observation  # [T N ...]
    action: Array  # [T N] int64
    reward: Array  # [T N] float32
    terminated: Array  # [T N] bool, the next element belongs to another episode and nothing more is to come in this one
    acts: Array  # [T N] bool, False for a final observation: no action, no reward
    is_first: Array  # [T N] bool, the memory is cleared before this element
    memory: tuple[Array, ...]  # before the first element, each [. N ...]; empty where none was given
    weight: Array  # [N] float32 importance weights, 1 where sampling is uniform
    index: Array  # pyright: ignore[reportIncompatibleMethodOverride]  # [N] int64, for update_priorities


class SequenceReplay:
    """A ring of elements for each world, in which a sequence begins at every `stride`-th element.

    Elements are stored once however many sequences they belong to, and a memory is stored only where a sequence begins.
    A world whose episode is truncated writes one element more than the others, so each has a position of its own. A
    sequence can be sampled when its last element is written, until its first one is overwritten.

    Args:
        capacity: in elements, all worlds together.
        length: elements of a sequence.
        stride: elements from one beginning to the next.
        priority_exponent: alpha of Schaul et al.: 0 is uniform, 1 in proportion to the error; None: no priorities.

    Raises:
        ValueError: fewer elements a world than one sequence needs to be whole at any moment.
    """

    def __init__(
        self, capacity: int, num_envs: int, *, length: int, stride: int, priority_exponent: float | None = None
    ) -> None:
        self._worlds, self._length, self._stride, self._exponent = num_envs, length, stride, priority_exponent
        self._beginnings = capacity // num_envs // stride
        self._slots = self._beginnings * stride
        needed = length + stride - 1  # so that one sequence is whole at any moment
        if self._slots < needed:
            least = -(-needed // stride) * stride * num_envs
            raise ValueError(
                f"replay_capacity is {capacity}, in which {num_envs} worlds do not always keep a whole sequence of "
                f"{length} steps: it must be at least {least}"
            )
        self._size = self._slots * num_envs
        self._everyone = np.arange(num_envs)
        self._clear()

    def _clear(self) -> None:
        self._written = np.zeros(self._worlds, np.int64)  # elements of each world ever written
        self._observation: Observation | None = None
        self._next_observation: Observation | None = None
        self._memory: list[Array] = []
        self._largest = 1.0  # of all priorities so far
        self._tree: SumTree | None = None

    def _allocate(self, observation: Observation, memory: list[Array]) -> Observation:
        """Args: observation: of one world; memory: of one world, each [. ...]."""
        # Here, because numba takes half a second to import, and an agent that only acts needs none of it.
        from keel.agents.sum_tree import SumTree

        self._action = np.zeros(self._size, np.int64)
        self._reward = np.zeros(self._size, np.float32)
        self._terminated, self._acts, self._is_first = np.zeros((3, self._size), bool)
        self._memory = [np.zeros((self.sequences, *part.shape), part.dtype) for part in memory]
        self._tree = None if self._exponent is None else SumTree(self.sequences)
        self._observation = allocate(observation, self._size, None)
        return self._observation

    @property
    def sequences(self) -> int:
        """How many beginnings of sequences are kept at most."""
        return self._beginnings * self._worlds

    def __len__(self) -> int:
        """Sequences that can be sampled now."""
        return int(self._starts()[1].sum())

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, filled or not."""
        if self._observation is None:
            return 0
        arrays = (self._action, self._reward, self._terminated, self._acts, self._is_first, *self._memory)
        tree = 0 if self._tree is None else self._tree.nbytes
        return count_bytes(self._observation) + tree + sum(array.nbytes for array in arrays)

    def _starts(self) -> tuple[Array, Array]:
        """Of each world the number of the first sequence that can be sampled and how many can be, both [B]."""
        first = -(-np.maximum(self._written - self._slots, 0) // self._stride)
        return first, np.maximum((self._written - self._length) // self._stride + 1 - first, 0)

    def add(
        self,
        observation: Observation,
        action: Array,
        step: Step,
        is_first: Array,
        memory: Memory = (),
        next_memory: Memory = (),
    ) -> None:
        """One step of B worlds.

        Args: observation: [B ...] before the action; action: [B]; step: what followed; is_first: [B] bool; memory and
            next_memory: of the network before and after the observation, tensors [. B ...]; empty: store none.

        An episode that goes on in a world's last element although a new one begins here was torn by an approximate
        resume: it counts as truncated there, with the observation that came with its last step as the final one.
        """
        if self._observation is None:
            self._allocate(first_row(observation), [part[:, 0].cpu().numpy() for part in memory])
        elif np.count_nonzero(is_first):
            last = self._rows(self._written - 1, self._everyone)
            torn = is_first & self._acts[last] & ~self._terminated[last]
            assert self._next_observation is not None
            self._append_final(self._next_observation, memory, torn)
        self._append(self._everyone, observation, memory, action, step.reward, step.terminated, is_first, True)
        if np.count_nonzero(step.truncated):
            assert step.final_observation is not None
            self._append_final(step.final_observation, next_memory, step.truncated & ~step.terminated)
        self._next_observation = step.observation

    def _append_final(self, observation: Observation, memory: Memory, which: Array) -> None:
        worlds = np.flatnonzero(which)
        if len(worlds):
            self._append(worlds, select(observation, worlds), memory, 0, 0.0, False, False, False)

    def _append(
        self,
        worlds: Array,
        observation: Observation,
        memory: Memory,
        action: Array | int,
        reward: Array | float,
        terminated: Array | bool,
        is_first: Array | bool,
        acts: bool,
    ) -> None:
        """The next element of some worlds [K]; all is of them alone but the memory, which is of all worlds."""
        assert self._observation is not None
        position = self._written[worlds]
        rows: Any = self._rows(position, worlds)
        write(self._observation, rows, observation)
        self._action[rows] = action
        self._reward[rows] = reward
        self._terminated[rows] = terminated
        self._is_first[rows] = is_first
        self._acts[rows] = acts
        begins = position % self._stride == 0
        if self._memory and np.count_nonzero(begins):
            beginning = self._index(position[begins], worlds[begins])
            for ring, part in zip(self._memory, memory, strict=True):
                ring[beginning] = part[:, worlds[begins]].cpu().numpy().swapaxes(0, 1)
        self._written[worlds] = position + 1
        if self._tree is not None:
            self._move_starts(self._tree, worlds, position)

    def _rows(self, position: Array, world: Array) -> Array:
        """Where the elements at these positions of these worlds lie."""
        return position % self._slots * self._worlds + world

    def _index(self, position: Array, world: Array) -> Array:
        """The number among all sequences of those that begin at these positions of these worlds."""
        return position // self._stride % self._beginnings * self._worlds + world

    def _move_starts(self, tree: SumTree, worlds: Array, position: Array) -> None:
        """Priority 0 for sequences whose first element was just overwritten, the largest so far for those completed."""
        begins = position % self._stride == 0
        start = position + 1 - self._length
        complete = (start >= 0) & (start % self._stride == 0)
        if np.count_nonzero(begins | complete):
            over, whole = self._index(position, worlds)[begins], self._index(start, worlds)[complete]
            values = np.repeat([0.0, self._largest], [len(over), len(whole)])
            tree.set(np.concatenate((over, whole)), values)

    def sample(self, chance: Array, beta: float = 1.0) -> Sequences:
        """N sequences, one for each chance; priorities and weights as in `Replay.sample`.

        Args: chance: [N] float64, uniform in [0, 1).

        Raises:
            ValueError: nothing can be sampled yet.
        """
        first, count = self._starts()
        total = int(count.sum())
        if total == 0:
            raise ValueError(f"a sequence has {self._length} steps, and at most {self._written.max()} were added")
        if self._tree is None:
            number = (chance * total).astype(np.int64)  # in float64 the largest chance below 1 never rounds up
            end = count.cumsum()
            world = np.searchsorted(end, number, side="right")
            start = first[world] + number - (end - count)[world]
            index = self._index(start * self._stride, world)
            weight = np.ones(len(index), np.float32)
        else:
            mass = (np.arange(len(chance)) + chance) * (self._tree.total / len(chance))
            index = self._tree.find(mass)
            priority = self._tree.leaves.take(index)
            weight = ((priority.min() / priority) ** beta).astype(np.float32)
        return self._read(index, weight)

    def _read(self, index: Array, weight: Array) -> Sequences:
        assert self._observation is not None
        beginning, world = np.divmod(index, self._worlds)
        rows = self._rows(beginning * self._stride + np.arange(self._length)[:, None], world)
        return Sequences(
            select(self._observation, rows),
            self._action[rows],
            self._reward[rows],
            self._terminated[rows],
            self._acts[rows],
            self._is_first[rows],
            tuple(part[index].swapaxes(0, 1) for part in self._memory),
            weight,
            index,
        )

    def update_priorities(self, index: Array, error: Array) -> None:
        """The priority of the sequences sampled last becomes (error + 1e-6)^alpha; without priorities nothing happens.

        Args: index: [N] of a batch, since which nothing was added; error: [N], at least 0.

        Raises:
            ValueError: an error is infinite or nan.
        """
        if self._tree is None or self._exponent is None:
            return
        priority = (error.astype(np.float64) + LEAST_ERROR) ** self._exponent
        if not np.isfinite(priority).all():
            raise ValueError(f"an error of a sequence is infinite or nan: {error}")
        self._tree.set(index, priority)
        self._largest = max(self._largest, float(priority.max()))

    def recent(self, steps: int) -> Observation:
        """The observations [steps B ...] of the last elements of every world, fewer where there are fewer.

        Raises:
            ValueError: nothing has been added.
        """
        if self._observation is None:
            raise ValueError("no step has been added yet")
        steps = min(steps, self._slots, int(self._written.min()))
        position = self._written - steps + np.arange(steps)[:, None]
        return select(self._observation, self._rows(position, self._everyone))

    def state_dict(self) -> State:
        """Everything; the arrays are views of what is filled and change with the next step."""
        state: State = {"shape": self._shape(), "written": self._written.copy(), "largest_priority": self._largest}
        if self._observation is None:
            return state
        elements, beginnings = self._filled()
        state["arrays"] = {name: select(array, elements) for name, array in self._arrays(self._observation).items()}
        state["memory"] = {str(number): part[beginnings] for number, part in enumerate(self._memory)}
        if self._tree is not None:
            state["priorities"] = self._tree.leaves[beginnings]
        state["next_observation"] = self._next_observation
        return state

    def load_state_dict(self, state: State) -> None:
        """Continue where `state` was taken.

        Raises:
            ValueError: it is the state of a replay of another shape.
        """
        mine, theirs = self._shape(), state["shape"]
        if wrong := [name for name, value in mine.items() if theirs.get(name) != value]:
            differences = ", ".join(f"{name} {theirs.get(name)} instead of {mine[name]}" for name in wrong)
            raise ValueError(f"the state is that of another replay: {differences}")
        self._clear()
        self._written, self._largest = np.array(state["written"]), state["largest_priority"]
        if "arrays" not in state:
            return
        arrays = state["arrays"]
        memory = [state["memory"][str(number)] for number in range(len(state["memory"]))]
        observation = self._allocate(first_row(arrays["observation"]), [part[0] for part in memory])
        elements, beginnings = self._filled()
        for name, array in self._arrays(observation).items():
            write(array, elements, arrays[name])
        for ring, part in zip(self._memory, memory, strict=True):
            ring[beginnings] = part
        if self._tree is not None:
            self._tree.rebuild(state["priorities"])
        self._next_observation = state["next_observation"]

    def _filled(self) -> tuple[Any, Any]:
        """Where something was ever written: of the elements and of the beginnings of sequences."""
        slots = min(int(self._written.max()), self._slots)
        return slice(slots * self._worlds), slice(-(-slots // self._stride) * self._worlds)

    def _shape(self) -> State:
        """What a state must share with the replay that loads it."""
        return {
            "slots": self._slots,
            "num_envs": self._worlds,
            "length": self._length,
            "stride": self._stride,
            "priorities": self._exponent is not None,
        }

    def _arrays(self, observation: Observation) -> dict[str, Observation]:
        return {
            "observation": observation,
            "action": self._action,
            "reward": self._reward,
            "terminated": self._terminated,
            "acts": self._acts,
            "is_first": self._is_first,
        }
