"""Following a run while it trains: before each episode the newest checkpoint is loaded, should there be a newer one."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any

from keel.agents.agent import Agent
from keel.envs.errors import KeelError
from keel.runners import checkpoint
from keel.runners.agents import load_policy_state
from keel.runners.run import Run
from keel.runners.subjects import Subject, run_subject

POLL_SECONDS = 0.5
ATTEMPTS = 3  # at a checkpoint that may be replaced or removed while it is read

_log = logging.getLogger("keel")


class Follower:
    """Gives an agent the newest weights of its run, and knows when there will be no newer ones.

    Args:
        run: whose checkpoints are read; it may be written by another process meanwhile.
        agent: whose network is loaded into; `step`: of the checkpoint that it has.
        wait: before an episode, wait until there are newer weights; without it the same ones act once more.
    """

    def __init__(self, run: Run, agent: Agent, step: int, *, wait: bool) -> None:
        self._run = run
        self._agent = agent
        self._wait = wait
        self._shown = False  # whether the weights that the agent has were seen to act
        self.step = step

    def before_episode(self) -> str | None:
        """Load what is newer; returns which weights act, or None where they are the last ones and were seen."""
        while True:
            over = has_ended(self._run)  # asked first, so that what is saved in between is not missed
            if self._load_newer() or not self._shown or not self._wait:
                self._shown = True
                return f"step {self.step:,}"
            if over:
                return None
            time.sleep(POLL_SECONDS)

    def _load_newer(self) -> bool:
        """Whether there was a newer whole checkpoint; one that cannot be read now is tried again another time."""
        for _ in range(ATTEMPTS):
            if newest_step(self._run) <= self.step:
                return False
            try:
                saved = checkpoint.load(checkpoint.latest(self._run.checkpoints), agent=self._run.config["agent"])
            except (KeelError, OSError) as error:  # replaced or removed while it was read
                _log.info("%s; looking again", error)
                continue
            if saved.about["global_step"] <= self.step:
                return False
            load_policy_state(self._agent, saved.state["agent"])
            self.step = saved.about["global_step"]
            self._shown = False
            return True
        return False


def follow(
    run: Run, *, wait: bool, waiting: Callable[[], None] = lambda: None, **options: Any
) -> tuple[Subject, Follower]:
    """Who acts, with the newest weights, and what keeps them new. A run that has saved none yet is waited for.

    Args: waiting: called once where it has to wait. options: of `run_subject`.
    Raises: CheckpointError: the run has ended and left no checkpoint that is whole.
    """
    told = False
    while True:
        over = has_ended(run)
        try:
            subject = run_subject(run, "last", **options)
            return subject, Follower(run, subject.agent, subject.about["global_step"], wait=wait)
        except (checkpoint.CheckpointError, OSError):
            if over or newest_step(run) >= 0:  # not for want of a checkpoint
                raise
        if not told:
            waiting()
            told = True
        time.sleep(POLL_SECONDS)


def newest_step(run: Run) -> int:
    """The step of the newest checkpoint, whole or not; -1 where there is none."""
    names = (path.name.removeprefix("step-") for path in run.checkpoints.glob("step-*"))
    return max((int(name) for name in names if name.isdigit()), default=-1)


def has_ended(run: Run) -> bool:
    """Whether nobody trains this run now: it says so, or the process that trained it is gone."""
    try:
        status = run.status()
    except (KeelError, OSError):  # not written yet
        return False
    return status["state"] != "running" or not _is_alive(status["pid"])


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # someone else's
        return True
    return True
