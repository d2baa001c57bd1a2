"""Positions of Connect Four and what every move in them is worth, by the solver bitbully: what players are judged by."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from keel.envs.errors import KeelError
from keel.envs.games.games import make_game
from keel.envs.games.opponents import play
from keel.envs.protocol import Array
from keel.envs.seeding import generator
from keel.runners.benchmark import markdown_table

GAME = "connect_four"
PHASES = {"opening": (4, 11), "middle": (12, 23), "end": (24, 35)}  # moves that were made before


class Solved(NamedTuple):
    """N positions, solved."""

    states: Array  # [N S] int8
    phase: Array  # [N] of PHASES
    worth: Array  # [N 7] float32, -1, 0 or 1 for who is to move; nan where a column is full

    def right(self, actions: Array) -> Array:
        """Whether the moves [N] keep what the position is worth, [N] bool."""
        return self.worth[np.arange(len(actions)), actions] == np.nanmax(self.worth, axis=1)

    @property
    def choice(self) -> Array:
        """Where some move loses what the position is worth, [N] bool."""
        return np.nanmin(self.worth, axis=1) < np.nanmax(self.worth, axis=1)


def solver() -> Any:
    """bitbully. Raises: KeelError where it is not installed."""
    try:
        import bitbully
    except ImportError:
        raise KeelError("bitbully judges Connect Four: pip install 'keel-rl[oracles]'") from None
    return bitbully.BitBully()


def board_of(state: Array) -> Any:
    """A state as bitbully's board, whose first player is whoever has the move after an even number of moves."""
    import bitbully

    own = 1 + int((state != 0).sum()) % 2
    stones = np.where(state == 0, 0, np.where(state == 1, own, 3 - own)).reshape(6, 7)
    return bitbully.Board.from_array(stones.tolist())


def draw_positions(count: int, seed: int) -> tuple[list[str], list[str]]:
    """`count` different positions of each phase, by games by lot that have not ended: their phases and their columns."""
    game, phases, games = make_game(GAME), [], []
    for phase, (fewest, most) in PHASES.items():
        chance, seen = generator(seed, "positions", phase), set()
        while len(seen) < count:
            state, moves, ended = game.start()[None], [], False
            for _ in range(int(chance.integers(fewest, most + 1))):
                moves.append(int(chance.choice(np.flatnonzero(game.legal(state)[0]))))
                state, _, (ended,), _ = play(game, state, np.array(moves[-1:]))
                if ended:
                    break
            if not ended and state.tobytes() not in seen:
                seen.add(state.tobytes())
                phases.append(phase)
                games.append("".join(map(str, moves)))
    return phases, games


def states_of(games: list[str]) -> Array:
    """The positions [N S] after these columns."""
    game, states = make_game(GAME), []
    for moves in games:
        state = game.start()[None]
        for column in moves:
            state = play(game, state, np.array([int(column)])).after
        states.append(state[0])
    return np.stack(states)


def run(*, count: int = 1200, seed: int = 2026) -> dict[str, Any]:
    """Positions of all phases with the scores of their columns: positive wins, 0 draws, negative loses."""
    phases, games = draw_positions(count, seed)
    judge = solver()
    scores = [judge.score_all_moves(board_of(state)) for state in states_of(games)]
    return {
        "seed": seed,
        "solver": "bitbully, exact",
        "positions": [
            [phase, moves, [score.get(column) for column in range(7)]]
            for phase, moves, score in zip(phases, games, scores, strict=True)
        ],
    }


def solved(document: dict[str, Any]) -> Solved:
    """The result of `run` as arrays."""
    phases, games, scores = zip(*document["positions"], strict=True)
    worth = np.array([[np.nan if one is None else np.sign(one) for one in row] for row in scores], np.float32)
    return Solved(states_of(list(games)), np.array(phases), worth)


def table(result: dict[str, Any]) -> str:
    """How many positions there are, and in how many of them a move can be wrong."""
    positions = solved(result)
    rows = []
    for phase, (fewest, most) in PHASES.items():
        inside = positions.phase == phase
        best = np.nanmax(positions.worth[inside], axis=1)
        shares = [f"{100 * (best == value).mean():.0f} %" for value in (1, 0, -1)]
        wrong = f"{100 * positions.choice[inside].mean():.0f} %"
        rows.append([phase, f"{fewest} to {most}", str(inside.sum()), *shares, wrong])
    header = ["phase", "moves before", "positions", "won", "drawn", "lost", "where a move can be wrong"]
    return "Different positions of games by lot.\n\n" + markdown_table(header, rows)
