"""What happens between a person and an agent from click to click: turns, thinking, hints, levels. No pictures here."""

from __future__ import annotations

import time

from keel.runners.play.agent import Agent, Level, Thinker, Thought
from keel.runners.play.moves import Hand, Move, move_of
from keel.runners.play.table import Sitting

REPLY_SECONDS = 0.4  # no answer of the agent's comes sooner, so that one sees what one has done oneself
PASS_SECONDS = 1.6  # how long it is said that somebody must pass


class Desk:
    """A sitting, the agent's thoughts beside it, and what the person holds in their hand.

    Args: level: how well the agent plays. haste: share of the pauses that are left out, 0 to 1.
    """

    def __init__(self, sitting: Sitting, agent: Agent, level: Level, *, haste: float = 0.0) -> None:
        self.sitting, self.agent, self.level = sitting, agent, level
        self.thought: Thought | None = None
        """What is shown: the agent's last thought, or one for the person if `hint`."""
        self.hint = False
        self.showing = True
        """Whether the agent's thoughts are shown."""
        self.notice = ""
        """Something that the person should know, until the next move."""
        self.closed = False
        self.hand = Hand()
        self.thinker = Thinker(agent)
        self._pace = 1.0 - haste
        self._ready: Thought | None = None
        self._due: float | None = None
        self._draws = 0
        self._turn()

    @property
    def passes(self) -> list[Move]:
        """Passing, where the person may do so but need not."""
        return self.hand.homeless

    @property
    def hinted(self) -> Move | None:
        """The move that is hinted to the person."""
        if not self.hint or self.thought is None:
            return None
        return move_of(self.sitting.game, self.thought.action, self.thought.position.player)

    def advance(self) -> bool:
        """Do what is due without the person; whether anything has changed. Raises: what went wrong while thinking."""
        answer, sitting = self.thinker.answer(), self.sitting
        if answer is not None and sitting.persons_turn:
            self.thought, self.hint = answer, True
            sitting.note(answer.value)
            return True
        if answer is not None:
            self._ready = answer
        if self._due is None or time.perf_counter() < self._due:
            return False
        if sitting.forced_pass is not None:
            self._play(sitting.forced_pass)
            return True
        if self._ready is not None:
            self.thought, self.hint = self._ready, False
            sitting.note(self._ready.value)
            self._play(self._ready.action)
            return True
        return False

    def click(self, place: int | None) -> None:
        """The person clicks on a place of the board, or beside it."""
        move = self.hand.click(place)
        if move is not None:
            self.choose(move)

    def choose(self, move: Move) -> None:
        """The person makes a move. Where it is not their turn nothing happens."""
        if move in self.hand.moves:
            self.hint, self.thought = False, None if self.hint else self.thought
            self._play(move.action)

    def command(self, name: str) -> None:
        """What a button does: new, undo, swap, hint, "level 2", thinking, pass, quit; others do nothing."""
        if name == "new":
            self.sitting.new()
            self._restart()
        elif name == "undo":
            if self.sitting.undo():
                self._restart()
        elif name == "swap":
            self.sitting.swap()
            self._restart()
        elif name == "hint":
            self._ask_hint()
        elif name == "thinking":
            self.showing = not self.showing
        elif name == "pass" and self.passes:
            self.choose(self.passes[0])
        elif name == "quit":
            self.close()
        elif name.startswith("level "):
            self._choose_level(int(name.removeprefix("level ")) - 1)

    def close(self) -> None:
        self.closed = True
        self.thinker.close()

    def _choose_level(self, index: int) -> None:
        if 0 <= index < len(self.agent.levels):
            self.level = self.agent.levels[index]
            if self.sitting.agents_turn:
                self._turn()

    def _ask_hint(self) -> None:
        if self.sitting.persons_turn and self.sitting.forced_pass is None and not self.thinker.busy:
            self.showing = True
            self._think(max(self.agent.levels, key=lambda level: level.simulations))

    def _restart(self) -> None:
        """After a jump to another position."""
        self.thought, self.hint = None, False
        self._turn()

    def _play(self, action: int) -> None:
        self.sitting.play(action)
        self._turn()

    def _turn(self) -> None:
        """Whoever is to move now: begin what comes of it."""
        sitting = self.sitting
        self.thinker.cancel()
        self._ready, self._due, self.notice, self.hand = None, None, "", Hand()
        if sitting.position.ended:
            return
        if sitting.forced_pass is not None:
            self.notice = "You cannot move: you pass" if sitting.persons_turn else "The agent cannot move: it passes"
            self._wait(PASS_SECONDS)
        elif sitting.persons_turn:
            here = sitting.position
            self.hand = Hand(move_of(sitting.game, action, here.player) for action in here.legal)
        else:
            self._wait(REPLY_SECONDS)
            self._think(self.level)

    def _think(self, level: Level) -> None:
        self._draws += 1
        self.thinker.ask(self.sitting.position, level, self._draws)

    def _wait(self, seconds: float) -> None:
        self._due = time.perf_counter() + self._pace * seconds
