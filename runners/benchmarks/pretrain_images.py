"""Image classifiers on held-out data, and whether depth pays as data grow, beside what scikit-learn has."""

from __future__ import annotations

import dataclasses
import functools
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from keel.envs.seeding import derive_seed, generator
from keel.networks.pretraining.audit import wilson
from keel.networks.pretraining.data import Data, Split, needed, stratified
from keel.networks.pretraining.image_data import load_images
from keel.networks.pretraining.images import ImagesConfig, learner, preset
from keel.runners.benchmark import markdown_table
from keel.runners.figures import PALETTE, WIDE_INCHES, house_style, short_number
from keel.runners.pretrain.command import pretrain
from keel.runners.pretrain.console import EpochConsole
from keel.runners.pretrain.settings import default_settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

GOALS = {"digits": 0.985, "mnist5k": 0.97}
SIZES = (50, 100, 200, 500, 1000, 3500)
MOST_EPOCHS = 200  # for the smallest training sets, which would need more for as many steps
CNN, PLAIN = "CNN", "CNN without augmentation"
BASELINES = ("logistic regression", "SVM, radial basis", "random forest")


def run(
    *, digits_seeds: int = 5, mnist5k_seeds: int = 3, curve_seeds: int = 3, sizes: Sequence[int] = SIZES
) -> dict[str, Any]:
    """Every row is judged on the same held-out 20 % of its task, which no choice has seen.

    Args: curve_seeds: trainings for each size of the learning curve, each on training images of its own; sizes: how
        many images.
    """
    torch.set_num_threads(1)
    tasks = {"digits": digits_seeds, "mnist5k": mnist5k_seeds}
    rows = [trained(task, seed) for task, seeds in tasks.items() for seed in range(seeds)]
    for task in tasks:
        found = load_images(task, None)
        rows += [fitted(name, found, 0) | {"task": task} for name in BASELINES]
    curve = [
        point | {"images": size}
        for size in sizes
        for seed in range(curve_seeds)
        for point in judged(some(load_images("mnist5k", None), size, seed), seed)
    ]
    return {"rows": rows, "curve": curve}


