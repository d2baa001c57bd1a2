"""A training run from its settings to its report; `resume` is the same from a snapshot."""

from __future__ import annotations

import dataclasses
import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import threadpoolctl
import torch

from keel.agents.dqn import DQNConfig
from keel.agents.r2d2 import R2D2Config
from keel.envs.errors import KeelError
from keel.envs.registry import find_entry
from keel.envs.seeding import derive_seed
from keel.runners import checkpoint
from keel.runners.agents import Policy, load_agent_state, load_policy, make_agent, make_worlds, pick_device
from keel.runners.completion import complete
from keel.runners.console import Console, Display
from keel.runners.cost import check_country
from keel.runners.files import flat
from keel.runners.loop import Loop, TrainingLoop
from keel.runners.report import write_report
from keel.runners.run import Run
from keel.runners.sb3.settings import NOT_RESUMABLE, SB3Config
from keel.runners.settings import Settings
from keel.runners.trainer import Result, Trainer, fixed_settings
from keel.runners.watch.episodes import record_episode

FILM_SECONDS = 60.0  # the most that the film of a run shows
# Kinds of worlds that have more to say of themselves on a run's page: (policy, run) -> parts of the page, words.
WORLD_REPORTS = {"keel.envs.cooling.env:DataCenterCooling": "keel.runners.cooling_report:write_cooling_report"}

MakeConsole = Callable[[Run, int], Display]


def train(
    settings: Settings, *, run_dir: Path | None = None, name: str | None = None, console: MakeConsole = Console
) -> Result:
    """Train a new run; settings and worlds that do not fit are refused before its folder is made."""
    loop = build(settings, begin=True)
    try:
        loop.start()
        run = Run.create(
            settings.env,
            settings.agent,
            settings.seed,
            settings.to_json(),
            run_dir,
            name,
            device=str(pick_device(settings.training.device)),
            threads=settings.training.torch_threads,
            resume=loop.resume,
        )
        with run.lock():
            return train_and_report(Trainer(run, settings, loop), console)
    finally:
        loop.envs.close()


def check(settings: Settings) -> None:
    """Refuse what `train` would, and make no folder; several trainings at a time ask once, and not each for itself."""
    loop = build(settings, begin=True)
    try:
        loop.start()
    finally:
        loop.envs.close()


def resume(run: Run, total_steps: int | None = None, *, console: MakeConsole = Console) -> Result:
    """Continue a run from its last whole snapshot, bit for bit.

    With `total_steps` it goes on to that end instead of its first one, whatever goal it had reached; schedules that run
    over the whole training (epsilon, a linear learning rate) are then those of the longer one.

    Raises:
        KeelError: there is nothing to continue from, or config.json is not what the run was trained with.
        ValueError: `total_steps` is not beyond the snapshot.
    """
    settings = Settings.from_json(run.config, str(run.path / "config.json"))
    if isinstance(settings.hyperparameters, SB3Config):
        raise KeelError(f"{run.name} {NOT_RESUMABLE}")
    with run.lock():
        saved = last_snapshot(run, settings.agent)
        check_unchanged(run, saved)
        if total_steps is not None:
            settings = extended(settings, total_steps, saved.about["global_step"])
        loop = build(settings)
        assert isinstance(loop, Loop)
        try:
            load_agent_state(loop.agent, saved.state["agent"])
            loop.load_state_dict(saved.state["loop"])
            trainer = Trainer(run, settings, loop)
            trainer.restore(saved.state, beyond_goal=total_steps is not None)
            run.save_settings(settings.to_json())
            notes = [
                f"not the machine that saved, so perhaps not bit-exact: {change}"
                for change in checkpoint.machine_changes(saved.about)
            ]
            if total_steps is not None:
                notes.append(f"schedules that run over the whole training are stretched to {total_steps:,} steps")
            del saved  # a replay in it would be in memory twice until the end
            return train_and_report(trainer, console, notes)
        finally:
            loop.envs.close()


def extended(settings: Settings, total_steps: int, step: int) -> Settings:
    """The same settings with another end. Raises: ValueError where it is not beyond `step`."""
    if total_steps <= step:
        raise ValueError(f"total_steps is {total_steps}: the run is at step {step} already, so give more than that")
    training = dataclasses.replace(settings.training, total_steps=total_steps, stop_at_return=None)
    return dataclasses.replace(settings, training=training)


def last_snapshot(run: Run, agent: str) -> checkpoint.Checkpoint:
    try:
        return checkpoint.load(checkpoint.latest(run.checkpoints), agent=agent)
    except checkpoint.CheckpointError as error:
        raise KeelError(f"{run.name} cannot be resumed: {error}") from error


