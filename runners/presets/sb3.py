"""Stable-Baselines3's settings that are known to work: (agent, world) -> training, hyperparameters, backbone.

Hyperparameters are those of RL Baselines3 Zoo, except that trainings on Pendulum-v1 are half as long, and that TD3
begins to learn after 1,000 steps instead of 10,000. Keel's backbone is the first layer of its networks where values
also look at the action, otherwise the whole of them.
"""

from __future__ import annotations

from keel.networks.backbone import MLPConfig
from keel.runners.sb3.settings import SB3A2CConfig, SB3DQNConfig, SB3PPOConfig, SB3SACConfig, SB3TD3Config
from keel.runners.settings import Preset, Training

PENDULUM = Training(total_steps=10_000, num_envs=1, evaluate_every=2_000, evaluate_episodes=50)

SB3_PRESETS: dict[tuple[str, str], Preset] = {
    ("sb3-sac", "Pendulum-v1"): Preset(
        PENDULUM,
        SB3SACConfig(learning_rate=1e-3, head=(256,)),
        MLPConfig(hidden=(256,), activation="relu"),
    ),
    ("sb3-td3", "Pendulum-v1"): Preset(
        PENDULUM,
        SB3TD3Config(learning_rate=1e-3, gamma=0.98, learning_starts=1_000, action_noise=0.1, head=(300,)),
        MLPConfig(hidden=(400,), activation="relu"),
    ),
    ("sb3-ppo", "CartPole-v1"): Preset(
        Training(total_steps=100_000, num_envs=8, evaluate_every=5_120),
        SB3PPOConfig(
            learning_rate=1e-3,
            learning_rate_schedule="linear",
            gamma=0.98,
            n_steps=32,
            batch_size=256,
            n_epochs=20,
            gae_lambda=0.8,
            clip_range_schedule="linear",
        ),
        MLPConfig(),
    ),
    ("sb3-a2c", "CartPole-v1"): Preset(
        Training(total_steps=500_000, num_envs=8, evaluate_every=20_000), SB3A2CConfig(), MLPConfig()
    ),
    ("sb3-dqn", "CartPole-v1"): Preset(
        Training(total_steps=50_000, num_envs=1, evaluate_every=2_560),
        SB3DQNConfig(
            learning_rate=2.3e-3,
            batch_size=64,
            learning_starts=1_000,
            train_freq=256,
            gradient_steps=128,
            target_update_interval=10,
            exploration_fraction=0.16,
            exploration_final_eps=0.04,
        ),
        MLPConfig(hidden=(256, 256), activation="relu"),
    ),
}
