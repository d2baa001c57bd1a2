"""Chess against published counts, against python-chess with its own stack of moves, and against games by hand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import islice

import chess
import numpy as np
import pytest

from keel.agents.evaluators import RolloutEvaluator
from keel.agents.search import Search, SearchConfig
from keel.envs.games.as_env import BoardGame
from keel.envs.games.chess_boards import board_of, state_of
from keel.envs.games.chess_game import ChessGame
from keel.envs.games.chess_moves import ACTION_OF, ACTIONS, MOVES
from keel.envs.games.chess_notation import move_of, parse
from keel.envs.games.games import make_game
from keel.envs.games.opponents import play
from keel.envs.games.text import board_text
from keel.envs.protocol import ACTION_MASK, Array

from .played import step

GAME = ChessGame("chess")
KIWIPETE = "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1"
# Positions in which games by lot soon come to one of the ends: repetition, fifty moves, bare kings, mate, promotion.
ENDINGS = (
    "8/8/4k3/8/8/4K3/8/7R w - - 70 80",
    "8/P6k/8/8/8/8/K6p/8 b - - 0 1",
    "7k/8/8/8/8/8/8/KQR5 w - - 0 1",
    "4k3/8/8/2b5/8/8/8/2R1K3 b - - 90 60",
    "k7/8/1K6/8/8/8/8/6Qr w - - 0 250",
)


def perft(fen: str, depth: int, chunk: int = 2000) -> list[int]:
    """Sequences of 1 to `depth` moves from a position, through `ChessGame.play`."""
    states = state_of(chess.Board(fen))[None]
    counts = [int(GAME.legal(states).sum())]
    moves = [np.nonzero(GAME.legal(states))]
    for _ in range(depth - 1):
        rows, actions = moves[0]
        parts, count = [], 0
        for first in range(0, len(rows), chunk):
            after, legal, ended, _ = step(GAME, states[rows[first : first + chunk]], actions[first : first + chunk])
            count += int(legal.sum())
            row, action = np.nonzero(legal)
            parts.append((after, row + first, action))
            assert not legal[ended].any()
        counts.append(count)
        states = np.concatenate([part[0] for part in parts])
        moves = [(np.concatenate([part[1] for part in parts]), np.concatenate([part[2] for part in parts]))]
    return counts


@pytest.mark.parametrize(
    ("fen", "counts"),
    [
        (chess.STARTING_FEN, [20, 400, 8902, 197281]),
        (KIWIPETE, [48, 2039, 97862]),
        ("8/2p5/3p4/KP5r/1R3p1k/8/4P1P1/8 w - - 0 1", [14, 191, 2812, 43238]),
        ("r3k2r/Pppp1ppp/1b3nbN/nP6/BBP1P3/q4N2/Pp1P2PP/R2Q1RK1 w kq - 0 1", [6, 264, 9467]),
        ("rnbq1k1r/pp1Pbppp/2p5/8/2B5/8/PPP1NnPP/RNBQK2R w KQ - 1 8", [44, 1486, 62379]),
        ("n1n5/PPPk4/8/8/8/8/4Kppp/5N1N b - - 0 1", [24, 496, 9483]),
    ],
)
def test_counts_of_move_sequences_are_the_published_ones(fen: str, counts: list[int]) -> None:
    """https://www.chessprogramming.org/Perft_Results"""
    assert perft(fen, len(counts)) == counts


@pytest.mark.slow
@pytest.mark.parametrize(("fen", "count"), [(chess.STARTING_FEN, 4865609), (KIWIPETE, 4085603)])
def test_counts_further_down_are_the_published_ones(fen: str, count: int) -> None:
    assert perft(fen, 5 if fen == chess.STARTING_FEN else 4)[-1] == count


def random_game(fen: str, seed: int) -> Iterator[tuple[chess.Board, Array, Array, bool, float]]:
    """A game by lot on both sides: python-chess's board with its stack, and state, legal moves, end and value."""
    generator, board = np.random.default_rng(seed), chess.Board(fen)
    state = state_of(board)
    legal = GAME.legal(state[None])[0]
    yield board, state, legal, False, 0.0
    ended = False
    while not ended:
        action = int(generator.choice(np.flatnonzero(legal)))
        board.push(move_of(state, action))
        (state,), (legal,), (ended,), (value,) = step(GAME, state[None], np.array([action]))
        yield board, state, legal, bool(ended), float(value)


GAMES = [(chess.STARTING_FEN, 0), (KIWIPETE, 2), *((fen, 3) for fen in ENDINGS)]


