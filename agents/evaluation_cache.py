"""Remembers what a network said of positions: games side by side, and searches one move later, ask for the same again.

At Connect Four six of ten evaluations of self-play are such ones.
"""

from __future__ import annotations

import numpy as np

from keel.agents.search import Evaluate
from keel.envs.compiled import kernel
from keel.envs.games.game import Game
from keel.envs.protocol import Array

MOST_BYTES = 64 << 20
PROBES = 8  # places where a position can be; of those the one that was asked for longest ago is given up
NOWHERE = -1
FNV_OFFSET, FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


class CachedEvaluator:
    """An evaluator that is asked for every position once only, as long as there is room for 64 MB of them.

    `forget` must be called whenever the network has changed. One cache is for one thread.
    """

    def __init__(self, game: Game, evaluate: Evaluate) -> None:
        self._evaluate = evaluate
        room = 1 << int(np.log2(MOST_BYTES / (game.state_size + 4 * game.actions + 12)))
        self._states = np.zeros((room, game.state_size), np.int8)
        self._logits = np.zeros((room, game.actions), np.float32)
        self._value = np.zeros(room, np.float32)
        self._asked = np.zeros(room, np.int64)  # the number of the call that asked for it last; 0: nothing is there
        self._calls = 0

    def forget(self) -> None:
        """Know nothing any more."""
        self._asked[:] = 0
        self._calls = 0

    def __call__(self, states: Array) -> tuple[Array, Array]:
        self._calls += 1
        place, known = np.empty(len(states), np.int64), np.empty(len(states), bool)
        find(states, self._states, self._asked, self._calls, place, known)
        new = np.flatnonzero(~known)
        if len(new) == 0:
            return self._logits[place], self._value[place]
        try:
            new_logits, new_value = self._evaluate(states[new])
        except BaseException:
            self.forget()  # the new ones have a place, and nothing is known of them
            raise
        kept = place[new] != NOWHERE
        self._logits[place[new][kept]], self._value[place[new][kept]] = new_logits[kept], new_value[kept]
        logits, value = self._logits[place], self._value[place]
        logits[new], value[new] = new_logits, new_value  # those that found no place among them
        return logits, value


@kernel
def find(states: Array, keys: Array, asked: Array, call: int, place: Array, known: Array) -> None:
    """Where each of the states [n S] is kept, or is to be kept from now on.

    Args:
        keys: [room S] states, room a power of two. asked: [room] see `CachedEvaluator`. call: the number of this call.
        place: [n] is filled with places, NOWHERE where all that are possible are needed by this call.
        known: [n] is filled with whether the state was there; the second of two equal new ones is, too.
    """
    mask = len(asked) - 1
    for row in range(len(states)):
        digest = FNV_OFFSET
        for byte in range(states.shape[1]):
            digest = (digest ^ np.uint64(np.uint8(states[row, byte]))) * FNV_PRIME
        first = np.int64((digest ^ (digest >> np.uint64(32))) & np.uint64(mask))
        oldest, here = first, NOWHERE
        for step in range(PROBES):
            at = (first + step) & mask
            if asked[at] > 0:
                same = True
                for byte in range(states.shape[1]):
                    if keys[at, byte] != states[row, byte]:
                        same = False
                        break
                if same:
                    here = at
                    break
            if asked[at] < asked[oldest]:
                oldest = at
        known[row] = here != NOWHERE
        if here == NOWHERE and asked[oldest] < call:
            here = oldest
            for byte in range(states.shape[1]):
                keys[here, byte] = states[row, byte]
        place[row] = here
        if here != NOWHERE:
            asked[here] = call
