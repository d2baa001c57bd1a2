"""Splits are fair and fixed, every kind of folder is read as it is, and what is missing is refused and never replaced."""

from __future__ import annotations

import gzip
import io
import json
import struct
import time
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from keel.networks.pretraining import data
from keel.networks.pretraining.data import Data, Split
from keel.networks.pretraining.image_data import load_images


def pictures(count: int, colours: int = 1, side: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, colours, side, side), dtype=np.uint8)


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def write_parquet(
    path: Path, images: np.ndarray, labels: list, names: list[str] | None = None, **columns: list
) -> None:
    table = pyarrow.table(
        {"image": [{"bytes": png(image), "path": None} for image in images], "label": labels, **columns}
    )
    if names is not None:
        told = json.dumps({"info": {"features": {"label": {"names": names}}}})
        table = table.replace_schema_metadata({"huggingface": told})
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(table, path)


def write_idx(folder: Path, stem: str, images: np.ndarray, labels: np.ndarray, *, zipped: bool = False) -> None:
    head = struct.pack(">IIII", 0x803, len(images), *images.shape[2:])
    files = {
        "images-idx3-ubyte": head + images.tobytes(),
        "labels-idx1-ubyte": struct.pack(">II", 0x801, len(labels)) + labels.astype(np.uint8).tobytes(),
    }
    for name, content in files.items():
        path = folder / (f"{stem}-{name}" + (".gz" if zipped else ""))
        path.write_bytes(gzip.compress(content) if zipped else content)


def test_parts_have_their_fractions_of_every_class_and_share_nothing() -> None:
    labels = np.random.default_rng(1).permutation(np.repeat([0, 1, 7], [100, 50, 10]))
    parts = data.stratified(labels, (0.7, 0.1, 0.2))
    assert [np.bincount(labels[part], minlength=8)[[0, 1, 7]].tolist() for part in parts] == [
        [70, 35, 7],
        [10, 5, 1],
        [20, 10, 2],
    ]
    assert sorted(np.concatenate(parts).tolist()) == list(range(160))
    again = data.stratified(labels, (0.7, 0.1, 0.2))
    assert all((a == b).all() for a, b in zip(parts, again, strict=True))
    assert any((a != b).any() for a, b in zip(parts, data.stratified(labels, (0.7, 0.1, 0.2), seed=1), strict=True))


def test_small_classes_do_not_starve_a_part() -> None:
    labels = np.repeat(np.arange(12), 4)
    train, validation, test = data.stratified(labels, (0.7, 0.1, 0.2))
    assert (len(train), len(validation), len(test)) == (34, 4, 10)
    assert sorted(np.concatenate([train, validation, test]).tolist()) == list(range(48))


def test_a_split_that_the_source_brings_is_kept() -> None:
    inputs = np.arange(100)[:, None]
    given = {"train": Split(inputs[:80], np.arange(80) % 2), "test": Split(inputs[80:], np.arange(20) % 2)}
    train, validation, test = data.three_splits(given)
    assert test is given["test"]
    assert (len(train), len(validation)) == (72, 8)
    assert sorted(np.concatenate([train.inputs, validation.inputs]).flatten().tolist()) == list(range(80))
    with pytest.raises(ValueError, match="no training split, only test"):
        data.three_splits({"test": given["test"]})


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-00000-of-00001.parquet", "train"),
        ("t10k-images-idx3-ubyte.gz", "test"),
        ("validation_0.parquet", "validation"),
        ("val", "validation"),
        ("contest.parquet", "train"),
        ("anything", "train"),
    ],
)
def test_names_tell_the_split(name: str, split: str) -> None:
    assert data.split_of(Path(name)) == split


def test_the_fingerprint_changes_with_any_number() -> None:
    split = Split(np.zeros((2, 3), np.uint8), np.zeros(2, np.int64))
    other = Split(np.array([[0, 0, 0], [0, 0, 1]], np.uint8), np.zeros(2, np.int64))
    same, changed = (Data("x", "y", False, part, split, split) for part in (split, other))
    assert same.fingerprint() == Data("z", "y", True, split, split, split).fingerprint() != changed.fingerprint()
    assert json.loads(json.dumps(same.about())) == same.about()


def test_an_empty_split_is_refused() -> None:
    split, empty = Split(np.zeros((2, 3)), np.zeros(2)), Split(np.zeros((0, 3)), np.zeros(0))
    with pytest.raises(ValueError, match="no examples to test"):
        Data("x", "folder", False, split, split, empty)


