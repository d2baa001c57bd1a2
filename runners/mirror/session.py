"""A run as Weights & Biases gets to see it: settings, rows, videos, and at the end histograms and the best checkpoint."""

from __future__ import annotations

import contextlib
import math
import netrc
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from keel.envs.errors import KeelError
from keel.runners.mirror.rows import MirrorState, Tail, rewind
from keel.runners.run import Run

if TYPE_CHECKING:
    import wandb

QUIET = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
POLL_SECONDS = 0.5
INIT_SECONDS = 15.0  # the service must answer within this, or the run is mirrored offline
UPLOAD_SECONDS = 600.0  # for what is left to upload after the last row
EXIT_CODES = {"finished": 0, "interrupted": 130}  # else 1: W&B shows the run as failed
HISTOGRAMS = ("train/episode_return", "eval/return")
VIDEO = "video"  # the name of the videos in W&B's rows


def be_quiet() -> None:
    """Let the W&B client print nothing of its own, and tell its makers nothing; before it is imported."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def need_key() -> None:
    """Raises: KeelError where W&B cannot be reached without asking anybody."""
    if not has_key():
        raise KeelError("no key for Weights & Biases: run `wandb login`, or set WANDB_API_KEY")


def has_key() -> bool:
    """Whether W&B can be reached without asking anybody: a key in the environment or in netrc."""
    import wandb

    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(wandb.setup().settings.base_url).netloc
    paths = [os.environ["NETRC"]] if "NETRC" in os.environ else ["~/.netrc", "~/_netrc"]
    for path in paths:
        with contextlib.suppress(OSError, netrc.NetrcParseError):
            if netrc.netrc(os.path.expanduser(path)).authenticators(host):
                return True
    return False


def project_name() -> str:
    """The project that runs go to: WANDB_PROJECT, or `keel`."""
    import wandb

    return wandb.setup().settings.project or "keel"


def open_session(run: Run, run_id: str, online: bool) -> wandb.Run:
    """Begin or continue the W&B run. Never without an explicit mode: the client could ask questions."""
    import wandb

    config = run.config
    backbone = config.get("backbone", {}).get("kind")
    pretraining = config["env"].startswith("task/")
    session = wandb.init(
        mode="online" if online else "offline",
        id=run_id,
        resume="allow" if online else None,
        dir=run.path,
        project=project_name(),
        group=f"{config['env']}-{config['agent']}",
        name=run.name,
        job_type="pretrain" if pretraining else "train",
        tags=[tag[:64] for tag in (config["agent"], config["env"], backbone) if tag],
        config=config | {"environment": run.environment()},
        settings=wandb.Settings(
            init_timeout=INIT_SECONDS,
            login_timeout=INIT_SECONDS,
            finish_timeout=UPLOAD_SECONDS,
            finish_timeout_raises=True,
            console="off",
            disable_git=True,
            save_code=False,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
        ),
    )
    session.define_metric("global_step")
    session.define_metric("*", step_metric="global_step")
    session.define_metric("eval/return", step_metric="global_step", summary="max")
    return session


def hand_over(run: Run, state: MirrorState, session: wandb.Run, goes_on: Callable[[], bool]) -> None:
    """Hand every row over until the run has ended, then wait until W&B has them all, and what sums the run up."""
    state.mode = "offline" if session.offline else "online"
    state.why_offline = state.why_offline if session.offline else None
    state.url, state.complete = session.url, False
    state.save(run)
    metrics = Tail(run.path / "metrics.jsonl", state.metrics_rows)
    media = Tail(run.path / "media.jsonl", state.media_rows)
    if state.mode == "online":
        rewind(metrics, media, rows_there=session.starting_step)
    while True:
        last = not goes_on()  # asked before reading: what was written before the end is read after it
        new_metrics, new_media = metrics.read(), media.read()
        state.metrics_rows, state.media_rows = metrics.rows_done, media.rows_done
        if new_metrics or new_media:
            state.save(run)  # before the rows are handed over: the service never has more rows than are counted here
        for row in new_metrics:
            session.log(row)
        for row in new_media:
            _log_video(session, run, row)
        if last:
            break
        time.sleep(POLL_SECONDS)
    try:
        _summarise(session, run)
        _log_checkpoint(session, run)
    finally:  # the rows count more than what sums them up
        session.finish(exit_code=EXIT_CODES.get(run.status()["state"], 1))
    state.complete = True
    state.save(run)


def _log_video(session: wandb.Run, run: Run, row: dict[str, Any]) -> None:
    import wandb

    path = run.path / row["video"]
    if not path.is_file():
        print(f"{path} is gone: not mirrored", flush=True)
        session.log({"global_step": row["global_step"]})  # a row all the same: rows are counted
        return
    video = wandb.Video(str(path), format=path.suffix[1:])  # pyright: ignore[reportArgumentType]
    session.log({"global_step": row["global_step"], VIDEO: video})


def _summarise(session: wandb.Run, run: Run) -> None:
    """How the returns of all rows are distributed; in the summary, as a row of history would be one that no file has."""
    import wandb

    rows = run.metrics()
    for name in HISTOGRAMS:
        values = [row[name] for row in rows if math.isfinite(row.get(name, math.nan))]
        if values:
            session.summary[f"{name}_histogram"] = wandb.Histogram(values)


def _log_checkpoint(session: wandb.Run, run: Run) -> None:
    """The best checkpoint with the settings, where `track_checkpoints` is set: what is downloaded is a run's folder.

    An offline session goes without: a checkpoint that waits in it would lie on the disk twice.
    """
    import wandb

    files = [run.path / "config.json", *sorted((run.checkpoints / "best").glob("*"))]
    if session.offline or len(files) == 1 or not run.config.get("training", {}).get("track_checkpoints", False):
        return
    about = {name: run.config[name] for name in ("name", "agent", "env", "seed")}
    artifact = wandb.Artifact(f"checkpoint-{session.id}", type="model", metadata=about)
    for path in files:
        inside = path.relative_to(run.path).as_posix()
        artifact.add_file(str(path), name=inside, skip_cache=True, policy="immutable")
    session.log_artifact(artifact, aliases=["best"]).wait(round(UPLOAD_SECONDS))
