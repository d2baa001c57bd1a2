"""`keel tune AGENT --env ID`: search for settings that learn faster or better, and say honestly whether they do."""

from __future__ import annotations

import argparse
import json
import math
import re
import shlex
import signal
import sys
from pathlib import Path
from typing import Any, TextIO

from keel.envs.errors import closest
from keel.runners import run as run_module
from keel.runners.options import Launch, read_options
from keel.runners.settings import AGENTS, Settings
from keel.runners.stop import StopWish
from keel.runners.train import check
from keel.runners.tune.console import TuneConsole, shown_value, shown_values
from keel.runners.tune.plan import STUDIES, Plan, load_plan, lock, save_plan
from keel.runners.tune.report import write_report
from keel.runners.tune.score import OBJECTIVES, Objective, ObjectiveName
from keel.runners.tune.search import Search
from keel.runners.tune.space import Space, read_space
from keel.runners.tune.spaces import default_space
from keel.runners.tune.study import Study
from keel.runners.tune.sweep import write_sweep
from keel.runners.tune.verify import verified, verify

DESCRIPTION = """Search for settings that learn faster or better: Optuna's TPE proposes them, trials that are far behind
are given up, and each trial is an ordinary run. Any setting of `keel train AGENT` that is given is fixed. The same
command again continues a study that was stopped or killed. Only --verify tells whether the settings found are better."""
USAGE = "keel tune AGENT --env ID [options] [any setting of keel train AGENT], or keel tune --resume NAME"
TRIALS, SEEDS_PER_TRIAL = 20, 3


def main(arguments: list[str]) -> int:
    """keel tune: a new study, or the next trials of one that was begun."""
    options, rest = read_arguments(arguments)
    if options.resume is not None:
        _refuse_other_options(options, rest)
        plan, folder = load_plan(options.resume)
    else:
        plan = _plan(options, rest)
        check(plan.trial_settings({}))
        folder = options.output or STUDIES / plan.name
        if options.wandb_sweep is not None:
            _refuse_beside_sweep(options)
            return _write_sweep(plan, rest, options.wandb_sweep, as_json=options.json)
    numbers = {"trials": options.trials, "jobs": options.jobs, "seeds": options.verify}
    document, stopped_by = run_study(plan, folder, stream=sys.stderr if options.json else sys.stdout, **numbers)
    print(json.dumps(document) if options.json else _summary(plan, folder, document), flush=True)
    if stopped_by is None:
        return 0 if document["best"] is not None else 1
    print(f"stopped; continue with: keel tune --resume {shlex.quote(str(folder))}", file=sys.stderr)
    return 128 + stopped_by


