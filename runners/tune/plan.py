"""What a study is: its settings, space and objective, kept in its folder as plan.json and never changed."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keel.envs.errors import KeelError, closest
from keel.envs.seeding import derive_seed
from keel.runners.files import flat, hold, read_json, write_json
from keel.runners.settings import Settings
from keel.runners.tune.score import Objective
from keel.runners.tune.space import Space, Values, parse_space, with_values

STUDIES = Path("results/studies")  # relative to the working directory
FORMAT = 1


@dataclass(frozen=True)
class Plan:
    """All that decides a study but for how many trials it gets."""

    name: str
    settings: Settings
    """What every trial has in common; its seed is the study's, from which those of all trials derive."""
    space: Space
    objective: Objective
    seeds_per_trial: int = 3
    pruning: bool = True

    def __post_init__(self) -> None:
        if self.seeds_per_trial < 1:
            raise ValueError(f"seeds_per_trial is {self.seeds_per_trial}: it must be at least 1")
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+=-]{0,149}", self.name) or self.name == "latest":
            raise ValueError(
                f"name is {self.name!r}: it must be letters, digits and . _ + = - (not 'latest'), as it names folders"
            )

    def trial_settings(self, values: Values) -> Settings:
        """The settings of a trial: it stops where it has solved its world, if that is what counts, and films nothing.

        Raises:
            ValueError: settings that do not go together.
        """
        chosen = with_values(self.settings, values)
        training = dataclasses.replace(chosen.training, video=False)
        if self.objective.fewer:
            training = dataclasses.replace(training, stop_at_return=self.objective.goal)
        return dataclasses.replace(chosen, training=training)

    def seed(self, purpose: str, *path: int) -> int:
        """The seed of a run: those of no two trials, nor of the verification, are the same."""
        return derive_seed(self.settings.seed, "tune", purpose, *path)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self.name,
            "settings": self.settings.to_json(),
            "space": {name: dimension.to_json() for name, dimension in self.space.items()},
            "objective": dataclasses.asdict(self.objective),
            "seeds_per_trial": self.seeds_per_trial,
            "pruning": self.pruning,
        }

    @staticmethod
    def from_json(document: dict[str, Any], source: str) -> Plan:
        """Raises: KeelError: of another format. ValueError: settings that are none."""
        if document.get("format") != FORMAT:
            raise KeelError(f"{source} has format {document.get('format')!r}; this version of Keel reads {FORMAT}")
        settings = Settings.from_json(document["settings"], source)
        return Plan(
            name=document["name"],
            settings=settings,
            space=parse_space(document["space"], settings, source),
            objective=Objective(**document["objective"]),
            seeds_per_trial=document["seeds_per_trial"],
            pruning=document["pruning"],
        )


def save_plan(plan: Plan, folder: Path) -> None:
    """Begin the study's folder, or find that it holds this very study.

    Raises:
        KeelError: it holds another one, or other things; names what differs.
    """
    path = folder / "plan.json"
    if not path.exists():
        if folder.is_dir() and any(entry.name != "lock" for entry in folder.iterdir()):
            raise KeelError(f"{folder} is not empty and holds no study: give another --name or --output")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, plan.to_json())
        return
    # Read as a plan first: settings that Keel did not know yet when the study began have their defaults there.
    before, now = flat(Plan.from_json(read_json(path), str(path)).to_json()), flat(plan.to_json())
    changed = [
        f"{name} was {before.get(name)!r} and is {now.get(name)!r}"
        for name in before | now
        if _plain(before.get(name)) != _plain(now.get(name))
    ]
    if changed:
        raise KeelError(
            f"{folder} holds a study with other settings: {'; '.join(changed[:3])}"
            f"{'; …' if len(changed) > 3 else ''}. Give another --name, or continue it as it is: "
            f"keel tune --resume {folder}"
        )


def load_plan(reference: Path | str) -> tuple[Plan, Path]:
    """The study of a folder or of a name under results/studies, and its folder.

    Raises:
        FileNotFoundError: there is no such study; names the nearest one.
    """
    for folder in (Path(reference), STUDIES / reference):
        if (folder / "plan.json").is_file():
            return Plan.from_json(read_json(folder / "plan.json"), str(folder / "plan.json")), folder
    names = [path.parent.name for path in STUDIES.glob("*/plan.json")]
    raise FileNotFoundError(f"'{reference}' is no study{closest(str(reference), names)}; those of {STUDIES}: {names}")


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the study's folder: two processes would give out the same trials. The system lets go of it at the end.

    Raises:
        KeelError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with hold(folder / "lock", f"study {folder} is in use by process {{process}}: more at a time is --jobs"):
        yield


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
