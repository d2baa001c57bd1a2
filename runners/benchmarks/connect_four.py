"""How strong a network becomes at Connect Four by self-play, judged by a perfect solver and by games."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from keel.agents.checks import at_least
from keel.agents.evaluators import network_evaluator
from keel.agents.players import SearchPlayer
from keel.agents.search import Evaluate, Search, SearchConfig
from keel.envs.errors import KeelError
from keel.envs.games.games import make_game
from keel.envs.protocol import Array
from keel.networks.policy_value import PolicyValueNetwork
from keel.networks.pretraining.audit import wilson
from keel.runners.arena.match import check_match, play_match
from keel.runners.benchmark import markdown_table
from keel.runners.benchmarks.connect_four_positions import GAME, PHASES, Solved, board_of, solved, solver
from keel.runners.figures import PALETTE, WIDE_INCHES, house_style, panels
from keel.runners.files import read_json
from keel.runners.games.players import judge_of, make_player, playing
from keel.runners.run import Run
from keel.runners.selfplay.settings import SelfPlaySettings, default_settings, load_network
from keel.runners.selfplay.trainer import SelfPlayResult, SelfPlayTrainer
from keel.runners.train_alphazero import train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POSITIONS = Path("results/benchmarks/connect-four-positions.json")
SIMULATIONS = (0, 24, 100, 400)  # 0: the network alone
ONCE_SIMULATIONS = (100, 200)  # of the network without mirror images: as many, and as many evaluations
MATCH_SIMULATIONS = (100, 400, 1000)  # against 1,000 games by lot: a tenth as many, and as many
OPENING_MOVES = 2  # by lot, before each pair of games against it
CURVE_SIMULATIONS, CURVE_SHARE = 100, 4  # while it trains: of every fourth position
SIDE_BY_SIDE = 200
CPU = torch.device("cpu")


def run(*, minutes: float = 10.0, seeds: int = 3, evaluations: int = 10, games: int = 200) -> dict[str, Any]:
    """Train for so many minutes with each seed, and judge. `games`: of each match."""
    settings = default_settings(GAME)
    training = dataclasses.replace(settings.training, minutes=minutes, evaluations=evaluations)
    return judged_seeds(dataclasses.replace(settings, training=training), seeds, games)


def judged_seeds(settings: SelfPlaySettings, seeds: int, games: int) -> dict[str, Any]:
    """Of a training with the first seed all there is to tell; of `others`, how often their moves are right.

    Raises: ValueError: no seed, no evaluation, or games that cannot be played in pairs.
    """
    at_least(1, seeds=seeds, evaluations=settings.training.evaluations)
    check_match(make_game(GAME), games, settings.seed, OPENING_MOVES)
    positions = known_positions()
    each = [dataclasses.replace(settings, seed=settings.seed + later) for later in range(seeds)]
    first = trained_and_judged(each[0], positions, games)
    return first | {"others": [trained_again(another, positions) for another in each[1:]]}


def known_positions() -> Solved:
    """The positions of the page. Raises: KeelError where there is none."""
    if not POSITIONS.is_file():
        raise KeelError(f"{POSITIONS} is missing: keel benchmark connect-four-positions --output {POSITIONS.parent}")
    return solved(read_json(POSITIONS))


def trained(
    settings: SelfPlaySettings, on_evaluation: Callable[[SelfPlayTrainer], None] | None = None
) -> tuple[SelfPlayResult, PolicyValueNetwork]:
    """A training, and the network that it ends with. Raises: KeyboardInterrupt where it was stopped: no page is made."""
    result = train(settings, on_evaluation=on_evaluation)
    if result.stopped_by is not None:
        raise KeyboardInterrupt
    return result, load_network(result.run, settings, make_game(GAME), "last", CPU)


def trained_again(settings: SelfPlaySettings, positions: Solved) -> dict[str, Any]:
    """What a training reaches in the end."""
    result, network = trained(settings)
    evaluate, search = judge_of(make_game(GAME), network, CPU), playing(settings.hyperparameters.search)
    return {
        "seed": settings.seed,
        "run": result.run.name,
        "moves": result.moves,
        "training_seconds": result.training_seconds,
        "shares": judged(positions, evaluate, CURVE_SIMULATIONS, search),
    }


def trained_and_judged(settings: SelfPlaySettings, positions: Solved, games: int) -> dict[str, Any]:
    """What a training reaches, during and after it."""
    game, search = make_game(GAME), playing(settings.hyperparameters.search)
    curve: list[dict[str, Any]] = []

    def judge_now(trainer: SelfPlayTrainer) -> None:
        every = Solved(*(part[::CURVE_SHARE] for part in positions))
        evaluate = judge_of(game, trainer.learner.network, trainer.learner.device)
        shares = judged(every, evaluate, CURVE_SIMULATIONS, search)
        minute = trainer.clock.training_seconds / 60.0
        curve.append({"minute": minute, "moves": trainer.learner.moves, "shares": shares})

    result, network = trained(settings, judge_now)
    evaluate, asked_once = judge_of(game, network, CPU), network_evaluator(game, network, CPU)
    rows = [row for row in result.run.metrics() if "eval/elo" in row]
    return {
        "minutes": settings.training.minutes,
        "seed": settings.seed,
        "run": result.run.name,
        "settings": settings.to_json(),
        "iterations": result.iterations,
        "self_play_games": result.games,
        "moves": result.moves,
        "training_seconds": result.training_seconds,
        "elo": [[row["global_step"], row["eval/elo"], row["eval/elo_low"], row["eval/elo_high"]] for row in rows],
        "curve": curve,
        "judged": {str(count): judged(positions, evaluate, count, search) for count in SIMULATIONS},
        "asked_once": {str(count): judged(positions, asked_once, count, search) for count in ONCE_SIMULATIONS},
        "rollouts": {str(count): against_rollouts(result.run, games, count) for count in MATCH_SIMULATIONS},
        "solver": against_the_solver(evaluate, search, games, settings.seed),
    }


def chosen(states: Array, evaluate: Evaluate, simulations: int, config: SearchConfig) -> Array:
    """The moves [N] that a search finds in states [N S]; without simulations the network's likeliest."""
    game = make_game(GAME)
    parts = [states[first : first + SIDE_BY_SIDE] for first in range(0, len(states), SIDE_BY_SIDE)]
    if simulations == 0:
        return np.concatenate([np.where(game.legal(part), evaluate(part)[0], -np.inf).argmax(axis=1) for part in parts])
    search = Search(game, dataclasses.replace(config, simulations=simulations), SIDE_BY_SIDE)
    return np.concatenate([search.run(part, evaluate).action for part in parts])


