"""`keel benchmark NAME`: run a measurement and keep it with its command, commit, machine and seeds; `all` makes every
page of results/benchmarks."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keel.envs.errors import KeelError, closest
from keel.runners.files import write_json, write_text
from keel.runners.provenance import describe_environment

# Each is a module with `run(**options) -> dict` of JSON values and `table(result) -> str` in Markdown, and perhaps with
# `figures(result)`, pictures for the page by the stems of their files. `all` makes them in this order: what another one
# needs comes before it.
BENCHMARKS = {
    "ppo-throughput": "environment steps per second of PPO beside Stable-Baselines3",
    "ppo-learning": "what PPO reaches on each preset and how long it takes, several seeds",
    "dqn-throughput": "environment steps per second of DQN beside Stable-Baselines3",
    "dqn-learning": "what DQN and PQN reach on each preset and how long it takes, several seeds",
    "sb3-learning": "SAC, TD3 and DQN of Stable-Baselines3 with Keel's backbones, beside Keel's agents",
    "games-learning": "PPO, DQN and PQN at Connect Four and Tic-tac-toe against players by lot and by looking ahead",
    "selfplay-throughput": "simulations, evaluations and moves per second of self-play",
    "connect-four-positions": "positions of Connect Four, solved: what players are judged by",
    "connect-four": "how strong AlphaZero becomes at Connect Four in ten minutes, by a perfect solver and by games",
    "connect-four-hour": "the same after an hour, with a larger network",
    "selfplay-learning": "AlphaZero at Othello and chess: ratings over training, beside fixed opponents",
    "tic-tac-toe": "AlphaZero at Tic-tac-toe beside brute force, in every position there is",
    "dqn-minatar": "DQN on two MinAtar games beside MinAtar's own example",
    "dqn-comparison": "DQN beside the DQN and the PPO of Stable-Baselines3 in the same worlds for the same steps",
    "dqn-ablation": "what each part of Rainbow is worth on two MinAtar games",
    "dqn-memory": "what a million Atari transitions take of the memory of a process",
    "pretrain-images": "image classifiers on held-out digits, and whether depth pays as data grow",
    "pretrain-text": "praise from blame in film reviews: GRU, LSTM and Transformer beside counting words",
    "pretrain-series": "networks with memory forecast daily prices, beside simple ones, without a leak from the future",
    "transfer": "steps to a score in a control task from pixels: a pre-trained backbone beside a fresh one",
    "memory": "what a memory is worth: PPO with and without one in worlds that show less than all",
    "cooling-throughput": "environment steps per second of the cooling world, one thread",
    "cooling-validation": "the cooling world's physics beside their sources",
    "cooling-baselines": "the reference power of the cooling world, and B3 tuned for each climate",
    "cooling-held-out": "PPO on weather and load that it never saw, beside controllers and what is achievable",
    "dqn-cooling-held-out": "DQN on weather and load that it never saw, beside controllers and what is achievable",
    "cooling-partial": "what a memory saves in a data centre whose sensors are late, noisy and drifting",
    "tune-cartpole": "does tuning pay: PPO on CartPole-v1, tuned and judged on seeds that chose nothing",
    "exact-resume": "kill -9 at random moments, resume, compare byte for byte",
}
# The options (--set) of the pages that are not made with a benchmark's own defaults.
PAGE_OPTIONS: dict[str, dict[str, Any]] = {
    "games-learning": {"jobs": 2},
    "dqn-comparison": {"envs": ["CartPole-v1", "Acrobot-v1"], "seeds": 3, "jobs": 2},
    "dqn-ablation": {"jobs": 2},
    "pretrain-images": {"curve_seeds": 1, "sizes": [50, 200, 1000, 3500]},
    "pretrain-text": {"sizes": [2000, 0]},
    "pretrain-series": {"seeds": 3},
    "cooling-validation": {"random_steps": 10_000_000},
    "cooling-baselines": {"write": True},
    "exact-resume": {"trials": 12},
}
WHOLE = {
    "all": "every page of results/benchmarks, one after the other: hours (see keel benchmark all --dry-run)",
    "index": "the index of these pages alone: results/README.md and results/benchmarks/index.html",
}
INDEX = "index.html"  # a folder of pages that has one gets it anew with every page


def main(arguments: list[str]) -> int:
    if arguments and arguments[0] in WHOLE:
        from keel.runners.results import every_page

        return (every_page.main_all if arguments[0] == "all" else every_page.main_index)(arguments[1:])
    parser = argparse.ArgumentParser("keel benchmark", allow_abbrev=False, description=_description())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object alone on stdout")
    parser.add_argument("--output", type=Path, help="folder for NAME.json and NAME.md; without it nothing is written")
    parser.add_argument("--set", nargs=2, action="append", default=[], metavar=("OPTION", "VALUE"), help="as JSON")
    options = parser.parse_args(arguments)
    if options.name in WHOLE:
        raise ValueError(f"'{options.name}' comes first, its options after it: keel benchmark {options.name} …")
    if options.name not in BENCHMARKS:
        raise ValueError(f"'{options.name}' is not a benchmark{closest(options.name, BENCHMARKS)}\n{_description()}")
    module = importlib.import_module(f"keel.runners.benchmarks.{options.name.replace('-', '_')}")
    chosen = _options(options.name, module.run, options.set)
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)  # now: a measurement can take an hour
    started = time.time()
    result = module.run(**chosen)
    document = _provenance(arguments, started) | result
    if options.output is not None:
        write_text(options.output / f"{options.name}.md", _page(options.name, document, module.table(result)))
        _write_figures(module, result, options.output / options.name)
        write_json(options.output / f"{options.name}.json", document)  # last: `all` takes it for a finished page
    print(json.dumps(document) if options.json else module.table(result))
    if options.output is not None:
        _refresh_index(options.output)
    return 0


def _write_figures(module: Any, result: Mapping[str, Any], folder: Path) -> None:
    """The figures of a benchmark that draws some (`figures(result)`: file stem -> figure)."""
    if not hasattr(module, "figures"):
        return
    from keel.runners.figures import save_png

    for stem, figure in module.figures(result).items():
        save_png(figure, folder / f"{stem}.png")


def _refresh_index(folder: Path) -> None:
    if (folder / INDEX).is_file():
        from keel.runners.results.index import write_index

        try:
            write_index(folder)
        except KeelError as error:  # another page is at fault, and this one is made
            print(f"keel: the index stays as it was: {error}", file=sys.stderr)


def _options(benchmark: str, run: Callable[..., Any], pairs: Sequence[Sequence[str]]) -> dict[str, Any]:
    """What --set gives, checked against what the benchmark takes."""
    taken = list(inspect.signature(run).parameters)
    options = {}
    for name, text in pairs:
        if name not in taken:
            raise ValueError(f"{benchmark} has no option '{name}'{closest(name, taken)}; it takes: {', '.join(taken)}")
        try:
            options[name] = json.loads(text)
        except json.JSONDecodeError:
            raise ValueError(f"--set {name} {text}: expected JSON, such as 3 or '[\"CartPole-v1\"]'") from None
    return options


def _description() -> str:
    lines = [f"  {name:<22} {text}" for name, text in BENCHMARKS.items()]
    return "\n".join([*lines, *(f"  {name:<22} {text}" for name, text in WHOLE.items())])


def _provenance(arguments: list[str], started: float) -> dict[str, Any]:
    environment = describe_environment(device="cpu", threads=1, resume="exact")
    return {
        "command": shlex.join(["keel", "benchmark", *arguments]),
        "date": time.strftime("%Y-%m-%d", time.gmtime(started)),
        "seconds": round(time.time() - started, 1),
        "environment": {name: value for name, value in environment.items() if name != "command"},
    }


def _page(name: str, document: Mapping[str, Any], table: str) -> str:
    environment = document["environment"]
    versions = environment.get("versions", {})
    machine = [f"{key}: {value}" for key, value in environment.items() if not isinstance(value, dict)]
    lines = [
        f"# {name}",
        "",
        BENCHMARKS[name][0].upper() + BENCHMARKS[name][1:] + ".",
        "",
        table,
        "",
        (
            f"Made on {document['date']} in {document['seconds']:.0f} s by `{document['command']}`; "
            f"the raw data is in [{name}.json]({name}.json)."
        ),
        "",
        "; ".join(machine) + ".",
        "",
        "Versions: " + ", ".join(f"{key} {value}" for key, value in versions.items()) + ".",
        "",
    ]
    return "\n".join(lines)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, labels: int = 1) -> str:
    """Rows of text as a Markdown table; columns after the first `labels` are aligned to the right."""
    lines = ["| " + " | ".join(header) + " |", "|---" * labels + "|---:" * (len(header) - labels) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
