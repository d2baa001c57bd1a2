"""The panel beside the board: who plays, how the agent judges, what it looked at, and the buttons. Needs pygame.

All chances are the person's, whoever is to move, so that no number has to be turned round in one's head.
"""

from __future__ import annotations

from typing import NamedTuple

import pygame

from keel.envs.games.draw_pieces import INK, WHITE, Colour, look_of, mix
from keel.runners.play.agent import Candidate, Level, Thought
from keel.runners.play.layout import KEYS, Places
from keel.runners.play.paint import ACCENT, CARD, FAINT, RULE, SOFT, THOUGHT, TRACK, Pen, width_of
from keel.runners.play.table import Sitting

SMALL, NORMAL, LARGE = 12, 14, 22
SHORTEST_GRAPH = 12  # moves
NAME_COLUMN, SHARE_COLUMN = 58, 60  # widths in the list of candidates


class View(NamedTuple):
    """All that the panel shows."""

    sitting: Sitting
    agent: str  # its name
    level: Level
    levels: tuple[Level, ...]
    thought: Thought | None  # the agent's last, or one for the person if `hint`
    hint: bool
    thinking: bool
    progress: float  # 0 to 1
    seconds: float  # since it thinks
    showing: bool  # whether the thinking is to be seen
    can_pass: bool
    pointed: str  # the button under the mouse, or "candidate 3"


def paint_panel(surface: pygame.Surface, places: Places, view: View) -> None:
    """Everything right of the board."""
    pen = Pen(places.panel, CARD)
    pen.line([places.panel.topleft, places.panel.bottomleft], RULE, 2)
    paint_header(pen, places.header, view)
    for player, box in zip((view.sitting.person, 1 - view.sitting.person), places.players, strict=True):
        paint_player(pen, box, view, player)
    if view.showing:
        paint_chance(pen, places.chance, view)
        paint_candidates(pen, places, view)
        paint_line(pen, places.line, view)
        paint_graph(pen, places.graph, view)
    else:
        paint_record(pen, places.record, view.sitting)
    for name, box in places.buttons.items():
        paint_button(pen, box, name, view)
    pen.finish(surface)


def title_of(game: str) -> str:
    """A game's name as people write it."""
    return " ".join(word if word[0].isdigit() else word.capitalize() for word in game.split("_"))


def paint_header(pen: Pen, box: pygame.Rect, view: View) -> None:
    pen.words(title_of(view.sitting.game.name), (box.left, box.top + 13), LARGE, width=box.width)
    pen.words(f"against {view.agent}", (box.left, box.top + 37), SMALL, SOFT, width=box.width)


def paint_player(pen: Pen, box: pygame.Rect, view: View, player: int) -> None:
    """One of the two: their piece, their name, and what they do; who is to move has a frame."""
    sitting, look = view.sitting, look_of(view.sitting.game.name)
    person = player == sitting.person
    moving = not sitting.position.ended and sitting.position.player == player
    pen.box(box, WHITE if moving else TRACK, 9, ACCENT if moving else RULE)
    icon = pygame.Rect(box.left + 9, box.top + 9, box.height - 18, box.height - 18)
    pen.piece(look, player, icon)
    left, width = icon.right + 10, box.right - icon.right - 16
    pen.words("You" if person else "Agent", (left, box.top + 0.33 * box.height), NORMAL, width=width)
    won, lost, drawn = sitting.score
    wins = won if person else lost
    doing = f"{wins} {'win' if wins == 1 else 'wins'}" if won + lost + drawn else look.players[player]
    if moving:
        doing = "to move" if person else f"thinking, {view.seconds:.1f} s" if view.thinking else "to move"
    pen.words(doing, (left, box.top + 0.69 * box.height), SMALL, ACCENT if moving else SOFT, width=width)
    if moving and not person and view.thinking:
        bar = pygame.Rect(box.left + 10, box.bottom - 6, box.width - 20, 2)
        pen.line([bar.midleft, bar.midright], TRACK, 3)
        pen.line([bar.midleft, (bar.left + view.progress * bar.width, bar.centery)], ACCENT, 3)


def chances(sitting: Sitting) -> list[tuple[int, float]]:
    """The person's chance to win, 0 to 1, by moves made, where the position was judged."""
    sign = 1 if sitting.person == 0 else -1
    return [(moves, (1 + sign * value) / 2) for moves, value in sorted(sitting.values.items())]


