"""Checkpoints: folders that are whole or not there, verified to the last bit before anything in them is used.

    checkpoints/step-000000123456/   the last two, for `resume`
    checkpoints/best/                the best evaluation so far
        state.safetensors            arrays and tensors
        state.json                   everything else of the state, and `about`: what made it
        manifest.json                size and sha256 of both, and a sha256 of itself

A checkpoint is written beside its place and renamed into it. The one it replaces waits as `.old-<name>` until then, so
that a process killed at any instant leaves a valid one. One process writes into a folder; any number may read.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import logging
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from keel.envs.protocol import Array, State
from keel.runners import manifest, state_format
from keel.runners.files import sync_folder
from keel.runners.manifest import MANIFEST, MAX_BYTES, STATE, TENSORS, CheckpointError

BEST = "best"
KEEP_LAST = 2  # snapshots: should the newest be damaged, the one before it still resumes

_STEP_NAME = re.compile(r"step-(\d{12,18})")
_log = logging.getLogger("keel")


class Checkpoint(NamedTuple):
    """What `load` read: the state as it was saved, and what made it."""

    path: Path
    state: State
    about: dict[str, Any]  # agent, env, global_step, … as given to `save`, and the facts of `machine`


class _Content(NamedTuple):
    """A file that is about to be written, a piece at a time: a state may fill most of the memory already."""

    nbytes: int
    chunks: Iterable[bytes]


def step_name(global_step: int) -> str:
    """The name of the checkpoint at this many environment steps; names sort as the steps do."""
    return f"step-{global_step:012d}"


def save(folder: Path, name: str, state: State, *, about: dict[str, Any]) -> Path:
    """Write `state` to `folder/name` and return that path; the same state gives the same bytes.

    Its arrays are written from where they are, and must not change meanwhile.

    Args:
        folder: a run's `checkpoints`; made where it does not exist.
        name: `step_name(global_step)` or `best`; one of the same name is replaced.
        about: JSON values that say what this is: agent, env, global_step, config_hash, device.

    Raises:
        CheckpointError: it could not be written; all earlier checkpoints are as they were.
        TypeError, ValueError: the state holds what no checkpoint can, named by its place.
    """
    if name != BEST and not _STEP_NAME.fullmatch(name):
        raise ValueError(f"checkpoint name {name!r}: expected {BEST!r} or such as {step_name(123456)!r}")
    files = _files(state, about)
    temporary = folder / f".tmp-{name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".tmp-*"):
            shutil.rmtree(leftover)
        _write(temporary, files)
        _publish(temporary, folder / name)
        if name != BEST:
            _prune(folder, name)
    except OSError as error:
        needed = sum(content.nbytes for content in files.values())
        raise CheckpointError(
            f"could not save the checkpoint {folder / name} ({needed} bytes): {error.strerror or error}; "
            "earlier checkpoints are untouched"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder / name


def load(path: Path, *, agent: str | None = None) -> Checkpoint:
    """Read a checkpoint folder, after verifying all of it; tensors come back on the CPU.

    Args:
        path: the checkpoint folder, as `latest`, `best` and `resolve` return it.
        agent: the agent that it must be of, such as "ppo"; None takes any.

    Raises:
        CheckpointError: what is wrong, in which file, expected and found.
    """
    data, arrays = _read_or_replaced(path)
    guilty = STATE
    try:
        about, document = _parts(state_format.read_json(data))
        if agent is not None and about.get("agent") != agent:
            raise CheckpointError(f"{path}: this is a checkpoint of {about.get('agent')!r}; expected {agent!r}")
        guilty = TENSORS
        state = state_format.decode(document, arrays)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{path / guilty} is not valid: {error}") from error
    return Checkpoint(path, state, about)


def latest(folder: Path) -> Path:
    """The newest `step-…` of a `checkpoints` folder that is whole; broken ones are skipped with a warning.

    Raises:
        CheckpointError: there is none.
    """
    for name in sorted(_step_names(folder), key=_step, reverse=True):
        found = _first_valid(folder, name)
        if found is not None:
            return found
    raise CheckpointError(f"{folder} holds no whole checkpoint")


def best(folder: Path) -> Path:
    """The `best` of a `checkpoints` folder.

    Raises:
        CheckpointError: there is none that is whole.
    """
    found = _first_valid(folder, BEST)
    if found is None:
        raise CheckpointError(
            f"{folder} holds no whole `best`: a run saves one at its first evaluation; --checkpoint last takes its last one"
        )
    return found


def resolve(source: Path, which: Literal["best", "last"] = "best") -> Path:
    """The checkpoint meant by a run folder, its `checkpoints` folder, or a checkpoint folder itself.

    Raises:
        CheckpointError: there is none; a file of another kind is named for what it is.
    """
    if (source / MANIFEST).exists() or not source.is_dir():
        return manifest.checkpoint_folder(source)
    folder = source / "checkpoints" if (source / "checkpoints").is_dir() else source
    return best(folder) if which == "best" else latest(folder)


def machine() -> dict[str, Any]:
    """What a bit-exact continuation depends on beside the state: versions, machine type, threads."""
    facts: dict[str, Any] = {
        "keel": _keel_version(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        facts["torch"] = str(torch.__version__)
        facts["torch_threads"] = torch.get_num_threads()
        facts["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
    return facts


def machine_changes(about: dict[str, Any]) -> list[str]:
    """How this machine differs from the one that saved, such as `torch: 2.10.0, now 2.13.0`; empty where it does not."""
    now = machine()
    return [f"{name}: {about[name]}, now {now[name]}" for name in now if name in about and about[name] != now[name]]


def check_shapes(expected: State, found: State) -> None:
    """Compare the arrays and tensors of two states by name, shape and dtype.

    Raises:
        CheckpointError: a table of those that differ.
    """
    wanted, given = dict(_shapes(expected)), dict(_shapes(found))
    names = [name for name in wanted | given if wanted.get(name) != given.get(name)]
    if not names:
        return
    rows = [("tensor", "expected", "found")]
    rows += [(name, wanted.get(name, "none"), given.get(name, "none")) for name in names[:20]]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"… and {len(names) - 20} more"] * (len(names) > 20)
    raise CheckpointError("\n".join([f"{len(names)} tensors of the checkpoint do not fit this network:", *lines]))


def _shapes(node: Any, name: str = "") -> list[tuple[str, str]]:
    if isinstance(node, dict):
        return [row for key, item in node.items() for row in _shapes(item, state_format.pointer(name, key))]
    if isinstance(node, list):
        return [row for index, item in enumerate(node) for row in _shapes(item, state_format.pointer(name, index))]
    if isinstance(node, np.ndarray) or state_format.is_tensor(node):
        return [(name, f"{list(node.shape)} {str(node.dtype).removeprefix('torch.')}")]
    return []


def _read_or_replaced(path: Path) -> tuple[bytearray, dict[str, Array]]:
    """A running training may put another checkpoint in this place while we read: then read that one."""
    inode = path.stat().st_ino if path.exists() else None
    try:
        return manifest.read(path)
    except CheckpointError:
        if inode is None or not path.exists() or path.stat().st_ino == inode:
            raise
    # Not in the handler above: until it ends, the error holds on to the arrays of the first attempt.
    return manifest.read(path)


def _parts(document: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    if not isinstance(document, dict) or document.keys() != {"about", "state"}:
        raise ValueError("expected an object of `about` and `state`")
    about = state_format.decode(document["about"], {})
    if not isinstance(about, dict) or not isinstance(document["state"], dict):
        raise TypeError("expected `about` and `state` to be objects")
    return about, document["state"]


def _files(state: State, about: dict[str, Any]) -> dict[str, _Content]:
    about_document, about_arrays = state_format.encode({**about, **machine()})
    if about_arrays:
        raise TypeError(f"about{next(iter(about_arrays))}: an array; `about` holds JSON values only")
    document, arrays = state_format.encode(state)
    tensors = state_format.plan_tensors(arrays)
    data = state_format.write_json({"about": about_document, "state": document})
    files = {
        TENSORS: _Content(tensors.nbytes, state_format.tensor_chunks(tensors)),
        STATE: _Content(len(data), [data]),
    }
    for name, content in files.items():
        if content.nbytes > MAX_BYTES[name]:
            raise ValueError(
                f"the state makes a {name} of {content.nbytes} bytes; a checkpoint takes {MAX_BYTES[name]}"
            )
    return files


def _write(folder: Path, files: dict[str, _Content]) -> None:
    folder.mkdir()
    sums = {name: _write_file(folder / name, content.chunks) for name, content in files.items()}
    _write_file(folder / MANIFEST, [manifest.seal(sums)])
    sync_folder(folder)


def _write_file(path: Path, chunks: Iterable[bytes]) -> manifest.Sum:
    nbytes, sha256 = 0, hashlib.sha256()
    with open(path, "xb") as file:
        for chunk in chunks:
            file.write(chunk)
            sha256.update(chunk)
            nbytes += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    return manifest.Sum(nbytes, sha256.hexdigest())


def _publish(temporary: Path, final: Path) -> None:
    replaced = final.with_name(f".old-{final.name}")
    if final.exists():
        _remove(replaced)
        final.rename(replaced)
    temporary.rename(final)
    sync_folder(final.parent)
    _remove(replaced)


def _prune(folder: Path, saved: str) -> None:
    """Keep the last `KEEP_LAST`. Newer ones than `saved` go too: they were broken, or the run went back to before them."""
    names = _step_names(folder)
    kept = sorted((name for name in names if _step(name) <= _step(saved)), key=_step)[-KEEP_LAST:]
    for name in names - set(kept):
        _remove(folder / name)
        _remove(folder / f".old-{name}")


def _remove(path: Path) -> None:
    """Renamed first, so that no reader ever meets half a checkpoint."""
    if path.exists():
        doomed = path.with_name(f".tmp-removed-{path.name}")
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _step_names(folder: Path) -> set[str]:
    if not folder.is_dir():
        raise CheckpointError(f"there is no folder {folder}; expected the `checkpoints` of a run")
    names = {path.name.removeprefix(".old-") for path in folder.iterdir()}
    return {name for name in names if _STEP_NAME.fullmatch(name)}


def _step(name: str) -> int:
    return int(name.removeprefix("step-"))


def _first_valid(folder: Path, name: str) -> Path | None:
    for path in (folder / name, folder / f".old-{name}"):
        if path.exists():
            try:
                manifest.verify(path)
                return path
            except CheckpointError as error:
                _log.warning("skipped a broken checkpoint: %s", error)
    return None


@functools.cache
def _keel_version() -> str:
    return importlib.metadata.version("keel-rl")
