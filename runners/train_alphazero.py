"""Train AlphaZero: `keel train alphazero --game NAME`, or `python runners/train_alphazero.py --game NAME`.

`resume` is the same from a snapshot.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import threadpoolctl
import torch

from keel.agents.alphazero import AlphaZero
from keel.envs.games.games import make_game
from keel.runners import checkpoint
from keel.runners.agents import pick_device
from keel.runners.completion import complete
from keel.runners.games.players import check_opponent
from keel.runners.run import Run
from keel.runners.selfplay.actors import Actors, make_actors
from keel.runners.selfplay.console import SelfPlayConsole
from keel.runners.selfplay.report import film, write_selfplay_report
from keel.runners.selfplay.settings import AGENT, SelfPlaySettings, check_game, check_learning, read_options
from keel.runners.selfplay.trainer import SelfPlayResult, SelfPlayTrainer, anchor_of, lasting_settings
from keel.runners.train import check_unchanged, last_snapshot

EXIT_CODES = {None: 0, 2: 130, 15: 143}  # by the signal that stopped it
THREADS = 1  # of torch: actors use the other cores

MakeConsole = Callable[[Run], SelfPlayConsole]


def train(
    settings: SelfPlaySettings,
    *,
    run_dir: Path | None = None,
    name: str | None = None,
    console: MakeConsole = SelfPlayConsole,
    on_evaluation: Callable[[SelfPlayTrainer], None] | None = None,
) -> SelfPlayResult:
    """Train a new run; settings that do not fit are refused before its folder is made.

    Args: on_evaluation: is called after every evaluation, while the clock of the training stands still.
    """
    check(settings)
    learner, actors = build(settings)
    run = Run.create(
        settings.game,
        AGENT,
        settings.seed,
        settings.to_json(),
        run_dir,
        name,
        device=str(pick_device(settings.training.device)),
        threads=THREADS,
        resume="exact" if settings.training.iterations else "approximate",
    )
    with run.lock():
        trainer = SelfPlayTrainer(run, settings, learner, actors)
        trainer.on_evaluation = on_evaluation
        return train_and_report(trainer, console)


def resume(
    run: Run,
    *,
    minutes: float | None = None,
    iterations: int | None = None,
    console: MakeConsole = SelfPlayConsole,
) -> SelfPlayResult:
    """Continue a training by self-play from its last whole snapshot; bit for bit where its end is a number of iterations.

    Args: minutes, iterations: of the whole training, in place of those it began with; the learning rate follows.

    Raises:
        KeelError: there is nothing to continue from, or config.json is not what the run was trained with.
        ValueError: an end that lies behind.
    """
    settings = SelfPlaySettings.from_run(run)
    with run.lock():
        saved = last_snapshot(run, AGENT)
        check_unchanged(run, saved, lasting_settings, f"begin a new run of `keel train {AGENT}`")
        settings = extended(settings, minutes, iterations, saved.state["learner"]["counts"]["iteration"])
        check(settings)
        run.save_settings(settings.to_json())
        trainer = SelfPlayTrainer(run, settings, *build(settings))
        trainer.restore(saved.state)
        changes = checkpoint.machine_changes(saved.about)
        del saved
        return train_and_report(
            trainer, console, [f"not the machine that saved, so perhaps not bit-exact: {x}" for x in changes]
        )


def extended(
    settings: SelfPlaySettings, minutes: float | None, iterations: int | None, iteration: int
) -> SelfPlaySettings:
    """The settings with another end, where one is given. Raises: ValueError: it lies before `iteration`, or both are given."""
    if minutes is not None and iterations is not None:
        raise ValueError("--minutes and --iterations are two ways to say when training ends: give one")
    if iterations is not None and iterations <= iteration:
        raise ValueError(f"iterations is {iterations}, and {iteration} are over: give more than that")
    changes = {"minutes": minutes, "iterations": 0} if minutes is not None else {"iterations": iterations}
    if minutes is None and iterations is None:
        return settings
    return dataclasses.replace(settings, training=dataclasses.replace(settings.training, **changes))


def check(settings: SelfPlaySettings) -> None:
    """Raises: ValueError for settings that do not fit the game or one another, before anything starts."""
    check_game(settings)
    check_learning(settings)
    for words in settings.training.opponents:
        check_opponent(words)


def build(settings: SelfPlaySettings) -> tuple[AlphaZero, Actors]:
    """The learner and its actors, before the first iteration."""
    torch.set_num_threads(THREADS)
    threadpoolctl.threadpool_limits(limits=THREADS, user_api="blas")
    game, device, config = make_game(settings.game), pick_device(settings.training.device), settings.hyperparameters
    learner = AlphaZero(game, config=config, backbone=settings.backbone, seed=settings.seed, device=device)
    return learner, make_actors(game, settings.training.workers, config, settings.backbone, settings.seed, device)


def train_and_report(trainer: SelfPlayTrainer, make_console: MakeConsole, notes: Sequence[str] = ()) -> SelfPlayResult:
    """Train, then film and report what came of it; the mirror to Weights & Biases runs beside."""
    run = trainer.folder
    trainer.console = make_console(run)
    for note in notes:
        trainer.console.message(note)

    def finish(result: SelfPlayResult) -> None:
        video = film(trainer) if trainer.training.video else None
        write_selfplay_report(run, trainer.results, result, video, anchor_of(trainer.training.opponents))

    return complete(trainer, finish)


def main(arguments: list[str]) -> int:
    """keel train alphazero --game NAME."""
    for option in ("--seeds", "--jobs"):
        if any(part.partition("=")[0] == option for part in arguments):
            raise ValueError(
                f"keel train {AGENT} has no {option}: its actors use every core, so several seeds at a time would gain "
                "nothing; train one after the other with --seed N"
            )
    settings, launch = read_options(arguments)
    console = functools.partial(SelfPlayConsole, stream=sys.stderr if launch.json else sys.stdout)
    return tell(train(settings, run_dir=launch.run_dir, name=launch.name, console=console), as_json=launch.json)


def resume_command(
    run: Run, total_steps: int | None, minutes: float | None, iterations: int | None, *, as_json: bool
) -> int:
    """keel resume RUN, for a run that learns by self-play."""
    if total_steps is not None:
        raise ValueError(
            f"--total-steps is for agents in worlds, and {run.name} learns by self-play: --minutes or --iterations"
        )
    console = functools.partial(SelfPlayConsole, stream=sys.stderr if as_json else sys.stdout)
    return tell(resume(run, minutes=minutes, iterations=iterations, console=console), as_json=as_json)


def tell(result: SelfPlayResult, *, as_json: bool) -> int:
    """Print how it ended; returns the exit code."""
    print(json.dumps(summary(result)) if as_json else what_next(result))
    return EXIT_CODES[result.stopped_by]


def summary(result: SelfPlayResult) -> dict[str, Any]:
    values = {name: value for name, value in result._asdict().items() if name not in ("run", "stopped_by")}
    return {"run": str(result.run.path), **values}


def what_next(result: SelfPlayResult) -> str:
    """What came of it, and the commands to go on with."""
    path = result.run.path
    if result.stopped_by is not None:
        return f"stopped after {result.iterations:,} iterations and saved; continue with: keel resume {path}"
    lines = [f"{result.games:,} games, {result.moves:,} moves in {result.training_seconds:.0f} s of training"]
    if result.updates == 0:
        lines.append("NOTHING WAS LEARNT: fewer positions than --learning-starts; train longer or lower it")
    if result.elo is not None and result.elo_interval is not None:
        low, high = result.elo_interval
        lines.append(f"Elo of the best network {result.elo:.0f} ({low:.0f} to {high:.0f})")
    lines += [
        f"  report   {path / 'report.html'}",
        *(f"  video    {film}" for film in sorted(result.run.videos.glob("*.mp4"))),
    ]
    lines += [f"  play     keel play {result.run.config['env']} --run {path}", f"  watch    keel watch {path}"]
    lines.append(f"  judge    keel arena {path} one_ply random")
    return "\n".join(lines)


if __name__ == "__main__":
    from keel.runners.cli import run as run_command

    sys.exit(run_command("train_alphazero:main", sys.argv[1:]))
