"""Praise from blame in film reviews: networks with memory beside counting words, for more and more reviews to learn from."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from keel.envs.protocol import Array
from keel.networks.pretraining import audit, reviews, text
from keel.networks.pretraining.data import Data, needed, stratified
from keel.runners.benchmark import markdown_table
from keel.runners.benchmarks.pretraining import chance_of, fit
from keel.runners.figures import PALETTE, WIDE_INCHES, house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("gru", "lstm", "transformer")
BASELINES = ("TF-IDF, logistic regression", "naive Bayes")
SIZES = (500, 2_000, 8_000, 0)  # reviews to learn from; 0: all there are
LEAST_REVIEWS = 16_000  # that are read in all: where there are fewer to learn from, they are read more often
GOAL = 0.84


def run(*, sizes: Sequence[int] = SIZES, kinds: Sequence[str] = KINDS, seeds: int = 1) -> dict[str, Any]:
    """Each network's preset and each baseline on the same reviews; the test data are those of `--task reviews`."""
    torch.set_num_threads(1)
    whole = reviews.sample(None)
    rows = []
    for size in sizes:
        data = part_of(whole, size)
        rows += [baseline(name, data) for name in BASELINES]
        rows += [learn(kind, data, seed) for kind in kinds for seed in range(seeds)]
    sizes_of_splits = {name: len(whole.split(name)) for name in ("train", "validation", "test")}
    return {"source": whole.title, "examples": sizes_of_splits, "seeds": seeds, "goal": GOAL, "rows": rows}


def part_of(data: Data, size: int) -> Data:
    """The same data with `size` training texts, as many of each class; 0: all of them."""
    if not size or size >= len(data.train):
        return data
    chosen, _ = stratified(data.train.targets, (size, len(data.train) - size))
    return dataclasses.replace(data, train=data.train.rows(chosen))


