"""Nothing in the package runs what a file says, opens a door to the network, or tells of the machine it was made on."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path for part in ("networks", "envs", "agents", "runners", ".src/root") for path in (ROOT / part).rglob("*.py")
)

FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "cloudpickle",
    "dill",
    "marshal",
    "shelve",
    "joblib",
    "imp",
    "code",
}
FORBIDDEN_NAMES = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_ATTRIBUTES = {
    "torch.load", "torch.jit.load", "torch.package", "yaml.load", "yaml.unsafe_load", "yaml.full_load",
    "numpy.lib.format.read_array", "pandas.read_pickle", "os.system", "os.popen", "subprocess.getoutput",
    "subprocess.getstatusoutput", "builtins.eval", "builtins.exec", "tempfile.mktemp",
}  # fmt: skip
FORBIDDEN_ARGUMENTS = {"allow_pickle", "shell", "trust_remote_code"}
SHORT = {"np": "numpy", "pd": "pandas"}
ANY_ADDRESS = {"0.0.0.0", "::", "[::]"}

MACHINE = {
    "a home folder": re.compile(r"(?<![\w.])/(?:(?:home|Users)/[\w.-]+/|root/)|[A-Z]:\\Users\\"),
    "a folder of this workplace": re.compile(r"(?<![\w.])/(?:work|farm|opt/pypi)[/-]\w"),
    "a package mirror": re.compile(r"(?:--(?:extra-)?index-url|--trusted-host|find-links)[ =]"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a token": re.compile(
        r"\b(?:ghp_|gho_|github_pat_|glpat-|hf_|sk-|xox[bap]-|pypi-|wandb_v1_)[A-Za-z0-9_-]{20,}|\bAKIA[A-Z0-9]{16}\b"
    ),
    "a key with its value": re.compile(r"(?:API_KEY|SECRET|TOKEN|PASSWORD)['\"]?\s*[=:]\s*['\"]?[A-Fa-f0-9]{32,}"),
}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def dangers(source: str) -> Iterator[str]:
    """What a file does that could run the content of another file or serve beyond this machine."""
    tree = ast.parse(source)
    names = dict(SHORT)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        for danger in _dangers_of(node, names):
            yield f"line {getattr(node, 'lineno', 0)}: {danger}"


def _dangers_of(node: ast.AST, names: dict[str, str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES)
    elif isinstance(node, ast.ImportFrom):
        full = {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        if (node.module or "").split(".")[0] in FORBIDDEN_MODULES or full & FORBIDDEN_ATTRIBUTES:
            yield f"from {node.module}"
    elif isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES:
        yield node.id
    elif isinstance(node, ast.Attribute) and _dotted(node, names) in FORBIDDEN_ATTRIBUTES:
        yield _dotted(node, names)
    elif isinstance(node, ast.keyword) and node.arg in FORBIDDEN_ARGUMENTS:
        if not (isinstance(node.value, ast.Constant) and node.value.value is False):
            yield f"{node.arg} = {ast.unparse(node.value)}"
    elif isinstance(node, ast.Call) and re.search(r"(bind|[Ss]erver)$", _dotted(node.func, names)):
        tuples = [part for part in node.args if isinstance(part, ast.Tuple) and part.elts]
        yield from ("an empty address, which is every one" for part in tuples if ast.unparse(part.elts[0]) == "''")
    elif isinstance(node, ast.Constant) and node.value in ANY_ADDRESS:
        yield f"the address {node.value}"


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else "?"


def test_the_package_runs_nothing_that_it_reads() -> None:
    found = {relative(path): list(dangers(path.read_text())) for path in SOURCES}
    assert {path: dangerous for path, dangerous in found.items() if dangerous} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "def f():\n    from cloudpickle import loads",
        "eval('1')",
        "run = exec",
        "import torch\ntorch.load('x')",
        "import torch as t\nt.load('x')",
        "from torch import load",
        "import yaml\nyaml.load(x)",
        "np.load(x, allow_pickle=True)",
        "np.load(x, allow_pickle=flag)",
        "import os\nos.system('ls')",
        "subprocess.run(x, shell=True)",
        "serve(host='0.0.0.0')",
        "sock.bind(('', 80))",
        "http.server.ThreadingHTTPServer(('', 80), Handler)",
        "__import__('os')",
    ],
)
def test_the_rule_sees_what_it_must(source: str) -> None:
    assert list(dangers(source)) != []


@pytest.mark.parametrize(
    "source",
    [
        "import json\njson.load(f)",
        "sock.bind(('127.0.0.1', 80))",
        "model.eval()",
        "re.compile('x')",
        "torch.compile(f)",
        "np.load(x, allow_pickle=False)",
    ],
)
def test_the_rule_lets_the_harmless_pass(source: str) -> None:
    assert list(dangers(source)) == []


def repository_files() -> list[Path]:
    """What is committed or would be: everything that .gitignore does not name."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git repository: nothing to look through")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def told(text: str) -> list[str]:
    """What a text gives away, with the words that do."""
    return [f"{what}: {match[0][:20]}" for what, pattern in MACHINE.items() for match in pattern.finditer(text)]


def test_no_file_tells_of_a_machine_or_holds_a_secret() -> None:
    here = Path(__file__).resolve()
    found = {}
    for path in repository_files():
        if path.resolve() != here and not path.is_symlink():
            found[relative(path)] = told(path.read_bytes().decode("utf-8", "replace"))
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "text",
    [
        "see /home/alice/runs",
        "/root/.cache",
        "/wo" + "rk/main/x",
        "pip install --index-url http://mirror",
        "ghp_" + "a" * 36,
        "WANDB_API_KEY=" + "0a" * 20,
        "-----BEGIN RSA PRIVATE KEY-----",
    ],
)
def test_what_gives_a_machine_away_is_seen(text: str) -> None:
    assert told(text) != []
