"""A run is a folder: its settings, where it came from, what it measured, and what it is doing now."""

from __future__ import annotations

import contextlib
import difflib
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from keel.envs.errors import KeelError
from keel.runners.files import hold, read_json, read_rows, sync_folder, write_json
from keel.runners.provenance import describe_environment, redact

RUNS = Path("results/runs")  # relative to the working directory
FORMAT = 1

_log = logging.getLogger("keel")

RunState = Literal["running", "finished", "interrupted", "failed"]


@dataclass(frozen=True)
class Run:
    """A run's folder. Its files are the truth: every other view of a run is made from them.

    `config` holds the settings as config.json does: format, name, agent, env, seed, training, hyperparameters, backbone.
    """

    path: Path
    config: dict[str, Any]

    @staticmethod
    def create(
        env_id: str,
        agent: str,
        seed: int,
        config: dict[str, Any],
        run_dir: Path | str | None = None,
        name: str | None = None,
        *,
        device: str = "cpu",
        threads: int = 1,
        resume: Literal["exact", "approximate", "none"] = "exact",
    ) -> Run:
        """Make the folder of a new run and write down what it is.

        Args:
            config: the resolved settings: training, hyperparameters, backbone. Secrets in it are not written.
            run_dir: the folder itself; by default `name`, or env, agent, seed and time, under results/runs.
            name: what the run is called; by default the name of its folder.

        Raises:
            KeelError: the folder holds something already or cannot be written.
            ValueError: the name cannot be that of a folder.
            ValueError, TypeError: `config` holds what JSON cannot.
        """
        if name is not None:
            _check_name(name)
        _check_json(config)
        path = _new_folder(Path(run_dir) if run_dir else None, name, f"{env_id}-{agent}-{seed}")
        header = {"format": FORMAT, "name": name or path.name, "agent": agent, "env": env_id, "seed": seed}
        created = {"created_unix_seconds": time.time()}
        run = Run(path, redact(header | config))
        run.checkpoints.mkdir()
        run.videos.mkdir()
        write_json(
            path / "environment.json", created | describe_environment(device=device, threads=threads, resume=resume)
        )
        run.set_status("running")
        write_json(path / "config.json", run.config)  # last: a folder with settings is a whole run
        return run

    @staticmethod
    def open(reference: Path | str) -> Run:
        """The run meant by a folder, a name under results/runs or the unique start of one, or `latest`.

        Raises:
            FileNotFoundError: no such run; names the nearest ones.
            ValueError: the empty reference.
            KeelError: several runs begin so, or the folder's settings cannot be read.
        """
        if reference == "":
            raise ValueError("'' is no run: give a run's folder, its name under results/runs, or latest")
        if isinstance(reference, str) and reference == "latest":
            return _latest()
        for folder in (Path(reference), RUNS / reference):
            if _is_run(folder):
                return _read(folder)
        beginning = [path for path in _run_folders() if path.name.startswith(str(reference))]
        if len(beginning) == 1:
            return _read(beginning[0])
        if beginning:
            names = ", ".join(path.name for path in beginning)
            raise KeelError(f"'{reference}' could be {len(beginning)} runs: {names}; give more of the name")
        raise FileNotFoundError(_not_found(reference))

    @staticmethod
    def find(patterns: list[str]) -> list[Run]:
        """The runs meant by references and by globs over names or folders, each once, in the order given.

        A run that a glob finds and that cannot be read is left out with a warning.

        Raises:
            FileNotFoundError: a pattern that no run matches.
        """
        found: dict[Path, Run] = {}
        for pattern in patterns:
            for run in _matching(pattern) if any(sign in pattern for sign in "*?[") else [Run.open(pattern)]:
                found.setdefault(run.path.resolve(), run)
        return list(found.values())

    @staticmethod
    def all() -> list[Run]:
        """Every run under results/runs, by name; those that cannot be read are left out with a warning."""
        return _readable(_run_folders())

    @property
    def name(self) -> str:
        return self.config.get("name", self.path.name)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def videos(self) -> Path:
        return self.path / "videos"

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl: `global_step` and what was measured then."""
        return read_rows(self.path / "metrics.jsonl")

    def timing(self) -> list[dict[str, Any]]:
        """The rows of timing.jsonl: global_step, training_seconds, wall_seconds, steps_per_second."""
        return read_rows(self.path / "timing.jsonl")

    def media(self) -> list[dict[str, Any]]:
        """The rows of media.jsonl: `global_step` and `video`, a path within the folder."""
        return read_rows(self.path / "media.jsonl")

    def save_settings(self, config: dict[str, Any]) -> None:
        """Change the settings, as a resume to another end does; what `config` does not name stays."""
        self.config.update(redact(config))
        write_json(self.path / "config.json", self.config)

    def environment(self) -> dict[str, Any]:
        """environment.json: versions, commit, machine, threads, device, command, and whether resume is exact."""
        return read_json(self.path / "environment.json")

    def status(self) -> dict[str, Any]:
        """status.json: `state`, the `pid` that wrote it, and details."""
        return read_json(self.path / "status.json")

    def set_status(self, state: RunState, **details: Any) -> None:
        """Say what the run is doing now; `details` are JSON values such as `error` or `global_step`."""
        write_json(self.path / "status.json", {"state": state, "pid": os.getpid(), **details})

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder while training, so that two processes never write into one run.

        The system lets go of it when the process ends, however it ends.

        Raises:
            KeelError: another process holds it; names that process.
        """
        in_use = f"run {self.name} is in use by process {{process}}: wait for it or stop it first"
        with hold(self.path / "lock", in_use):
            yield


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+=-]{0,199}", name) or name == "latest":
        raise ValueError(
            f"name must be letters, digits and . _ + = - (not 'latest'), as it names a folder; got {name!r}; "
            "a folder elsewhere is given as run_dir"
        )


