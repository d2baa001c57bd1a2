"""Train DQN: `keel train dqn --env ID`, or `python runners/train_dqn.py --env ID`.

`keel train dqn-2015`, `keel train rainbow`, `keel train pqn` and `keel train r2d2` are its kin.
"""

from __future__ import annotations

import functools
import sys

from keel.runners import commands

main = functools.partial(commands.train, "dqn")
main_2015 = functools.partial(commands.train, "dqn-2015")
main_rainbow = functools.partial(commands.train, "rainbow")
main_pqn = functools.partial(commands.train, "pqn")
main_r2d2 = functools.partial(commands.train, "r2d2")


if __name__ == "__main__":
    from keel.runners.cli import run

    sys.exit(run("train_dqn:main", sys.argv[1:]))
