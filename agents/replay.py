"""A replay buffer: the last steps of B worlds, from which past transitions are drawn again and again.

Sources: experience replay and its stacked frames: Mnih et al. 2015, Human-level control through deep reinforcement
learning; n-step returns: Sutton 1988, Learning to predict by the methods of temporal differences; prioritised sampling
and its importance weights: Schaul et al. 2016, Prioritized experience replay.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keel.agents.buffers import select, write
from keel.agents.frames import FinalObservations, FrameStack, ObservationRing, check_stack, count_bytes, first_row
from keel.envs.protocol import Array, Observation, State, Step

if TYPE_CHECKING:
    from keel.agents.sum_tree import SumTree

__all__ = ["Batch", "FrameStack", "Replay"]

# Added to every |error|, so that no transition is out of reach for ever.
LEAST_ERROR = 1e-6


class Batch(NamedTuple):
    """N transitions of up to n steps each.

    The target of a value function Q is return_ + discount * max Q(next_observation).
    """

    observation: Observation  # [N ...]
    action: Array  # [N] int64
    return_: Array  # [N] float32, sum over i < k of gamma^i r_{t+i}; k = n, or less where the episode ended
    discount: Array  # [N] float32, gamma^k, and 0 where the world terminated
    next_observation: Observation  # [N ...] after k steps (the final one where truncated); meaningless at discount 0
    weight: Array  # [N] float32 importance weights, 1 where sampling is uniform
    index: Array  # pyright: ignore[reportIncompatibleMethodOverride]  # [N] int64, for update_priorities


class Replay:
    """A ring of `capacity // num_envs` slots, each one step of B worlds; the oldest is overwritten.

    The transition that starts at a slot can be sampled once n later slots are written, and for as long as the earlier
    frames of its stack are kept: these starts are consecutive slots. The observation after a step is not stored twice:
    it is that of the next slot, except where an episode was truncated, whose final observation is kept aside.

    Sequences for networks with memory: `sequence_replay.py`.

    Args:
        capacity: in transitions, all worlds together.
        gamma: discount of one step.
        frames: how observations are stacked, where they are; of a dict this concerns the entry "observation" alone.
        priority_exponent: alpha of Schaul et al.: 0 is uniform, 1 in proportion to the error; None: no priorities.
        folder: keep observations in files there instead of memory; the files vanish with the replay.

    Raises:
        ValueError: fewer slots than a stack and n steps need.
    """

    def __init__(
        self,
        capacity: int,
        num_envs: int,
        *,
        n_step: int,
        gamma: float,
        frames: FrameStack | None = None,
        priority_exponent: float | None = None,
        folder: Path | None = None,
    ) -> None:
        self._worlds, self._n, self._gamma = num_envs, n_step, float(gamma)
        self._frames, self._exponent, self._folder = frames, priority_exponent, folder
        if n_step < 1:
            raise ValueError(f"n_step is {n_step}; it must be at least 1")
        self._stack = 1 if frames is None else frames.count
        self._slots = capacity // num_envs
        least = n_step + self._stack + 1
        if self._slots < least:
            raise ValueError(
                f"replay_capacity is {capacity}, which is {self._slots} steps of {num_envs} worlds; n_step {n_step} and "
                f"stacks of {self._stack} frames need at least {least * num_envs}"
            )
        self._size = self._slots * num_envs
        self._clear()

    def _clear(self) -> None:
        self._written = 0  # slots ever written; the next goes to this one modulo the number of slots
        self._observations: ObservationRing | None = None
        self._finals = FinalObservations(self._folder)
        self._next_observation: Observation | None = None
        self._largest = 1.0  # of all priorities so far
        self._tree: SumTree | None = None

    def _allocate(self, stored: Observation) -> ObservationRing:
        # Here, because numba takes half a second to import, and an agent that only acts needs none of it.
        from keel.agents.n_step import windows
        from keel.agents.sum_tree import SumTree

        self._windows = windows
        shape = (self._slots, self._worlds)
        self._action = np.zeros(shape, np.int64)
        self._reward = np.zeros(shape, np.float32)
        self._terminated = np.zeros(shape, bool)
        self._truncated = np.zeros(shape, bool)
        self._final_number = np.zeros(shape, np.int32)  # -1: no final observation
        self._flat = [
            array.reshape(-1)
            for array in (self._action, self._reward, self._terminated, self._truncated, self._final_number)
        ]
        self._tree = None if self._exponent is None else SumTree(self._size)
        self._observations = ObservationRing(stored, self._slots, self._frames, self._folder)
        return self._observations

    def _starts(self, written: int) -> tuple[int, int]:
        """The first slot that can be sampled and the one after the last, counted from the first ever written."""
        first = 0 if written <= self._slots else written - self._slots + self._stack - 1
        return first, max(first, written - self._n)

    def __len__(self) -> int:
        """Transitions that can be sampled now."""
        first, end = self._starts(self._written)
        return (end - first) * self._worlds

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, filled or not."""
        if self._observations is None:
            return 0
        observations = count_bytes(self._observations.ring) + (self._observations.age.nbytes if self._frames else 0)
        finals = 0 if self._finals.rows is None else count_bytes(self._finals.rows)
        tree = 0 if self._tree is None else self._tree.nbytes
        return observations + finals + tree + sum(array.nbytes for array in self._flat)

    def add(self, observation: Observation, action: Array, step: Step, is_first: Array) -> None:
        """One step of B worlds.

        Args: observation: [B ...] before the action; action: [B]; step: what followed; is_first: [B] bool.

        An episode that goes on in the last slot although a new one begins here was torn by an approximate resume: it
        counts as truncated there, with the observation that came with its last step as the final one.

        Raises:
            ValueError: an observation that is not a stack of `frames`.
        """
        ring = self._observations
        if ring is None:
            if self._frames is not None:
                check_stack(observation, self._frames)
            ring = self._allocate(ObservationRing.newest(observation, self._frames))
        slot = self._written % self._slots
        if self._finals.first < self._finals.next and self._written >= self._slots:
            self._finals.drop(int(np.count_nonzero(self._final_number[slot] >= 0)))
        if self._written:
            open_ = ~(self._terminated[slot - 1] | self._truncated[slot - 1])
            torn = open_ & is_first
            if np.count_nonzero(torn):
                assert self._next_observation is not None
                self._truncated[slot - 1, torn] = True
                self._keep_final(slot - 1, self._next_observation, torn)
            is_first = ~open_ | is_first
        else:
            is_first = np.ones(self._worlds, bool)
        ring.write(slot, observation, is_first)
        self._action[slot] = action
        self._reward[slot] = step.reward
        self._terminated[slot] = step.terminated
        self._truncated[slot] = step.truncated
        self._final_number[slot] = -1
        if np.count_nonzero(step.truncated):
            assert step.final_observation is not None
            self._keep_final(slot, step.final_observation, step.truncated & ~step.terminated)
        self._next_observation = step.observation
        if self._tree is not None:
            self._move_starts(self._tree)
        self._written += 1

    def _keep_final(self, slot: int, observation: Observation, which: Array) -> None:
        rows = np.flatnonzero(which)
        self._final_number[slot, rows] = self._finals.push(observation, rows)

    def _move_starts(self, tree: SumTree) -> None:
        """Priority 0 for starts that this step ends, the largest so far for those that it completes."""
        first, end = self._starts(self._written)
        next_first, next_end = self._starts(self._written + 1)
        moved = np.array([*range(first, next_first), *range(end, next_end)])
        if len(moved) == 0:
            return
        values = np.full((len(moved), self._worlds), self._largest)
        values[: next_first - first] = 0.0
        rows = (moved % self._slots * self._worlds)[:, None] + np.arange(self._worlds)
        tree.set(rows.reshape(-1), values.reshape(-1))

    def sample(self, chance: Array, beta: float = 1.0) -> Batch:
        """N transitions, one for each chance.

        With priorities p the chance of transition i is P_i = p_i / sum of p, and draw j of N falls in the j-th of N
        equal parts of that sum. Its weight is (number of transitions * P_i)^-beta, divided by the largest weight of the
        batch (as in Dopamine; Schaul et al. leave open whether of the batch or of all).

        Args: chance: [N] float64, uniform in [0, 1).

        Raises:
            ValueError: nothing can be sampled yet.
        """
        first, end = self._starts(self._written)
        number = (end - first) * self._worlds
        ring = self._observations
        if number == 0 or ring is None:
            raise ValueError(f"{self._written} steps were added; sampling takes more than n_step, which is {self._n}")
        if self._tree is None:
            index = (chance * number).astype(np.int64)  # in float64 the largest chance below 1 never rounds up
            index += first % self._slots * self._worlds
            index %= self._size
            weight = np.ones(len(index), np.float32)
        else:
            mass = (np.arange(len(chance)) + chance) * (self._tree.total / len(chance))
            index = self._tree.find(mass)
            priority = self._tree.leaves.take(index)
            weight = ((priority.min() / priority) ** beta).astype(np.float32)
        action, reward, terminated, truncated, final_number = self._flat
        return_, discount, after, final = self._windows(
            index, self._worlds, self._n, self._gamma, reward, terminated, truncated, final_number
        )
        # Read at once: two large arrays, freed one after the other, would go back to the system each time.
        both = ring.read(np.concatenate((index, after)))
        now, following = select(both, slice(len(index))), select(both, slice(len(index), None))
        if self._finals.first < self._finals.next:
            cut: Any = np.flatnonzero(final >= 0)
            if len(cut):
                write(following, cut, self._finals.read(final[cut]))
        return Batch(now, action.take(index), return_, discount, following, weight, index)

    def update_priorities(self, index: Array, error: Array) -> None:
        """The priority of sampled transitions becomes (|error| + 1e-6)^alpha; without priorities nothing happens.

        Transitions that have been overwritten since are left out.

        Args: index: [N] of a batch; error: [N], what its transitions were off by.

        Raises:
            ValueError: an error is infinite or nan.
        """
        if self._exponent is None or self._tree is None:
            return
        priority = (np.abs(error, dtype=np.float64) + LEAST_ERROR) ** self._exponent
        if not np.isfinite(priority).all():
            raise ValueError(f"an error of a transition is infinite or nan: {error}")
        first, end = self._starts(self._written)
        kept = (index - first * self._worlds) % self._size < (end - first) * self._worlds
        if kept.any():
            self._tree.set(index[kept], priority[kept])
            self._largest = max(self._largest, float(priority[kept].max()))

    def recent(self, steps: int) -> Observation:
        """The observations [steps B ...] of the last steps of every world, fewer where there are fewer.

        Raises:
            ValueError: nothing has been added.
        """
        ring = self._observations
        if ring is None:
            raise ValueError("no step has been added yet")
        first = max(self._starts(self._written)[0], self._written - steps)
        slots = np.arange(first, self._written) % self._slots
        rows = (slots[:, None] * self._worlds + np.arange(self._worlds)).reshape(-1)
        return _split(ring.read(rows), self._worlds)

    def state_dict(self) -> State:
        """Everything; the arrays are views of what is filled and change with the next step."""
        state: State = {"shape": self._shape(), "written": self._written, "largest_priority": self._largest}
        ring = self._observations
        if ring is None:
            return state
        filled = slice(min(self._written, self._slots))
        state["arrays"] = {name: select(array, filled) for name, array in self._arrays(ring).items()}
        if self._tree is not None:
            state["priorities"] = self._tree.leaves[: filled.stop * self._worlds]
        finals = self._finals
        state["finals"] = {"rows": finals.rows, "length": finals.length, "first": finals.first, "next": finals.next}
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
        if "arrays" not in state:
            return
        arrays, filled = state["arrays"], min(state["written"], self._slots)
        ring = self._allocate(first_row(arrays["observation"]))
        first_rows: Any = slice(filled)
        for name, array in self._arrays(ring).items():
            write(array, first_rows, arrays[name])
        if self._tree is not None:
            self._tree.rebuild(state["priorities"])
        finals = state["finals"]
        self._finals.load(finals["rows"], finals["length"], finals["first"], finals["next"])
        self._next_observation = state["next_observation"]
        self._written, self._largest = state["written"], state["largest_priority"]

    def _shape(self) -> State:
        """What a state must share with the replay that loads it."""
        frames = None if self._frames is None else list(self._frames)
        priorities = self._exponent is not None
        return {
            "slots": self._slots,
            "num_envs": self._worlds,
            "n_step": self._n,
            "frames": frames,
            "priorities": priorities,
        }

    def _arrays(self, ring: ObservationRing) -> dict[str, Observation]:
        arrays: dict[str, Observation] = {
            "observation": ring.ring,
            "action": self._action,
            "reward": self._reward,
            "terminated": self._terminated,
            "truncated": self._truncated,
            "final_number": self._final_number,
        }
        return arrays if self._frames is None else {**arrays, "age": ring.age}


def _split(observation: Observation, worlds: int) -> Observation:
    """[T*B ...] as [T B ...]."""
    if isinstance(observation, dict):
        return {key: _split(part, worlds) for key, part in observation.items()}
    return observation.reshape(-1, worlds, *observation.shape[1:])
