"""The networks that come with Keel, so that there is somebody to play against at once."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from keel.runners.run import Run


def pretrained_run(game: str) -> Run | None:
    """The run whose network comes with Keel for this game; None where there is none."""
    folder = Path(str(files("keel.pretrained"))) / game
    return Run.open(folder) if (folder / "config.json").is_file() else None
