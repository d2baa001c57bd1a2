"""`keel dashboard`: every run in the browser, live while it trains; on this machine alone and without an account."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from keel.runners.run import Run

if TYPE_CHECKING:
    from keel.runners.dashboard.importer import Gain, Importer

PROJECT = "keel"
POLL_SECONDS = 1.0
SELECTED_AT_FIRST = 20  # runs: with more curves the page becomes slow; the others wait in its list


def main(arguments: list[str]) -> int:
    """keel dashboard [RUN…]: import, serve, follow; or a workspace on Weights & Biases."""
    options = _read(arguments)
    if options.wandb:
        from keel.runners.mirror.workspace import save_workspace

        saved = save_workspace(options.runs, entity=options.entity, project=options.project)
        print(json.dumps(saved) if options.json else saved["url"])
        return 0
    return _show(options)


def _read(arguments: list[str]) -> argparse.Namespace:
    description = "Every run in the browser, live while it trains: on this machine alone, without an account."
    parser = argparse.ArgumentParser("keel dashboard", description=description, allow_abbrev=False)
    reference = "a run's folder, its name under results/runs, or latest; globs too (default: all under results/runs)"
    parser.add_argument("runs", metavar="RUN", nargs="*", help=reference)
    parser.add_argument(
        "--project", metavar="NAME", help=f"what they are called together (default: {PROJECT}; --wandb: where they are)"
    )
    parser.add_argument("--port", type=_port, metavar="N", help="on 127.0.0.1 (default: the first free one from 7860)")
    parser.add_argument("--no-browser", action="store_true", help="open no browser: the address is printed anyway")
    parser.add_argument("--once", action="store_true", help="import the runs and end, without a page")
    parser.add_argument("--wandb", action="store_true", help="build a workspace on Weights & Biases instead")
    parser.add_argument("--entity", metavar="NAME", help="--wandb: whose project it is (default: your own)")
    parser.add_argument("--json", action="store_true", help="print one JSON object alone on stdout")
    options = parser.parse_args(arguments)
    local = {"--port": options.port is not None, "--no-browser": options.no_browser, "--once": options.once}
    for name, given in local.items():
        if options.wandb and given:
            raise ValueError(f"{name} is for the page on this machine, and --wandb makes none")
    if options.entity is not None and not options.wandb:
        raise ValueError("--entity is for --wandb: the page on this machine knows no accounts")
    return options


def _show(options: argparse.Namespace) -> int:
    options.project = PROJECT if options.project is None else options.project
    found = Runs(options.runs)  # a wrong name is an error before anything starts
    from keel.runners.dashboard.database import open_database
    from keel.runners.dashboard.importer import Importer

    with _each_warning_once(), open_database(options.project) as database:
        start = time.perf_counter()
        importer = Importer(database)
        gain = importer.update(found.update())
        if database.is_new:
            database.finish_first_import()
        report = _report(options.project, database.path, importer, gain, time.perf_counter() - start)
        if options.once:
            print(json.dumps(report) if options.json else _imported(report))
            return 0
        if not options.json:
            print(_imported(report), flush=True)
        _serve(options, found, importer, report)
    return 0


def _serve(options: argparse.Namespace, found: Runs, importer: Importer, report: dict[str, object]) -> None:
    """Serve until Ctrl-C, and bring in what the runs gain meanwhile."""
    from keel.runners.dashboard.server import serve

    with contextlib.suppress(KeyboardInterrupt), serve(options.port, options.project, importer) as address:
        url = f"{address}?project={options.project}" + _selection(importer)
        print(json.dumps(report | {"url": url}) if options.json else f"{url}\nCtrl-C ends it", flush=True)
        if not options.no_browser:
            _open(url)
        os.nice(10)  # training comes first
        while True:
            time.sleep(POLL_SECONDS)
            gain = importer.update(found.update())
            if gain.runs:
                print(f"new: {', '.join(gain.runs)}", file=sys.stderr, flush=True)


class Runs:
    """The runs that were asked for, and those that appear later and are meant too: all, or what the globs find.

    Raises:
        FileNotFoundError: there is no such run when it is made; later runs may come and go.
    """

    def __init__(self, patterns: list[str]) -> None:
        self._named = Run.find(patterns)
        self._all = not patterns
        self._growing = [
            pattern for pattern in patterns if pattern == "latest" or any(sign in pattern for sign in "*?[")
        ]

    def update(self) -> list[Run]:
        """The runs that there are now, each once."""
        if self._all:
            return Run.all()
        found = {run.path.resolve(): run for run in self._named}
        for pattern in self._growing:
            with contextlib.suppress(FileNotFoundError):  # all that it found are gone
                found |= {run.path.resolve(): run for run in Run.find([pattern])}
        self._named = list(found.values())  # one that is gone may come again
        return [run for run in self._named if (run.path / "config.json").exists()]


@contextlib.contextmanager
def _each_warning_once() -> Iterator[None]:
    """What is wrong with a run stays wrong at the next look, and is said once."""
    said: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        known = message in said
        said.add(message)
        return not known

    log = logging.getLogger("keel")
    log.addFilter(is_new)
    try:
        yield
    finally:
        log.removeFilter(is_new)


def _selection(importer: Importer) -> str:
    """The part of the address that selects the newest runs, where there are too many to draw all."""
    newest = importer.newest(SELECTED_AT_FIRST)
    return f"&run_ids={','.join(newest)}" if len(newest) < importer.count else ""


def _report(project: str, path: Path, importer: Importer, gain: Gain, seconds: float) -> dict[str, object]:
    return {
        "project": project,
        "database": str(path),
        "runs": importer.count,
        "new_runs": len(gain.runs),
        "new_rows": gain.rows,
        "new_videos": gain.videos,
        "seconds": round(seconds, 3),
    }


def _imported(report: dict[str, object]) -> str:
    what = "{runs} runs, {new_rows:,} new rows and {new_videos} new videos in {seconds:.1f} s: {database}"
    return what.format(**report)


def _open(url: str) -> None:
    """Open a browser where there is a screen; without one Python would start a browser in the terminal."""
    from keel.runners.window import has_display

    if has_display():
        import webbrowser

        webbrowser.open(url)


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text}: it must be a whole number from 1 to 65535")
    return int(text)
