"""Playing in the terminal: moves and commands are typed, the board and the agent's answers are printed."""

from __future__ import annotations

import io
import re

import pytest

from keel.envs.games.games import make_game
from keel.runners.play.agent import Level, rollout_agent
from keel.runners.play.table import Sitting
from keel.runners.play.text import play_text

LEVEL = Level("medium", 50)


def played(game: str, *lines: str, person: int = 0) -> tuple[str, Sitting]:
    """What was printed, and the sitting as it was left."""
    sitting, output = Sitting(make_game(game), person), io.StringIO()
    agent = rollout_agent(sitting.game, 0)
    agent = type(agent)(agent.game, agent.name, agent.evaluate, (LEVEL,))
    play_text(sitting, agent, LEVEL, io.StringIO("".join(f"{line}\n" for line in lines)), output)
    return output.getvalue(), sitting


def test_a_move_is_answered() -> None:
    printed, sitting = played("connect_four", "d", "quit")
    assert len(sitting.moves) == 2
    assert sitting.named_moves()[0] == "d"
    assert re.search(r"1 [.O] [.O] [.O] X", printed)
    answer = sitting.named_moves()[1]
    assert re.search(rf"the agent plays {answer}   your chance \d+%   50 simulations, \d+\.\d s", printed)
    assert "you move first, X on the board" in printed


def test_the_agent_begins_where_the_person_is_second() -> None:
    printed, sitting = played("tic_tac_toe", person=1)
    assert len(sitting.moves) == 1
    assert "you move second, O on the board" in printed
    assert printed.endswith("your move: \n")  # the end of what is typed is the end


def test_wrong_words_change_nothing_and_name_what_is_legal() -> None:
    printed, sitting = played("connect_four", "z9", "", "D")
    assert "'z9' is not a legal move; legal are: a, b, c, d, e, f, g\n" in printed
    assert sitting.named_moves()[0] == "d"
    assert re.search(r"legal are: a15, b15, .*, o14 …\n", played("gomoku", "z9")[0])


def test_undo_new_and_swap() -> None:
    printed, sitting = played("connect_four", "undo", "d", "undo")
    assert "there is no move of yours to take back" in printed
    assert sitting.moves == []
    assert played("connect_four", "d", "new")[1].moves == []
    printed, sitting = played("connect_four", "d", "swap")
    assert sitting.person == 1
    assert len(sitting.moves) == 3  # the agent has moved for the side that was the person's
    assert "you move second" in printed


def test_a_hint_lists_moves_and_plays_none() -> None:
    printed, sitting = played("connect_four", "hint")
    assert sitting.moves == []
    assert len(re.findall(r"  [a-g] +\d+% of the search   your chance +\d+%   [a-g]", printed)) == 4


@pytest.mark.parametrize("seat", [0, 1])
def test_a_whole_game_ends_with_its_result(seat: int) -> None:
    columns = [column for column in "abcdefg" for _ in range(6)]
    printed, sitting = played("connect_four", *columns, "hint", "quit", person=seat)
    assert sitting.position.ended
    result = {"won": "you win", "lost": "the agent wins", "drawn": "a draw"}[sitting.records()[0]["result"]]
    assert f"{result}   (won" in printed
    assert "the game has ended" in printed
    assert "new, undo, swap or quit: " in printed


def test_passing_is_done_for_whoever_must() -> None:
    """Every cell is tried again and again: those that are not legal are refused. This game has passes of both sides."""
    cells = [f"{column}{row}" for column in "abcdef" for row in range(1, 7)] * 8
    printed, sitting = played("othello_6x6", *cells)
    assert sitting.position.ended
    passes = [at.player for at, name in zip(sitting.positions, sitting.named_moves(), strict=False) if name == "pass"]
    assert printed.count("you cannot move and pass") == passes.count(0)
    assert printed.count("the agent plays pass") == passes.count(1)
