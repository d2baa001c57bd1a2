"""The final films of groups side by side: within the page up to a size, beyond it by their path from the page."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from keel.runners import page
from keel.runners.compare.figures import swatch
from keel.runners.compare.groups import Group
from keel.runners.compare.read import Measured
from keel.runners.compare.scores import SCORES, Score
from keel.runners.run import Run

MOST_EMBEDDED_BYTES = 12_000_000  # of all films in a page together


@dataclass
class Budget:
    """How many bytes of films a page may still take in."""

    left: int


def films_card(
    groups: Sequence[Group],
    measured: Mapping[Path, Measured],
    score: Score,
    places: Mapping[str, int],
    output: Path,
    budget: Budget,
) -> str:
    """One film a group, of its run with the middle score among those that were filmed; nothing where there is none."""
    found = [
        (group, run, film) for group in groups if (chosen := _choose(group, measured, score)) for run, film in [chosen]
    ]
    if not found:
        return ""
    cells = "".join(
        f"<figure><figcaption>{swatch(places[group.label])}{page.text(group.label)}</figcaption>"
        f'{_element(film, output, budget)}<p class="note">{page.text(run.name)}</p></figure>'
        for group, run, film in found
    )
    play = '<button type="button" class="play-all">Play all from the start</button>' if len(found) > 1 else ""
    note = (
        '<p class="note">The last film of a run; of a group’s runs the one with the middle score. Films of up to '
        f"{MOST_EMBEDDED_BYTES // 1_000_000} MB in all are part of this page, further ones are linked by their path.</p>"
    )
    return page.card(f'<div class="figure-head"><h3>Final films</h3>{play}</div><div class="films">{cells}</div>', note)


def _choose(group: Group, measured: Mapping[Path, Measured], score: Score) -> tuple[Run, Path] | None:
    filmed = [(run, film) for run in group.runs if (film := last_film(run)) is not None]
    field = SCORES[score][0]

    def key(pair: tuple[Run, Path]) -> float:
        outcome = measured[pair[0].path].outcome
        value = getattr(outcome, field)
        return float("-inf") if value is None else value

    filmed.sort(key=key)
    return filmed[len(filmed) // 2] if filmed else None


def last_film(run: Run) -> Path | None:
    """The newest film of the run that is still there, within its folder."""
    for row in reversed(run.media()):
        path = run.path / str(row.get("video", ""))
        if path.is_file() and path.resolve().is_relative_to(run.path.resolve()):
            return path
    return None


def _element(film: Path, output: Path, budget: Budget) -> str:
    picture = film.suffix.lower() == ".gif"
    size = film.stat().st_size
    if size <= budget.left:
        budget.left -= size
        source = f"data:{'image/gif' if picture else 'video/mp4'};base64,{base64.b64encode(film.read_bytes()).decode()}"
    else:
        source = page.text(quote(Path(os.path.relpath(film, output)).as_posix()))
    if picture:
        return f'<img src="{source}" alt="the agent at work">'
    return f'<video src="{source}" controls loop muted playsinline preload="metadata"></video>'
