"""Train by an algorithm of Stable-Baselines3: `keel train sb3-sac --env ID`, and sb3-td3, sb3-a2c, sb3-ppo, sb3-dqn.

`python runners/train_sb3.py sb3-sac --env ID` is the same.
"""

from __future__ import annotations

import functools
import sys

from keel.runners import commands

main_sac = functools.partial(commands.train, "sb3-sac")
main_td3 = functools.partial(commands.train, "sb3-td3")
main_a2c = functools.partial(commands.train, "sb3-a2c")
main_ppo = functools.partial(commands.train, "sb3-ppo")
main_dqn = functools.partial(commands.train, "sb3-dqn")


if __name__ == "__main__":
    from keel.runners.cli import main

    sys.exit(main(["train", *sys.argv[1:]]))
