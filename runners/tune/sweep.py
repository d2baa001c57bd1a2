"""The same space as a sweep of Weights & Biases: a file for `wandb sweep FILE`, whose agents run `keel train`.

The file is JSON, which every reader of YAML reads. Source: the sweep configuration in the documentation of W&B.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keel.runners.files import write_json
from keel.runners.tune.plan import Plan
from keel.runners.tune.space import Choices, Dimension, Range


def write_sweep(plan: Plan, arguments: list[str], path: Path) -> list[str]:
    """Write the sweep.

    Args: arguments: of `keel train AGENT`, which all runs have in common.
    Returns: the settings that were left out, as a sweep cannot give them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, sweep(plan, arguments))
    return [name for name, dimension in plan.space.items() if not _is_scalar(dimension)]


def sweep(plan: Plan, arguments: list[str]) -> dict[str, Any]:
    """The sweep as JSON. Its agents hand `--name=value` to the command line, which takes no list so: settings that are
    lists stay as they are.

    Only metrics of the runs themselves can be wanted there: `eval/return`, also where the study counts steps or seconds.
    """
    parameters = {name: _parameter(part) for name, part in plan.space.items() if _is_scalar(part)}
    return {
        "name": plan.name,
        "method": "bayes",
        "metric": {"name": "eval/return", "goal": "maximize"},
        "command": ["${env}", "keel", "train", plan.settings.agent, *arguments, "--track", "wandb", "${args}"],
        "parameters": parameters,
    }


def _is_scalar(dimension: Dimension) -> bool:
    return isinstance(dimension, Range) or not any(isinstance(value, list | tuple) for value in dimension.values)


def _parameter(dimension: Dimension) -> dict[str, Any]:
    if isinstance(dimension, Choices):
        return {"values": list(dimension.values)}
    if dimension.whole:  # a logarithmic one would come as 20.0, which is no whole number to the command line
        kind = "int_uniform"
    else:
        kind = "log_uniform_values" if dimension.log else "uniform"
    return {"distribution": kind, "min": dimension.low, "max": dimension.high}
