"""DQN's and PQN's settings that are known to work: world -> training, hyperparameters, backbone.

What they reach stands in results/benchmarks/dqn-learning.md. The lowest and highest values are those of Rainbow's
atoms.
"""

from __future__ import annotations

from keel.agents.dqn import DQNConfig
from keel.agents.pqn import PQNConfig
from keel.agents.r2d2 import R2D2Config
from keel.agents.schedule import Schedule
from keel.networks.backbone import CNNConfig, GRUConfig, MLPConfig
from keel.runners.settings import Preset, Training

# Many steps and a short memory: what a poor policy did long ago says little of what a good one earns in ten steps.
CART_POLE = Preset(
    Training(total_steps=50_000, num_envs=16, evaluate_every=1_000, evaluate_episodes=40),
    DQNConfig(
        learning_rate=2e-3,
        learning_rate_schedule="linear",
        batch_size=128,
        update_every=4,
        replay_capacity=10_000,
        n_step=10,
        target_every=200,
        epsilon=Schedule(1.0, 0.04, 0.16),
        lowest_value=0.0,
        highest_value=100.0,
    ),
    MLPConfig(hidden=(120, 84), activation="relu"),
)

MINATAR = Preset(
    Training(total_steps=500_000, num_envs=16, evaluate_every=100_000, evaluate_episodes=20),
    DQNConfig(
        learning_rate=5e-4,
        batch_size=32,
        update_every=8,
        learning_starts=5_000,
        target_every=250,
        epsilon=Schedule(1.0, 0.02, 0.1),
        lowest_value=-5.0,
        highest_value=25.0,
    ),
    CNNConfig(variant="small", channels=(16,), features=128),
)

# The network, the clipped rewards and the ratio of Mnih et al. 2015, for a fifth of its 50 million steps.
ATARI = Preset(
    Training(
        total_steps=10_000_000,
        num_envs=8,
        evaluate_every=250_000,
        evaluate_episodes=20,
        checkpoint_every=1_000_000,
    ),
    DQNConfig(
        learning_rate=1e-4,
        batch_size=32,
        update_every=4,
        learning_starts=80_000,
        replay_capacity=1_000_000,
        n_step=3,
        target_every=2_000,
        epsilon=Schedule(1.0, 0.01, 0.1),
        clip_reward=1.0,
    ),
    CNNConfig(),
)

DOOR_KEY = Preset(
    Training(total_steps=120_000, num_envs=16, evaluate_every=10_000, evaluate_episodes=100),
    DQNConfig(
        learning_rate=5e-4,
        update_every=4,
        learning_starts=5_000,
        n_step=5,
        epsilon=Schedule(1.0, 0.05, 0.4),
        lowest_value=0.0,
        highest_value=1.0,
    ),
    CNNConfig(variant="small", channels=(16, 32), features=128),
)

# Nine actions move a set point by one step at a time, so the agent is taught to stay below the limit. Huber's loss would
# forget how much the rare hot moments cost; the square alone lets the worst of them, a thousand times all else, rule.
COOLING = Preset(
    Training(
        total_steps=2_000_000,
        num_envs=128,
        evaluate_every=250_000,
        evaluate_episodes=26,
        checkpoint_every=1_000_000,
        env_options={"actions": 9, "masks": True, "soft_limit": 25.25},
    ),
    DQNConfig(
        learning_rate=5e-4,
        learning_rate_schedule="linear",
        batch_size=256,
        update_every=64,
        learning_starts=20_000,
        replay_capacity=1_000_000,
        gamma=0.95,
        n_step=3,
        loss="mse",
        clip_reward=5.0,
        target_every=500,
        epsilon=Schedule(1.0, 0.05, 0.3),
        lowest_value=-50.0,
        highest_value=50.0,
        report_every=10_000,
    ),
    MLPConfig(hidden=(128, 128), activation="relu", layer_norm=True),
)

DQN_PRESETS: dict[str, Preset] = {
    "CartPole-v1": CART_POLE,
    "keel/CartPole-v0": CART_POLE,
    "Acrobot-v1": Preset(
        Training(total_steps=80_000, num_envs=16, evaluate_every=5_000, evaluate_episodes=40),
        DQNConfig(
            learning_rate=1e-3,
            learning_rate_schedule="linear",
            update_every=4,
            learning_starts=5_000,
            n_step=5,
            target_every=100,
            epsilon=Schedule(1.0, 0.02, 0.2),
            lowest_value=-100.0,
            highest_value=0.0,
        ),
        MLPConfig(hidden=(120, 84), activation="relu"),
    ),
    # Trembling never reaches the hill; random actions that last rock the car up before learning starts.
    "MountainCar-v0": Preset(
        Training(total_steps=100_000, num_envs=16, evaluate_every=5_000, evaluate_episodes=40),
        DQNConfig(
            learning_rate=1e-3,
            learning_rate_schedule="linear",
            update_every=4,
            learning_starts=5_000,
            target_every=150,
            epsilon=Schedule(1.0, 0.005, 0.2),
            persistence=0.95,
            lowest_value=-100.0,
            highest_value=0.0,
            normalise_observation=True,
        ),
        MLPConfig(hidden=(120, 84), activation="relu"),
    ),
    "LunarLander-v3": Preset(
        Training(total_steps=400_000, num_envs=16, evaluate_every=20_000, evaluate_episodes=40),
        DQNConfig(
            learning_rate=1e-3,
            learning_rate_schedule="linear",
            update_every=4,
            learning_starts=5_000,
            n_step=5,
            target_every=500,
            epsilon=Schedule(1.0, 0.02, 0.25),
            lowest_value=-300.0,
            highest_value=300.0,
        ),
        MLPConfig(hidden=(128, 128), activation="relu"),
    ),
    **{
        f"MinAtar/{game}-{version}": MINATAR
        for game in ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders")
        for version in ("v0", "v1")
    },
    **{f"ALE/{game}-v5": ATARI for game in ("Pong", "Breakout", "SpaceInvaders", "BeamRider")},
    "MiniGrid-DoorKey-5x5-v0": DOOR_KEY,
    "keel/DataCenterCoolingDiscrete-v0": COOLING,
}

PQN_PRESETS: dict[str, Preset] = {
    env: Preset(
        Training(total_steps=150_000, num_envs=32, evaluate_every=2_048),
        PQNConfig(
            num_steps=32,
            epochs=4,
            minibatch_size=256,
            learning_rate=2e-3,
            gamma=0.98,
            lambda_=0.9,
        ),
        MLPConfig(activation="relu", layer_norm=True),
    )
    for env in ("CartPole-v1", "keel/CartPole-v0")
}

R2D2_PRESETS: dict[str, Preset] = {
    "keel/CartPoleNoVelocity-v0": Preset(
        Training(total_steps=100_000, num_envs=16, evaluate_every=5_000, evaluate_episodes=40),
        R2D2Config(
            learning_rate=1e-3,
            learning_rate_schedule="linear",
            burn_in=10,
            length=20,
            n_step=10,
            replay_capacity=20_000,
            update_every=16,
            learning_starts=2_000,
            target_every=200,
            epsilon=Schedule(1.0, 0.05, 0.1),
        ),
        GRUConfig(),
    ),
}