def paint_chance(pen: Pen, box: pygame.Rect, view: View) -> None:
    known = chances(view.sitting)
    look, person = look_of(view.sitting.game.name), view.sitting.person
    middle = box.top + 10
    bar = pygame.Rect(box.left, box.top + 24, box.width, 18)
    if box.width > 300:
        pen.words("chance to win", (box.centerx, middle), SMALL, FAINT, align="middle")
    if not known:
        pen.box(bar, TRACK, 9, RULE)
        pen.words("nobody has judged yet", bar.center, SMALL, FAINT, align="middle")
        return
    chance = known[-1][1]
    pen.words(f"You {chance:.0%}", (box.left, middle), NORMAL)
    pen.words(f"Agent {1 - chance:.0%}", (box.right, middle), NORMAL, align="right")
    paint_shares(pen, bar, chance, (look.colours[person], look.colours[1 - person]))


def paint_shares(pen: Pen, bar: pygame.Rect, share: float, colours: tuple[Colour, Colour]) -> None:
    """A bar with round ends that is of the first colour up to `share`."""
    radius = bar.height / 2
    inside = bar.inflate(-3, -3)
    pen.box(bar, colours[share < 0.5], radius, mix(INK, WHITE, 0.4))
    middle = inside.left + round(share * inside.width)
    left = pygame.Rect(inside.left, inside.top, middle - inside.left, inside.height)
    right = pygame.Rect(middle, inside.top, inside.right - middle, inside.height)
    smaller, colour = (left, colours[0]) if share < 0.5 else (right, colours[1])
    if smaller.width < radius:
        return
    pen.box(smaller, colour, inside.height / 2)
    flat = smaller.inflate(-round(radius), 0)
    flat.right, flat.left = (smaller.right, flat.left) if share < 0.5 else (flat.right, smaller.left)
    pen.box(flat, colour)


def paint_candidates(pen: Pen, places: Places, view: View) -> None:
    """A row each: the move, a bar for how much it was looked at, and the person's chance after it."""
    box, thought = places.rows, view.thought
    heading = box.top + 11
    pen.line([(box.left, box.top - 2), (box.right, box.top - 2)], RULE, 1)
    pen.words("Hint for you" if view.hint else "The agent's view", (box.left, heading), NORMAL)
    if view.thinking and (view.sitting.persons_turn or thought is None):
        pen.words(f"looking, {view.progress:.0%}", (box.right, heading), SMALL, FAINT, align="right")
    elif thought is not None:
        pen.words("share", (box.right - SHARE_COLUMN, heading), SMALL, FAINT, align="right")
        pen.words("you win", (box.right, heading), SMALL, FAINT, align="right")
    if thought is None:
        if not view.thinking and places.candidates:
            words = "h: how the agent sees your position"
            pen.words(words, (box.left, places.candidate(0).centery), SMALL, FAINT, width=box.width)
        return
    most = max(candidate.share for candidate in thought.candidates)
    for index, candidate in enumerate(thought.candidates[: places.candidates]):
        row = places.candidate(index)
        if view.pointed == f"candidate {index}":
            pen.box(row.inflate(10, 0), TRACK, 6)
        paint_candidate(pen, row, candidate, view, thought, most)


def paint_candidate(
    pen: Pen, row: pygame.Rect, candidate: Candidate, view: View, thought: Thought, most: float
) -> None:
    best = candidate.action == thought.action
    colour, y = ACCENT if view.hint else THOUGHT, row.centery
    pen.words(candidate.name, (row.left, y), NORMAL, colour if best else INK, width=NAME_COLUMN - 4)
    track = pygame.Rect(row.left + NAME_COLUMN, y - 5, row.width - NAME_COLUMN - SHARE_COLUMN - 46, 10)
    pen.box(track, TRACK, 5)
    part = pygame.Rect(track.left, track.top, max(10, round(track.width * candidate.share / most)), 10)
    pen.box(part, colour if best else mix(colour, CARD, 0.45), 5)
    pen.words(f"{candidate.share:.0%}", (row.right - SHARE_COLUMN, y), SMALL, SOFT, align="right")
    sign = 1 if thought.position.player == view.sitting.person else -1
    pen.words(f"{(1 + sign * candidate.value) / 2:.0%}", (row.right, y), NORMAL, align="right")


