"""Which edge of a node a search follows: PUCT (Silver et al. 2018) and Gumbel (Danihelka et al. 2022).

They take of the edges of one node `prior`, `logit`, `visits`, `total` [L], and the node's own `value`. Values lie in
[-1, 1]. `constants` is an array of numbers, in the order of the names below.
"""

from __future__ import annotations

import numpy as np

from keel.envs.compiled import kernel
from keel.envs.protocol import Array

C_INIT, C_BASE = 0, 1  # of PUCT: exploration, and the visits over which it slowly grows
C_VISIT, C_SCALE = 2, 3  # of Gumbel: how much values weigh beside logits
CONSTANTS = 4


@kernel
def puct_edge(prior: Array, visits: Array, total: Array, value: float, constants: Array) -> int:
    """argmax Q + c P sqrt(N) / (1 + n), the first of equals; what was never tried is worth what the node is.

    Source: Silver et al. 2018, A general reinforcement learning algorithm (AlphaZero), methods, "Search".
    """
    visited = 1
    for edge in range(visits.shape[0]):
        visited += visits[edge]
    explore = constants[C_INIT] + np.log((visited + constants[C_BASE]) / constants[C_BASE])
    explore *= np.sqrt(visited)
    best, highest = 0, -np.inf
    for edge in range(prior.shape[0]):
        mean = total[edge] / visits[edge] if visits[edge] else value
        score = mean + explore * prior[edge] / (1 + visits[edge])
        if score > highest:
            best, highest = edge, score
    return best


@kernel
def mixed_value(prior: Array, visits: Array, total: Array, value: float) -> float:
    """A node's value by its own estimate and by its edges, weighted by the policy: what untried edges are worth.

    Source: Danihelka et al. 2022, Policy improvement by planning with Gumbel, appendix D, eq. 33.
    """
    tried, weighted, count = 0.0, 0.0, 0
    for edge in range(prior.shape[0]):
        if visits[edge]:
            tried += prior[edge]
            weighted += prior[edge] * total[edge] / visits[edge]
            count += visits[edge]
    return (value + count * weighted / tried) / (1 + count) if tried > 0.0 else value


@kernel
def scale(visits: Array, constants: Array) -> float:
    """What a value from 0 (lost) to 1 (won) counts beside a logit: (c_visit + max n) c_scale, eq. 8."""
    most = 0
    for edge in range(visits.shape[0]):
        most = max(most, visits[edge])
    return (constants[C_VISIT] + most) * constants[C_SCALE]


@kernel
def improved_logits(
    logit: Array, prior: Array, visits: Array, total: Array, value: float, constants: Array, out: Array
) -> None:
    """Fill `out` [L] with logits + sigma(completed Q), the improved policy's logits. Source: eq. 10 and 11."""
    untried, weight = mixed_value(prior, visits, total, value), scale(visits, constants)
    for edge in range(logit.shape[0]):
        mean = total[edge] / visits[edge] if visits[edge] else untried
        out[edge] = logit[edge] + weight * (0.5 + 0.5 * mean)


@kernel
def gumbel_edge(logit: Array, prior: Array, visits: Array, total: Array, value: float, constants: Array) -> int:
    """Inside the tree: argmax of the improved policy less the share of visits, n / (1 + N). Source: eq. 14."""
    untried, weight = mixed_value(prior, visits, total, value), 0.5 * scale(visits, constants)
    highest = -np.inf
    for edge in range(logit.shape[0]):
        mean = total[edge] / visits[edge] if visits[edge] else untried
        highest = max(highest, logit[edge] + weight * mean)
    mass = 0.0
    for edge in range(logit.shape[0]):
        mean = total[edge] / visits[edge] if visits[edge] else untried
        mass += np.exp(logit[edge] + weight * mean - highest)
    visited, best, most = 1 + visits.sum(), 0, -np.inf
    for edge in range(logit.shape[0]):
        mean = total[edge] / visits[edge] if visits[edge] else untried
        score = np.exp(logit[edge] + weight * mean - highest) / mass - visits[edge] / visited
        if score > most:
            best, most = edge, score
    return best


@kernel
def halving_edge(logit: Array, visits: Array, total: Array, constants: Array, considered: int, noise: Array) -> int:
    """At the root, one step of sequential halving: of the edges that were tried `considered` times, the one with the
    highest noise + logit + sigma(Q). Source: Danihelka et al. 2022, algorithm 2.

    Where none of them was tried, what is completed for their Q is the same for all, so it is left out. -1 where no edge
    was tried so often."""
    weight = 0.5 * scale(visits, constants)
    best, highest = -1, -np.inf
    for edge in range(logit.shape[0]):
        if visits[edge] == considered:
            mean = total[edge] / considered if considered else 0.0
            score = noise[edge] + logit[edge] + weight * mean
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
