"""Tic-tac-toe by brute force: what every move of every position is worth."""

from __future__ import annotations

import numpy as np

from keel.envs.games.games import make_game
from keel.envs.games.opponents import play


def solved() -> dict[bytes, dict[int, float]]:
    """What each move of every open position of Tic-tac-toe is worth, by brute force."""
    game, known = make_game("tic_tac_toe"), {}

    def solve(state: np.ndarray) -> float:
        if (key := state.tobytes()) not in known:
            moves = np.flatnonzero(game.legal(state[None])[0])
            after = play(game, state[None].repeat(len(moves), axis=0), moves)
            worth = (-(v if e else solve(s)) for s, e, v in zip(after.after, after.ended, after.value, strict=True))
            known[key] = dict(zip(moves.tolist(), map(float, worth), strict=True))
        return max(known[key].values())

    assert solve(game.start()) == 0.0
    assert len(known) == 4_520  # 5,478 reachable positions, of which 958 have ended
    return known


def mistakes(known: dict[bytes, dict[int, float]], actions: np.ndarray) -> int:
    return sum(worth[action] < max(worth.values()) for worth, action in zip(known.values(), actions, strict=True))
