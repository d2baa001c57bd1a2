"""index.html of the benchmarks' pages: scores that can be sorted without a script, and what each page is about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from keel.runners import page as shell
from keel.runners.benchmark import BENCHMARKS
from keel.runners.page import text
from keel.runners.results.pages import (
    ABOUT_PAGES,
    ABOUT_SCORES,
    INTRODUCTION,
    NUMBERS,
    Index,
    Page,
    bare_command,
    cells_of,
    duration,
)
from keel.runners.results.scores import Score

# What the table is sorted by, and from which end first: True for the greatest.
ORDERS = {"world": False, "agent": False, "seeds": True, "best": True, "last": True, "steps": False, "seconds": False}

_END = 1_000_000  # behind every row

# Rows carry their rank in each order (--world, --agent, …), and the chosen button says which of them counts.
_STYLE = """
main { max-width: 1240px; }
#scores { display: grid; font-size: .82rem;
  grid-template-columns: minmax(10.4rem, auto) minmax(5.2rem, auto) minmax(9rem, 1fr) repeat(8, auto); }
#scores thead, #scores tbody { display: contents; }
#scores tr { display: grid; grid-template-columns: subgrid; grid-column: 1 / -1; border-bottom: 1px solid var(--grid); }
#scores thead tr { order: -1000001; } #scores th, #scores td { border: 0; padding-right: .65rem; }
#scores td.label { min-width: 0; overflow-wrap: anywhere; } #scores .measure { color: var(--muted); }
.orders { display: flex; flex-wrap: wrap; gap: .35rem; margin: 0 0 .9rem; align-items: center; font-size: .85rem; }
.orders span { color: var(--muted); } .orders label { border: 1px solid var(--grid); border-radius: 999px;
  padding: .1rem .7rem; cursor: pointer; background: var(--paper); }