def judged(positions: Solved, evaluate: Evaluate, simulations: int, config: SearchConfig) -> dict[str, Any]:
    """The share of positions in which the move keeps what they are worth, by phase, with 95 % intervals."""
    right = positions.right(chosen(positions.states, evaluate, simulations, config))
    parts = {phase: positions.phase == phase for phase in PHASES}
    parts |= {"all": np.ones(len(right), bool), "choice": positions.choice}
    return {name: share(int(right[inside].sum()), int(inside.sum())) for name, inside in parts.items()}


def share(count: int, total: int) -> dict[str, float]:
    low, high = wilson(count, total)
    return {"share": count / total, "low": low, "high": high, "count": count, "of": total}


def against_rollouts(run: Run, games: int, simulations: int) -> dict[str, Any]:
    """A match of the network, with so many simulations, and a Monte Carlo tree search with 1,000 games by lot a move."""
    game = make_game(GAME)
    player = make_player(f"{run.path}:{simulations}", game, checkpoint="last")
    opponent = make_player("rollouts:1000", game)
    match = play_match(game, player, opponent, games, 0, opening_moves=OPENING_MOVES)
    wins, draws, losses = match.tally()
    return {"wins": wins, "draws": draws, "losses": losses, "distinct": match.distinct, **share(wins, games)}


class PerfectPlayer:
    """The solver; of several best moves it draws one by lot."""

    name = "bitbully"

    def __init__(self) -> None:
        self._solver = solver()

    def choose(self, states: Array, chance: np.random.Generator) -> Array:
        return np.array([self._best(state, chance) for state in states], np.int32)

    def _best(self, state: Array, chance: np.random.Generator) -> int:
        scores = self._solver.score_all_moves(board_of(state))
        best = [column for column, score in scores.items() if score == max(scores.values())]
        return int(chance.choice(best))


def against_the_solver(evaluate: Evaluate, config: SearchConfig, games: int, seed: int) -> dict[str, Any]:
    """Games from the empty board in which the network, with 400 simulations, moves first, and second."""
    game = make_game(GAME)
    player = SearchPlayer("network", game, evaluate, dataclasses.replace(config, simulations=400))
    match = play_match(game, player, PerfectPlayer(), games, seed, opening_moves=0)
    first, second = (match.tally(seat)._asdict() for seat in (0, 1))
    return {"first": first, "second": second, "distinct": match.distinct}