def test_parquet_with_names_and_groups(tmp_path: Path) -> None:
    images = pictures(40)
    labels = [number % 2 for number in range(40)]
    groups = ["left" if number % 4 < 2 else "right" for number in range(40)]
    write_parquet(
        tmp_path / "data" / "train-00000-of-00002.parquet", images[:20], labels[:20], ["cat", "dog"], group=groups[:20]
    )
    write_parquet(
        tmp_path / "data" / "train-00001-of-00002.parquet", images[20:], labels[20:], ["cat", "dog"], group=groups[20:]
    )
    write_parquet(
        tmp_path / "data" / "test-00000-of-00001.parquet", images[:6], labels[:6], ["cat", "dog"], group=groups[:6]
    )
    found = load_images("images", tmp_path)
    assert found.classes == ("cat", "dog")
    assert not found.is_sample
    assert (len(found.train), len(found.validation), len(found.test)) == (36, 4, 6)
    assert (found.test.inputs == images[:6]).all()
    assert found.test.targets.tolist() == labels[:6]
    assert found.test.groups.tolist() == groups[:6]


def test_parquet_with_words_for_labels_and_plain_bytes(tmp_path: Path) -> None:
    images, labels = pictures(30, colours=3), ["b", "a", "c"] * 10
    table = pyarrow.table({"img": [png(image) for image in images], "label": labels})
    pyarrow.parquet.write_table(table, tmp_path / "all.parquet")
    found = load_images("images", tmp_path)
    assert found.classes == ("a", "b", "c")
    assert found.shape == (3, 6, 6)
    everything = {image.tobytes(): "abc".index(label) for image, label in zip(images, labels, strict=True)}
    for split in (found.train, found.validation, found.test):
        assert [everything[image.tobytes()] for image in split.inputs] == split.targets.tolist()


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files(tmp_path: Path, zipped: bool) -> None:
    images, labels = pictures(50), np.arange(50) % 10
    write_idx(tmp_path, "train", images[:40], labels[:40], zipped=zipped)
    write_idx(tmp_path, "t10k", images[40:], labels[40:], zipped=zipped)
    found = load_images("mnist", tmp_path)
    assert (found.test.inputs == images[40:]).all()
    assert found.test.targets.tolist() == labels[40:].tolist()
    assert found.classes == tuple("0123456789")
    assert len(found.train) + len(found.validation) == 40


def test_a_folder_of_images_for_each_class(tmp_path: Path) -> None:
    images = pictures(40)
    for number, image in enumerate(images):
        path = tmp_path / ("cats", "dogs")[number % 2] / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(image))
    found = load_images("images", tmp_path)
    assert found.classes == ("cats", "dogs")
    assert (len(found.train), len(found.validation), len(found.test)) == (28, 4, 8)
    kinds = {image.tobytes(): number % 2 for number, image in enumerate(images)}
    assert [kinds[image.tobytes()] for image in found.train.inputs] == found.train.targets.tolist()
    assert load_images("images", tmp_path, side=3).shape == (1, 3, 3)


def test_faces_need_no_classes(tmp_path: Path) -> None:
    for number, image in enumerate(pictures(10, colours=3)):
        (tmp_path / f"{number}.png").write_bytes(png(image))
    found = load_images("faces", tmp_path, 8, labelled=False)
    assert found.shape == (3, 8, 8)
    assert len(found.train) == 7


def refused(folder: Path, match: str, **options: bool) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=match):
        load_images("images", folder, **options)


def test_folders_that_cannot_be_read_are_refused_by_name(tmp_path: Path) -> None:
    refused(tmp_path / "none", "none is not a folder")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "neither parquet files, nor IDX files")
    images = pictures(4)
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose" / "a.png").write_bytes(png(images[0]))
    refused(tmp_path / "loose", "a.png lies in no folder of a class")
    (tmp_path / "torn" / "x").mkdir(parents=True)
    (tmp_path / "torn" / "x" / "a.png").write_bytes(png(images[0])[:40])
    refused(tmp_path / "torn", r"a.png cannot be read as an image")
    (tmp_path / "sizes" / "x").mkdir(parents=True)
    (tmp_path / "sizes" / "x" / "a.png").write_bytes(png(images[0]))
    (tmp_path / "sizes" / "x" / "b.png").write_bytes(png(images[0][:, :4]))
    refused(tmp_path / "sizes", r"b.png is 6x4 pixels and others are 6x6: give --image-side N")


