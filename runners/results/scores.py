"""What the pages of results/benchmarks say of agents in worlds, brought into one table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from keel.envs.errors import KeelError
from keel.runners.seed_statistics import Interval

Result: TypeAlias = Mapping[str, Any]  # of a benchmark, as its JSON file holds it
Row: TypeAlias = Mapping[str, Any]  # of a result: one training


class Score(NamedTuple):
    """An agent in a world, as one page tells it."""

    agent: str
    world: str
    measure: str  # what the values are, with their unit
    best: tuple[float, ...]  # of the best weights, a value a seed; () where only the last ones were judged
    last: tuple[float, ...]  # of the last weights; () where only the best ones were
    steps: float | None  # median over seeds; in self-play these are moves
    seconds: float | None  # of training, median over seeds
    digits: int = 1  # after the point
    counted: Interval | None = None  # for one seed: of the positions or games that it was judged on
    page: str = ""

    @property
    def judged(self) -> tuple[float, ...]:
        """What interval and extremes are of: the best weights' values, or the last's where only they were judged."""
        return self.best or self.last

    @property
    def interval(self) -> Interval | None:
        """95 %: of the mean over seeds (Student); for one seed of what was counted; None where neither is known."""
        from keel.runners.benchmarks.learning import (  # loads torch, and a plan needs none
            T_975,
            mean_interval,
        )

        if 2 <= len(self.judged) <= len(T_975) + 1:
            return mean_interval(self.judged)
        return self.counted

    def shown(self, value: float) -> str:
        return f"{value:.{self.digits}f}"


def scores(documents: Mapping[str, Result]) -> list[Score]:
    """All scores of the pages, those of one world together; pages that judge no agent in a world have none.

    Args: documents: the JSON of pages by their names.
    Raises: KeelError: a page whose JSON is not what its benchmark writes now.
    """
    found = []
    for name, read in READERS.items():
        if name in documents:
            try:
                found += [score._replace(page=name) for score in read(documents[name])]
            except (KeyError, TypeError, ValueError, IndexError, AttributeError, statistics.StatisticsError) as error:
                raise KeelError(
                    f"{name}.json is not what its benchmark writes now ({type(error).__name__}: {error}): make it again "
                    f"with keel benchmark {name}"
                ) from error
    worlds = list(dict.fromkeys(score.world for score in found))
    return sorted(found, key=lambda score: worlds.index(score.world))


def of_rows(
    agent: str,
    world: str,
    measure: str,
    rows: Sequence[Row],
    *,
    best: Sequence[float] = (),
    last: Sequence[float] = (),
    digits: int = 1,
) -> Score:
    """The score of one training a row, whose values are given in the order of the rows."""
    steps = [row["steps"] for row in rows if "steps" in row]
    seconds = statistics.median(row["training_seconds"] for row in rows)
    middle = statistics.median(steps) if steps else None
    return Score(agent, world, measure, tuple(best), tuple(last), middle, seconds, digits)


def column(rows: Sequence[Row], name: str) -> list[Any]:
    return [row[name] for row in rows]


def grouped(rows: Iterable[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    """The rows that agree in these cells, in the order of their first ones."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


def digits_of(values: Iterable[float]) -> int:
    """Returns of about 1 need more digits after the point than those of hundreds."""
    return 3 if max(abs(value) for value in values) < 5 else 1


def returns(result: Result) -> str:
    return f"return of {result['episodes']} greedy episodes"


def of_learning(result: Result) -> Iterator[Score]:
    rows = [{"agent": "ppo", **row} for row in result["rows"]]  # ppo-learning does not say it
    for (agent, env), group in grouped(rows, "agent", "env").items():
        best, last = column(group, "best_mean"), column(group, "last_mean")
        yield of_rows(agent, env, returns(result), group, best=best, last=last, digits=digits_of(best))


def of_memory(result: Result) -> Iterator[Score]:
    return of_learning({**result, "rows": [{**row, "agent": f"ppo, {row['backbone']}"} for row in result["rows"]]})


def of_comparison(result: Result) -> Iterator[Score]:
    for (env, who), group in grouped(result["rows"], "env", "who").items():
        steps = result["steps"][env]
        last, measure = column(group, "mean"), f"{returns(result)} after {steps:,} steps"
        score = of_rows(who.removeprefix("Keel "), env, measure, group, last=last, digits=digits_of(last))
        yield score._replace(steps=steps)


def of_transfer(result: Result) -> Iterator[Score]:
    measure = "best evaluation while it trained, which ended at the goal"
    for (env, arm), group in grouped(result["rows"], "env", "arm").items():
        best = [max(value for _, value in row["curve"]) for row in group]
        yield of_rows(f"ppo, {arm} CNN", env, measure, group, best=best, digits=3)


