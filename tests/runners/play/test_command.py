"""`keel play` as a command: what it refuses, what it shows where, and what it says in the end."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pygame
import pytest

from keel.runners.games import pretrained
from keel.runners.run import Run

Keel = Callable[..., Any]
committed_run = pretrained.pretrained_run


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What the person types."""

    def give(*lines: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))

    return give


@pytest.fixture(autouse=True)
def _no_committed_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "pretrained_run", lambda game: None)


def test_without_a_display_it_says_what_to_do(keel: Keel) -> None:
    done = keel("play", "connect_four")
    assert done.code == 2
    assert done.error == "keel: there is no display to open a window on: play in the terminal with --text\n"


def test_a_display_that_does_not_answer(keel: Keel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keel.runners.window.has_display", lambda: True)
    monkeypatch.delenv("SDL_VIDEODRIVER")
    monkeypatch.setattr(pygame.display, "get_driver", lambda: "offscreen")
    monkeypatch.setattr(pygame.display, "init", lambda: None)
    done = keel("play", "tic_tac_toe", "--simulations", 5)
    assert done.code == 2
    assert "no window can be opened: the display does not answer; --text plays in the terminal" in done.error


def test_bad_input_is_refused_before_anything_starts(keel: Keel, tmp_path: Path) -> None:
    assert "did you mean 'connect_four'?" in keel("play", "conect_four", "--text").error
    assert keel("play", "connect_four", "--text", "--run", "nobody").code == 2
    assert "a whole number of at least 1" in keel("play", "connect_four", "--text", "--simulations", 0).error
    assert "not allowed with" in keel("play", "hex", "--level", "easy", "--simulations", 3).error
    picture = keel("play", "connect_four", "--screenshot", "board.gif")
    assert "--screenshot is 'board.gif': a file that ends in .png, .jpg, .bmp would be right" in picture.error
    Run.create("CartPole-v1", "ppo", 0, {}, run_dir=tmp_path / "run")
    wrong = keel("play", "connect_four", "--text", "--run", tmp_path / "run")
    assert wrong.code == 2
    assert "is a run of ppo on CartPole-v1" in wrong.error


def test_text_with_json_keeps_stdout_for_the_object(keel: Keel, typed: Callable[..., None]) -> None:
    typed(*[column for column in "abcdefg" for _ in range(6)], "quit")
    done = keel("play", "connect_four", "--text", "--json", "--simulations", 40, "--seat", "second", "--seed", 1)
    assert done.code == 0
    assert done.json["game"] == "connect_four"
    assert done.json["agent"] == "Monte Carlo search, no network"
    assert done.json["level"] == "40 simulations"
    (game,) = done.json["games"]
    assert game["seat"] == "second"
    assert game["result"] in ("won", "lost", "drawn")
    assert "the agent plays" in done.error


def test_who_plays_where_no_run_is_named(
    keel: Keel, typed: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "pretrained_run", committed_run)
    agents = {"tic_tac_toe": "the network that comes with Keel", "hex_7x7": "Monte Carlo search, no network"}
    if importlib.util.find_spec("chess"):
        agents["chess"] = "rules of thumb, no network"
    for game, agent in agents.items():
        typed("quit")
        assert keel("play", game, "--text", "--json").json["agent"] == agent


def test_text_ends_with_the_score(keel: Keel, typed: Callable[..., None]) -> None:
    typed(*[column for column in "gfedcba" for _ in range(6)], "quit")
    done = keel("play", "connect_four", "--text", "--level", "easy", "--seed", 1)
    assert done.code == 0
    scores = ("won 1, lost 0, drawn 0", "won 0, lost 1, drawn 0", "won 0, lost 0, drawn 1")
    assert done.out.splitlines()[-1].endswith(scores)


def test_a_screenshot_needs_no_display(keel: Keel, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "board.png"
    done = keel("play", "tic_tac_toe", "--screenshot", path, "--simulations", 20, "--seat", "second", "--json")
    assert done.code == 0
    assert done.json["games"] == []
    assert pygame.image.load(path).get_size() == (1100, 760)


def test_a_game_without_a_picture_is_played_as_text(keel: Keel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keel.envs.games.draw_pieces.LOOKS", {})
    done = keel("play", "hex")
    assert done.code == 2
    assert done.error == "keel: there is no picture of hex: play it in the terminal with --text\n"


def test_help_names_the_levels_and_keys(keel: Keel) -> None:
    done = keel("play", "--help")
    assert done.code == 0
    assert "--level {easy,medium,hard}" in done.out
    assert "escape quits" in " ".join(done.out.split())
