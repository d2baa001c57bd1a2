"""The commands of `keel`: each reads its options, calls what does the work and prints what came of it."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keel.runners.formats import format_value
from keel.runners.run import Run
from keel.runners.sb3.settings import SB3_AGENTS

if TYPE_CHECKING:
    from keel.runners.subjects import Subject

SELFPLAY_AGENT = "alphazero"  # whose runs are no agents in worlds
EXIT_CODES = {None: 0, 2: 130, 15: 143}  # by the signal that stopped a training


def train(agent: str, arguments: list[str]) -> int:
    """keel train AGENT --env ID: one run for each seed, one after the other or several at a time."""
    from keel.runners.console import Console
    from keel.runners.options import read_options, seeds_line
    from keel.runners.train import train as train_run

    settings, launch = read_options(agent, arguments)
    if min(launch.seeds, launch.jobs) > 1:
        from keel.runners.jobs.jobs import train_seeds

        return train_seeds(settings, launch, arguments)
    console = functools.partial(Console, stream=sys.stderr if launch.json else sys.stdout)
    results = []
    for seed in range(settings.seed, settings.seed + launch.seeds):
        result = train_run(
            dataclasses.replace(settings, seed=seed), run_dir=launch.run_dir, name=launch.name, console=console
        )
        results.append(result)
        if not launch.json:
            print(what_next(result))
        if result.stopped_by is not None:
            break
    if launch.json:
        print(json.dumps({"runs": [summary_of(result) for result in results]}))
    if left := launch.seeds - len(results):
        line = seeds_line(agent, arguments, settings.seed + len(results), left)
        print(f"seeds that have not begun: {line}", file=sys.stderr if launch.json else sys.stdout)
    return EXIT_CODES[results[-1].stopped_by]


def resume(arguments: list[str]) -> int:
    """keel resume RUN…: continue stopped runs exactly where they were."""
    from keel.runners.console import Console
    from keel.runners.train import resume as resume_run

    parser = _parser("resume", "Continue runs from their last snapshots, bit for bit.", runs="RUN")
    parser.add_argument("--jobs", type=_whole_number, default=1, help="of several, this many at a time (default: 1)")
    parser.add_argument("--total-steps", type=int, help="train to this many environment steps instead")
    parser.add_argument("--minutes", type=float, help="alphazero: train for this many minutes in all instead")
    parser.add_argument(
        "--iterations", type=_whole_number, help="alphazero: train for this many iterations in all instead"
    )
    options = parser.parse_args(arguments)
    console = functools.partial(Console, stream=sys.stderr if options.json else sys.stdout)
    run, *more = Run.find(options.runs)
    if more:
        if options.minutes is not None or options.iterations is not None:
            raise ValueError(f"--minutes and --iterations are for one run of {SELFPLAY_AGENT} alone")
        from keel.runners.jobs.jobs import resume_runs

        return resume_runs([run, *more], options.total_steps, options.jobs, as_json=options.json)
    from keel.runners.kinds import is_pretraining

    if is_pretraining(run.config):
        from keel.runners.pretrain.command import resume_command

        return resume_command(run, options.total_steps, as_json=options.json)
    if run.config.get("agent") == SELFPLAY_AGENT:
        from keel.runners.train_alphazero import resume_command as resume_selfplay

        ends = (options.total_steps, options.minutes, options.iterations)
        return resume_selfplay(run, *ends, as_json=options.json)
    if options.minutes is not None or options.iterations is not None:
        raise ValueError(f"--minutes and --iterations are for runs of {SELFPLAY_AGENT}, and {run.name} is none")
    result = resume_run(run, options.total_steps, console=console)
    print(json.dumps(summary_of(result)) if options.json else what_next(result))
    return EXIT_CODES[result.stopped_by]


def evaluate(arguments: list[str]) -> int:
    """keel evaluate RUN: greedy episodes on seeds that training never saw; or a world's own controller."""
    parser = _parser("evaluate", "Play greedy episodes on seeds that training never saw.", run="RUN", optional=True)
    parser.add_argument("--episodes", type=_whole_number, default=100, help="how many (default: 100)")
    parser.add_argument(
        "--year", action="store_true", help="a whole year in one batch of weeks, for worlds that know one"
    )
    options, subject = _read_subject(parser, arguments)
    from keel.runners.subjects import evaluate_subject

    summary = evaluate_subject(subject, episodes=options.episodes, seed=options.seed, year=options.year)
    print(json.dumps(summary) if options.json else _evaluated(summary))
    return 0