def of_games(result: Result) -> Iterator[Score]:
    for (env, agent), group in grouped(result["rows"], "env", "agent").items():
        for opponent in group[0]["against"]:
            tallies = [row["against"][opponent] for row in group]
            won = [100.0 * tally["wins"] / sum(tally.values()) for tally in tallies]
            measure = f"games won against {opponent}, % of {result['episodes']:,}"
            yield of_rows(agent, env, measure, group, best=won)


def of_tic_tac_toe(result: Result) -> Iterator[Score]:
    for count in ("0", "25"):
        measure = f"mistakes in {result['positions']:,} positions, {_simulations(count)}"
        yield of_rows("alphazero", "tic_tac_toe", measure, result["rows"], last=column(result["rows"], count))


def _simulations(count: str) -> str:
    return f"{int(count):,} simulations" if int(count) else "network alone"


def of_connect_four(result: Result) -> Iterator[Score]:
    """The network alone and with the largest search, by the solver; then its games."""
    shares = {
        f"right moves in solved positions, %, {_simulations(count)}": result["judged"][count]["all"]
        for count in ("0", max(result["judged"], key=int))
    }
    if "wins" not in result["rollouts"]:  # a page of before there was a match for each number of simulations
        shares |= {
            f"games won, %, {_simulations(count)}, against a search with 1,000 games by lot": match
            for count, match in result["rollouts"].items()
        }
    agent = f"alphazero, {result['minutes']:g} minutes"
    for measure, share in shares.items():
        value, low, high = (100.0 * share[key] for key in ("share", "low", "high"))
        about = (result["moves"], result["training_seconds"])
        yield Score(agent, "connect_four", measure, (), (value,), *about, counted=Interval(low, high))
    if result.get("others"):  # trainings with other seeds
        first = {key: result[key] for key in ("moves", "training_seconds")} | {"shares": result["judged"]["100"]}
        rows = [row | {"steps": row["moves"]} for row in (first, *result["others"])]
        right = [100.0 * row["shares"]["all"]["share"] for row in rows]
        yield of_rows(
            agent, "connect_four", f"right moves in solved positions, %, {_simulations('100')}", rows, last=right
        )


def of_selfplay(result: Result) -> Iterator[Score]:
    """The rating of the last network of each game."""
    for game, found in result["games"].items():
        row = max((row for row in found["rows"] if "minute" in row), key=lambda row: row["minute"])
        agent, about = f"alphazero, {found['minutes']:g} minutes", (found["moves"], 60.0 * found["minutes"])
        counted = Interval(row["low"], row["high"])
        yield Score(agent, game, "Elo (random play: 0)", (), (row["elo"],), *about, digits=0, counted=counted)


def of_held_out(result: Result) -> Iterator[Score]:
    agent, env = result.get("agent", "ppo"), result.get("env", "keel/DataCenterCooling-v0")
    measure = "cooling energy saved beside B3 tuned in hindsight, %; site and load never seen"
    used = [row["shielded"] for row in result["rows"]]
    saved = _saved(used, result["controllers"]["b3 in hindsight"])
    yield of_rows(agent, env, measure, result["rows"], best=saved)


def of_partial(result: Result) -> Iterator[Score]:
    measure = f"cooling energy saved beside {result['controller'].upper()}, %"
    for (backbone,), group in grouped(result["rows"], "backbone").items():
        saved = _saved(column(group, "year"), result["yardstick"])
        yield of_rows(f"ppo, {backbone}", result["env"], measure, group, best=saved)


def _saved(years: Sequence[Row], other: Row) -> list[float]:
    return [100.0 * (1.0 - year["cooling_mwh"] / other["cooling_mwh"]) for year in years]


# Worlds stand in the table in the order in which these name them. dqn-ablation is not here: it tells parts of one
# agent apart after few frames, not what agents reach.
READERS: dict[str, Callable[[Result], Iterable[Score]]] = {
    "ppo-learning": of_learning,
    "dqn-learning": of_learning,
    "sb3-learning": of_learning,
    "dqn-comparison": of_comparison,
    "memory": of_memory,
    "dqn-minatar": of_learning,
    "transfer": of_transfer,
    "games-learning": of_games,
    "tic-tac-toe": of_tic_tac_toe,
    "connect-four": of_connect_four,
    "connect-four-hour": of_connect_four,
    "selfplay-learning": of_selfplay,
    "cooling-held-out": of_held_out,
    "dqn-cooling-held-out": of_held_out,
    "cooling-partial": of_partial,
}
