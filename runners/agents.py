"""From settings to an agent, and from a run's checkpoint to a policy that acts."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces

from keel.agents.agent import Agent, Memory
from keel.agents.dqn import DQN, DQNConfig
from keel.agents.ppo import PPO, PPOConfig
from keel.agents.pqn import PQN, PQNConfig
from keel.agents.r2d2 import R2D2, R2D2Config
from keel.agents.replay import FrameStack
from keel.envs.errors import KeelError
from keel.envs.make import frame_stack_of
from keel.envs.protocol import Array, Observation, State, VecEnv
from keel.envs.vector import make_vec
from keel.runners import checkpoint
from keel.runners.kinds import refuse_pretraining
from keel.runners.pretrained import transfer_of
from keel.runners.run import Run
from keel.runners.selfplay.settings import refuse_selfplay
from keel.runners.settings import Settings


def pick_device(name: str) -> torch.device:
    """The torch device that `name` means: auto, cpu, cuda or cuda:N.

    Raises:
        ValueError: no such device, or none on this machine; nothing falls back silently.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()) or (kind == "cpu" and number):
        raise ValueError(f"device is {name!r}: it can be auto, cpu, cuda or cuda:N")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ValueError(f"device is {name!r}, and this machine has {count} CUDA devices: use --device auto or cpu")
    return torch.device(name)


def make_worlds(settings: Settings, num_envs: int, *, workers: int = 0, render_mode: str | None = None) -> VecEnv:
    """`num_envs` of the run's worlds."""
    training = settings.training
    return make_vec(
        settings.env,
        num_envs,
        workers=workers,
        frame_stack=training.frame_stack,
        env_options=training.env_options,
        render_mode=render_mode,
        backend=training.backend if render_mode is None else "auto",
    )


def make_agent(
    settings: Settings,
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    *,
    device: torch.device,
    begin: bool = False,
) -> Agent:
    """The agent of a run, before its first step; with `begin` it takes over the pretrained backbone, if there is one."""
    common: dict[str, Any] = {
        "num_envs": settings.training.num_envs,
        "total_steps": settings.training.total_steps,
        "backbone": settings.backbone,
        "seed": settings.seed,
        "device": device,
        "transfer": transfer_of(settings, begin=begin),
    }
    match settings.hyperparameters:
        case PPOConfig() as config:
            return PPO(observation_space, action_space, config=config, **common)
        case PQNConfig() as config:
            return PQN(observation_space, action_space, config=config, **common)
        case R2D2Config() as config:
            return R2D2(observation_space, action_space, config=config, **common)
        case DQNConfig() as config:
            stacked = frame_stack_of(settings.env, settings.training.frame_stack, observation_space)
            frames = None if stacked is None else FrameStack(*stacked)
            return DQN(observation_space, action_space, config=config, frames=frames, **common)
        case config:
            from keel.runners.sb3.agent import make_sb3_agent  # Stable-Baselines3 takes seconds to import

            return make_sb3_agent(
                observation_space, action_space, config=config, backbone=settings.backbone, device=device
            )


def load_agent_state(agent: Agent, state: State) -> None:
    """Give `agent` the whole state of a snapshot, to train on.

    Raises:
        CheckpointError: a table of the weights whose shapes do not fit.
    """
    _check_network(agent, state)
    agent.load_state_dict(state)


def policy_state(agent: Agent) -> State:
    """Of an agent's state what acting needs: the network alone."""
    return {"network": dict(agent.network.state_dict())}


def load_policy_state(agent: Agent, state: State) -> None:
    """Give `agent` the network of any checkpoint, to act with.

    Raises:
        CheckpointError: a table of the weights whose shapes do not fit.
    """
    _check_network(agent, state)
    agent.network.load_state_dict(state["network"])


def _check_network(agent: Agent, state: State) -> None:
    checkpoint.check_shapes(policy_state(agent), {"network": state["network"]})


class Policy:
    """A trained agent for one world at a time, greedy unless told otherwise.

    `act(observation)` takes one observation as the world gives it and returns one action as the world takes it; a
    network's memory is kept from call to call, and `reset()` clears it where an episode begins.
    """

    def __init__(self, agent: Agent, settings: Settings, source: checkpoint.Checkpoint) -> None:
        self.agent = agent
        self.settings = settings
        self.checkpoint = source
        self.reset()

    def reset(self) -> None:
        """Forget the episode so far."""
        self._memory: Memory = self.agent.initial_memory(1)
        self._is_first = np.ones(1, bool)

    def act(self, observation: Observation) -> Array:
        decision = self.agent.act(_batch_of_one(observation), self._memory, self._is_first, explore=False)
        self._memory = decision.memory
        self._is_first = np.zeros(1, bool)
        return decision.action[0]


def _batch_of_one(observation: Any) -> Observation:
    if isinstance(observation, dict):
        return {key: _batch_of_one(value) for key, value in observation.items()}
    return np.asarray(observation)[None]


def load_policy(
    run: Run, which: Literal["best", "last"] = "best", *, device: str = "cpu", settings: Settings | None = None
) -> Policy:
    """The agent of a run with the weights of its best or last checkpoint.

    Args: settings of the run where they are at hand; otherwise config.json is read.

    Raises:
        CheckpointError: there is no such checkpoint, it is damaged, or it is not of this run's agent and world.
    """
    refuse_pretraining(run.config)
    refuse_selfplay(run.config)
    settings = settings or Settings.from_json(run.config, str(run.path / "config.json"))
    saved = checkpoint.load(checkpoint.resolve(run.path, which), agent=settings.agent)
    if saved.about.get("env") != settings.env:
        raise KeelError(
            f"{saved.path} was trained on {saved.about.get('env')}, and the run's settings say {settings.env}"
        )
    worlds = make_worlds(settings, 1)
    try:
        agent = make_agent(settings, worlds.observation_space, worlds.action_space, device=pick_device(device))
    finally:
        worlds.close()
    load_policy_state(agent, saved.state["agent"])
    return Policy(agent, settings, saved)
