"""The games of OpenSpiel: ours against theirs, theirs against themselves asked directly, and what is refused."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keel.agents.evaluators import RolloutEvaluator
from keel.agents.search import Search, SearchConfig
from keel.envs.games import openspiel
from keel.envs.games.as_env import BoardGame
from keel.envs.games.game import Game
from keel.envs.games.games import make_game
from keel.envs.games.openspiel import OpenSpielGame, RecentStates, suitable_games
from keel.envs.games.text import board_text
from keel.envs.protocol import Array

from .played import random_plies, step

pyspiel: Any = pytest.importorskip("pyspiel")

SUITABLE = suitable_games()


def made(spec: str) -> OpenSpielGame:
    game = make_game(f"openspiel:{spec}")
    assert isinstance(game, OpenSpielGame)
    return game


def numbered(game: Game, action: int, player: int) -> str:
    return str(action)


def named(game: Game, action: int, player: int) -> str:
    return game.action_name(action, player)


def upside_down(game: Game, action: int, player: int) -> str:
    """OpenSpiel's first player of Breakthrough goes down the board, ours goes up; OpenSpiel marks captures."""
    return re.sub(r"\d", lambda digit: str(9 - int(digit[0])), game.action_name(action, player).removesuffix("*"))


def played(game: Game, moves: list[int]) -> Array:
    """The state after the moves."""
    state = game.start()
    for move in moves:
        (state,), _, _, _ = step(game, state[None], np.array([move]))
    return state


@pytest.mark.parametrize(
    ("name", "call", "call_theirs", "games"),
    [
        ("tic_tac_toe", numbered, numbered, 100),
        ("connect_four", numbered, numbered, 30),
        ("othello", numbered, numbered, 12),
        ("breakthrough", named, upside_down, 12),
        ("hex", named, named, 8),
    ],
)
def test_two_implementations_agree(
    name: str, call: Callable[..., str], call_theirs: Callable[..., str], games: int
) -> None:
    ours, theirs, generator, outcomes = make_game(name), made(name), np.random.default_rng(3), set()
    for _ in range(games):
        player, state, their_state = 0, ours.start(), theirs.start()
        legal, their_legal = ours.legal(state[None])[0], theirs.legal(their_state[None])[0]
        ended, value = False, np.float32(0)
        while not ended:
            board = theirs.board(their_state, player)
            assert np.array_equal(ours.board(state, player), board[::-1] if call_theirs is upside_down else board)
            moves = {call(ours, action, player): action for action in np.flatnonzero(legal).tolist()}
            their_moves = {
                call_theirs(theirs, action, player): action for action in np.flatnonzero(their_legal).tolist()
            }
            assert moves.keys() == their_moves.keys()
            move = str(generator.choice(sorted(moves)))
            (state,), (legal,), (ended,), (value,) = step(ours, state[None], np.array([moves[move]]))
            (their_state,), (their_legal,), (their_end,), (their_value,) = step(
                theirs, their_state[None], np.array([their_moves[move]])
            )
            assert (ended, value) == (their_end, their_value)
            player = 1 - player
        outcomes.add(float(value) * (1 - 2 * player))
    assert outcomes >= {1, -1}


@pytest.mark.parametrize("name", SUITABLE)
def test_games_go_as_openspiel_has_them(name: str) -> None:
    """Legal moves, observations, passes and outcomes, asked of a state that OpenSpiel alone carries on."""
    follow(made(name), pyspiel.load_game(name).new_initial_state(), most=120)


def test_go_goes_to_its_end() -> None:
    game = make_game("go_9x9")
    assert (game.name, game.planes, game.height, game.width, game.actions, game.most_moves) == (
        "go_9x9",
        5,
        9,
        9,
        82,
        162,
    )
    assert game.state_size == 165
    results = {
        follow(game, pyspiel.load_game("go(board_size=9,komi=7.5)").new_initial_state(), seed=seed) for seed in range(4)
    }
    assert results == {1.0, -1.0}


