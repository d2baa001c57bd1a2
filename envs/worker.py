"""A worker process: some of the worlds, stepped on request. Requests and replies are JSON, arrays lie in shared memory.

Requests: ["step"], ["reset", [[world, seed], ...]], ["replay", world, seed] followed by the actions as raw bytes,
["render"]. Replies: {} when done, {"image": [shape, type]} followed by its bytes, {"text": frame},
{"fault": [world, what]}, {"other_way": [world, step]}. Worlds are numbered within the worker.
"""

from __future__ import annotations

import faulthandler
import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from keel.envs.backend import Fault, NotDeterministic
from keel.envs.batches import layout_of, put, rows
from keel.envs.local import LocalBackend, blame
from keel.envs.make import make_single
from keel.envs.protocol import Observation
from keel.envs.shared import SharedArrays


@dataclass(frozen=True)
class Recipe:
    """All that a worker needs to make its worlds."""

    env_id: str
    spec: EnvSpec  # carried along, because what the main script registered is unknown to a new process
    frame_stack: int
    env_options: Mapping[str, Any]
    render_mode: str | None  # of the first of all worlds
    metric_names: tuple[str, ...]
    num_envs: int  # of all workers together

    def make(self, index: int) -> gymnasium.Env[Any, Any]:
        """World `index` of them all."""
        if ":" not in self.env_id:  # otherwise importing the module registers it
            gymnasium.registry.setdefault(self.spec.id, self.spec)
        return make_single(
            self.env_id,
            frame_stack=self.frame_stack,
            env_options=self.env_options,
            render_mode=self.render_mode if index == 0 else None,
        )


def serve(connection: Connection, recipe: Recipe, memory: Any, first: int, last: int) -> None:
    """Step the worlds first to last - 1 until the other side hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the main process decides
    faulthandler.register(signal.SIGUSR1)  # the main process asks a hung worker for its stack
    worker: _Worker | None = None
    try:
        while True:
            try:
                if worker is None:
                    worker, reply, tail = _Worker(recipe, memory, first, last), {}, None
                else:
                    reply, tail = worker.answer(json.loads(connection.recv_bytes()), connection)
            except Fault as fault:
                reply, tail = {"fault": [fault.index, fault.what]}, None
            except NotDeterministic as error:
                reply, tail = {"other_way": [error.index, error.step]}, None
            connection.send_bytes(json.dumps(reply).encode())
            if tail is not None:
                connection.send_bytes(tail)
    except (EOFError, ConnectionError):
        pass


class _Worker:
    def __init__(self, recipe: Recipe, memory: Any, first: int, last: int) -> None:
        try:
            envs = [recipe.make(index) for index in range(first, last)]
        except Exception as error:
            raise Fault(0, f"making it: {blame(error)}") from error
        space = envs[0].action_space
        dtype = np.dtype(np.int64) if isinstance(space, gymnasium.spaces.Discrete) else np.dtype(space.dtype)
        action = (space.shape or (), dtype)
        layout = layout_of(envs[0].observation_space)
        shared = SharedArrays(memory, layout, recipe.num_envs, action, len(recipe.metric_names))
        own = slice(first, last)
        self._backend = LocalBackend(envs, recipe.metric_names)
        self._metric_names = recipe.metric_names
        self._action = shared.action[own]
        self._observation: Observation = rows(shared.observation, own)
        self._reward, self._metrics = shared.reward[own], shared.metrics[own]
        self._terminated, self._truncated = shared.terminated[own], shared.truncated[own]

    def answer(self, request: list[Any], connection: Connection) -> tuple[dict[str, Any], bytes | None]:
        match request:
            case ["step"]:
                self._step()
            case ["reset", pairs]:
                indices = np.array([index for index, _ in pairs])
                put(self._observation, indices, self._backend.reset(indices, [seed for _, seed in pairs]))
            case ["replay", index, seed]:
                actions = np.frombuffer(connection.recv_bytes(), self._action.dtype).reshape(
                    -1, *self._action.shape[1:]
                )
                self._backend.replay(index, seed, actions, self._observation)
            case ["render"]:
                frame = self._backend.render()
                if isinstance(frame, str):
                    return {"text": frame}, None
                if isinstance(frame, np.ndarray):
                    return {"image": [frame.shape, frame.dtype.str]}, frame.tobytes()
            case _:
                raise ValueError(f"unknown request {request}")
        return {}, None

    def _step(self) -> None:
        outcome = self._backend.step(self._action)
        put(self._observation, np.arange(len(self._reward)), outcome.observation)
        self._reward[:] = outcome.reward
        self._terminated[:] = outcome.terminated
        self._truncated[:] = outcome.truncated
        for column, name in enumerate(self._metric_names):
            self._metrics[:, column] = outcome.metrics[name]