@pytest.mark.parametrize(("fen", "seed"), GAMES)
def test_random_games_are_those_of_python_chess(fen: str, seed: int) -> None:
    for ply, (board, state, legal, ended, value) in enumerate(random_game(fen, seed)):
        assert board_of(state).fen() == board.fen()
        mate = board.is_checkmate()
        over = mate or board.is_stalemate() or board.is_insufficient_material() or board.is_repetition(3)
        assert ended == (over or board.halfmove_clock >= 100 or board.ply() >= 512)
        assert value == (-1.0 if mate else 0.0)
        if ended:
            assert not legal.any()
            continue
        assert legal.sum() == board.legal_moves.count()
        if ply % 5:
            continue
        np.testing.assert_array_equal(GAME.legal(state[None])[0], legal)
        moves = {move_of(state, action).uci(): action for action in np.flatnonzero(legal).tolist()}
        assert moves.keys() == {move.uci() for move in board.legal_moves}
        player = 0 if board.turn else 1
        for uci, action in moves.items():
            assert parse(state, uci) == action
            assert GAME.action_name(action, player) == uci.removesuffix("q")


def slow_planes(board: chess.Board) -> Array:
    """What a network shall see, from python-chess's pieces and stack."""
    mover, planes, earlier = board.turn, np.zeros((119, 8, 8), np.float32), board.copy()
    for k in range(8):
        for square, piece in earlier.piece_map().items():
            seen = square if mover else chess.square_mirror(square)
            plane = 14 * k + piece.piece_type - 1 + (0 if piece.color == mover else 6)
            planes[plane, 7 - chess.square_rank(seen), chess.square_file(seen)] = 1
        planes[14 * k + 12] = earlier.is_repetition(2)
        planes[14 * k + 13] = earlier.is_repetition(3)
        if not earlier.move_stack:
            break
        earlier.pop()
    planes[112] = mover == chess.BLACK
    planes[113] = board.ply() / 512
    for plane, colour in ((114, mover), (116, not mover)):
        planes[plane] = board.has_kingside_castling_rights(colour)
        planes[plane + 1] = board.has_queenside_castling_rights(colour)
    planes[118] = board.halfmove_clock / 100
    return planes


@pytest.mark.parametrize(("fen", "seed"), GAMES)
def test_what_is_seen_is_what_python_chess_has(fen: str, seed: int) -> None:
    for ply, (board, state, *_) in enumerate(random_game(fen, seed)):
        if ply < 12 or ply % 9 == 0:
            seen = GAME.observe(state[None])
            assert seen.dtype == np.float32
            np.testing.assert_allclose(seen[0], slow_planes(board), rtol=1e-6)


def test_the_start_is_seen_as_drawn_by_hand() -> None:
    planes = GAME.observe(GAME.start()[None])[0]
    wanted = np.zeros((119, 8, 8))
    wanted[0, 6], wanted[6, 1] = 1, 1  # pawns
    for plane, columns in ((1, (1, 6)), (2, (2, 5)), (3, (0, 7)), (4, (3,)), (5, (4,))):
        wanted[plane, 7, columns] = wanted[plane + 6, 0, columns] = 1
    wanted[114:118] = 1
    np.testing.assert_array_equal(planes, wanted)


def test_black_sees_what_white_would() -> None:
    """Colours swapped and the board mirrored: the same planes but for colour and count of moves, the same actions."""
    seen = [plane for plane in range(119) if plane not in (112, 113)]
    for board, _, legal, ended, _ in islice(random_game(chess.STARTING_FEN, 5), 0, 200, 3):
        if ended:
            break
        here, there = state_of(board)[None], state_of(board.mirror())[None]
        np.testing.assert_array_equal(GAME.observe(here)[0, seen], GAME.observe(there)[0, seen])
        np.testing.assert_array_equal(GAME.observe(here)[0, 112], 1 - GAME.observe(there)[0, 112])
        np.testing.assert_array_equal(GAME.legal(there)[0], legal)


def played(fen: str, moves: str) -> tuple[Array, bool, float]:
    """State, end and value after moves in SAN or UCI, before the last of which the game must not end."""
    state, ended, value = state_of(chess.Board(fen)), False, 0.0
    for text in moves.split():
        assert not ended
        (state,), _, (ended,), (value,) = step(GAME, state[None], np.array([parse(state, text)]))
    return state, bool(ended), float(value)


OUT_AND_BACK = "Nf3 Nf6 Ng1 Ng8 "
PASSING = "rnbqkbnr/ppp1pppp/8/8/3p4/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"
CASTLING = "4k3/7p/8/8/8/8/7P/R3K3 w Q - 0 1"
ROOK = "Ra2 Kd8 Ra1 Ke8 "


