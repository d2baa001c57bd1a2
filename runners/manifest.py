"""The seal of a checkpoint: size and sha256 of its files and of the manifest itself, checked before anything is used."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from keel.envs.errors import KeelError
from keel.envs.protocol import Array
from keel.runners import state_format
from keel.runners.state_format import Fill

FORMAT = 1
MANIFEST = "manifest.json"
STATE = "state.json"
TENSORS = "state.safetensors"
MAX_BYTES = {MANIFEST: 1 << 16, STATE: state_format.MAX_JSON_BYTES, TENSORS: 1 << 40}

_PICKLE = "a pickle, which can run code when it is loaded"
_KINDS = {
    b"PK\x03\x04": "a zip archive, as Stable-Baselines3 and torch.save write",
    b"\x80\x02": _PICKLE,
    b"\x80\x03": _PICKLE,
    b"\x80\x04": _PICKLE,
    b"\x80\x05": _PICKLE,
    b"\x93NUMPY": "a numpy file",
    b"\x89HDF": "an HDF5 file, as Keras writes",
}


Result = TypeVar("Result")


class CheckpointError(KeelError):
    """A checkpoint that cannot be written, found, trusted or used; the message names the file."""


class Sum(NamedTuple):
    """What the manifest says of a file."""

    nbytes: int
    sha256: str


def seal(files: dict[str, Sum]) -> bytes:
    """The manifest of these files."""
    entries = {name: {"bytes": found.nbytes, "sha256": found.sha256} for name, found in sorted(files.items())}
    return _signed({"format": FORMAT, "files": entries})


def verify(path: Path) -> None:
    """Find whether a checkpoint's files are those that its manifest was written for; their content is not kept.

    Raises:
        CheckpointError: what is wrong, in which file, expected and found.
    """
    with _naming_files(path):
        entries = _entries_of_whole(path)
        for name in (STATE, TENSORS):
            _checked(path / name, entries[name], lambda fill, size: None)


def read(path: Path) -> tuple[bytearray, dict[str, Array]]:
    """The state's JSON and arrays, from exactly those bytes that the checkpoint's manifest was written for.

    Raises:
        CheckpointError: what is wrong, in which file, expected and found.
    """
    with _naming_files(path):
        entries = _entries_of_whole(path)
        document = _checked(path / STATE, entries[STATE], _all_bytes)
        return document, _checked(path / TENSORS, entries[TENSORS], state_format.read_tensors)


def checkpoint_folder(path: Path) -> Path:
    """`path` itself where it may be a checkpoint.

    Raises:
        CheckpointError: it is not there, or is something else, named for what it is.
    """
    if path.is_symlink():
        raise CheckpointError(f"{path} is a link; name the folder it points to")
    if path.is_file():
        raise CheckpointError(f"{path}: this is {_what_is(path)}; Keel loads only its own checkpoint folders")
    if not path.is_dir():
        raise CheckpointError(f"there is no checkpoint {path}")
    if not (path / MANIFEST).exists():
        inside = ", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "nothing"
        raise CheckpointError(f"{path} is not a checkpoint: it has no {MANIFEST}; it holds {inside}")
    return path


@contextmanager
def _naming_files(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"{error.filename or path} cannot be read: {error.strerror}") from error


def _entries_of_whole(path: Path) -> dict[str, Any]:
    present = {entry.name for entry in checkpoint_folder(path).iterdir()}
    missing, unknown = {MANIFEST, STATE, TENSORS} - present, present - {MANIFEST, STATE, TENSORS}
    if missing or unknown:
        raise CheckpointError(
            f"{path} is not a whole checkpoint: missing {', '.join(sorted(missing)) or 'nothing'}; "
            f"unknown {', '.join(sorted(unknown)) or 'nothing'}"
        )
    return _entries(path / MANIFEST)


def _signed(content: dict[str, Any]) -> bytes:
    return state_format.write_json({**content, "sha256": hashlib.sha256(state_format.write_json(content)).hexdigest()})


def _entries(path: Path) -> dict[str, Any]:
    """The manifest's entries of both files. Every byte counts: it must be just as `seal` wrote it."""
    _check_plain(path)
    data = path.read_bytes()
    try:
        content = state_format.read_json(data)
        written = content.pop("sha256", None) if isinstance(content, dict) else None
        if data != _signed(content if isinstance(content, dict) else {}):
            raise ValueError(f"its own sha256 {written} does not fit its content")
    except (ValueError, RecursionError) as error:
        message = f"checkpoint truncated or damaged: {path} ({len(data)} bytes): {error}"
        raise CheckpointError(message) from error
    if content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: format {content.get('format')!r}; this version of Keel reads format {FORMAT}")
    files = content.get("files")
    if not isinstance(files, dict) or files.keys() != {STATE, TENSORS}:
        raise CheckpointError(f"{path}: expected the files {STATE} and {TENSORS}, found {str(files)[:200]}")
    for name, entry in files.items():
        if not isinstance(entry, dict) or entry.keys() != {"bytes", "sha256"} or type(entry["bytes"]) is not int:
            raise CheckpointError(f"{path}: {name}: expected bytes and sha256, found {str(entry)[:200]}")
    return files


