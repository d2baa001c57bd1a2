"""Two players of a board game meet: many games side by side, every opening played twice with colours swapped."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from keel.agents.checks import at_least
from keel.agents.players import Player
from keel.envs.errors import KeelError
from keel.envs.games.game import Game
from keel.envs.games.opponents import draw, play
from keel.envs.protocol import Array
from keel.envs.seeding import generator
from keel.runners.seed_statistics import Interval

OPENING_MOVES = 4
MOST_TRIES = 100  # to draw an opening in which the game goes on, and one that has not been drawn before
Z_95 = 1.959964  # standard deviations on either side that hold 95 % of a normal distribution


class Tally(NamedTuple):
    """How often one of two players won, drew and lost."""

    wins: int
    draws: int
    losses: int

    @property
    def games(self) -> int:
        return sum(self)

    @property
    def score(self) -> float:
        """Points a game, a draw being half a win: 0 to 1. nan where there was no game."""
        return (self.wins + 0.5 * self.draws) / self.games if self.games else math.nan


class Record(NamedTuple):
    """One game."""

    moves: list[int]  # actions, the first of them drawn by lot
    seat: int  # of the match's first player: 0 where it moved first, else 1
    score: float  # of the match's first player: 1, 0.5 or 0


@dataclass(frozen=True)
class Match:
    """What came of the games of two players. Games 2k and 2k + 1 share an opening, and in the first of them the first
    player moves first."""

    game: str
    first: str
    second: str
    seed: int
    opening_moves: int
    records: list[Record]

    def tally(self, seat: int | None = None) -> Tally:
        """Of the first player, in all games or in those in which its seat was `seat`."""
        scores = [record.score for record in self.records if seat is None or record.seat == seat]
        return Tally(scores.count(1.0), scores.count(0.5), scores.count(0.0))

    @property
    def lengths(self) -> list[int]:
        """Moves of each game, with those of its opening."""
        return [len(record.moves) for record in self.records]

    @property
    def distinct(self) -> int:
        """Games that differ: two players who leave nothing to chance repeat a game where its opening comes again."""
        return len({(record.seat, *record.moves) for record in self.records})

    def interval(self) -> Interval:
        """Of the first player's score, 95 %; see `paired_interval`."""
        scores = np.array([record.score for record in self.records])
        return paired_interval(scores.reshape(-1, 2).mean(axis=1))


def paired_interval(pair_scores: Array) -> Interval:
    """95 % interval of a mean score, from the mean scores [N] of pairs of games, each 0 to 1.

    The two games of an opening are not independent: one that favours who moves first gives each player a win, so counting
    games would misjudge the spread, mostly as too wide. Hence the pairs are the sample. A bootstrap over them would have
    no width where all are alike; instead one pair that is won and one that is lost are added, as Agresti and Caffo 2000
    do for proportions ("Simple and effective confidence intervals for proportions and differences of proportions result
    from adding two successes and two failures"), and the normal interval of all N + 2 is cut to [0, 1].
    """
    scores = np.concatenate([pair_scores, [0.0, 1.0]])
    half = Z_95 * scores.std(ddof=1) / math.sqrt(len(scores))
    return Interval(max(0.0, float(scores.mean() - half)), min(1.0, float(scores.mean() + half)))


def check_match(game: Game, games: int, seed: int, opening_moves: int) -> None:
    """Raises: ValueError: `games` that are not even or below 2, a negative seed, or an opening as long as a game."""
    at_least(2, games=games)
    at_least(0, seed=seed, opening_moves=opening_moves)
    if games % 2:
        raise ValueError(
            f"games is {games}: every opening is played twice, so {games - 1} or {games + 1} would be right"
        )
    if opening_moves >= game.most_moves:
        raise ValueError(
            f"opening_moves is {opening_moves}: a game of {game.name} has {game.most_moves} moves at most; "
            "fewer would be right"
        )


