"""Pictures of chess, held against their pixels; clicks; a king that is attacked; the world that draws itself."""

from __future__ import annotations

import chess
import numpy as np
import pygame
import pytest

from keel.envs.games.as_env import BoardGame
from keel.envs.games.chess_boards import state_of
from keel.envs.games.chess_game import ChessGame
from keel.envs.games.chess_notation import parse
from keel.envs.games.draw import draw_board, status
from keel.envs.games.draw_chess import attacked_kings, piece_picture
from keel.envs.games.draw_layout import cell_at, cell_of, frame_size, layout, origin_of
from keel.envs.games.draw_wins import winning_cells
from keel.envs.games.games import make_game
from keel.envs.protocol import Array

GAME = ChessGame("chess")
SIZE = (280, 310)
EMPTY = np.zeros((8, 8), np.int8)
AT = layout(GAME, SIZE)


def board_from(fen: str) -> Array:
    """As people see it, whoever is to move."""
    board = chess.Board(fen)
    return GAME.board(state_of(board), 0 if board.turn else 1)


def drawn(board: Array, **options: object) -> Array:
    """[H W 3] of numbers that can be subtracted."""
    surface = pygame.Surface(SIZE, depth=32)
    draw_board(surface, GAME, board, **options)
    return pygame.surfarray.array3d(surface).swapaxes(0, 1).astype(int)


def cell_pixels(frame: Array, cell: int) -> Array:
    """Those well within a cell."""
    (x, y), half = AT.centre_of(cell), 0.46 * AT.pitch
    return frame[round(y - half) : round(y + half), round(x - half) : round(x + half)].reshape(-1, 3)


def changed_cells(before: Array, after: Array) -> set[int]:
    return {cell for cell in range(64) if (np.abs(cell_pixels(before, cell) - cell_pixels(after, cell)) > 12).any()}


def test_a_click_on_a_piece_is_its_cell() -> None:
    assert [cell_at(GAME, SIZE, AT.centre_of(cell)) for cell in range(64)] == list(range(64))
    assert cell_at(GAME, SIZE, (AT.left + 0.5 * AT.pitch, AT.bottom - 0.5 * AT.pitch)) == 56  # a1, which is "1" and "a"
    assert [words for words, _ in AT.labels()] == [*"abcdefgh", *"87654321"]


def test_the_board_shows_every_piece_where_it_is() -> None:
    board = board_from("r3k3/8/8/3pP3/8/8/6Q1/4K2R w - - 0 1")
    wanted = EMPTY.copy()
    wanted[0, 0], wanted[0, 4], wanted[3, 3], wanted[3, 4] = -4, -6, -1, 1
    wanted[6, 6], wanted[7, 4], wanted[7, 7] = 5, 6, 4
    np.testing.assert_array_equal(board, wanted)
    np.testing.assert_array_equal(board_from("r3k3/8/8/3pP3/8/8/6Q1/4K2R b - - 0 1"), wanted)


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5, 6])
def test_pieces_are_drawn_within_their_cells_white_ones_light_and_black_ones_dark(kind: int) -> None:
    empty = drawn(EMPTY)
    for cell in (0, 9, 37, 63):
        light = []
        for sign in (1, -1):
            board = EMPTY.copy()
            board.flat[cell] = sign * kind
            frame = drawn(board)
            assert changed_cells(empty, frame) == {cell}
            pixels = cell_pixels(frame, cell)
            light.append(((pixels.min(axis=1) > 225).mean(), (pixels.max(axis=1) < 30).mean()))
        (white_light, white_dark), (black_light, black_dark) = light
        assert white_light > 2 * black_light
        assert black_dark > 2 * white_dark
        assert min(white_light, black_dark) > 0.05


def test_no_two_kinds_look_alike() -> None:
    shapes = [pygame.surfarray.array_alpha(piece_picture(kind, 60)).astype(int) for kind in range(1, 7)]
    for number, shape in enumerate(shapes):
        assert all(np.abs(shape - other).mean() > 10 for other in shapes[:number])


def test_squares_alternate_and_a1_is_dark() -> None:
    frame = drawn(EMPTY)
    lightness = np.array([cell_pixels(frame, cell).mean() for cell in range(64)]).reshape(8, 8)
    assert lightness[7, 0] < lightness[7, 1] - 40
    np.testing.assert_allclose(lightness[:, 1:], lightness[:, :1] * 0 + np.roll(lightness, -1, axis=0)[:, :-1])


