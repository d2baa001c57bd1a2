"""A study's memory: Optuna's TPE proposes, its median rule gives up, and a journal in the folder forgets nothing.

The journal is a file of JSON lines, each made durable before the next; what a killed process had half written is cut
off when the study is opened again. Only the process that holds the study's lock writes it.

Sources: TPE: Bergstra et al. 2011, Algorithms for hyper-parameter optimization; the median rule: Golovin et al. 2017,
Google Vizier; importances: Hutter et al. 2014, An efficient approach for assessing hyperparameter importance (fANOVA).
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from keel.envs.errors import KeelError
from keel.runners.files import complete_lines
from keel.runners.tune.plan import Plan
from keel.runners.tune.score import Outcome
from keel.runners.tune.space import Dimension, Range, Values, value_of

JOURNAL = "journal.jsonl"
RANDOM_TRIALS = 8  # before TPE has anything to go by
PRUNING_AFTER = 5  # whole trials, and before them no trial is given up
FIRST_RUNG = 2  # of the steps at which trials are compared: earlier all are as bad
INTERRUPTED = "stopped, and queued again"

State: TypeAlias = Literal["complete", "pruned", "failed", "interrupted", "running", "waiting"]


@dataclass(frozen=True)
class Trial:
    """What is known of a trial. `seconds` are those of its process."""

    number: int
    state: State
    values: Values
    value: float | None = None
    error: str | None = None
    seconds: float | None = None
    runs: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def counts(self) -> bool:
        """Whether it is one of the trials that were asked for: all but those that begin anew under another number."""
        return self.state in ("complete", "pruned", "failed")


class Study:
    """The trials so far, and the next one.

    Raises:
        KeelError: Optuna is not installed.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self._optuna = _import_optuna()
        path = folder / JOURNAL
        mend(path)
        journal = importlib.import_module("optuna.storages.journal")
        direction = "minimize" if plan.objective.fewer else "maximize"
        with _quiet():
            self._storage = self._optuna.storages.JournalStorage(journal.JournalFileBackend(str(path)))
            self._study = self._optuna.create_study(
                study_name=plan.name,
                storage=self._storage,
                direction=direction,
                load_if_exists=True,
                sampler=self._optuna.samplers.RandomSampler(seed=0),
                pruner=self._optuna.pruners.MedianPruner(PRUNING_AFTER, FIRST_RUNG) if plan.pruning else None,
            )
        self._distributions = {name: self._distribution(dimension) for name, dimension in plan.space.items()}
        self._live: dict[int, Any] = {}
        self._requeue_interrupted()
        if not self._study.get_trials(deepcopy=False):
            self._enqueue({name: value_of(plan.settings, name) for name in plan.space})

    def asked(self, name: str, given: int | None, at_first: int) -> int:
        """How many of these are wanted: as `given`, which is remembered, or as it was the last time."""
        before = self._study.user_attrs.get(name)
        wanted = given if given is not None else before if before is not None else at_first
        if wanted != before:
            self._study.set_user_attr(name, wanted)
        return wanted

    def ask(self) -> tuple[int, Values]:
        """The number and the values of the next trial: the settings tuned from first, then what TPE proposes.

        The proposal depends on the study's seed, the trial's number and the trials before it alone.
        """
        number = len(self._study.get_trials(deepcopy=False))
        seed = self.plan.seed("sampler", number)
        with _quiet():
            sampler = self._optuna.samplers.TPESampler
            self._study.sampler = sampler(
                n_startup_trials=RANDOM_TRIALS, multivariate=True, constant_liar=True, seed=seed
            )
            trial = self._study.ask(self._distributions)
        self._live[trial.number] = trial
        return trial.number, self._decoded(trial.params)

    def report(self, number: int, rung: int, progress: float) -> None:
        """How far the trial had come at that rung, in the direction of the objective."""
        self._live[number].report(progress, rung)

    def is_hopeless(self, number: int) -> bool:
        """Whether half of the whole trials had come further at the rung that was reported last."""
        return self.plan.pruning and self._live[number].should_prune()

    def finish(
        self,
        number: int,
        state: Literal["complete", "pruned", "failed", "interrupted"],
        *,
        value: float | None = None,
        error: str | None = None,
        seconds: float = 0.0,
        runs: Sequence[str] = (),
        outcomes: Sequence[Outcome] = (),
    ) -> None:
        """How the trial ended; one that was interrupted is queued again."""
        trial = self._live.pop(number)
        about = {"seconds": seconds, "runs": list(runs), "outcomes": [outcome.to_json() for outcome in outcomes]}
        for name, known in (about | ({"error": error} if error else {})).items():
            trial.set_user_attr(name, known)
        if state == "interrupted":
            self._give_up(number)
        else:
            states = self._optuna.trial.TrialState
            final = {"complete": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}[state]
            self._study.tell(number, values=value, state=final)

    def trials(self) -> list[Trial]:
        """All trials by number."""
        return [self._known(frozen) for frozen in self._study.get_trials(deepcopy=False)]

    def best(self) -> Trial | None:
        """The best of the whole trials."""
        whole = [trial for trial in self.trials() if trial.state == "complete" and trial.value is not None]
        sign = 1 if self.plan.objective.fewer else -1
        return min(whole, key=lambda trial: sign * (trial.value or 0.0), default=None)

    def importances(self) -> tuple[dict[str, float], str]:
        """How much of the differences between whole trials each setting explains, in [0, 1], and by which method.

        Empty where there are too few trials to say anything. Values of `steps` and `seconds` are taken as logarithms,
        so that the worst trials do not decide alone.
        """
        whole = [trial for trial in self.trials() if trial.state == "complete"]
        if len(whole) < 4 or len({trial.value for trial in whole}) < 2:
            return {}, "too few whole trials"
        module = importlib.import_module("optuna.importance")
        fewer = self.plan.objective.fewer
        target = lambda trial: math.log(max(trial.value, 1e-9)) if fewer else trial.value
        with _quiet():
            try:
                importlib.import_module("sklearn.ensemble")
                evaluator, method = module.FanovaImportanceEvaluator(seed=0), "fANOVA"
            except ImportError:
                evaluator, method = module.PedAnovaImportanceEvaluator(), "PED-ANOVA (fANOVA needs scikit-learn)"
            return dict(module.get_param_importances(self._study, evaluator=evaluator, target=target)), method

    def _known(self, frozen: Any) -> Trial:
        about = frozen.user_attrs
        state: Any = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}.get(
            frozen.state.name, frozen.state.name.lower()
        )
        if frozen.system_attrs.get("interrupted"):
            state = "interrupted"
        params = frozen.params or frozen.system_attrs.get("fixed_params", {})
        return Trial(
            number=frozen.number,
            state=state,
            values=self._decoded(params),
            value=frozen.value if state == "complete" else None,
            error=INTERRUPTED if state == "interrupted" else about.get("error"),
            seconds=about.get("seconds"),
            runs=about.get("runs", []),
            outcomes=[Outcome(**outcome) for outcome in about.get("outcomes", [])],
        )

    def _requeue_interrupted(self) -> None:
        """Trials that a killed process left behind begin anew, under other numbers."""
        for frozen in self._study.get_trials(deepcopy=False):
            if frozen.state.name == "RUNNING":
                self._give_up(frozen.number)

    def _give_up(self, number: int) -> None:
        """Queue its settings again, then end it: a kill in between leaves both, and the queue knows it already."""
        trials = self._study.get_trials(deepcopy=False)
        frozen = trials[number]
        queued = {trial.user_attrs.get("instead_of") for trial in trials}
        if frozen.params and number not in queued:
            self._study.enqueue_trial(frozen.params, {"instead_of": number})
        self._storage.set_trial_system_attr(frozen._trial_id, "interrupted", True)
        self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)

    def _enqueue(self, values: Values) -> None:
        self._study.enqueue_trial({name: _encoded(self.plan.space[name], value) for name, value in values.items()})

    def _decoded(self, params: dict[str, Any]) -> Values:
        """Lists out of their texts; in the order of the space."""
        return {
            name: value
            if isinstance(self.plan.space[name], Range)
            else next(choice for choice in self.plan.space[name].ends() if _text(choice) == value)
            for name in self.plan.space
            if (value := params.get(name)) is not None or name in params
        }

    def _distribution(self, dimension: Dimension) -> Any:
        kinds = self._optuna.distributions
        if not isinstance(dimension, Range):
            return kinds.CategoricalDistribution([_text(value) for value in dimension.values])
        kind = kinds.IntDistribution if dimension.whole else kinds.FloatDistribution
        return kind(dimension.low, dimension.high, log=dimension.log)


def mend(path: Path) -> None:
    """Cut off the row that a killed writer left unfinished, and the lock that it held."""
    if path.exists():
        os.truncate(path, sum(map(len, complete_lines(path))))
    for left in path.parent.glob(f"{path.name}.lock*"):
        left.unlink()


def _encoded(dimension: Dimension, value: Any) -> Any:
    return value if isinstance(dimension, Range) else _text(value)


def _text(value: Any) -> str:
    """A choice as Optuna keeps it: lists are no choices there, and every choice by its JSON is one rule for all."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def _import_optuna() -> Any:
    try:
        optuna = importlib.import_module("optuna")
    except ImportError as error:
        raise KeelError("keel tune needs the extra 'tune': pip install 'keel-rl[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's warnings that something is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
