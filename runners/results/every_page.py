"""`keel benchmark all`: make every page anew, one after the other; `keel benchmark index`: their index alone."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keel.envs.errors import KeelError, closest
from keel.runners.benchmark import BENCHMARKS, PAGE_OPTIONS
from keel.runners.provenance import describe_environment
from keel.runners.results.index import write_index
from keel.runners.results.pages import duration, options_of, read_documents

PAGES = Path("results/benchmarks")


class Step(NamedTuple):
    """A page that is to be made, or stays as it is."""

    name: str
    seconds: float | None  # that it will take at least, by its last page; None where there is none
    done: bool  # it was made at this very commit with these options: it stays


def main_all(arguments: list[str]) -> int:
    description = (
        "Make the benchmarks' pages one after the other, in the order of `keel benchmark --help`: what another needs "
        "comes first. A page that was made at this commit stays: stop at any time, and go on with the same command. "
        "It wants a machine with nothing else to do, for hours."
    )
    parser = argparse.ArgumentParser("keel benchmark all", allow_abbrev=False, description=description)
    parser.add_argument("--output", type=Path, default=PAGES, help="folder of the pages (%(default)s)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these alone")
    parser.add_argument("--skip", nargs="+", default=[], metavar="NAME", help="all but these")
    parser.add_argument("--dry-run", action="store_true", help="say how long it will take, and do nothing")
    parser.add_argument("--json", action="store_true", help="print what was done as one JSON object alone on stdout")
    options = parser.parse_args(arguments)
    here = describe_environment(device="cpu", threads=1, resume="exact")
    documents = read_documents(options.output)
    steps = plan(chosen(options.only, options.skip), documents, here["commit"], options.output)
    print(told(steps, documents, here), file=sys.stderr if options.json else sys.stdout, flush=True)
    outcome: dict[str, Any] = {"plan": [step._asdict() for step in steps]}
    if not options.dry_run:
        outcome |= make(steps, options.output)
        if read_documents(options.output):
            try:
                outcome["index"] = [str(path) for path in write_index(options.output)]
            except KeelError as error:  # a page that it cannot read takes nothing else away
                print(f"keel: the index stays as it was: {error}", file=sys.stderr)
                outcome["failed"] = [*outcome["failed"], "index"]
    if options.json:
        print(json.dumps(outcome))
    return 1 if outcome.get("failed") else 0


def main_index(arguments: list[str]) -> int:
    description = (
        "Make the index of the benchmarks' pages anew: index.html beside them, and README.md in the folder above."
    )
    parser = argparse.ArgumentParser("keel benchmark index", allow_abbrev=False, description=description)
    parser.add_argument("--output", type=Path, default=PAGES, help="folder of the pages (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the paths as one JSON object alone on stdout")
    options = parser.parse_args(arguments)
    written = [str(path) for path in write_index(options.output)]
    print(json.dumps({"index": written}) if options.json else "\n".join(written))
    return 0


def chosen(only: Sequence[str], skip: Sequence[str]) -> list[str]:
    """Names of benchmarks in their order. Raises: ValueError: a name that is none, or nothing left."""
    for name in (*only, *skip):
        if name not in BENCHMARKS:
            raise ValueError(
                f"'{name}' is not a benchmark{closest(name, BENCHMARKS)}; there are: {', '.join(BENCHMARKS)}"
            )
    names = [name for name in BENCHMARKS if name in (only or BENCHMARKS) and name not in skip]
    if not names:
        raise ValueError("--only and --skip leave no benchmark to make")
    return names


def arguments_of(name: str, folder: Path) -> list[str]:
    """What follows `keel benchmark` for a page of this folder."""
    pairs = [(option, json.dumps(value)) for option, value in PAGE_OPTIONS.get(name, {}).items()]
    return [name, *(word for pair in pairs for word in ("--set", *pair)), "--output", str(folder)]


def plan(
    names: Sequence[str], documents: Mapping[str, Mapping[str, Any]], commit: str | None, folder: Path
) -> list[Step]:
    """A step for each page. One made at this commit by the same command stays, unless files have changes that were not
    committed: then nobody knows whether it would come out the same."""
    steps = []
    for name in names:
        document = documents.get(name)
        if document is None:
            steps.append(Step(name, None, done=False))
            continue
        command = shlex.join(["keel", "benchmark", *arguments_of(name, folder)])
        same = document["environment"].get("commit") == commit and document["command"] == command
        done = same and commit is not None and not commit.endswith("-dirty")
        steps.append(Step(name, expected_seconds(document), done))
    return steps


def expected_seconds(document: Mapping[str, Any]) -> float:
    """What the page took, but no less than its trainings: some pages found them finished and did not train again."""
    rows = [row for row in document.get("rows", ()) if isinstance(row, dict)]
    trainings = sum(row.get("training_seconds", 0.0) for row in rows)
    return max(document["seconds"], trainings / options_of(document["command"]).get("jobs", 1))


def told(steps: Sequence[Step], documents: Mapping[str, Mapping[str, Any]], here: Mapping[str, Any]) -> str:
    """The plan for people: each page, and all together."""
    width = max(len(step.name) for step in steps)
    lines = []
    for step in steps:
        length = "unknown, no page yet" if step.seconds is None else duration(step.seconds)
        lines.append(f"  {step.name:<{width}}  {length}{'  stays: made at this commit' if step.done else ''}")
    left = [step for step in steps if not step.done]
    known = [step.seconds for step in left if step.seconds is not None]
    parts = [f"about {duration(sum(known))}"] if known else []
    parts += [f"{len(left) - len(known)} of unknown length"] if len(known) < len(left) else []
    lines.append(f"{len(left)} to make, one after the other: {' and '.join(parts) or 'nothing to do'}.")
    machines = sorted({machine(document["environment"]) for document in documents.values()})
    if machines:
        lines.append(f"Timed on {' and '.join(machines)}; this machine: {machine(here)}.")
    if (here.get("commit") or "").endswith("-dirty"):
        lines.append("There are changes that were not committed: every page is made anew.")
    return "\n".join(lines)


def machine(environment: Mapping[str, Any]) -> str:
    return f"{environment.get('cpu', 'an unknown processor')} x {environment.get('cpu_count', '?')}"


def keel_benchmark(arguments: list[str]) -> int:
    """`keel benchmark …` in a process whose tables go to stderr. Returns: its exit code."""
    command = [sys.executable, "-P", "-m", "keel.runners.cli", "benchmark", *arguments]
    return subprocess.run(command, stdout=2, check=False).returncode


def make(steps: Sequence[Step], folder: Path, benchmark: Callable[[list[str]], int] = keel_benchmark) -> dict[str, Any]:
    """Make the pages that do not stay, each in a process of its own as if alone: one that fails stops no other.

    Returns: `made`, `stayed` and `failed` (names), `seconds`.
    """
    started = time.monotonic()
    made: list[str] = []
    failed: list[str] = []
    left = [step for step in steps if not step.done]
    for number, step in enumerate(left, start=1):
        say(f"{number} of {len(left)}: {step.name}")
        if code := benchmark(arguments_of(step.name, folder)):
            say(f"{step.name} failed (exit code {code}); the others go on")
            failed.append(step.name)
        else:
            made.append(step.name)
    seconds = round(time.monotonic() - started, 1)
    say(f"{len(made)} made, {len(failed)} failed in {duration(seconds)}{': ' if failed else ''}{', '.join(failed)}")
    return {"made": made, "stayed": [step.name for step in steps if step.done], "failed": failed, "seconds": seconds}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
