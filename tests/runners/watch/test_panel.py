"""The overlay says what is so: rows against hand-made numbers, and the picture against its own colours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from keel.envs.cooling.panel_paint import TEAL
from keel.runners.watch.insight import Insight
from keel.runners.watch.moment import Moment, View
from keel.runners.watch.names import Names, Sensor
from keel.runners.watch.panel import LEAST_HEIGHT, PANEL_WIDTH, paint_panel, share_rows
from keel.runners.watch.picture import moment_picture, painted, picture_size
from keel.runners.watch.rows import Overlay, action_rows, chosen_of, most_telling, overlay_lines, sensor_rows

THREE = spaces.Discrete(3)
NAMES = Names((Sensor("level", 1, 10.0, 2.0, "m"), Sensor("speed", 0)), ("left", "stay", "right"))
OVERLAY = Overlay("a world", "an agent", NAMES, THREE)
SEEN = np.array([0.25, -1.0], np.float32)


def moment(numbers: Any, action: int = 1, legal: Any = None, kind: Any = "probability", **more: Any) -> Moment:
    legal = None if legal is None else np.array(legal, bool)
    insight = Insight(12.5, "", kind, np.array(numbers, float), None, legal)
    view = View(SEEN, np.asarray(action), insight)
    shown = Moment(np.full((40, 60, 3), 90, np.uint8), 2, 3, 4.5, "", view, [1.0, 1.0, 2.5], [9.0, 10.0, 11.0, 12.5])
    return shown._replace(**more)


def rows(shown: Moment) -> Any:
    assert shown.view is not None
    assert shown.view.insight is not None
    return action_rows(shown.view.insight, shown.view.action, THREE, NAMES)


def test_probabilities_are_bars_from_nothing_to_all() -> None:
    assert [tuple(row) for row in rows(moment([0.25, 0.5, 0.25]))] == [
        ("left", "25.0 %", 0.25, None, False, True),
        ("stay", "50.0 %", 0.5, None, True, True),
        ("right", "25.0 %", 0.25, None, False, True),
    ]


def test_values_are_bars_from_the_worst_to_the_best_legal_action() -> None:
    shown = rows(moment([-3.0, 1.0, 99.0], kind="value", legal=[1, 1, 0]))
    assert [row.text for row in shown] == ["-3.000", "1.000", "not legal"]
    assert [row.share for row in shown] == pytest.approx([0.08 / 1.08, 1.0, 0.0])
    assert [row.legal for row in shown] == [True, True, False]
    equal = rows(moment([2.0, 2.0, 2.0], kind="value"))
    assert all(0.0 <= row.share <= 1.0 for row in equal)


def test_means_lie_between_the_bounds_of_their_axis() -> None:
    space = spaces.Box(np.float32([-2.0, 0.0]), np.float32([2.0, 10.0]))
    insight = Insight(0.0, "", "mean", np.array([1.0, 12.0]), np.array([0.5, 1.0]))
    first, second = action_rows(insight, np.array([1.0, 10.0]), space, Names((), ("x", "y")))
    assert (first.text, first.share, first.spread) == ("1.000 ± 0.500", 0.75, 0.125)
    assert second.share == 1.0
    unbounded = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    (only,) = action_rows(Insight(0.0, "", "mean", np.array([0.5])), np.array([0.5]), unbounded, Names((), ("x",)))
    assert (only.text, only.share, only.spread) == ("0.500", 0.75, None)


@pytest.mark.parametrize(
    ("space", "action", "expected"),
    [
        (spaces.Discrete(3, start=4), 6, [0, 0, 1]),
        (spaces.MultiDiscrete([2, 3]), [1, 0], [0, 1, 1, 0, 0]),
        (spaces.MultiBinary(3), [1, 0, 1], [1, 0, 1]),
        (spaces.Box(0, 1, (2,)), [0.1, 0.2], [1, 1]),
    ],
)
def test_the_numbers_of_an_action_are_found(space: Any, action: Any, expected: list[int]) -> None:
    assert chosen_of(np.asarray(action), space, len(expected)).astype(int).tolist() == expected


def test_where_room_is_short_the_action_taken_and_the_highest_are_shown() -> None:
    all_rows = rows(moment([0.5, 0.1, 0.4]))
    assert [row.name for row in most_telling(all_rows, 3)] == ["left", "stay", "right"]
    assert [row.name for row in most_telling(all_rows, 2)] == ["stay", "left"]


def test_sensors_are_in_their_units_or_numbered() -> None:
    assert sensor_rows(SEEN, NAMES) == [("level", "8.000 m"), ("speed", "0.250")]
    assert sensor_rows(SEEN, Names((), ())) == [("observation 0", "0.250"), ("observation 1", "-1.000")]
    assert sensor_rows(np.zeros((7, 7, 3)), NAMES) == [("observation", "7 × 7 × 3")]


@pytest.mark.parametrize(
    ("height", "actions", "sensors"),
    [
        (212, 2, 4),
        (212, 7, 3),
        (100, 7, 40),
        (500, 81, 20),
        (500, 4, 20),
        (60, 2, 2),
        (0, 5, 5),
        (212, 0, 9),
        (212, 3, 0),
    ],
)
def test_rows_are_shared_and_never_overflow(height: int, actions: int, sensors: int) -> None:
    shown = share_rows(height, actions, sensors)
    assert 0 <= shown[0] <= actions
    assert 0 <= shown[1] <= sensors
    used = sum(30 + 6 + 22 * count for count in shown if count) + 8 * all(shown)
    assert used <= max(height, 0)
    if height == 500:
        assert min(shown) >= 4


def test_the_terminal_gets_the_same() -> None:
    lines = overlay_lines(moment([0.25, 0.5, 0.25]), OVERLAY)
    assert [" ".join(line.split()) for line in lines] == [
        "value 12.50", "left 25.0 %", "> stay 50.0 %", "right 25.0 %", "level 8.000 m", "speed 0.250",
    ]  # fmt: skip
    assert overlay_lines(moment([1, 0, 0])._replace(view=None), OVERLAY) == []


def panel(shown: Moment, height: int = LEAST_HEIGHT, overlay: Overlay = OVERLAY) -> Any:
    return painted(lambda surface: paint_panel(surface, overlay, shown), (PANEL_WIDTH, height))


def teal(picture: Any) -> int:
    return int((np.abs(picture.astype(int) - TEAL).max(axis=2) < 3).sum())


def test_the_bar_of_the_action_taken_is_as_long_as_its_probability() -> None:
    short, long = teal(panel(moment([0.4, 0.2, 0.4]))), teal(panel(moment([0.1, 0.8, 0.1])))
    assert long / short == pytest.approx(4.0, rel=0.15)


@pytest.mark.parametrize(
    "change",
    [
        {"return_": 5.5}, {"episode": 3}, {"step": 2}, {"outcome": "terminated"}, {"note": "step 4,096"},
        {"rewards": [1.0, 9.0, 2.5]}, {"values": [9.0, 3.0, 11.0, 12.5]},
    ],
)  # fmt: skip
def test_all_that_a_moment_says_is_seen(change: dict[str, Any]) -> None:
    shown = moment([0.2, 0.6, 0.2])
    assert np.any(panel(shown) != panel(shown._replace(**change)))


def test_a_controller_has_a_panel_too() -> None:
    shown = moment([1, 0, 0])._replace(view=View(SEEN, np.asarray(0), None))
    assert np.any(panel(shown) != panel(shown._replace(view=None)))


def test_many_actions_and_long_names_stay_inside() -> None:
    names = Names((), tuple(f"a very long name of an action, number {index}" for index in range(81)))
    overlay = Overlay(
        "a world with a name that is far too long for one line of a panel", "agent", names, spaces.Discrete(81)
    )
    shown = moment(np.full(81, 1 / 81), action=40)
    picture = panel(shown, 720, overlay)
    ground = picture[0, 0]
    for edge in (picture[:4], picture[-4:], picture[:, :4], picture[:, -4:]):
        assert np.all(edge == ground)


def test_the_picture_holds_the_frame_and_has_even_sides() -> None:
    shown = moment([0.2, 0.6, 0.2], frame=np.full((35, 41, 3), 90, np.uint8))
    picture = moment_picture(shown, OVERLAY)
    assert picture.shape[:2] == picture_size(shown.frame, with_overlay=True)[::-1]
    assert all(side % 2 == 0 for side in picture.shape[:2])
    inside = (picture == 90).all(axis=2)
    assert inside.sum() >= (12 * 35) * (12 * 41)  # enlarged by a whole number to 400 pixels and more