def play_match(
    game: Game,
    first: Player,
    second: Player,
    games: int,
    seed: int,
    *,
    opening_moves: int = OPENING_MOVES,
    progress: Callable[[int], None] = lambda ended: None,
) -> Match:
    """Let two players meet in `games` games, all of them side by side.

    Everything is a function of the seed and of the players: those that keep count of their calls, as games played by lot
    do, have to be new for the same games to come again.

    Args:
        games: even, as every opening is played twice with colours swapped. opening_moves: so many moves are drawn by
            lot before the players begin; no position comes twice as long as there are others.
        progress: is told how many games have ended, after every move.

    Raises:
        ValueError: see `check_match`. KeelError: a move that is not legal; names the player, the game and the move.
    """
    check_match(game, games, seed, opening_moves)
    openings = draw_openings(game, games // 2, seed, opening_moves)
    moves = [list(openings[index // 2]) for index in range(games)]
    states = np.stack([_position(game, opening) for opening in openings]).repeat(2, axis=0)
    seats = np.arange(games) % 2  # of the first player
    scores = np.full(games, np.nan)
    for move in range(opening_moves, game.most_moves):
        for side, player in enumerate((first, second)):
            # The first player moves in games where its seat is that of the move, the second player in the others.
            rows = np.flatnonzero(np.isnan(scores) & ((seats == move % 2) == (side == 0)))
            if len(rows) == 0:
                continue
            chance = generator(seed, "moves", move, side)
            actions = _chosen(game, player, states[rows], rows, move, chance)
            for row, action in zip(rows.tolist(), actions.tolist(), strict=True):
                moves[row].append(action)
            played = play(game, states[rows], actions)
            states[rows] = played.after
            # The value is that of who would be next, and the player who has just moved has the other one.
            own = 0.5 - 0.5 * played.value[played.ended]
            scores[rows[played.ended]] = own if side == 0 else 1.0 - own
        progress(int((~np.isnan(scores)).sum()))
        if not np.isnan(scores).any():
            break
    if np.isnan(scores).any():
        raise KeelError(f"the rules of {game.name} are broken: a game goes on after {game.most_moves} moves")
    records = [Record(*record) for record in zip(moves, seats.tolist(), scores.tolist(), strict=True)]
    return Match(game.name, first.name, second.name, seed, opening_moves, records)


def draw_openings(game: Game, count: int, seed: int, opening_moves: int) -> list[list[int]]:
    """`count` sequences of legal moves drawn by lot, none of which ends the game; their positions differ where possible.

    Raises: ValueError: no game was found that goes on after so many moves.
    """
    openings, seen = [], set()
    for index in range(count):
        chance = generator(seed, "opening", index)
        found: list[int] | None = None
        for _ in range(MOST_TRIES):
            drawn = _draw_opening(game, opening_moves, chance)
            if drawn is None:
                continue
            found, position = drawn
            if position not in seen:
                seen.add(position)
                break
        if found is None:
            raise ValueError(
                f"opening_moves is {opening_moves}: no game of {game.name} drawn by lot went on after so many moves; "
                "fewer would be right"
            )
        openings.append(found)
    return openings


def _draw_opening(game: Game, length: int, chance: np.random.Generator) -> tuple[list[int], bytes] | None:
    """Moves and the position that they lead to; None where the game has ended."""
    state, moves = game.start()[None], []
    legal, ended = game.legal(state), np.zeros(1, bool)
    while len(moves) < length and not ended[0]:
        moves.append(draw(np.flatnonzero(legal[0]), chance))
        state, legal, ended, _ = play(game, state, np.array(moves[-1:]))
    return None if ended[0] else (moves, state.tobytes())


def _position(game: Game, moves: list[int]) -> Array:
    state = game.start()[None]
    for move in moves:
        state = play(game, state, np.array([move])).after
    return state[0]


def _chosen(game: Game, player: Player, states: Array, rows: Array, move: int, chance: np.random.Generator) -> Array:
    """The player's moves [N], checked. `rows`: the games. `move`: how many were made before."""
    actions = np.asarray(player.choose(states, chance))
    if actions.shape != rows.shape or actions.dtype.kind not in "iu":
        raise KeelError(
            f"{player.name} was asked for {len(rows)} moves, as whole numbers, and gave "
            f"{actions.dtype} {list(actions.shape)}"
        )
    known = (actions >= 0) & (actions < game.actions)
    legal = game.legal(states)
    legal_action = known & legal[np.arange(len(rows)), np.where(known, actions, 0)]
    if not legal_action.all():
        at = int(np.argmin(legal_action))
        action, seat = int(actions[at]), move % 2
        name = f" ({game.action_name(action, seat)})" if known[at] else ""
        may = ", ".join(f"{a} ({game.action_name(a, seat)})" for a in np.flatnonzero(legal[at]).tolist())
        raise KeelError(
            f"{player.name} played {action}{name} as move {move + 1} of game {rows[at] + 1}, which is not legal in "
            f"{game.name}; legal: {may}"
        )
    return actions
