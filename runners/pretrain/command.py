"""Pre-training from its settings to its report: `keel pretrain NETWORK --task NAME`; `resume` is the same from a snapshot."""

from __future__ import annotations

import functools
import importlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from keel.envs.errors import KeelError
from keel.envs.seeding import generator
from keel.networks.pretraining.learner import Learner
from keel.runners import checkpoint
from keel.runners.agents import pick_device
from keel.runners.completion import complete
from keel.runners.pretrain.console import EpochConsole
from keel.runners.pretrain.report import write_pretrain_report
from keel.runners.pretrain.settings import PretrainSettings, check_kind, field_of, read_options
from keel.runners.pretrain.trainer import Pretrainer, PretrainResult
from keel.runners.run import RUNS, Run
from keel.runners.train import check_unchanged, last_snapshot

EXIT_CODES = {None: 0, 2: 130, 15: 143}  # by the signal that stopped it
SAMPLE = "SAMPLE"  # the beginning of the default name of a run on sample data

MakeConsole = Callable[[Run, int, str], EpochConsole]


def pretrain(
    settings: PretrainSettings,
    *,
    run_dir: Path | None = None,
    name: str | None = None,
    console: MakeConsole = EpochConsole,
) -> PretrainResult:
    """Pre-train a new run; settings and data that do not fit are refused before its folder is made."""
    learner = build(settings)
    config = settings.to_json() | {"data": learner.data.about()}
    if learner.data.is_sample and run_dir is None and name is None:
        name = sample_name(settings)
    run = Run.create(
        settings.env,
        settings.agent,
        settings.seed,
        config,
        run_dir,
        name,
        device=str(pick_device(settings.training.device)),
        threads=settings.training.torch_threads,
        resume="exact",
    )
    with run.lock():
        return train_and_report(Pretrainer(run, settings, learner), console)


def resume(run: Run, *, console: MakeConsole = EpochConsole) -> PretrainResult:
    """Continue a pre-training from its last whole snapshot, bit for bit.

    Raises:
        KeelError: there is nothing to continue from, or settings or data are not those it began with.
    """
    settings = PretrainSettings.from_json(run.config, str(run.path / "config.json"))
    with run.lock():
        saved = last_snapshot(run, settings.agent)
        check_unchanged(run, saved, instead="begin a new run of `keel pretrain`")
        learner = build(settings)
        if learner.data.about() != run.config.get("data"):
            raise KeelError(
                f"the data of {run.name} are not what they were: {run.config.get('data')} then, "
                f"{learner.data.about()} now; a continuation needs the same"
            )
        trainer = Pretrainer(run, settings, learner)
        trainer.restore(saved.state)
        changes = checkpoint.machine_changes(saved.about)
        return train_and_report(
            trainer, console, [f"not the machine that saved, so perhaps not bit-exact: {x}" for x in changes]
        )


def build(settings: PretrainSettings) -> Learner:
    """The data and the network, before the first epoch."""
    torch.set_num_threads(settings.training.torch_threads)
    module = importlib.import_module(field_of(settings.kind, settings.task).module)
    chance = functools.partial(generator, settings.seed)
    return module.build(settings.plan, chance, pick_device(settings.training.device))


def sample_name(settings: PretrainSettings) -> str:
    """A name for a run on sample data that says so, and that no run has yet."""
    stem = f"{SAMPLE}-{settings.task}-{settings.agent}-{settings.seed}" + time.strftime("-%Y%m%d-%H%M%S")
    names = (stem, *(f"{stem}-{count}" for count in range(2, 1000)))
    return next(name for name in names if not (RUNS / name).exists())


def train_and_report(trainer: Pretrainer, make_console: MakeConsole, notes: Sequence[str] = ()) -> PretrainResult:
    """Learn, then judge and report what came of it; the mirror to Weights & Biases runs beside."""
    run, data = trainer.folder, trainer.learner.data
    trainer.console = make_console(run, trainer.training.epochs, trainer.learner.score)
    trainer.console.message(data.title)
    for note in notes:
        trainer.console.message(note)
    return complete(trainer, lambda result: write_pretrain_report(run, trainer.settings, trainer.learner, result))


def main(arguments: list[str]) -> int:
    """keel pretrain NETWORK --task NAME."""
    kind, rest = check_kind(arguments)
    settings, launch = read_options(kind, rest)
    console = functools.partial(EpochConsole, stream=sys.stderr if launch.json else sys.stdout)
    result = pretrain(settings, run_dir=launch.run_dir, name=launch.name, console=console)
    return tell(result, as_json=launch.json)


def resume_command(run: Run, total_steps: int | None, *, as_json: bool) -> int:
    """keel resume RUN, for a run that is a pre-training."""
    if total_steps is not None:
        raise ValueError(
            f"--total-steps is for agents, and {run.name} is a pre-training, whose learning rate ends with its epochs: "
            "begin a longer one with --epochs"
        )
    console = functools.partial(EpochConsole, stream=sys.stderr if as_json else sys.stdout)
    return tell(resume(run, console=console), as_json=as_json)


def tell(result: PretrainResult, *, as_json: bool) -> int:
    """Print how it ended; returns the exit code."""
    print(json.dumps(summary(result)) if as_json else what_next(result))
    return EXIT_CODES[result.stopped_by]


def summary(result: PretrainResult) -> dict[str, Any]:
    values = {name: value for name, value in result._asdict().items() if name not in ("run", "stopped_by")}
    data = result.run.config["data"]
    return {"run": str(result.run.path), "data": data["source"], "sample_data": data["is_sample"], **values}


def what_next(result: PretrainResult) -> str:
    """What came of it, and the commands to go on with."""
    path = result.run.path
    if result.stopped_by is not None:
        return f"stopped after epoch {result.epochs} and saved; continue with: keel resume {path}"
    figures = ", ".join(f"{name} {value:.4f}" for name, value in result.test.items())
    examples = result.run.config["data"]["examples"]["test"]
    return "\n".join(
        [
            f"{result.epochs} epochs in {result.training_seconds:.1f} s of training; best after epoch {result.best_epoch}",
            f"held-out test data ({examples:,} examples): {figures}",
            f"  data     {result.run.config['data']['source']}",
            f"  report   {path / 'report.html'}",
            f"  weights  {path / 'checkpoints' / 'best'}",
        ]
    )
