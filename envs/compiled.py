"""How worlds are compiled: the `kernel` decorator and the folder where machine code is kept between runs.

Numba notices a change in the file of the function it compiles, but not in the files of the functions called from
there. So the cache folder is named by the content of every kernel file: any edit anywhere starts a fresh one.
Import this module before numba compiles anything; every file with a kernel does so by importing `kernel`.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numba
from numba.core import config

Function = TypeVar("Function", bound=Callable[..., object])


def source_digest(*folders: Path) -> str:
    """The sha256 of all Python files below `folders` that hold kernels, names included."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            source = path.read_bytes()
            if b"compiled import" in source or path.name == "compiled.py":
                digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + source + b"\0")
    return digest.hexdigest()


def user_cache_folder() -> Path:
    """Where this user's caches belong; the environment variable KEEL_CACHE_DIR comes first."""
    if chosen := os.environ.get("KEEL_CACHE_DIR"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "keel"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keel"


def _prepare_cache() -> bool:
    try:
        package = Path(__file__).parent.parent
        folder = user_cache_folder() / "kernels" / source_digest(package / "envs", package / "agents")[:32]
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, RuntimeError) as error:  # RuntimeError: this user has no home folder
        warnings.warn(
            f"worlds are compiled anew in every process, because the cache folder cannot be written ({error}); "
            "set KEEL_CACHE_DIR to a writable folder",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    config.CACHE_DIR = str(folder)  # pyright: ignore[reportAttributeAccessIssue]
    return True


_CACHE = _prepare_cache()


def kernel(function: Function) -> Function:
    """Compile a function of numbers and arrays; division by zero gives inf or nan as in numpy, rounding is IEEE's.
    Threads run side by side in it."""
    return numba.njit(cache=_CACHE, error_model="numpy", nogil=True)(function)  # pyright: ignore[reportReturnType]
