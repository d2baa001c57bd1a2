"""The page of one run: what was trained, how it went, how good it is, what it looks like and how to go on."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from keel.runners import figures, page
from keel.runners.files import write_text
from keel.runners.formats import format_value
from keel.runners.run import RUNS, Run
from keel.runners.seed_statistics import curve, smoothed

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_report(run: Run, *, evaluation: Mapping[str, Any], video: Path | None, world: Sequence[str] = ()) -> Path:
    """Write RUN/report.html and RUN/learning_curve.png; returns the page's path.

    Args:
        evaluation: `returns`, one number an episode; where they are known `length_mean` in steps, `checkpoint`, `seed`.
        video: a film of the agent, best under RUN/videos; the page links to it by a relative path.
        world: further parts of the page (HTML), on what this kind of world is about.

    Raises:
        ValueError: if `evaluation` has no returns.
        FileNotFoundError: if there is no such video.
    """
    returns = evaluation.get("returns")
    if returns is None or len(returns) == 0:
        raise ValueError(f"evaluation must hold 'returns' of at least one episode, got {sorted(evaluation)}")
    if video is not None and not video.is_file():
        raise FileNotFoundError(f"there is no video {video}")
    rows = run.metrics()
    lines = _learning_lines(rows)
    body = [_tiles(run, rows, returns), "<h2>Learning</h2>"]
    if lines:
        figures.save_png(_learning_curve(run, lines, figures.WIDE_INCHES), run.path / "learning_curve.png")
        body.append(_learning_card(run, lines))
    else:
        body.append(page.card("<p>No episode has ended yet, so there is no curve.</p>"))
    body += ["<h2>Result</h2>", _result(run, evaluation, returns, video)]
    body += world
    body += ["<h2>Go on</h2>", page.card(_commands(run)), "<h2>Settings</h2>", page.card(settings_table(run))]
    body += ["<h2>Machine and versions</h2>", page.card(provenance_line(run))]
    config = run.config
    title = f"{config['agent'].upper()} on {config['env']}"
    write_text(run.path / "report.html", page.page(title, body, subtitle=f"{run.name} · seed {config['seed']}"))
    return run.path / "report.html"


def _tiles(run: Run, rows: Sequence[Mapping[str, Any]], returns: Sequence[float]) -> str:
    name = f"mean return over {len(returns)} episode{'s' * (len(returns) != 1)}"
    values = {name: format_value(float(np.mean(returns)))}
    values["environment steps"] = f"{max((row['global_step'] for row in rows), default=0):,}"
    timing = run.timing()
    if timing and (seconds := timing[-1].get("training_seconds")):
        values["training time"] = duration(seconds)
        values["steps per second"] = f"{timing[-1]['global_step'] / seconds:,.0f}"
    return page.tiles(values)


def duration(seconds: float) -> str:
    """A time span as people say it: 4.2 s, 3 min 05 s, 2 h 07 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _learning_lines(rows: Sequence[Mapping[str, Any]]) -> list[figures.Line]:
    lines = []
    steps, training = curve(rows, "train/episode_return")
    if len(steps):
        thin = [(steps, training)]
        lines.append(figures.Line("training episodes, smoothed", (steps, smoothed(training)), thin=thin))
    evaluations = curve(rows, "eval/return")
    if len(evaluations[0]):
        lines.append(figures.Line("greedy evaluation", evaluations, points=True))
    return lines


def _learning_curve(run: Run, lines: Sequence[figures.Line], width_inches: float) -> Figure:
    title = f"{run.config['agent'].upper()} on {run.config['env']}, seed {run.config['seed']}"
    return figures.learning_curve(lines, title=title, width_inches=width_inches)


def _learning_card(run: Run, lines: Sequence[figures.Line]) -> str:
    svg = figures.inline_svg(
        lambda width: _learning_curve(run, lines, width),
        name="learning",
        description=f"episode return over environment steps: {', '.join(line.label for line in lines)}",
    )
    return page.card(svg)


