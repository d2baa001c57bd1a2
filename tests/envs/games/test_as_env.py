"""Board games as environments: seats, rewards, masks, opponents, and moves that are not legal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keel.envs.games.as_env import BoardGame
from keel.envs.games.game import Game
from keel.envs.games.games import GAMES, make_game
from keel.envs.games.opponents import OPPONENTS, Opponent, one_ply_move, random_move, register_opponents
from keel.envs.make import make_single
from keel.envs.masks import find_without_choice, parts_of_mask
from keel.envs.protocol import ACTION_MASK, Array
from keel.envs.vector import make_vec

from .played import random_plies, step

IDS = {
    "keel/TicTacToe-v0": (2, 3, 3, 9),
    "keel/ConnectFour-v0": (2, 6, 7, 7),
    "keel/Othello-v0": (2, 8, 8, 65),
    "keel/Othello6x6-v0": (2, 6, 6, 37),
    "keel/Gomoku9x9-v0": (2, 9, 9, 81),
    "keel/Hex7x7-v0": (2, 7, 7, 49),
    "keel/Breakthrough-v0": (2, 8, 8, 192),
}


def episode(env: BoardGame, seed: int, chooser: np.random.Generator) -> list[tuple[dict[str, Array], float, bool]]:
    """Random legal moves to the end: every observation, with the reward and the end that came with it."""
    observation, _ = env.reset(seed=seed)
    seen = [(observation, 0.0, False)]
    while not seen[-1][2]:
        action = chooser.choice(np.flatnonzero(seen[-1][0][ACTION_MASK]))
        observation, reward, ended, truncated, _ = env.step(action)
        assert not truncated
        seen.append((observation, reward, ended))
    return seen


@pytest.mark.parametrize("env_id", IDS)
def test_registered_worlds_have_planes_and_a_mask(env_id: str) -> None:
    *planes, actions = IDS[env_id]
    env = make_single(env_id)
    assert env.observation_space["observation"].shape == tuple(planes)
    assert env.observation_space["observation"].dtype == np.float32
    np.testing.assert_array_equal(parts_of_mask(env.observation_space, env.action_space), [0])
    assert env.action_space.n == actions
    assert env.observation_space.contains(env.reset(seed=0)[0])


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("opponent", OPPONENTS)
def test_episodes_end_with_their_reward_and_masks_are_the_games(name: str, opponent: str) -> None:
    env = BoardGame(name, opponent)
    chooser = np.random.default_rng(0)
    for seed in range(2):
        seen = episode(env, seed, chooser)
        assert len(seen) <= env.game.most_moves
        assert all(reward == 0.0 for _, reward, _ in seen[:-1])
        assert seen[-1][1] in (-1.0, 0.0, 1.0)
        for observation, _, ended in seen:
            assert env.observation_space.contains(observation)
            own, other = observation["observation"].reshape(2, -1)
            legal = env.game.legal((own - other)[None].astype(np.int8))[0]
            np.testing.assert_array_equal(observation[ACTION_MASK], np.ones_like(legal) if ended else legal)


def watch_opponent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Array, int]]:
    """Every state and move of the opponent "random" from here on."""
    moves: list[tuple[Array, int]] = []

    def watched(game: Game, state: Array, generator: np.random.Generator) -> int:
        moves.append((state, random_move(game, state, generator)))
        return moves[-1][1]

    monkeypatch.setitem(OPPONENTS, "random", watched)
    return moves


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("seat", ["first", "second"])
def test_the_reward_is_the_agents_whoever_ends_the_game(name: str, seat: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same moves once more, through the rules alone: they are legal, and the value is turned to the agent."""
    moves = watch_opponent(monkeypatch)
    env, chooser = BoardGame(name, seat=seat), np.random.default_rng(3)
    for seed in range(2):
        moves.clear()
        observation, _ = env.reset(seed=seed)
        game, state, mine = env.game, env.game.start(), seat == "first"
        ended, terminated, reward, value = False, False, 0.0, 0.0
        theirs = iter(moves)
        while not ended:
            legal = game.legal(state[None])[0]
            if mine:
                np.testing.assert_array_equal(observation[ACTION_MASK], legal)
                action = int(chooser.choice(np.flatnonzero(legal)))
                observation, reward, terminated, _, _ = env.step(action)
            else:
                before, action = next(theirs)
                np.testing.assert_array_equal(before, state)
            assert legal[action]
            (state,), _, (ended,), (value,) = step(game, state[None], np.array([action]))
            mine = not mine
        assert terminated
        assert reward == (value if mine else -value)
        assert next(theirs, None) is None


