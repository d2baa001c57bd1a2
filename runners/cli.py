"""`keel <command>`: finds the command and hands it the rest of the line. Nothing heavy is imported before that."""

from __future__ import annotations

import importlib
import os
import sys

from keel.envs.errors import KeelError, closest

COMMANDS = {
    "train": ("", "train an agent: keel train ppo --env CartPole-v1"),
    "pretrain": ("pretrain.command:main", "learn images, texts or prices first: keel pretrain cnn --task digits"),
    "resume": ("commands:resume", "continue stopped runs exactly where they were"),
    "evaluate": ("commands:evaluate", "greedy episodes on unseen seeds: mean, spread, extremes"),
    "watch": (
        "watch.command:main",
        "see agents act: a window, a film or text, several side by side, live while training",
    ),
    "play": ("play.command:main", "play a board game against an agent, in a window"),
    "arena": ("arena.command:main", "let players of a board game meet: who is how strong, with intervals"),
    "compare": (
        "compare.command:main",
        "runs side by side: curves with seed bands, statistics, cost, films, one HTML page",
    ),
    "tune": ("tune.command:main", "find settings that learn faster: keel tune ppo --env CartPole-v1"),
    "dashboard": ("dashboard.command:main", "all runs in the browser, live while they train"),
    "sync": ("commands:sync", "send runs to Weights & Biases"),
    "envs": ("commands:envs", "the worlds that can be trained on"),
    "benchmark": ("benchmark:main", "measure speed and learning beside Stable-Baselines3"),
}
AGENTS = {
    "ppo": "train_ppo:main",
    "dqn": "train_dqn:main",
    "dqn-2015": "train_dqn:main_2015",
    "rainbow": "train_dqn:main_rainbow",
    "pqn": "train_dqn:main_pqn",
    "r2d2": "train_dqn:main_r2d2",
    "alphazero": "train_alphazero:main",
    "sb3-sac": "train_sb3:main_sac",
    "sb3-td3": "train_sb3:main_td3",
    "sb3-a2c": "train_sb3:main_a2c",
    "sb3-ppo": "train_sb3:main_ppo",
    "sb3-dqn": "train_sb3:main_dqn",
}
DRAWING = {*AGENTS.values(), COMMANDS["watch"][0], COMMANDS["play"][0]}

USAGE = """usage: keel COMMAND …

{commands}

RUN is a run's folder, its name (or the unique start of it) under results/runs, or `latest`.
`keel COMMAND --help` says more; `--json` prints one JSON object alone on stdout.
KEEL_TRACEBACK=1 in the environment shows where in the code an error arose.
"""


def usage() -> str:
    return USAGE.format(commands="\n".join(f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items()))


def find(arguments: list[str]) -> tuple[str, list[str]]:
    """The `module:function` that answers the command line, and the arguments that are left for it.

    Raises:
        ValueError: no such command or agent; names the nearest one.
    """
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        raise ValueError(f"'{name}' is not a command{closest(name, COMMANDS)}; `keel --help` lists them")
    if name != "train":
        return COMMANDS[name][0], rest
    if not rest or rest[0].startswith("-"):
        raise ValueError(f"keel train AGENT --env ID: say which agent; there are: {', '.join(AGENTS)}")
    if rest[0] not in AGENTS:
        raise ValueError(f"'{rest[0]}' is not an agent{closest(rest[0], AGENTS)}; there are: {', '.join(AGENTS)}")
    return AGENTS[rest[0]], rest[1:]


def check_pygame() -> None:
    """pygame and pygame-ce write the same files: side by side each breaks the other, with errors that name neither.

    Raises:
        KeelError: both are installed; says how to mend it.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        both = f"pygame {version('pygame')} and pygame-ce {version('pygame-ce')}"
    except PackageNotFoundError:
        return
    raise KeelError(
        f"{both} are both installed and break one another; mend it with: "
        "pip uninstall -y pygame pygame-ce && pip install pygame-ce"
    )


def run(target: str, arguments: list[str]) -> int:
    """Call `module:function` of keel.runners; errors meant for the user become one message and exit code 2."""
    module, function = target.split(":")
    try:
        if target in DRAWING:
            check_pygame()
        return getattr(importlib.import_module(f"keel.runners.{module}"), function)(arguments)
    except (KeelError, ValueError, OSError, ImportError) as error:
        if os.environ.get("KEEL_TRACEBACK"):
            raise
        print(f"keel: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("keel: stopped", file=sys.stderr)
        return 130


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage(), end="")
        return 0
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"keel {version('keel-rl')}")
        return 0
    try:
        target, rest = find(arguments)
    except ValueError as error:
        print(f"keel: {error}", file=sys.stderr)
        return 2
    return run(target, rest)


if __name__ == "__main__":
    sys.exit(main())
