"""The mirror process of a run: it begins online where it can, and ends when training has ended or died."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

from keel.runners.mirror.rows import MirrorState, only_mirror
from keel.runners.mirror.session import hand_over, has_key, open_session
from keel.runners.provenance import redact_text
from keel.runners.run import Run

if TYPE_CHECKING:
    import wandb

MIRROR_PROCESS = ("-P", "-m", "keel.runners.mirror.process")  # -P: no module of the working directory is ever imported
WATCHDOG_SECONDS = 30.0  # the W&B client keeps its own time limit as a rule; this one does not depend on it


def main(arguments: list[str]) -> int:
    """The mirror process: `python -m keel.runners.mirror.process RUN --parent PID [--offline WHY --lock DESCRIPTOR]`."""
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
    with only_mirror(run, options.lock) as lock:
        state = MirrorState.load(run)
        why_offline = options.offline or ("WANDB_MODE" if mode == "offline" else None if has_key() else "no key")
        state.why_offline = why_offline or state.why_offline
        state.save(run)  # the id stays the same whatever happens from here on
        if why_offline:
            session = open_session(run, state.id, online=False)
        else:
            session = _open_online(run, state.id, arguments, lock)
        try:
            hand_over(run, state, session, goes_on=lambda: _goes_on(run, options.parent))
        except Exception as error:  # noqa: BLE001 (of whatever kind the W&B client raises: without secrets in the log)
            print(redact_text(f"W&B did not take everything: {type(error).__name__}: {error}"), flush=True)
            return 1
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
        session = open_session(run, run_id, online=True)
    except Exception as error:  # noqa: BLE001 (whatever it is, the mirror can still keep the run offline)
        print(redact_text(f"W&B cannot be reached: {type(error).__name__}: {error}"), flush=True)
        restart_offline(str(error).partition("\n")[0][:200] or type(error).__name__)
    watchdog.cancel()
    return session


def _goes_on(run: Run, parent: int) -> bool:
    """Whether training goes on: its process lives and has not said otherwise. A status of another process is old."""
    status = run.status()
    ended = status["pid"] == parent and status["state"] != "running"
    return os.getppid() == parent and not ended


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
