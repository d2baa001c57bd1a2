"""Tree search for board games, many games at a time: what a network thinks of a position, made better by looking ahead.

The search knows neither game nor network: it is given the rules (`Game`) and a function that judges positions
(`evaluators.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from keel.agents.checks import at_least, between, positive
from keel.agents.tree import (
    GUMBEL,
    PUCT,
    ROOT,
    Tree,
    best_edge,
    carry_up,
    conclude,
    descend,
    grow,
    make_tree,
    plant,
    scatter_noise,
    worth_playing,
)
from keel.agents.tree_rules import C_BASE, C_INIT, C_SCALE, C_VISIT, CONSTANTS, halving_visits
from keel.envs.games.game import Game
from keel.envs.protocol import Array

RULES = {"puct": PUCT, "gumbel": GUMBEL}

# States [n S] that have not ended to logits [n A] and the values [n], -1 to 1, of the player who is to move.
Evaluate: TypeAlias = Callable[[Array], tuple[Array, Array]]


@dataclass(frozen=True)
class SearchConfig:
    """Settings of a search."""

    simulations: int = 32
    """Positions that are looked at before a move."""
    rule: Literal["gumbel", "puct"] = "gumbel"
    """At the root. `gumbel`: sequential halving, which improves the policy with few simulations already (Danihelka et
    al. 2022). `puct`: that of AlphaZero (Silver et al. 2018)."""
    inside: Literal["puct", "gumbel"] = "puct"
    """Below the root. `gumbel` follows its improved policy, as in the paper. The more visits, the more that trusts what
    it has seen: it can drop the best move after one bad look for ever, whereas `puct` tries everything again."""
    considered: int = 16
    """gumbel: actions that are tried at the root."""
    c_visit: float = 50.0
    """gumbel: values weigh (c_visit + most visits) x c_scale beside the network's logits."""
    c_scale: float = 1.0
    """gumbel: see c_visit; a value runs from 0 (lost) to 1 (won)."""
    c_init: float = 1.25
    """puct: exploration."""
    c_base: float = 19_652.0
    """puct: visits over which exploration slowly grows."""
    noise_share: float = 0.25
    """puct: share of the noise in the priors at the root, where noise is given."""
    prove: bool = True
    """Carry up what is certain: a position is won where a move wins, and known where all its moves are known (Winands
    et al. 2008). Moves that are known to lose are not looked at again (but where `inside` is gumbel), nor played where
    there is another."""

    def __post_init__(self) -> None:
        at_least(1, simulations=self.simulations, considered=self.considered)
        at_least(0.0, c_visit=self.c_visit, c_init=self.c_init)
        positive(c_scale=self.c_scale, c_base=self.c_base)
        for name, rule in (("rule", self.rule), ("inside", self.inside)):
            if rule not in RULES:
                raise ValueError(f"{name} is {rule!r}; 'gumbel' or 'puct' would be right")
        between(0.0, 1.0, noise_share=self.noise_share)


class Found(NamedTuple):
    """What B searches found, of all A actions."""

    action: Array  # [B] int32, the best by the rule
    visits: Array  # [B A] int32
    # What the network shall learn: the improved policy (gumbel), shares of visits (puct); 0 for what is surely worse.
    policy: Array  # [B A] float32
    # Of the root, for the player who is to move: what is known, else the mean of what was seen, without what is lost.
    value: Array  # [B] float32
    action_value: Array  # [B A] float32, the mean below each action, nan where nothing was visited
    known: Array  # [B] bool, whether the root's value was proven; then the action is one that reaches it
    network_value: Array  # [B] float32, what the evaluator thought without looking ahead


