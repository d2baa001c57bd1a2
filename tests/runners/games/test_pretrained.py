"""The networks that come with Keel: small, whole, and better than play by lot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keel.envs.games.games import make_game
from keel.runners import checkpoint
from keel.runners.arena.match import play_match
from keel.runners.games import pretrained
from keel.runners.games.players import make_player, run_player
from keel.runners.games.pretrained import keep, pretrained_run
from keel.runners.run import Run

GAMES = ("tic_tac_toe", "connect_four", "othello_6x6")
LEAST = {"tic_tac_toe": 0.8, "connect_four": 0.95, "othello_6x6": 0.9}  # points against play by lot
MOST_BYTES = 1_000_000


def strings(node: Any) -> Iterator[str]:
    """Every text in what JSON holds."""
    if isinstance(node, dict | list):
        for part in node.values() if isinstance(node, dict) else node:
            yield from strings(part)
    elif isinstance(node, str):
        yield node


@pytest.mark.parametrize("game_name", GAMES)
def test_they_are_small_whole_and_strong(game_name: str) -> None:
    run = pretrained_run(game_name)
    assert run is not None
    assert sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file()) <= MOST_BYTES
    assert run.environment()["command"][0] == "keel", "and not where it was installed"
    texts = [json.loads(path.read_text()) for path in run.path.rglob("*.json")]
    assert not [text for text in strings(texts) if text.startswith("/")], "no path of the machine that made it"
    game = make_game(game_name)
    match = play_match(game, run_player(run, game, 24), make_player("random", game), 40, 0, opening_moves=1)
    assert match.tally().score >= LEAST[game_name]


@pytest.mark.parametrize(("game_name", "alike"), [("connect_four", True), ("othello_6x6", False)])
def test_where_there_is_one_mirror_image_it_is_asked_about_too(game_name: str, alike: bool) -> None:
    run, game = pretrained_run(game_name), make_game(game_name)
    assert run is not None
    state, image = np.zeros((2, game.height, game.width), np.int8)
    state[-1, :4], state[-2, 2:4] = [1, -1, 1, -1], [1, -1]
    image[:] = state[:, ::-1]
    states = np.zeros((2, game.state_size), np.int8)
    states[:, : game.height * game.width] = np.stack([state, image]).reshape(2, -1)
    found = run_player(run, game, 1).think(states)
    assert (abs(found.network_value[0] - found.network_value[1]) < 1e-5) == alike


def test_a_game_without_one() -> None:
    assert pretrained_run("hex") is None


def test_keeping_takes_what_is_needed_and_replaces_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = pretrained_run("tic_tac_toe")
    assert source is not None
    copy = tmp_path / "run"
    shutil.copytree(source.path, copy)
    home = tmp_path / "home"
    (home / "tic_tac_toe" / "checkpoints" / "old").mkdir(parents=True)
    monkeypatch.setattr(pretrained, "_home", lambda: home)
    folder = keep(Run.open(copy))
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoints", "config.json", "environment.json"]
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["best"]
    assert Run.open(folder).environment()["command"][0] == "keel"
    with pytest.raises(checkpoint.CheckpointError):
        keep(Run(tmp_path / "nothing", Run.open(copy).config))