def _read_subject(parser: argparse.ArgumentParser, arguments: list[str]) -> tuple[argparse.Namespace, Subject]:
    """The options, and whom they name: RUN, or --controller NAME --env ID; --env.NAME VALUE changes the worlds."""
    from keel.runners.options import split_env_options
    from keel.runners.subjects import controller_subject, run_subject

    parser.add_argument("--seed", type=int, default=0, help="which episodes (default: 0)")
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best", help="which weights (default: best)")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--controller", metavar="NAME", help="a world's own controller instead of RUN; needs --env")
    parser.add_argument("--env", metavar="ID", help="the world of --controller; --env.NAME VALUE sets its options")
    env_options, rest = split_env_options(arguments)
    options = parser.parse_args(rest)
    if (options.run is None) == (options.controller is None):
        raise ValueError("say who shall act: RUN, or --controller NAME --env ID")
    if (options.env is None) != (options.controller is None):
        raise ValueError("--env and --controller belong together; a run brings its own world")
    if options.controller is not None:
        return options, controller_subject(options.env, options.controller, env_options)
    run = Run.open(options.run)
    return options, run_subject(run, options.checkpoint, device=options.device, env_options=env_options)


def sync(arguments: list[str]) -> int:
    """keel sync [RUN…]: send runs to Weights & Biases."""
    parser = _parser("sync", "Send runs to Weights & Biases; needs WANDB_API_KEY or a login.", runs="RUN", at_least="*")
    options = parser.parse_args(arguments)
    from keel.runners.mirror.mirror import sync_runs

    summary = sync_runs(options.runs, json=options.json)
    if options.json:
        print(json.dumps(summary))
    return 0


def envs(arguments: list[str]) -> int:
    """keel envs: the worlds that can be trained on."""
    parser = _parser("envs", "The worlds that can be trained on: Keel's own and those with presets.")
    options = parser.parse_args(arguments)
    from keel.runners.worlds import list_worlds, world_table

    worlds = list_worlds()
    print(json.dumps({"worlds": worlds}) if options.json else world_table(worlds))
    return 0


def _parser(
    command: str, description: str, *, run: str = "", optional: bool = False, runs: str = "", at_least: str = "+"
) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(f"keel {command}", description=description, allow_abbrev=False)
    reference = "a run's folder, its name under results/runs, or latest"
    if run:
        parser.add_argument("run", metavar=run, nargs="?" if optional else None, help=reference)
    if runs:
        parser.add_argument("runs", metavar=runs, nargs=at_least, help=reference + "; globs too")
    parser.add_argument("--json", action="store_true", help="print one JSON object alone on stdout")
    return parser


def _whole_number(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: it must be a whole number of at least 1")
    return int(text)


def summary_of(result: Any) -> dict[str, Any]:
    """A `trainer.Result` as `--json` prints it."""
    return {
        "run": str(result.run.path),
        "state": result.state,
        "global_step": result.global_step,
        "best_return": result.best_return,
        "solved": result.solved,
        "training_seconds": result.training_seconds,
        "tracking_seconds": result.tracking_seconds,
    }


def what_next(result: Any) -> str:
    """How a training ended, what it left, and the commands to go on with; `result` is a `trainer.Result`."""
    path = result.run.path
    if result.stopped_by is not None and result.run.config["agent"] in SB3_AGENTS:
        return f"stopped at step {result.global_step:,} and saved the weights: keel evaluate {path} --checkpoint last"
    if result.stopped_by is not None:
        return f"stopped at step {result.global_step:,} and saved; continue with: keel resume {path}"
    best = "none" if result.best_return is None else format_value(result.best_return)
    lines = [f"{result.global_step:,} steps in {result.training_seconds:.1f} s of training; best evaluation {best}"]
    left = {"report": path / "report.html", "curve": path / "learning_curve.png"}
    lines += [f"  {what:<8} {file}" for what, file in left.items() if file.exists()]
    lines += [f"  video    {video}" for video in sorted(result.run.videos.glob("*.mp4"))]
    lines += [f"  watch    keel watch {path}", f"  judge    keel evaluate {path}", "  compare  keel compare RUN RUN…"]
    return "\n".join(lines)


def _evaluated(summary: dict[str, Any]) -> str:
    """Who was judged, how good it was, and what its worlds measured."""
    if "run" in summary:
        who = f"{Path(summary['run']).name}, {summary['checkpoint']} checkpoint (step {summary['global_step']:,})"
    else:
        who = f"controller {summary['controller']}"
    episodes = (
        f"the {summary['episodes']} parts of a year" if summary["year"] else f"{summary['episodes']} greedy episodes"
    )
    low, high = format_value(summary["min"]), format_value(summary["max"])
    lines = [
        f"{who}: mean return {format_value(summary['mean'])} ± {format_value(summary['std'])} over {episodes}",
        f"  from {low} to {high}, {summary['length_mean']:.0f} steps long on average",
    ]
    peaks = summary.get("world_peaks", {})
    lines += [
        f"  {name:<28} mean {mean:>12,.3f}   most {peaks[name]:>12,.3f}"
        for name, mean in summary.get("world_means", {}).items()
    ]
    return "\n".join(lines)