def follow(game: Game, theirs: Any, most: int = 10_000, seed: int = 0) -> float:
    """Play by lot and compare; returns what the game was worth to the player who moved first, 0 if it went on."""
    first, generator = theirs.current_player(), np.random.default_rng(seed)
    theirs_actions, state, mover = theirs.num_distinct_actions(), game.start(), first
    legal, ended, count = game.legal(state[None])[0], False, 0
    passes = game.actions - theirs_actions
    while True:
        tensor = np.array(theirs.observation_tensor(mover), np.float32)
        observed = game.observe(state[None])[0]
        assert np.array_equal(observed.ravel()[: len(tensor)], tensor)
        has_to_pass = theirs.current_player() == 1 - mover
        extra = [mover != first, has_to_pass][: 1 + passes]
        assert [plane.tolist() for plane in observed[-len(extra) :]] == [
            np.full_like(observed[0], x).tolist() for x in extra
        ]
        if ended or count == most:
            break
        expected = [theirs_actions] if has_to_pass else theirs.legal_actions()
        assert np.flatnonzero(legal).tolist() == expected
        assert len(expected) <= game.most_legal
        move = int(generator.choice(expected))
        (state,), (legal,), (ended,), (value,) = step(game, state[None], np.array([move]))
        if not has_to_pass:
            theirs.apply_action(move)
        mover, count = 1 - mover, count + 1
        assert ended == theirs.is_terminal()
        assert value == (theirs.returns()[mover] if ended else 0)
    assert count <= game.most_moves
    if not ended:
        return 0.0
    assert not legal.any()
    return float(theirs.returns()[first])


def test_who_moves_twice_makes_the_other_pass() -> None:
    """Dots and boxes searched to its end is worth what OpenSpiel's own states say, without any pass in them."""
    spec = "dots_and_boxes(num_rows=1,num_cols=2)"
    game, values = made(spec), set()
    for opening in (0, 2, 3):
        theirs = pyspiel.load_game(spec).new_initial_state()
        theirs.apply_action(opening)
        expected = best_for_first(theirs)
        assert -negamax(game, *step(game, game.start()[None], np.array([opening]))) == expected
        values.add(expected)
    assert values - {0}


def best_for_first(state: Any) -> float:
    if state.is_terminal():
        return state.returns()[0]
    values = [best_for_first(state.child(action)) for action in state.legal_actions()]
    return max(values) if state.current_player() == 0 else min(values)


def negamax(game: Game, states: Array, legal: Array, ended: Array, value: Array) -> float:
    if ended[0]:
        return float(value[0])
    return max(-negamax(game, *step(game, states, np.array([action]))) for action in np.flatnonzero(legal[0]))


def test_rows_say_all() -> None:
    """Rows that were kept are as good in a game made anew, which knows none of the states that led there."""
    game, rows = made("go(board_size=5)"), []
    for ply in random_plies(game, 3):
        rows.append(ply.states.copy())
    rows = np.concatenate(rows)
    anew = made("go(board_size=5)")
    backwards = np.arange(len(rows))[::-1]
    assert np.array_equal(anew.observe(rows[backwards]), game.observe(rows)[backwards])
    assert np.array_equal(anew.legal(rows), game.legal(rows))
    assert [anew.text(row) for row in rows] == [game.text(row) for row in rows]


def test_a_long_number_of_a_move_is_kept_in_two_bytes() -> None:
    game = made("chess")
    state = pyspiel.load_game("chess").new_initial_state()
    moves = []
    for _ in range(12):
        moves.append(max(state.legal_actions()))
        state.apply_action(moves[-1])
    assert max(moves) > 256
    assert made("chess").text(played(game, moves)).startswith(str(state))


def test_memory_is_bounded_and_changes_nothing() -> None:
    spec = "go(board_size=5)"
    frugal = OpenSpielGame("frugal", spec, kept_states=1)
    for ply, same in zip(random_plies(frugal, 2), random_plies(made(spec), 2), strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(ply, same, strict=True))
    start = pyspiel.load_game(spec).new_initial_state()
    recent = RecentStates(start, move_bytes=1, most=3)
    used_again = recent.get(bytes([0]))
    for move in range(1, 10):
        assert recent.get(bytes([move])).history() == [move]
        assert recent.get(bytes([0])) is used_again  # and so it is never the one to go
        assert len(recent) <= 3


