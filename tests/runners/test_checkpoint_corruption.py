"""Damaged, cut and hostile checkpoints: each is refused with a message naming the file, and none executes anything."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from keel.runners import checkpoint, manifest, state_format
from keel.runners.checkpoint import CheckpointError

FILES = ("manifest.json", "state.json", "state.safetensors")


def seal(files: dict[str, bytes]) -> bytes:
    return manifest.seal(
        {name: manifest.Sum(len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()}
    )


@pytest.fixture
def small(tmp_path: Path) -> Path:
    state = {"weight": torch.ones(2), "count": 3, "noise": np.arange(2, dtype=np.int8)}
    return checkpoint.save(tmp_path, checkpoint.step_name(1), state, about={"agent": "ppo"})


@pytest.mark.parametrize("name", FILES)
def test_every_single_flipped_bit_is_detected(small: Path, name: str) -> None:
    file = small / name
    whole = file.read_bytes()
    for position in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << position % 8
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError) as error:
            checkpoint.load(small)
        assert str(file) in str(error.value)
        assert "damaged" in str(error.value)
        if position % 16 == 0:
            with pytest.raises(CheckpointError, match="holds no whole checkpoint"):
                checkpoint.latest(small.parent)
    file.write_bytes(whole)
    checkpoint.load(small)


def test_a_file_that_shrinks_while_it_is_read_is_refused(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_tensors = state_format.read_tensors

    def cut_and_read(fill: state_format.Fill, size: int) -> Any:
        os.truncate(small / "state.safetensors", size - 1)
        return read_tensors(fill, size)

    monkeypatch.setattr(state_format, "read_tensors", cut_and_read)
    with pytest.raises(CheckpointError, match=r"damaged: .*state\.safetensors"):
        checkpoint.load(small)


@pytest.mark.parametrize("name", FILES)
def test_every_truncation_is_detected(small: Path, name: str) -> None:
    file = small / name
    whole = file.read_bytes()
    for length in reversed(range(len(whole))):
        os.truncate(file, length)
        expected = f"{len(whole)} bytes, found {length}" if name != "manifest.json" else f"({length} bytes)"
        with pytest.raises(CheckpointError) as error:
            checkpoint.load(small)
        assert "truncated" in str(error.value)
        assert str(file) in str(error.value)
        assert expected in str(error.value)


@pytest.mark.parametrize("name", FILES)
def test_what_is_appended_is_detected(small: Path, name: str) -> None:
    with open(small / name, "ab") as file:
        file.write(b"\n")
    with pytest.raises(CheckpointError, match=name):
        checkpoint.load(small)


@pytest.mark.parametrize("name", FILES)
def test_missing_files_links_and_strangers_are_refused(small: Path, name: str) -> None:
    (small / "extra.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"unknown extra\.bin"):
        checkpoint.load(small)
    (small / "extra.bin").unlink()
    elsewhere = small.parent / name
    (small / name).rename(elsewhere)
    with pytest.raises(CheckpointError, match=name):
        checkpoint.load(small)
    (small / name).symlink_to(elsewhere)
    with pytest.raises(CheckpointError, match=f"{name} is a link or a device"):
        checkpoint.load(small)
    (small / name).unlink()
    os.mkfifo(small / name)
    with pytest.raises(CheckpointError, match=f"{name} is a link or a device"):
        checkpoint.load(small)


def test_a_link_to_a_checkpoint_is_refused(small: Path) -> None:
    link = small.parent / "step-000000000002"
    link.symlink_to(small)
    with pytest.raises(CheckpointError, match="is a link"):
        checkpoint.load(link)


def test_a_file_beyond_the_limit_is_not_read(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(manifest.MAX_BYTES, "state.safetensors", 1 << 34)
    os.truncate(small / "state.safetensors", (1 << 34) + 1)  # sparse: it takes no room
    with pytest.raises(CheckpointError, match=r"state.safetensors: 17179869185 bytes; at most 17179869184"):
        checkpoint.load(small)


def test_a_newer_format_says_so(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {name: (small / name).read_bytes() for name in ("state.json", "state.safetensors")}
    monkeypatch.setattr(manifest, "FORMAT", 2)
    (small / "manifest.json").write_bytes(seal(files))
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="format 2; this version of Keel reads format 1"):
        checkpoint.load(small)


def pickle_bomb(target: str) -> bytes:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {target}",)

    return pickle.dumps(Bomb())


def torch_bomb(target: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickle_bomb(target))
        archive.writestr("archive/version", "3\n")
    return stream.getvalue()


def sb3_bomb(target: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("data", json.dumps({"policy_class": {":serialized:": pickle_bomb(target).hex()}}))
        archive.writestr("policy.pth", torch_bomb(target))
        archive.writestr("_stable_baselines3_version", "2.9.2")
    return stream.getvalue()


def tensors_file(header: Any, data: bytes = b"", claimed: int | None = None) -> bytes:
    written = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(written) if claimed is None else claimed).to_bytes(8, "little") + written + data


def entry(begin: int, end: int, dtype: Any = "F32", shape: tuple[Any, ...] = (1,)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def one_tensor(header: Any, nbytes: int = 4) -> bytes:
    return tensors_file({"/x": header}, bytes(nbytes))


def document(state: Any, about: Any = None) -> bytes:
    return json.dumps({"about": about or {}, "state": state}).encode()


ONE = document({"x": {"$numpy": "<f4"}})
FILE_OF_ONE = tensors_file({"/x": entry(0, 4)}, b"1234")
EMPTY = tensors_file({})

# What the sealed files hold, and the words with which they are refused. The seal of each is right.
HOSTILE: dict[str, tuple[bytes, bytes, str]] = {
    "giant header": (ONE, tensors_file(b"{}", claimed=1 << 62), "the header claims"),
    "header longer than the file": (ONE, tensors_file(b"{}", claimed=99), "claims 99 bytes; at most 2"),
    "file of three bytes": (ONE, b"abc", "the header claims"),
    "deep header": (ONE, tensors_file(b"[" * 100_000), "nested deeper than 128"),
    "header is a list": (ONE, tensors_file(b"[]"), "the header must be an object"),
    "header with nan": (ONE, tensors_file(b'{"/x": NaN}'), "NaN is not JSON"),
    "repeated tensor": (
        ONE,
        tensors_file(f'{{"/x":{json.dumps(entry(0, 4))},"/x":{json.dumps(entry(0, 4))}}}'.encode(), b"1234"),
        "'/x' appears more than once",
    ),
    "overlapping tensors": (ONE, tensors_file({"/x": entry(0, 4), "/y": entry(0, 4)}, b"1234"), "invalid offset"),
    "tensor beyond the file": (ONE, tensors_file({"/x": entry(0, 400, shape=(100,))}, b"1234"), "state.safetensors"),
    "shape that overflows": (ONE, tensors_file({"/x": entry(0, 4, shape=(2**62, 4))}, b"1234"), "overflow"),
    "unknown dtype": (ONE, tensors_file({"/x": entry(0, 4, "BF16", (2,))}, b"1234"), "not a file of tensors"),
    "shape that wraps to nothing": (ONE, one_tensor(entry(0, 0, shape=(2**62,)), 0), "overflow"),
    "overflow beside a zero": (ONE, one_tensor(entry(0, 0, shape=(2**62, 4, 0)), 0), "overflow"),
    "shape beyond 64 bits": (ONE, one_tensor(entry(0, 4, shape=(2**64,))), "shape must be"),
    "negative lengths": (ONE, one_tensor(entry(0, 4, shape=(-1, -1))), "shape must be"),
    "65 dimensions": (ONE, one_tensor(entry(0, 4, shape=(1,) * 65)), "shape must be"),
    "a length that is true": (ONE, one_tensor(entry(0, 4, shape=(True,))), "shape must be"),
    "a length with a point": (ONE, one_tensor(entry(0, 4, shape=(1.0,))), "shape must be"),
    "shape that does not fit": (ONE, one_tensor(entry(0, 4, shape=(2,))), "does not fit its offsets 0 to 4"),
    "half an element": (ONE, one_tensor(entry(0, 5), 5), "does not fit its offsets 0 to 5"),
    "offsets reversed": (ONE, one_tensor(entry(4, 0)), "does not fit its offsets 4 to 0"),
    "offset beyond 64 bits": (ONE, one_tensor(entry(2**64, 2**64 + 4)), "invalid offset 18446744073709551616"),
    "negative offsets": (ONE, one_tensor(entry(-4, 0)), "invalid offset -4; expected 0"),
    "three offsets": (ONE, one_tensor({**entry(0, 4), "data_offsets": [0, 4, 4]}), "must be two integers"),
    "offsets as text": (ONE, one_tensor({**entry(0, 4), "data_offsets": "04"}), "must be two integers"),
    "overlap by one byte": (
        ONE, tensors_file({"/x": entry(0, 4), "/y": entry(3, 7)}, bytes(7)), "invalid offset 3; expected 4"
    ),
    "bytes before the first": (ONE, one_tensor(entry(4, 8), 8), "invalid offset 4; expected 0"),
    "bytes between two": (
        ONE, tensors_file({"/y": entry(8, 12), "/x": entry(0, 4)}, bytes(12)), "invalid offset 8; expected 4"
    ),
    "bytes after the last": (ONE, one_tensor(entry(0, 4), 5), "the tensors take 4 bytes; 5 follow the header"),
    "bytes without a tensor": (ONE, tensors_file({}, b"1234"), "the tensors take 0 bytes; 4 follow the header"),
    "dtype is a list": (ONE, one_tensor(entry(0, 4, ["F32"])), "unknown dtype"),
    "another field": (ONE, one_tensor({**entry(0, 4), "code": "import os"}), "expected dtype, shape and data_offsets"),
    "entry is a number": (ONE, one_tensor(1), "expected dtype, shape and data_offsets"),
    "metadata": (ONE, tensors_file({"__metadata__": {"a": "b"}, "/x": entry(0, 4)}, b"1234"), "'__metadata__'"),
    "no file at all": (ONE, b"", "the header claims 0 bytes; at most 0"),
    "path as a name": (
        ONE,
        tensors_file({"/x": entry(0, 4), "/../../../etc/passwd": entry(4, 8)}, b"12345678"),
        "'/../../../etc/passwd' is not named in the state",
    ),
    "missing tensor": (ONE, EMPTY, "tensor '/x' of the state is missing"),
    "other dtype": (document({"x": {"$numpy": "<f8"}}), FILE_OF_ONE, "stored as float32, the state says '<f8'"),
    "object dtype": (document({"x": {"$numpy": "|O"}}), FILE_OF_ONE, "the state says '|O'"),
    "record dtype": (document({"x": {"$numpy": "f4,O"}}), FILE_OF_ONE, "the state says 'f4,O'"),
    "wrong element size": (document({"x": {"$numpy": "<c8"}}), FILE_OF_ONE, "last axis of 8"),
    "torch attribute": (document({"x": {"$torch": "load"}}), FILE_OF_ONE, "the state says 'load'"),
    "unknown marker": (document({"x": {"$import": "os"}}), EMPTY, "unknown marker '$import'"),
    "marker with company": (document({"x": {"$numpy": "<f4", "y": 1}}), FILE_OF_ONE, "$numpy needs one text"),
    "bad unit": (document({"x": {"$numpy": "<M8[foo]"}}), FILE_OF_ONE, "Invalid datetime unit"),
    "bad integer": (document({"x": {"$int": "__import__('os')"}}), EMPTY, "invalid literal"),
    "bad float": (document({"x": {"$float": "00"}}), EMPTY, "16 hexadecimal digits"),
    "number too long": (b'{"about":{},"state":{"x":' + b"9" * 5000 + b"}}", EMPTY, "4300 digits"),
    "deep JSON": (b'{"about":{},"state":' + b'{"x":' * 100_000, EMPTY, "nested deeper than 128"),
    "repeated key": (b'{"about":{},"state":{"x":1,"x":2}}', EMPTY, "'x' appears more than once"),
    "quotes without end": (b'"' + b'\\"' * 1_000_000, EMPTY, "state.json is not valid"),
    "not text": (b"\xff\xfe", EMPTY, "codec can't decode"),
    "a list": (b"[]", EMPTY, "expected an object of `about` and `state`"),
    "state is a list": (document([1]), EMPTY, "expected `about` and `state` to be objects"),
    "about with a tensor": (document({}, {"x": {"$numpy": "<f4"}}), EMPTY, "tensor '/x' of the state is missing"),
    "pickle as JSON": (pickle_bomb("executed"), EMPTY, "state.json is not valid"),
    "pickle as tensors": (document({}), pickle_bomb("executed"), "the header claims"),
}  # fmt: skip

FOREIGN: dict[str, tuple[Callable[[str], bytes], str]] = {
    "policy.pkl": (pickle_bomb, "a pickle, which can run code when it is loaded"),
    "policy.pt": (torch_bomb, "a zip archive, as Stable-Baselines3 and torch.save write"),
    "model.zip": (sb3_bomb, "a zip archive, as Stable-Baselines3 and torch.save write"),
    "weights.safetensors": (lambda target: FILE_OF_ONE, "a bare safetensors file"),
    "weights.npy": (lambda target: b"\x93NUMPY\x01\x00", "a numpy file"),
    "weights.h5": (lambda target: b"\x89HDF\r\n", "an HDF5 file"),
    "empty": (lambda target: b"", "an empty file"),
    "notes.txt": (lambda target: b"hello", "a file of an unknown kind"),
}


@pytest.mark.parametrize(("name", "content"), [(name, make) for name, (make, _) in FOREIGN.items()])
def test_foreign_files_are_named_for_what_they_are(tmp_path: Path, name: str, content: Callable[[str], bytes]) -> None:
    (tmp_path / name).write_bytes(content("executed"))
    for open_it in (checkpoint.load, checkpoint.resolve):
        with pytest.raises(CheckpointError) as error:
            open_it(tmp_path / name)
        assert f"{tmp_path / name}: this is {FOREIGN[name][1]}" in str(error.value)
        assert "Keel loads only its own checkpoint folders" in str(error.value)


def test_a_folder_of_something_else_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"not a checkpoint: it has no manifest.json; it holds photo.jpg"):
        checkpoint.load(tmp_path)
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        checkpoint.load(tmp_path / "none")


def write_sealed(folder: Path, state: bytes, tensors: bytes) -> Path:
    folder.mkdir(parents=True)
    files = {"state.json": state, "state.safetensors": tensors}
    for name, data in (files | {"manifest.json": seal(files)}).items():
        (folder / name).write_bytes(data)
    return folder


def test_the_sealing_of_the_corpus_is_right(tmp_path: Path) -> None:
    """Otherwise the corpus would be refused for its manifest alone, and show nothing."""
    assert checkpoint.load(write_sealed(tmp_path / "good", ONE, FILE_OF_ONE)).state["x"].tobytes() == b"1234"


@pytest.mark.parametrize("files", [b'{"../state.json":{}}', b"[]", b'{"state.json":{},"state.safetensors":{}}'])
def test_a_sealed_manifest_of_other_files_is_refused(tmp_path: Path, files: bytes) -> None:
    folder = write_sealed(tmp_path / "checkpoint", ONE, FILE_OF_ONE)
    content = {"format": 1, "files": json.loads(files)}
    (folder / "manifest.json").write_bytes(manifest._signed(content))
    with pytest.raises(CheckpointError, match=r"manifest.json: .*expected"):
        checkpoint.load(folder)


# Loads every folder and file given, in a process where the first attempt to run anything, import by name what the file
# says, or write a file ends in exit code 3.
GUARDED = """
import importlib, json, os, pathlib, sys
import torch
from keel.runners import checkpoint