def test_seats_are_drawn_or_as_asked() -> None:
    first, second, either = (BoardGame("connect_four", seat=seat) for seat in ("first", "second", "any"))
    stones = [int(either.reset(seed=seed)[0]["observation"].sum()) for seed in range(200)]
    assert 70 < sum(stones) < 130
    for seed in range(5):
        assert first.reset(seed=seed)[0]["observation"].sum() == 0
        own, other = second.reset(seed=seed)[0]["observation"]
        assert own.sum() == 0
        assert other.sum() == 1


def state_of(game: Game, rows: str) -> Array:
    """A state drawn with x for the mover's stones and o for the opponent's."""
    values = {"x": 1, "o": -1, ".": 0}
    state = np.array([values[mark] for mark in rows if mark in values], np.int8)
    assert state.shape == (game.state_size,)
    return state


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ("xx. oo. ...", {2}),  # wins, although it could stop
        ("x.. oo. ..x", {5}),  # stops
        ("o.. .x. ..o", {1, 2, 3, 5, 6, 7}),  # nobody can win at once yet
        ("o.o .x. o.x", {1, 3, 5, 7}),  # two threats: nothing stops both
    ],
)
def test_one_ply_wins_else_stops_else_plays_any(rows: str, wanted: set[int]) -> None:
    game = make_game("tic_tac_toe")
    state, generator = state_of(game, rows), np.random.default_rng(0)
    chosen = {one_ply_move(game, state, generator) for _ in range(200)}
    assert chosen == wanted


def wins_of(game: Game, state: Array) -> list[int]:
    actions = np.flatnonzero(game.legal(state[None])[0])
    _, _, ended, value = step(game, np.tile(state, (len(actions), 1)), actions)
    return actions[ended & (value == -1)].tolist()


@pytest.mark.parametrize("name", ["connect_four", "gomoku_9x9", "hex_7x7", "breakthrough", "othello_6x6"])
def test_one_ply_takes_every_win_and_leaves_none_that_it_can_stop(name: str) -> None:
    game, generator = make_game(name), np.random.default_rng(5)
    won = stopped = 0
    for played in list(random_plies(game, 3, seed=6))[-8:]:
        for state in played.states:
            move, wins = one_ply_move(game, state, generator), wins_of(game, state)
            (after,), _, (ended,), (value,) = step(game, state[None], np.array([move]))
            if wins:
                assert move in wins
                won += 1
            elif not ended and wins_of(game, after):
                for other in np.flatnonzero(game.legal(state[None])[0]):
                    (after,), _, (ended,), (value,) = step(game, state[None], np.array([other]))
                    assert (ended and value == 1) or (not ended and wins_of(game, after))
            else:
                stopped += 1
    assert won + stopped


def test_looking_ahead_beats_chance() -> None:
    env, chooser = BoardGame("connect_four", "one_ply"), np.random.default_rng(7)
    results = [episode(env, seed, chooser)[-1][1] for seed in range(60)]
    assert np.mean(results) < -0.4


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Game]]:
    """What was asked of the loader of opponents "last:N", which play the Nth legal move from the end."""
    asked: list[tuple[str, Game]] = []

    def load(name: str, game: Game) -> Opponent:
        asked.append((name, game))
        if not name.removeprefix("last:").isdigit():
            raise ValueError(f"{name!r} names no number")
        number = int(name.removeprefix("last:"))
        return lambda game, state, generator: int(np.flatnonzero(game.legal(state[None])[0])[-number])

    monkeypatch.setattr("keel.envs.games.opponents._LOADERS", {})
    register_opponents("last:N", load)
    return asked


def test_an_opponent_can_come_from_elsewhere(loaded: list[tuple[str, Game]]) -> None:
    env = BoardGame("connect_four", "last:2", seat="first")
    assert loaded == [("last:2", env.game)]
    env.reset(seed=0)
    own, other = env.step(0)[0]["observation"]
    assert own[5].tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert other[5].tolist() == [0, 0, 0, 0, 0, 1, 0]


def test_an_opponent_that_its_loader_refuses_stops_the_world_before_it_begins(loaded: list[tuple[str, Game]]) -> None:
    with pytest.raises(ValueError, match="'last:x' names no number"):
        make_vec("keel/ConnectFour-v0", 2, env_options={"opponent": "last:x"})
    with pytest.raises(ValueError, match=r"opponent is 'last'; did you mean 'last:'.*one of random, one_ply, last:N"):
        BoardGame("connect_four", "last")