def test_files_that_cannot_be_read_are_refused_by_name(tmp_path: Path) -> None:
    images = pictures(4)
    (tmp_path / "idx").mkdir()
    write_idx(tmp_path / "idx", "train", images, np.arange(4))
    whole = (tmp_path / "idx" / "train-images-idx3-ubyte").read_bytes()
    (tmp_path / "idx" / "train-images-idx3-ubyte").write_bytes(whole[:-1])
    refused(tmp_path / "idx", "train-images-idx3-ubyte is not an IDX file .* or it is cut off")
    (tmp_path / "idx" / "train-labels-idx1-ubyte").unlink()
    refused(tmp_path / "idx", "has no labels beside it: expected train-labels-idx1-ubyte")
    write_parquet(tmp_path / "none" / "a.parquet", images, [0, 1, None, 1])
    refused(tmp_path / "none", "some examples have no label")
    (tmp_path / "columns").mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"x": [1], "label": [1]}), tmp_path / "columns" / "a.parquet")
    refused(tmp_path / "columns", "no column of images: expected image or .* found x, label")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.parquet").write_bytes(b"PAR1")
    refused(tmp_path / "broken", "a.parquet cannot be read as parquet")


def test_the_samples_are_what_they_say() -> None:
    digits, faces = load_images("digits", None), load_images("faces", None)
    assert digits.is_sample
    assert digits.title.startswith("SAMPLE DATA: 1,797 digits")
    assert (len(digits.train), len(digits.validation), len(digits.test)) == (1258, 180, 359)
    assert faces.is_sample
    assert (faces.shape, len(faces.train)) == ((1, 25, 25), 70)


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    theirs, ours = load_digits(), load_images("digits", None)
    known = {
        np.rint(image * 255 / 16).astype(np.uint8).tobytes(): label
        for image, label in zip(theirs.images, theirs.target, strict=True)
    }
    assert [known[image.tobytes()] for image in ours.test.inputs] == ours.test.targets.tolist()


def test_mnist5k_has_five_hundred_of_each() -> None:
    found = load_images("mnist5k", None)
    counts = sum(np.bincount(split.targets) for split in (found.train, found.validation, found.test))
    assert counts.tolist() == [500] * 10
    assert found.shape == (1, 28, 28)


def test_a_sample_takes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"task digits is a sample .* leave out --data-dir"):
        load_images("digits", tmp_path)


def test_without_folder_and_hub_a_task_is_refused_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    started = time.monotonic()
    with pytest.raises(FileNotFoundError, match=r"ylecun/mnist .* --data-dir DIR .* --task mnist5k"):
        load_images("mnist", None)
    assert time.monotonic() - started < 10  # with the import of datasets; without care it retries for 24 s
    with pytest.raises(FileNotFoundError, match="uoft-cs/cifar10"):
        load_images("cifar10", None)
    with pytest.raises(FileNotFoundError, match="task images needs --data-dir DIR"):
        load_images("images", None)


def test_who_asks_for_no_network_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("it went to the network"))
    assert not data.hub_answers()


def test_an_unreachable_hub_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # where nobody listens
    assert not data.hub_answers()


def test_a_missing_package_is_named_with_its_extra() -> None:
    with pytest.raises(ImportError, match=r"'no_such_package' is not installed: pip install 'keel-rl\[samples\]'"):
        data.package_file("no_such_package", "a.csv")
    with pytest.raises(FileNotFoundError, match=r"does not ship no/such\.csv"):
        data.package_file("sklearn", "no", "such.csv")


class TestSplitsBeneathAFolder:
    def test_a_file_without_words_takes_those_of_its_folder(self):
        """The layout of the hub's converted parquet files."""
        folder = Path("data")
        named = {"train/0000.parquet": "train", "test/0000.parquet": "test", "0000.parquet": "train"}
        named |= {"test/train-0.parquet": "train", "plain/validation/a.parquet": "validation"}
        for name, split in named.items():
            assert data.split_beneath(folder, folder / name) == split

    def test_two_sources_of_one_split_are_refused(self, tmp_path):
        sources = [("train", tmp_path / "train"), ("train", tmp_path / "training")]
        with pytest.raises(ValueError, match="two sources of the train split, train and training: leave one"):
            data.one_a_split(tmp_path, sources)