FORBIDDEN = ("pickle.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.", "exec", "compile",
             "marshal.", "ctypes.", "socket.", "shutil.", "os.remove", "os.rename", "os.mkdir", "code.", "import")

def guard(event, arguments):
    if event.startswith(FORBIDDEN) or (event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
        os.write(2, f"forbidden: {event} {arguments}".encode()[:500])
        os._exit(3)

paths = json.loads(sys.stdin.read())
checkpoint.load(pathlib.Path(paths.pop(0)))  # what a good load imports is not the corpus' doing
sys.addaudithook(guard)
refused = []
for path in paths:
    try:
        checkpoint.load(pathlib.Path(path))
    except checkpoint.CheckpointError as error:
        refused.append(str(error))
print(json.dumps(refused))
"""


def load_guarded(paths: list[Path], folder: Path) -> subprocess.CompletedProcess[str]:
    given = json.dumps([str(path) for path in paths])
    command = [sys.executable, "-c", GUARDED]
    return subprocess.run(command, input=given, capture_output=True, text=True, cwd=folder, check=False)


def test_hostile_checkpoints_are_refused_and_execute_nothing(tmp_path: Path, small: Path) -> None:
    target = tmp_path / "executed"
    paths = [write_sealed(tmp_path / "corpus" / name, state, data) for name, (state, data, _) in HOSTILE.items()]
    for name, (content, _) in FOREIGN.items():
        (tmp_path / name).write_bytes(content(str(target)))
    foreign = [tmp_path / name for name in FOREIGN]
    done = load_guarded([small, *paths, *foreign], tmp_path)
    assert done.returncode == 0, done.stderr
    refused = json.loads(done.stdout)
    assert len(refused) == len(paths) + len(foreign)
    for path, (_, _, words), message in zip(paths, HOSTILE.values(), refused, strict=False):
        assert str(path) in message
        assert words in message
    assert not target.exists()


def test_the_guard_and_the_bomb_work(tmp_path: Path, small: Path) -> None:
    """The same payload does run in a loader of pickles, and the guard does see it."""
    (tmp_path / "bomb.pkl").write_bytes(pickle_bomb(str(tmp_path / "executed")))
    careless = GUARDED.replace("checkpoint.load(pathlib.Path(path))", "__import__('pickle').load(open(path, 'rb'))")
    given = json.dumps([str(small), str(tmp_path / "bomb.pkl")])
    done = subprocess.run([sys.executable, "-c", careless], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "forbidden: pickle.find_class" in done.stderr
    with open(tmp_path / "bomb.pkl", "rb") as file:
        pickle.load(file)
    assert (tmp_path / "executed").exists()


def test_json_depth_is_counted_outside_of_strings() -> None:
    assert state_format.read_json(b'["' + b"[" * 1000 + b'\\"[", {"a": []}]') == ["[" * 1000 + '"[', {"a": []}]
