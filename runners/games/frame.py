"""A scene of a board game as a picture or as text: the board, whose move it is, what they expect and their best line."""

from __future__ import annotations

import numpy as np
import pygame

from keel.envs.fonts import fitted, rendered
from keel.envs.games.draw import picture
from keel.envs.games.draw_pieces import INK, PAPER, mix
from keel.envs.games.draw_pieces import look_of as look
from keel.envs.games.game import Game
from keel.envs.games.text import board_text, sides
from keel.envs.protocol import Array
from keel.runners.games.scenes import Scene

# Pixels of the panel below a board that is 720 wide; everything in it lies between the sides.
PANEL, SIDE, BAR, WORDS = 128, 36, 18, 17
BAR_TOP, NAMES_TOP, LINE_TOP, COUNT_TOP = 6, 30, 62, 92
MOST_OF_LINE = 12  # moves that are shown
SOFT, EMPTY = mix(PAPER, INK, 0.65), mix(PAPER, INK, 0.12)


def scene_picture(game: Game, scene: Scene, games: int) -> Array:
    """[H W 3] uint8, even numbers of pixels. `games`: how many there are to see."""
    last = (scene.moves[-1], 1 - scene.mover) if scene.moves else None
    title = headline(scene, look(game.name).players)
    board = picture(game, scene.state, scene.mover, legal=scene.legal, last=last, title=title)
    panel = pygame.Surface((board.shape[1], PANEL), depth=32)
    _draw_panel(panel, game, scene, games)
    below = np.frombuffer(pygame.image.tobytes(panel, "RGB"), np.uint8).reshape(PANEL, board.shape[1], 3)
    return np.concatenate([board, below])


def scene_text(game: Game, scene: Scene, games: int) -> str:
    """The same as text, in which X moved first."""
    lines = [board_text(game, scene.state, scene.mover), headline(scene, sides(game))]
    expected = first_expects(scene)
    if expected is not None:
        lines.append(f"{scene.players[0]} {100 * expected:.0f} %, {scene.players[1]} {100 - 100 * expected:.0f} %")
    return "\n".join([*lines, *filter(None, [best_line(game, scene)]), count(scene, games)])


def headline(scene: Scene, colours: tuple[str, str]) -> str:
    """Who is to move or has won, by colour and name."""
    if scene.thought is None and scene.winner is None:
        return "a draw"
    who = scene.mover if scene.winner is None else scene.winner
    return f"{colours[who]} ({scene.players[who]}) {'to move' if scene.winner is None else 'has won'}"


def first_expects(scene: Scene) -> float | None:
    """The share of the points that who moves first can expect by what the mover thinks, or has got; None: unknown."""
    if scene.thought is None:
        return 0.5 if scene.winner is None else 1.0 - scene.winner
    if scene.thought.value is None:
        return None
    own = (scene.thought.value + 1.0) / 2.0
    return own if scene.mover == 0 else 1.0 - own


def best_line(game: Game, scene: Scene) -> str:
    """What the mover is about to play, and what it expects after that; nothing at the end."""
    thought = scene.thought
    if thought is None:
        return ""
    moves = list(thought.line[:MOST_OF_LINE]) or [thought.action]
    names = [game.action_name(move, (scene.mover + ply) % 2) for ply, move in enumerate(moves)]
    what = "by lot" if thought.by_lot else "best line" if thought.line else "plays"
    more = " …" if len(thought.line) > MOST_OF_LINE else ""
    return f"{what}: {' '.join(names)}{more}"


def count(scene: Scene, games: int) -> str:
    """Which move of which game it is."""
    game = f"game {scene.number} of {games}"
    return f"{game}, {len(scene.moves)} moves" if scene.thought is None else f"{game}, move {len(scene.moves) + 1}"


def _draw_panel(panel: pygame.Surface, game: Game, scene: Scene, games: int) -> None:
    panel.fill(PAPER)
    width = panel.get_width() - 2 * SIDE
    colours, expected = look(game.name).colours, first_expects(scene)
    bar = pygame.Rect(SIDE, BAR_TOP, width, BAR)
    pygame.draw.rect(panel, EMPTY, bar)
    if expected is not None:
        own = round(width * expected)
        pygame.draw.rect(panel, colours[0], (SIDE, BAR_TOP, own, BAR))
        pygame.draw.rect(panel, colours[1], (SIDE + own, BAR_TOP, width - own, BAR))
    pygame.draw.rect(panel, SOFT, bar, 1)
    names = look(game.name).players
    shares = (None, None) if expected is None else (expected, 1.0 - expected)
    for seat, share in enumerate(shares):
        # Who has which colour, and what the mover expects for both of them; numbers first, as names may be long.
        percent = "" if share is None else f"{100 * share:.0f} %  "
        _write(panel, f"{percent}{names[seat]} · {scene.players[seat]}", NAMES_TOP, width // 2 - 8, right=seat == 1)
    _write(panel, best_line(game, scene), LINE_TOP, width)
    _write(panel, count(scene, games), COUNT_TOP, width, soft=True)


def _write(panel: pygame.Surface, words: str, top: int, width: int, *, right: bool = False, soft: bool = False) -> None:
    image = rendered(fitted(words, WORDS, width), WORDS, SOFT if soft else INK)
    panel.blit(image, (panel.get_width() - SIDE - image.get_width() if right else SIDE, top))