def test_threads_may_share_a_game() -> None:
    def outcome(game: Game, seed: int) -> list[bytes]:
        return [game.observe(ply.after).tobytes() + ply.value.tobytes() for ply in random_plies(game, 3, seed)]

    shared = OpenSpielGame("shared", "go(board_size=5)", kept_states=20)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: outcome(shared, seed), range(8)))
    assert found == [outcome(made("go(board_size=5)"), seed) for seed in range(8)]


@pytest.mark.parametrize("rule", ["gumbel", "puct"])
def test_a_search_finds_the_winning_move(rule: Any) -> None:
    game = made("tic_tac_toe")
    search = Search(game, SearchConfig(simulations=120, rule=rule), batch=3)
    #  X X .     X . .     O O .
    #  O O .     O O .     X . .
    #  . . .     X . .     X . X, where O is to move in the middle one
    states = np.stack([played(game, moves) for moves in ([0, 3, 1, 4], [0, 3, 6, 4, 8], [3, 0, 6, 1, 8])])
    found = search.run(states[[0, 1, 2]], RolloutEvaluator(game, seed=0))
    assert found.action.tolist() == [2, 5, 2]


def test_a_search_plays_go() -> None:
    game = made("go(board_size=5,komi=0.5)")
    search = Search(game, SearchConfig(simulations=16, rule="puct"), batch=2)
    found = search.run(np.tile(game.start(), (2, 1)), RolloutEvaluator(game, seed=0))
    assert game.legal(game.start()[None])[0, found.action].all()
    assert found.visits.sum(axis=1).tolist() == [16, 16]


def test_a_world_is_made_of_any_game() -> None:
    world = BoardGame("openspiel:clobber(rows=3,columns=4)", opponent="one_ply", render_mode="ansi")
    observation, _ = world.reset(seed=1)
    ended, reward = False, 0.0
    while not ended:
        action = int(np.flatnonzero(observation["action_mask"])[0])
        observation, reward, ended, _, _ = world.step(action)
        assert world.observation_space.contains(observation)
    assert abs(reward) == 1
    assert "abcd" in world.render()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("ches", ["no game 'ches'", "did you mean 'chess'"]),
        ("", ["no game ''"]),
        ("go(board_siz=9)", ["go(board_siz=9)", "'board_siz'", "board_size, handicap, komi"]),
        ("go(board_size=nine)", ["board_size", "kInt"]),
        ("go(board_size=9", ["closing bracket"]),
        ("go(board_size=-3)", ["board_size is -3", "19 would be right"]),
        ("go(board_size=40)", ["up to 19"]),
        ("connect_four(rows=0)", ["rows is 0", "6 would be right"]),  # which takes the whole process down
        ("misere", ["Missing parameter game"]),
        ("backgammon", ["backgammon", "chance has a part"]),
        ("kuhn_poker", ["do not see everything"]),
        ("phantom_ttt", ["do not see everything"]),
        ("oshi_zumo", ["at the same time"]),
        ("matrix_mp", ["at the same time"]),
        ("chinese_checkers(players=3)", ["for 3 players"]),
        ("cliff_walking", ["for 1 player,", "rewards come before the end"]),
        ("trade_comm", ["does not win what the other loses"]),
        ("battleship", ["no observation tensor"]),
        ("start_at(history=0;3;1;4;2,game=tic_tac_toe())", ["nobody can move at its start"]),
        ("misere(game=kuhn_poker())", ["misere(game=kuhn_poker())", "chance"]),
    ],
)
def test_what_does_not_suit_is_refused(spec: str, words: list[str]) -> None:
    with pytest.raises(ValueError, match="openspiel:") as refusal:
        made(spec)
    assert f"'openspiel:{spec}'" in str(refusal.value)
    for part in words:
        assert part in str(refusal.value)


def test_a_game_without_numbers_to_see_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "one_move.efg"
    file.write_text(
        'EFG 2 R "one move" { "first" "second" }\n\np "" 1 1 "" { "a" "b" } 0\n'
        't "" 1 "won" { 1 -1 }\nt "" 2 "lost" { -1 1 }\n'
    )
    with pytest.raises(ValueError, match=r"which Keel cannot play: .*it has no observation tensor"):
        made(f"efg_game(filename={file})")


def test_openspiel_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspiel", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'keel-rl[games]'")):
        make_game("go_9x9")


