"""Watching games: every position once, the win for longer, and what the mover thinks is what it plays."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from keel.agents.evaluators import RolloutEvaluator
from keel.agents.players import ScriptedPlayer, SearchPlayer
from keel.agents.search import SearchConfig
from keel.envs.games.draw_layout import frame_size
from keel.envs.games.draw_pieces import LOOKS
from keel.envs.games.games import make_game
from keel.runners.games.frame import (
    PANEL,
    SIDE,
    best_line,
    count,
    first_expects,
    headline,
    scene_picture,
    scene_text,
)
from keel.runners.games.scenes import Scene, Thought, play_scenes
from keel.runners.run import Run
from keel.runners.watch.games import told, watch_command, watch_games

GAME = make_game("tic_tac_toe")
FOUR = make_game("connect_four")


class Column:
    """Plays one column of Connect Four, or cell of another game, as long as it can."""

    def __init__(self, game: Any, name: str, *moves: int) -> None:
        self.game, self.name, self.moves = game, name, moves

    def choose(self, states: Any, chance: np.random.Generator) -> Any:
        legal = self.game.legal(states)
        return np.array([next(move for move in self.moves if row[move]) for row in legal], np.int32)


def search(game: Any = GAME, simulations: int = 60) -> SearchPlayer:
    config = SearchConfig(simulations=simulations, rule="puct")
    return SearchPlayer("searcher", game, RolloutEvaluator(game, 0), config)


LEFT, RIGHT = Column(FOUR, "left", *range(9)), Column(FOUR, "right", *range(6, -1, -1))


def test_scenes_are_all_positions_of_both_games() -> None:
    """Left fills column a and right column g: who moves first has four in a column after its fourth stone."""
    scenes = list(play_scenes(FOUR, LEFT, RIGHT, [[], []], 0))
    assert [scene.number for scene in scenes] == [1] * 8 + [2] * 8
    first, second = scenes[7], scenes[15]
    assert first.moves == [0, 6, 0, 6, 0, 6, 0]
    assert second.moves == [6, 0, 6, 0, 6, 0, 6]
    assert (first.players, second.players) == (("left", "right"), ("right", "left"))
    assert first.winner == second.winner == 0
    assert first.thought is second.thought is first.legal is None
    assert [scene.thought.action for scene in scenes[:7]] == first.moves
    assert [scene.mover for scene in scenes[:3]] == [0, 1, 0]


def test_the_second_player_can_win() -> None:
    """In the opening the first stone goes elsewhere; right then has its column full first."""
    *_, last = play_scenes(FOUR, LEFT, RIGHT, [[3, 6, 3, 6]], 0)
    assert last.moves[:4] == [3, 6, 3, 6]
    assert last.winner == 1
    assert headline(last, ("red", "yellow")) == "yellow (right) has won"
    assert first_expects(last) == 0.0


def test_the_opening_is_marked_as_drawn_by_lot() -> None:
    scenes = list(play_scenes(FOUR, LEFT, RIGHT, [[3, 2]], 0))
    assert [scene.thought.by_lot for scene in scenes[:4]] == [True, True, False, False]
    assert best_line(FOUR, scenes[1]) == "by lot: c"
    assert best_line(FOUR, scenes[2]) == "plays: a"


def test_a_draw_is_a_draw() -> None:
    *_, last = play_scenes(GAME, LEFT, RIGHT, [[0, 1, 2, 4, 3, 5, 7, 6, 8]], 0)
    assert last.winner is None
    assert headline(last, ("X", "O")) == "a draw"
    assert first_expects(last) == 0.5


def test_what_is_thought_is_what_is_played_and_what_is_expected() -> None:
    scenes = list(play_scenes(GAME, search(), ScriptedPlayer(GAME, "random"), [[]], 0))
    for scene, following in pairwise(scenes):
        thought = scene.thought
        assert following.moves == [*scene.moves, thought.action]
        if scene.mover == 0:
            value = float(thought.value)
            assert -1.0 <= value <= 1.0
            assert thought.line[0] == thought.action
            assert first_expects(scene) == (value + 1) / 2
        else:
            assert thought.value is None
            assert first_expects(scene) is None


def test_expectations_are_told_for_who_moves_first() -> None:
    def expected(moves: list[int], value: float) -> float | None:
        return first_expects(Scene(1, ("a", "b"), GAME.start(), None, moves, Thought(0, value=value)))

    assert expected([], 0.5) == 0.75
    assert expected([4], 0.5) == 0.25


def test_long_lines_are_cut_and_named_for_each_player() -> None:
    hex_game = make_game("hex_7x7")
    scene = Scene(1, ("a", "b"), hex_game.start(), None, [0], Thought(1, value=0.0, line=range(1, 15)))
    assert best_line(hex_game, scene).startswith("best line: a2 c1 a4")  # the second player's board is transposed
    assert best_line(hex_game, scene).endswith(" …")


def test_text_holds_board_names_and_numbers() -> None:
    scene = Scene(2, ("a", "b"), GAME.start(), None, [], Thought(4, value=0.5, line=[4, 0]))
    assert scene_text(GAME, scene, 3) == "\n".join(
        [
            *("  a b c", "3 . . .", "2 . . .", "1 . . .", "X (a) to move", "a 75 %, b 25 %"),
            *("best line: b2 a3", "game 2 of 3, move 1"),
        ]
    )
    assert count(scene._replace(thought=None, moves=[0, 1]), 3) == "game 2 of 3, 2 moves"


@pytest.mark.parametrize("name", ["tic_tac_toe", "connect_four", "othello_6x6", "hex_7x7", "breakthrough", "chess"])
def test_the_bar_shows_what_is_expected_in_the_colours_of_the_players(name: str) -> None:
    game = make_game(name)
    scene = next(play_scenes(game, search(game, 4), search(game, 4), [[]], 0))
    scene = scene._replace(thought=Thought(scene.thought.action, value=0.5))
    frame = scene_picture(game, scene, 1)
    width, height = frame_size(game)
    assert frame.shape == (height + PANEL, width, 3)
    assert frame.dtype == np.uint8
    bar = frame[height + 14, SIDE + 1 : width - SIDE - 1]
    colours = next(look.colours for beginning, look in LOOKS.items() if name.startswith(beginning))
    shares = [np.mean((bar == colour).all(axis=1)) for colour in colours]
    assert shares == pytest.approx([0.75, 0.25], abs=0.005)


def grey(frame: Any) -> float:
    return float(frame.to_ndarray(format="rgb24").mean())


def test_a_film_holds_the_end_and_tells_the_result(tmp_path: Path) -> None:
    path = tmp_path / "game.mp4"
    seen = watch_games(FOUR, LEFT, RIGHT, games=2, seed=3, opening_moves=0, video=path)
    assert seen["video"] == str(path)
    one = {"winner": "first", "moves": ["a", "g", "a", "g", "a", "g", "a"], "first": "left", "second": "right"}
    assert seen["games"][0] == one
    assert seen["games"][1]["moves"] == ["g", "a", "g", "a", "g", "a", "g"]
    with av.open(str(path)) as film:
        assert film.streams.video[0].average_rate == 1
        frames = [grey(frame) for frame in film.decode(video=0)]
    assert len(frames) == 2 * (7 + 4)
    assert np.ptp(frames[7:11]) < 0.2 < abs(frames[11] - frames[10])  # the end stays for four seconds, then it begins
    assert told(seen).splitlines()[0] == "left – right: left, who moved first, won after 7 moves"
    assert told(seen).endswith(f"film: {path}")


def test_openings_make_games_differ(capsys: pytest.CaptureFixture[str]) -> None:
    seen = watch_games(FOUR, LEFT, LEFT, games=3, seed=0, opening_moves=2, text=True)
    assert len({tuple(one["moves"][:2]) for one in seen["games"]}) == 3
    assert capsys.readouterr().out.count("game 1 of 3") == len(seen["games"][0]["moves"]) + 1
    again = watch_games(FOUR, LEFT, LEFT, games=3, seed=0, opening_moves=2, text=True)
    assert again == seen


def test_a_window_shows_the_end_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, float]] = []

    class Shown:
        def __init__(self, title: str) -> None:
            assert title == "connect_four · left – right"

        def show(self, frame: Any, line: str, seconds: float) -> bool:
            shown.append((line, seconds))
            return len(shown) < 10

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr("keel.runners.window.has_display", lambda: True)
    monkeypatch.setattr("keel.runners.window.Window", Shown)
    seen = watch_games(FOUR, LEFT, RIGHT, games=5, opening_moves=0)
    assert len(shown) == 10  # then the window was closed
    assert shown[6:9] == [("game 1 of 5, move 7", 1.0), ("game 1 of 5, 7 moves", 4.0), ("game 2 of 5, move 1", 1.0)]
    assert len(seen["games"]) == 1


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="games is 0"):
        watch_games(FOUR, LEFT, RIGHT, games=0)
    with pytest.raises(ValueError, match="opening_moves is 50"):
        watch_games(FOUR, LEFT, RIGHT, opening_moves=50)
    with pytest.raises(ValueError, match="speed is 0"):
        watch_games(FOUR, LEFT, RIGHT, speed=0)


def test_games_without_a_picture_are_shown_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    game = make_game("openspiel:clobber(rows=3,columns=3)")
    player = Column(game, "one", *range(game.actions))
    with pytest.raises(ValueError, match=r"openspiel:clobber.* cannot be drawn: --text shows it"):
        watch_games(game, player, player)
    seen = watch_games(game, player, player, games=1, opening_moves=0, text=True)
    assert capsys.readouterr().out.count("game 1 of 1") == len(seen["games"][0]["moves"]) + 1


def test_runs_of_worlds_are_not_its_business(runs_directory: Path) -> None:
    Run.create("CartPole-v1", "ppo", 0, {}, run_dir=runs_directory / "pole")
    assert watch_command(["pole", "--env.any", "1"]) is None
    assert watch_command(["nobody"]) is None
    assert watch_command(["--controller", "b0"]) is None


def test_a_run_that_learnt_by_self_play_is_watched(
    runs_directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Run.create("tic_tac_toe", "alphazero", 0, {}, run_dir=runs_directory / "self")
    asked: list[str] = []

    def make_player(words: str, game: Any, **_: Any) -> Any:
        asked.append(words)
        return Column(game, words, *range(9))

    monkeypatch.setattr("keel.runners.games.players.make_player", make_player)
    assert watch_command(["self", "--json", "--text", "--episodes", "1", "--opening-moves", "0"]) == 0
    *_, last = io.StringIO(capsys.readouterr().out)
    assert json.loads(last)["games"][0]["first"] == "self"
    assert watch_command(["self:9", "--against", "random", "--video", "film.gif", "--episodes", "2"]) == 0
    assert "random – self:9: " in capsys.readouterr().out
    assert Path("film.gif").is_file()
    assert asked == ["self", "self:9", "random"]
    with pytest.raises(ValueError, match=r"--env.opponent has no meaning where a board game is watched"):
        watch_command(["self", "--env.opponent", "random"])
    with pytest.raises(FileNotFoundError, match="did you mean 'random'"):
        watch_command(["self", "--against", "randm"])
