"""Settings of Stable-Baselines3's algorithms, by the names that it gives them, each with its own default.

Beside them stand `learning_rate_schedule`, `head` (its `net_arch`) and `report_every`, which Keel translates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from keel.agents.checks import at_least, between, positive

NOT_RESUMABLE = (
    "cannot be resumed: its training state is Stable-Baselines3's own, and Keel saves the weights alone; begin a new "
    "run with --config, or train one of Keel's own agents"
)


@dataclass(frozen=True)
class SB3SACConfig:
    """Soft actor-critic (Haarnoja et al. 2018). Continuous actions."""

    algorithm: ClassVar[str] = "SAC"
    learning_rate: float = 3e-4
    learning_rate_schedule: Literal["constant", "linear"] = "constant"
    """`linear` falls to zero at the end of training."""
    gamma: float = 0.99
    """Discount per step."""
    buffer_size: int = 100_000
    """Transitions that are remembered (1,000,000 in Stable-Baselines3)."""
    learning_starts: int = 100
    """Random steps before the first gradient step."""
    batch_size: int = 256
    """Transitions per gradient step."""
    tau: float = 0.005
    """How much of the networks the target networks take over in each gradient step."""
    train_freq: int = 1
    """Steps of all worlds together in step between two trainings."""
    gradient_steps: int = -1
    """Gradient steps of each training; -1: as many as steps of single worlds were made."""
    ent_coef: float | None = None
    """What entropy is worth; None: learnt."""
    head: tuple[int, ...] = (256,)
    """Widths of the hidden layers after the backbone, in actor and critics; critics see the action there first."""
    report_every: int = 1_000
    """Steps between two rows of metrics, which are also where a run can be stopped and saved."""

    def __post_init__(self) -> None:
        _check_off_policy(self)
        if self.ent_coef is not None:
            at_least(0.0, ent_coef=self.ent_coef)
        _check_action_head(self.head)


@dataclass(frozen=True)
class SB3TD3Config:
    """Twin delayed deep deterministic policy gradient (Fujimoto et al. 2018). Continuous actions."""

    algorithm: ClassVar[str] = "TD3"
    learning_rate: float = 1e-3
    learning_rate_schedule: Literal["constant", "linear"] = "constant"
    """`linear` falls to zero at the end of training."""
    gamma: float = 0.99
    """Discount per step."""
    buffer_size: int = 100_000
    """Transitions that are remembered (1,000,000 in Stable-Baselines3)."""
    learning_starts: int = 100
    """Random steps before the first gradient step."""
    batch_size: int = 256
    """Transitions per gradient step."""
    tau: float = 0.005
    """How much of the networks the target networks take over in each update of the actor."""
    train_freq: int = 1
    """Steps of all worlds together in step between two trainings."""
    gradient_steps: int = -1
    """Gradient steps of each training; -1: as many as steps of single worlds were made."""
    policy_delay: int = 2
    """Gradient steps of the critics for one of the actor."""
    target_policy_noise: float = 0.2
    """Spread of the noise on the target's action, where [-1, 1] spans the bounds."""
    target_noise_clip: float = 0.5
    """The most that this noise can be."""
    action_noise: float = 0.1
    """Spread of the noise that explores, where [-1, 1] spans the bounds."""
    head: tuple[int, ...] = (256,)
    """Widths of the hidden layers after the backbone, in actor and critics; critics see the action there first."""
    report_every: int = 1_000
    """Steps between two rows of metrics, which are also where a run can be stopped and saved."""

    def __post_init__(self) -> None:
        _check_off_policy(self)
        at_least(1, policy_delay=self.policy_delay)
        at_least(0.0, target_policy_noise=self.target_policy_noise, target_noise_clip=self.target_noise_clip)
        at_least(0.0, action_noise=self.action_noise)
        _check_action_head(self.head)


@dataclass(frozen=True)
class SB3DQNConfig:
    """Deep Q-learning (Mnih et al. 2015). Discrete actions."""

    algorithm: ClassVar[str] = "DQN"
    learning_rate: float = 1e-4
    learning_rate_schedule: Literal["constant", "linear"] = "constant"
    """`linear` falls to zero at the end of training."""
    gamma: float = 0.99
    """Discount per step."""
    buffer_size: int = 100_000
    """Transitions that are remembered (1,000,000 in Stable-Baselines3)."""
    learning_starts: int = 100
    """Steps before the first gradient step."""
    batch_size: int = 32
    """Transitions per gradient step."""
    tau: float = 1.0
    """How much of the network the target network takes over in each of its updates."""
    train_freq: int = 4
    """Steps of all worlds together in step between two trainings."""
    gradient_steps: int = 1
    """Gradient steps of each training; -1: as many as steps of single worlds were made."""
    target_update_interval: int = 10_000
    """Steps of single worlds between two updates of the target network."""
    exploration_fraction: float = 0.1
    """Of training, in which random actions become rarer."""
    exploration_initial_eps: float = 1.0
    exploration_final_eps: float = 0.05
    max_grad_norm: float = 10.0
    """Longer gradients are shortened to this."""
    head: tuple[int, ...] = ()
    """Widths of the hidden layers after the backbone."""
    report_every: int = 1_000
    """Steps between two rows of metrics, which are also where a run can be stopped and saved."""

    def __post_init__(self) -> None:
        _check_off_policy(self)
        at_least(1, target_update_interval=self.target_update_interval)
        between(0.0, 1.0, exploration_fraction=self.exploration_fraction)
        between(0.0, 1.0, exploration_initial_eps=self.exploration_initial_eps)
        between(0.0, 1.0, exploration_final_eps=self.exploration_final_eps)
        positive(max_grad_norm=self.max_grad_norm)


