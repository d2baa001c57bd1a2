"""Gymnasium environments spread over worker processes, each of which is replaced when it dies or hangs.

The main process keeps the seed and the actions of every episode in progress. A new worker replays them, so the run
goes on exactly as if nothing had happened.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from keel.envs.actions import Actions
from keel.envs.backend import Fault, NotDeterministic, Outcome, plain
from keel.envs.batches import copy, first_difference, layout_of, rows
from keel.envs.errors import KeelError
from keel.envs.make import find_spec, frames_per_second, make_single, metric_names
from keel.envs.protocol import Array, Frame, Observation, State
from keel.envs.replay import EpisodeLog
from keel.envs.shared import SharedArrays
from keel.envs.worker import Recipe, serve

log = logging.getLogger("keel")
MAX_RESTARTS = 3  # of one worker in a row, without one answer in between
START_SECONDS = 120.0  # a new process imports its libraries first


class WorkersBackend:
    """B worlds in worker processes; the same states as `LocalBackend`, so a run may change its number of workers."""

    kind = "replay"
    episode_steps: int | None = None

    def __init__(
        self,
        env_id: str,
        num_envs: int,
        num_workers: int,
        step_timeout_seconds: float,
        *,
        frame_stack: int,
        env_options: Mapping[str, Any],
        render_mode: str | None,
    ) -> None:
        sample = make_single(env_id, frame_stack=frame_stack, env_options=env_options)
        names = metric_names(sample)
        self.frames_per_second = frames_per_second(sample)
        sample.close()
        self.num_envs = num_envs
        self.observation_space, self.action_space = sample.observation_space, sample.action_space
        self._env_id = env_id
        self._metric_names = names
        self._timeout_seconds = step_timeout_seconds
        layout = layout_of(self.observation_space)
        action = (self.action_space.shape or (), Actions(self.action_space, num_envs).dtype)
        self._log = EpisodeLog(num_envs, *action)
        context = multiprocessing.get_context("spawn")
        size = SharedArrays(None, layout, num_envs, action, len(names)).size_bytes
        memory = context.RawArray(ctypes.c_uint8, size)
        self._shared = SharedArrays(memory, layout, num_envs, action, len(names))
        self._before = copy(self._shared.observation)  # what was last handed out, to check a replay against
        recipe = Recipe(env_id, find_spec(env_id), frame_stack, dict(env_options), render_mode, names, num_envs)
        self._workers = [
            WorkerProcess(context, recipe, memory, int(part[0]), int(part[-1]) + 1)
            for part in np.array_split(np.arange(num_envs), num_workers)
        ]
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def reset(self, indices: Array, seeds: Sequence[int]) -> Observation:
        self._log.begin(indices, seeds)
        pairs = list(zip(indices.tolist(), [int(seed) for seed in seeds], strict=True))
        requests = {
            worker: ["reset", own]
            for worker in self._workers
            if (own := [[index - worker.first, seed] for index, seed in pairs if worker.first <= index < worker.last])
        }
        self._ask(requests)
        self._before = copy(self._shared.observation)
        return copy(rows(self._shared.observation, indices))

    def step(self, action: Array) -> Outcome:
        self._log.append(action)
        self._shared.action[...] = action
        self._ask({worker: ["step"] for worker in self._workers})
        self._before = copy(self._shared.observation)
        shared = self._shared
        metrics = {name: shared.metrics[:, column].copy() for column, name in enumerate(self._metric_names)}
        return Outcome(
            copy(shared.observation), shared.reward.copy(), shared.terminated.copy(), shared.truncated.copy(), metrics
        )

    def state_dict(self) -> State:
        return self._log.state_dict()

    def load_state_dict(self, state: State) -> Observation:
        self._log.load_state_dict(state)
        for worker in self._workers:
            for index in range(worker.first, worker.last):
                try:
                    self._replay(worker, index, *self._log.episode(index))
                except WorkerLost as lost:
                    raise KeelError(self._describe(worker, lost, "while its episodes were replayed")) from None
        self._before = copy(self._shared.observation)
        return copy(self._shared.observation)

    def render(self) -> Frame | None:
        reply = self._ask({self._workers[0]: ["render"]})
        if "image" not in reply:
            return reply.get("text")
        shape, dtype = reply["image"]
        return np.frombuffer(self._workers[0].receive_tail(), dtype).reshape(shape).copy()

    def close(self) -> None:
        for worker in self._workers:
            worker.stop()

    def _start(self) -> None:
        """All at once, since each takes seconds to import its libraries. Raises: KeelError."""
        for worker in self._workers:
            worker.start()
        for worker in self._workers:
            try:
                self._until_ready(worker)
            except Fault as fault:
                raise KeelError(f"environment {self._env_id}, world {fault.index}: {fault.what}") from None
            except WorkerLost as lost:
                raise KeelError(
                    f"environment {self._env_id}: the worker of {worker.worlds} {lost} while it was starting; a script "
                    'that uses workers needs the guard `if __name__ == "__main__":` round what it runs'
                ) from None

    def _ask(self, requests: dict[WorkerProcess, list[Any]]) -> dict[str, Any]:
        """Send every request, wait for every answer, replace the workers that give none; returns the last answer."""
        sent = time.monotonic()
        lost: dict[WorkerProcess, WorkerLost] = {}
        reply: dict[str, Any] = {}
        for worker, request in requests.items():
            try:
                worker.send(request)
            except WorkerLost as error:
                lost[worker] = error
        trouble: Exception | None = None
        for worker, request in requests.items():
            limit = sent + self._timeout_seconds * (worker.last - worker.first)
            try:
                reply = self._answer(worker, request, limit, lost.get(worker))
            except (Fault, NotDeterministic, KeelError) as error:
                trouble = trouble or error  # raised once every answer is in: none is to be taken for a later one
        if trouble is not None:
            raise trouble
        return reply

    def _answer(
        self, worker: WorkerProcess, request: list[Any], limit: float, lost: WorkerLost | None
    ) -> dict[str, Any]:
        if lost is None:
            try:
                return worker.receive(limit)
            except WorkerLost as error:
                lost = error
        return self._replace(worker, request, lost)

    def _replace(self, worker: WorkerProcess, request: list[Any], lost: WorkerLost) -> dict[str, Any]:
        """Start the worker again, bring its worlds to where they were before `request`, and have it answered."""
        for attempt in range(1, MAX_RESTARTS + 1):
            log.warning("%s; restart %d of at most %d", self._describe(worker, lost, request[0]), attempt, MAX_RESTARTS)
            try:
                worker.stop()
                worker.start()
                self._until_ready(worker)
                self._restore(worker, request)
                if request[0] == "reset":  # its new episodes are in the log already, and so are replayed
                    return {}
                worker.send(request)
                return worker.receive(time.monotonic() + self._timeout_seconds * (worker.last - worker.first))
            except WorkerLost as error:
                lost = error
        raise KeelError(
            f"{self._describe(worker, lost, request[0])}; it was restarted {MAX_RESTARTS} times and failed each time"
        )

    def _restore(self, worker: WorkerProcess, request: list[Any]) -> None:
        stepping = request[0] == "step"
        fresh = {worker.first + index for index, _ in request[1]} if request[0] == "reset" else set()
        for index in range(worker.first, worker.last):
            seed, actions = self._log.episode(index)
            self._replay(worker, index, seed, actions[:-1] if stepping else actions)
            here = slice(index, index + 1)
            same = first_difference(rows(self._shared.observation, here), rows(self._before, here)) is None
            if index not in fresh and not same:
                raise NotDeterministic(index, len(actions) - stepping)

    def _replay(self, worker: WorkerProcess, index: int, seed: int, actions: Array) -> None:
        worker.send(["replay", index - worker.first, seed], np.ascontiguousarray(actions).tobytes())
        worker.receive(time.monotonic() + self._timeout_seconds * (1 + len(actions)))

    def _until_ready(self, worker: WorkerProcess) -> None:
        worker.receive(time.monotonic() + START_SECONDS + self._timeout_seconds)

    def _describe(self, worker: WorkerProcess, lost: WorkerLost, doing: str) -> str:
        last = [
            f"world {index}: seed {seed}, last action {plain(actions[-1]) if len(actions) else 'none'}"
            for index in range(worker.first, worker.last)
            for seed, actions in [self._log.episode(index)]
        ]
        more = f" and {len(last) - 8} more" if len(last) > 8 else ""
        return (
            f"environment {self._env_id}: the worker of {worker.worlds} {lost} ({doing}; {'; '.join(last[:8])}{more})"
        )


class WorkerLost(Exception):
    """A worker process died or does not answer; the text says which."""


class WorkerProcess:
    """One worker process and the line to it."""

    def __init__(self, context: Any, recipe: Recipe, memory: Any, first: int, last: int) -> None:
        self.first, self.last = first, last  # its worlds are first to last - 1
        self.worlds = f"world {first}" if last - first == 1 else f"worlds {first} to {last - 1}"
        self._context = context
        self._arguments = (recipe, memory, first, last)
        self._process: Any = None
        self._connection: Connection

    def start(self) -> None:
        """Start the process; its first answer says that it is ready. Raises: KeelError."""
        self._connection, far_end = self._context.Pipe()
        self._process = self._context.Process(target=serve, args=(far_end, *self._arguments), daemon=True)
        try:
            self._process.start()
        except Exception as error:  # whatever keeps Python from handing the arguments over
            self._process = None
            raise KeelError(
                f"the environment cannot be sent to worker processes ({error}): register it with an entry point "
                "'module:class' and options that are plain values"
            ) from error
        far_end.close()

    def send(self, request: list[Any], tail: bytes | None = None) -> None:
        """Raises: WorkerLost."""
        try:
            self._connection.send_bytes(json.dumps(request).encode())
            if tail is not None:
                self._connection.send_bytes(tail)
        except OSError:
            raise self._lost() from None

    def receive(self, limit: float) -> dict[str, Any]:
        """The answer, waited for until `limit` on the monotonic clock. Raises: WorkerLost, Fault, NotDeterministic."""
        try:
            if not self._connection.poll(max(0.0, limit - time.monotonic())):
                self._ask_for_stack()
                raise WorkerLost(f"(process {self._process.pid}) gave no answer in time")
            reply = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            raise self._lost() from None
        if "fault" in reply:
            raise Fault(self.first + reply["fault"][0], reply["fault"][1])
        if "other_way" in reply:
            raise NotDeterministic(self.first + reply["other_way"][0], reply["other_way"][1])
        return reply

    def receive_tail(self) -> bytes:
        """The bytes that follow an answer which announced them."""
        return self._connection.recv_bytes()

    def stop(self) -> None:
        """End the process at once; it holds nothing worth saving."""
        if self._process is None:
            return
        self._connection.close()
        self._process.kill()
        self._process.join()
        self._process.close()
        self._process = None

    def _lost(self) -> WorkerLost:
        self._process.join(1.0)
        code = self._process.exitcode
        if code is not None and code < 0:
            return WorkerLost(f"(process {self._process.pid}) was killed by {signal.Signals(-code).name}")
        return WorkerLost(f"(process {self._process.pid}) ended with exit code {code}")

    def _ask_for_stack(self) -> None:
        with contextlib.suppress(OSError):
            os.kill(self._process.pid, signal.SIGUSR1)
            time.sleep(0.2)  # it prints its stack on standard error before it is replaced
