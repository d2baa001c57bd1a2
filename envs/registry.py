"""Every world that Keel brings: what it is, how it is made, where it is solved. Importing this imports no world."""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium


@dataclass(frozen=True)
class Entry:
    """One world of Keel's own."""

    env_id: str
    summary: str
    path: str  # "module:class" of the native world or of the Gymnasium environment
    native: bool = False  # whether `path` is a `native.World`
    max_episode_steps: int | None = None
    reward_threshold: float | None = None  # the mean return at which it counts as solved


def _probe(name: str, summary: str, max_episode_steps: int | None = None) -> Entry:
    return Entry(f"keel/Probe{name}-v0", summary, f"keel.envs.probe:{name}", max_episode_steps=max_episode_steps)


ENTRIES = (
    Entry("keel/CartPole-v0", "A pole balanced on a cart, compiled", "keel.envs.cartpole:CartPole", True, 500, 475.0),
    _probe("ConstantReward", "One step, reward 1: the value is 1"),
    _probe("ObservedReward", "The reward is the observation, -1 or 1: the value is the observation"),
    _probe("DelayedReward", "Two steps, reward 1 at the end: the first value is gamma"),
    _probe("ActionReward", "The reward is 1 for one of two actions: that one is taken"),
    _probe("ContextualReward", "The rewarded action is the one observed: policy and value follow the observation"),
    _probe(
        "Truncation", "Reward 1 without end, cut after 10 steps: the value is 1 / (1 - gamma)", max_episode_steps=10
    ),
    _probe("Autoreset", "The observation counts the steps of the episode: it is never stale after an end"),
    _probe("ContinuousBound", "The best action lies on the bound of the action space"),
    _probe("MultiDiscrete", "Each part of the action must copy its part of the observation"),
    _probe("MultiBinary", "Each bit of the action must copy its bit of the observation"),
    _probe("MaskedAction", "Only the legal actions earn anything, and which ones are legal changes"),
    _probe("NestedObservation", "The rewarded action is named deep inside a nested observation"),
)
BY_ID = {entry.env_id: entry for entry in ENTRIES}


def register_all() -> None:
    """Register every world with Gymnasium; a second call changes nothing."""
    for entry in ENTRIES:
        if entry.env_id not in gymnasium.registry:
            gymnasium.register(
                entry.env_id,
                entry_point="keel.envs.native:NativeEnv" if entry.native else entry.path,
                kwargs={"world": entry.path} if entry.native else {},
                max_episode_steps=entry.max_episode_steps,
                reward_threshold=entry.reward_threshold,
            )


def describe() -> list[dict[str, str | int | float | bool | None]]:
    """One row a world, for tables and JSON."""
    return [
        {
            "id": entry.env_id,
            "summary": entry.summary,
            "native": entry.native,
            "max_episode_steps": entry.max_episode_steps,
            "reward_threshold": entry.reward_threshold,
        }
        for entry in ENTRIES
    ]