def trained(task: str, seed: int) -> dict[str, Any]:
    """The preset as `keel pretrain cnn` runs it; the best epoch on the validation data is tested."""
    settings = dataclasses.replace(default_settings("cnn", task), seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        result = pretrain(settings, run_dir=Path(folder) / "run", console=silent)
        examples = result.run.config["data"]["examples"]["test"]
    return told(
        {
            "task": task,
            "learner": CNN,
            "seed": seed,
            "accuracy": result.test["accuracy"],
            "test_examples": examples,
            "seconds": round(result.training_seconds, 1),
        }
    )


def judged(data: Data, seed: int) -> list[dict[str, Any]]:
    """All learners on the same training images. None is chosen by validation data, which would be more than it learnt."""
    whole = preset("cnn", "mnist5k")
    epochs = round(min(MOST_EPOCHS, whole.epochs * SIZES[-1] / len(data.train)))
    batch_size = max(16, min(whole.config.fit.batch_size, len(data.train) // 8))
    fit = dataclasses.replace(whole.config.fit, batch_size=batch_size)
    configs = {
        CNN: dataclasses.replace(whole.config, fit=fit),
        PLAIN: ImagesConfig(fit, whole.config.label_smoothing, whole.config.dropout),
    }
    points = []
    for name, config in configs.items():
        plan = whole._replace(config=config, epochs=epochs)
        subject = learner(data, plan, functools.partial(generator, seed), torch.device("cpu"))
        started = time.perf_counter()
        for number in range(epochs):
            subject.epoch(number)
        seconds = round(time.perf_counter() - started, 1)
        accuracy = subject.evaluate("test")["accuracy"]
        points.append(told({"learner": name, "seed": seed, "accuracy": accuracy, "seconds": seconds}))
    return points + [fitted(name, data, seed) for name in BASELINES]


def fitted(name: str, data: Data, seed: int) -> dict[str, Any]:
    """One of scikit-learn's classifiers, on the pixels from 0 to 1."""
    model = baseline(name, derive_seed(seed, "baseline"))
    started = time.perf_counter()
    model.fit(pixels(data.train), data.train.targets)
    seconds = round(time.perf_counter() - started, 1)
    accuracy = float((model.predict(pixels(data.test)) == data.test.targets).mean())
    row = {"learner": name, "seed": seed, "accuracy": accuracy, "test_examples": len(data.test), "seconds": seconds}
    return told(row)


def baseline(name: str, seed: int) -> Any:
    match name:
        case "logistic regression":
            return needed("sklearn.linear_model", "data").LogisticRegression(max_iter=2000)
        case "SVM, radial basis":
            return needed("sklearn.svm", "data").SVC(C=10.0)
    return needed("sklearn.ensemble", "data").RandomForestClassifier(500, random_state=seed)


def pixels(split: Split) -> np.ndarray[Any, Any]:
    return split.inputs.reshape(len(split), -1) / 255.0


def some(data: Data, size: int, seed: int) -> Data:
    """The same data with `size` of the training images, as many of each class as can be."""
    if not 0 < size <= len(data.train):
        raise ValueError(f"sizes has {size}: {data.name} has {len(data.train)} images to learn from")
    if size == len(data.train):
        return data
    part, _ = stratified(data.train.targets, (size, len(data.train) - size), derive_seed(seed, "images"))
    return dataclasses.replace(data, train=data.train.rows(part))


def silent(run: Any, epochs: int, score: str) -> EpochConsole:
    return EpochConsole(run, epochs, score, io.StringIO())


def told(row: dict[str, Any]) -> dict[str, Any]:
    """The row, after it was shown to whoever waits."""
    print(row, file=sys.stderr, flush=True)
    return row


def table(result: dict[str, Any]) -> str:
    """Held-out accuracy by task and learner, and accuracy by how many images were learnt."""
    lines = []
    for task, learner_ in dict.fromkeys((row["task"], row["learner"]) for row in result["rows"]):
        rows = [row for row in result["rows"] if (row["task"], row["learner"]) == (task, learner_)]
        accuracy, examples = [row["accuracy"] for row in rows], rows[0]["test_examples"]
        low, high = wilson(round(statistics.mean(accuracy) * examples), examples)
        goal = f"{100 * GOALS[task]:.1f}" if learner_ == CNN else ""
        spread = f"{100 * min(accuracy):.2f} … {100 * max(accuracy):.2f}" if len(rows) > 1 else ""
        seconds = f"{statistics.median(row['seconds'] for row in rows):.1f}"
        cells = [f"{100 * statistics.mean(accuracy):.2f}", spread, f"{100 * low:.2f} … {100 * high:.2f}"]
        lines.append([f"{task}, {learner_}", goal, *cells, str(len(rows)), seconds])
    header = ["task, learner", "wanted, %", "accuracy, %", "range over seeds", "95 % interval of the test data"]
    first = markdown_table([*header, "seeds", "training seconds, median"], lines)
    if not result["curve"]:
        return first
    sizes = list(dict.fromkeys(point["images"] for point in result["curve"]))
    second = markdown_table(
        ["accuracy on mnist5k, %, by training images", *(f"{size:,}" for size in sizes)],
        [[name, *(f"{100 * mean:.1f}" for mean, _, _ in by_size(result, name, sizes))] for name in learners(result)],
    )
    return f"{first}\n\n{second}"


def learners(result: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(point["learner"] for point in result["curve"]))


def by_size(result: dict[str, Any], name: str, sizes: Sequence[int]) -> list[tuple[float, float, float]]:
    """Mean, least and greatest accuracy at each size."""
    found = []
    for size in sizes:
        points = [p["accuracy"] for p in result["curve"] if (p["learner"], p["images"]) == (name, size)]
        found.append((statistics.mean(points), min(points), max(points)))
    return found


def figures(result: dict[str, Any]) -> dict[str, MatplotlibFigure]:
    """How many of the held-out digits are named wrongly, by how many images were learnt."""
    from matplotlib.figure import Figure

    sizes = list(dict.fromkeys(point["images"] for point in result["curve"]))
    if not sizes:
        return {}
    with house_style():
        figure = Figure(figsize=(WIDE_INCHES, 4.2), layout="constrained")
        axis = figure.subplots()
        for colour, name in zip(PALETTE, learners(result), strict=False):
            mean, low, high = (
                100 * (1 - np.array(column)) for column in zip(*by_size(result, name, sizes), strict=True)
            )
            axis.plot(sizes, mean, "o-", color=colour, markersize=4, label=name)
            axis.fill_between(sizes, high, low, color=colour, alpha=0.15, linewidth=0)
        axis.set(xscale="log", yscale="log", xlabel="training images", ylabel="wrong on held-out data, %")
        axis.set_xticks(sizes, [short_number(size) for size in sizes])
        axis.set_yticks(ticks := [1, 2, 5, 10, 20, 50], [str(tick) for tick in ticks])
        axis.minorticks_off()
        axis.legend(fontsize=8.5)
        return {"learning-curve": figure}
