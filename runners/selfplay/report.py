"""The page of a training by self-play: how strong it became, how it got there, and what a game of it looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keel.envs.seeding import derive_seed
from keel.runners import figures, page
from keel.runners.arena.elo import Ratings, Results, rate
from keel.runners.files import write_text
from keel.runners.report import duration, film_card, provenance_line, settings_table
from keel.runners.run import Run
from keel.runners.seed_statistics import curve
from keel.runners.selfplay.console import SCORE
from keel.runners.watch.games import watch_games

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keel.runners.selfplay.trainer import SelfPlayResult, SelfPlayTrainer


def film(trainer: SelfPlayTrainer) -> Path | None:
    """Two games of the best network against itself as a video; None where there is none, or the board cannot be drawn."""
    if trainer.best is None:
        return None
    player = trainer.player(*trainer.best)
    path = trainer.folder.videos / f"{trainer.best[0].replace(' ', '-')}.mp4"
    try:
        watch_games(trainer.game, player, player, seed=derive_seed(trainer.settings.seed, "video"), video=path)
    except Exception as error:  # noqa: BLE001 whatever drawing does, the training is done and shall be reported
        trainer.console.message(f"no film: {error}")
        return None
    trainer.rows.video(trainer.learner.moves, path)
    return path


def write_selfplay_report(
    run: Run, results: Results, result: SelfPlayResult, video: Path | None, anchor: str | None
) -> Path:
    """Write report.html, strength.png and learning_curve.png into the run's folder. `anchor`: whose rating is 0."""
    rows = run.metrics()
    body = [page.tiles(_tiles(result))]
    if results.players:
        ratings = rate(results, anchor)
        body += ["<h2>Strength</h2>", _strength(run, rows, ratings), page.card(_met(results, ratings))]
    if any("loss/policy" in row for row in rows):
        body += ["<h2>Learning</h2>", _learning(run, rows)]
    commands = page.card(_commands(run))
    if video is None:
        body += ["<h2>Go on</h2>", commands]
    else:
        body += ["<h2>Games against itself</h2>", f'<div class="pair">{film_card(run, video)}{commands}</div>']
    body += ["<h2>Settings</h2>", page.card(settings_table(run))]
    body += ["<h2>Machine and versions</h2>", page.card(provenance_line(run))]
    title = f"AlphaZero plays {run.config['env'].replace('_', ' ')}"
    write_text(run.path / "report.html", page.page(title, body, subtitle=f"{run.name} · seed {run.config['seed']}"))
    return run.path / "report.html"


def _tiles(result: SelfPlayResult) -> dict[str, str]:
    values = {}
    if result.elo is not None and result.elo_interval is not None:
        low, high = result.elo_interval
        values[f"Elo of the best network ({low:.0f} to {high:.0f})"] = f"{result.elo:.0f}"
    values["games against itself"] = f"{result.games:,}"
    values["moves"] = f"{result.moves:,}"
    values["training time"] = duration(result.training_seconds)
    if result.training_seconds > 0:
        values["moves per second, learning included"] = f"{result.moves / result.training_seconds:,.0f}"
    return values


def _strength(run: Run, rows: Sequence[Mapping[str, Any]], ratings: Ratings) -> str:
    evaluated = [row for row in rows if any(name.startswith(SCORE) for name in row)]
    figures.save_png(strength(evaluated), run.path / "strength.png")
    svg = figures.inline_svg(
        lambda width: strength(evaluated, width), name="strength", description="Elo and scores over moves of self-play"
    )
    note = (
        f"Ratings as they were when the network was evaluated, with their 95 % intervals; {ratings.anchor} is at 0. An "
        "evaluation's games begin with four moves by lot, every opening with both colours."
    )
    return page.card(svg, f'<p class="note">{page.text(note)}</p>')


def strength(rows: Sequence[Mapping[str, Any]], width_inches: float = figures.WIDE_INCHES) -> Figure:
    """Elo with its interval, and the scores against each opponent, over moves of self-play."""
    names = sorted({name for row in rows for name in row if name.startswith(SCORE)})
    with figures.house_style():
        figure, (upper, lower) = figures.panels("Strength", 2, width_inches)
        steps, elo = curve(rows, "eval/elo")
        upper.fill_between(steps, curve(rows, "eval/elo_low")[1], curve(rows, "eval/elo_high")[1], alpha=0.18, lw=0)
        upper.plot(steps, elo, marker=".", color=figures.PALETTE[0])
        upper.set_ylabel("Elo")
        for place, name in enumerate(names):
            steps, scores = curve(rows, name)
            label = name.removeprefix(SCORE).replace("best", "the best so far")
            lower.plot(steps, 100.0 * scores, marker=".", color=figures.PALETTE[place % 7], label=f"against {label}")
        lower.set(ylabel="points, %", ylim=(-3, 103))
        lower.legend(fontsize=8, loc="best")
        lower.set_xlabel("moves of self-play")
        lower.xaxis.set_major_formatter(lambda value, _: figures.short_number(value))
        return figure


def _met(results: Results, ratings: Ratings) -> str:
    rows = []
    for name in ratings.ranking():
        elo, (low, high) = ratings.of(name)
        tally = results.tally(name)
        interval = "–" if name == ratings.anchor else f"{low:.0f} to {high:.0f}"
        rows.append([name, f"{elo:.0f}", interval, str(tally.games), f"{100 * tally.score:.0f} %"])
    return page.table(["player", "Elo", "95 % interval", "games", "points"], rows)


LOSSES = {"loss/policy": "policy: cross-entropy", "loss/value": "value: squared error"}


def losses(rows: Sequence[Mapping[str, Any]], width_inches: float = figures.WIDE_INCHES) -> Figure:
    """The losses, and the least that the policy's could be, over moves of self-play."""
    with figures.house_style():
        figure, axes = figures.panels("Learning", len(LOSSES), width_inches)
        for axis, (name, label) in zip(axes, LOSSES.items(), strict=True):
            axis.plot(*curve(rows, name), color=figures.PALETTE[0], label=label)
            if name == "loss/policy":
                axis.plot(*curve(rows, "policy/target_entropy"), color=figures.PALETTE[1], label="its targets' entropy")
            axis.legend(fontsize=8, loc="best")
            axis.set_ylabel("loss")
        axes[-1].set_xlabel("moves of self-play")
        axes[-1].xaxis.set_major_formatter(lambda value, _: figures.short_number(value))
        return figure


def _learning(run: Run, rows: Sequence[Mapping[str, Any]]) -> str:
    figures.save_png(losses(rows), run.path / "learning_curve.png")
    return page.card(
        figures.inline_svg(
            lambda width: losses(rows, width), name="losses", description="losses over moves of self-play"
        )
    )


def _commands(run: Run) -> str:
    commands = {
        "Play against it": f"keel play {run.config['env']} --run {run.path}",
        "Watch it play itself": f"keel watch {run.path}",
        "Let it meet others": f"keel arena {run.path} one_ply random OTHER_RUN",
    }
    pairs = "".join(
        f"<dt>{page.text(what)}</dt><dd><pre>{page.text(line)}</pre></dd>" for what, line in commands.items()
    )
    return f"<dl>{pairs}</dl>"