class _HashedFile:
    """An open file, and the sha256 of all that was read of it so far."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()

    def fill(self, buffer: memoryview) -> None:
        """Read the next bytes into all of `buffer`."""
        for start in range(0, len(buffer), state_format.CHUNK_BYTES):
            chunk = buffer[start : start + state_format.CHUNK_BYTES]
            while chunk:
                count = self._next(chunk)
                if not count:
                    raise ValueError("it ends early")
                chunk = chunk[count:]

    def finish(self) -> str:
        """Read on to the end of the file; the sha256 of all of it."""
        chunk = memoryview(bytearray(state_format.CHUNK_BYTES))
        while self._next(chunk):
            pass
        return self._sha256.hexdigest()

    def _next(self, chunk: memoryview) -> int:
        count = self._file.readinto(chunk) or 0
        self._sha256.update(chunk[:count])
        return count


def _checked(path: Path, entry: dict[str, Any], use: Callable[[Fill, int], Result]) -> Result:
    """What `use` makes of the file's bytes and size: given out only when the sha256 of just those bytes is right.

    The file is read once, so that nothing can change between the check and the use. What `use` finds wrong counts only
    in a file that is as it was written: a damaged one is called damaged.
    """
    _check_plain(path)
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size != entry["bytes"]:
            what = "truncated" if size < entry["bytes"] else "damaged"
            raise CheckpointError(f"checkpoint {what}: {path}: expected {entry['bytes']} bytes, found {size}")
        hashed = _HashedFile(file)
        try:
            result = use(hashed.fill, size)
        except ValueError as error:
            _compare(path, entry["sha256"], hashed.finish())
            raise CheckpointError(f"{path} is not valid: {error}") from error
        _compare(path, entry["sha256"], hashed.finish())
        return result


def _compare(path: Path, expected: str, found: str) -> None:
    if found != expected:
        raise CheckpointError(f"checkpoint damaged: {path}: expected sha256 {expected}, found {found}")


def _all_bytes(fill: Fill, size: int) -> bytearray:
    data = bytearray(size)
    fill(memoryview(data))
    return data


def _check_plain(path: Path) -> None:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"{path} is a link or a device; a checkpoint holds plain files only")
    if status.st_size > MAX_BYTES[path.name]:
        raise CheckpointError(f"{path}: {status.st_size} bytes; at most {MAX_BYTES[path.name]} are read")


def _what_is(path: Path) -> str:
    """The kind of a foreign file by its first bytes; it is read no further."""
    with open(path, "rb") as file:
        start = file.read(64)
    if not start:
        return "an empty file"
    if start[8:9] == b"{":
        return "a bare safetensors file"
    return next((kind for magic, kind in _KINDS.items() if start.startswith(magic)), "a file of an unknown kind")
