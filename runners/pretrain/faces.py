"""What a pair of networks has learnt to draw: sheets of samples while it learns, and its run's page."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keel.envs.protocol import Array
from keel.networks.pretraining import audit
from keel.networks.pretraining.faces import DCGAN, JUDGED, distance, drawing_score
from keel.runners import page
from keel.runners.pretrain.images import gallery, png
from keel.runners.run import Run

SHEET_SIDE = 8  # images a side
COMPARED = 8  # samples beside the training images that are nearest to them
STAGES = 6  # sheets of the page that show how it learnt


def after_epoch(learner: DCGAN, run: Run, epoch: int) -> None:
    """A sheet of samples every few epochs, always of the same noise, so that one can see it learn."""
    every = learner.config.sheet_every
    if every and (epoch % every == 0 or epoch == 1):
        folder = run.path / "samples"
        folder.mkdir(exist_ok=True)
        (folder / f"epoch-{epoch:06d}.png").write_bytes(png(sheet(learner.draw(SHEET_SIDE**2, "sheet"))))


def report(learner: DCGAN, run: Run) -> list[str]:
    """Parts of the page: what it draws, how it came to that, what the judge thinks, and whether it only remembers."""
    drawn = learner.draw(SHEET_SIDE**2, "sheet")
    (run.path / "samples").mkdir(exist_ok=True)
    (run.path / "samples" / "best.png").write_bytes(png(sheet(drawn)))
    parts = [
        "<h2>What it draws</h2>",
        page.card(gallery([sheet(drawn)], ["best epoch, noise that chose nothing"], 320)),
    ]
    if stages := _stages(run.path / "samples"):
        parts += ["<h2>How it came to that</h2>", page.card(_pictures(stages))]
    return [*parts, "<h2>What it is worth</h2>", _worth(learner), "<h2>Does it only remember?</h2>", _nearest(learner)]


def sheet(images: Array) -> Array:
    """Images uint8 [N C H W], N a square, as one [C H W]."""
    side = round(len(images) ** 0.5)
    count, colours, height, width = images.shape
    rows = images.reshape(side, count // side, colours, height, width).transpose(2, 0, 3, 1, 4)
    return rows.reshape(colours, side * height, count // side * width)


def _stages(folder: Path) -> list[Path]:
    sheets = sorted(folder.glob("epoch-*.png"))
    places = np.unique(np.linspace(0, len(sheets) - 1, min(STAGES, len(sheets))).round().astype(int))
    return [sheets[place] for place in places]


def _pictures(files: list[Path]) -> str:
    grid = "display:grid;grid-template-columns:repeat(auto-fill,minmax(220px,1fr));gap:.75rem"
    cells = "".join(
        f'<figure style="margin:0"><img style="image-rendering:pixelated" alt="samples" src="samples/{file.name}">'
        f'<figcaption class="note">after epoch {int(file.stem.removeprefix("epoch-"))}</figcaption></figure>'
        for file in files
    )
    return f'<div style="{grid}">{cells}</div>'


def _worth(learner: DCGAN) -> str:
    """The same measures of drawn and of real images, which are the best that can be."""
    drawn, real = learner.draw(JUDGED, "test"), learner.data.test.inputs
    rows = [["distance of pixels (Fréchet, 0 is best)", f"{distance(drawn, real):.3f}", "0"]]
    words = "Distance to the held-out images."
    if learner.judge is not None:
        scores = [drawing_score(audit.probabilities(learner.judge.predict(images))) for images in (drawn, real)]
        names = {
            "confidence": "the judge's mean confidence",
            "spread": "spread over the classes",
            "score": "both in one (inception score / classes)",
        }
        rows += [[text, *(f"{score[name]:.3f}" for score in scores)] for name, text in names.items()]
        accuracy = learner.judge.evaluate("test")["accuracy"]
        words = (
            f"The judge, a classifier of the same data, names {100 * accuracy:.1f} % of the held-out images rightly."
        )
    table = page.table(["measure", "drawn", "held-out images"], rows)
    return page.card(f"<p>{words} {len(drawn)} drawn images, {len(real)} held-out ones.</p>", table)


def _nearest(learner: DCGAN) -> str:
    drawn = learner.draw(COMPARED, "nearest")
    known = learner.data.train.inputs.reshape(len(learner.data.train), -1).astype(np.float32)
    flat = drawn.reshape(len(drawn), -1).astype(np.float32)
    nearest = [int(np.argmin(((known - image) ** 2).sum(axis=1))) for image in flat]
    pairs = [image for i, j in enumerate(nearest) for image in (drawn[i], learner.data.train.inputs[j])]
    note = "Each drawn image, and beside it the training image whose pixels are nearest: they should be alike, not the same."
    return page.card(f'<p class="note">{note}</p>', gallery(pairs, ["drawn", "nearest"] * len(drawn), 80))
