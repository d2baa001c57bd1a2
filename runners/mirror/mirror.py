"""A run folder mirrored to Weights & Biases, by a process of its own: nothing there can stop or slow training.

Training only appends to its folder. The mirror reads the new rows twice a second and hands each one over as it is; the
W&B client bundles them into one request every few seconds, well below the service's limit of two a second for a run.
What W&B has missed for whatever reason `keel sync` sends later, again from the folder.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from typing import Any

from keel.envs.errors import KeelError
from keel.runners.mirror.process import MIRROR_PROCESS
from keel.runners.mirror.rows import MirrorState, is_up_to_date, only_mirror
from keel.runners.mirror.session import QUIET, be_quiet, hand_over, need_key, open_session
from keel.runners.provenance import redact_text
from keel.runners.run import Run


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


def start_mirror(run: Run) -> Mirror:
    """Start mirroring a run; the mirror ends when this process sets another status than `running`, or dies."""
    run.set_status("running")
    command = [sys.executable, *MIRROR_PROCESS, str(run.path.resolve()), "--parent", str(os.getpid())]
    with open(run.path / "mirror.log", "ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,  # it can never ask a question
            stdout=log,
            stderr=log,
            env=QUIET | os.environ,
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
    everything = state.complete and is_up_to_date(run, state)
    return f"W&B: {state.url}" if everything else f"W&B did not take everything in time; send the rest: {command}"


def sync_runs(references: list[str], *, json: bool) -> dict[str, Any]:
    """Send runs to W&B, by default all under results/runs that were tracked there; nothing is sent twice.

    Returns:
        `sent`, `skipped` and `failed`: lists of {"run", and "url" or "reason"}. Without `json` each one is also printed.

    Raises:
        KeelError: no key for W&B.
    """
    runs = Run.find(references) if references else [run for run in Run.all() if (run.path / "mirror.log").exists()]
    be_quiet()
    need_key()
    results: dict[str, Any] = {"sent": [], "skipped": [], "failed": []}
    for run in runs:
        outcome, about = _sync(run)
        results[outcome].append({"run": str(run.path), **about})
        if not json:
            print(f"{outcome:8}{run.path}  {about.get('url') or about.get('reason')}", flush=True)
    return results


def _sync(run: Run) -> tuple[str, dict[str, Any]]:
    try:
        with run.lock(), only_mirror(run):
            state = MirrorState.load(run)
            if state.complete and state.mode == "online" and is_up_to_date(run, state):
                return "skipped", {"url": state.url, "reason": "everything is there already"}
            hand_over(run, state, open_session(run, state.id, online=True), goes_on=lambda: False)
    except Exception as error:  # noqa: BLE001 (of whatever kind the W&B client raises: the other runs are still to be sent)
        reason = str(error) if isinstance(error, KeelError) else f"{type(error).__name__}: {error}"
        return "failed", {"reason": redact_text(reason)}
    return "sent", {"url": state.url}
