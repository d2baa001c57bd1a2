"""Train PPO: `keel train ppo --env ID`, or `python runners/train_ppo.py --env ID`."""

from __future__ import annotations

import sys

from keel.runners import commands


def main(arguments: list[str]) -> int:
    return commands.train("ppo", arguments)


if __name__ == "__main__":
    from keel.runners.cli import run

    sys.exit(run("train_ppo:main", sys.argv[1:]))
