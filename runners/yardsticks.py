"""What a world's own controllers reach on the very episodes that an agent is judged by."""

from __future__ import annotations

from keel.agents.agent import Metrics
from keel.envs.registry import find_entry
from keel.runners.console import SAVING
from keel.runners.evaluate import MAX_WORLDS, Evaluation, evaluate_agent
from keel.runners.settings import Settings
from keel.runners.subjects import Subject, yardsticks


class Yardsticks:
    """Savings beside each controller of the run's world; nothing where the world has none.

    A controller needs no training, so its figures are made once, at the first evaluation.
    """

    def __init__(self, settings: Settings) -> None:
        entry = find_entry(settings.env)
        self._settings = settings
        self._measure = entry.saved if entry is not None else ""
        self._used: dict[str, float] = {}

    def savings(self, evaluation: Evaluation, seed: int) -> Metrics:
        """`eval/saving_NAME`: by what share the agent lowers the measure beside the controller NAME.

        Args: seed: of the evaluation's episodes, which are always the same ones.
        """
        if not self._measure or self._measure not in evaluation.means:
            return {}
        if not self._used:
            subjects = yardsticks(self._settings.env, self._settings.training.env_options)
            self._used = {name: self._run(one, len(evaluation.returns), seed) for name, one in subjects.items()}
        own = float(evaluation.means[self._measure].mean())
        return {f"{SAVING}{name}": 1.0 - own / used for name, used in self._used.items()}

    def _run(self, subject: Subject, episodes: int, seed: int) -> float:
        worlds = subject.worlds(min(episodes, MAX_WORLDS))
        try:
            return float(
                evaluate_agent(subject.agent, worlds, episodes=episodes, seed=seed).means[self._measure].mean()
            )
        finally:
            worlds.close()
