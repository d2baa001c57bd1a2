"""What an image classifier is worth, for its run's page: on the held-out test data and nothing else."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np

from keel.envs.protocol import Array
from keel.networks.pretraining import audit
from keel.networks.pretraining.learner import Supervised
from keel.runners import page
from keel.runners.figures import inline_svg
from keel.runners.pretrain.figures import MOST_CLASSES, confusion_figure, reliability_figure, served_figure
from keel.runners.run import Run

WORST = 24  # mistakes in the gallery
CONFUSIONS = 8  # pairs of classes in the table


def report(learner: Supervised, run: Run) -> list[str]:
    """Parts of the page: what is taken for what, who is served how well, calibration, and the worst mistakes."""
    split, classes, validation = learner.data.test, learner.data.classes, learner.data.validation
    probability = audit.probabilities(learner.predict(split.inputs))
    temperature = audit.temperature(learner.predict(validation.inputs), validation.targets)
    parts = classifier_parts(probability, split.targets, classes, split.groups, temperature)
    worst = audit.worst_mistakes(probability, split.targets, WORST)
    predicted = probability.argmax(axis=1)
    captions = [
        f"{classes[split.targets[i]]}, taken for {classes[predicted[i]]} ({probability[i, predicted[i]]:.0%})"
        for i in worst
    ]
    count = int((predicted != split.targets).sum())
    note = f"{len(worst)} of {count} wrong answers, the most confident first." if count else "There is none."
    gallery_part = [gallery(split.inputs[worst], captions)] if len(worst) else []
    return [*parts, "<h2>Worst mistakes</h2>", page.card(f"<p class='note'>{note}</p>", *gallery_part)]


def classifier_parts(
    probability: Array,
    labels: Array,
    classes: Sequence[str],
    groups: Array | None = None,
    temperature: float | None = None,
) -> list[str]:
    """Parts of the page that fit any classifier.

    Args: probability [N K]; labels [N] of K `classes`; groups [N] str: whom each example belongs to, where it is known;
        temperature: `audit.temperature` of the validation data, to show what it would mend.
    """
    predicted = probability.argmax(axis=1)
    correct = predicted == labels
    counts = audit.confusion(labels, predicted, len(classes))
    names = np.array(classes)[labels]
    parts = ["<h2>What is taken for what</h2>", *_confusion(counts, classes)]
    parts += ["<h2>Accuracy of each class</h2>", *_served(correct, names, "class")]
    if groups is not None:
        parts += ["<h2>Accuracy of each group</h2>", *_served(correct, groups, "group")]
    return [*parts, "<h2>Is its confidence meant?</h2>", _calibration(probability, correct, temperature)]


def _confusion(counts: Array, classes: Sequence[str]) -> list[str]:
    off = counts - np.diag(np.diag(counts))
    order = np.argsort(-off, axis=None, kind="stable")[:CONFUSIONS]
    pairs = [(row, column) for row, column in zip(*np.unravel_index(order, off.shape), strict=True) if off[row, column]]
    rows = [
        [classes[row], classes[column], f"{off[row, column]}", f"{100 * off[row, column] / counts[row].sum():.1f} %"]
        for row, column in pairs
    ]
    header = ["what it is", "taken for", "times", "of its class"]
    listed = page.card(page.table(header, rows, labels=2)) if rows else page.card("<p>No mistake at all.</p>")
    if len(classes) > MOST_CLASSES:
        return [listed]
    svg = inline_svg(
        lambda width: confusion_figure(counts, classes, width),
        name="confusion",
        description="the confusion matrix: rows are what it was, columns what it was taken for",
    )
    return [f'<div class="pair">{page.card(svg)}{listed}</div>']


def _served(correct: Array, groups: Array, what: str) -> list[str]:
    served = audit.by_group(correct, groups)[: 2 * MOST_CLASSES]
    worse = [group.name for group in served if group.worse]
    words = (
        f"Served worse than the rest: {', '.join(worse)} (the whole 95 % interval lies below the accuracy of the others)."
        if worse
        else f"No {what} is served worse than the rest: each 95 % interval reaches the accuracy of the others."
    )
    svg = inline_svg(
        lambda width: served_figure(served, float(correct.mean()), width),
        name=f"served-{what}",
        description=f"accuracy of each {what} with Wilson intervals of 95 %",
    )
    return [page.card(f"<p>{page.text(words)}</p>", svg)]


def _calibration(probability: Array, correct: Array, temperature: float | None) -> str:
    confidence = probability.max(axis=1)
    bins = audit.reliability(confidence, correct)
    values = {
        "accuracy": f"{100 * correct.mean():.2f} %",
        "mean confidence": f"{100 * confidence.mean():.2f} %",
        "expected calibration error": f"{100 * audit.expected_calibration_error(bins):.2f} %",
    }
    if temperature is not None:
        scaled = audit.probabilities(np.log(np.maximum(probability, 1e-300)) / temperature).max(axis=1)
        after = audit.expected_calibration_error(audit.reliability(scaled, correct))
        values["temperature that fits the validation data"] = f"{temperature:.2f}"
        values["expected calibration error with it"] = f"{100 * after:.2f} %"
    svg = inline_svg(
        lambda width: reliability_figure(bins, width),
        name="reliability",
        description="how often answers of each confidence are right; on the diagonal confidence is meant",
    )
    return f'<div class="pair">{page.card(svg)}{page.card(page.facts(values))}</div>'


def gallery(images: Sequence[Array] | Array, captions: Sequence[str], least_pixels: int = 90) -> str:
    """Images uint8 [N C H W] side by side, each with its caption."""
    grid = f"display:grid;grid-template-columns:repeat(auto-fill,minmax({least_pixels}px,1fr));gap:.75rem"
    cells = "".join(
        f'<figure style="margin:0"><img style="image-rendering:pixelated" alt="{page.text(caption)}" '
        f'src="data:image/png;base64,{base64.b64encode(png(image)).decode()}">'
        f'<figcaption class="note">{page.text(caption)}</figcaption></figure>'
        for image, caption in zip(images, captions, strict=True)
    )
    return f'<div style="{grid}">{cells}</div>'


def png(image: Array) -> bytes:
    """uint8 [C H W] with C 1 or 3 as a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(buffer, "PNG")
    return buffer.getvalue()
