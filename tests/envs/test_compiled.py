"""The cache of compiled worlds: fresh after any edit, harmless where it cannot be written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import keel
import keel.envs
from keel.envs import compiled

STEP = """
import numpy as np
from keel.envs import cartpole
state = np.zeros((1, 4))
cartpole.advance(state, np.array([1]), np.empty(1), np.empty(1, np.bool_))
print(cartpole.__file__, float(state[0, 1]))
"""


def one_step(root: Path, cache: Path) -> float:
    environment = {**os.environ, "KEEL_CACHE_DIR": str(cache), "PYTHONPATH": str(root)}
    result = subprocess.run(
        [sys.executable, "-W", "default", "-c", STEP],
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    path, velocity = result.stdout.split()
    assert path.startswith(str(root))
    return float(velocity)


def test_an_edit_of_the_physics_changes_the_step(tmp_path: Path) -> None:
    root, cache = tmp_path / "copy", tmp_path / "cache"
    shutil.copytree(
        Path(keel.envs.__file__).parent, root / "keel" / "envs", ignore=shutil.ignore_patterns("__pycache__")
    )
    (root / "keel" / "__init__.py").touch()
    before = one_step(root, cache)
    assert any(cache.rglob("*.nbc"))
    physics = root / "keel" / "envs" / "cartpole.py"
    physics.write_text(physics.read_text().replace("FORCE = 10.0", "FORCE = 20.0"))
    assert one_step(root, cache) == pytest.approx(2 * before)


def test_the_digest_knows_every_kernel_file_and_only_those(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    kernel, other = tmp_path / "deep" / "physics.py", tmp_path / "render.py"
    kernel.write_text("from keel.envs.compiled import kernel\n")
    other.write_text("colour = 1\n")
    digests = [compiled.source_digest(tmp_path)]
    other.write_text("colour = 2\n")
    assert compiled.source_digest(tmp_path) == digests[0]
    kernel.write_text("from keel.envs.compiled import kernel\ngravity = 9.8\n")
    digests.append(compiled.source_digest(tmp_path))
    kernel.rename(tmp_path / "physics.py")
    digests.append(compiled.source_digest(tmp_path))
    assert len(set(digests)) == 3


def test_without_a_writable_folder_worlds_are_compiled_without_a_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_file").touch()  # even root cannot make a folder below a file
    monkeypatch.setenv("KEEL_CACHE_DIR", str(tmp_path / "a_file" / "below"))
    with pytest.warns(RuntimeWarning, match="KEEL_CACHE_DIR"):
        assert compiled._prepare_cache() is False
    monkeypatch.setattr(compiled, "_CACHE", False)
    assert compiled.kernel(lambda x: 1.0 / x)(0.0) == float("inf")


def test_the_environment_variable_names_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEL_CACHE_DIR", str(tmp_path))
    assert compiled.user_cache_folder() == tmp_path
    monkeypatch.delenv("KEEL_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    if sys.platform == "linux":
        assert compiled.user_cache_folder() == tmp_path / "xdg" / "keel"
