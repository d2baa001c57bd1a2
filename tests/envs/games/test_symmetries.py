"""Every way to turn or mirror a board: the mirrored move on the mirrored board gives the mirrored game."""

from __future__ import annotations

import numpy as np
import pytest

from keel.envs.games.games import GAMES, make_game

from .played import random_plies, step

COUNTS = {"tic_tac_toe": 8, "connect_four": 2, "gomoku": 8, "othello": 8, "hex": 2, "breakthrough": 2}


@pytest.mark.parametrize("name", GAMES)
def test_symmetries_are_permutations_that_begin_with_none(name: str) -> None:
    game = make_game(name)
    cells, actions = game.cell_symmetries, game.action_symmetries
    assert len(cells) == len(actions) == next(count for known, count in COUNTS.items() if name.startswith(known))
    assert cells.dtype == actions.dtype == np.int64
    np.testing.assert_array_equal(cells[0], np.arange(game.height * game.width))
    np.testing.assert_array_equal(actions[0], np.arange(game.actions))
    np.testing.assert_array_equal(np.sort(cells, axis=1), np.tile(cells[0], (len(cells), 1)))
    np.testing.assert_array_equal(np.sort(actions, axis=1), np.tile(actions[0], (len(actions), 1)))
    assert len({row.tobytes() for row in cells}) == len(cells)


@pytest.mark.parametrize("name", GAMES)
def test_the_mirrored_move_leads_to_the_mirrored_state(name: str) -> None:
    game = make_game(name)
    for played in list(random_plies(game, 20, seed=2))[::2]:
        for cells, actions in zip(game.cell_symmetries, game.action_symmetries, strict=True):
            moves = np.argsort(actions)[played.actions]  # the one on which the played one comes to lie
            states = np.ascontiguousarray(played.states[:, cells])
            np.testing.assert_array_equal(game.legal(states), played.legal[:, actions])
            after, legal, ended, value = step(game, states, moves)
            np.testing.assert_array_equal(after, played.after[:, cells])
            np.testing.assert_array_equal(legal, played.after_legal[:, actions])
            np.testing.assert_array_equal(ended, played.ended)
            np.testing.assert_array_equal(value, played.value)


def test_mirroring_by_hand() -> None:
    connect_four, breakthrough = make_game("connect_four"), make_game("breakthrough")
    np.testing.assert_array_equal(connect_four.action_symmetries[1], [6, 5, 4, 3, 2, 1, 0])
    # b2a3, from cell 49 to the left, comes from g2h3, from cell 54 to the right.
    assert breakthrough.action_name(49 * 3, 0) == "b2a3"
    assert breakthrough.action_name(int(breakthrough.action_symmetries[1, 49 * 3]), 0) == "g2h3"
