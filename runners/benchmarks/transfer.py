"""What a pre-trained backbone is worth: steps to a fixed score in a control task from pixels, beside a fresh one."""

from __future__ import annotations

import dataclasses
import functools
import io
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from keel.runners.benchmark import markdown_table
from keel.runners.benchmarks.learning import silent
from keel.runners.benchmarks.trainings import run_trainings
from keel.runners.options import default_settings
from keel.runners.train import train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TASK = "mnist5k"
# Name -> (begins with the pre-trained backbone, keeps it as it is).
ARMS = {"pretrained": (True, False), "frozen": (True, True), "fresh": (False, False)}


class Case(NamedTuple):
    """A world, the return that shall be reached, where a training without success ends, and what is hard there."""

    env: str
    seeds: int
    goal: float
    most_steps: int
    evaluate_every: int
    about: str


CASES = (
    Case(
        "keel/DigitSort-v0",
        5,
        0.8,
        60_000,
        1_024,
        "carry a parcel to the end of a line that its digit names; who cannot read earns less than 0, a perfect "
        "reader 0.955. Nothing but reading is hard",
    ),
    Case(
        "keel/DigitLine-v0",
        3,
        0.6,
        80_000,
        4_096,
        "walk to the one of ten places that the digit names and stop there; who cannot read earns 0.1, a perfect "
        "reader 0.967. Where the agent stands has to be seen as well, and compared with what was read",
    ),
)


def run(
    *, envs: list[str] | None = None, arms: list[str] | None = None, seeds: int | None = None, jobs: int = 1
) -> dict[str, Any]:
    """One row a training, which ends at the first evaluation that reaches the goal and is confirmed by a second one.

    Args: envs, arms: these alone; seeds: instead of each world's own number; jobs: trainings at a time.
    """
    if arms is not None and "fresh" not in arms:
        raise ValueError(f"arms is {arms}: 'fresh' must be among them, as the others are told beside it")
    work = [
        (case, arm, seed)
        for case in CASES
        if envs is None or case.env in envs
        for seed in range(seeds or case.seeds)
        for arm in arms or ARMS
    ]
    with tempfile.TemporaryDirectory() as folder:
        accuracy = pretrain_backbone(Path(folder) / "donor")
        rows = run_trainings(learn, [(case, arm, seed, folder) for case, arm, seed in work], jobs)
    return {"task": TASK, "donor_accuracy": accuracy, "rows": rows}


def pretrain_backbone(folder: Path) -> float:
    """Pre-train the preset's backbone; returns its accuracy on held-out pictures."""
    from keel.runners.pretrain import command as pretrain
    from keel.runners.pretrain import settings as pretrain_settings
    from keel.runners.pretrain.console import EpochConsole

    backbone = default_settings("ppo", CASES[0].env, None, {}).backbone
    settings = dataclasses.replace(pretrain_settings.default_settings("cnn", TASK), backbone=backbone)
    console = functools.partial(EpochConsole, stream=io.StringIO())
    return pretrain.pretrain(settings, run_dir=folder, console=console).test["accuracy"]


def learn(case: Case, arm: str, seed: int, folder: str) -> dict[str, Any]:
    begins, freeze = ARMS[arm]
    pretrained = {"pretrained": str(Path(folder) / "donor")} if begins else {}
    preset = default_settings("ppo", case.env, None, {}, **pretrained)
    training = dataclasses.replace(
        preset.training,
        total_steps=case.most_steps,
        evaluate_every=case.evaluate_every,
        stop_at_return=case.goal,
        freeze=freeze,
        checkpoint_every=0,
        video=False,
    )
    result = train(
        dataclasses.replace(preset, seed=seed, training=training),
        run_dir=Path(folder) / f"{case.env.split('/')[-1]}-{arm}-{seed}",
        console=silent,
    )
    curve = [(row["global_step"], row["eval/return"]) for row in result.run.metrics() if "eval/return" in row]
    return {
        "env": case.env,
        "arm": arm,
        "seed": seed,
        "solved": result.solved,
        "steps": result.global_step,
        "training_seconds": round(result.training_seconds, 1),
        "curve": curve,
    }


def of_arm(result: dict[str, Any], case: Case, arm: str) -> list[dict[str, Any]]:
    return [row for row in result["rows"] if (row["env"], row["arm"]) == (case.env, arm)]


def table(result: dict[str, Any]) -> str:
    """A section a world: one line an arm, and what it says."""
    introduction = (
        f"PPO from pixels, beginning with a CNN that learnt to read {result['task']} first (SAMPLE DATA, "
        f"{result['donor_accuracy']:.1%} on held-out pictures, which are those of these worlds), and with a fresh one. "
        "`pretrained` goes on learning, `frozen` stays as it is. All train with the same settings until a greedy "
        "evaluation of 100 episodes reaches the goal and a second one confirms it."
    )
    return "\n\n".join([introduction] + [section(result, case) for case in CASES if of_arm(result, case, "fresh")])


def section(result: dict[str, Any], case: Case) -> str:
    lines = []
    fresh = statistics.median(row["steps"] for row in of_arm(result, case, "fresh"))
    for arm in ARMS:
        rows = of_arm(result, case, arm)
        if not rows:
            continue
        lines.append(
            [
                arm,
                f"{sum(row['solved'] for row in rows)} of {len(rows)}",
                ", ".join(f"{row['steps']:,}" if row["solved"] else f"over {row['steps']:,}" for row in rows),
                f"{statistics.median(row['steps'] for row in rows) / fresh:.2f}",
                f"{statistics.mean(max(value for _, value in row['curve']) for row in rows):.2f}",
                f"{statistics.median(row['training_seconds'] for row in rows):.0f}",
            ]
        )
    header = ["backbone", f"seeds that reach {case.goal:g}", "steps, seed by seed", "median beside fresh"]
    header += ["best evaluation, mean", "seconds"]
    words = f"## {case.env}\n\n{case.about[0].upper()}{case.about[1:]}. At most {case.most_steps:,} steps."
    text = words + "\n\n" + markdown_table(header, lines)
    frozen = [row["solved"] for row in of_arm(result, case, "frozen")]
    if frozen and not any(frozen):  # said of what was measured, and of nothing else
        text += (
            "\n\nA frozen backbone does not help here: no digit that it was trained on had a marker under it, and what "
            "it throws away no layer behind it can bring back."
        )
    return text


def figures(result: dict[str, Any]) -> dict[str, Figure]:
    """Evaluations by steps, a picture a world, a line a seed."""
    return {case.env.split("/")[-1].lower(): curves(result, case) for case in CASES if of_arm(result, case, "fresh")}


def curves(result: dict[str, Any], case: Case) -> Figure:
    from matplotlib.figure import Figure

    from keel.runners.figures import PALETTE, WIDE_INCHES, house_style

    with house_style():
        figure = Figure(figsize=(WIDE_INCHES, 3.2), layout="constrained")
        axis = figure.subplots()
        for colour, arm in zip(PALETTE, ARMS, strict=False):
            for number, row in enumerate(of_arm(result, case, arm)):
                steps, values = zip(*row["curve"], strict=True)
                axis.plot(steps, values, color=colour, alpha=0.8, linewidth=1.3, label=None if number else arm)
        axis.axhline(case.goal, color="#888888", linewidth=0.8, linestyle="--")
        axis.set_title(case.env)
        axis.set_xlabel("environment steps")
        axis.set_ylabel("mean return of greedy episodes")
        axis.legend(frameon=False)
        return figure
