"""A run folder mirrored to Weights & Biases, by a process of its own: nothing there can stop or slow training.

Training only appends to its folder. The mirror reads the new rows twice a second and hands each one over as it is; the
W&B client bundles them into one request every few seconds, well below the service's limit of two a second for a run.
What W&B has missed for whatever reason `keel sync` sends later, again from the folder.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import netrc
import os
import secrets
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn
from urllib.parse import urlsplit

from keel.envs.errors import KeelError
from keel.runners.files import complete_lines, decode_row, read_json, write_json
from keel.runners.provenance import redact_text
from keel.runners.run import Run

if TYPE_CHECKING:
    import wandb

MIRROR_PROCESS = ("-P", "-m", "keel.runners.mirror")  # -P: no module of the working directory is ever imported
POLL_SECONDS = 0.5
INIT_SECONDS = 15.0  # the service must answer within this, or the run is mirrored offline
WATCHDOG_SECONDS = 30.0  # the W&B client keeps its own time limit as a rule; this one does not depend on it
UPLOAD_SECONDS = 600.0  # for what is left to upload after the last row
EXIT_CODES = {"finished": 0, "interrupted": 130}  # else 1: W&B shows the run as failed


class Mirror:
    """The mirror process of one run, as the training process sees it."""

    def __init__(self, run: Run, process: subprocess.Popen[bytes]) -> None:
        self._run = run
        self._process = process

    def finish(self, timeout_seconds: float = 60.0) -> str:
        """Wait for the last rows to arrive, no longer than the timeout or until Ctrl-C; returns the line to print.

        Call it after the status of the run was set: that is what ends the mirror.
        """
        try:
            self._process.wait(timeout_seconds)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):  # the run is whole, and `keel sync` can send the rest
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        return describe_mirror(self._run)


@dataclass
class MirrorState:
    """How much of a run W&B was given; kept in wandb.json, so that a resumed run goes on as the same W&B run."""

    id: str
    mode: Literal["online", "offline"] = "offline"
    why_offline: str | None = "no answer"
    url: str | None = None
    metrics_rows: int = 0
    media_rows: int = 0
    complete: bool = False  # W&B confirmed the last row that the run had then

    @staticmethod
    def load(run: Run) -> MirrorState:
        path = run.path / "wandb.json"
        return MirrorState(**read_json(path)) if path.exists() else MirrorState(id=secrets.token_hex(8))

    def save(self, run: Run) -> None:
        write_json(run.path / "wandb.json", asdict(self))


class Tail:
    """The rows that a file gains; rows that were handed over before are passed by without a word."""

    def __init__(self, path: Path, rows_done: int) -> None:
        self.rows_done = rows_done
        self._path = path
        self._rows_seen = 0
        self._bytes_seen = 0

    def read(self) -> list[dict[str, Any]]:
        lines = complete_lines(self._path, self._bytes_seen)
        new = lines[max(0, self.rows_done - self._rows_seen) :]
        self._bytes_seen += sum(len(line) for line in lines)
        self._rows_seen += len(lines)
        self.rows_done += len(new)
        return [decode_row(line) for line in new]


def start_mirror(run: Run) -> Mirror:
    """Start mirroring a run; the mirror ends when this process sets another status than `running`, or dies."""
    run.set_status("running")
    command = [sys.executable, *MIRROR_PROCESS, str(run.path.resolve()), "--parent", str(os.getpid())]
    quiet = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
    with open(run.path / "mirror.log", "ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,  # it can never ask a question
            stdout=log,
            stderr=log,
            env=quiet | os.environ,
            start_new_session=True,  # Ctrl-C ends the training, and that ends the mirror in order
        )
    return Mirror(run, process)


def describe_mirror(run: Run) -> str:
    """One line: where the run can be seen on W&B, or how to send it there."""
    command = f"keel sync {shlex.quote(str(run.path))}"
    if not (run.path / "wandb.json").exists():
        return f"W&B was given nothing (see {run.path / 'mirror.log'}); send the run: {command}"
    state = MirrorState.load(run)
    if state.mode == "offline":
        return f"W&B: offline ({state.why_offline}); to send the run: {command}"
    everything = state.complete and _is_up_to_date(run, state)
    return f"W&B: {state.url}" if everything else f"W&B did not take everything in time; send the rest: {command}"


def sync_runs(references: list[str], *, json: bool) -> dict[str, Any]:
    """Send runs to W&B, by default all under results/runs that were tracked there; nothing is sent twice.

    Returns:
        `sent`, `skipped` and `failed`: lists of {"run", and "url" or "reason"}. Without `json` each one is also printed.

    Raises:
        KeelError: no key for W&B.
    """
    runs = Run.find(references) if references else [run for run in Run.all() if (run.path / "mirror.log").exists()]
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    if not _has_key():
        raise KeelError("no key for Weights & Biases: run `wandb login`, or set WANDB_API_KEY")
    results: dict[str, Any] = {"sent": [], "skipped": [], "failed": []}
    for run in runs:
        outcome, about = _sync(run)
        results[outcome].append({"run": str(run.path), **about})
        if not json:
            print(f"{outcome:8}{run.path}  {about.get('url') or about.get('reason')}", flush=True)
    return results


def _sync(run: Run) -> tuple[str, dict[str, Any]]:
    try:
        with run.lock(), _only_mirror(run):
            state = MirrorState.load(run)
            if state.complete and state.mode == "online" and _is_up_to_date(run, state):
                return "skipped", {"url": state.url, "reason": "everything is there already"}
            _mirror(run, state, _open_session(run, state.id, online=True), goes_on=lambda: False)
    except Exception as error:  # noqa: BLE001 (of whatever kind the W&B client raises: the other runs are still to be sent)
        reason = str(error) if isinstance(error, KeelError) else f"{type(error).__name__}: {error}"
        return "failed", {"reason": redact_text(reason)}
    return "sent", {"url": state.url}


@contextlib.contextmanager
def _only_mirror(run: Run, held: int | None = None) -> Iterator[int]:
    """Wait until no other process sends the run's rows: the mirror of a training that was killed may still do so.

    Two at once would send rows twice. Gives the file descriptor of the lock, which a process that replaces this one
    can take over as `held`.
    """
    with open(run.path / "mirror.lock" if held is None else held, "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def _is_up_to_date(run: Run, state: MirrorState) -> bool:
    return state.metrics_rows >= len(run.metrics()) and state.media_rows >= len(run.media())


def _mirror(run: Run, state: MirrorState, session: wandb.Run, goes_on: Callable[[], bool]) -> None:
    """Hand every row over until the run has ended, then wait until W&B has them all."""
    state.mode = "offline" if session.offline else "online"
    state.why_offline = state.why_offline if session.offline else None
    state.url, state.complete = session.url, False
    state.save(run)
    metrics = Tail(run.path / "metrics.jsonl", state.metrics_rows)
    media = Tail(run.path / "media.jsonl", state.media_rows)
    if state.mode == "online":
        _rewind(metrics, media, rows_there=session.starting_step)
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
    session.finish(exit_code=EXIT_CODES.get(run.status()["state"], 1))
    state.complete = True
    state.save(run)


def _rewind(metrics: Tail, media: Tail, rows_there: int) -> None:
    """Go back by the rows that the service never got: they were kept offline, or lost with a killed mirror.

    Every row handed over, of metrics or of a video, is one row there. A lost video counts as a row of metrics, so a
    row can be sent a second time, but none is left out.
    """
    missing = metrics.rows_done + media.rows_done - rows_there
    metrics.rows_done = max(0, metrics.rows_done - max(0, missing))
    if rows_there == 0:
        media.rows_done = 0


def _open_session(run: Run, run_id: str, online: bool) -> wandb.Run:
    """Begin or continue the W&B run. Never without an explicit mode: the client could ask questions."""
    import wandb

    config = run.config
    backbone = config.get("backbone", {}).get("kind")
    session = wandb.init(
        mode="online" if online else "offline",
        id=run_id,
        resume="allow" if online else None,
        dir=run.path,
        project=wandb.setup().settings.project or "keel",
        group=f"{config['env']}-{config['agent']}",
        name=run.name,
        job_type="train",
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


def _log_video(session: wandb.Run, run: Run, row: dict[str, Any]) -> None:
    import wandb

    path = run.path / row["video"]
    if not path.is_file():
        print(f"{path} is gone: not mirrored", flush=True)
        session.log({"global_step": row["global_step"]})  # a row all the same: rows are counted
        return
    video = wandb.Video(str(path), format=path.suffix[1:])  # pyright: ignore[reportArgumentType]
    session.log({"global_step": row["global_step"], "video": video})


def _has_key() -> bool:
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


def _goes_on(run: Run, parent: int) -> bool:
    """Whether training goes on: its process lives and has not said otherwise. A status of another process is old."""
    status = run.status()
    ended = status["pid"] == parent and status["state"] != "running"
    return os.getppid() == parent and not ended


def main(arguments: list[str]) -> int:
    """The mirror process: `python -m keel.runners.mirror RUN --parent PID [--offline WHY --lock DESCRIPTOR]`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--offline")
    parser.add_argument("--lock", type=int)
    options = parser.parse_args(arguments)
    os.nice(10)  # training comes first
    import wandb

    run = Run.open(options.run)
    mode = wandb.setup().settings.mode
    if mode == "disabled":
        print("W&B is disabled (WANDB_MODE)")
        return 0
    with _only_mirror(run, options.lock) as lock:
        state = MirrorState.load(run)
        why_offline = options.offline or ("WANDB_MODE" if mode == "offline" else None if _has_key() else "no key")
        state.why_offline = why_offline or state.why_offline
        state.save(run)  # the id stays the same whatever happens from here on
        if why_offline:
            session = _open_session(run, state.id, online=False)
        else:
            session = _open_online(run, state.id, arguments, lock)
        _mirror(run, state, session, goes_on=lambda: _goes_on(run, options.parent))
    return 0


def _open_online(run: Run, run_id: str, arguments: list[str], lock: int) -> wandb.Run:
    """Begin online; where the service refuses or is silent, start this process anew and offline.

    A client that failed holds on to the run's id and can hang: only a new process is sure to be rid of it. The
    client has left the address of its background service in the environment, where the new one must not find it.
    """
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}

    def restart_offline(why: str) -> NoReturn:
        command = [sys.executable, *MIRROR_PROCESS, *arguments, "--offline", redact_text(why), "--lock", str(lock)]
        os.set_inheritable(lock, True)
        os.execve(sys.executable, command, environment)

    watchdog = threading.Timer(WATCHDOG_SECONDS, restart_offline, [f"no answer in {WATCHDOG_SECONDS:g} s"])
    watchdog.daemon = True
    watchdog.start()
    try:
        session = _open_session(run, run_id, online=True)
    except Exception as error:  # noqa: BLE001 (whatever it is, the mirror can still keep the run offline)
        print(redact_text(f"W&B cannot be reached: {type(error).__name__}: {error}"), flush=True)
        restart_offline(str(error).partition("\n")[0][:200] or type(error).__name__)
    watchdog.cancel()
    return session


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
