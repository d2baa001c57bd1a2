"""The window in which a person plays a board game: what is drawn when, and what a click or a key does. Needs pygame."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pygame

from keel.envs.errors import KeelError
from keel.envs.games.draw_pieces import INK, PAPER, WHITE
from keel.runners.play.board import BoardPicture, Pointing
from keel.runners.play.desk import Desk
from keel.runners.play.layout import KEYS, Places, arrange
from keel.runners.play.moves import Move, move_of
from keel.runners.play.paint import ACCENT, RULE, SOFT, Pen
from keel.runners.play.panel import View, can_do, paint_panel, title_of
from keel.runners.play.table import PASS

START_SIZE = (1100, 760)
FRAMES_PER_SECOND = 60
THINKING_FRAMES_PER_SECOND = 15  # the search needs the processor
COMMANDS = {key: name for name, key in KEYS.items()} | {str(number): f"level {number}" for number in range(1, 10)}
LEFT_BUTTON = 1
WITHOUT_WINDOW = "no window can be opened{}; --text plays in the terminal"


def play_in_window(desk: Desk) -> None:
    """Play until the person closes the window. Raises: KeelError: no window can be opened."""
    screen = _open(title_of(desk.sitting.game.name))
    try:
        window = PlayWindow(desk)
        clock = pygame.time.Clock()
        while not desk.closed:
            window.step(screen)
            clock.tick(THINKING_FRAMES_PER_SECOND if desk.thinker.busy else FRAMES_PER_SECOND)
    finally:
        desk.close()
        pygame.display.quit()


def save_screenshot(desk: Desk, path: Path) -> None:
    """Write a picture of the window as it is when the agent has had its turn and has given a hint. Needs no display."""
    clock = pygame.time.Clock()

    def wait() -> None:
        while desk.thinker.busy or desk.sitting.agents_turn:
            desk.advance()
            clock.tick(FRAMES_PER_SECOND)

    wait()
    desk.command("hint")
    wait()
    desk.advance()
    surface = pygame.Surface(START_SIZE, depth=32)
    PlayWindow(desk).draw(surface)
    path.parent.mkdir(parents=True, exist_ok=True)
    pygame.image.save(surface, path)
    desk.close()


class PlayWindow:
    """Draws a desk, and hands on what the person does with mouse and keys."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._board = BoardPicture(desk.sitting.game)
        # Where passing is ever a choice, it is one at the start, as in Go.
        self._can_pass = PASS in map(desk.sitting.name, desk.sitting.positions[0].legal)
        self._mouse: tuple[int, int] | None = None
        self._drawn: object = None

    def step(self, surface: pygame.Surface) -> None:
        """Answer what has happened since the last time, and draw if anything has changed."""
        events, size = pygame.event.get(), surface.get_size()
        for event in events:
            self.handle(event, size)
        moved = self._desk.advance()
        if events or moved or self._desk.thinker.busy or self._board.fading or self._drawn != size:
            self.draw(surface)
            self._drawn = None if self._board.fading else size
            pygame.display.flip()

    def handle(self, event: pygame.event.Event, size: tuple[int, int]) -> None:
        """One event in a window of this width and height."""
        if event.type == pygame.QUIT:
            self._desk.close()
        elif event.type == pygame.KEYDOWN:
            self._press(event)
        elif event.type == pygame.MOUSEMOTION:
            self._mouse = event.pos
            self._show_cursor(self._places(size))
        elif event.type == pygame.WINDOWLEAVE:
            self._mouse = None
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button == LEFT_BUTTON:
            self._mouse = event.pos
            self._click(self._places(size))

    def draw(self, surface: pygame.Surface) -> None:
        """Paint the whole surface, of any size."""
        desk, places = self._desk, self._places(surface.get_size())
        surface.fill(PAPER)
        pointing = Pointing(desk.hand, self._place(places), self._shown(places))
        self._board.paint(surface, places.board, desk.sitting, pointing)
        self._paint_status(surface, places)
        paint_panel(surface, places, self._view(places))

    def _press(self, event: pygame.event.Event) -> None:
        desk = self._desk
        if event.key == pygame.K_ESCAPE:
            if not desk.hand.release():
                desk.close()
            return
        letter = event.unicode.lower() if event.unicode else pygame.key.name(event.key)
        chosen = [option for option in desk.hand.options if option.name.endswith(letter)]
        if chosen:
            desk.choose(chosen[0])
        elif not desk.hand.options:
            desk.command(COMMANDS.get(letter, ""))

    def _click(self, places: Places) -> None:
        desk = self._desk
        for option, box in self._options(places):
            if self._over(box):
                desk.choose(option)
                return
        if desk.sitting.position.ended and self._over(places.status):
            desk.command("new")
        elif self._over(places.board):
            desk.click(self._place(places))
        elif can_do(name := self._pointed(places), self._view(places)):
            desk.command(name)

    def _view(self, places: Places) -> View:
        desk = self._desk
        return View(
            sitting=desk.sitting,
            agent=desk.agent.name,
            level=desk.level,
            levels=desk.agent.levels,
            thought=desk.thought,
            hint=desk.hint,
            thinking=desk.thinker.busy,
            progress=desk.thinker.progress,
            seconds=desk.thinker.seconds,
            showing=desk.showing,
            can_pass=bool(desk.passes),
            pointed=self._pointed(places),
        )

    def _pointed(self, places: Places) -> str:
        """The button or candidate under the mouse."""
        for name, box in places.buttons.items():
            if self._over(box):
                return name
        thought = self._desk.thought if self._desk.showing else None
        count = 0 if thought is None else min(places.candidates, len(thought.candidates))
        return next((f"candidate {i}" for i in range(count) if self._over(places.candidate(i))), "")

    def _shown(self, places: Places) -> Move | None:
        """The move to show on the board: a candidate that is pointed at, else a hint."""
        thought, pointed = self._desk.thought, self._pointed(places)
        if thought is not None and pointed.startswith("candidate "):
            action = thought.candidates[int(pointed.split()[1])].action
            return move_of(self._desk.sitting.game, action, thought.position.player)
        return self._desk.hinted

    def _paint_status(self, surface: pygame.Surface, places: Places) -> None:
        desk, sitting = self._desk, self._desk.sitting
        pen, box = Pen(places.status, PAPER), places.status
        size = max(13, min(19, round(0.42 * box.height)))
        if options := self._options(places):
            pen.words("Becomes:", (places.status.left, box.centery), size, SOFT)
            for option, place in options:
                pen.box(place, WHITE, 8, ACCENT if self._over(place) else RULE)
                pen.words(option.name[-1].upper(), place.center, size, align="middle")
        elif sitting.position.ended:
            pen.box(box, ACCENT, box.height / 2)
            words = f"{self._result()}   ·   n for a new game"
            pen.words(words, box.center, size, WHITE, align="middle", width=box.width - box.height)
        else:
            words = desk.notice or self._whose_turn()
            colour = INK if sitting.persons_turn else SOFT
            pen.words(words, box.center, size, colour, align="middle", width=places.status.width)
        pen.finish(surface)

    def _result(self) -> str:
        winner = self._desk.sitting.position.winner
        return "A draw" if winner is None else "You win" if winner == self._desk.sitting.person else "The agent wins"

    def _whose_turn(self) -> str:
        if self._desk.sitting.agents_turn:
            return "The agent thinks…"
        return "Your move: where to?" if self._desk.hand.chosen is not None else "Your move"

    def _options(self, places: Places) -> list[tuple[Move, pygame.Rect]]:
        """Moves of which one must be chosen still, with their buttons below the board."""
        box, side = places.status, places.status.height
        left = places.status.left + 110
        return [
            (option, pygame.Rect(left + i * (side + 8), box.top, side, side))
            for i, option in enumerate(self._desk.hand.options)
        ]

    def _places(self, size: tuple[int, int]) -> Places:
        return arrange(self._desk.sitting.game, size, len(self._desk.agent.levels), self._can_pass)

    def _place(self, places: Places) -> int | None:
        """The place of the board under the mouse."""
        if self._mouse is None or not self._over(places.board):
            return None
        return self._board.place_at(places.board, self._mouse)

    def _over(self, box: pygame.Rect) -> bool:
        return self._mouse is not None and box.collidepoint(self._mouse)

    def _show_cursor(self, places: Places) -> None:
        """A hand over what can be clicked."""
        name = self._pointed(places)
        active = self._desk.hand.can(self._place(places)) or (
            name in places.buttons and can_do(name, self._view(places))
        )
        with contextlib.suppress(pygame.error):  # not every display has cursors
            pygame.mouse.set_cursor(pygame.SYSTEM_CURSOR_HAND if active else pygame.SYSTEM_CURSOR_ARROW)


def _open(title: str) -> pygame.Surface:
    try:
        pygame.display.init()
    except pygame.error as error:
        raise KeelError(WITHOUT_WINDOW.format(f": {error}")) from None
    driver = pygame.display.get_driver()
    # SDL turns to a driver without a screen when the display that DISPLAY names does not answer.
    if driver in ("dummy", "offscreen") and os.environ.get("SDL_VIDEODRIVER") != driver:
        pygame.display.quit()
        raise KeelError(WITHOUT_WINDOW.format(": the display does not answer"))
    wide, high = pygame.display.get_desktop_sizes()[0]
    pygame.display.set_caption(f"{title} · Keel")
    size = min(START_SIZE[0], wide), min(START_SIZE[1], round(0.9 * high))
    return pygame.display.set_mode(size, pygame.RESIZABLE)
