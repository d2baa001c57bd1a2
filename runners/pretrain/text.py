"""What a text classifier is worth, for its run's page: on the held-out texts and nothing else."""

from __future__ import annotations

from keel.networks.pretraining import audit
from keel.networks.pretraining.learner import Supervised
from keel.networks.pretraining.tokenizer import Tokenizer
from keel.runners import page
from keel.runners.pretrain.images import classifier_parts
from keel.runners.run import Run

WORST = 8  # mistakes in the table
SHOWN_CHARACTERS = 360  # of each, from its end: reviews end with their verdict
VOCABULARY = "vocabulary.json"


def report(learner: Supervised, run: Run) -> list[str]:
    """Parts of the page: confusions, accuracy by class and by length, calibration, the worst mistakes.

    Also writes the vocabulary into the run's folder: without it the network's ids mean nothing.
    """
    split, classes = learner.data.test, learner.data.classes
    tokenizer = Tokenizer(tuple(learner.data.details["words"]))
    tokenizer.save(run.path / VOCABULARY)
    probability = audit.probabilities(learner.predict(split.inputs))
    predicted = probability.argmax(axis=1)
    rows = [
        [
            classes[split.targets[row]],
            f"{classes[predicted[row]]} ({probability[row, predicted[row]]:.0%})",
            ending(tokenizer.decode(split.inputs[row])),
        ]
        for row in audit.worst_mistakes(probability, split.targets, WORST)
    ]
    validation = learner.data.validation
    temperature = audit.temperature(learner.predict(validation.inputs), validation.targets)
    parts = classifier_parts(probability, split.targets, classes, split.groups, temperature)
    listed = page.table(["what it is", "taken for", "how it ends"], rows, labels=3) if rows else "<p>There is none.</p>"
    return [*parts, "<h2>Worst mistakes</h2>", page.card(listed)]


def ending(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"… {text[-SHOWN_CHARACTERS:]}"
