"""The networks that come with Keel, so that there is somebody to play against at once.

`python -m keel.runners.games.pretrained RUN…` puts the best networks of runs among them, in place of those that are there.
"""

from __future__ import annotations

import shutil
import sys
from importlib.resources import files
from pathlib import Path

from keel.runners import checkpoint
from keel.runners.files import write_json
from keel.runners.run import Run
from keel.runners.selfplay.settings import SelfPlaySettings


def pretrained_run(game: str) -> Run | None:
    """The run whose network comes with Keel for this game; None where there is none."""
    folder = _home() / game
    return Run.open(folder) if (folder / "config.json").is_file() else None


def keep(run: Run) -> Path:
    """Put a run's best network among those that come with Keel: its settings, where it was made, and the checkpoint.

    Raises: ValueError: a run that is no self-play. CheckpointError: it has no whole best checkpoint.
    """
    game = SelfPlaySettings.from_run(run).game
    best = checkpoint.resolve(run.path, "best")
    checkpoint.load(best)  # whole, or an error
    folder = _home() / game
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(best, folder / "checkpoints" / checkpoint.BEST)
    shutil.copy(run.path / "config.json", folder / "config.json")
    environment = run.environment()
    environment["command"] = ["keel", *environment["command"][1:]]  # not where it is installed
    write_json(folder / "environment.json", environment)
    return folder


def _home() -> Path:
    return Path(str(files("keel.pretrained")))


def main(arguments: list[str]) -> int:
    """Keep the runs that are named."""
    for reference in arguments:
        folder = keep(Run.open(reference))
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        print(f"{folder}: {size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
