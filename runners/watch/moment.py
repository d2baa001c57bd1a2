"""What there is to see of an agent at one step: the frame, how it goes, and what the agent sees and thinks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from keel.envs.protocol import Array, Observation

if TYPE_CHECKING:
    from keel.runners.watch.insight import Insight


class View(NamedTuple):
    """What the agent sees in a moment, what it thinks of it, and the action that it is about to take."""

    observation: Observation  # of the one world, without the batch's axis
    action: Array
    insight: Insight | None


class Moment(NamedTuple):
    """What there is to see at one step of an episode."""

    frame: Any  # [H W 3] uint8, or text where the world is drawn in text
    episode: int  # from 1 on
    step: int  # actions so far in this episode
    return_: float  # sum of the rewards so far in this episode
    outcome: str  # "" while the episode goes on, then "terminated", "truncated" or "cut"
    view: View | None = None  # at the end the last one
    rewards: Sequence[float] = ()  # of this episode; they grow, and the first `step` are those until now
    values: Sequence[float] = ()  # what the agent expected before each action, likewise; empty where it has none
    note: str = ""  # which weights act, where these change

    @property
    def line(self) -> str:
        note = f"    {self.note}" if self.note else ""
        ended = f"    {self.outcome}" if self.outcome else ""
        return f"episode {self.episode}    step {self.step}    return {self.return_:.2f}{note}{ended}"