class Search:
    """Searches in up to `batch` games at once; its arrays are made once.

    They take batch x (simulations + 1) x (32 L + S + 20) bytes, with the L and S of the game.

    Raises:
        ValueError: `batch` below 1.
    """

    def __init__(self, game: Game, config: SearchConfig, batch: int) -> None:
        at_least(1, batch=batch)
        self.game, self.config, self.batch = game, config, batch
        self._tree = make_tree(batch, config.simulations + 1, game.most_legal, game.state_size)
        self._constants = np.zeros(CONSTANTS)
        self._constants[[C_INIT, C_BASE, C_VISIT, C_SCALE]] = (
            config.c_init,
            config.c_base,
            config.c_visit,
            config.c_scale,
        )
        most = min(config.considered, game.most_legal)
        tables = [halving_visits(count, config.simulations) for count in range(most + 1)]
        self._halving = np.stack(tables)  # [considered + 1, simulations]
        self._rows, self._moves = np.zeros((2, batch), np.int32)
        self._leaf = np.zeros((batch, 2), np.int32)
        self._before, self._after = np.zeros((2, batch, game.state_size), np.int8)
        self._legal = np.zeros((batch, game.actions), bool)
        self._ended, self._value = np.zeros(batch, bool), np.zeros(batch, np.float32)
        self._noise, self._indices = np.zeros((batch, game.most_legal)), np.arange(batch)

    def run(self, states: Array, evaluate: Evaluate, noise: Array | None = None) -> Found:
        """Search from states [B S], none of them ended, B at most `batch`.

        Args: noise: [B A] for every root, Gumbel noise (gumbel) or a distribution over the actions (puct: Dirichlet);
            without it nothing is left to chance.
        Raises: ValueError: too many states, noise of another shape, or a state in which nothing is legal (of many games
            a state alone does not say that it has ended: that is the caller's to know).
        """
        batch = len(states)
        if batch > self.batch:
            raise ValueError(f"{batch} states are to be searched, and there is room for {self.batch}")
        tree = Tree(*(part[:batch] for part in self._tree))
        legal = self.game.legal(states)
        if not legal.any(axis=1).all():
            raise ValueError(f"state {int(np.argmin(legal.any(axis=1)))} has no legal action: the game has ended there")
        logits, value = evaluate(states)
        plant(tree, states, legal, logits, value)
        rule, inside = RULES[self.config.rule], RULES[self.config.inside]
        if noise is None:
            self._noise[:batch] = 0.0
        else:
            if noise.shape != legal.shape:
                raise ValueError(f"noise is {noise.shape}: it must be {legal.shape}, a number an action")
            scatter_noise(tree, rule, noise, self.config.noise_share, self._noise)
        halving = self._halving[np.minimum(tree.nodes["count"][:, ROOT], len(self._halving) - 1)]
        leaf = self._leaf[:batch]
        for simulation in range(self.config.simulations):
            considered = halving[:, simulation]  # visits of those that are tried now
            growing = descend(
                tree,
                rule,
                inside,
                self._constants,
                considered,
                self._noise,
                self._rows,
                leaf,
                self._before,
                self._moves,
            )
            if growing:
                self._grow(tree, growing, leaf, evaluate)
            elif tree.nodes["known"][:, ROOT].all():
                break
            carry_up(tree, leaf, self.config.prove)
        return self._found(tree, rule, value)

    def variation(self, row: int, action: int) -> list[int]:
        """Of the last run's tree `row`: `action` at its root, and on from there the best moves."""
        tree, node, moves = self._tree, ROOT, []
        good = np.zeros(self.game.most_legal, bool)
        edges = tree.edges[row, ROOT, : tree.nodes[row, ROOT]["count"]]
        edge = int(np.flatnonzero(edges["action"] == action)[0])
        while (taken := tree.edges[row, node, edge])["visits"] > 0:
            moves.append(int(taken["action"]))
            node = int(taken["child"])
            if tree.nodes[row, node]["count"] == 0:
                break
            worth_playing(tree, row, node, self.config.prove, good)
            edge = best_edge(tree, row, node, good)
        return moves

    def _grow(self, tree: Tree, growing: int, leaf: Array, evaluate: Evaluate) -> None:
        """Play the chosen moves, judge the positions in which the game goes on, and hang them into the trees."""
        before, moves, after = self._before[:growing], self._moves[:growing], self._after[:growing]
        legal, ended, value = self._legal[:growing], self._ended[:growing], self._value[:growing]
        self.game.play(before, moves, after, legal, ended, value)
        logits = np.zeros((0, self.game.actions), np.float32)
        if ended.any():
            going = np.flatnonzero(~ended)
            at = np.cumsum(~ended) - 1
            if len(going):
                logits, value[going] = evaluate(after[going])
        else:
            at = self._indices[:growing]
            logits, value[:] = evaluate(after)
        grow(tree, self._rows[:growing], leaf, after, legal, ended, value, logits, at)

    def _found(self, tree: Tree, rule: int, network_value: Array) -> Found:
        shape = (len(network_value), self.game.actions)
        found = Found(
            np.zeros(shape[0], np.int32),
            np.zeros(shape, np.int32),
            np.zeros(shape, np.float32),
            np.zeros(shape[0], np.float32),
            np.full(shape, np.nan, np.float32),
            np.zeros(shape[0], bool),
            np.asarray(network_value, np.float32),
        )
        conclude(tree, rule, self._constants, self._noise, self.config.prove, *found[:-1])
        return found
