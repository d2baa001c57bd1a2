"""Which runs are seeds of one thing, what it is called, and what its settings are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keel.runners import page
from keel.runners.files import flat
from keel.runners.run import Run

_SAME_FOR_ALL = {"format", "name", "seed", "env", "agent"}  # what a group's settings are not
_BOOKKEEPING = {  # what no result depends on
    "training.video",
    "training.track",
    "training.track_checkpoints",
    "training.checkpoint_every",
    "training.checkpoint_seconds",
    "training.energy_country",
}
_MOST_SETTINGS_IN_LABEL = 3


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seed. `differs` holds the settings that set it apart from its neighbours."""

    env: str
    label: str
    differs: dict[str, Any]
    runs: list[Run]


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Runs by environment, agent and settings without the seed, in the order of their first run.

    A label names the agent and the settings in which groups of the same environment and agent differ.
    """
    families: dict[tuple[str, str], dict[str, list[Run]]] = {}
    for run in runs:
        family = families.setdefault((run.config["env"], run.config["agent"]), {})
        family.setdefault(json.dumps(_settings(run), sort_keys=True), []).append(run)
    return [
        group
        for (env, agent), family in families.items()
        for group in _groups_of_family(env, agent, list(family.values()))
    ]


def _groups_of_family(env: str, agent: str, members: Sequence[list[Run]]) -> list[Group]:
    settings = [_settings(runs[0]) for runs in members]
    differing = [_differing(own, settings) for own in settings]
    labels = [_label(agent, differs, _MOST_SETTINGS_IN_LABEL) for differs in differing]
    if len(set(labels)) < len(labels):
        labels = [_label(agent, differs, len(differs)) for differs in differing]
    if len(set(labels)) < len(labels):  # alike as people write them: 0.0003000001 and 0.0003000002, none and not set
        labels = [f"{label} #{place}" for place, label in enumerate(labels, start=1)]
    return [
        Group(env, label, differs, sorted(runs, key=lambda run: run.config["seed"]))
        for label, differs, runs in zip(labels, differing, members, strict=True)
    ]


def _differing(own: Mapping[str, Any], rivals: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The settings that are not the same in all `rivals`, as they are in `own`; kinds first, they say most."""
    missing = object()
    names = sorted({name for rival in rivals for name in rival}, key=lambda name: (not name.endswith(".kind"), name))
    return {
        name: own.get(name)
        for name in names
        if any(rival.get(name, missing) != own.get(name, missing) for rival in rivals)
    }


def _settings(run: Run) -> dict[str, Any]:
    """The settings of a run without its seed and its bookkeeping, flat: `hyperparameters.learning_rate` and so on."""
    named = flat({name: value for name, value in run.config.items() if name not in _SAME_FOR_ALL})
    return {name: value for name, value in named.items() if name not in _BOOKKEEPING}


def _label(agent: str, differs: Mapping[str, Any], most: int) -> str:
    words = {name: name.rpartition(".")[2] for name in differs}
    parts = [
        page.show(value) if words[name] == "kind" else f"{words[name]} {page.show(value)}"
        for name, value in differs.items()
    ]
    shown = parts[:most]
    more = [f"{len(parts) - len(shown)} more"] if len(parts) > len(shown) else []
    return ", ".join([agent, *shown, *more])
