"""The rules of the board games against published counts, and against the rules written once more."""

from __future__ import annotations

import numpy as np
import pytest

from keel.envs.games.game import Game
from keel.envs.games.games import GAMES, make_game
from keel.envs.protocol import Array

from .played import leaves, random_plies, step
from .reference import FROM_TOP, REFERENCES, Board

# Random games that the slow rules follow: long games on large boards are few.
COUNTS = {"tic_tac_toe": 200, "connect_four": 60, "othello": 4, "othello_6x6": 8, "gomoku": 4, "hex": 4, "hex_7x7": 15}


def as_dict(board: Array, name: str) -> Board:
    height = len(board)
    return {
        f"{chr(ord('a') + column)}{row + 1 if name in FROM_TOP else height - row}": int(board[row, column])
        for row, column in np.argwhere(board).tolist()
    }


def by_name(game: Game, legal: Array, player: int) -> dict[str, int]:
    names = {game.action_name(action, player): action for action in np.flatnonzero(legal).tolist()}
    assert len(names) == legal.sum()
    return names


@pytest.mark.parametrize("name", GAMES)
def test_random_games_follow_the_rules(name: str) -> None:
    """Boards, legal moves, ends and winners are those of the slow rules, to the end of every game."""
    game, rules, generator = make_game(name), REFERENCES[name], np.random.default_rng(1)
    outcomes = set()
    for _ in range(COUNTS.get(name, 10)):
        board, player, state = rules.start(), 0, game.start()
        legal = game.legal(state[None])[0]
        while True:
            assert as_dict(game.board(state, player), name) == board
            names = by_name(game, legal, player)
            assert names.keys() == rules.moves(board, player)
            move = str(generator.choice(sorted(names)))
            board = rules.play(board, player, move)
            (state,), (legal,), (ended,), (value,) = step(game, state[None], np.array([names[move]]))
            player = 1 - player
            winner = rules.winner(board)
            assert ended == (winner is not None)
            assert value == (0 if winner is None else winner * (1 - 2 * player))
            if ended:
                assert as_dict(game.board(state, player), name) == board
                outcomes.add(winner)
                break
    assert outcomes >= {1, -1}


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        # 7**n, less the seven games that would set seven stones into one column; the eighth as published.
        ("connect_four", (7, 49, 343, 2401, 16807, 117649, 823536, 5673234)),
        # OEIS A124004.
        ("othello", (4, 12, 56, 244, 1396, 8200, 55092, 390216, 3005288)),
    ],
)
def test_counts_of_move_sequences_are_the_published_ones(name: str, counts: tuple[int, ...]) -> None:
    game = make_game(name)
    assert tuple(leaves(game, depth) for depth in range(1, len(counts) + 1)) == counts


def test_counts_of_breakthrough_are_those_of_the_slow_rules() -> None:
    rules = REFERENCES["breakthrough"]
    boards, counts = [rules.start()], []
    for ply in range(3):
        moves = [(board, move) for board in boards for move in rules.moves(board, ply % 2)]
        counts.append(len(moves))
        boards = [rules.play(board, ply % 2, move) for board, move in moves] if ply < 2 else []
    game = make_game("breakthrough")
    assert counts == [leaves(game, depth) for depth in (1, 2, 3)]


def test_all_of_tic_tac_toe() -> None:
    """255,168 games, of which the first player wins 131,184 and the second 77,904, over 5,478 boards."""
    game = make_game("tic_tac_toe")
    states, legal = game.start()[None], game.legal(game.start()[None])
    boards = {bytes(states[0])}
    results = {1: 0, -1: 0, 0: 0}
    for ply in range(9):
        rows, actions = np.nonzero(legal)
        states, legal, ended, value = step(game, states[rows], actions)
        boards |= {bytes(game.board(state, (ply + 1) % 2)) for state in np.unique(states, axis=0)}
        for worth in value[ended].astype(int).tolist():
            results[worth * (1 if ply % 2 else -1)] += 1  # of the next player, who is the second after an even ply
        states, legal = states[~ended], legal[~ended]
    assert results == {1: 131184, -1: 77904, 0: 46080}
    assert len(boards) == 5478


@pytest.mark.parametrize("name", GAMES)
def test_bounds_hold_and_nobody_is_without_a_move(name: str) -> None:
    game = make_game(name)
    for ply, played in enumerate(random_plies(game, 100), start=1):
        assert ply <= game.most_moves
        count = played.after_legal.sum(axis=1)
        assert count.max() <= game.most_legal
        np.testing.assert_array_equal(count == 0, played.ended)
        assert not played.value[~played.ended].any()
        assert set(np.unique(played.value)) <= {-1.0, 0.0, 1.0}
        going = ~played.ended
        if going.any():
            np.testing.assert_array_equal(game.legal(played.after[going]), played.after_legal[going])


@pytest.mark.parametrize("name", GAMES)
def test_a_batch_is_played_as_its_games_alone(name: str) -> None:
    game = make_game(name)
    for played in list(random_plies(game, 8))[::3]:
        before = played.states.copy()
        step(game, played.states, played.actions)
        np.testing.assert_array_equal(played.states, before)
        for n, action in enumerate(played.actions):
            alone = step(game, played.states[n : n + 1], np.array([action]))
            for one, many in zip(alone, (played.after, played.after_legal, played.ended, played.value), strict=True):
                np.testing.assert_array_equal(one[0], many[n])


@pytest.mark.parametrize("name", GAMES)
def test_what_is_seen_is_own_stones_and_the_opponents(name: str) -> None:
    game = make_game(name)
    for played in list(random_plies(game, 8))[::5]:
        seen = game.observe(played.states)
        assert seen.shape == (len(played.states), game.planes, game.height, game.width)
        assert seen.dtype == np.float32
        flat = seen.reshape(len(seen), 2, -1)
        np.testing.assert_array_equal(flat[:, 0] - flat[:, 1], played.states)
        assert not (flat[:, 0] * flat[:, 1]).any()


@pytest.mark.parametrize("name", GAMES)
def test_sizes_are_those_that_the_game_says(name: str) -> None:
    game = make_game(name)
    assert game.name == name
    assert game.start().shape == (game.state_size,)
    assert game.start().dtype == np.int8
    assert game.legal(game.start()[None]).shape == (1, game.actions)
    assert game.board(game.start(), 0).shape == (game.height, game.width)
    for player in (0, 1):
        assert game.board(game.start(), player).dtype == np.int8


def test_an_unknown_game_is_named_with_the_nearest_one() -> None:
    with pytest.raises(
        ValueError, match=r"game is 'conect_four'; did you mean 'connect_four'\?; it must be one of tic"
    ):
        make_game("conect_four")