def paint_line(pen: Pen, box: pygame.Rect, view: View) -> None:
    """How the search expects the game to go on: each move beside the colour of who would make it."""
    thought = view.thought
    if thought is None:
        return
    look, player = look_of(view.sitting.game.name), thought.position.player
    candidate = next((c for c in thought.candidates if c.action == thought.action), thought.candidates[0])
    if view.pointed.startswith("candidate "):
        index = int(view.pointed.split()[1])
        candidate = thought.candidates[index] if index < len(thought.candidates) else candidate
    pen.words("likely next", (box.left, box.top + 8), SMALL, FAINT)
    pen.words(thought.effort, (box.right, box.top + 8), SMALL, FAINT, align="right")
    x, y = box.left, box.top + 31
    for ply, name in enumerate(candidate.line):
        width = width_of(name, SMALL) + 27
        if x + width > box.right:
            break
        pen.box(pygame.Rect(x, y - 11, width, 22), WHITE, 11, RULE)
        pen.disc((x + 11, y), 5.5, mix(INK, WHITE, 0.3))
        pen.disc((x + 11, y), 4.5, look.colours[(player + ply) % 2])
        pen.words(name, (x + 19, y), SMALL)
        x += width + 5


def paint_graph(pen: Pen, box: pygame.Rect, view: View) -> None:
    """The person's chance to win over the moves of the game."""
    known, moves = chances(view.sitting), len(view.sitting.moves)
    pen.line([(box.left, box.top - 2), (box.right, box.top - 2)], RULE, 1)
    pen.words("Your chance over the game", (box.left, box.top + 10), SMALL, FAINT)
    plot = pygame.Rect(box.left + 34, box.top + 24, box.width - 40, box.height - 32)
    for chance in (0.0, 0.5, 1.0):
        y = plot.bottom - chance * plot.height
        pen.line([(plot.left, y), (plot.right, y)], RULE, 1)
        pen.words(f"{chance:.0%}", (plot.left - 6, y), 10, FAINT, align="right")
    length = max(SHORTEST_GRAPH, moves)
    points = [(plot.left + plot.width * at / length, plot.bottom - plot.height * chance) for at, chance in known]
    if len(points) > 1:
        middle = plot.bottom - plot.height / 2
        pen.area([(points[0][0], middle), *points, (points[-1][0], middle)], mix(THOUGHT, CARD, 0.82))
        pen.line(points, THOUGHT, 2)
    if points:
        pen.disc(points[-1], 4.5, CARD)
        pen.disc(points[-1], 3.5, THOUGHT)


def paint_record(pen: Pen, box: pygame.Rect, sitting: Sitting) -> None:
    """The moves, two a line, the last ones where not all fit."""
    names, height = sitting.named_moves(), 21
    pen.line([(box.left, box.top - 2), (box.right, box.top - 2)], RULE, 1)
    pen.words("Moves", (box.left, box.top + 12), NORMAL)
    pen.words("the agent's thinking is hidden", (box.right, box.top + 12), SMALL, FAINT, align="right")
    rounds, room = (len(names) + 1) // 2, max(1, (box.height - 28) // height)
    for line, index in enumerate(range(max(0, rounds - room), rounds)):
        y = box.top + 38 + line * height
        pen.words(f"{index + 1}.", (box.left + 26, y), SMALL, FAINT, align="right")
        for column, name in enumerate(names[2 * index : 2 * index + 2]):
            pen.words(name, (box.left + 40 + column * 0.4 * box.width, y), NORMAL)


def paint_button(pen: Pen, box: pygame.Rect, name: str, view: View) -> None:
    """With the key that does the same; what cannot be done now is pale."""
    words, key, chosen = name.capitalize(), KEYS.get(name, ""), False
    if name.startswith("level "):
        level = view.levels[int(name.split()[1]) - 1]
        words, key, chosen = level.name.capitalize(), name.split()[1], level == view.level
    possible, switched = can_do(name, view), name == "thinking" and view.showing
    ground: Colour = CARD if not possible else mix(WHITE, INK, 0.07 * (view.pointed == name))
    ground = ACCENT if chosen else mix(ground, ACCENT, 0.12) if switched else ground
    ink: Colour = WHITE if chosen else INK if possible else FAINT
    pen.box(box, ground, 8, ACCENT if chosen or switched else RULE)
    wide, hint = width_of(words, NORMAL), width_of(key, SMALL - 2)
    left = box.centerx - (wide + 6 + hint) / 2
    pen.words(words, (left, box.centery), NORMAL, ink, width=box.width - 8)
    if wide + 6 + hint < box.width - 6:
        pen.words(key, (left + wide + 6, box.centery + 1), SMALL - 2, mix(ink, ground, 0.45))


def can_do(name: str, view: View) -> bool:
    """Whether a button does something now."""
    sitting = view.sitting
    if name == "undo":
        return sitting.can_undo
    if name == "hint":
        return sitting.persons_turn
    if name == "pass":
        return view.can_pass
    return True
