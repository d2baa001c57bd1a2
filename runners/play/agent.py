"""The agent that a person plays: how well it plays, what it thinks of a position, and a thread in which it does so."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, NamedTuple

from keel.agents.evaluators import RolloutEvaluator
from keel.agents.search import Evaluate, Found, Search, SearchConfig
from keel.envs.games.game import Game
from keel.envs.protocol import Array
from keel.envs.seeding import generator
from keel.runners.games.players import run_search
from keel.runners.play.table import Position
from keel.runners.run import Run

MOST_CANDIDATES = 16
MOST_SECONDS = 20.0  # of a move of the highest level, about


class Level(NamedTuple):
    """How well the agent plays."""

    name: str
    simulations: int
    by_shares: bool = False  # moves are drawn by their shares, so that mistakes happen


# Games by lot judge a position far worse than a network does, and take more of them.
NETWORK_LEVELS = (Level("easy", 24, by_shares=True), Level("medium", 160), Level("hard", 1_000))
ROLLOUT_LEVELS = (Level("easy", 100, by_shares=True), Level("medium", 1_000), Level("hard", 4_000))


class Candidate(NamedTuple):
    """A move that was looked at."""

    action: int
    name: str
    share: float  # of the visits, 0 to 1; 0 where it is known to lose, or another to be better
    value: float  # to the player who would make it, -1 to 1
    line: tuple[str, ...]  # how the search expects the game to go on, this move first


class Thought(NamedTuple):
    """What a search found in a position."""

    position: Position
    action: int  # what the agent would play
    value: float  # to the player who is to move, -1 to 1
    candidates: tuple[Candidate, ...]  # the largest share first
    simulations: int  # that were made
    seconds: float

    @property
    def effort(self) -> str:
        """For people."""
        return f"{self.simulations:,} simulation{'s' * (self.simulations != 1)}, {self.seconds:.1f} s"


class Cancelled(Exception):
    """Nobody waits for this thought any more."""


@dataclass(frozen=True)
class Agent:
    """What judges positions, and how well the game is played with it.

    The search is AlphaZero's own at its root too (`puct`): its shares of visits say how much a move is preferred, and
    to draw from them makes an opponent that errs a little.
    """

    game: Game
    name: str
    """For people."""
    evaluate: Evaluate
    levels: tuple[Level, ...]
    config: SearchConfig = dataclasses.field(default_factory=SearchConfig)
    seed: int = 0

    def think(self, position: Position, level: Level, draw: int, watch: Callable[[], None] = lambda: None) -> Thought:
        """Search from a position that has not ended.

        Args: draw: counts the moves of a sitting: with the seed it says how chance falls. watch: is called before
            each evaluation; what it raises ends the search.
        """
        begun = time.perf_counter()
        config = dataclasses.replace(self.config, rule="puct", inside="puct", simulations=level.simulations)
        search = Search(self.game, config, 1)

        def evaluate(states: Array) -> tuple[Array, Array]:
            watch()
            return self.evaluate(states)

        found = search.run(position.state[None], evaluate)
        action = int(found.action[0])
        if level.by_shares:
            shares = found.policy[0].astype(float)
            action = int(generator(self.seed, "play", draw).choice(len(shares), p=shares / shares.sum()))
        candidates = self._candidates(position, search, found)
        seconds = time.perf_counter() - begun
        simulations = int(found.visits[0].sum())  # fewer than were allowed where a proof made an end
        return Thought(position, action, float(found.value[0]), candidates, simulations, seconds)

    def _candidates(self, position: Position, search: Search, found: Found) -> tuple[Candidate, ...]:
        shares, visits, values = found.policy[0], found.visits[0], found.action_value[0]
        considered = [action for action in position.legal if visits[action] or shares[action]]
        candidates = []
        # First those that can be the best, however often one that is known to lose was looked at before that was known.
        for action in sorted(considered, key=lambda action: (-shares[action], -visits[action]))[:MOST_CANDIDATES]:
            line = search.variation(0, action) or [action]
            players = [(position.player + ply) % 2 for ply in range(len(line))]
            names = tuple(self.game.action_name(move, who) for move, who in zip(line, players, strict=True))
            value = float(values[action] if visits[action] else found.value[0])
            candidates.append(Candidate(action, names[0], float(shares[action]), value, names))
        return tuple(candidates)


def rollout_agent(game: Game, seed: int) -> Agent:
    """Who needs no training: each position is worth what a game by lot from it ends with.

    Where such games take long, the levels are made smaller.
    """
    evaluate, start = RolloutEvaluator(game, seed), game.start()[None]
    evaluate(start)  # compiles
    begun = time.perf_counter()
    evaluate(start)
    levels = paced(ROLLOUT_LEVELS, time.perf_counter() - begun)
    return Agent(game, "Monte Carlo search, no network", RolloutEvaluator(game, seed), levels, seed=seed)


def chess_agent(game: Game, seed: int) -> Agent:
    """Who needs no training at chess, of which games by lot say nothing: rules of thumb judge its positions.

    Raises: ImportError: without the extra `games`.
    """
    from keel.envs.games.chess_judgement import judge

    config = SearchConfig(c_init=0.5)  # with 1.25 two rooks mate in 39 plies of 160 simulations, so in 27
    return Agent(game, "rules of thumb, no network", judge, NETWORK_LEVELS, config, seed)


def paced(levels: tuple[Level, ...], seconds: float) -> tuple[Level, ...]:
    """The levels, with fewer simulations where one takes so many seconds that the largest would keep people waiting."""
    most = max(level.simulations for level in levels)
    share = min(1.0, MOST_SECONDS / (most * seconds))
    return tuple(level._replace(simulations=max(1, round(share * level.simulations))) for level in levels)


def run_agent(run: Run, game: Game, checkpoint: Literal["best", "last"], device: str, seed: int) -> Agent:
    """A run's network. Raises: ValueError: the run does not play this game. CheckpointError: no whole checkpoint."""
    evaluate, config = run_search(run, game, checkpoint, device)
    return Agent(game, run.name, evaluate, NETWORK_LEVELS, config, seed)


