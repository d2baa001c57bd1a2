"""Many search trees at a time as arrays of nodes and edges: growing, walking down, and carrying values up.

Values are those of the player who is to move at a node; what is a gain for one is a loss for the other, so they change
their sign from a node to its parent. The edges of a node are its legal actions, in order.

The inner loops copy bytes one by one: an assignment of one array to another has a check of shapes, which keeps numba
from leaving out the atomic counts of references to both.

What a position is worth is known where the game has ended, and, with `prove`, wherever that follows from what is known
below it. Source of that: Winands et al. 2008, Monte-Carlo tree search solver.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keel.agents.tree_rules import EDGE, gumbel_edge, halving_edge, improved_logits, puct_edge
from keel.envs.compiled import kernel
from keel.envs.protocol import Array

ROOT, NOTHING = 0, -1
WON, LOST = 1.0, -1.0
PUCT, GUMBEL = 0, 1


NODE = np.dtype(
    [
        ("value", np.float32),  # the network's, or where it is known what the position is worth
        ("parent", np.int32),
        ("parent_edge", np.int32),
        ("count", np.int32),  # of its edges
        ("known", np.bool_),  # whether it is known what it is worth: there the search goes no further
    ],
    align=True,
)


class Tree(NamedTuple):
    """B trees of at most N nodes with at most L edges each. Node 0 is the root.

    What a step asks of a node, or of an edge, lies side by side: reading it from memory takes longer than reckoning.
    """

    size: Array  # [B] int32, how many nodes there are
    state: Array  # [B N S] int8
    nodes: Array  # [B N] NODE
    edges: Array  # [B N L] tree_rules.EDGE, of which a node's first ones are there


def make_tree(batch: int, nodes: int, edges: int, state_size: int) -> Tree:
    """Room for so many; nothing in it counts before `plant`."""
    return Tree(
        np.zeros(batch, np.int32),
        np.zeros((batch, nodes, state_size), np.int8),
        np.zeros((batch, nodes), NODE),
        np.zeros((batch, nodes, edges), EDGE),
    )


@kernel
def expand(tree: Tree, row: int, node: int, logits: Array, judged: int, legal: Array, index: int) -> None:
    """Give a node its edges: the actions in `legal[index]`, with the softmax of their `logits[judged]` as prior."""
    edges = tree.edges[row, node]
    count, highest = 0, np.float32(-np.inf)
    for action in range(legal.shape[1]):
        if legal[index, action]:
            edge = edges[count]
            edge.action = action
            edge.logit = logits[judged, action]
            edge.visits = 0
            edge.total = 0.0
            edge.child = NOTHING
            highest = max(highest, edge.logit)
            count += 1
    mass = 0.0
    for edge_number in range(count):
        weight = np.exp(edges[edge_number].logit - highest)
        edges[edge_number].prior = weight
        mass += weight
    for edge_number in range(count):
        edges[edge_number].prior /= mass
    tree.nodes[row, node].count = count


@kernel
def plant(tree: Tree, states: Array, legal: Array, logits: Array, value: Array) -> None:
    """Start tree b with the state b, and with nothing below it."""
    for row in range(states.shape[0]):
        tree.size[row] = 1
        tree.state[row, ROOT] = states[row]
        root = tree.nodes[row, ROOT]
        root.value, root.known, root.parent = value[row], False, NOTHING
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
        while not tree.nodes[row, node].known:
            edges, value = tree.edges[row, node, : tree.nodes[row, node].count], tree.nodes[row, node].value
            if node == ROOT and rule == GUMBEL:
                edge = halving_edge(edges, constants, considered[row], noise[row])
                # Of what is known to lose `carry_up` has taken the prior away.
                if edge != NOTHING and edges[edge].prior == 0.0:
                    child = edges[edge].child
                    if child != NOTHING and tree.nodes[row, child].known and tree.nodes[row, child].value == WON:
                        edge = NOTHING
            elif node != ROOT and inside == GUMBEL:
                edge = gumbel_edge(edges, value, constants)
            if edge == NOTHING:  # also where a root has visits to spare, as its candidates are known to be lost
                edge = puct_edge(edges, value, constants)
            if edges[edge].child == NOTHING:
                break
            node, edge = edges[edge].child, NOTHING
        leaf[row, 0], leaf[row, 1] = node, edge
        if edge != NOTHING:
            rows[growing] = row
            for byte in range(before.shape[1]):
                before[growing, byte] = tree.state[row, node, byte]
            moves[growing] = tree.edges[row, node, edge].action
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
        row = int(rows[index])
        parent, edge, new = int(leaf[row, 0]), int(leaf[row, 1]), int(tree.size[row])
        tree.size[row] += 1
        for byte in range(after.shape[1]):
            tree.state[row, new, byte] = after[index, byte]
        node = tree.nodes[row, new]
        node.value, node.known, node.count = value[index], ended[index], 0
        node.parent, node.parent_edge = parent, edge
        tree.edges[row, parent, edge].child = new
        leaf[row, 0], leaf[row, 1] = new, NOTHING
        if not ended[index]:
            expand(tree, row, new, logits, logits_row[index], legal, index)


@kernel
def carry_up(tree: Tree, leaf: Array, prove: bool) -> None:
    """Add the value of every tree's leaf to the edges on the way to it.

    Args: prove: find out which positions are known by that, and keep from what is known to be lost.
    """
    for row in range(leaf.shape[0]):
        node = tree.nodes[row, leaf[row, 0]]
        value = node.value
        while node.parent != NOTHING:
            parent = node.parent
            edge = tree.edges[row, parent, node.parent_edge]
            value = -value
            edge.visits += 1
            edge.total += value
            if prove and node.known:
                edge.total = edge.visits * value  # nothing else counts any more
                if value == LOST:
                    edge.prior = 0.0
                if follows(tree, row, parent):
                    value = tree.nodes[row, parent].value
            node = tree.nodes[row, parent]


@kernel
def follows(tree: Tree, row: int, node_number: int) -> bool:
    """Whether it is known what a node is worth: one of its moves wins, or all of them are known. Notes it there."""
    node, best, all_known = tree.nodes[row, node_number], LOST, True
    for edge in range(node.count):
        child = tree.edges[row, node_number, edge].child
        if child != NOTHING and tree.nodes[row, child].known:
            best = max(best, -tree.nodes[row, child].value)
        else:
            all_known = False
    if best == WON or all_known:
        node.known, node.value = True, best
    return node.known


@kernel
def worth_playing(tree: Tree, row: int, node_number: int, prove: bool, out: Array) -> None:
    """Fill `out` [L] with which edges can be the best: where the node is known those that are worth as much, elsewhere
    those that are not known to be lost."""
    node = tree.nodes[row, node_number]
    for edge in range(node.count):
        child = tree.edges[row, node_number, edge].child
        known = prove and child != NOTHING and tree.nodes[row, child].known
        if node.known:
            out[edge] = known and -tree.nodes[row, child].value == node.value
        else:
            out[edge] = not (known and -tree.nodes[row, child].value == LOST)


@kernel
def scatter_noise(tree: Tree, rule: int, noise: Array, share: float, edge_noise: Array) -> None:
    """Bring noise [B A] to the edges of the roots: into their priors (PUCT), or to `edge_noise` [B L] (GUMBEL)."""
    for row in range(noise.shape[0]):
        for edge_number in range(tree.nodes[row, ROOT].count):
            edge = tree.edges[row, ROOT, edge_number]
            drawn = noise[row, edge.action]
            if rule == PUCT:
                edge.prior += share * (drawn - edge.prior)
            else:
                edge_noise[row, edge_number] = drawn


@kernel
def best_edge(tree: Tree, row: int, node_number: int, good: Array) -> int:
    """The edge of the most visits, and of those the likeliest one, among the `good` [L]."""
    best, edges = NOTHING, tree.edges[row, node_number]
    for edge in range(tree.nodes[row, node_number].count):
        if not good[edge]:
            continue
        more = 1 if best == NOTHING else edges[edge].visits - edges[best].visits
        if more > 0 or (more == 0 and edges[edge].prior > edges[best].prior):
            best = edge
    return best


@kernel
def conclude(
    tree: Tree, rule: int, constants: Array, noise: Array, prove: bool, action: Array, visits: Array, policy: Array,
    value: Array, action_value: Array, known: Array,
) -> None:  # fmt: skip
    """Fill in what is known of every root: see `search.Found`."""
    improved, good = np.zeros(tree.edges.shape[2]), np.zeros(tree.edges.shape[2], np.bool_)
    for row in range(action.shape[0]):
        root = tree.nodes[row, ROOT]
        count, own = root.count, root.value
        edges = tree.edges[row, ROOT, :count]
        tried, total, logit = edges["visits"], edges["total"], edges["logit"]
        known[row] = root.known
        worth_playing(tree, row, ROOT, prove, good)
        kept = good[:count]
        value[row] = own if known[row] else (own + (total * kept).sum()) / (1 + (tried * kept).sum())
        if rule == PUCT:
            best = best_edge(tree, row, ROOT, good)
            improved[:count] = tried * kept
            if not improved[:count].any():  # whatever was tried is lost
                improved[:count] = np.exp(np.where(kept, logit - logit[kept].max(), -np.inf))
        else:
            improved_logits(edges, own, constants, improved[:count])
            improved[:count] = np.where(kept, improved[:count], -np.inf)
            best = halving_edge(edges, constants, tried.max(), noise[row])
            if known[row] or not kept[best]:
                best = np.argmax(noise[row, :count] + improved[:count])
            improved[:count] = np.exp(improved[:count] - improved[:count].max())
        improved[:count] /= improved[:count].sum()
        action[row] = edges[best].action
        for edge in range(count):
            at = edges[edge].action
            visits[row, at], policy[row, at] = tried[edge], improved[edge]
            if tried[edge]:
                action_value[row, at] = total[edge] / tried[edge]
