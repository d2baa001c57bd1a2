"""Where a run came from: versions, commit, machine and command line, with every secret taken out."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

REDACTED = "[redacted]"

DISTRIBUTIONS = (
    "keel-rl", "torch", "numpy", "gymnasium", "numba", "safetensors", "stable-baselines3", "pygame-ce", "av", "wandb",
    "box2d", "ale-py", "mujoco", "minigrid", "minatar", "envpool", "onnxruntime", "chess",
    "open-spiel",
)  # fmt: skip

SECRET_WORDS = {"key", "apikey", "token", "secret", "password", "passwd"}

# Shapes of well-known credentials, and of a password within an address.
SECRET_SHAPES = re.compile(
    r"\b[0-9a-f]{40}\b|\bwandb_v\d_\w{20,}|\bsk-[\w-]{16,}|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"
    r"|\bhf_\w{20,}|\bpypi-[\w-]{16,}|\bAKIA[0-9A-Z]{16}\b|\bxox[abprs]-[\w-]{10,}|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
)


def describe_environment(*, device: str, threads: int, resume: str) -> dict[str, Any]:
    """What a reader needs to repeat a run or to judge its timing; a few processes are asked, nothing is imported."""
    return {
        "python": platform.python_version(),
        "versions": {name: version for name in DISTRIBUTIONS if (version := _installed_version(name))},
        "commit": _commit(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": _cpu_name(),
        "cpu_count": os.cpu_count(),
        "threads": threads,
        "device": device,
        "resume": resume,
        "command": redact_command(sys.argv),
    }


def redact(value: Any) -> Any:
    """A copy of nested JSON values without secrets: strings under a secret's name, of its shape, or known as one."""
    if isinstance(value, dict):
        return {
            name: REDACTED if isinstance(item, str) and item and _is_secret_name(str(name)) else redact(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    return redact_text(value) if isinstance(value, str) else value


def redact_text(text: str) -> str:
    """The text without what looks like a credential and without the secrets of this process's environment."""
    for secret in _environment_secrets():
        text = text.replace(secret, REDACTED)
    return SECRET_SHAPES.sub(REDACTED, text)


def redact_command(arguments: list[str]) -> list[str]:
    """A command line without secrets: `--api-key VALUE`, `--api-key=VALUE` and `API_KEY=VALUE` lose their values."""
    safe, secret_follows = [], False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        is_secret = _is_secret_name(name)
        if secret_follows and not argument.startswith("--"):
            safe.append(REDACTED)
        elif equals and is_secret:
            safe.append(f"{name}={REDACTED}")
        else:
            safe.append(redact_text(argument))
        secret_follows = is_secret and not equals and argument.startswith("-")
    return safe


def _is_secret_name(name: str) -> bool:
    """Whole words only: `api_key` and `--env.password` are secrets, `max_tokens` and `keyboard` are settings."""
    return not SECRET_WORDS.isdisjoint(re.split(r"[^a-z0-9]+", name.lower()))


def _environment_secrets() -> list[str]:
    """Longest first, so that no secret that begins another one leaves its rest behind."""
    secrets = {value for name, value in os.environ.items() if len(value) >= 8 and _is_secret_name(name)}
    return sorted(secrets, key=len, reverse=True)


def _installed_version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of Keel's own sources, with `-dirty` where they were changed; None where they are not in git.

    An installed Keel can lie inside somebody else's repository: only tracked sources count.
    """
    folder = Path(__file__).resolve().parent
    if _git(folder, "ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    commit = _git(folder, "describe", "--always", "--abbrev=40", "--exclude=*")
    # Pages of benchmarks are no sources: making one must not make the next one's commit look changed.
    pages = (":(top,exclude)results/benchmarks", ":(top,exclude)results/README.md")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ":/", *pages)
    return commit and (commit if changed == "" else f"{commit}-dirty")


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        answer = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=5, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