def table(result: dict[str, Any], page: str = "connect-four") -> str:
    """The shares by phase and by simulations, and the games."""
    header = ["simulations", *PHASES, "all", "where a move can be wrong"]
    named = {"network alone" if count == "0" else count: shares for count, shares in result["judged"].items()}
    named |= {f"{count}, without mirror images": shares for count, shares in result["asked_once"].items()}
    rows = [[name, *percents(shares, (*PHASES, "all", "choice"))] for name, shares in named.items()]
    first, second = result["solver"]["first"], result["solver"]["second"]
    trained = (
        f"{result['minutes']:g} minutes of training, seed {result['seed']}: {result['self_play_games']:,} games and "
        f"{result['moves']:,} moves against itself. Asked is the mean of what the network thinks of a position and of its "
        "mirror image (but for the picture's Elo, and rows that say so), which takes two evaluations. Moves that "
        "keep what the position is worth, of different positions of games by lot, by the solver bitbully "
        "([positions](connect-four-positions.md)), with 95 % intervals:"
    )
    matches = [
        f"with {int(count):,} simulations {met['wins']} won, {met['draws']} drawn, {met['losses']} lost of {met['of']}"
        for count, met in result["rollouts"].items()
    ]
    rollouts = (
        "Against a Monte Carlo tree search with 1,000 games by lot a move, two opening moves by lot: "
        f"{'; '.join(matches)}."
    )
    perfect = (
        "Against the perfect solver from the empty board (400 simulations; who moves first can always win): moving first "
        f"{first['wins']} won, {first['draws']} drawn, {first['losses']} lost; moving second {second['wins']} won, "
        f"{second['draws']} drawn, {second['losses']} lost."
    )
    picture = f"![Strength by minute]({page}/strength.png)"
    return "\n\n".join([trained, markdown_table(header, rows), *seeds_table(result), rollouts, perfect, picture])


def percents(shares: dict[str, Any], names: tuple[str, ...]) -> list[str]:
    cells = [shares[name] for name in names]
    return [f"{100 * c['share']:.1f} % ({100 * c['low']:.1f}–{100 * c['high']:.1f})" for c in cells]


def seeds_table(result: dict[str, Any]) -> list[str]:
    """What each seed reaches, the mean and the spread; nothing where there is but one."""
    if not result["others"]:
        return []
    first = {key: result[key] for key in ("seed", "moves")} | {"shares": result["judged"][str(CURVE_SIMULATIONS)]}
    trainings, names = [first, *result["others"]], (*PHASES, "all")
    rows = [[str(row["seed"]), f"{row['moves']:,}", *percents(row["shares"], names)] for row in trainings]
    by_phase = [[100 * row["shares"][name]["share"] for row in trainings] for name in names]
    spread = [f"{statistics.mean(part):.1f} % ± {statistics.stdev(part):.1f}" for part in by_phase]
    rows.append(["mean ± standard deviation", "", *spread])
    what = f"The same training with {len(trainings)} seeds, judged with {CURVE_SIMULATIONS} simulations:"
    return [what, markdown_table(["seed", "moves", *names], rows)]


def strength(result: dict[str, Any], width_inches: float = WIDE_INCHES) -> Figure:
    """Strength over minutes of training: shares by phase, and Elo."""
    with house_style():
        figure, (upper, lower) = panels("Connect Four by self-play", 2, width_inches, row_inches=2.3)
        minutes = [point["minute"] for point in result["curve"]]
        for place, phase in enumerate((*PHASES, "all")):
            shares = [
                [100 * point["shares"][phase][key] for point in result["curve"]] for key in ("share", "low", "high")
            ]
            upper.fill_between(minutes, shares[1], shares[2], alpha=0.12, color=PALETTE[place], lw=0)
            upper.plot(minutes, shares[0], marker=".", color=PALETTE[place], label=phase)
        upper.set_ylabel(f"right moves, %, {CURVE_SIMULATIONS} simulations")
        upper.legend(fontsize=8, loc="lower right", ncols=4)
        steps, elo, low, high = zip(*result["elo"], strict=True)
        at = np.interp(steps, [point["moves"] for point in result["curve"]], minutes)
        lower.fill_between(at, low, high, alpha=0.15, color=PALETTE[0], lw=0)
        lower.plot(at, elo, marker=".", color=PALETTE[0])
        lower.set(ylabel="Elo (random play: 0)", xlabel="minutes of training")
        return figure


def figures(result: dict[str, Any]) -> dict[str, Any]:
    """The picture of the page."""
    return {"strength": strength(result)}
