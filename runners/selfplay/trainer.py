"""What happens around the iterations of self-play: rows, evaluations, ratings, checkpoints, the wish to stop."""

from __future__ import annotations

import copy
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from keel.agents.agent import Metrics
from keel.agents.alphazero import AlphaZero
from keel.agents.evaluators import network_evaluator
from keel.agents.players import Player, SearchPlayer
from keel.envs.protocol import State
from keel.envs.seeding import derive_seed
from keel.networks.policy_value import PolicyValueNetwork
from keel.runners import checkpoint
from keel.runners.arena.elo import Results, rate
from keel.runners.arena.match import Match, play_match
from keel.runners.arena.records import write_games
from keel.runners.games.players import make_player, playing
from keel.runners.memory import trim_heap
from keel.runners.run import Run, RunState
from keel.runners.selfplay.actors import Actors
from keel.runners.selfplay.console import SCORE, SelfPlayConsole
from keel.runners.selfplay.settings import AGENT, SelfPlaySettings
from keel.runners.stop import Clock, StopWish
from keel.runners.tracker import JsonLines
from keel.runners.trainer import fixed_settings

GAMES = "games"  # the folder of the evaluations' games
FIXED_APART = ("iterations", "minutes")  # of the training's settings: where it ends


class SelfPlayResult(NamedTuple):
    """How a training by self-play ended."""

    run: Run
    state: RunState
    stopped_by: signal.Signals | None  # None: it reached its end
    iterations: int
    games: int
    moves: int
    updates: int  # gradient steps
    elo: float | None  # of the best network, with random play at 0 where that is an opponent
    elo_interval: tuple[float, float] | None
    training_seconds: float  # without evaluations
    tracking_seconds: float  # of those, inside tracker calls


