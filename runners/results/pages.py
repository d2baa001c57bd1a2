"""The pages of a folder of benchmarks, with the remarks on them, as they are told in an index."""

from __future__ import annotations

import json
import re
import shlex
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keel.envs.errors import KeelError
from keel.runners.benchmark import BENCHMARKS
from keel.runners.files import read_json
from keel.runners.results.scores import Score, scores

REMARKS = "remarks.md"  # beside README.md, in the folder above the pages: what no measurement can say
NUMBERS = ("seeds", "best", "last", "95 % interval", "lowest … highest", "steps", "seconds")  # columns of a score
INTRODUCTION = (
    "Only what runs really produced; each page names its command, commit, machine and seeds, and the raw data lie "
    "beside it."
)
ABOUT_SCORES = (
    "Best and last: means over seeds of what the best and the last weights reached. The interval is that of the mean "
    "over seeds (95 %, Student), which passes what a world allows where seeds fall far apart; with a single seed it is "
    "that of the games or positions that were counted, and says nothing of other seeds. Interval and extremes are of "
    "the best weights, or of the last where only those were judged. Steps (in self-play: moves) and seconds of training "
    "are medians over seeds, on the machine that each page names. A star leads to what has to be known beside "
    "the figures."
)
ABOUT_PAGES = "A commit with a + had changes that were not committed."


class Page(NamedTuple):
    """One benchmark's page."""

    name: str
    document: dict[str, Any]  # its JSON: the result with command, date, seconds and environment
    figures: tuple[str, ...]  # PNG files, by their paths from the folder of the pages
    remark: str  # Markdown, perhaps none

    @property
    def commit(self) -> str:
        """Shortened; a + for changes that were not committed."""
        commit = self.document["environment"].get("commit") or "not in git"
        return commit[:10] + "+" if commit.endswith("-dirty") else commit[:10]


class Index(NamedTuple):
    """All that the two files tell."""

    pages: list[Page]  # in the order of BENCHMARKS
    scores: list[Score]
    others: dict[str, str]  # remarks on no page, by their headings


def above(folder: Path) -> Path:
    return folder.parent if folder.name not in ("", "..") else folder.resolve().parent


def read_index(folder: Path) -> Index:
    """Read the pages of a folder and the remarks on them.

    Raises: KeelError: no pages there, or one whose JSON is damaged or of another shape.
    """
    remarks = above(folder) / REMARKS
    texts = sections(remarks.read_text(encoding="utf-8")) if remarks.is_file() else {}
    pages = []
    for name, document in read_documents(folder).items():
        figures = sorted(path.relative_to(folder).as_posix() for path in (folder / name).glob("*.png"))
        pages.append(Page(name, document, tuple(figures), texts.pop(name, "")))
    if not pages:
        raise KeelError(f"{folder} has no pages: keel benchmark NAME --output {folder}")
    return Index(pages, scores({page.name: page.document for page in pages}), texts)


def read_documents(folder: Path) -> dict[str, dict[str, Any]]:
    """The JSON of each page that there is, by its name. Raises: KeelError: one is damaged."""
    found = {}
    for name in BENCHMARKS:
        path = folder / f"{name}.json"
        if path.is_file():
            document = found[name] = read_json(path)
            if not isinstance(document, dict) or not {"command", "date", "seconds", "environment"} <= document.keys():
                raise KeelError(f"{path} is no benchmark's result: it lacks command, date, seconds or environment")
    return found


def sections(markdown: str) -> dict[str, str]:
    """The texts under headings of the second level, by heading."""
    _, *parts = re.split(r"^## +", markdown, flags=re.MULTILINE)
    pairs = (part.partition("\n") for part in parts)
    return {heading.strip(): text.strip() for heading, _, text in pairs}


def options_of(command: str) -> dict[str, Any]:
    """What --set gave in a recorded command."""
    words = shlex.split(command)
    places = [place for place, word in enumerate(words) if word == "--set"]
    return {words[place + 1]: json.loads(words[place + 2]) for place in places}


def duration(seconds: float) -> str:
    """Such as 49 s, 24 min or 2 h 34 min."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def bare_command(command: str) -> str:
    """The command that measures the same and keeps nothing: without --output and --json."""
    words = shlex.split(command)
    if "--output" in words:
        place = words.index("--output")
        del words[place : place + 2]
    return shlex.join(word for word in words if word != "--json")


def cells_of(score: Score) -> dict[str, str]:
    """The numbers of a score as text, by the names of their columns (NUMBERS); empty where they are not known."""
    judged, interval = score.judged, score.interval
    return {
        "seeds": str(len(judged)),
        "best": _mean(score, score.best),
        "last": _mean(score, score.last),
        "95 % interval": f"{score.shown(interval.low)} … {score.shown(interval.high)}" if interval else "",
        "lowest … highest": f"{score.shown(min(judged))} … {score.shown(max(judged))}" if len(judged) > 1 else "",
        "steps": "" if score.steps is None else f"{score.steps:,.0f}",
        "seconds": "" if score.seconds is None else f"{score.seconds:,.{0 if score.seconds >= 10 else 1}f}",
    }


def _mean(score: Score, values: Sequence[float]) -> str:
    return score.shown(statistics.mean(values)) if values else ""
