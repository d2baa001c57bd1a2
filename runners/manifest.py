"""The seal of a checkpoint: size and sha256 of its files and of the manifest itself, checked before anything is used."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import Any

from keel.envs.errors import KeelError
from keel.runners import state_format

FORMAT = 1
MANIFEST = "manifest.json"
STATE = "state.json"
TENSORS = "state.safetensors"
MAX_BYTES = {MANIFEST: 1 << 16, STATE: state_format.MAX_JSON_BYTES, TENSORS: 1 << 34}

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


class CheckpointError(KeelError):
    """A checkpoint that cannot be written, found, trusted or used; the message names the file."""


def seal(files: dict[str, bytes]) -> bytes:
    """The manifest of these files."""
    entries = {name: {"bytes": len(data), "sha256": _sha256(data)} for name, data in sorted(files.items())}
    return _signed({"format": FORMAT, "files": entries})


def verified(path: Path) -> dict[str, bytes]:
    """The bytes of a checkpoint's two state files, exactly those that its manifest was written for.

    Raises:
        CheckpointError: what is wrong, in which file, expected and found.
    """
    try:
        present = {entry.name for entry in checkpoint_folder(path).iterdir()}
        missing, unknown = {MANIFEST, STATE, TENSORS} - present, present - {MANIFEST, STATE, TENSORS}
        if missing or unknown:
            raise CheckpointError(
                f"{path} is not a whole checkpoint: missing {', '.join(sorted(missing)) or 'nothing'}; "
                f"unknown {', '.join(sorted(unknown)) or 'nothing'}"
            )
        entries = _entries(path / MANIFEST)
        return {name: _checked(path / name, entries[name]) for name in (STATE, TENSORS)}
    except OSError as error:
        raise CheckpointError(f"{error.filename or path} cannot be read: {error.strerror}") from error


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


def _signed(content: dict[str, Any]) -> bytes:
    return state_format.write_json({**content, "sha256": _sha256(state_format.write_json(content))})


def _entries(path: Path) -> dict[str, Any]:
    """The manifest's entries of both files. Every byte counts: it must be just as `seal` wrote it."""
    data = _read(path)
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


def _checked(path: Path, entry: dict[str, Any]) -> bytes:
    data = _read(path)
    if len(data) != entry["bytes"]:
        what = "truncated" if len(data) < entry["bytes"] else "damaged"
        raise CheckpointError(f"checkpoint {what}: {path}: expected {entry['bytes']} bytes, found {len(data)}")
    found = _sha256(data)
    if found != entry["sha256"]:
        raise CheckpointError(f"checkpoint damaged: {path}: expected sha256 {entry['sha256']}, found {found}")
    return data


def _read(path: Path) -> bytes:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"{path} is a link or a device; a checkpoint holds plain files only")
    if status.st_size > MAX_BYTES[path.name]:
        raise CheckpointError(f"{path}: {status.st_size} bytes; at most {MAX_BYTES[path.name]} are read")
    return path.read_bytes()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _what_is(path: Path) -> str:
    """The kind of a foreign file by its first bytes; it is read no further."""
    with open(path, "rb") as file:
        start = file.read(64)
    if not start:
        return "an empty file"
    if start[8:9] == b"{":
        return "a bare safetensors file"
    return next((kind for magic, kind in _KINDS.items() if start.startswith(magic)), "a file of an unknown kind")
