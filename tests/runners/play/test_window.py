"""The window and what is behind it, driven by events as a person would, without a display."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pygame
import pytest

from keel.envs.errors import KeelError
from keel.envs.games.draw_layout import layout
from keel.envs.games.games import make_game
from keel.envs.protocol import Array
from keel.runners.play import window as play_window
from keel.runners.play.agent import Agent, Level
from keel.runners.play.board import FADE_SECONDS
from keel.runners.play.desk import Desk
from keel.runners.play.layout import arrange
from keel.runners.play.moves import Hand, Move
from keel.runners.play.panel import chances, title_of
from keel.runners.play.table import Sitting
from keel.runners.play.window import PlayWindow, play_in_window

LEVELS = (Level("easy", 8, by_shares=True), Level("medium", 24), Level("hard", 60))
MOST_SECONDS = 20.0
SIZE = (640, 480)


def first_moves(actions: int) -> Callable[[Array], tuple[Array, Array]]:
    """Prefers actions with low numbers, and sees a draw everywhere."""

    def evaluate(states: Array) -> tuple[Array, Array]:
        return np.tile(-np.arange(actions, dtype=np.float32), (len(states), 1)), np.zeros(len(states), np.float32)

    return evaluate


class Table:
    """A window at which nobody waits, and a person with a mouse and keys."""

    def __init__(self, game: str, person: int = 0, size: tuple[int, int] = SIZE) -> None:
        rules = make_game(game)
        agent = Agent(rules, "low numbers", first_moves(rules.actions), LEVELS)
        self.desk = Desk(Sitting(rules, person), agent, LEVELS[1], haste=1.0)
        self.size = size
        self.screen = pygame.display.set_mode(size)
        self.window = PlayWindow(self.desk)
        self.settle()

    @property
    def names(self) -> list[str]:
        return self.desk.sitting.named_moves()

    def step(self) -> None:
        self.window.step(self.screen)

    def settle(self) -> None:
        """Until the person is asked, or the game has ended."""
        deadline = time.monotonic() + MOST_SECONDS
        self.step()
        while self.desk.thinker.busy or self.desk.sitting.agents_turn or self.desk.sitting.forced_pass is not None:
            assert time.monotonic() < deadline
            self.step()
            time.sleep(0.001)
        self.step()

    def point(self, x: float, y: float) -> tuple[int, int]:
        position = round(x), round(y)
        pygame.event.post(pygame.event.Event(pygame.MOUSEMOTION, pos=position, rel=(0, 0), buttons=(0, 0, 0)))
        return position

    def click_at(self, point: tuple[float, float]) -> None:
        position = self.point(*point)
        pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, pos=position, button=1))
        self.step()

    def cell(self, cell: int) -> tuple[float, float]:
        game = self.desk.sitting.game
        return layout(game, arrange(game, self.size, 3, False).board.size).centre_of(cell)

    def click(self, *cells: int) -> None:
        for cell in cells:
            self.click_at(self.cell(cell))
        self.settle()

    def button(self, name: str) -> None:
        self.click_at(arrange(self.desk.sitting.game, self.size, 3, False).buttons[name].center)
        self.settle()

    def press(self, key: str) -> None:
        code = pygame.key.key_code(key)
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=code, unicode=key if len(key) == 1 else "", mod=0))
        self.step()

    def picture(self) -> Array:
        """Once the last move has faded in."""
        self.window.draw(self.screen)
        time.sleep(FADE_SECONDS)
        surface = pygame.Surface(self.size, depth=32)
        self.window.draw(surface)
        return pygame.surfarray.array3d(surface)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Table]]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame.display.init()
    pygame.event.clear()
    tables = []

    def make(*arguments: Any, **options: Any) -> Table:
        tables.append(Table(*arguments, **options))
        return tables[-1]

    yield make
    for made in tables:
        made.desk.close()
    pygame.display.quit()


def test_a_click_is_answered_and_one_beside_the_board_is_not(table: Callable[..., Table]) -> None:
    at = table("connect_four")
    at.click_at((3, 3))
    assert at.names == []
    at.click(3)
    assert at.names == ["d", "a"]
    assert at.desk.thought is not None
    assert at.desk.thought.simulations == 24
    assert at.desk.sitting.persons_turn


def test_a_whole_game_with_the_mouse_and_another_one(table: Callable[..., Table]) -> None:
    """The agent does not see far: four in the column d win."""
    at = table("connect_four")
    at.desk.level = Level("blind", 1)
    for _ in range(4):
        at.click(3)
    assert at.names == ["d", "a", "d", "a", "d", "a", "d"]
    assert at.desk.sitting.score == (1, 0, 0)
    at.click(0)
    assert len(at.names) == 7
    at.click_at(arrange(at.desk.sitting.game, at.size, 3, False).status.center)  # the banner
    assert at.names == []


def test_clicks_while_the_agent_thinks_do_nothing(table: Callable[..., Table]) -> None:
    at = table("connect_four")
    at.desk.level = Level("endless", 200_000)
    at.click_at(at.cell(3))
    assert at.desk.thinker.busy
    at.click_at(at.cell(4))
    at.press("h")
    assert at.names == ["d"]
    at.press("u")  # which also stops the thinking
    assert at.names == []
    assert not at.desk.thinker.busy


def test_keys_and_buttons_do_the_same(table: Callable[..., Table]) -> None:
    keys = {"new": "n", "undo": "u", "swap": "s", "hint": "h", "thinking": "t", "level 3": "3"}
    for act in (Table.press, Table.button):

        def do(name: str, at: Table, act: Any = act) -> None:
            act(at, keys[name] if act is Table.press else name)
            at.settle()

        at = table("tic_tac_toe")
        at.click(4)
        do("undo", at)
        assert at.names == []
        do("hint", at)
        assert at.desk.hint
        assert at.desk.hinted is not None
        assert at.desk.thought is not None
        assert at.desk.thought.simulations == 60
        do("swap", at)
        assert at.desk.sitting.person == 1
        assert len(at.names) == 1
        assert not at.desk.hint
        do("level 3", at)
        assert at.desk.level.name == "hard"
        do("thinking", at)
        assert not at.desk.showing
        do("new", at)
        assert len(at.names) == 1


def test_a_piece_is_moved_with_two_clicks(table: Callable[..., Table]) -> None:
    at = table("breakthrough")
    b2, b3, c3 = 49, 41, 42
    at.click(b3)
    assert at.names == []
    before = at.picture()
    at.click(b2)
    assert at.desk.hand.chosen == b2
    assert (at.picture() != before).any()
    at.press("escape")  # lays it down and leaves the window open
    assert at.desk.hand.chosen is None
    assert not at.desk.closed
    at.click(b2, c3)
    assert at.names[0] == "b2c3"
    assert len(at.names) == 2


def test_a_promotion_is_chosen_by_key_or_button(table: Callable[..., Table]) -> None:
    at = table("tic_tac_toe")
    for choose in ("key", "button"):
        at.press("n")
        at.desk.hand = Hand([Move(0, "a7a8q", 8, 0), Move(1, "a7a8n", 8, 0)])
        at.desk.hand.click(8)
        at.desk.hand.click(0)
        if choose == "key":
            at.press("n")  # the knight, and no new game
        else:
            status = arrange(at.desk.sitting.game, at.size, 3, False).status
            at.click_at((status.left + 110 + status.height + 8 + 5, status.centery))
        assert at.desk.sitting.moves[0] == 1
        at.settle()


def test_who_must_pass_passes_and_is_told() -> None:
    """Games by lot until both have had to."""
    rules, chance, told = make_game("othello_6x6"), np.random.default_rng(0), set()
    agent = Agent(rules, "low numbers", first_moves(rules.actions), (Level("blind", 1),))
    desk = Desk(Sitting(rules), agent, agent.levels[0], haste=1.0)
    deadline = time.monotonic() + MOST_SECONDS
    while len(told) < 2:
        assert time.monotonic() < deadline
        if desk.sitting.position.ended:
            desk.command("new")
        if desk.sitting.persons_turn and desk.sitting.forced_pass is None:
            desk.choose(desk.hand.moves[chance.integers(len(desk.hand.moves))])
        if desk.sitting.forced_pass is not None:
            told.add((desk.sitting.persons_turn, desk.notice))
            assert desk.hand.moves == []
        desk.advance()
        time.sleep(0.0002)
    desk.close()
    assert told == {(True, "You cannot move: you pass"), (False, "The agent cannot move: it passes")}


def test_changing_the_level_while_it_thinks_begins_again(table: Callable[..., Table]) -> None:
    at = table("connect_four")
    at.desk.level = Level("endless", 200_000)
    at.click_at(at.cell(3))
    at.press("1")
    at.settle()
    assert at.desk.thought is not None
    assert at.desk.thought.simulations == 8


def test_hovering_shows_the_stone_and_a_candidate_shows_its_move(table: Callable[..., Table]) -> None:
    at = table("hex_7x7")
    at.click(24)
    plain = at.picture()
    x, y = at.cell(10)
    at.point(x, y)
    at.step()
    changed = np.argwhere((at.picture() != plain).any(axis=2))
    board = arrange(at.desk.sitting.game, at.size, 3, False).board
    within = layout(at.desk.sitting.game, board.size).pitch
    assert len(changed) > 100
    assert (np.abs(changed - (x, y)) <= within).all()
    row = arrange(at.desk.sitting.game, at.size, 3, False).candidate(1)
    at.point(*row.center)
    at.step()
    changed = np.argwhere((at.picture() != plain).any(axis=2))
    assert (changed[:, 0] < board.right).sum() > 50


@pytest.mark.parametrize("size", [(1100, 760), (800, 560), (320, 240), (60, 40)])
def test_every_size_can_be_drawn(table: Callable[..., Table], size: tuple[int, int]) -> None:
    at = table("othello_6x6", 1, size)
    at.desk.command("hint")
    at.settle()
    assert at.picture().shape == (*size, 3)
    at.desk.command("thinking")
    assert at.picture().shape == (*size, 3)


@pytest.mark.parametrize("size", [(1100, 760), (800, 560)])
@pytest.mark.parametrize("can_pass", [False, True])
def test_nothing_lies_on_anything_else(size: tuple[int, int], can_pass: bool) -> None:
    for game in ("connect_four", "hex", "breakthrough"):
        places = arrange(make_game(game), size, 3, can_pass)
        parts = [places.header, *places.players, places.chance, places.rows, places.line, places.graph]
        parts += places.buttons.values()
        for index, part in enumerate(parts):
            assert places.panel.contains(part)
            assert part.width > 0
            assert part.height > 0
            assert part.collidelist(parts[index + 1 :]) == -1
        assert places.board.contains(places.status)
        assert places.candidates >= 4


def test_chances_are_the_persons(table: Callable[..., Table]) -> None:
    at = table("connect_four")
    at.desk.sitting.values = {0: 1.0, 2: -0.5}
    assert chances(at.desk.sitting) == [(0, 1.0), (2, 0.25)]
    at.desk.sitting.person = 1
    assert chances(at.desk.sitting) == [(0, 0.0), (2, 0.75)]


def test_titles() -> None:
    assert [title_of(name) for name in ("connect_four", "hex_7x7", "chess")] == ["Connect Four", "Hex 7x7", "Chess"]


def test_the_loop_ends_when_the_window_is_closed(table: Callable[..., Table]) -> None:
    desk = table("tic_tac_toe").desk
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    play_in_window(desk)
    assert desk.closed
    assert not pygame.display.get_init()


def test_what_breaks_in_the_thread_ends_the_window(table: Callable[..., Table]) -> None:
    def broken(states: Array) -> tuple[Array, Array]:
        raise KeelError("the network is gone")

    rules = make_game("tic_tac_toe")
    desk = Desk(Sitting(rules, 1), Agent(rules, "broken", broken, LEVELS), LEVELS[0], haste=1.0)
    with pytest.raises(KeelError, match="the network is gone"):
        play_in_window(desk)
    assert not pygame.display.get_init()


def test_no_window_can_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise pygame.error("No available video device")

    monkeypatch.setattr(play_window.pygame.display, "init", refuse)
    rules = make_game("tic_tac_toe")
    desk = Desk(Sitting(rules), Agent(rules, "", first_moves(9), LEVELS), LEVELS[0])
    with pytest.raises(KeelError, match="No available video device; --text plays in the terminal"):
        play_in_window(desk)
