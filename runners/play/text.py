"""Playing against an agent in a terminal: moves are typed by their names."""

from __future__ import annotations

from typing import TextIO

from keel.envs.games.games import GAMES
from keel.envs.games.text import SYMBOLS, board_text
from keel.runners.play.agent import Agent, Level, Thought
from keel.runners.play.table import SEATS, Sitting

SHOWN_CANDIDATES, SHOWN_MOVES, SHOWN_LEGAL = 4, 8, 30
COMMANDS = ("undo", "swap", "hint", "new", "quit")


def play_text(sitting: Sitting, agent: Agent, level: Level, lines: TextIO, output: TextIO) -> None:
    """Play until the person quits or `lines` ends.

    Args: lines: what the person types. output: where boards and answers are written.
    """
    terminal = Terminal(sitting, agent, level, output)
    terminal.show()
    while True:
        terminal.follow()
        print("your move: " if sitting.persons_turn else "new, undo, swap or quit: ", end="", file=output, flush=True)
        typed = lines.readline()
        if not typed:
            print(file=output)
            return
        if not terminal.obey(typed.strip().lower()):
            return


class Terminal:
    """What the person types, and what is answered."""

    def __init__(self, sitting: Sitting, agent: Agent, level: Level, output: TextIO) -> None:
        self._sitting, self._agent, self._level, self._output = sitting, agent, level, output
        self._thoughts = 0
        self._say(f"{sitting.game.name} against {agent.name}, {level.name}: {self._seat()}")
        self._say(f"type a move by its name, for instance {self._example()}, or {', '.join(COMMANDS)}")

    def show(self) -> None:
        """The board, and how the game has ended if it has."""
        sitting = self._sitting
        self._say("", board_text(sitting.game, sitting.position.state, sitting.position.player), "")
        if sitting.position.ended:
            winner = sitting.position.winner
            won, lost, drawn = sitting.score
            result = "a draw" if winner is None else "you win" if winner == sitting.person else "the agent wins"
            self._say(f"{result}   (won {won}, lost {lost}, drawn {drawn})")

    def follow(self) -> None:
        """Make the moves that are not the person's to choose: the agent's, and passes that nobody can avoid."""
        sitting = self._sitting
        while not sitting.position.ended:
            if sitting.persons_turn and sitting.forced_pass is not None:
                self._say("you cannot move and pass")
                sitting.play(sitting.forced_pass)
            elif sitting.agents_turn:
                thought = self._think(self._level)
                name = sitting.name(thought.action)
                sitting.note(thought.value)
                sitting.play(thought.action)
                self.show()
                self._say(f"the agent plays {name}   {self._judged(thought)}")
            else:
                return

    def obey(self, words: str) -> bool:
        """A command or a move; False to quit."""
        sitting = self._sitting
        if words in ("quit", "exit", "q"):
            return False
        if words == "undo":
            self.show() if sitting.undo() else self._say("there is no move of yours to take back")
        elif words == "swap":
            sitting.swap()
            self._say(self._seat())
            self.show()
        elif words == "new":
            sitting.new()
            self.show()
        elif words == "hint":
            self._hint()
        elif words:
            self._move(words)
        return True

    def _move(self, words: str) -> None:
        sitting = self._sitting
        names = {sitting.name(action).lower(): action for action in sitting.position.legal}
        shown = ", ".join(list(names)[:SHOWN_LEGAL]) + (" …" if len(names) > SHOWN_LEGAL else "")
        if sitting.position.ended:
            self._say("the game has ended")
        elif words not in names:
            self._say(f"{words!r} is not a legal move; legal are: {shown}")
        else:
            sitting.play(names[words])
            if sitting.position.ended:  # else the answer comes at once, and then the board
                self.show()

    def _hint(self) -> None:
        if self._sitting.position.ended:
            self._say("the game has ended")
            return
        level = max(self._agent.levels, key=lambda level: level.simulations)
        thought = self._think(level)
        self._sitting.note(thought.value)
        for candidate in thought.candidates[:SHOWN_CANDIDATES]:
            line = " ".join(candidate.line[:SHOWN_MOVES])
            chance = _percent(candidate.value)
            self._say(f"  {candidate.name:<6} {candidate.share:4.0%} of the search   your chance {chance}   {line}")

    def _think(self, level: Level) -> Thought:
        self._thoughts += 1
        return self._agent.think(self._sitting.position, level, self._thoughts)

    def _judged(self, thought: Thought) -> str:
        line = next((c.line for c in thought.candidates if c.action == thought.action), ())
        expects = f"   expects {' '.join(line[1:SHOWN_MOVES])}" if len(line) > 1 else ""
        return f"your chance {_percent(-thought.value)}   {thought.effort}{expects}"

    def _seat(self) -> str:
        """Which side is the person's."""
        sitting = self._sitting
        pieces = f", {SYMBOLS[1 - 2 * sitting.person]} on the board" if sitting.game.name in GAMES else ""
        return f"you move {SEATS[sitting.person]}{pieces}"

    def _example(self) -> str:
        legal = self._sitting.position.legal
        return repr(self._sitting.name(legal[len(legal) // 2]))

    def _say(self, *lines: str) -> None:
        print(*lines, sep="\n", file=self._output, flush=True)


def _percent(value: float) -> str:
    """A value from -1 to 1 as a chance to win."""
    return f"{(1 + value) / 2:.0%}"