@pytest.mark.parametrize(
    ("fen", "moves", "ended", "value"),
    [
        (chess.STARTING_FEN, "f3 e5 g4 Qh4", True, -1.0),
        (chess.STARTING_FEN, "e4 e5 Bc4 Nc6 Qh5 Nf6 Qxf7", True, -1.0),
        (chess.STARTING_FEN, OUT_AND_BACK + "Nf3 Nf6 Ng1", False, 0.0),
        (chess.STARTING_FEN, OUT_AND_BACK * 2, True, 0.0),
        # While a pawn could be taken in passing the position was another one.
        (PASSING, "e4 Nf6 Nf3 Ng8 Ng1 Nf6 Nf3 Ng8 Ng1", False, 0.0),
        (PASSING, "e4 Nf6 Nf3 Ng8 Ng1 Nf6 Nf3 Ng8 Ng1 Nf6", True, 0.0),
        # Nobody could have taken it, so that it was the same one.
        (chess.STARTING_FEN, "e4 Nf6 Nf3 Ng8 Ng1 Nf6 Nf3 Ng8 Ng1", True, 0.0),
        # While castling was still possible it was another one, too.
        (CASTLING, ROOK * 2, False, 0.0),
        (CASTLING, ROOK * 2 + "Ra2", True, 0.0),
        ("8/8/4k3/8/8/4K3/8/7R w - - 98 80", "Rh2", False, 0.0),
        ("8/8/4k3/8/8/4K3/8/7R w - - 98 80", "Rh2 Kd6", True, 0.0),
        ("8/8/4k3/8/8/4K3/8/7R w - - 98 80", "Rh6", False, 0.0),
        ("7k/8/6K1/8/8/8/8/R7 w - - 99 90", "Ra8", True, -1.0),  # mate comes before fifty moves
        ("8/8/4k3/8/8/4K3/8/7R w - - 0 256", "Rh2", False, 0.0),
        ("8/8/4k3/8/8/4K3/8/7R b - - 0 256", "Kd6", True, 0.0),  # the 512th move
        ("7k/8/6K1/8/8/8/8/r7 b - - 0 256", "Rg1", True, 0.0),
        ("7k/5Q2/5K2/8/8/8/8/8 w - - 0 1", "Qg6", True, 0.0),  # stalemate
        ("8/8/4k3/8/8/3nK3/8/8 w - - 0 1", "Kxd3", True, 0.0),  # bare kings
        ("8/8/4k3/8/8/3rK3/8/1B6 w - - 0 1", "Bxd3", True, 0.0),  # a bishop cannot mate
        ("8/8/4k3/8/8/3rK3/8/1Q6 w - - 0 1", "Qxd3", False, 0.0),
        ("4k3/8/8/8/8/8/P7/4K3 w - - 0 1", "a3", False, 0.0),
    ],
)
def test_games_end_by_hand(fen: str, moves: str, ended: bool, value: float) -> None:
    assert played(fen, moves)[1:] == (ended, value)


def test_a_repetition_is_seen_in_the_present_and_in_the_past() -> None:
    state, *_ = played(chess.STARTING_FEN, OUT_AND_BACK)
    planes = GAME.observe(state[None])[0].reshape(119, 64).max(axis=1)
    np.testing.assert_array_equal(planes[12:112:14], [1, 0, 0, 0, 0, 0, 0, 0])
    state, *_ = played(chess.STARTING_FEN, OUT_AND_BACK + "Nf3")
    planes = GAME.observe(state[None])[0].reshape(119, 64).max(axis=1)
    np.testing.assert_array_equal(planes[12:112:14], [1, 1, 0, 0, 0, 0, 0, 0])
    assert not planes[13:112:14].any()


def test_a_batch_is_played_as_its_games_alone() -> None:
    fens = (chess.STARTING_FEN, KIWIPETE, *ENDINGS)
    states = np.stack([state_of(chess.Board(fen)) for fen in fens])
    actions = GAME.legal(states).argmax(axis=1)
    before = states.copy()
    together = step(GAME, states, actions)
    np.testing.assert_array_equal(states, before)
    for n, action in enumerate(actions):
        for one, many in zip(step(GAME, states[n : n + 1], np.array([action])), together, strict=True):
            np.testing.assert_array_equal(one[0], many[n])