def _check_json(config: dict[str, Any]) -> None:
    try:
        json.dumps(config, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"these settings cannot be kept in config.json: {error}") from None


def _new_folder(run_dir: Path | None, name: str | None, default: str) -> Path:
    """Make a folder that is this run's alone."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", default) + time.strftime("-%Y%m%d-%H%M%S")
    wanted = run_dir or RUNS / (name or stem)
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        if run_dir is not None or name is not None:
            return _claim(wanted)
        for path in (wanted, *(wanted.with_name(f"{stem}-{count}") for count in range(2, 1000))):
            with contextlib.suppress(FileExistsError):
                path.mkdir()  # fails where a run that began in the same second was first
                return _claim(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise KeelError(f"cannot make the run folder {wanted}: {reason}; give one that can be written") from None
    raise KeelError(f"{RUNS} holds a thousand runs of this second; give the run a name")


def _claim(path: Path) -> Path:
    """Take an empty or new folder; the lock file, which only one process can create, decides between two at once."""
    path.mkdir(exist_ok=True)
    occupants = sorted(os.listdir(path))
    if _is_run(path):
        raise KeelError(f"{path} holds a run already: resume that one, or give the new one another folder")
    if occupants:
        raise KeelError(f"{path} is not empty (it holds {occupants[0]}): a run needs a folder of its own")
    try:
        os.close(os.open(path / "lock", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        raise KeelError(f"{path} was taken by another run at this moment; give the new one another folder") from None
    sync_folder(path.parent)
    return path


def _is_run(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def _read(folder: Path) -> Run:
    config = read_json(folder / "config.json")
    found = config.get("format") if isinstance(config, dict) else None
    if found != FORMAT:
        raise KeelError(f"{folder / 'config.json'} has format {found!r}; this version of Keel reads format {FORMAT}")
    return Run(folder, config)


def _readable(folders: list[Path]) -> list[Run]:
    runs = []
    for folder in folders:
        try:
            runs.append(_read(folder))
        except (KeelError, OSError) as error:
            _log.warning("left out a run: %s", error)
    return runs


def _run_folders() -> list[Path]:
    return sorted(path for path in RUNS.iterdir() if _is_run(path)) if RUNS.is_dir() else []


def _latest() -> Run:
    folders = _run_folders()
    if not folders:
        raise FileNotFoundError(f"there is no run under {RUNS} yet; `keel train` makes one")
    return _read(max(folders, key=_created))


def _created(folder: Path) -> tuple[float, str]:
    try:
        return read_json(folder / "environment.json")["created_unix_seconds"], folder.name
    except (OSError, KeelError, KeyError, TypeError):
        return 0.0, folder.name


def _matching(pattern: str) -> list[Run]:
    """Runs by a glob over names under results/runs, or else over folders."""
    for base, glob in ((RUNS, pattern), _glob_of_folders(pattern)):
        with contextlib.suppress(NotImplementedError, ValueError):
            if runs := _readable(sorted(path for path in base.glob(glob) if _is_run(path))):
                return runs
    raise FileNotFoundError(f"no run matches '{pattern}', neither under {RUNS} nor as a folder")


def _glob_of_folders(pattern: str) -> tuple[Path, str]:
    path = Path(pattern)
    return (Path(path.anchor), str(path.relative_to(path.anchor))) if path.is_absolute() else (Path(), pattern)


def _not_found(reference: Path | str) -> str:
    folder = Path(reference)
    names = [path.name for path in _run_folders()]
    nearest = difflib.get_close_matches(folder.name, names, n=3, cutoff=0.3) or names[-3:]
    what = "is a folder without config.json, so not a run" if folder.is_dir() else "is no run"
    advice = f"; near it: {', '.join(nearest)}" if nearest else f"; there is no run under {RUNS} yet"
    return f"'{reference}' {what}{advice}"
