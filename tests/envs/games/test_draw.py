"""Pictures of boards, held against their pixels; clicks; who has won; and the worlds that draw themselves."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pygame
import pytest

from keel.envs.games.as_env import BoardGame
from keel.envs.games.draw import draw_board, status
from keel.envs.games.draw_layout import cell_at, cell_of, frame_size, layout
from keel.envs.games.draw_pieces import look_of
from keel.envs.games.draw_wins import winning_cells
from keel.envs.games.game import Game
from keel.envs.games.games import GAMES, make_game
from keel.envs.protocol import Array

from .played import random_plies

# How colours look without one of the three kinds of cones, on linear RGB (Machado, Oliveira and Fernandes 2009).
EYES = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def drawn(game: Game, board: Array, size: tuple[int, int], **options: object) -> Array:
    """[H W 3] uint8."""
    surface = pygame.Surface(size, depth=32)
    draw_board(surface, game, board, **options)
    return pygame.surfarray.array3d(surface).swapaxes(0, 1)


def blank(game: Game) -> Array:
    return np.zeros((game.height, game.width), np.int8)


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("size", [(480, 480), (900, 700)])
def test_the_middle_of_every_stone_has_its_colour(name: str, size: tuple[int, int]) -> None:
    game, look = make_game(name), look_of(name)
    board = np.random.default_rng(0).integers(-1, 2, (game.height, game.width)).astype(np.int8)
    before = board.copy()
    frame = drawn(game, board, size, last=int(np.flatnonzero(board)[0]), title="a title")
    np.testing.assert_array_equal(board, before)
    at = layout(game, size)
    for cell, player in enumerate(board.ravel().tolist()):
        x, y = at.centre_of(cell)
        if name == "tic_tac_toe" and player == -1:
            x += 0.275 * at.pitch  # a ring, whose middle is empty
        pixel = tuple(frame[int(y), int(x)].tolist())
        if player:
            assert pixel == look.colours[0 if player == 1 else 1]
        else:
            assert pixel not in look.colours


@pytest.mark.parametrize("name", GAMES)
def test_clicks_find_what_is_drawn(name: str) -> None:
    """Every stone alone on the board: the pixels that it changes belong to its cell, and to no other."""
    game, size = make_game(name), (260, 230)
    empty = drawn(game, blank(game), size).astype(int)
    for cell in range(game.height * game.width):
        board = blank(game)
        board.flat[cell] = 1
        changed = np.argwhere(np.abs(drawn(game, board, size) - empty).max(axis=2) > 60)
        wanted = cell % game.width if name == "connect_four" else cell
        middle = changed.mean(axis=0) + 0.5
        assert cell_at(game, size, (middle[1], middle[0])) == wanted
        hits = [cell_at(game, size, (x + 0.5, y + 0.5)) for y, x in changed.tolist()]
        assert np.mean([hit == wanted for hit in hits]) > 0.93  # at its edge a pixel may lie on both sides


@pytest.mark.parametrize("name", GAMES)
def test_a_click_belongs_to_the_nearest_middle(name: str) -> None:
    """Squares and hexagons are the places nearer to their middle than to any other, those beyond the edge included."""
    game, size = make_game(name), (500, 430)
    at = layout(game, size)
    cells = [(row, column) for row in range(-1, game.height + 1) for column in range(-1, game.width + 1)]
    middles = np.array([at.centre(row, column) for row, column in cells])
    generator, inside = np.random.default_rng(1), 0
    reach = at.pitch * 0.4
    for x, y in generator.uniform((at.left - reach, at.top - reach), (at.right + reach, at.bottom + reach), (2000, 2)):
        row, column = cells[int(((middles - (x, y)) ** 2).sum(axis=1).argmin())]
        wanted = row * game.width + column if 0 <= row < game.height and 0 <= column < game.width else None
        if wanted is not None and name == "connect_four":
            wanted %= game.width
        assert cell_at(game, size, (x, y)) == wanted
        inside += wanted is not None
    assert 900 < inside < 1990
    for beyond in ((0, 0), (size[0], size[1]), (-40, 200), (size[0] / 2, size[1] - 3)):
        assert cell_at(game, size, beyond) is None


@pytest.mark.parametrize("name", GAMES)
def test_moves_go_to_the_cell_that_a_board_shows(name: str) -> None:
    game = make_game(name)
    for ply in random_plies(game, 2, seed=2):
        mover = 1 - 2 * ply.player
        for state, action, after in zip(ply.states, ply.actions.tolist(), ply.after, strict=True):
            before, now = game.board(state, ply.player), game.board(after, 1 - ply.player)
            cell = cell_of(game, action, ply.player, now)
            if cell is None:
                np.testing.assert_array_equal(before, now)
                continue
            assert now.flat[cell] == mover
            assert before.flat[cell] == 0 or (before.flat[cell] == -mover and name == "breakthrough")


@pytest.mark.parametrize("name", [name for name in GAMES if not name.startswith("othello")])
def test_winners_are_found_where_the_rules_see_them(name: str) -> None:
    game = make_game(name)
    wins = 0
    for ply in random_plies(game, 4, seed=3):
        for after, ended, value in zip(ply.after, ply.ended, ply.value, strict=True):
            board = game.board(after, 1 - ply.player)
            cells = winning_cells(game, board)
            mover = 1 - 2 * ply.player
            assert all(board.flat[cell] == mover for cell in cells)
            by_capture = name == "breakthrough" and not (board == -mover).any()
            assert bool(cells) == bool(ended and value != 0) or by_capture
            wins += bool(cells)
    assert wins


@pytest.mark.parametrize(
    ("name", "first", "second", "wanted"),
    [
        ("connect_four", [35, 29, 23, 17, 36], [37, 38, 40, 41], [17, 23, 29, 35]),
        ("connect_four", [4, 5, 6, 7], [], []),  # the end of a row and the beginning of the next
        ("tic_tac_toe", [0, 1], [2, 4, 6], [2, 4, 6]),
        ("gomoku_9x9", [0, 1, 2, 3, 4, 5, 9], [], [0, 1, 2, 3, 4, 5]),
        ("hex_7x7", [3, 10, 17, 23, 30, 37, 44, 16], [0, 1], [3, 10, 17, 23, 30, 37, 44]),
        ("hex_7x7", [3, 10, 17, 25, 32, 39, 46], [], []),  # 17 and 25 do not touch: down and to the right
        ("hex_7x7", [7, 8, 9, 10, 11, 12, 13], [], []),  # left and right are the second player's
        ("hex_7x7", [], [7, 8, 9, 10, 11, 12, 13, 20], [7, 8, 9, 10, 11, 12, 13]),
        ("breakthrough", [3, 40], [12, 20], [3]),
        ("breakthrough", [13, 40], [12, 60], [60]),
        ("othello", list(range(40)), list(range(40, 64)), []),
    ],
)
def test_winning_stones_by_hand(name: str, first: list[int], second: list[int], wanted: list[int]) -> None:
    game = make_game(name)
    board = blank(game)
    board.flat[first], board.flat[second] = 1, -1
    assert winning_cells(game, board) == wanted


def test_a_win_a_hint_and_the_last_move_are_seen() -> None:
    game, size = make_game("othello"), (480, 520)
    board = game.board(game.start(), 0)
    plain, hinted = drawn(game, board, size), drawn(game, board, size, marks=[19])
    changed = np.argwhere((plain != hinted).any(axis=2)).mean(axis=0)
    assert cell_at(game, size, (changed[1] + 0.5, changed[0] + 0.5)) == 19
    last = drawn(game, board, size, last=28)
    changed = np.argwhere((plain != last).any(axis=2)).mean(axis=0)
    assert cell_at(game, size, (changed[1] + 0.5, changed[0] + 0.5)) == 28
    titled = np.argwhere((plain != drawn(game, board, size, title="black to move")).any(axis=2))
    assert titled[:, 0].min() > layout(game, size).bottom


def lab(rgb: tuple[int, int, int], eye: str) -> Array:
    """CIE L*a*b* of a colour as this eye sees it."""
    share = np.array(rgb) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(EYES[eye] @ linear, 0, 1) / TO_XYZ.sum(axis=1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("eye", EYES)
def test_colours_can_be_told_apart_by_every_eye(name: str, eye: str) -> None:
    look = look_of(name)
    first, second, ground = (lab(colour, eye) for colour in (*look.colours, look.ground))
    assert np.linalg.norm(first - second) > 40
    assert abs(first[0] - second[0]) > 25  # by brightness alone, as in print
    assert min(np.linalg.norm(first - ground), np.linalg.norm(second - ground)) > 15  # pawns have an outline besides


@pytest.mark.parametrize("name", GAMES)
def test_worlds_draw_themselves_and_notice_nothing(name: str) -> None:
    watched, alone = BoardGame(name, "one_ply", render_mode="rgb_array"), BoardGame(name, "one_ply")
    chooser, frames = np.random.default_rng(0), []
    observation, _ = watched.reset(seed=1)
    alone.reset(seed=1)
    ended = False
    for step in range(300):
        if step < 4 or ended:
            before = watched._state.copy(), watched._legal.copy(), watched._player
            frames.append(watched.render())
            np.testing.assert_array_equal(watched._state, before[0])
            np.testing.assert_array_equal(watched._legal, before[1])
            assert watched._player == before[2]
        if ended:
            break
        action = chooser.choice(np.flatnonzero(observation["action_mask"]))
        observation, reward, ended, *_ = watched.step(action)
        again, same_reward, same_end, *_ = alone.step(action)
        np.testing.assert_array_equal(observation["observation"], again["observation"])
        assert (reward, ended) == (same_reward, same_end)
    assert ended
    width, height = frame_size(watched.game)
    assert width % 2 == height % 2 == 0  # as films want it
    assert all(frame.dtype == np.uint8 and frame.shape == (height, width, 3) for frame in frames)
    assert all((one != other).any() for one, other in pairwise(frames))


def test_who_has_won_is_said() -> None:
    game = make_game("connect_four")
    assert status(game, player=0, agent=1, ended=False, winner=None) == "red to move  ·  the agent is yellow"
    assert status(game, player=0, agent=0, ended=True, winner=1) == "yellow has won  ·  the agent is red"
    assert status(game, player=0, agent=0, ended=True, winner=None) == "a draw  ·  the agent is red"


def titles(env: BoardGame, monkeypatch: pytest.MonkeyPatch) -> str:
    """What stands below the board now."""
    said: list[str] = []
    monkeypatch.setattr("keel.envs.games.draw.draw_board", lambda *_, title, **__: said.append(title))
    env.render()
    return said[0]


@pytest.mark.parametrize("seat", ["first", "second"])
def test_the_winner_is_whom_the_reward_says(seat: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env = BoardGame("tic_tac_toe", seat=seat, illegal_move="lose", render_mode="rgb_array")
    chooser, agent, other = np.random.default_rng(2), *(("X", "O") if seat == "first" else ("O", "X"))
    outcomes = {1.0: f"{agent} has won", -1.0: f"{other} has won", 0.0: "a draw"}
    seen = set()
    for seed in range(30):
        observation, _ = env.reset(seed=seed)
        assert titles(env, monkeypatch) == f"{agent} to move  ·  the agent is {agent}"
        ended, reward = False, 0.0
        while not ended:
            observation, reward, ended, *_ = env.step(chooser.choice(np.flatnonzero(observation["action_mask"])))
        assert titles(env, monkeypatch) == f"{outcomes[reward]}  ·  the agent is {agent}"
        seen.add(reward)
    assert seen == {1.0, 0.0, -1.0}
    env.reset(seed=0)
    _, reward, *_ = env.step(9)
    assert reward == -1.0
    assert titles(env, monkeypatch) == f"{other} has won  ·  the agent is {agent}"


def test_pictures_outlive_another_worlds_quit() -> None:
    """Gymnasium's own worlds quit pygame when they are closed, and start it again when they are next drawn."""
    world = BoardGame(game="tic_tac_toe", render_mode="rgb_array")
    world.reset(seed=0)
    before = world.render()
    pygame.init()
    pygame.quit()
    np.testing.assert_array_equal(world.render(), before)
    pygame.quit()
    pygame.init()
    np.testing.assert_array_equal(world.render(), before)
