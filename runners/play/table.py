"""A person and an agent at a board: whose turn it is, what was played, and what can be taken back. No pictures here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from keel.envs.games.game import Game
from keel.envs.games.opponents import play
from keel.envs.protocol import Array

SEATS = ("first", "second")
PASS = "pass"


class Position(NamedTuple):
    """A moment of a game."""

    state: Array  # [S] int8, seen by `player`
    player: int  # who is to move, or would be: 0 the first, 1 the second
    legal: tuple[int, ...]  # actions; none once the game has ended
    ended: bool
    winner: int | None  # 0 or 1; None for a draw and while the game goes on


@dataclass(eq=False)
class Sitting:
    """One game after another; the person may take moves back and change sides at any time."""

    game: Game
    person: int = 0
    """0 where the person moves first, else 1."""
    positions: list[Position] = field(default_factory=list)
    """Of the game that is played, from its start on: one more than there are moves."""
    moves: list[int] = field(default_factory=list)
    """Actions."""
    values: dict[int, float] = field(default_factory=dict)
    """By moves made: what the position is worth to the first player, -1 to 1, where somebody has judged it."""
    finished: list[dict[str, Any]] = field(default_factory=list)
    """The games before this one that were played to their end, as `record` gives them."""

    def __post_init__(self) -> None:
        if self.person not in (0, 1):
            raise ValueError(f"person is {self.person}; 0 (first) or 1 (second) would be right")
        self._begin()

    @property
    def position(self) -> Position:
        return self.positions[-1]

    @property
    def persons_turn(self) -> bool:
        return not self.position.ended and self.position.player == self.person

    @property
    def agents_turn(self) -> bool:
        return not self.position.ended and self.position.player != self.person

    @property
    def forced_pass(self) -> int | None:
        """The action, where there is nothing to do but to pass."""
        return self._forced(self.position)

    @property
    def can_undo(self) -> bool:
        """Whether the person has made a choice in this game."""
        return self._last_choice() is not None

    @property
    def last(self) -> tuple[int, int] | None:
        """The last action and who made it."""
        return (self.moves[-1], self.positions[-2].player) if self.moves else None

    @property
    def score(self) -> tuple[int, int, int]:
        """Games that the person has won, lost and drawn, this one among them once it has ended."""
        results = [record["result"] for record in self.records()]
        return results.count("won"), results.count("lost"), results.count("drawn")

    def board(self) -> Array:
        """[H W] as people see it, see `Game.board`."""
        return self.game.board(self.position.state, self.position.player)

    def name(self, action: int) -> str:
        """Of something that can be done now."""
        return self.game.action_name(action, self.position.player)

    def play(self, action: int) -> None:
        """Make a move for whoever is to move. Raises: ValueError if it is not legal."""
        here = self.position
        if action not in here.legal:
            raise ValueError(f"action is {action}, which is not legal here; legal are {list(here.legal)}")
        played = play(self.game, here.state[None], np.array([action]))
        ended, value, following = bool(played.ended[0]), float(played.value[0]), 1 - here.player
        winner = None if not ended or value == 0 else following if value > 0 else here.player
        legal = () if ended else tuple(np.flatnonzero(played.legal[0]).tolist())
        self.moves.append(action)
        self.positions.append(Position(played.after[0], following, legal, ended, winner))
        if ended:
            self.values[len(self.moves)] = 0.0 if winner is None else 1.0 - 2.0 * winner

    def note(self, value: float) -> None:
        """Remember what the position is worth to the player who is to move, -1 to 1."""
        self.values[len(self.moves)] = value if self.position.player == 0 else -value

    def undo(self) -> bool:
        """Take back the person's last choice and all that followed; False where they have made none."""
        index = self._last_choice()
        if index is None:
            return False
        del self.moves[index:], self.positions[index + 1 :]
        self.values = {moves: value for moves, value in self.values.items() if moves <= index}
        return True

    def swap(self) -> None:
        """The person and the agent change sides; after the end of a game, for a new one."""
        if self.position.ended:
            self.new()
        self.person = 1 - self.person

    def new(self) -> None:
        """Begin again. A game that has not ended is forgotten."""
        self.finished = self.records()
        self._begin()

    def records(self) -> list[dict[str, Any]]:
        """Of every game that was played to its end: the person's `seat` and `result`, and the `moves` by name."""
        if not self.position.ended:
            return list(self.finished)
        winner = self.position.winner
        result = "drawn" if winner is None else "won" if winner == self.person else "lost"
        return [*self.finished, {"seat": SEATS[self.person], "result": result, "moves": self.named_moves()}]

    def named_moves(self) -> list[str]:
        """All moves of this game by name."""
        pairs = zip(self.moves, self.positions, strict=False)
        return [self.game.action_name(action, position.player) for action, position in pairs]

    def _begin(self) -> None:
        state = self.game.start()
        legal = tuple(np.flatnonzero(self.game.legal(state[None])[0]).tolist())
        self.positions, self.moves, self.values = [Position(state, 0, legal, False, None)], [], {}

    def _last_choice(self) -> int | None:
        """How many moves were made before the person last chose one."""
        for index in reversed(range(len(self.moves))):
            here = self.positions[index]
            if here.player == self.person and self._forced(here) is None:
                return index
        return None

    def _forced(self, position: Position) -> int | None:
        if len(position.legal) != 1:
            return None
        action = position.legal[0]
        return action if self.game.action_name(action, position.player) == PASS else None
