"""The worlds that can be trained on: Keel's own, and those of Gymnasium that have a preset."""

from __future__ import annotations

from typing import Any

import gymnasium

from keel.envs.make import extra_of
from keel.envs.registry import describe
from keel.runners.presets.find import PRESETS


def list_worlds() -> list[dict[str, Any]]:
    """One row a world: id, summary, presets (agents), solved_at (mean return), native."""
    rows = {row["id"]: row for row in describe()}
    for _, env in PRESETS:
        if env not in rows:
            extra = extra_of(env)  # such a world is not known to Gymnasium before its package is imported
            spec = None if extra else gymnasium.spec(env)
            rows[env] = {
                "id": env,
                "summary": f"extra {extra}" if extra else "Gymnasium",
                "native": False,
                "max_episode_steps": spec and spec.max_episode_steps,
                "reward_threshold": spec and spec.reward_threshold,
            }
    presets = {env: [agent for agent, known in PRESETS if known == env] for env in rows}
    return [row | {"presets": presets[env]} for env, row in sorted(rows.items(), key=lambda item: not presets[item[0]])]


def world_table(worlds: list[dict[str, Any]]) -> str:
    """The same for reading."""
    width = max(len(", ".join(world["presets"])) for world in worlds)
    lines = [f"{'world':<36} {'presets':<{width}} {'solved at':>9}  what it is"]
    for world in worlds:
        threshold = world["reward_threshold"]
        solved = "" if threshold is None else f"{threshold:g}"
        kind = f"{world['summary']}{' (compiled)' if world['native'] else ''}"
        lines.append(f"{world['id']:<36} {', '.join(world['presets']):<{width}} {solved:>9}  {kind}")
    lines.append("Any other Gymnasium id works too: keel train AGENT --env ID")
    return "\n".join(lines)
