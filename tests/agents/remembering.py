"""Small agents with networks that remember, steps to try them on, and a world that only a memory solves."""

import copy

import numpy as np
import torch
from gymnasium import spaces

from keel.agents.r2d2 import R2D2, R2D2Config
from keel.envs.protocol import Step
from keel.envs.seeding import generator
from keel.networks.backbone import GRUConfig, LSTMConfig, MLPConfig, TransformerConfig
from keel.runners.evaluate import evaluate_agent
from keel.runners.loop import Loop

CPU = torch.device("cpu")
VECTOR = spaces.Box(-10, 10, (4,), np.float32)
BACKBONES = {
    "gru": GRUConfig(width=8, hidden=(8,)),
    "lstm": LSTMConfig(width=8, layers=2, hidden=()),
    "transformer": TransformerConfig(width=8, layers=2, heads=2, window=3, hidden=(8,)),
    "mlp": MLPConfig(hidden=(8,)),
}


def make(kind="gru", space=VECTOR, actions=None, *, num_envs=4, total_steps=10_000, seed=0, device=CPU, **changes):
    common = {
        "burn_in": 3, "length": 6, "n_step": 2, "batch_size": 8, "learning_starts": 60, "replay_capacity": 400,
        "update_every": 8, "report_every": 100, "target_every": 5,
    }  # fmt: skip
    return R2D2(
        space, actions or spaces.Discrete(3), num_envs=num_envs, total_steps=total_steps,
        config=R2D2Config(**(common | changes)), backbone=BACKBONES[kind], seed=seed, device=device,
    )  # fmt: skip


class Play:
    """Steps whose every number is a function of the step, with the memory handed on as the loop does."""

    def __init__(self, agent, look=lambda numbers: numbers):
        self.agent, self.look, self.t = agent, look, 0
        self.memory, self.is_first = agent.initial_memory(agent.num_envs), np.ones(agent.num_envs, bool)
        self.actions, self.rows = [], []

    def chance(self, t):
        random, batch = np.random.default_rng([5, t]), self.agent.num_envs
        numbers, final = random.normal(size=(2, batch, 4)).astype(np.float32)
        return numbers, final, random.normal(size=batch), random.choice(3, batch, p=[0.8, 0.1, 0.1])

    def run(self, steps):
        for _ in range(steps):
            numbers, final, reward, ends = self.chance(self.t)
            self.t += 1
            observation, following = self.look(numbers), self.look(self.chance(self.t)[0])
            decision = self.agent.act(observation, self.memory, self.is_first, explore=True)
            step = Step(following, reward, ends == 1, ends == 2, self.look(final) if ends.any() else None, {})
            if self.agent.observe(observation, decision, step) and (metrics := self.agent.update()):
                self.rows.append(metrics)
            self.memory, self.is_first = decision.memory, ends > 0
            self.actions.append(decision.action)
        return self

    def onto(self, agent):
        """The same worlds at the same step with another agent."""
        twin = copy.copy(self)
        twin.agent, twin.actions, twin.rows = agent, [], []
        return twin


class CueWorlds:
    """The first observation says which of two actions is right, `delay` empty ones follow, and then one chooses.

    The right choice earns 1, all else 0: without a memory 0.5 a game is the most, on average. An episode has two games
    one after the other and ends by termination, or every third time by truncation.
    """

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)
    resume, episode_steps = "exact", None

    def __init__(self, num_envs, delay=3):
        self.num_envs, self.delay = num_envs, delay

    def reset(self, seed):
        self.seed, self.time = seed, 0
        self.age, self.episode = np.zeros((2, self.num_envs), np.int64)
        self.cue = np.array([self._draw(world) for world in range(self.num_envs)])
        return self._look()

    def _draw(self, world):
        return generator(self.seed, world, int(self.episode[world]), int(self.age[world])).choice([-1.0, 1.0])

    def _look(self):
        game = self.age % (self.delay + 2)
        return np.stack([self.cue * (game == 0), game == self.delay + 1], axis=1).astype(np.float32)

    def step(self, action):
        chooses = self.age % (self.delay + 2) == self.delay + 1
        reward = (chooses & (action == (self.cue > 0))).astype(np.float64)
        ends = chooses & (self.age > self.delay + 1)
        truncated = ends & (self.episode % 3 == 2)
        self.age = self.age + 1
        final = self._look()
        self.age, self.episode = np.where(ends, 0, self.age), self.episode + ends
        self.cue = np.array([self._draw(b) if chooses[b] else self.cue[b] for b in range(self.num_envs)])
        return Step(self._look(), reward, ends & ~truncated, truncated, final if ends.any() else None, {})

    def state_dict(self):
        return {"seed": self.seed, "age": self.age, "episode": self.episode, "cue": self.cue}

    def load_state_dict(self, state):
        self.seed, self.age, self.episode, self.cue = (state[name] for name in ("seed", "age", "episode", "cue"))
        return self._look()


def train(kind, config, backbone, steps, *, num_envs=8, seed=0, delay=3):
    """An agent of the class `kind` that has been in the cue worlds for so many steps."""
    worlds = CueWorlds(num_envs, delay)
    agent = kind(
        worlds.observation_space, worlds.action_space, num_envs=num_envs, total_steps=steps, config=config,
        backbone=backbone, seed=seed, device=CPU,
    )  # fmt: skip
    loop = Loop(agent, worlds, seed)
    loop.start()
    loop.run(steps, lambda metrics: False)
    return agent


def score(agent, delay=3):
    """How many of its greedy choices are right, of 200."""
    return evaluate_agent(agent, CueWorlds(20, delay), episodes=100, seed=12_345).mean / 2
