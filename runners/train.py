"""A training run from its settings to its report; `resume` is the same from a snapshot."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch

from keel.envs.errors import KeelError
from keel.envs.seeding import derive_seed
from keel.runners import checkpoint
from keel.runners.agents import Policy, load_agent_state, load_policy, make_agent, make_worlds, pick_device
from keel.runners.console import Console
from keel.runners.loop import Loop
from keel.runners.mirror import start_mirror
from keel.runners.report import write_report
from keel.runners.run import Run, RunState
from keel.runners.settings import Settings
from keel.runners.trainer import Result, Trainer
from keel.runners.watch import record_episode

MIRROR_TIMEOUT_SECONDS = 60.0

MakeConsole = Callable[[Run, int], Console]


def train(
    settings: Settings, *, run_dir: Path | None = None, name: str | None = None, console: MakeConsole = Console
) -> Result:
    """Train a new run; settings and worlds that do not fit are refused before its folder is made."""
    loop = build(settings)
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
            resume=loop.envs.resume,
        )
        with run.lock():
            return complete(Trainer(run, settings, loop, console(run, settings.training.total_steps)))
    finally:
        loop.envs.close()


def resume(run: Run, total_steps: int | None = None, *, console: MakeConsole = Console) -> Result:
    """Continue a run from its last whole snapshot, bit for bit; with `total_steps`, to another end than its first."""
    settings = Settings.from_json(run.config, str(run.path / "config.json"))
    if total_steps is not None:
        training = dataclasses.replace(settings.training, total_steps=total_steps)
        settings = dataclasses.replace(settings, training=training)
    with run.lock():
        saved = last_snapshot(run, settings.agent)
        loop = build(settings)
        try:
            load_agent_state(loop.agent, saved.state["agent"])
            loop.load_state_dict(saved.state["loop"])
            run.save_settings(settings.to_json())
            trainer = Trainer(run, settings, loop, console(run, settings.training.total_steps))
            for change in checkpoint.machine_changes(saved.about):
                trainer.console.message(f"not the machine that saved, so perhaps not bit-exact: {change}")
            trainer.restore(saved.state)
            return complete(trainer)
        finally:
            loop.envs.close()


def last_snapshot(run: Run, agent: str) -> checkpoint.Checkpoint:
    try:
        return checkpoint.load(checkpoint.latest(run.checkpoints), agent=agent)
    except checkpoint.CheckpointError as error:
        raise KeelError(f"{run.name} cannot be resumed: {error}") from error


def build(settings: Settings) -> Loop:
    """Worlds, agent and loop, before the first step."""
    torch.set_num_threads(settings.training.torch_threads)
    device = pick_device(settings.training.device)
    envs = make_worlds(settings, settings.training.num_envs, workers=settings.training.workers)
    try:
        agent = make_agent(settings, envs.observation_space, envs.action_space, device=device)
    except Exception:
        envs.close()
        raise
    return Loop(agent, envs, derive_seed(settings.seed, "training"))


def complete(trainer: Trainer) -> Result:
    """Train, then film and report what came of it; the mirror to Weights & Biases runs beside."""
    run = trainer.folder
    mirror = start_mirror(run) if trainer.training.track == "wandb" else None
    state: RunState = "failed"
    try:
        result = trainer.run()
        if result.state == "finished":
            film_and_report(trainer)
        state = result.state
    finally:
        trainer.close(state)
        if mirror is not None:
            trainer.console.message(mirror.finish(MIRROR_TIMEOUT_SECONDS))
    return result


def film_and_report(trainer: Trainer) -> None:
    """Judge the best checkpoint on episodes that chose nothing, film one of them, and write the run's report."""
    run, settings = trainer.folder, trainer.settings
    policy = load_policy(run, "best", device=settings.training.device)
    evaluation = trainer.play("report", policy.agent)
    video = None
    if settings.training.video:
        video = film(policy, run.videos / f"{checkpoint.step_name(policy.checkpoint.about['global_step'])}.mp4")
        if video is not None:
            trainer.rows.video(trainer.loop.global_step, video)
    summary = {"returns": evaluation.returns.tolist(), "lengths": evaluation.lengths.tolist()}
    write_report(run, evaluation=summary | {"checkpoint": "best"}, video=video)


def film(policy: Policy, path: Path) -> Path | None:
    """One greedy episode as a video, or None where the world cannot be drawn."""
    try:
        worlds = make_worlds(policy.settings, 1, render_mode="rgb_array")
    except (KeelError, ValueError):
        return None
    try:
        record_episode(policy.agent, worlds, path, seed=derive_seed(policy.settings.seed, "video"))
    finally:
        worlds.close()
    return path