def test_other_games_are_made_of_suitable_ones() -> None:
    """In misère Tic-tac-toe a line loses."""
    game = made("misere(game=tic_tac_toe())")
    _, _, ended, value = step(game, played(game, [0, 3, 1, 4])[None], np.array([2]))
    assert (ended[0], value[0]) == (True, 1)


def test_surprises_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openspiel, "explore", lambda game: (False, True))
    with pytest.raises(RuntimeError, match="openspiel:mancala: a player moves twice in a row"):
        list(random_plies(made("mancala"), 1))
    monkeypatch.setattr(openspiel, "MOST_LEGAL", 20)
    game = made("hex(board_size=5)")
    with pytest.raises(RuntimeError, match=r"25 legal moves, at most 20 can be searched"):
        game.legal(game.start()[None])


def test_a_game_without_end_is_a_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openspiel, "LONGEST", 20)
    game = made("shogi")
    plies = list(random_plies(game, 2))
    assert (game.most_moves, len(plies)) == (20, 20)
    assert plies[-1].ended.all()
    assert not plies[-1].value.any()
    assert not plies[-1].after_legal.any()
    assert not game.legal(plies[-1].after).any()


def test_margins_are_scaled() -> None:
    game = made("dots_and_boxes(utility_margin=True)")
    finals = [(ply, row) for ply in random_plies(game, 20) for row in np.flatnonzero(ply.ended)]
    assert len(finals) == 20
    assert {float(ply.value[row]) for ply, row in finals} <= {box / 4 for box in range(-4, 5)}
    assert any(0 < abs(ply.value[row]) < 1 for ply, row in finals)


def test_the_first_to_move_may_be_their_second() -> None:
    """With a handicap white begins, and chess has white as its player 1: in Keel who begins is the first."""
    game = made("go(handicap=2)")
    assert game.board(game.start(), 0).sum() == -2
    assert not game.observe(game.start()[None])[0, -1].any()
    chess = made("chess")
    state = pyspiel.load_game("chess").new_initial_state()
    moves = []
    for move in ("f3", "e5", "g4", "Qh4#"):
        moves.append(state.string_to_action(move))
        state.apply_action(moves[-1])
    _, _, ended, value = step(chess, played(chess, moves[:-1])[None], np.array(moves[-1:]))
    assert (ended[0], value[0]) == (True, -1)  # white would be next, and is mated


def test_boards_are_the_right_way_up() -> None:
    go = make_game("go_9x9")
    assert (go.action_name(1, 0), go.action_name(8, 1), go.action_name(81, 0)) == ("b1", "j1", "pass")
    board = go.board(played(go, [1, 80]), 0)
    assert {tuple(at): int(board[tuple(at)]) for at in np.argwhere(board).tolist()} == {(8, 1): 1, (0, 8): -1}
    hexes = made("hex(num_cols=4,num_rows=3)")
    assert hexes.board(played(hexes, [3, 4, 10]), 1).tolist() == [[0, 0, 0, 1], [-1, 0, 0, 0], [0, 0, 1, 0]]
    mnk = made("mnk(m=4,n=3,k=3)")
    assert mnk.board(played(mnk, [3, 4]), 0).tolist() == [[0, 0, 0, 1], [-1, 0, 0, 0], [0, 0, 0, 0]]
    for spec in ("checkers", "hex(plain_obs_tensor=True)"):
        with pytest.raises(ValueError, match="has no board that could be drawn"):
            made(spec).board(made(spec).start(), 0)


def test_people_can_read_it() -> None:
    go, xiangqi, mancala = made("go(board_size=5)"), made("xiangqi"), made("mancala")
    text = board_text(go, played(go, [1]), 1)
    assert " 1 +X+++\n   ABCDE" in text
    assert mancala.action_name(14, 0) == "pass"
    # A move of Xiangqi is written with its piece, which only the position knows.
    move = int(np.flatnonzero(xiangqi.legal(xiangqi.start()[None])[0])[0])
    name = pyspiel.load_game("xiangqi").new_initial_state().action_to_string(move)
    assert xiangqi.action_name(move, 0) == str(move)
    assert f"moves: {move} {name}, " in board_text(xiangqi, xiangqi.start(), 0)
