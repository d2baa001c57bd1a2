"""What the command line makes of errors that are nobody's bad setting."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keel.runners import cli
from keel.runners.run import Run

Keel = Callable[..., Any]


def said(outcome: Any) -> str:
    """The one message of a command that failed."""
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert len(outcome.error.splitlines()) == 1
    return outcome.error


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create("CartPole-v1", "ppo", 0, {}, run_dir=tmp_path / "run")


@pytest.mark.parametrize(
    "target", [*filter(None, (target for target, _ in cli.COMMANDS.values())), *cli.AGENTS.values()]
)
def test_every_command_is_there(target: str) -> None:
    module, _, name = target.partition(":")
    assert callable(getattr(importlib.import_module(f"keel.runners.{module}"), name))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(keel: Keel, run: Run) -> None:
    (run.path / "config.json").chmod(0)
    assert f"Permission denied: '{run.path / 'config.json'}'" in said(keel("evaluate", run.path))


@pytest.mark.parametrize("error", [PermissionError, FileExistsError, NotADirectoryError])
def test_an_error_of_the_file_system_is_one_message(
    keel: Keel, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    def fail(arguments: list[str]) -> int:
        raise error(1, "cannot be written", arguments[0])

    monkeypatch.setattr("keel.runners.compare.command.main", fail)
    assert said(keel("compare", "some/folder")) == "keel: [Errno 1] cannot be written: 'some/folder'\n"


def test_the_help_names_the_way_to_a_traceback(keel: Keel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "KEEL_TRACEBACK=1" in keel("--help").out
    said(keel("evaluate", tmp_path))
    monkeypatch.setenv("KEEL_TRACEBACK", "1")
    with pytest.raises(FileNotFoundError):
        keel("evaluate", tmp_path)


@pytest.mark.parametrize("command", [("train", "ppo", "--env", "keel/CartPole-v0"), ("watch", "latest")])
@pytest.mark.usefixtures("runs_directory")
def test_two_pygames_are_refused(
    keel: Keel, command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both as pip leaves them: two descriptions of one folder `pygame`."""
    cli.check_pygame()  # of itself the environment of the tests is sound
    for name in ("pygame", "pygame_ce"):
        about = tmp_path / "site" / f"{name}-2.6.1.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Name: {name.replace('_', '-')}\nVersion: 2.6.1\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    message = said(keel(*command))
    assert "pygame 2.6.1 and pygame-ce 2.6.1" in message
    assert "pip uninstall -y pygame pygame-ce" in message
