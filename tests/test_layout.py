"""The shape of the repository: who may import whom, how large a file may grow, and that packaging misses nothing."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("networks", "envs", "agents", "runners")
SOURCES = sorted(path for part in PARTS for path in (ROOT / part).rglob("*.py"))
PYTHON = [*SOURCES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / ".src" / "root").glob("*.py"))]

# What each part may import of Keel beside itself.
MAY_IMPORT = {
    "networks": (),
    "envs": (),
    "agents": (
        "keel.networks",
        "keel.envs.protocol",
        "keel.envs.seeding",
        "keel.envs.errors",
        "keel.envs.compiled",
        "keel.envs.games",  # the rules that a search plays by
    ),
    "runners": ("keel",),
}
PRETRAINED = "results/pretrained"  # trained networks, shipped as data
HEAVY = {"torch", "wandb", "stable_baselines3", "matplotlib", "av", "pygame", "numba"}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """The full name of everything imported anywhere in a file of `package`, `from` parts joined to what they name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def keel_package(path: Path) -> str:
    """The package that a file belongs to, such as keel.envs."""
    return ".".join(("keel", *path.relative_to(ROOT).parent.parts))


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def strangers(source: str, part: str) -> list[str]:
    """The imports of Keel that a file of `part` may not make."""
    names = (name for name in imported(ast.parse(source), f"keel.{part}") if within(name, ("keel",)))
    return [name for name in names if not within(name, (f"keel.{part}", *MAY_IMPORT[part]))]


def test_imports_go_one_way() -> None:
    found = {relative(path): strangers(path.read_text(), path.relative_to(ROOT).parts[0]) for path in SOURCES}
    assert offenders(found) == {}, f"each part may import of keel: itself and {MAY_IMPORT}"


def test_the_rule_sees_what_it_must() -> None:
    assert strangers("from keel.envs import vector", "agents") == ["keel.envs.vector"]
    assert strangers("from keel.envs import protocol, seeding", "agents") == []
    assert strangers("def f():\n    import keel.runners.cli", "envs") == ["keel.runners.cli"]
    assert strangers("from ..agents import ppo", "networks") == ["keel.agents.ppo"]
    assert strangers("import keel", "envs") == ["keel"]


def test_nobody_imports_the_bare_folders() -> None:
    """`import agents` would load a second copy of a module, or another distribution's package."""
    assert importers(PYTHON, PARTS) == {}


def test_worlds_know_no_torch() -> None:
    assert importers(sorted((ROOT / "envs").rglob("*.py")), ("torch",)) == {}


def importers(paths: list[Path], packages: tuple[str, ...]) -> dict[str, list[str]]:
    """Which of the files import what of these packages."""
    names = {relative(path): imported(ast.parse(path.read_text()), keel_package(path)) for path in paths}
    return offenders({path: [name for name in found if within(name, packages)] for path, found in names.items()})


def offenders(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """What was found, where anything was."""
    return {path: things for path, things in found.items() if things}


def test_files_and_functions_stay_small() -> None:
    assert offenders({relative(path): too_large(path.read_text()) for path in PYTHON}) == {}


def too_large(source: str) -> list[str]:
    lines = len(source.splitlines())
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    found = [f"{lines} lines"] if lines > MAX_FILE_LINES else []
    return found + [f"{name}: {length} lines" for name, length in lengths.items() if length > MAX_FUNCTION_LINES]


def test_what_is_too_large_is_seen() -> None:
    function = "def long():\n" + "    pass\n" * MAX_FUNCTION_LINES
    assert too_large(function) == [f"long: {MAX_FUNCTION_LINES + 1} lines"]
    assert too_large("pass\n" * (MAX_FILE_LINES + 1)) == [f"{MAX_FILE_LINES + 1} lines"]
    assert too_large("pass\n" * MAX_FILE_LINES) == []


def test_every_folder_of_modules_is_packaged() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {keel_package(path) for path in SOURCES}
    assert set(settings["packages"]) == folders | {"keel", "keel.pretrained"}
    homes = {"keel": ".src/root", "keel.pretrained": PRETRAINED} | {
        name: name.removeprefix("keel.").replace(".", "/") for name in folders
    }
    assert settings["package-dir"].items() <= homes.items()
    assert settings["package-dir"].keys() >= {"keel", *(f"keel.{part}" for part in PARTS)}


def test_the_links_for_type_checkers_point_home() -> None:
    links = {path.name: path for path in (ROOT / ".src" / "keel").iterdir()}
    assert links.keys() == {"__init__.py", "py.typed", "pretrained", *PARTS}
    for name, link in links.items():
        home = ROOT / name if name in PARTS else ROOT / ".src" / "root" / name
        home = ROOT / PRETRAINED if name == "pretrained" else home
        assert link.is_symlink()
        assert link.resolve(strict=True) == home


def test_import_is_light() -> None:
    assert loaded_by("import keel") & HEAVY == set()


def test_help_is_light() -> None:
    assert loaded_by("from keel.runners.cli import main\nmain(['--help'])") & HEAVY == set()


def loaded_by(code: str) -> set[str]:
    """The top-level modules in memory after running `code`, which may end by SystemExit(0)."""
    program = (
        f"import json, sys\ntry:\n    exec({code!r})\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print()\nprint(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))
