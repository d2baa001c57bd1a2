"""The shell of every page that Keel writes: one file, no network, light and dark, wide and narrow.

A page has no script but those that its writer hands over, and the page itself forbids all others: their hashes stand in
its policy, so nothing that a run's name contains could ever run.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

_STYLE = """
:root { color-scheme: light dark;
  --ink: #1f2933; --muted: #5d6875; --grid: #e3e7ec; --paper: #ffffff; --ground: #f5f6f8; --accent: #0072b2;
  --series-1: #0072b2; --series-2: #d55e00; --series-3: #009e73; --series-4: #cc79a7; --series-5: #e69f00;
  --series-6: #56b4e9; --series-7: #6b7280; }
@media (prefers-color-scheme: dark) { :root {
  --ink: #e6eaef; --muted: #98a3b0; --grid: #2b323b; --paper: #1a1f26; --ground: #12161b; --accent: #58b0e3;
  --series-1: #4fa8de; --series-2: #f0803c; --series-3: #35c397; --series-4: #dd94bb; --series-5: #f0b429;
  --series-6: #8fd0f5; --series-7: #a3adb8; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .35rem; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2.4rem 0 .7rem; }
h3 { font-size: .8rem; margin: 0 0 .3rem; color: var(--muted); font-weight: 600; }
p { margin: .4rem 0; max-width: 46rem; } .note, .subtitle { color: var(--muted); } .note { font-size: .88rem; }
.card { background: var(--paper); border: 1px solid var(--grid); border-radius: 10px; padding: 1rem 1.1rem;
  margin: 0 0 1rem; overflow-x: auto; }
.card > :first-child { margin-top: 0; } .card > :last-child { margin-bottom: 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(145px, 1fr)); gap: .75rem; margin: 1.5rem 0 0; }
.tile { background: var(--paper); border: 1px solid var(--grid); border-radius: 10px; padding: .8rem 1rem; }
.tile b { display: block; font-size: 1.35rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tile span { color: var(--muted); font-size: .82rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 1rem;
  margin-bottom: 1rem; } .pair .card { margin: 0; }
.columns { columns: 2 320px; column-gap: 2.5rem; } .columns section { break-inside: avoid; margin-bottom: 1.2rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .38rem .9rem .38rem 0; border-bottom: 1px solid var(--grid); vertical-align: top; }
tr:last-child > * { border-bottom: 0; } th { color: var(--muted); font-weight: 500; }
thead th { white-space: nowrap; font-size: .82rem; vertical-align: bottom; }
td.number, th.number { text-align: right; white-space: nowrap; }
td:last-child, th:last-child { padding-right: 0; } td { overflow-wrap: anywhere; }
td.label { min-width: 9.5rem; overflow-wrap: normal; }
.facts th { width: 50%; } .facts td { text-align: right; }
.swatch { display: inline-block; width: .7em; height: .7em; border-radius: 2px; margin-right: .5em; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .86rem; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; } pre + p { margin-top: .1rem; }
dl { margin: 0; } dt { color: var(--muted); font-size: .88rem; } dd { margin: 0 0 .8rem; }
svg { display: block; width: 100%; height: auto; } svg text { font-family: inherit !important; }
video, img { display: block; width: 100%; height: auto; border-radius: 6px; background: var(--ground); }
summary { cursor: pointer; font-weight: 600; } details[open] summary { margin-bottom: .6rem; }
.narrow { display: none; } a { color: var(--accent); }
@media (max-width: 640px) { .wide { display: none; } .narrow { display: block; } main { padding-top: 1.5rem; }
  h1 { font-size: 1.4rem; } .card { padding: .8rem .85rem; } .tiles { gap: .5rem; margin-top: 1rem; }
  .tiles { grid-template-columns: 1fr 1fr; } .tile b { font-size: 1.15rem; }
  .wide-table thead { display: none; } .wide-table tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--grid); }
  .wide-table tr:last-child { border: 0; }
  .wide-table td { display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: .1rem 0; }
  .wide-table td.number::before { content: attr(data-name); color: var(--muted); }
  .wide-table td.label { display: block; font-weight: 600; } }
"""


class Cell(NamedTuple):
    """A table's cell that is already HTML."""

    html: str


def page(title: str, body: Iterable[str], *, subtitle: str = "", scripts: Sequence[str] = (), style: str = "") -> str:
    """A whole page. `title` and `subtitle` are plain text, the parts of `body` are HTML.

    Args:
        scripts: JavaScript of the program, never of a run; runs at the end of the page in this order.
        style: further CSS.
    Raises:
        ValueError: a script that would end its own element.
    """
    if any("</script" in script.lower() or "<!--" in script for script in scripts):
        raise ValueError("a script must not contain </script or <!--, which HTML reads as its own")
    # The policy forbids the page to load or run anything from elsewhere, whatever a run's names contain.
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob: 'self' file:; "
    policy += "media-src data: 'self' file:"
    if scripts:
        policy += "; script-src " + " ".join(f"'sha256-{_hash(script)}'" for script in scripts)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            f"<title>{text(title)}</title>",
            f"<style>{_STYLE}{style}</style>",
            "</head>",
            "<body><main>",
            f"<header><h1>{text(title)}</h1>",
            f'<p class="subtitle">{text(subtitle)}</p></header>',
            *body,
            "</main>",
            *(f"<script>{script}</script>" for script in scripts),
            "</body>",
            "</html>",
            "",
        ]
    )


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def data(identity: str, value: Any) -> str:
    """JSON for the page's own scripts, as an element of that id that no browser runs and no text can leave."""
    safe = json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e")
    return f'<script type="application/json" id="{text(identity)}">{safe}</script>'


def text(value: object) -> str:
    """Plain text for HTML."""
    return html.escape(str(value), quote=True)


def card(*parts: str) -> str:
    return '<div class="card">\n' + "\n".join(parts) + "\n</div>"


def tiles(values: Mapping[str, str]) -> str:
    """The few numbers that matter, each with what it is beneath."""
    inside = "".join(
        f'<div class="tile"><b>{text(value)}</b><span>{text(name)}</span></div>' for name, value in values.items()
    )
    return f'<div class="tiles">{inside}</div>'


def table(header: Sequence[str], rows: Iterable[Sequence[str | Cell]], *, labels: int = 1) -> str:
    """A table whose first `labels` columns are words and whose others are numbers; a list of cards on narrow screens."""

    def row(cells: Sequence[str | Cell], tag: str) -> str:
        classes = ["label" if column < labels else "number" for column in range(len(cells))]
        inside = "".join(
            f'<{tag} class="{kind}" data-name="{text(name)}">{cell.html if isinstance(cell, Cell) else text(cell)}</{tag}>'
            for name, kind, cell in zip(header, classes, cells, strict=True)
        )
        return f"<tr>{inside}</tr>"

    body = "\n".join(row(cells, "td") for cells in rows)
    return f'<table class="wide-table">\n<thead>{row(header, "th")}</thead>\n<tbody>\n{body}\n</tbody>\n</table>'


def facts(values: Mapping[str, Any]) -> str:
    """Names and values, one a line."""
    rows = "\n".join(f"<tr><th>{text(name)}</th><td>{text(show(value))}</td></tr>" for name, value in values.items())
    return f'<table class="facts"><tbody>\n{rows}\n</tbody></table>'


def show(value: Any) -> str:
    """A setting as a person would write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int) and abs(value) >= 10_000:
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(show(item) for item in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {show(item)}" for name, item in value.items()) or "none"
    return str(value)
