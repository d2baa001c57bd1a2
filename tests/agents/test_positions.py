"""The window of positions: what it keeps, and that turning a board turns everything that belongs to it."""

from __future__ import annotations

import numpy as np

from keel.agents.positions import Positions, Window, pack, room, unpack
from keel.envs.games.games import make_game


def test_the_window_keeps_the_latest() -> None:
    game = make_game("tic_tac_toe")
    window = Window(game, 5)
    for first in (0, 3, 6):
        numbers = np.arange(first, first + 3, dtype=np.float32)
        window.add(room(game, 3)._replace(value=numbers))
    assert len(window) == 5
    assert set(window.draw(np.random.default_rng(0), 200).value.tolist()) == {4.0, 5.0, 6.0, 7.0, 8.0}
    window.add(room(game, 7))
    assert set(window.draw(np.random.default_rng(0), 50).value.tolist()) == {0.0}


def test_policies_are_turned_with_the_board() -> None:
    """Whatever the turn, the policy's mass lies on the cell that its position marks."""
    game = make_game("tic_tac_toe")
    window = Window(game, 10)
    state = np.zeros((1, 9), np.int8)
    state[0, 1] = 1
    # The cell below the stone has all the mass; of the eight free cells, in order, it is the fourth.
    policy = np.zeros((1, 9), np.float32)
    policy[0, 3] = 1.0
    window.add(room(game, 1)._replace(states=state, policy=policy))
    drawn = window.draw(np.random.default_rng(0), 100)
    cells = drawn.planes[:, 0].reshape(100, 9)
    assert (drawn.policy[:, 4] == 1.0).all(), "the middle stays the middle"
    np.testing.assert_array_equal(cells == 0, drawn.legal)
    assert set(cells.argmax(axis=1).tolist()) == {1, 3, 5, 7}, "every edge, and nothing but edges"


def test_packed_policies_are_the_legal_actions_in_order() -> None:
    legal = np.array([[True, False, True], [False, True, False]])
    policy = np.array([[0.25, 0.0, 0.75], [0.0, 1.0, 0.0]], np.float32)
    packed = pack(policy, legal, 2)
    assert packed.tolist() == [[0.25, 0.75], [1.0, 0.0]]
    np.testing.assert_array_equal(unpack(packed, legal), policy)


def test_a_window_restored_draws_the_same() -> None:
    game = make_game("connect_four")
    window, other = Window(game, 50), Window(game, 50)
    random = np.random.default_rng(3)
    window.add(
        Positions(
            random.integers(-1, 2, (80, 42)).astype(np.int8),
            random.random((80, 7), np.float32),
            random.random(80, np.float32),
            random.random(80) < 0.5,
            random.random(80, np.float32),
        )
    )
    other.load_state_dict(window.state_dict())
    for ours, theirs in zip(
        window.draw(np.random.default_rng(1), 30), other.draw(np.random.default_rng(1), 30), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