@dataclass(frozen=True)
class SB3A2CConfig:
    """Advantage actor-critic (Mnih et al. 2016, without its asynchrony)."""

    algorithm: ClassVar[str] = "A2C"
    learning_rate: float = 7e-4
    learning_rate_schedule: Literal["constant", "linear"] = "constant"
    """`linear` falls to zero at the end of training."""
    gamma: float = 0.99
    """Discount per step."""
    n_steps: int = 5
    """Steps of each world between two gradient steps."""
    gae_lambda: float = 1.0
    ent_coef: float = 0.0
    """What entropy is worth in the loss."""
    vf_coef: float = 0.5
    """What the error of the values is worth in the loss."""
    max_grad_norm: float = 0.5
    """Longer gradients are shortened to this."""
    normalize_advantage: bool = False
    use_rms_prop: bool = True
    """RMSprop as in the paper; otherwise Adam."""
    head: tuple[int, ...] = ()
    """Widths of the hidden layers after the backbone, in actor and critic each."""
    report_every: int = 1_000
    """Steps between two rows of metrics, which are also where a run can be stopped and saved."""

    def __post_init__(self) -> None:
        _check_on_policy(self)


@dataclass(frozen=True)
class SB3PPOConfig:
    """Proximal policy optimisation (Schulman et al. 2017)."""

    algorithm: ClassVar[str] = "PPO"
    learning_rate: float = 3e-4
    learning_rate_schedule: Literal["constant", "linear"] = "constant"
    """`linear` falls to zero at the end of training."""
    gamma: float = 0.99
    """Discount per step."""
    n_steps: int = 2_048
    """Steps of each world between two updates."""
    batch_size: int = 64
    """Steps per gradient step; it divides the rollout of n_steps x num_envs."""
    n_epochs: int = 10
    """Passes over each rollout."""
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    """How far the probability ratio may move from 1 in one update."""
    clip_range_schedule: Literal["constant", "linear"] = "constant"
    ent_coef: float = 0.0
    """What entropy is worth in the loss."""
    vf_coef: float = 0.5
    """What the error of the values is worth in the loss."""
    max_grad_norm: float = 0.5
    """Longer gradients are shortened to this."""
    normalize_advantage: bool = True
    target_kl: float | None = None
    """Stop an update where the approximate KL divergence passes 1.5 times this; None: never."""
    head: tuple[int, ...] = ()
    """Widths of the hidden layers after the backbone, in actor and critic each."""
    report_every: int = 1_000
    """Steps between two rows of metrics, which are also where a run can be stopped and saved."""

    def __post_init__(self) -> None:
        _check_on_policy(self)
        at_least(2, batch_size=self.batch_size)
        at_least(1, n_epochs=self.n_epochs)
        positive(clip_range=self.clip_range)
        if self.target_kl is not None:
            positive(target_kl=self.target_kl)


OffPolicyConfig: TypeAlias = SB3SACConfig | SB3TD3Config | SB3DQNConfig
OnPolicyConfig: TypeAlias = SB3A2CConfig | SB3PPOConfig
SB3Config: TypeAlias = OffPolicyConfig | OnPolicyConfig

SB3_AGENTS: dict[str, type[SB3Config]] = {
    "sb3-sac": SB3SACConfig,
    "sb3-td3": SB3TD3Config,
    "sb3-a2c": SB3A2CConfig,
    "sb3-ppo": SB3PPOConfig,
    "sb3-dqn": SB3DQNConfig,
}


def check_training(config: SB3Config, total_steps: int, num_envs: int) -> None:
    """Raises: ValueError for a training too short to learn anything, and for minibatches that do not fit."""
    match config:
        case SB3SACConfig() | SB3TD3Config() | SB3DQNConfig():
            least = config.learning_starts + config.train_freq * num_envs
            if least > total_steps:
                raise ValueError(
                    f"total_steps is {total_steps} and learning_starts {config.learning_starts}: no gradient step "
                    f"would be made; give at least {least} steps, or a smaller --learning-starts"
                )
        case SB3PPOConfig() if (rollout := config.n_steps * num_envs) % config.batch_size:
            raise ValueError(
                f"batch_size is {config.batch_size}: it must divide the rollout, which is {rollout} steps "
                f"(n_steps {config.n_steps} x num_envs {num_envs})"
            )


def _check_off_policy(config: OffPolicyConfig) -> None:
    _check_common(config)
    at_least(1, buffer_size=config.buffer_size, batch_size=config.batch_size, train_freq=config.train_freq)
    at_least(0, learning_starts=config.learning_starts)
    positive(tau=config.tau)
    between(0.0, 1.0, tau=config.tau)
    if config.gradient_steps != -1:
        at_least(1, gradient_steps=config.gradient_steps)


def _check_on_policy(config: OnPolicyConfig) -> None:
    _check_common(config)
    at_least(1, n_steps=config.n_steps)
    between(0.0, 1.0, gae_lambda=config.gae_lambda)
    at_least(0.0, ent_coef=config.ent_coef, vf_coef=config.vf_coef)
    positive(max_grad_norm=config.max_grad_norm)


def _check_common(config: SB3Config) -> None:
    positive(learning_rate=config.learning_rate)
    between(0.0, 1.0, gamma=config.gamma)
    at_least(1, report_every=config.report_every)
    if any(width < 1 for width in config.head):
        raise ValueError(f"head is {config.head}: widths must be at least 1, such as 256")


def _check_action_head(head: tuple[int, ...]) -> None:
    if not head:
        raise ValueError("head is (): give at least one width, such as 256, or values would be linear in the action")
