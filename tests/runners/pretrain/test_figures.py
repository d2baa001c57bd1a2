"""What is drawn and told of a classifier is what the numbers say."""

from __future__ import annotations

import base64
import io
import re
import statistics

import numpy as np
from PIL import Image

from keel.networks.pretraining import audit
from keel.networks.pretraining.data import Data, Split
from keel.runners.benchmarks import pretrain_images as benchmark
from keel.runners.pretrain.faces import sheet
from keel.runners.pretrain.figures import confusion_figure, reliability_figure, served_figure
from keel.runners.pretrain.images import classifier_parts, gallery

LABELS = np.repeat([0, 1, 2], [50, 40, 10])
PREDICTED = np.concatenate([np.repeat(0, 50), np.repeat([1, 2], [20, 20]), np.repeat(2, 10)])
PROBABILITY = np.full((100, 3), 0.1) + 0.7 * np.eye(3)[PREDICTED]
CLASSES = ("ant", "bee", "cat")


def test_the_matrix_shows_every_count_that_is_not_zero() -> None:
    figure = confusion_figure(audit.confusion(LABELS, PREDICTED, 3), CLASSES)
    (axis,) = figure.axes
    shown = {(int(y), int(x)): text.get_text() for text in axis.texts for x, y in [text.get_position()]}
    assert shown == {(0, 0): "50", (1, 1): "20", (1, 2): "20", (2, 2): "10"}


def test_the_figures_follow_their_numbers() -> None:
    served = audit.by_group(PREDICTED == LABELS, np.array(CLASSES)[LABELS])
    (axis,) = served_figure(served, 0.8).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["bee (n 40)", "ant (n 50)", "cat (n 10)"]
    assert axis.lines[1].get_xdata()[0] == 50
    upper, lower = reliability_figure(audit.reliability(PROBABILITY.max(axis=1), PREDICTED == LABELS)).axes
    assert np.allclose(upper.lines[1].get_xydata(), [[0.8, 0.8]])
    assert sum(bar.get_height() for bar in lower.patches) == 100


def test_the_page_names_who_is_served_worse_and_what_is_confused() -> None:
    groups = np.where(np.arange(100) % 2 == 0, "even", "odd")
    page = "\n".join(classifier_parts(PROBABILITY, LABELS, CLASSES, groups, temperature=1.0))
    assert "Served worse than the rest: bee" in page
    assert "No group is served worse than the rest" in page
    assert re.search(r"bee</td>.*cat</td>.*>20</td>.*50\.0 %", page)
    assert "expected calibration error" in page
    assert "80.00 %" in page  # accuracy and mean confidence alike


def test_a_gallery_holds_the_images_themselves() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 4), dtype=np.uint8)
    html = gallery(images, ["a <b>", "c"])
    assert "a &lt;b&gt;" in html
    found = [base64.b64decode(code) for code in re.findall(r"base64,([^\"]+)", html)]
    assert [np.asarray(Image.open(io.BytesIO(png))).tolist() for png in found] == images.transpose(0, 2, 3, 1).tolist()


def test_a_sheet_lays_images_out_row_by_row() -> None:
    images = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 2, 2), np.uint8)
    assert sheet(images).tolist() == [[[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]]


def test_the_benchmark_takes_as_many_of_each_class_as_can_be() -> None:
    split = Split(np.arange(100)[:, None, None, None] * np.ones((1, 1, 2, 2)), np.arange(100) % 4)
    data = Data("x", "made up", False, split, split, split, tuple("abcd"))
    part = benchmark.some(data, 20, seed=1)
    assert np.bincount(part.train.targets).tolist() == [5, 5, 5, 5]
    assert part.test is data.test
    assert (benchmark.some(data, 20, seed=2).train.inputs != part.train.inputs).any()
    assert benchmark.some(data, 100, seed=1) is data


def test_the_benchmark_tells_its_means() -> None:
    points = [("digits", 0.98), ("digits", 0.99)]
    rows = [
        {"task": task, "learner": "CNN", "seed": seed, "accuracy": accuracy, "test_examples": 100, "seconds": 1.0}
        for seed, (task, accuracy) in enumerate(points)
    ]
    curve = [
        {"learner": name, "images": size, "accuracy": accuracy, "seed": seed, "seconds": 1.0}
        for name, size, values in (
            ("CNN", 50, (0.6, 0.8)),
            ("CNN", 100, (0.9, 0.9)),
            ("forest", 50, (0.5, 0.5)),
            ("forest", 100, (0.7, 0.7)),
        )
        for seed, accuracy in enumerate(values)
    ]
    result = {"rows": rows, "curve": curve}
    table = benchmark.table(result)
    assert f"| digits, CNN | 98.5 | {100 * statistics.mean([0.98, 0.99]):.2f} | 98.00 … 99.00 |" in table
    assert "| CNN | 70.0 | 90.0 |" in table
    (figure,) = benchmark.figures(result).values()
    drawn = [line.get_ydata() for line in figure.axes[0].lines]
    assert np.allclose(drawn, [[30, 10], [50, 30]])
