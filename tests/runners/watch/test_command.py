"""`keel watch` from its options to what is seen: films, text, grids, a run that trains, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import pytest

import keel as keel_package
from keel.envs.errors import KeelError
from keel.runners.run import Run
from keel.runners.watch.command import main, told, with_own_titles
from keel.runners.watch.rows import Overlay


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a moment in a world that draws itself as picture and as text."""
    path = tmp_path_factory.mktemp("runs") / "pole"
    settings: dict[str, Any] = {"total_steps": 512, "num_envs": 4, "num_steps": 64, "minibatch_size": 64}
    settings |= {"evaluate_every": 256, "evaluate_episodes": 2, "video": False, "epochs": 1}
    keel_package.train("ppo", env="keel/CartPole-v0", run_dir=path, **settings)
    return path


@pytest.fixture(autouse=True)
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def shape(path: Path | str) -> tuple[int, int]:
    with av.open(str(path)) as film:
        return film.streams.video[0].width, film.streams.video[0].height


def summary(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_film_with_the_overlay_is_wider_and_shows_the_same_episodes(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = summary(capsys, trained, "--episodes", 2, "--speed", 8, "--video", tmp_path / "plain.mp4")
    seen = summary(capsys, trained, "--episodes", 2, "--speed", 8, "--video", tmp_path / "overlay.mp4", "--overlay")
    assert seen["episodes"] == plain["episodes"]
    assert len(seen["episodes"]) == 2
    assert shape(tmp_path / "overlay.mp4")[0] == shape(tmp_path / "plain.mp4")[0] + 340


def test_the_seed_says_which_episodes(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def lengths(seed: int) -> list[int]:
        seen = summary(capsys, trained, "--seed", seed, "--video", tmp_path / "film.gif", "--speed", 64)
        return [episode["length"] for episode in seen["episodes"]]

    assert lengths(1) == lengths(1)
    assert lengths(1) != lengths(2)


def test_without_a_display_a_film_is_written_into_the_runs_folder(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = summary(capsys, trained, "--episodes", 1, "--seed", 4)
    assert seen["video"] == str(trained / "videos" / "watch-best-4.mp4")
    assert Path(seen["video"]).is_file()


def test_text_with_the_overlay_says_what_the_agent_thinks(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(trained), "--text", "--overlay", "--episodes", "1"]) == 0
    out = capsys.readouterr().out
    steps = out.count("episode 1")
    assert steps > 5
    assert out.count("\n> push ") == steps
    assert out.count("\n  cart position ") == steps
    assert out.count("\nvalue ") == steps
    assert out.splitlines()[-1].startswith("returns ")


def test_a_grid_names_its_agents(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film = tmp_path / "grid.mp4"
    seen = summary(capsys, trained, trained, trained, "--episodes", 1, "--video", film, "--speed", 8)
    assert [agent["title"] for agent in seen["agents"]] == ["pole"] * 3  # worlds and agents are the same
    assert len({json.dumps(agent["episodes"]) for agent in seen["agents"]}) == 1
    assert shape(film)[0] == 1280
    assert told(seen).splitlines()[0].startswith("pole: returns ")


def test_a_run_that_has_ended_is_followed_to_its_last_checkpoint(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main([str(trained), "--live", "--video", str(tmp_path / "live.mp4"), "--json"]) == 0
    printed = capsys.readouterr()
    assert [episode["weights"] for episode in json.loads(printed.out)["episodes"]] == ["step 512"]
    assert printed.err.startswith("step 512: return ")


def test_a_controller_is_watched_with_what_it_sees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--controller", "b2", "--env", "keel/DataCenterCooling-v0", "--env.max_episode_steps", "24"]
    seen = summary(capsys, *arguments, "--overlay", "--episodes", 1, "--video", tmp_path / "film.mp4")
    assert seen["episodes"][0]["length"] == 24
    assert shape(tmp_path / "film.mp4") == (1280 + 340, 720)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "say who shall act: RUN, or --controller"),
        ("--controller b2", "--env and --controller belong together"),
        ("RUN --env keel/CartPole-v0", "--env and --controller belong together"),
        ("RUN --controller b2 --env keel/CartPole-v0", "say who shall act"),
        ("RUN --episodes 0", "--episodes is 0: it must be a whole number of at least 1"),
        ("RUN --seed -1", "--seed is -1"),
        ("RUN --speed 0", "--speed is 0.0: it must be a number from 1/16 to 64"),
        ("RUN --speed nan", "--speed is nan"),
        ("RUN --video film.avi", r"must end in .mp4 or .gif, got 'film.avi'"),
        ("RUN --video film.mp4 --text", "leave one of them out"),
        ("RUN --text --json", "--text prints the frames and --json one object alone"),
        ("RUN " * 17, "a grid shows 2 to 16 agents at once, got 17"),
        ("--controller b2 --env keel/DataCenterCooling-v0 --checkpoint last", "--checkpoint is of a run"),
        ("RUN RUN --text", "--text shows one run at a time"),
        ("RUN --live --checkpoint best", "--live shows the newest checkpoint"),
        ("--controller b2 --env keel/DataCenterCooling-v0 --live", "a controller does not learn"),
        ("RUN --opening-moves 3", "--opening-moves is for board games"),
        ("nobody", "'nobody' is no run"),
        ("RUN nobody", "'nobody' is no run"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_starts(
    trained: Path, arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        main([str(trained) if word == "RUN" else word for word in arguments.split()])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", ["RUN --speed fast", "RUN --checkpoint worst", "RUN --loud"])
def test_words_that_are_no_options_are_refused(
    trained: Path, arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([str(trained) if word == "RUN" else word for word in arguments.split()])
    assert arguments.split()[-1] in capsys.readouterr().err


def test_in_a_window_the_overlay_is_on_of_itself(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import pygame

    monkeypatch.setattr("keel.runners.window.has_display", lambda: True)
    monkeypatch.setattr("keel.runners.watch.command.opens_window", lambda: True)  # to close it drops the keys
    painted: list[Overlay | None] = []
    monkeypatch.setattr(
        "keel.runners.watch.picture.paint_moment", lambda surface, moment, overlay: painted.append(overlay)
    )
    pygame.display.init()
    for key in (pygame.K_RIGHT, pygame.K_RIGHT, pygame.K_o, pygame.K_RIGHT, pygame.K_q):
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))
    seen = summary(capsys, trained)
    assert seen == {"episodes": [], "video": None}
    assert painted[0] is not None
    assert painted[0].world == "keel/CartPole-v0"
    assert painted[0].agent.startswith("ppo")


def test_a_display_that_does_not_answer_means_a_film_that_ends(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(title: str) -> None:
        raise KeelError("no window can be opened: the display does not answer")

    monkeypatch.setattr("keel.runners.window.has_display", lambda: True)
    monkeypatch.setattr("keel.runners.window.Window", broken)
    assert main([str(trained), "--live", "--speed", "64"]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("the display does not answer; filming instead") == 1
    assert printed.out.endswith(f"film: {trained / 'videos' / 'watch-live-0.mp4'}\n")


def test_only_equal_titles_give_way_to_names(trained: Path) -> None:
    from keel.runners.watch.episodes import Watched

    def titles(*given: str) -> list[str]:
        watched = [Watched(None, None, title) for title in given]  # pyright: ignore[reportArgumentType]
        return [one.title for one in with_own_titles(watched, [str(trained)] * len(given))]

    assert titles("one", "two", "two") == ["one", "pole", "pole"]
    assert Run.open(trained).name == "pole"
