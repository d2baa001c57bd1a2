"""Many search trees at a time as flat arrays: growing, walking down, and carrying values up.

Values are those of the player who is to move at a node; what is a gain for one is a loss for the other, so they change
their sign from a node to its parent. The edges of a node are its legal actions, in order.

The inner loops pass indices and loop over numbers where they can: a slice costs an atomic count of references, and an
assignment of one array to another a check of shapes that keeps numba from leaving such counts out.

What a position is worth is known where the game has ended, and, with `prove`, wherever that follows from what is known
below it. Source of that: Winands et al. 2008, Monte-Carlo tree search solver.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keel.agents.tree_rules import gumbel_edge, halving_edge, improved_logits, puct_edge
from keel.envs.compiled import kernel
from keel.envs.protocol import Array

ROOT, NOTHING = 0, -1
WON, LOST = 1.0, -1.0
PUCT, GUMBEL = 0, 1


class Tree(NamedTuple):
    """B trees of at most N nodes with at most L edges each. Node 0 is the root."""

    nodes: Array  # [B] int32, how many there are
    state: Array  # [B N S] int8
    value: Array  # [B N] float32, the network's, or where it is known what the position is worth
    known: Array  # [B N] bool, whether that is so: there the search goes no further
    parent: Array  # [B N] int32
    parent_edge: Array  # [B N] int32
    edges: Array  # [B N] int32, how many a node has
    action: Array  # [B N L] int32
    logit: Array  # [B N L] float32
    prior: Array  # [B N L] float32, of the legal actions alone
    visits: Array  # [B N L] int32
    total: Array  # [B N L] float64, of the values that came up through the edge, for the player who took it
    child: Array  # [B N L] int32, or NOTHING


def make_tree(batch: int, nodes: int, edges: int, state_size: int) -> Tree:
    """Room for so many; nothing in it counts before `plant`."""
    node, edge = (batch, nodes), (batch, nodes, edges)
    return Tree(
        np.zeros(batch, np.int32),
        np.zeros((*node, state_size), np.int8),
        np.zeros(node, np.float32),
        np.zeros(node, bool),
        np.zeros(node, np.int32),
        np.zeros(node, np.int32),
        np.zeros(node, np.int32),
        np.zeros(edge, np.int32),
        np.zeros(edge, np.float32),
        np.zeros(edge, np.float32),
        np.zeros(edge, np.int32),
        np.zeros(edge, np.float64),
        np.zeros(edge, np.int32),
    )


@kernel
def expand(tree: Tree, row: int, node: int, logits: Array, judged: int, legal: Array, index: int) -> None:
    """Give a node its edges: the actions in `legal[index]`, with the softmax of their `logits[judged]` as prior."""
    count, highest = 0, np.float32(-np.inf)
    for action in range(legal.shape[1]):
        if legal[index, action]:
            logit = logits[judged, action]
            tree.action[row, node, count] = action
            tree.logit[row, node, count] = logit
            tree.visits[row, node, count] = 0
            tree.total[row, node, count] = 0.0
            tree.child[row, node, count] = NOTHING
            highest = max(highest, logit)
            count += 1
    mass = 0.0
    for edge in range(count):
        weight = np.exp(tree.logit[row, node, edge] - highest)
        tree.prior[row, node, edge] = weight
        mass += weight
    for edge in range(count):
        tree.prior[row, node, edge] /= mass
    tree.edges[row, node] = count


@kernel
def plant(tree: Tree, states: Array, legal: Array, logits: Array, value: Array) -> None:
    """Start tree b with the state b, and with nothing below it."""
    for row in range(states.shape[0]):
        tree.nodes[row] = 1
        tree.state[row, ROOT] = states[row]
        tree.value[row, ROOT] = value[row]
        tree.known[row, ROOT] = False
        tree.parent[row, ROOT] = NOTHING
        expand(tree, row, ROOT, logits, row, legal, row)


@kernel
def descend(
    tree: Tree, rule: int, inside: int, constants: Array, considered: Array, noise: Array, rows: Array, leaf: Array,
    before: Array, moves: Array,
) -> int:  # fmt: skip
    """Walk every tree down to an action that was never tried, or to a position whose worth is known.

    Args:
        rule, inside: PUCT or GUMBEL, at the root and below it. constants: the numbers of `tree_rules`.
        considered: [B] visits of the root's actions that are candidates now (GUMBEL).
        noise: [B L] Gumbel noise of the root's edges.
        leaf: [B 2] is filled with node and edge; the edge is NOTHING where the node is known.
        rows, before [B S], moves: filled for the trees that have to grow, packed.

    Returns: how many trees have to grow.
    """
    growing = 0
    for row in range(leaf.shape[0]):
        node, edge = ROOT, NOTHING
        while not tree.known[row, node]:
            count = tree.edges[row, node]
            visits, total, value = tree.visits[row, node, :count], tree.total[row, node, :count], tree.value[row, node]
            prior, edge = tree.prior[row, node, :count], NOTHING
            if node == ROOT and rule == GUMBEL:
                edge = halving_edge(
                    tree.logit[row, node, :count], visits, total, constants, considered[row], noise[row]
                )
                # Of what is known to lose `carry_up` has taken the prior away. Asked here, as a function given the tree
                # would cost a count of references for each of its arrays.
                if edge != NOTHING and prior[edge] == 0.0:
                    child = tree.child[row, node, edge]
                    if child != NOTHING and tree.known[row, child] and tree.value[row, child] == WON:
                        edge = NOTHING
            elif node != ROOT and inside == GUMBEL:
                edge = gumbel_edge(tree.logit[row, node, :count], prior, visits, total, value, constants)
            if edge == NOTHING:  # also where a root has visits to spare, as its candidates are known to be lost
                edge = puct_edge(prior, visits, total, value, constants)
            if tree.child[row, node, edge] == NOTHING:
                break
            node, edge = tree.child[row, node, edge], NOTHING
        leaf[row, 0], leaf[row, 1] = node, edge
        if edge != NOTHING:
            rows[growing] = row
            for byte in range(before.shape[1]):
                before[growing, byte] = tree.state[row, node, byte]
            moves[growing] = tree.action[row, node, edge]
            growing += 1
    return growing


@kernel
def grow(
    tree: Tree, rows: Array, leaf: Array, after: Array, legal: Array, ended: Array, value: Array, logits: Array,
    logits_row: Array,
) -> None:  # fmt: skip
    """Hang a node for each grown state below its leaf.

    Args: logits: [M A] of the states that have not ended. logits_row: [n] where a state's logits are.
    """
    for index in range(after.shape[0]):
        row = rows[index]
        parent, edge, node = leaf[row, 0], leaf[row, 1], int(tree.nodes[row])
        tree.nodes[row] += 1
        for byte in range(after.shape[1]):
            tree.state[row, node, byte] = after[index, byte]
        tree.value[row, node] = value[index]
        tree.known[row, node] = ended[index]
        tree.parent[row, node] = parent
        tree.parent_edge[row, node] = edge
        tree.child[row, parent, edge] = node
        leaf[row, 0], leaf[row, 1] = node, NOTHING
        if ended[index]:
            tree.edges[row, node] = 0
        else:
            expand(tree, row, node, logits, logits_row[index], legal, index)


@kernel
def carry_up(tree: Tree, leaf: Array, prove: bool) -> None:
    """Add the value of every tree's leaf to the edges on the way to it.

    Args: prove: find out which positions are known by that, and keep from what is known to be lost.
    """
    for row in range(leaf.shape[0]):
        node = leaf[row, 0]
        value = tree.value[row, node]
        while tree.parent[row, node] != NOTHING:
            parent, edge = tree.parent[row, node], tree.parent_edge[row, node]
            value = -value
            tree.visits[row, parent, edge] += 1
            tree.total[row, parent, edge] += value
            if prove and tree.known[row, node]:
                tree.total[row, parent, edge] = tree.visits[row, parent, edge] * value  # nothing else counts any more
                if value == LOST:
                    tree.prior[row, parent, edge] = 0.0
                if follows(tree, row, parent):
                    value = tree.value[row, parent]
            node = parent


@kernel
def follows(tree: Tree, row: int, node: int) -> bool:
    """Whether it is known what a node is worth: one of its moves wins, or all of them are known. Notes it there."""
    best, all_known = LOST, True
    for edge in range(tree.edges[row, node]):
        child = tree.child[row, node, edge]
        if child != NOTHING and tree.known[row, child]:
            best = max(best, -tree.value[row, child])
        else:
            all_known = False
    if best == WON or all_known:
        tree.known[row, node], tree.value[row, node] = True, best
    return tree.known[row, node]


@kernel
def worth_playing(tree: Tree, row: int, node: int, prove: bool, out: Array) -> None:
    """Fill `out` [L] with which edges can be the best: where the node is known those that are worth as much, elsewhere
    those that are not known to be lost."""
    for edge in range(tree.edges[row, node]):
        child = tree.child[row, node, edge]
        known = prove and child != NOTHING and tree.known[row, child]
        if tree.known[row, node]:
            out[edge] = known and -tree.value[row, child] == tree.value[row, node]
        else:
            out[edge] = not (known and -tree.value[row, child] == LOST)


@kernel
def scatter_noise(tree: Tree, rule: int, noise: Array, share: float, edge_noise: Array) -> None:
    """Bring noise [B A] to the edges of the roots: into their priors (PUCT), or to `edge_noise` [B L] (GUMBEL)."""
    for row in range(noise.shape[0]):
        for edge in range(tree.edges[row, ROOT]):
            drawn = noise[row, tree.action[row, ROOT, edge]]
            if rule == PUCT:
                tree.prior[row, ROOT, edge] += share * (drawn - tree.prior[row, ROOT, edge])
            else:
                edge_noise[row, edge] = drawn


@kernel
def best_edge(tree: Tree, row: int, node: int, good: Array) -> int:
    """The edge of the most visits, and of those the likeliest one, among the `good` [L]."""
    best = NOTHING
    for edge in range(tree.edges[row, node]):
        if not good[edge]:
            continue
        more = 1 if best == NOTHING else tree.visits[row, node, edge] - tree.visits[row, node, best]
        if more > 0 or (more == 0 and tree.prior[row, node, edge] > tree.prior[row, node, best]):
            best = edge
    return best


@kernel
def conclude(
    tree: Tree, rule: int, constants: Array, noise: Array, prove: bool, action: Array, visits: Array, policy: Array,
    value: Array, action_value: Array, known: Array,
) -> None:  # fmt: skip
    """Fill in what is known of every root: see `search.Found`."""
    improved, good = np.zeros(tree.action.shape[2]), np.zeros(tree.action.shape[2], np.bool_)
    for row in range(action.shape[0]):
        count = tree.edges[row, ROOT]
        tried, total = tree.visits[row, ROOT, :count], tree.total[row, ROOT, :count]
        logit, prior, own = tree.logit[row, ROOT, :count], tree.prior[row, ROOT, :count], tree.value[row, ROOT]
        known[row] = tree.known[row, ROOT]
        worth_playing(tree, row, ROOT, prove, good)
        kept = good[:count]
        value[row] = own if known[row] else (own + (total * kept).sum()) / (1 + (tried * kept).sum())
        if rule == PUCT:
            best = best_edge(tree, row, ROOT, good)
            improved[:count] = tried * kept
            if not improved[:count].any():  # whatever was tried is lost
                improved[:count] = np.exp(np.where(kept, logit - logit[kept].max(), -np.inf))
        else:
            improved_logits(logit, prior, tried, total, own, constants, improved[:count])
            improved[:count] = np.where(kept, improved[:count], -np.inf)
            best = halving_edge(logit, tried, total, constants, tried.max(), noise[row])
            if known[row] or not kept[best]:
                best = np.argmax(noise[row, :count] + improved[:count])
            improved[:count] = np.exp(improved[:count] - improved[:count].max())
        improved[:count] /= improved[:count].sum()
        action[row] = tree.action[row, ROOT, best]
        for edge in range(count):
            at = tree.action[row, ROOT, edge]
            visits[row, at], policy[row, at] = tried[edge], improved[edge]
            if tried[edge]:
                action_value[row, at] = total[edge] / tried[edge]
