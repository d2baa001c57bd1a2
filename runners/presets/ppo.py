"""PPO's settings that are known to work: world -> training, hyperparameters, backbone.

What they reach stands in results/benchmarks/ppo-learning.md.
"""

from __future__ import annotations

import dataclasses

from keel.agents.ppo import PPOConfig
from keel.networks.backbone import CNNConfig, LSTMConfig, TransformerConfig
from keel.runners.settings import Preset, Training

CART_POLE = Preset(
    Training(total_steps=100_000, num_envs=32, evaluate_every=2_048),
    PPOConfig(
        num_steps=32,
        epochs=6,
        minibatch_size=256,
        learning_rate=2e-3,
        learning_rate_schedule="linear",
        gamma=0.98,
        gae_lambda=0.8,
    ),
)

# A discount near 1, so that landing is worth more than hovering; scaled rewards let it learn three times as fast.
LUNAR_LANDER = Preset(
    Training(total_steps=600_000, num_envs=32, evaluate_every=16_384, evaluate_episodes=30),
    PPOConfig(
        num_steps=128,
        epochs=6,
        minibatch_size=256,
        learning_rate=1e-3,
        learning_rate_schedule="linear",
        gamma=0.999,
        gae_lambda=0.98,
        entropy_coefficient=0.01,
        normalise_reward=True,
    ),
)

# A short discount (ten steps or so) suits a pendulum that swings up within fifty.
PENDULUM = Preset(
    Training(total_steps=100_000, num_envs=8, evaluate_every=10_240, evaluate_episodes=100),
    PPOConfig(
        num_steps=256,
        epochs=10,
        minibatch_size=64,
        learning_rate=1e-3,
        learning_rate_schedule="linear",
        gamma=0.9,
        normalise_reward=True,
    ),
)
PENDULUM_NO_VELOCITY = Preset(
    dataclasses.replace(PENDULUM.training, total_steps=300_000, num_envs=32, evaluate_every=20_480),
    dataclasses.replace(PENDULUM.hyperparameters, num_steps=64, minibatch_size=256),
    LSTMConfig(),
)

# One-hot cells seen from the agent; scaled rewards are not wanted, as there is one at the end alone.
MINIGRID = Preset(
    Training(total_steps=300_000, num_envs=32, evaluate_every=16_384, evaluate_episodes=100),
    PPOConfig(
        num_steps=64,
        epochs=4,
        minibatch_size=256,
        learning_rate=1e-3,
        learning_rate_schedule="linear",
        gamma=0.99,
        gae_lambda=0.95,
        entropy_coefficient=0.01,
    ),
    CNNConfig(variant="small", channels=(16, 32), features=128),
)

# The best set points follow load and weather within minutes: a short discount, and much experience of many weeks.
COOLING = Preset(
    Training(
        total_steps=12_000_000,
        num_envs=128,
        evaluate_every=1_000_000,
        evaluate_episodes=26,
        checkpoint_every=2_000_000,
    ),
    PPOConfig(
        num_steps=64,
        epochs=4,
        minibatch_size=1024,
        learning_rate=1e-3,
        learning_rate_schedule="linear",
        gamma=0.95,
        gae_lambda=0.9,
        initial_log_std=-1.0,
    ),
)

# Small convolutions: the picture is a digit and a line.
DIGITS = Preset(
    Training(total_steps=300_000, num_envs=16, evaluate_every=4_096, evaluate_episodes=100),
    PPOConfig(num_steps=64, epochs=4, minibatch_size=256, learning_rate=1e-3, gamma=0.95, entropy_coefficient=0.01),
    CNNConfig(variant="impala", channels=(8, 16, 16), features=64),
)

PPO_PRESETS: dict[str, Preset] = {
    "keel/DataCenterCooling-v0": COOLING,
    "keel/DataCenterCoolingDiscrete-v0": COOLING,
    "keel/DataCenterCoolingPO-v0": Preset(
        dataclasses.replace(COOLING.training, total_steps=4_000_000, evaluate_every=500_000),
        COOLING.hyperparameters,
        LSTMConfig(shared=False),
    ),
    "keel/DataCenterCoolingMultiHall-v0": COOLING,
    "keel/DataCenterCoolingFaults-v0": COOLING,
    "CartPole-v1": CART_POLE,
    "keel/CartPole-v0": CART_POLE,
    "keel/CartPoleNoVelocity-v0": Preset(
        dataclasses.replace(CART_POLE.training, total_steps=200_000, evaluate_every=8_192),
        dataclasses.replace(CART_POLE.hyperparameters, normalise_observation=True),
        LSTMConfig(),
    ),
    "Acrobot-v1": Preset(
        Training(total_steps=200_000, num_envs=8, evaluate_every=8_192, evaluate_episodes=40),
        PPOConfig(
            num_steps=128,
            epochs=6,
            minibatch_size=256,
            learning_rate=1e-3,
            learning_rate_schedule="linear",
            gae_lambda=0.94,
            normalise_observation=True,
        ),
    ),
    "MountainCar-v0": Preset(
        Training(total_steps=1_000_000, num_envs=32, evaluate_every=16_384, evaluate_episodes=40),
        PPOConfig(
            num_steps=32,
            epochs=6,
            minibatch_size=256,
            learning_rate=1e-3,
            gae_lambda=0.98,
            normalise_observation=True,
            normalise_reward=True,
        ),
    ),
    # Noise that swings rocks the car up the hill in the first rollouts; trembling noise never does.
    "MountainCarContinuous-v0": Preset(
        Training(total_steps=50_000, num_envs=16, evaluate_every=8_192),
        PPOConfig(
            num_steps=256,
            epochs=6,
            minibatch_size=256,
            learning_rate=1e-3,
            gamma=0.999,
            normalise_observation=True,
            normalise_reward=True,
            noise_correlation=0.95,
        ),
    ),
    "Pendulum-v1": PENDULUM,
    "keel/PendulumNoVelocity-v0": PENDULUM_NO_VELOCITY,
    "LunarLander-v3": LUNAR_LANDER,
    "LunarLanderContinuous-v3": LUNAR_LANDER._replace(
        hyperparameters=dataclasses.replace(LUNAR_LANDER.hyperparameters, entropy_coefficient=0.0)
    ),
    "MiniGrid-DoorKey-5x5-v0": MINIGRID,
    # The reward waits at the end of a choice made blindly at first: without much entropy one side is soon always taken.
    "MiniGrid-MemoryS7-v0": Preset(
        dataclasses.replace(MINIGRID.training, total_steps=600_000, evaluate_every=32_768, evaluate_episodes=50),
        dataclasses.replace(MINIGRID.hyperparameters, entropy_coefficient=0.03),
        TransformerConfig(layers=1, window=16),
    ),
    "keel/DigitLine-v0": DIGITS,
    "keel/DigitSort-v0": DIGITS,
    "BipedalWalker-v3": Preset(
        Training(total_steps=1_500_000, num_envs=32, evaluate_every=65_536, evaluate_episodes=20),
        PPOConfig(
            num_steps=256,
            epochs=8,
            minibatch_size=512,
            learning_rate=5e-4,
            learning_rate_schedule="linear",
            normalise_observation=True,
            normalise_reward=True,
        ),
    ),
}