class SelfPlayTrainer:
    """One learner and its actors into a run folder. A row's `global_step` counts moves of self-play."""

    console: SelfPlayConsole

    def __init__(self, run: Run, settings: SelfPlaySettings, learner: AlphaZero, actors: Actors) -> None:
        self.folder, self.settings, self.training = run, settings, settings.training
        self.learner, self.actors = learner, actors
        self.game = learner.game
        self.rows = JsonLines(run)
        self.wish = StopWish(lambda text: self.console.message(text.replace("this step", "this iteration")))
        self.clock = Clock()
        self.results = Results()
        self.evaluated = 0  # evaluations so far
        self.saved_at, self.saved_seconds = 0, 0.0  # the last snapshot: its iteration, and when it was made
        self.best: tuple[str, PolicyValueNetwork] | None = None
        self.on_evaluation: Callable[[SelfPlayTrainer], None] | None = None
        self.on_snapshot: Callable[[], object] = lambda: None

    def restore(self, state: State) -> None:
        """Continue from the snapshot `state`: rows written after it are cut off, and will be written again."""
        checkpoint.check_shapes(
            {"network": dict(self.learner.network.state_dict())}, {"network": state["learner"]["network"]}
        )
        self.learner.load_state_dict(state["learner"])
        self.actors.load_state_dict(state["actors"])
        self.results = Results.from_json(state["results"])
        self.evaluated = state["evaluated"]
        if state["best"] is not None:
            network = copy.deepcopy(self.learner.network)
            network.load_state_dict(state["best"]["network"])
            self.best = state["best"]["name"], network
        self.forget_later_evaluations()
        self.rows.truncate(state["metrics_position"])

    def forget_later_evaluations(self) -> None:
        """Bring the best checkpoint and the games of evaluations to where the snapshot is: they may be further."""
        if self.best is not None:
            self.save(checkpoint.BEST, {"network": dict(self.best[1].state_dict())})
        else:
            shutil.rmtree(self.folder.checkpoints / checkpoint.BEST, ignore_errors=True)
        for path in (self.folder.path / GAMES).glob("iteration-*"):
            if int(path.stem.rpartition("-")[2]) > self.learner.iteration:
                path.unlink()

    def run(self) -> SelfPlayResult:
        """Train to the end, or until a signal says stop; a snapshot at either leaves nothing to lose."""
        self.clock = Clock()
        if timing := self.folder.timing():
            self.clock.before = timing[-1]["training_seconds"]
        self.folder.set_status("running", global_step=self.learner.moves)
        if self.learner.iteration == 0:
            self.snapshot()
        self.saved_at, self.saved_seconds = self.learner.iteration, self.clock.wall_seconds
        self.reached = self.progress()
        self.evaluated = min(self.evaluated, self.due())  # a run that is made longer is not judged to its end yet
        while not self.ended and self.wish.signal is None:
            if self.one_iteration() or self.clock.wall_seconds - self.saved_seconds >= self.training.checkpoint_seconds:
                self.snapshot()
        if self.saved_at != self.learner.iteration:
            self.snapshot()
        elo = self.rating(self.best[0]) if self.best else None
        return SelfPlayResult(
            run=self.folder,
            state="interrupted" if self.wish.signal else "finished",
            stopped_by=self.wish.signal,
            iterations=self.learner.iteration,
            games=self.learner.games,
            moves=self.learner.moves,
            updates=self.learner.updates,
            elo=elo[0] if elo else None,
            elo_interval=elo[1] if elo else None,
            training_seconds=self.clock.training_seconds,
            tracking_seconds=self.rows.seconds_spent,
        )

    @property
    def ended(self) -> bool:
        """The last evaluation is due at the end, which a clock can pass after an iteration's look at it."""
        return self.reached >= 1.0 and self.evaluated >= self.training.evaluations

    def progress(self) -> float:
        """How much of the training is over, 0 to 1."""
        if self.training.iterations:
            return min(1.0, self.learner.iteration / self.training.iterations)
        return min(1.0, self.clock.training_seconds / (60.0 * self.training.minutes))

    def due(self) -> int:
        """How many evaluations there have to be by now."""
        return int(self.reached * self.training.evaluations + 1e-9)

    def one_iteration(self) -> bool:
        """Actors play with the network as it was, while that learns from what was played before; whether it was
        evaluated, too."""
        self.actors.begin(self.learner.network)
        metrics = self.learner.learn(self.progress())
        metrics |= self.learner.take(self.actors.end())
        self.reached = self.progress()  # asked once: no clock ends a training whose last evaluation was not due
        if evaluated := self.due() > self.evaluated:
            self.evaluated = self.due()
            with self.clock.paused():
                metrics |= self.evaluate()
                if self.on_evaluation is not None:
                    self.on_evaluation(self)
        self.rows.log(self.learner.moves, metrics)
        self.log_timing()
        self.console.update(self.reached, self.learner.moves, self.learner.games, metrics)
        return evaluated

    def evaluate(self) -> Metrics:
        """Let the network meet the fixed opponents and the best one so far, and rate them all; the better one stays."""
        name, opponents = f"iteration {self.learner.iteration}", self.training.opponents
        player = self.player(name, self.learner.network)
        seed = derive_seed(self.settings.seed, "evaluation", self.evaluated)
        matches = [
            self.meet(player, make_player(words, self.game, seed=seed), derive_seed(seed, words)) for words in opponents
        ]
        # `eval/return` is what every agent's evaluation is: the mean result against the world's opponents, -1 to 1.
        metrics: Metrics = {SCORE + match.second: match.tally().score for match in matches}
        if matches:
            metrics["eval/return"] = sum(2.0 * match.tally().score - 1.0 for match in matches) / len(matches)
        better = True
        if self.best is not None:
            match = self.meet(player, self.player(*self.best), derive_seed(seed, "best"))
            matches.append(match)
            metrics[SCORE + "best"] = match.tally().score
            better = match.tally().score >= 0.5
        write_games(self.folder.path / GAMES, name.replace(" ", "-"), self.game, matches)
        if better:
            self.best = name, copy.deepcopy(self.learner.network)
            self.save(checkpoint.BEST, {"network": dict(self.best[1].state_dict())})
        if rated := self.rating(name):
            elo, (low, high) = rated
            metrics |= {"eval/elo": elo, "eval/elo_low": low, "eval/elo_high": high}
        trim_heap()
        return metrics

    def player(self, name: str, network: PolicyValueNetwork) -> SearchPlayer:
        evaluate = network_evaluator(self.game, network, self.learner.device)
        return SearchPlayer(name, self.game, evaluate, playing(self.settings.hyperparameters.search))

    def meet(self, player: Player, opponent: Player, seed: int) -> Match:
        match = play_match(self.game, player, opponent, self.training.evaluate_games, seed)
        self.results.add_match(match)
        return match

    def rating(self, name: str) -> tuple[float, tuple[float, float]] | None:
        """A player's Elo and its 95 % interval, by all results so far; None where nobody has met."""
        if name not in self.results.players:
            return None
        elo, interval = rate(self.results, anchor_of(self.training.opponents)).of(name)
        return elo, (interval.low, interval.high)

    def snapshot(self) -> None:
        """Save all that an exact continuation needs."""
        best = None if self.best is None else {"name": self.best[0], "network": dict(self.best[1].state_dict())}
        state = {
            "learner": self.learner.state_dict(),
            "actors": self.actors.state_dict(),
            "results": self.results.to_json(),
            "evaluated": self.evaluated,
            "best": best,
            "metrics_position": self.rows.position(),
        }
        self.save(checkpoint.step_name(self.learner.moves), state)
        self.on_snapshot()
        self.saved_at, self.saved_seconds = self.learner.iteration, self.clock.wall_seconds

    def save(self, name: str, state: State) -> None:
        about: dict[str, Any] = {"agent": AGENT, "env": self.settings.game, "global_step": self.learner.moves}
        about["settings"] = lasting_settings(self.folder.config)
        checkpoint.save(self.folder.checkpoints, name, state, about=about)

    def log_timing(self) -> None:
        seconds = self.clock.training_seconds
        per_second = {
            "steps_per_second": self.learner.moves / max(seconds, 1e-9),
            "games_per_second": self.learner.games / max(seconds, 1e-9),
        }
        timing = {"training_seconds": seconds, "wall_seconds": self.clock.wall_seconds}
        self.rows.log_timing(self.learner.moves, timing | per_second)

    def close(self, state: RunState, error: str | None = None) -> None:
        """Say how the run ended, after which no rows are written to it."""
        self.actors.close()
        self.console.close()
        self.rows.finish(state)
        if error is not None:
            self.folder.set_status(state, error=error)


def anchor_of(opponents: Sequence[str]) -> str | None:
    """Whose rating is 0: random play where it is an opponent, else the first opponent; None: the first network."""
    return "random" if "random" in opponents else next(iter(opponents), None)


def lasting_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Of a run's config, what must stay as it was for a continuation: all but where the training ends."""
    settings = fixed_settings(config)
    training = {name: value for name, value in settings["training"].items() if name not in FIXED_APART}
    return settings | {"training": training}
