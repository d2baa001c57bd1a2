"""Registers the worlds of faulty.py by name, so that worker processes find them too."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import pytest

from keel.envs.registry import register_all

IDS = (
    "Faulty",
    "Drifting",
    "ShortOnReplay",
    "Sampler",
    "Masked",
    "Undrawable",
    "OutOfRange",
    "DiesAtStart",
    "MaskInDict",
)

# At import, so that tests can import it too; spawned processes inherit the path.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True, scope="session")
def worlds() -> Iterator[None]:
    register_all()
    for name in IDS:
        gymnasium.register(f"test/{name}-v0", entry_point=f"faulty:{name}")
    yield
    for name in IDS:
        gymnasium.registry.pop(f"test/{name}-v0")