class Thinker:
    """Thinks in a thread of its own about one position at a time; who asks again no longer wants the first answer."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._threads = ThreadPoolExecutor(1, "thinker")
        self._answer: Future[Thought] | None = None
        self._ticket, self._asked, self._done, self._begun = 0, 1, 0, 0.0

    @property
    def busy(self) -> bool:
        return self._answer is not None

    @property
    def progress(self) -> float:
        """Of the simulations, 0 to 1. Those that end in a finished game are not counted."""
        return min(1.0, self._done / self._asked) if self.busy else 0.0

    @property
    def seconds(self) -> float:
        """Since it was asked."""
        return time.perf_counter() - self._begun if self.busy else 0.0

    def ask(self, position: Position, level: Level, draw: int) -> None:
        """Begin to think; `answer` gives what came of it. `draw` as in `Agent.think`."""
        self.cancel()
        self._asked, self._done, self._begun = level.simulations, 0, time.perf_counter()
        watch = functools.partial(self._watch, self._ticket)
        self._answer = self._threads.submit(self._agent.think, position, level, draw, watch)

    def cancel(self) -> None:
        """Forget what was asked; a search that runs ends at its next evaluation."""
        self._ticket += 1
        self._answer = None

    def close(self) -> None:
        """Cancel, and think no more."""
        self.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def answer(self) -> Thought | None:
        """The thought that was asked for, once, when it is there. Raises: what went wrong in the thread."""
        if self._answer is None or not self._answer.done():
            return None
        answer, self._answer = self._answer, None
        return answer.result()

    def _watch(self, ticket: int) -> None:
        if ticket != self._ticket:
            raise Cancelled
        self._done += 1
