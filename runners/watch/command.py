"""`keel watch`: see agents act, in a window, as a film or as text, with what they think and see beside the frame."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keel.runners.run import Run
from keel.runners.window import FASTEST, SLOWEST

if TYPE_CHECKING:
    from keel.runners.subjects import Subject
    from keel.runners.watch.episodes import Watched

EPISODES = 3
DESCRIPTION = """See agents act: in a window, or as a film where there is no display. Several RUNs share one picture.

Keys in the window: space pauses, right arrow or . shows one step, + and - change the speed, n goes to the next episode,
r begins this one again, o switches the overlay, h the line of help, q or escape quits.
"""


def main(arguments: list[str]) -> int:
    """keel watch RUN…: the options, and what they ask for."""
    from keel.runners.watch.games import watch_command

    if (code := watch_command(arguments)) is not None:
        return code
    from keel.runners.options import split_env_options

    env_options, rest = split_env_options(arguments)
    options = _parser().parse_args(rest)
    _check(options)
    summary = _watch(options, env_options)
    print(json.dumps(summary) if options.json else told(summary))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "keel watch",
        description=DESCRIPTION,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    reference = "a run's folder, its name under results/runs, or latest"
    parser.add_argument("runs", metavar="RUN", nargs="*", help=reference)
    parser.add_argument("--json", action="store_true", help="print one JSON object alone on stdout")
    number = f"how many (default: {EPISODES}; with --live until the run has ended)"
    parser.add_argument("--episodes", type=int, help=number)
    parser.add_argument("--seed", type=int, default=0, help="which episodes (default: 0)")
    parser.add_argument("--speed", type=float, default=1.0, help="times the world's own (default: 1)")
    parser.add_argument("--video", type=Path, help="write an .mp4 or .gif instead of opening a window")
    parser.add_argument("--text", action="store_true", help="draw in the terminal, for worlds that can")
    overlay = (
        "value, actions and sensors beside the frame; of several RUNs the value alone (default: in a window alone)"
    )
    parser.add_argument("--overlay", action=argparse.BooleanOptionalAction, help=overlay)
    live = "follow a training that runs: before each episode the newest checkpoint is loaded; not for board games"
    parser.add_argument("--live", action="store_true", help=live)
    parser.add_argument("--checkpoint", choices=("best", "last"), help="which weights (default: best)")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--controller", metavar="NAME", help="a world's own controller instead of RUN; needs --env")
    parser.add_argument("--env", metavar="ID", help="the world of --controller; --env.NAME VALUE sets its options")
    whom = "board games: whom the run meets, as in keel arena (default: itself)"
    parser.add_argument("--against", metavar="PLAYER", help=whom)
    parser.add_argument("--opening-moves", type=int, help="board games: moves by lot before they begin (default: 4)")
    return parser


def _check(options: argparse.Namespace) -> None:
    """Raises: ValueError: an option out of its range, or two that do not go together."""
    from keel.runners.video import check_path
    from keel.runners.watch.grid import MOST

    if bool(options.runs) == (options.controller is not None):
        raise ValueError("say who shall act: RUN, or --controller NAME --env ID")
    if (options.env is None) != (options.controller is None):
        raise ValueError("--env and --controller belong together; a run brings its own world")
    if options.episodes is not None and options.episodes < 1:
        raise ValueError(f"--episodes is {options.episodes}: it must be a whole number of at least 1")
    if options.seed < 0:
        raise ValueError(f"--seed is {options.seed}: it must be a whole number of at least 0")
    if not SLOWEST <= options.speed <= FASTEST:
        raise ValueError(f"--speed is {options.speed}: it must be a number from 1/16 to {FASTEST:g}")
    if options.video is not None:
        check_path(options.video)
        if options.text:
            raise ValueError("--text prints and --video films: leave one of them out")
    if options.text and len(options.runs) > 1:
        raise ValueError("--text shows one run at a time")
    if options.text and options.json:
        raise ValueError("--text prints the frames and --json one object alone: leave one of them out")
    if len(options.runs) > MOST:
        raise ValueError(f"a grid shows 2 to {MOST} agents at once, got {len(options.runs)}")
    if options.controller is not None and options.checkpoint is not None:
        raise ValueError("--checkpoint is of a run, and a controller has none: leave one of them out")
    if options.live and options.controller is not None:
        raise ValueError("--live follows a run, and a controller does not learn: leave one of them out")
    if options.live and options.checkpoint is not None:
        raise ValueError("--live shows the newest checkpoint: leave out --checkpoint")
    for name in ("against", "opening_moves"):
        if getattr(options, name) is not None:
            raise ValueError(f"--{name.replace('_', '-')} is for board games of agents that play against one another")


def _watch(options: argparse.Namespace, env_options: dict[str, Any]) -> dict[str, Any]:
    from keel.envs.seeding import derive_seed
    from keel.runners.watch.episodes import watch
    from keel.runners.watch.grid import watch_grid

    options.runs = [str(Run.open(one).path.resolve()) for one in options.runs]  # `latest` may be another one later
    in_window = not options.text and options.video is None and opens_window()
    overlay = in_window if options.overlay is None else options.overlay
    # What a film or a terminal shows of a training ends with it; in a window one may go on to look.
    waits = options.live and not in_window and len(options.runs) < 2
    with contextlib.ExitStack() as closing:
        watched = [
            _watched(options, env_options, run, overlay=overlay, waits=waits, closing=closing)
            for run in (options.runs or [None])
        ]
        common: dict[str, Any] = {
            "episodes": options.episodes or (None if options.live and (in_window or waits) else EPISODES),
            "seed": derive_seed(options.seed, "watch"),
            "video": options.video or (None if in_window or options.text else _film(options)),
            "speed": options.speed,
        }
        if len(watched) == 1:
            aloud = options.live and not options.text
            return watch(watched[0], text=options.text, told=_say if aloud else _be_silent, **common)
        return watch_grid(with_own_titles(watched, options.runs), **common)


def opens_window() -> bool:
    """Whether a window can be opened here; one that was expected and cannot be is named on stderr."""
    from keel.runners.window import open_window

    window = open_window("keel watch")
    if window is None:
        return False
    with window:
        return True


def _watched(
    options: argparse.Namespace,
    env_options: dict[str, Any],
    reference: str | None,
    *,
    overlay: bool,
    waits: bool,
    closing: contextlib.ExitStack,
) -> Watched:
    from keel.runners.subjects import controller_subject, run_subject
    from keel.runners.watch.episodes import Watched
    from keel.runners.watch.insight import find_look
    from keel.runners.watch.names import names_of
    from keel.runners.watch.rows import Overlay

    follower = None
    if reference is None:
        subject = controller_subject(options.env, options.controller, env_options)
    elif options.live:
        from keel.runners.watch.live import follow

        run, how = Run.open(reference), {"device": options.device, "env_options": env_options}
        subject, follower = follow(run, wait=waits, waiting=lambda: _wait_for(run), **how)
    else:
        run = Run.open(reference)
        subject = run_subject(run, options.checkpoint or "best", device=options.device, env_options=env_options)
    worlds = subject.worlds(1, render_mode="ansi" if options.text else "rgb_array")
    closing.callback(worlds.close)
    names = names_of(subject.env, subject.training.env_options, worlds.observation_space, worlds.action_space)
    return Watched(
        subject.agent,
        worlds,
        title=subject.title,
        look=find_look(subject.agent) if overlay else None,
        overlay=Overlay(subject.env, who_acts(subject, live=options.live), names, worlds.action_space)
        if overlay
        else None,
        before_episode=None if follower is None else follower.before_episode,
    )


def who_acts(subject: Subject, *, live: bool = False) -> str:
    """The agent and its weights, or the controller."""
    about = subject.about
    if "controller" in about:
        return f"controller {about['controller']}"
    return (
        f"{about['agent']}  ·  live"
        if live
        else f"{about['agent']}  ·  {about['checkpoint']}, step {about['global_step']:,}"
    )


def with_own_titles(watched: list[Watched], references: list[str]) -> list[Watched]:
    """The same, where some would have one title with the names of their runs."""
    titles = [one.title for one in watched]
    names = [Run.open(reference).name for reference in references]
    return [
        one._replace(title=one.title if titles.count(one.title) == 1 else name)
        for one, name in zip(watched, names, strict=True)
    ]


def _film(options: argparse.Namespace) -> Path:
    """Where the film goes that nobody asked for: into the run's folder, of several runs into the first one's."""
    if options.controller is not None:
        return Path(f"watch-{options.controller}-{options.seed}.mp4")
    what = "live" if options.live else options.checkpoint or "best"
    count = f"-{len(options.runs)}-runs" if len(options.runs) > 1 else ""
    return Run.open(options.runs[0]).videos / f"watch-{what}{count}-{options.seed}.mp4"


def _wait_for(run: Run) -> None:
    print(f"{run.name} has saved no checkpoint yet: waiting for the first one", file=sys.stderr)


def _say(episode: dict[str, Any]) -> None:
    print(f"{episode['weights']}: return {episode['return']:.2f}, {episode['length']} steps", file=sys.stderr)


def _be_silent(episode: dict[str, Any]) -> None:
    pass


def told(summary: dict[str, Any]) -> str:
    """What was seen, for people: the returns, a line an agent where there are several, and the film."""
    agents = summary.get("agents", [summary])
    lines = []
    for agent in agents:
        returns = ", ".join(f"{episode['return']:.1f}" for episode in agent["episodes"]) or "no episode to its end"
        lines.append(f"{agent['title']}: returns {returns}" if "title" in agent else f"returns {returns}")
    film = [f"film: {summary['video']}"] if summary.get("video") else []
    return "\n".join([*lines, *film]) if len(agents) > 1 else "; ".join([*lines, *film])