def check_unchanged(
    run: Run,
    saved: checkpoint.Checkpoint,
    fixed: Callable[[Mapping[str, Any]], dict[str, Any]] = fixed_settings,
    instead: str = "begin a new run with --config",
) -> None:
    """Raises: KeelError where config.json was edited after the snapshot; names each field.

    Args: fixed: of the settings, what must stay as it was. instead: what else can be done.
    """
    before, now = flat(saved.about["settings"]), flat(fixed(run.config))
    changed = [
        f"{name} was {before.get(name)!r} and is {now.get(name)!r}"
        for name in before | now
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise KeelError(
            f"{run.path / 'config.json'} is not what the run was trained with: {'; '.join(changed)}. Put it back, or "
            f"{instead}"
        )


def build(settings: Settings, *, begin: bool = False) -> TrainingLoop:
    """Worlds, agent and loop, before the first step of a run that begins, or of one whose snapshot follows."""
    if settings.training.env_options.get("controller") is not None:
        raise ValueError("--env.controller decides instead of the agent, which would learn nothing: leave it out")
    check_country(settings.training.energy_country)
    if isinstance(settings.hyperparameters, DQNConfig | R2D2Config):
        check_q_learning(settings.hyperparameters, settings.training.total_steps)
    torch.set_num_threads(settings.training.torch_threads)
    # Small networks act by numpy's matrix products, which gain nothing from threads; two trainings whose threads fight
    # for two cores run at a fifth of their speed.
    threadpoolctl.threadpool_limits(limits=settings.training.torch_threads, user_api="blas")
    device = pick_device(settings.training.device)
    envs = make_worlds(settings, settings.training.num_envs, workers=settings.training.workers)
    try:
        if isinstance(settings.hyperparameters, SB3Config):
            from keel.runners.sb3.loop import SB3Loop  # Stable-Baselines3 takes seconds to import

            return SB3Loop(settings, envs, settings.hyperparameters, device)
        agent = make_agent(settings, envs.observation_space, envs.action_space, device=device, begin=begin)
    except Exception:
        envs.close()
        raise
    return Loop(agent, envs, derive_seed(settings.seed, "training"))


def check_q_learning(config: DQNConfig | R2D2Config, total_steps: int) -> None:
    """Raises ValueError for a replay that has no place, and for a training too short to learn anything."""
    folder = config.replay_folder if isinstance(config, DQNConfig) else None
    if folder is not None and not (Path(folder).is_dir() and os.access(folder, os.W_OK)):
        raise ValueError(f"replay_folder is {folder!r}: it must be a folder that can be written")
    if config.learning_starts + config.update_every > total_steps:
        raise ValueError(
            f"total_steps is {total_steps} and learning_starts {config.learning_starts}: no gradient step would be made; "
            f"give more than {config.learning_starts + config.update_every} steps, or a smaller --learning-starts"
        )


def train_and_report(trainer: Trainer, make_console: MakeConsole, notes: Sequence[str] = ()) -> Result:
    """Train, then film and report what came of it; the mirror to Weights & Biases runs beside."""
    run = trainer.folder
    trainer.console = make_console(run, trainer.training.total_steps)
    for note in notes:
        trainer.console.message(note)
    return complete(trainer, lambda _: film_and_report(trainer))


def film_and_report(trainer: Trainer) -> None:
    """Judge the best checkpoint on episodes that chose nothing, film one of them, and write the run's report."""
    run = trainer.folder
    policy = load_policy(run, "best", device=trainer.training.device, settings=trainer.settings)
    evaluation = trainer.play("report", policy.agent)
    video = film(policy, run, trainer.console) if trainer.training.video else None
    if video is not None:
        trainer.rows.video(trainer.loop.global_step, video)
    world = world_report(policy, run, trainer.console)
    write_report(run, evaluation=evaluation.summary() | {"checkpoint": "best"}, video=video, world=world)


def world_report(policy: Policy, run: Run, console: Display) -> list[str]:
    """What there is to say of this kind of world: parts of the run's page; the numbers also go to the console."""
    entry = find_entry(policy.settings.env)
    if entry is None or entry.path not in WORLD_REPORTS or policy.settings.training.frame_stack > 1:
        return []
    module, function = WORLD_REPORTS[entry.path].split(":")
    page, words = getattr(importlib.import_module(module), function)(policy, run)
    console.message(words)
    return page


def film(policy: Policy, run: Run, console: Display) -> Path | None:
    """One greedy episode, or the beginning of a long one, as a video; None where the world cannot be drawn, which spoils nothing else."""
    path = run.videos / f"{checkpoint.step_name(policy.checkpoint.about['global_step'])}.mp4"
    try:
        worlds = make_worlds(policy.settings, 1, render_mode="rgb_array")
        try:
            most = round(FILM_SECONDS * worlds.frames_per_second)
            record_episode(policy.agent, worlds, path, seed=derive_seed(policy.settings.seed, "video"), max_steps=most)
        finally:
            worlds.close()
    except Exception as error:  # noqa: BLE001 whatever a world's drawing code does, the training is done and shall be reported
        console.message(f"no film: {error}")
        return None
    return path