def test_a_pawn_promoted_on_one_board_costs_no_castling_on_the_next() -> None:
    game = ChessGame("chess")
    promotes, castles = chess.Board("8/4P3/8/8/8/8/k7/7K w - - 0 1"), chess.Board("r3k2r/8/8/8/8/8/8/4K3 w kq - 0 1")
    states = np.stack([state_of(promotes), state_of(castles)])
    after = play(game, states, np.array([parse(states[0], "e7e8q"), parse(states[1], "e1d1")])).after
    assert board_of(after[1]).castling_rights == chess.BB_A8 | chess.BB_H8


def test_the_numbers_of_moves_are_lc0s() -> None:
    """Leela Chess Zero's policy has 1858 entries, every move that some piece can make, with a knight as promotion."""
    assert len(ACTION_OF) == 1858
    assert len(MOVES) == ACTIONS == 4672 == GAME.actions
    board = chess.Board("R6R/3Q4/1Q4Q1/4Q3/2Q4Q/Q4Q2/pp1Q4/kBNN1KB1 w - - 0 1")
    assert GAME.legal(state_of(board)[None]).sum() == GAME.most_legal == 218
    # The plane of one step straight up, from the cell of e2: row 6 from the top, column 4.
    assert parse(GAME.start(), "e2e3") == 73 * (8 * 6 + 4)
    assert [GAME.action_name(73 * (8 * 6 + 4) + 1, player) for player in (0, 1)] == ["e2e4", "e7e5"]
    assert GAME.action_name(0, 0) == "off the board"


def test_impossible_positions_are_refused() -> None:
    for fen, wrong in (
        ("8/8/8/8/8/8/8/8 w - - 0 1", "valid"),
        ("4k3/8/8/8/8/8/8/4K2R w - - 100 80", "less than 100"),
        ("4k3/8/8/8/8/8/8/4K2R w - - 0 257", "less than 512"),
    ):
        with pytest.raises(ValueError, match=wrong):
            state_of(chess.Board(fen))
    with pytest.raises(ValueError, match="standard chess"):
        state_of(chess.Board.from_chess960_pos(10))


def test_a_search_finds_a_mate_in_one() -> None:
    for fen, mate in (
        ("6k1/5ppp/8/8/8/8/5PPP/R5K1 w - - 0 1", "Ra8#"),
        ("r5k1/5ppp/8/8/8/8/5PPP/6K1 b - - 0 1", "Ra1#"),
    ):
        state = state_of(chess.Board(fen))
        uniform = Search(GAME, SearchConfig(simulations=60, rule="puct"), 1)
        found = uniform.run(state[None], lambda states: (np.zeros((len(states), ACTIONS)), np.zeros(len(states))))
        assert found.action[0] == parse(state, mate)
    lots = Search(GAME, SearchConfig(simulations=60, rule="puct"), 1)
    state = state_of(chess.Board("7k/8/5K2/8/8/8/8/6Q1 w - - 90 1"))  # so that games by lot are soon over
    assert lots.run(state[None], RolloutEvaluator(GAME, 0)).action[0] == parse(state, "Qg7#")


def test_as_a_world_it_has_masks_and_ends() -> None:
    world, chooser = BoardGame("chess", "one_ply", seat="first", render_mode="ansi"), np.random.default_rng(0)
    observation, _ = world.reset(seed=0)
    assert world.observation_space.contains(observation)
    ended, reward = False, 0.0
    for _ in range(6):
        np.testing.assert_array_equal(observation[ACTION_MASK], GAME.legal(world._state[None])[0])
        observation, reward, ended, *_ = world.step(chooser.choice(np.flatnonzero(observation[ACTION_MASK])))
        assert world.observation_space.contains(observation)
        assert (reward, ended) == (0.0, False)
    observation, _ = world.reset(seed=0)
    with pytest.raises(ValueError, match=r"is not legal in chess; legal: .*\(e2e4\)"):
        world.step(0)


def test_text_is_written_as_python_chess_does() -> None:
    state, *_ = played(chess.STARTING_FEN, "e4 c5 Nf3")
    lines = board_text(GAME, state, 1).splitlines()
    assert lines[0] == "  a b c d e f g h"
    assert [line[2:] for line in lines[1:]] == str(board_of(state)).splitlines()
    assert lines[1] == "8 r n b q k b n r"


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("chess_game", "chess_boards"):
        monkeypatch.delitem(sys.modules, f"keel.envs.games.{module}")
    monkeypatch.setitem(sys.modules, "chess", None)
    with pytest.raises(ImportError, match=r"pip install 'keel-rl\[games\]'"):
        make_game("chess")


def test_only_who_plays_chess_loads_python_chess() -> None:
    program = "import sys, keel.envs.games.games, keel.envs.games.draw; sys.exit('chess' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