def read_arguments(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options of keel tune, and what is left for keel train. Raises: ValueError: numbers out of range."""
    agent, *arguments = arguments if arguments and not arguments[0].startswith("-") else [None, *arguments]
    options, rest = _parser().parse_known_args(arguments, argparse.Namespace(agent=agent))
    _check(options)
    return options, rest


def make_plan(arguments: list[str]) -> Plan:
    """The study that `keel tune ARGUMENTS` begins."""
    return _plan(*read_arguments(arguments))


def run_study(
    plan: Plan, folder: Path, *, trials: int | None, jobs: int, seeds: int | None, stream: TextIO
) -> tuple[dict[str, Any], signal.Signals | None]:
    """Train what trials are missing, verify the best on held-out `seeds`, and write the report.

    Args: trials, seeds: None: as many as were asked for before. Returns: what study.json holds, and the signal that
        stopped it, if one did.
    """
    _check_names(plan, folder)
    with lock(folder):
        save_plan(plan, folder)
        study = Study(plan, folder)
        trials = study.asked("trials", trials, TRIALS)
        seeds = study.asked("verify", seeds, 0)
        search = Search(study, folder, trials)
        console = TuneConsole(plan, trials, stream)
        wish = StopWish(lambda _: console.message("stopping: the runs save and end; once more to stop at once"))
        try:
            with wish:
                search.run(jobs, wish, lambda: console.update(study.trials, _steps(search)))
                console.update(study.trials, {}, final=True)
                if wish.signal is None:
                    _verify(study, folder, seeds, jobs, wish, console)
        finally:
            console.close()
        best = study.best()
        document = write_report(study, folder, best and verified(plan, folder, best))
    return document, wish.signal


def _verify(study: Study, folder: Path, seeds: int, jobs: int, wish: StopWish, console: TuneConsole) -> None:
    """Train the best settings and those tuned from on held-out seeds, where that is asked for and makes sense."""
    best = study.best()
    if not seeds or best is None:
        return
    if study.plan.trial_settings(best.values) == study.plan.trial_settings({}):
        console.message("the settings tuned from are the best that were found: there is nothing to verify")
        return
    console.message(f"verifying trial {best.number} on {seeds} held-out seeds")
    verify(study.plan, folder, best, seeds, jobs, wish)


def _plan(options: argparse.Namespace, rest: list[str]) -> Plan:
    """The study that a command line asks for."""
    if options.agent is None:
        raise ValueError(f"keel tune AGENT --env ID: say which agent; there are: {', '.join(AGENTS)}")
    if options.agent not in AGENTS:
        raise ValueError(
            f"'{options.agent}' cannot be tuned{closest(options.agent, AGENTS)}; there are: {', '.join(AGENTS)}"
        )
    settings, launch = read_options(options.agent, rest)
    if launch != Launch():
        raise ValueError(
            "--seeds and --run-dir make no sense here: a trial has --seeds-per-trial, and a study --output"
        )
    goal = _goal(options.goal, settings)
    name: ObjectiveName = options.objective or ("final" if goal is None else "steps")
    return Plan(
        name=options.name or re.sub(r"[^A-Za-z0-9._-]+", "-", f"{settings.env}-{settings.agent}"),
        settings=settings,
        space=_space(options.space, settings, fixed_fields(rest)),
        objective=Objective(name, settings.training.total_steps, goal),
        seeds_per_trial=options.seeds_per_trial or SEEDS_PER_TRIAL,
        pruning=options.pruning != "none",
    )


def _space(path: Path | None, settings: Settings, fixed: set[str]) -> Space:
    if path is None:
        return default_space(settings, fixed)
    space = read_space(path, settings)
    if both := fixed & space.keys():
        raise ValueError(f"{min(both)} is fixed on the command line and in the space of {path}: leave one out")
    return space


def fixed_fields(arguments: list[str]) -> set[str]:
    """The settings that a command line gives, by their names."""
    flags = (item.partition("=")[0] for item in arguments if item.startswith("--"))
    return {flag.removeprefix("--").replace("-", "_") for flag in flags}


def _goal(given: float | None, settings: Settings) -> float | None:
    """The mean return that solves the world: as given, as training would stop at, or as the world itself says."""
    if given is not None or settings.training.stop_at_return is not None:
        return settings.training.stop_at_return if given is None else given
    import gymnasium

    try:
        return gymnasium.spec(settings.env).reward_threshold
    except gymnasium.error.Error:  # of a package that is only imported when its worlds are made
        return None


def _check_names(plan: Plan, folder: Path) -> None:
    """Raises: ValueError where the runs of another study already have the names of this one."""
    if (folder / "plan.json").exists():
        return
    taken = sorted(run_module.RUNS.glob(f"{plan.name}-trial-*")) if run_module.RUNS.is_dir() else []
    if taken:
        raise ValueError(f"there are runs of an earlier study of that name, such as {taken[0]}: give another --name")


def _steps(search: Search) -> dict[int, int]:
    return {trial.number: trial.step for trial in search.running.values()}


def _summary(plan: Plan, folder: Path, document: dict[str, Any]) -> str:
    """What came of it, and the commands to go on with."""
    states = [trial["state"] for trial in document["trials"]]
    kinds = ("complete", "pruned", "failed")
    lines = [", ".join(f"{states.count(kind)} {kind}" for kind in kinds) + f"; {plan.objective.words}:"]
    best = document["best"]
    if best is None:
        return f"{lines[0]} no trial was whole\n  page     {document['page']}"
    unsolved = plan.objective.fewer and not all(outcome["solved"] for outcome in best["outcomes"])
    worth = "not all of its runs solved it" if unsolved else shown_value(best["value"])
    lines.append(f"  best     trial {best['number']}: {worth}   {shown_values(best['settings'])}")
    if document["verification"] is not None:
        lines.append(f"  verdict  {document['verification']['words']}")
    elif plan.trial_settings(best["settings"]) != plan.trial_settings({}):
        lines.append(f"  verify   keel tune --resume {shlex.quote(str(folder))} --verify 10")
    agent, env = plan.settings.agent, plan.settings.env
    lines += [
        f"  page     {document['page']}",
        f"  train    keel train {agent} --env {env} --config {shlex.quote(str(folder / 'best.json'))}",
    ]
    return "\n".join([*lines, f"  compare  keel compare '{plan.name}-trial-*'"])


def _write_sweep(plan: Plan, arguments: list[str], path: Path, *, as_json: bool) -> int:
    left_out = write_sweep(plan, arguments, path)
    if as_json:
        print(json.dumps({"sweep": str(path), "left_out": left_out}))
        return 0
    left = f" (left as they are, since a sweep cannot give lists: {', '.join(left_out)})" if left_out else ""
    print(f"{path}{left}; begin it with: wandb sweep {path}")
    return 0


def _check(options: argparse.Namespace) -> None:
    for name in ("trials", "jobs", "seeds_per_trial"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}: it must be at least 1")
    if options.verify is not None and options.verify != 0 and options.verify < 3:
        raise ValueError(
            f"verify is {options.verify}: it must be at least 3, as fewer seeds say nothing, or 0 for none"
        )
    if options.goal is not None and not math.isfinite(options.goal):
        raise ValueError(f"goal is {options.goal}: it must be a number")


def _refuse_other_options(options: argparse.Namespace, rest: list[str]) -> None:
    """A study that is continued stays what it is. Raises: ValueError for what would change it."""
    changed = [
        f"--{name.replace('_', '-')}"
        for name in ("name", "seeds_per_trial", "objective", "goal", "output", "space", "pruning", "wandb_sweep")
        if getattr(options, name) is not None
    ]
    given = [*([options.agent] if options.agent else []), *changed, *rest]
    if given:
        raise ValueError(f"--resume continues a study as it is: leave out {' '.join(given)}")


def _refuse_beside_sweep(options: argparse.Namespace) -> None:
    """Raises: ValueError for what a sweep does not take over."""
    names = ("trials", "verify", "output", "seeds_per_trial", "pruning", "objective", "goal")
    if given := [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) is not None]:
        raise ValueError(f"--wandb-sweep only writes the space: leave out {', '.join(given)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("keel tune", usage=USAGE, description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("--resume", metavar="NAME", help="continue this study: its name or its folder")
    parser.add_argument("--trials", type=int, help=f"how many in all (default: as before, at first {TRIALS})")
    jobs = "trials at a time, each a process (default: 1; with the objective seconds they disturb each other)"
    parser.add_argument("--jobs", type=int, default=1, help=jobs)
    parser.add_argument("--name", help="of the study and the start of its runs' names (default: world and agent)")
    parser.add_argument("--seeds-per-trial", type=int, help=f"runs of each trial (default: {SEEDS_PER_TRIAL})")
    meanings = "; ".join(f"{name}: {words}" for name, words in OBJECTIVES.items())
    default = "steps where a goal is known, else final"
    parser.add_argument("--objective", choices=OBJECTIVES, help=f"what counts (default: {default}). {meanings}")
    parser.add_argument("--goal", type=float, help="mean return that solves the world (default: what the world says)")
    parser.add_argument("--space", type=Path, metavar="FILE", help="what to search, as JSON (default: by the agent)")
    parser.add_argument("--pruning", choices=("median", "none"), help="of trials that are far behind (default: median)")
    verify = "train the best settings and those tuned from on K new seeds (default: as before, at first none)"
    parser.add_argument("--verify", type=int, metavar="K", help=verify)
    parser.add_argument("--output", type=Path, metavar="DIR", help=f"the study's folder (default: {STUDIES}/NAME)")
    parser.add_argument("--wandb-sweep", type=Path, metavar="FILE", help="only write the space as a sweep of W&B")
    parser.add_argument("--json", action="store_true", help="print one JSON object alone on stdout")
    return parser
