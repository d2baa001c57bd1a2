"""The search: it finds what brute force finds, its numbers add up, and no game of a batch looks at another."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keel.agents.search import Search, SearchConfig
from keel.agents.tree_rules import EDGE, halving_visits, puct_edge
from keel.envs.games.games import make_game
from keel.envs.games.opponents import play

from .random_tree import RandomTree

GOLDEN = json.loads(Path(__file__).with_name("golden").joinpath("mctx.json").read_text())
RULES = ("gumbel", "puct")


def search(game, simulations, rule, states=None, noise=None, batch=8, **settings):
    config = SearchConfig(simulations=simulations, rule=rule, **settings)
    states = game.start()[None] if states is None else states
    return Search(game, config, batch).run(states, game.evaluate, noise)


@pytest.mark.parametrize("rule", RULES)
def test_with_many_simulations_it_plays_as_brute_force_does(rule: str) -> None:
    for seed in range(30):
        game = RandomTree(seed)
        found = search(game, 2_000, rule)
        values = [-game.minimax(child) if child >= 0 else -2.0 for child in game.children[0]]
        assert values[found.action[0]] == max(values), f"tree {seed}"


@pytest.mark.parametrize("rule", RULES)
def test_the_numbers_add_up(rule: str) -> None:
    for seed in range(20):
        game = RandomTree(seed, actions=5)
        found = search(game, 50, rule, prove=False)
        legal = game.children[0] >= 0
        assert found.visits.sum() == 50
        assert not found.visits[0, ~legal].any()
        assert not found.policy[0, ~legal].any()
        assert found.policy[0].sum() == pytest.approx(1.0, abs=1e-6)
        seen = found.visits[0] > 0
        assert (np.isnan(found.action_value[0]) == ~seen).all()
        assert (np.abs(found.action_value[0, seen]) <= 1.0).all()
        total = (found.visits[0, seen] * found.action_value[0, seen]).sum()
        assert found.value[0] == pytest.approx((game.guess[0] + total) / 51, abs=1e-6)
        assert found.network_value[0] == game.guess[0]
        assert legal[found.action[0]]


@pytest.mark.parametrize("rule", RULES)
def test_one_simulation_is_what_can_be_worked_out_by_hand(rule: str) -> None:
    """The first action tried is the likeliest one, and its value is the child's with the sign changed."""
    game = RandomTree(3, actions=4)
    legal = game.children[0] >= 0
    likeliest = int(np.argmax(np.where(legal, game.logits[0], -np.inf)))
    child = game.children[0][likeliest]
    below = game.outcome[child] if not np.isnan(game.outcome[child]) else game.guess[child]
    found = search(game, 1, rule)
    assert found.action[0] == likeliest
    assert found.visits[0].tolist() == [int(action == likeliest) for action in range(4)]
    assert found.action_value[0, likeliest] == pytest.approx(-below)
    assert found.value[0] == pytest.approx((game.guess[0] - below) / 2)


@pytest.mark.parametrize("rule", RULES)
def test_rows_never_look_at_one_another(rule: str) -> None:
    game = RandomTree(5, actions=4, depth=6)
    inner = [number for number in range(len(game.outcome)) if np.isnan(game.outcome[number])][:8]
    states, noise = game.states(inner), np.random.default_rng(0).dirichlet(np.ones(4), 8)
    together = search(game, 40, rule, states, noise)
    for row in range(8):
        alone = search(game, 40, rule, states[row : row + 1], noise[row : row + 1], batch=1)
        for ours, theirs in zip(together, alone, strict=True):
            np.testing.assert_array_equal(ours[row], theirs[0])