def test_chess_is_an_environment_like_the_others() -> None:
    pytest.importorskip("chess")
    env = BoardGame("chess", seat="second")
    seen = episode(env, 0, np.random.default_rng(0))
    assert env.action_space.n == 4672
    assert seen[-1][1] in (-1.0, 0.0, 1.0)
    assert len(seen) > 4
    assert all(env.observation_space.contains(observation) for observation, _, _ in seen)
    env.reset(seed=1)
    with pytest.raises(ValueError, match=r"the move 4671.* is not legal in chess; legal: "):
        env.step(4671)


def test_a_move_that_is_not_legal_is_named() -> None:
    env = BoardGame("tic_tac_toe", seat="first")
    env.reset(seed=0)
    env.step(4)
    with pytest.raises(
        ValueError, match=r"the move 4 \(b2\) is not legal in tic_tac_toe; legal: [0-8] \([abc][123]\), "
    ):
        env.step(4)
    with pytest.raises(ValueError, match=r"the move 9 is not legal"):
        env.step(9)
    with pytest.raises(ValueError, match=r"the move -1 is not legal"):
        env.step(-1)
    legal = np.flatnonzero(env.game.legal(env._state[None])[0])
    env.step(legal[0])  # the game goes on


def test_registered_worlds_lose_by_a_move_that_is_not_legal() -> None:
    env = make_single("keel/TicTacToe-v0", env_options={"seat": "first"})
    env.reset(seed=0)
    env.step(4)
    observation, reward, terminated, _, _ = env.step(4)
    assert (reward, terminated) == (-1.0, True)
    assert observation[ACTION_MASK].all()


def test_steps_need_a_game_that_goes_on() -> None:
    env = BoardGame("tic_tac_toe")
    with pytest.raises(ValueError, match="reset comes before a step"):
        env.step(0)
    episode(env, 0, np.random.default_rng(0))
    with pytest.raises(ValueError, match="the game has ended"):
        env.step(0)


@pytest.mark.parametrize("opponent", OPPONENTS)
def test_episodes_follow_from_their_seeds(opponent: str) -> None:
    def run(seed: int) -> list[Any]:
        seen = episode(BoardGame("connect_four", opponent), seed, np.random.default_rng(0))
        return [(observation["observation"].tobytes(), reward) for observation, reward, _ in seen]

    assert run(1) == run(1)
    assert len({str(run(seed)) for seed in range(8)}) > 4


def test_the_mask_of_a_vector_of_worlds_always_leaves_a_choice() -> None:
    worlds = make_vec("keel/Othello6x6-v0", 4, env_options={"opponent": "one_ply"})
    parts, chooser = parts_of_mask(worlds.observation_space, worlds.action_space), np.random.default_rng(0)
    observation, ended = worlds.reset(0), 0
    for _ in range(60):
        assert find_without_choice(observation, parts) is None
        mask = np.asarray(observation[ACTION_MASK])
        taken = worlds.step(np.argmax(chooser.random(mask.shape) * mask, axis=1))
        observation, ended = taken.observation, ended + int(taken.terminated.sum())
    assert ended >= 8
    worlds.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"game": "ludo"}, "game is 'ludo'"),
        (
            {"opponent": "one_ply_"},
            r"opponent is 'one_ply_'; did you mean 'one_ply'\?; it must be one of random, one_ply, .*run:RUN",
        ),
        ({"opponent": "rum:mine"}, r"opponent is 'rum:mine'; did you mean 'run:'\?; it must be one of random, "),
        ({"opponent": "rollouts"}, r"opponent is 'rollouts'; did you mean 'rollouts:'\?; .*rollouts:N"),
        ({"opponent": 3}, "opponent is 3; it must be one of random"),
        ({"seat": "third"}, "seat is 'third'"),
        ({"illegal_move": "ignore"}, "illegal_move is 'ignore'"),
        ({"render_mode": "human"}, "render_mode is 'human'"),
    ],
)
def test_options_that_are_none_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        BoardGame(**options)


def test_the_board_is_shown_with_who_is_who() -> None:
    env = BoardGame("tic_tac_toe", seat="first", render_mode="ansi")
    env.reset(seed=0)
    assert env.render() == "  a b c\n3 . . .\n2 . . .\n1 . . .\nyou are X, X to move\n"
    while not env.step(int(np.flatnonzero(env._legal)[0]))[2]:
        pass
    assert env.render().endswith("you are X, the game has ended\n")
    assert BoardGame("tic_tac_toe").render() is None
