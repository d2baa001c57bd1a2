"""The index of the benchmarks' pages, made of their JSON alone: results/README.md and results/benchmarks/index.html."""

from __future__ import annotations

from pathlib import Path

from keel.runners.benchmark import BENCHMARKS, markdown_table
from keel.runners.files import write_text
from keel.runners.results.html import index_page
from keel.runners.results.pages import (
    ABOUT_PAGES,
    ABOUT_SCORES,
    INTRODUCTION,
    NUMBERS,
    REMARKS,
    Index,
    Page,
    above,
    bare_command,
    cells_of,
    duration,
    read_index,
)
from keel.runners.results.scores import Score

GENERATED = "This file is generated (`keel benchmark index`) from the pages' data and from [remarks.md](remarks.md)."


def write_index(folder: Path) -> list[Path]:
    """Write FOLDER/index.html, and README.md in the folder above where a remarks.md says that it is one of results.

    Nothing in them depends on the clock: the same pages and remarks give the same bytes.

    Returns: the paths written.
    Raises: KeelError: no pages there, or one whose JSON is damaged or of another shape.
    """
    index = read_index(folder)
    written = {folder / "index.html": index_page(index)}
    if (above(folder) / REMARKS).is_file():
        written[above(folder) / "README.md"] = readme(index, folder.resolve().name)
    for path, text in written.items():
        write_text(path, text)
    return list(written)


def readme(index: Index, folder: str) -> str:
    """README.md; `folder` is that of the pages, beside it."""
    seconds = sum(page.document["seconds"] for page in index.pages)
    remarks = {page.name: page.remark for page in index.pages if page.remark} | index.others
    parts = [
        "# Results",
        f"{INTRODUCTION} [The same to look at]({folder}/index.html). {GENERATED}",
        "## Agents and worlds",
        ABOUT_SCORES,
        _scores_table(index.scores, {page.name: page for page in index.pages}, folder),
        "## Pages",
        f"{ABOUT_PAGES} Together they took {duration(seconds)}; `keel benchmark all` makes them anew.",
        _pages_table(index.pages, folder),
        "## Remarks",
        *(f"### {heading}\n\n{text}" for heading, text in remarks.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _scores_table(found: list[Score], pages: dict[str, Page], folder: str) -> str:
    header = ["world", "agent", "judged by", *NUMBERS, "made by"]
    rows = []
    for score in found:
        page = pages[score.page]
        made_by = f"[`{bare_command(page.document['command'])}`]({folder}/{page.name}.md)"
        star = f" [\\*](#{page.name})" if page.remark else ""
        rows.append([score.world, score.agent, score.measure, *cells_of(score).values(), made_by + star])
    return markdown_table(header, rows, labels=3)


def _pages_table(pages: list[Page], folder: str) -> str:
    rows = []
    for page in pages:
        document = page.document
        rows.append(
            [
                f"[{page.name}]({folder}/{page.name}.md)",
                BENCHMARKS[page.name],
                f"`{document['command']}`",
                document["date"],
                page.commit,
                duration(document["seconds"]),
                f"[remark](#{page.name})" if page.remark else "",
            ]
        )
    return markdown_table(["page", "what it shows", "command", "date", "commit", "took", "remark"], rows, labels=5)