.orders input { position: absolute; opacity: 0; pointer-events: none; }
.orders label:has(:checked) { background: var(--accent); border-color: var(--accent); color: var(--paper); }
.orders label:has(:focus-visible) { outline: 2px solid var(--ink); outline-offset: 2px; }
.pages { columns: 3 320px; column-gap: 1rem; } .pages .card { break-inside: avoid; }
.pages h3 { font-size: 1rem; color: var(--ink); } .pages p { font-size: .9rem; }
.pages pre { color: var(--muted); font-size: .78rem; margin: .5rem 0; }
.shots { display: flex; flex-wrap: wrap; gap: .5rem; margin: .6rem 0; } .shots a { flex: 1 1 45%; max-width: 100%; }
.links { white-space: nowrap; }
.shots img { max-height: 11rem; object-fit: contain; background: #fff; border: 1px solid var(--grid); }
.others { max-width: 46rem; }
@media (max-width: 640px) { #scores { display: block; } #scores thead { display: none; }
  #scores tbody { display: flex; flex-direction: column; }
  #scores tbody tr { grid-template-columns: repeat(6, 1fr); column-gap: .6rem; }
  #scores td { padding-right: 0; grid-column: span 3; } #scores td.label { grid-column: span 4; }
  #scores td.measure { grid-column: 1 / -1; font-weight: 400; }
  #scores td.agent { grid-column: span 2; text-align: right; }
  #scores td.number { white-space: normal; text-align: right; } #scores td.number:empty { display: none; }
  #scores td.wide { grid-column: 1 / -1; } }
"""


def index_page(index: Index) -> str:
    """The whole page; links are relative to the folder of the pages."""
    trained = {(score.page, score.world, score.agent): len(score.judged) for score in index.scores}
    tiles = {
        "pages": str(len(index.pages)),
        "trainings judged": str(sum(trained.values())),
        "worlds": str(len({score.world for score in index.scores})),
        "of measuring": duration(sum(page.document["seconds"] for page in index.pages)),
    }
    pages = {page.name: page for page in index.pages}
    body = [
        shell.tiles(tiles),
        '<section class="sorted"><h2>Agents and worlds</h2>',
        f'<p class="note">{text(ABOUT_SCORES)}</p>',
        _buttons(),
        shell.card(_scores_table(index.scores, pages)),
        "</section>",
        "<h2>Pages</h2>",
        f'<p class="note">{text(ABOUT_PAGES)} <code>keel benchmark all</code> makes them anew.</p>',
        '<div class="pages">',
        *(_page_card(page) for page in index.pages),
        "</div>",
        *(f'<div class="others"><h2>{text(title)}</h2>{html_of(words)}</div>' for title, words in index.others.items()),
    ]
    return shell.page("Results of Keel's benchmarks", body, subtitle=INTRODUCTION, style=_STYLE + _order_style())


def _order_style() -> str:
    """Which rank counts, for each button, and the other way round; rows without it stand at the end."""
    rules = []
    for name in ORDERS:
        chosen = f".sorted:has(#by-{name}:checked)"
        rules.append(f"{chosen} tbody tr {{ order: var(--{name}, {_END}); }}")
        rules.append(f"{chosen}:has(#reversed:checked) tbody tr {{ order: calc(-1 * var(--{name}, -{_END})); }}")
    return "\n".join(rules)


def _buttons() -> str:
    first = next(iter(ORDERS))
    radios = "".join(
        f'<label><input type="radio" name="order" id="by-{name}"{" checked" if name == first else ""}>{name}</label>'
        for name in ORDERS
    )
    other = '<label><input type="checkbox" id="reversed">the other way round</label>'
    return f'<div class="orders"><span>Sorted by</span>{radios}{other}</div>'


def ranks(values: Sequence[Any], greatest_first: bool) -> list[int | None]:
    """The place of each value, from 0; equal ones keep their order, and what is None has no place."""
    known = [place for place, value in enumerate(values) if value is not None]
    known.sort(key=lambda place: values[place], reverse=greatest_first)
    found: list[int | None] = [None] * len(values)
    for rank, place in enumerate(known):
        found[place] = rank
    return found


def _keys(scores: Sequence[Score]) -> dict[str, list[Any]]:
    """What each order sorts by. Worlds keep the order of the table, which brings related ones together."""

    def mean(values: Sequence[float]) -> float | None:
        return sum(values) / len(values) if values else None

    return {
        "world": list(range(len(scores))),
        "agent": [score.agent.lower() for score in scores],
        "seeds": [len(score.judged) for score in scores],
        "best": [mean(score.best) for score in scores],
        "last": [mean(score.last) for score in scores],
        "steps": [score.steps for score in scores],
        "seconds": [score.seconds for score in scores],
    }


def _scores_table(scores: Sequence[Score], pages: dict[str, Page]) -> str:
    keys = _keys(scores)
    places = {name: ranks(keys[name], greatest_first) for name, greatest_first in ORDERS.items()}
    header = _row("th", ["world", "agent", "judged by"], [(name, name) for name in NUMBERS], "made by")
    rows = []
    for place, score in enumerate(scores):
        known = {name: of_all[place] for name, of_all in places.items() if of_all[place] is not None}
        style = "; ".join(f"--{name}: {rank}" for name, rank in known.items())
        labels = [text(score.world).replace("/", "/<wbr>"), text(score.agent), text(score.measure)]
        rows.append(_row("td", labels, cells_of(score).items(), _made_by(pages[score.page]), style))
    body = "\n".join(rows)
    return f'<table id="scores" class="wide-table">\n<thead>{header}</thead>\n<tbody>\n{body}\n</tbody>\n</table>'


def _made_by(page: Page) -> str:
    name, command = text(page.name), text(bare_command(page.document["command"]))
    star = f' <a href="#{name}" title="what has to be known beside the figures">*</a>' if page.remark else ""
    return f'<a href="{name}.md" title="{command}">{name}</a>{star}'


def _row(tag: str, labels: Sequence[str], numbers: Iterable[tuple[str, str]], last: str, style: str = "") -> str:
    """A row of the table; `labels` and `last` are HTML."""
    kinds = ("label", "label agent", "label measure")
    cells = [f'<{tag} class="{kind}">{label}</{tag}>' for kind, label in zip(kinds, labels, strict=True)]
    # On narrow screens numbers stand two in a line, but for those that are two themselves.
    cells += [
        f'<{tag} class="number{" wide" if "…" in value else ""}" data-name="{text(name)}">{text(value)}</{tag}>'
        for name, value in numbers
    ]
    cells.append(f'<{tag} class="number wide" data-name="made by"><span>{last}</span></{tag}>')
    ranks_of_row = f' style="{style}"' if style else ""
    return f"<tr{ranks_of_row}>{''.join(cells)}</tr>"


def _page_card(page: Page) -> str:
    document, name = page.document, text(page.name)
    description = BENCHMARKS[page.name]
    shots = "".join(
        f'<a href="{text(path)}"><img src="{text(path)}" alt="{text(path)}" loading="lazy"></a>'
        for path in page.figures
    )
    made = f"{document['date']}, {page.commit}, took {duration(document['seconds'])}"
    return shell.card(
        f'<h3 id="{name}"><a href="{name}.md">{name}</a></h3>',
        f"<p>{text(description[0].upper() + description[1:])}.</p>",
        f'<div class="shots">{shots}</div>' if shots else "",
        html_of(page.remark),
        f"<pre>{text(document['command'])}</pre>",
        f'<p class="note">{text(made)} <span class="links">· <a href="{name}.md">page</a> · '
        f'<a href="{name}.json">data</a></span></p>',
    )


def html_of(markdown: str) -> str:
    """Paragraphs with `code` and [links](path) as HTML; the paths of remarks begin in the folder above the pages."""
    paragraphs = [" ".join(part.split()) for part in markdown.split("\n\n") if part.strip()]
    return "\n".join(f"<p>{_inline(text(paragraph))}</p>" for paragraph in paragraphs)


def _inline(escaped: str) -> str:
    with_code = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    return re.sub(r"\[([^\]]+)\]\(([^)\s]+)\)", r'<a href="../\2">\1</a>', with_code)
