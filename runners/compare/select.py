"""Which runs to compare: by name or glob, by group, and by what their settings are."""

from __future__ import annotations

import fnmatch
import json
import logging
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from keel.envs.errors import KeelError, closest
from keel.runners.files import flat
from keel.runners.run import RUNS, Run

_log = logging.getLogger(__name__)

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_CONDITION = re.compile(r"\s*([\w.]+)\s*(!=|<=|>=|==|=|<|>)\s*(.*?)\s*", re.DOTALL)
_TRIAL = re.compile(r"-trial-\d{3}")  # in the names that `keel tune` gives
_WORDS = {"none": None, "null": None, "true": True, "yes": True, "false": False, "no": False}


class Condition(NamedTuple):
    """What a setting has to be."""

    name: str
    sign: str
    value: Any
    word: str  # the value as it was written
    text: str  # all of it as it was written

    @staticmethod
    def read(text: str) -> Condition:
        """`NAME=VALUE`, also with != < <= > >=; a value is a number, true, false, none, a JSON list or a word.

        Raises:
            ValueError: another form, or an order among values that have none.
        """
        match = _CONDITION.fullmatch(text)
        if match is None or match[3] == "":
            signs = " ".join(OPERATORS)
            raise ValueError(f"--where '{text}': write NAME and VALUE with one of {signs} between, such as agent=ppo")
        sign = "=" if match[2] == "==" else match[2]
        value = _value(match[3])
        if sign not in ("=", "!=") and not _is_number(value):
            raise ValueError(f"--where '{text}': '{match[3]}' is no number, so only = and != can be asked")
        return Condition(match[1], sign, value, match[3], text)

    def holds(self, settings: dict[str, Any]) -> bool:
        """Whether the run's settings fulfil it; a run without the setting does not, whatever is asked.

        Raises:
            ValueError: a setting that is no number is asked whether it is less or more than one.
        """
        if self.name not in settings:
            return False
        own = settings[self.name]
        if self.sign in ("=", "!="):
            value = self.word if isinstance(own, str) else self.value
            return OPERATORS[self.sign](_same_kind(own), _same_kind(value))
        if own is None:
            return False
        if not _is_number(own):
            raise ValueError(
                f"--where '{self.text}': {self.name} is {own!r} in some run, so only = and != can be asked"
            )
        return OPERATORS[self.sign](own, self.value)


def select_runs(patterns: Sequence[str], groups: Sequence[str], conditions: Sequence[str]) -> list[Run]:
    """The runs that the patterns name, or all under results/runs; of these the ones in a group and with the settings.

    Args:
        patterns: as for `Run.find`, but trials of `keel tune` are meant only where they are named, where a glob says
            "trial", or where nothing else is left: one study has more settings than a page can tell apart.
        groups: WORLD-AGENT as in W&B, or globs of it; a run has to be in one of them.
        conditions: as for `Condition.read`; all have to hold.

    Raises:
        ValueError: nothing was asked for, or a condition that cannot be read or names no setting of any run.
        KeelError: no run is left.
        FileNotFoundError: a pattern that no run matches.
    """
    wanted = [Condition.read(text) for text in conditions]
    if not (patterns or groups or wanted):
        raise ValueError("say which runs: RUN…, names or globs; or --group WORLD-AGENT; or --where NAME=VALUE")
    runs = Run.find(list(patterns)) if patterns else _all_agents()
    if not runs:
        raise KeelError(f"there is no run under {RUNS} yet; `keel train` makes one")
    if groups:
        runs = _in_groups(runs, groups)
    settings = {run.path: settings_of(run) for run in runs}
    names = list(dict.fromkeys(name for own in settings.values() for name in own))
    wanted = [condition._replace(name=full_name(condition.name, names)) for condition in wanted]
    kept = [run for run in runs if all(condition.holds(settings[run.path]) for condition in wanted)]
    if not kept:
        raise KeelError(f"none of {len(runs)} runs fulfils {' and '.join(condition.text for condition in wanted)}")
    return _but_trials(kept, patterns)


def settings_of(run: Run) -> dict[str, Any]:
    """All settings by their full names, with env, agent, seed and name."""
    return {name: value for name, value in flat(run.config).items() if name != "format"}


def full_name(name: str, known: Sequence[str]) -> str:
    """The setting that is meant: by its full name, or by the last part of it where only one ends so.

    Raises:
        ValueError: no run has such a setting, or several end so; names what is near.
    """
    if name in known:
        return name
    ends = [full for full in known if full.endswith(f".{name}")]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise ValueError(f"--where: '{name}' could be {' or '.join(ends)}; write the whole name")
    parts = {full.rpartition(".")[2]: full for full in known}
    near = closest(name, known) or closest(name.rpartition(".")[2], parts)
    raise ValueError(f"--where: no run has a setting '{name}'{near}; config.json of a run lists them")


def _in_groups(runs: Sequence[Run], groups: Sequence[str]) -> list[Run]:
    names = {run.path: group_name(run) for run in runs}
    for group in groups:
        if not fnmatch.filter(names.values(), group):
            known = sorted(set(names.values()))
            raise ValueError(
                f"--group {group}: none of {len(runs)} runs is in it{closest(group, known)}; "
                f"there are: {', '.join(known) or 'none'}"
            )
    return [run for run in runs if any(fnmatch.fnmatchcase(names[run.path], group) for group in groups)]


def group_name(run: Run) -> str:
    """World and agent, as the run's group is called on W&B."""
    return f"{run.config['env']}-{run.config['agent']}"


def _but_trials(runs: Sequence[Run], patterns: Sequence[str]) -> list[Run]:
    """The runs but for trials of `keel tune` that only globs without "trial" match; all, where there are no others."""
    sure = [pattern for pattern in patterns if "trial" in pattern or not any(sign in pattern for sign in "*?[")]
    named = {run.path.resolve() for run in Run.find(sure)}
    kept = [run for run in runs if run.path.resolve() in named or not _TRIAL.search(run.name)] or list(runs)
    if left_out := len(runs) - len(kept):
        _log.warning("left out %d trials of keel tune; a pattern such as '*-trial-*' takes them in", left_out)
    return kept


def _all_agents() -> list[Run]:
    from keel.runners.kinds import is_pretraining

    return [run for run in Run.all() if not is_pretraining(run.config)]


def _value(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same_kind(value: Any) -> Any:
    """A value that equals another one only if it is of its kind: true is not 1, though Python says so."""
    return ("bool", value) if isinstance(value, bool) else value