@pytest.mark.parametrize("rule", RULES)
def test_a_search_leaves_nothing_behind(rule: str) -> None:
    game = RandomTree(6, actions=4, depth=6)
    config = SearchConfig(simulations=30, rule=rule)
    used, noise = Search(game, config, 4), np.random.default_rng(0).gumbel(size=(4, 4))
    used.run(game.states([0] * 4), game.evaluate, noise)
    first = used.run(game.states([0] * 2), game.evaluate)
    fresh = Search(game, config, 2).run(game.states([0] * 2), game.evaluate)
    for ours, theirs in zip(first, fresh, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_noise_chooses_what_gumbel_tries() -> None:
    """With noise that outweighs everything, the two actions that are considered are those with the most."""
    game = RandomTree(7, actions=6, all_legal=True)
    noise = np.array([[0.0, 1e6, 0.0, 1e6, 0.0, 0.0]])
    found = search(game, 20, "gumbel", noise=noise, considered=2, prove=False)
    assert found.visits[0].tolist() == [0, 10, 0, 10, 0, 0]
    assert found.action[0] in (1, 3)


def test_noise_is_mixed_into_the_priors_of_puct() -> None:
    game = RandomTree(7, actions=6, all_legal=True)
    noise = np.eye(6)[[2]]
    assert search(game, 1, "puct", noise=noise, noise_share=1.0).visits[0, 2] == 1
    assert search(game, 1, "puct", noise=noise, noise_share=0.0).visits[0].argmax() == game.logits[0].argmax()


def test_puct_by_hand() -> None:
    """16 visits, c 1: 0.5 + 4 x 0.5 / 11 = 0.68, -0.2 + 4 x 0.3 / 6 = 0, and untried its node's value + 4 x 0.2."""
    edges, constants = np.zeros(3, EDGE), np.array([1.0, 1e9, 0.0, 0.0])
    edges["prior"], edges["visits"], edges["total"] = [0.5, 0.3, 0.2], [10, 5, 0], [5.0, -1.0, 0.0]
    assert puct_edge(edges, 0.1, constants) == 2  # 0.90
    assert puct_edge(edges, -0.2, constants) == 0  # 0.60


def test_sequential_halving_shares_the_simulations() -> None:
    """16 simulations of 4: two rounds of 8, so twice for each of four, then four times for each of two."""
    assert halving_visits(4, 16).tolist() == [0] * 4 + [1] * 4 + [2, 2, 3, 3, 4, 4, 5, 5]
    assert halving_visits(1, 3).tolist() == [0, 1, 2]
    for considered in range(2, 20):
        for simulations in (5, 16, 50):
            table = halving_visits(considered, simulations)
            assert len(table) == simulations
            assert (np.diff(table) >= 0).all()
            left = np.bincount(table)
            assert (np.diff(left[:-1]) <= 0).all(), "no more candidates later"


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("simulations", [3, 10, 40, 2_000])
def test_what_is_proven_is_what_brute_force_finds(rule: str, simulations: int) -> None:
    proven = 0
    for seed in range(40):
        game = RandomTree(seed)
        inner = [number for number in range(len(game.outcome)) if np.isnan(game.outcome[number])]
        found = search(game, simulations, rule, game.states(inner), batch=len(inner), inside="puct")
        for row, number in enumerate(inner):
            worth = [-game.minimax(child) if child >= 0 else -np.inf for child in game.children[number]]
            if found.known[row]:
                proven += 1
                assert found.value[row] == max(worth)
                assert worth[found.action[row]] == max(worth)
                assert {worth[action] for action in np.flatnonzero(found.policy[row])} == {max(worth)}
            assert found.policy[row].sum() == pytest.approx(1.0, abs=1e-6)
            assert found.policy[row, found.action[row]] > 0.0
    assert proven > {3: 50, 10: 150, 40: 300, 2_000: 400}[simulations]


@pytest.mark.parametrize("rule", RULES)
def test_a_move_that_is_known_to_lose_is_not_played(rule: str) -> None:
    """However often it was looked at before that was known, and although the network thinks that nothing else is good."""
    checked = 0
    for seed in range(60):
        game = RandomTree(seed, actions=4, depth=3)
        worth = np.array([-game.minimax(child) if child >= 0 else np.nan for child in game.children[0]])
        for losing in np.flatnonzero(worth == -1.0) if np.nanmax(worth) > -1.0 else ():
            game.logits[0, losing] = 8.0
            for simulations in (6, 12, 25):
                config = {"simulations": simulations, "rule": rule, "c_scale": 0.01}
                tree = Search(game, SearchConfig(**config), 1)
                found = tree.run(game.start()[None], game.evaluate)
                if found.action_value[0, losing] == -1.0 and found.visits[0, losing] > 1:
                    assert found.policy[0, losing] == 0.0
                    assert found.action[0] != losing
                    checked += 1
    assert checked > 20


def test_moves_that_are_known_to_lose_take_no_more_visits() -> None:
    """Three moves of like probability, of which the first ends the game with a loss: it is tried once."""
    game = RandomTree(0, actions=3, depth=5, all_legal=True)
    first = game.children[0][0]
    game.outcome[first], game.children[first], game.logits[0] = 1.0, -1, 0.0
    assert search(game, 60, "puct").visits[0, 0] == 1
    assert search(game, 60, "puct", prove=False, c_init=5.0).visits[0, 0] > 1


@pytest.mark.parametrize("rule", RULES)
def test_lost_moves_do_not_drag_the_value_down(rule: str) -> None:
    """Connect Four, the second player must block at once: every other move loses, and is found out to. What is left is
    worth what the judge says of it, a draw; simulations go where they can still find something."""
    game = make_game("connect_four")
    state = game.start()[None]
    for column in (0, 0, 1, 1, 2):
        state = play(game, state, np.array([column])).after
    flat = lambda states: (np.zeros((len(states), 7), np.float32), np.zeros(len(states), np.float32))
    for considered in (2, 16):
        found = Search(game, SearchConfig(simulations=300, rule=rule, c_scale=0.4, considered=considered), 1).run(
            state, flat
        )
        assert found.action[0] == 3
        assert found.visits[0, 3] > 150
        assert found.value[0] > -0.4


def test_a_move_without_any_chance_is_tried_where_all_others_lose() -> None:
    """The network gives the others e^-150, which is 0 beside 1 in float32."""
    game = RandomTree(0, actions=3, depth=3, all_legal=True)
    first = game.children[0][0]
    game.outcome[first], game.children[first], game.logits[0] = 1.0, -1, [150.0, 0.0, 0.0]
    found = search(game, 1, "puct")
    assert found.policy[0].tolist() == [0.0, 0.5, 0.5]
    assert found.action[0] in (1, 2)


def test_the_best_line_is_one_that_was_proven() -> None:
    """Both sides play what is known to be best for them, to an end that is worth what the root is."""
    proven = 0
    for seed in range(20):
        game = RandomTree(seed)
        tree = Search(game, SearchConfig(simulations=2_000, rule="puct"), 1)
        found = tree.run(game.start()[None], game.evaluate)
        if not found.known[0]:
            continue  # a draw that is certain can keep the search from all else
        number, line = 0, tree.variation(0, int(found.action[0]))
        for action in line:
            worth = [-game.minimax(child) if child >= 0 else -np.inf for child in game.children[number]]
            assert worth[action] == max(worth)
            number = game.children[number][action]
        assert game.minimax(number) == found.value[0] * (-1) ** len(line)
        proven += 1
    assert proven > 10


def test_what_cannot_be_searched_is_refused() -> None:
    game = RandomTree(1)
    ended = int(np.flatnonzero(~np.isnan(game.outcome))[0])
    with pytest.raises(ValueError, match="state 1 has no legal action: the game has ended there"):
        search(game, 4, "puct", game.states([0, ended]))
    with pytest.raises(ValueError, match="2 states are to be searched, and there is room for 1"):
        search(game, 4, "puct", game.states([0, 0]), batch=1)
    with pytest.raises(ValueError, match=r"noise is \(2, 3\): it must be \(1, 3\), a number an action"):
        search(game, 4, "puct", noise=np.zeros((2, 3)))
    for wrong in (
        {"simulations": 0},
        {"considered": 0},
        {"noise_share": 1.5},
        {"c_scale": 0.0},
        {"rule": "uct"},
        {"inside": "uct"},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            dataclasses.replace(SearchConfig(), **wrong)


@pytest.mark.parametrize("row", GOLDEN["rows"], ids=lambda row: str(row["tree"]))
def test_gumbel_search_does_what_mctx_does(row: dict[str, Any]) -> None:
    """Root action, visits, improved policy and value on the same tree with the same noise: golden/make_mctx.py."""
    game = RandomTree(*row["tree"], all_legal=True)
    settings = {"inside": "gumbel", "considered": row["considered"], "prove": False}
    found = search(game, row["simulations"], "gumbel", noise=np.array([row["noise"]]), **settings)
    assert found.action[0] == row["action"]
    assert found.visits[0].tolist() == row["visits"]
    np.testing.assert_allclose(found.policy[0], row["policy"], atol=1e-4)
    assert found.value[0] == pytest.approx(row["value"], abs=1e-5)