def _result(run: Run, evaluation: Mapping[str, Any], returns: Sequence[float], video: Path | None) -> str:
    array = np.asarray(returns, dtype=np.float64)
    values = {
        "episodes": len(array),
        "mean return": f"{array.mean():,.2f}",
        "standard deviation": f"{array.std():,.2f}",
        "lowest": f"{array.min():,.2f}",
        "highest": f"{array.max():,.2f}",
    }
    if "length_mean" in evaluation:
        values["mean length in steps"] = f"{evaluation['length_mean']:,.1f}"
    values |= {name: evaluation[name] for name in ("checkpoint", "seed") if name in evaluation}
    svg = figures.inline_svg(
        lambda _: figures.histogram(
            returns, title="Returns of the evaluation", x_label="episode return", width_inches=figures.NARROW_INCHES
        ),
        name="returns",
        description="how often each return came in the evaluation",
    )
    picture = page.card(svg)
    if video is None:
        return f'<div class="pair">{page.card(page.facts(values))}{picture}</div>'
    halves = [dict(half) for half in np.array_split(np.array(list(values.items()), dtype=object), 2)]
    numbers = "".join(f"<section>{page.facts(half)}</section>" for half in halves)
    return f'<div class="pair">{film_card(run, video)}{picture}</div>{page.card(f"""<div class="columns">{numbers}</div>""")}'


def film_card(run: Run, video: Path) -> str:
    """The film by its path from the page, so that the run's folder can be moved as a whole."""
    source = page.text(quote(Path(os.path.relpath(video, run.path)).as_posix()))
    if video.suffix.lower() == ".gif":
        film = f'<img src="{source}" alt="the agent at work">'
    else:
        film = f'<video src="{source}" controls loop muted playsinline preload="auto"></video>'
    return page.card(film, f'<p class="note">{source}</p>')


def _commands(run: Run) -> str:
    reference = shlex.quote(run.name if (RUNS / run.name).resolve() == run.path.resolve() else str(run.path))
    commands = {
        "Watch it, in a window or as a film": f"keel watch {reference}",
        "Measure the best checkpoint on fresh episodes": f"keel evaluate {reference} --episodes 100",
        "Compare it with other runs": f"keel compare {reference} OTHER_RUN",
    }
    if run.environment().get("resume") != "none":
        further = f"keel resume {reference} --total-steps {_twice_the_steps(run)}"
        commands["Train it further, from the last checkpoint"] = further
    pairs = "".join(
        f"<dt>{page.text(what)}</dt><dd><pre>{page.text(line)}</pre></dd>" for what, line in commands.items()
    )
    return f"<dl>{pairs}</dl>"


def _twice_the_steps(run: Run) -> str:
    steps = run.config.get("training", {}).get("total_steps")
    return str(2 * steps) if isinstance(steps, int) else "STEPS"


SHORT_GROUP = 4  # settings of a group within settings that still stand in one line


def settings_table(run: Run) -> str:
    """All settings, a section for each group of them."""
    sections: dict[str, dict[str, Any]] = {}
    for name, values in run.config.items():
        if isinstance(values, dict):
            groups = {key: part for key, part in values.items() if isinstance(part, dict) and len(part) > SHORT_GROUP}
            sections[name] = {key: part for key, part in values.items() if key not in groups}
            sections |= groups
    parts = [f"<section><h3>{page.text(name)}</h3>{page.facts(values)}</section>" for name, values in sections.items()]
    return f'<div class="columns">{"".join(parts)}</div>'


def provenance_line(run: Run) -> str:
    environment = run.environment()
    environment.pop("created_unix_seconds", None)
    if isinstance(command := environment.get("command"), list):
        environment["command"] = shlex.join(command)
    versions = environment.pop("versions", {})
    plain = f"<section><h3>machine</h3>{page.facts(environment)}</section>"
    return f'<div class="columns">{plain}<section><h3>versions</h3>{page.facts(versions)}</section></div>'
