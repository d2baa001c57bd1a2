"""keel compare: which runs, and where the page goes."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path


def main(arguments: list[str]) -> int:
    """keel compare RUN…: curves with seed bands, who is better, and what it cost, in one page."""
    options = _parser().parse_args(arguments)
    from keel.runners.compare.comparison import compare_runs
    from keel.runners.compare.select import select_runs
    from keel.runners.kinds import refuse_pretraining

    runs = select_runs(options.runs, options.group, options.where)
    for run in runs:
        refuse_pretraining(run.config)
    summary = compare_runs(
        runs,
        options.output,
        thresholds=options.threshold,
        score=options.score,
        leave_out=not options.runs,
        jobs=os.cpu_count() or 1,
    )
    print(
        json.dumps(summary)
        if options.json
        else f"compared {len(runs) - len(summary['left_out'])} runs in {summary['page']}"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "keel compare",
        description="Runs side by side: one HTML page, figures as PNG, data as CSV.",
        epilog="example: keel compare --where agent=ppo --where 'learning_rate<=3e-4'",
        allow_abbrev=False,
    )
    reference = (
        "a run's folder, its name under results/runs, or latest; globs too (default: all that the filters leave)"
    )
    parser.add_argument("runs", metavar="RUN", nargs="*", help=reference)
    group = "only runs of this world and agent, WORLD-AGENT as on W&B, or a glob of it; may be given again for more"
    parser.add_argument("--group", metavar="GROUP", action="append", default=[], help=group)
    where = (
        "only runs with this setting, such as agent=ppo or hyperparameters.gamma>=0.99; = != < <= > >=; all must hold"
    )
    parser.add_argument("--where", metavar="CONDITION", action="append", default=[], help=where)
    threshold = "the return that is good enough: VALUE, or WORLD=VALUE (default: what the world says of itself)"
    parser.add_argument("--threshold", metavar="VALUE", action="append", default=[], help=threshold)
    score = "which evaluation a run is judged by (default: best)"
    parser.add_argument("--score", choices=("best", "last"), default="best", help=score)
    parser.add_argument("--output", type=Path, default=Path("results/comparison"), help="the folder to write")
    parser.add_argument("--json", action="store_true", help="print one JSON object alone on stdout")
    return parser
