"""What kind of run a config.json describes, for commands that fit some of them; light, as all it reads is a word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PREFIX = "pretrain-"  # of the agent's name in config.json: pretrain-cnn and so on


def is_pretraining(config: Mapping[str, Any]) -> bool:
    """Whether a run's config.json is that of a pre-training, which has no agent."""
    return str(config.get("agent", "")).startswith(PREFIX)


def refuse_pretraining(config: Mapping[str, Any]) -> None:
    """Raises: ValueError for a run that has no agent, where a command needs one."""
    if is_pretraining(config):
        raise ValueError(
            f"{config.get('name')} is a pre-training ({config['agent']} on {config.get('env')}): it has no agent that could "
            "act; what it is worth stands in its report.html"
        )
