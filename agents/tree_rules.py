"""Which edge of a node a search follows: PUCT (Silver et al. 2018) and Gumbel (Danihelka et al. 2022).

They take the `edges` of one node, [L] EDGE, and the node's own `value`. Values lie in [-1, 1]. `constants` is an array
of numbers, in the order of the names below.
"""

from __future__ import annotations

import numpy as np

from keel.envs.compiled import kernel
from keel.envs.protocol import Array

C_INIT, C_BASE = 0, 1  # of PUCT: exploration, and the visits over which it slowly grows
C_VISIT, C_SCALE = 2, 3  # of Gumbel: how much values weigh beside logits
CONSTANTS = 4

EDGE = np.dtype(
    [
        ("total", np.float64),  # of the values that came up through it, for the player who took it
        ("logit", np.float32),
        ("prior", np.float32),  # of the legal actions alone
        ("visits", np.int32),
        ("child", np.int32),  # a node, or -1
        ("action", np.int32),
    ],
    align=True,
)


@kernel
def puct_edge(edges: Array, value: float, constants: Array) -> int:
    """argmax Q + c P sqrt(N) / (1 + n), the first of equals; what was never tried is worth what the node is.

    Source: Silver et al. 2018, A general reinforcement learning algorithm (AlphaZero), methods, "Search".
    """
    visited = 1
    for edge in range(edges.shape[0]):
        visited += edges[edge].visits
    explore = constants[C_INIT] + np.log((visited + constants[C_BASE]) / constants[C_BASE])
    explore *= np.sqrt(visited)
    best, highest = 0, -np.inf
    for edge in range(edges.shape[0]):
        mean = edges[edge].total / edges[edge].visits if edges[edge].visits else value
        score = mean + explore * edges[edge].prior / (1 + edges[edge].visits)
        if score > highest:
            best, highest = edge, score
    return best


@kernel
def mixed_value(edges: Array, value: float) -> float:
    """A node's value by its own estimate and by its edges, weighted by the policy: what untried edges are worth.

    Source: Danihelka et al. 2022, Policy improvement by planning with Gumbel, appendix D, eq. 33.
    """
    tried, weighted, count = 0.0, 0.0, 0
    for edge in range(edges.shape[0]):
        if edges[edge].visits:
            tried += edges[edge].prior
            weighted += edges[edge].prior * edges[edge].total / edges[edge].visits
            count += edges[edge].visits
    return (value + count * weighted / tried) / (1 + count) if tried > 0.0 else value


@kernel
def scale(edges: Array, constants: Array) -> float:
    """What a value from 0 (lost) to 1 (won) counts beside a logit: (c_visit + max n) c_scale, eq. 8."""
    most = 0
    for edge in range(edges.shape[0]):
        most = max(most, edges[edge].visits)
    return (constants[C_VISIT] + most) * constants[C_SCALE]


@kernel
def improved_logits(edges: Array, value: float, constants: Array, out: Array) -> None:
    """Fill `out` [L] with logits + sigma(completed Q), the improved policy's logits. Source: eq. 10 and 11."""
    untried, weight = mixed_value(edges, value), scale(edges, constants)
    for edge in range(edges.shape[0]):
        mean = edges[edge].total / edges[edge].visits if edges[edge].visits else untried
        out[edge] = edges[edge].logit + weight * (0.5 + 0.5 * mean)


@kernel
def gumbel_edge(edges: Array, value: float, constants: Array) -> int:
    """Inside the tree: argmax of the improved policy less the share of visits, n / (1 + N). Source: eq. 14."""
    untried, weight = mixed_value(edges, value), 0.5 * scale(edges, constants)
    highest = -np.inf
    for edge in range(edges.shape[0]):
        mean = edges[edge].total / edges[edge].visits if edges[edge].visits else untried
        highest = max(highest, edges[edge].logit + weight * mean)
    mass, visited = 0.0, 1
    for edge in range(edges.shape[0]):
        visited += edges[edge].visits
        mean = edges[edge].total / edges[edge].visits if edges[edge].visits else untried
        mass += np.exp(edges[edge].logit + weight * mean - highest)
    best, most = 0, -np.inf
    for edge in range(edges.shape[0]):
        mean = edges[edge].total / edges[edge].visits if edges[edge].visits else untried
        score = np.exp(edges[edge].logit + weight * mean - highest) / mass - edges[edge].visits / visited
        if score > most:
            best, most = edge, score
    return best


@kernel
def halving_edge(edges: Array, constants: Array, considered: int, noise: Array) -> int:
    """At the root, one step of sequential halving: of the edges that were tried `considered` times, the one with the
    highest noise + logit + sigma(Q). Source: Danihelka et al. 2022, algorithm 2.

    Where none of them was tried, what is completed for their Q is the same for all, so it is left out. -1 where no edge
    was tried so often."""
    weight = 0.5 * scale(edges, constants)
    best, highest = -1, -np.inf
    for edge in range(edges.shape[0]):
        if edges[edge].visits == considered:
            mean = edges[edge].total / considered if considered else 0.0
            score = noise[edge] + edges[edge].logit + weight * mean
            if score > highest:
                best, highest = edge, score
    return best


def halving_visits(considered: int, simulations: int) -> Array:
    """The visits of the candidates at each simulation of sequential halving, [simulations] int32.

    `considered` actions share the simulations: in each of log2 rounds all that are left are tried equally often, then
    the worse half is dropped, down to two.

    Source: Karnin et al. 2013; Danihelka et al. 2022, algorithm 2.
    """
    if considered <= 1:
        return np.arange(simulations, dtype=np.int32)
    rounds, left, tried = int(np.ceil(np.log2(considered))), considered, 0
    visits: list[int] = []
    while len(visits) < simulations:
        for _ in range(max(1, simulations // (rounds * left))):
            visits += [tried] * left
            tried += 1
        left = max(2, left // 2)
    return np.array(visits[:simulations], np.int32)
