"""A sitting follows the rules, and takes back, swaps and begins again as a person expects it to."""

from __future__ import annotations

import numpy as np
import pytest

from keel.envs.games.games import make_game
from keel.runners.play.table import Sitting


def sitting(game: str, person: int = 0, moves: str = "") -> Sitting:
    """After these moves by name."""
    made = Sitting(make_game(game), person)
    for name in moves.split():
        play(made, name)
    return made


def play(at: Sitting, name: str) -> None:
    at.play(next(action for action in at.position.legal if at.name(action) == name))


def test_turns_alternate_and_the_board_is_as_people_see_it() -> None:
    at = sitting("tic_tac_toe", moves="b2 a3")
    assert (at.persons_turn, at.agents_turn) == (True, False)
    np.testing.assert_equal(at.board(), [[-1, 0, 0], [0, 1, 0], [0, 0, 0]])
    assert at.last == (0, 1)
    assert at.named_moves() == ["b2", "a3"]
    play(at, "c1")
    assert (at.persons_turn, at.agents_turn) == (False, True)


@pytest.mark.parametrize(
    ("person", "moves", "winner", "score"),
    [
        (0, "d a d a d a d", 0, (1, 0, 0)),
        (1, "d a d a d a d", 0, (0, 1, 0)),
        (1, "g d a d a d b d", 1, (1, 0, 0)),
    ],
)
def test_who_wins(person: int, moves: str, winner: int, score: tuple[int, int, int]) -> None:
    at = sitting("connect_four", person, moves)
    assert at.position.ended
    assert at.position.winner == winner
    assert at.score == score
    assert not at.persons_turn
    assert not at.agents_turn
    assert at.values[len(at.moves)] == (1.0 if winner == 0 else -1.0)


def test_a_draw() -> None:
    at = sitting("tic_tac_toe", moves="b2 a3 c3 a1 a2 c2 b3 b1 c1")
    assert (at.position.ended, at.position.winner, at.score) == (True, None, (0, 0, 1))
    assert at.records()[0]["result"] == "drawn"


def test_an_illegal_move_changes_nothing() -> None:
    at = sitting("tic_tac_toe", moves="b2")
    with pytest.raises(ValueError, match=r"action is 4, which is not legal here; legal are \[0, 1, 2, 3, 5"):
        at.play(4)
    assert len(at.moves) == 1


def test_undo_takes_back_the_persons_move_and_the_answer() -> None:
    at = sitting("connect_four", moves="d c e c")
    assert at.can_undo
    assert at.undo()
    assert at.named_moves() == ["d", "c"]
    assert at.persons_turn
    play(at, "a")  # and while the agent thinks: one's own move alone
    assert at.undo()
    assert at.named_moves() == ["d", "c"]
    assert at.undo()
    assert not at.undo()
    assert at.moves == []
    np.testing.assert_equal(at.board(), np.zeros((6, 7)))


def test_undo_leaves_the_agents_first_move() -> None:
    at = sitting("connect_four", person=1, moves="d")
    assert not at.can_undo
    assert not at.undo()
    assert at.named_moves() == ["d"]


def test_undo_after_the_end_lets_the_game_go_on() -> None:
    at = sitting("connect_four", moves="d a d a d a d")
    assert at.undo()
    assert at.score == (0, 0, 0)
    assert at.persons_turn
    assert max(at.values, default=0) <= len(at.moves)


def test_values_are_those_of_the_first_player_and_go_with_their_moves() -> None:
    at = sitting("connect_four")
    at.note(0.5)
    play(at, "d")
    at.note(0.25)  # good for the second player
    assert at.values == {0: 0.5, 1: -0.25}
    at.undo()
    assert at.values == {0: 0.5}


def test_swapping_changes_who_is_to_move_and_not_the_board() -> None:
    at = sitting("connect_four", moves="d c")
    at.swap()
    assert (at.person, at.agents_turn, at.named_moves()) == (1, True, ["d", "c"])


def test_swapping_after_the_end_keeps_the_result_and_begins_again() -> None:
    at = sitting("connect_four", moves="d a d a d a d")
    at.swap()
    assert (at.person, at.moves, at.score) == (1, [], (1, 0, 0))


def test_a_new_game_remembers_only_what_was_played_to_its_end() -> None:
    at = sitting("connect_four", moves="d a d a d a d")
    at.new()
    play(at, "d")
    at.new()
    assert at.records() == [{"seat": "first", "result": "won", "moves": ["d", "a", "d", "a", "d", "a", "d"]}]
    assert at.score == (1, 0, 0)


def test_a_forced_pass_is_known_and_is_no_choice_to_take_back() -> None:
    """Games by lot until somebody must pass: then undo goes back to that player's choice before."""
    chance, game = np.random.default_rng(0), make_game("othello_6x6")
    at = Sitting(game)
    while at.forced_pass is None:
        if at.position.ended:
            at = Sitting(game)
        at.play(int(chance.choice(at.position.legal)))
    assert [at.name(action) for action in at.position.legal] == ["pass"]
    passing, before = at.position.player, len(at.moves)
    at.person = passing
    at.play(at.position.legal[0])
    assert at.undo()
    assert at.position.player == passing
    assert len(at.moves) == before - 2
    assert at.forced_pass is None


def test_a_wrong_seat_is_refused() -> None:
    with pytest.raises(ValueError, match=r"person is 2; 0 \(first\) or 1 \(second\)"):
        Sitting(make_game("hex_7x7"), 2)