def learn(kind: str, data: Data, seed: int) -> dict[str, Any]:
    """A network's preset, with more epochs where there is less to read."""
    plan = text.preset(kind, "reviews")
    plan = plan._replace(epochs=max(plan.epochs, -(-LEAST_REVIEWS // len(data.train))))
    encoded = text.encoded(data, plan.config)
    learner = text.learner(encoded, plan, chance_of(seed), torch.device("cpu"))
    before = time.process_time()
    fitted = fit(learner, plan.epochs)
    processor = time.process_time() - before
    predicted = learner.predict(encoded.test.inputs).argmax(axis=1)
    assert encoded.test.groups is not None
    return {
        **judged(kind, data, predicted),
        "seed": seed,
        "epochs": plan.epochs,
        "best_epoch": fitted.epoch,
        "seconds": round(fitted.seconds, 1),
        "processor_seconds": round(processor, 1),
        "of_length": audited(predicted == data.test.targets, encoded.test.groups),
    }


def baseline(name: str, data: Data) -> dict[str, Any]:
    """Words and pairs of words counted in whole reviews, by scikit-learn; the logistic regression's strength of
    regularisation is chosen on the validation data."""
    extraction, linear = needed("sklearn.feature_extraction.text", "data"), needed("sklearn.linear_model", "data")
    before = time.process_time()
    if name == "naive Bayes":
        counter = extraction.CountVectorizer(ngram_range=(1, 2), min_df=2, binary=True)
        candidates = [needed("sklearn.naive_bayes", "data").MultinomialNB()]
    else:
        counter = extraction.TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        candidates = [linear.LogisticRegression(C=strength, max_iter=1_000) for strength in (1.0, 10.0, 100.0)]
    train, validation = counter.fit_transform(data.train.inputs), counter.transform(data.validation.inputs)
    models = [model.fit(train, data.train.targets) for model in candidates]
    best = max(models, key=lambda model: model.score(validation, data.validation.targets))
    predicted = best.predict(counter.transform(data.test.inputs))
    return judged(name, data, predicted) | {"processor_seconds": round(time.process_time() - before, 1)}


def judged(name: str, data: Data, predicted: Array) -> dict[str, Any]:
    """Accuracy with Wilson's interval, altogether and by class."""
    correct = predicted == data.test.targets
    low, high = audit.wilson(int(correct.sum()), len(correct))
    return {
        "name": name,
        "reviews": len(data.train),
        "accuracy": float(correct.mean()),
        "interval": [low, high],
        "of_class": audited(correct, np.array(data.classes)[data.test.targets]),
    }


def audited(correct: Array, groups: Array) -> dict[str, dict[str, Any]]:
    return {served.name: served._asdict() for served in audit.by_group(correct, groups)}


def table(result: dict[str, Any]) -> str:
    """Accuracy by size, then what the networks reach on all reviews and whom they serve."""
    most = max(row["reviews"] for row in result["rows"])
    examples = result["examples"]
    parts = [
        (
            f"{result['source']}. Accuracy in percent on {examples['test']:,} held-out reviews, half of them positive, "
            f"none of which is a copy of one that was learnt from; the epoch was chosen on {examples['validation']:,} "
            f"others. The networks read at most 160 (Transformer) or 200 words of a review, the baselines all of it. One "
            f"thread, {result['seeds']} seed(s). Brackets: Wilson's 95 % interval of the test data."
        ),
        _by_size(result),
        f"## With {most:,} reviews",
        _whole(result, most),
        "## Who is served",
        _served(result, most),
    ]
    return "\n\n".join(parts)


def _names(result: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["name"] for row in result["rows"]))


def _rows(result: dict[str, Any], name: str, size: int) -> list[dict[str, Any]]:
    return [row for row in result["rows"] if row["name"] == name and row["reviews"] == size]


def _by_size(result: dict[str, Any]) -> str:
    sizes = sorted({row["reviews"] for row in result["rows"]})
    lines = []
    for name in _names(result):
        means = [[row["accuracy"] for row in _rows(result, name, size)] for size in sizes]
        lines.append([name, *(f"{100 * np.mean(values):.1f}" if values else "" for values in means)])
    return markdown_table(["reviews to learn from", *(f"{size:,}" for size in sizes)], lines)


def _whole(result: dict[str, Any], size: int) -> str:
    header = ["network or baseline", "accuracy", "95 % interval", "best epoch", "processor seconds", "goal"]
    lines = []
    for row in (row for name in _names(result) for row in _rows(result, name, size)):
        low, high = row["interval"]
        network = "best_epoch" in row
        lines.append(
            [
                row["name"] + (f", seed {row['seed']}" if network and result["seeds"] > 1 else ""),
                f"{100 * row['accuracy']:.2f}",
                f"{100 * low:.2f} … {100 * high:.2f}",
                f"{row['best_epoch']} of {row['epochs']}" if network else "",
                f"{row['processor_seconds']:.0f}",
                ("reached" if row["accuracy"] >= result["goal"] else "missed") if network else "",
            ]
        )
    return markdown_table(header, lines) + f"\n\nGoal: {100 * result['goal']:.0f} %."


def _served(result: dict[str, Any], size: int) -> str:
    """Accuracy of the first seed by class and by length; a star marks a group served worse than the rest."""
    networks = [row for name in _names(result) for row in _rows(result, name, size)[:1] if "of_length" in row]
    groups: dict[str, list[str]] = {}
    for row in networks:
        for name, served in sorted((row["of_class"] | row["of_length"]).items(), key=lambda item: _order(item[0])):
            words = f"{100 * served['accuracy']:.1f} [{100 * served['low']:.1f}, {100 * served['high']:.1f}]"
            groups.setdefault(f"{name} ({served['examples']:,})", []).append(words + (" *" if served["worse"] else ""))
    note = "A star: the whole 95 % interval lies below the accuracy of all others."
    return markdown_table(["reviews", *(row["name"] for row in networks)], [[k, *v] for k, v in groups.items()]) + (
        f"\n\n{note}"
    )


def _order(group: str) -> tuple[bool, int]:
    """Classes first, then lengths from the shortest; the longest has the name of the limit it exceeds."""
    limits = [int(word) for word in group.split() if word.isdigit()]
    return bool(limits), max(limits, default=0) + group.startswith("over")


def figures(result: dict[str, Any]) -> dict[str, Figure]:
    """Accuracy over the number of reviews to learn from."""
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(WIDE_INCHES, 3.6), layout="constrained")
        axes = figure.subplots()
        sizes = sorted({row["reviews"] for row in result["rows"]})
        for place, name in enumerate(_names(result)):
            points = [
                (size, 100 * np.mean([r["accuracy"] for r in rows]))
                for size in sizes
                if (rows := _rows(result, name, size))
            ]
            dashes = (0, (5, 2)) if name in BASELINES else "-"
            axes.plot(*zip(*points, strict=True), color=PALETTE[place], linestyle=dashes, marker="o", label=name)
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.set(xlabel="reviews to learn from", ylabel="accuracy in percent")
        axes.legend(fontsize=8.5, loc="lower right")
        return {"learning-curve": figure}