def test_both_ends_of_the_last_move_are_tinted() -> None:
    state = GAME.start()
    board, action = GAME.board(state, 0), parse(state, "g1f3")
    to, origin = cell_of(GAME, action, 0, board), origin_of(GAME, action, 0)
    assert (to, origin) == (5 * 8 + 5, 7 * 8 + 6)
    black = parse(state_of(chess.Board("4k3/8/8/8/8/8/p7/4K3 b - - 0 1")), "a2a1n")  # which is named with a letter more
    assert (cell_of(GAME, black, 1, board), origin_of(GAME, black, 1)) == (56, 48)
    plain, tinted = drawn(EMPTY), drawn(EMPTY, last=to, origin=origin)
    assert changed_cells(plain, tinted) == {to, origin}
    assert changed_cells(plain, drawn(EMPTY, last=to)) == {to}
    assert origin_of(make_game("othello"), 20, 0) is None
    assert origin_of(make_game("breakthrough"), 49 * 3, 0) == 49


def test_moves_that_may_be_made_are_hinted_and_captures_ringed() -> None:
    board = board_from("4k3/8/8/8/3p4/8/8/4K3 w - - 0 1")
    plain, hinted = drawn(board), drawn(board, marks=[35, 20])
    assert changed_cells(plain, hinted) == {35, 20}
    (x, y), half = AT.centre_of(35), round(0.25 * AT.pitch)
    box = slice(round(y) - half, round(y) + half), slice(round(x) - half, round(x) + half)
    np.testing.assert_array_equal(plain[box], hinted[box])  # the pawn is not covered


@pytest.mark.parametrize(
    ("fen", "last", "wanted"),
    [
        (chess.STARTING_FEN, None, []),
        ("rnb1kbnr/pppp1ppp/8/4p3/6Pq/5P2/PPPPP2P/RNBQKBNR w KQkq - 1 3", 39, [(60, True)]),
        ("rnbqk1nr/pppp1ppp/8/4p3/1b1PP3/8/PPP2PPP/RNBQKBNR w KQkq - 1 3", 33, [(60, False)]),
        ("4k2R/8/4K3/8/8/8/8/8 b - - 0 1", 7, [(4, True)]),
    ],
)
def test_kings_in_check_and_mated_are_found(fen: str, last: int | None, wanted: list[tuple[int, bool]]) -> None:
    board = board_from(fen)
    assert attacked_kings(board, last) == wanted
    assert winning_cells(GAME, board) == []


def test_a_pawn_that_can_be_taken_in_passing_is_no_mate() -> None:
    """White's pawn has come to e4 with check, and only d4xe3 saves the black king."""
    fen = "8/2B5/R7/3k4/1P1pP3/1P3P2/8/4K3 b - {} 0 1"
    assert [move.uci() for move in chess.Board(fen.format("e3")).legal_moves] == ["d4e3"]
    assert chess.Board(fen.format("-")).is_checkmate()
    board = board_from(fen.format("e3"))
    assert attacked_kings(board, 36) == [(27, False)]
    assert attacked_kings(board, None) == [(27, True)]
    board[5, 4] = -2  # the pawn cannot have passed over a knight
    assert attacked_kings(board, 36) == [(27, True)]
    mirrored = -board_from(fen.format("e3"))[::-1]
    assert attacked_kings(np.ascontiguousarray(mirrored), 28) == [(35, False)]


def test_check_and_mate_are_red_and_mate_more_so() -> None:
    check, mate = (board_from(f"{fen} b - - 0 1") for fen in ("4k2R/8/8/8/8/8/8/4K3", "4k2R/8/4K3/8/8/8/8/8"))
    red = []
    for board in (board_from("4k3/7R/8/8/8/8/8/4K3 b - - 0 1"), check, mate):
        pixels = cell_pixels(drawn(board), 4)
        red.append((pixels[:, 0] - pixels[:, 1] > 90).mean())
    assert red[0] == 0
    assert 0.1 < red[1] < red[2] - 0.1


def test_the_world_draws_itself_and_outlives_another_worlds_quit() -> None:
    world = BoardGame("chess", seat="second", render_mode="rgb_array")
    world.reset(seed=0)
    frame = world.render()
    width, height = frame_size(GAME)
    assert frame.shape == (height, width, 3)
    pygame.init()
    pygame.quit()
    np.testing.assert_array_equal(world.render(), frame)
    observation, *_ = world.step(int(np.flatnonzero(world._legal)[0]))
    assert (world.render() != frame).any()
    assert observation["action_mask"].sum() == world._legal.sum()
    assert status(GAME, player=1, agent=1, ended=True, winner=0) == "white has won  ·  the agent is black"
