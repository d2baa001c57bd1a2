"""The operator's panel: what it remembers, what it warns of, and that everything can be read."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from itertools import combinations, pairwise

import numpy as np
import pygame
import pytest

from keel.envs.cooling import faults, layout
from keel.envs.cooling.env import DataCenterCooling
from keel.envs.cooling.panel import Panel
from keel.envs.cooling.panel_alarms import CRITICAL, NOTICE, WARNING, alarms, minutes_to_limit
from keel.envs.cooling.panel_history import History, View, day_ratio, reference_cooling_kilowatts
from keel.envs.cooling.panel_paint import Colour, Pen, envelope_colour
from keel.envs.cooling.panel_words import amount, date, mode_name, moment, place_name, span, sparks
from keel.envs.fonts import fitted
from keel.envs.protocol import Array

SIZE = (1280, 720)


def bare_row(step: int, halls: int = 1, seed: int = 5) -> Array:
    """A row without traces, in which everything is 0 but the inlets."""
    row = np.zeros(layout.PLANT + halls * layout.HALL)
    row[layout.STEP], row[layout.NOISE_SEED] = step, seed
    for index in range(halls):
        at = inlet(index, 0)
        row[at : at + layout.GROUPS] = 22.0
    return row


def inlet(hall: int, group: int) -> int:
    return int(layout.hall_offset(hall)) + layout.INLET + group


def paid_row(step: int, total: float, baseline: float) -> Array:
    """A row whose step drew `total` kW at 0.2 USD/kWh and 500 g/kWh."""
    row = bare_row(step)
    row[layout.TOTAL], row[layout.BASELINE] = total, baseline
    row[layout.MONEY], row[layout.CO2] = total / 12 * 0.2, total / 12 * 0.5
    return row


def view_of(rows: list[Array], halls: int = 1, controller: str | None = None) -> View:
    history = History(halls)
    for row in rows:
        history.show(row)
    return View(halls, 7, "ashburn", controller, history.past, history.totals)


def start_row(halls: int) -> Array:
    return DataCenterCooling(halls=halls, week=26).start(np.random.default_rng(0))


def worst_row(halls: int) -> Array:
    """As many and as long words as there can be."""
    row = start_row(halls)
    row[layout.STEP], row[layout.FIRST_HOUR] = 2000, 24 * 268  # in September
    row[layout.MODE], row[layout.FAULT_NOW], row[layout.EXCESS] = 2, faults.DEMAND_RESPONSE, 1234.0
    row[layout.PRICE], row[layout.CARBON], row[layout.DRY_BULB], row[layout.WET_BULB] = -99.9, 4999.0, -40.4, -40.4
    row[layout.HUMIDITY] = 1.0
    row[[layout.CRAH, layout.CHILLER, layout.TOWER, layout.CHILLED_PUMP]] *= 9.0
    for hall in range(halls):
        row[inlet(hall, 0) : inlet(hall, 0) + 4] = (27.5, 28.5, 31.5, 32.5)
        at = int(layout.hall_offset(hall))
        row[[at + layout.CRAH_SET, at + layout.VALVE]] = 1.0 - 0.1 * hall
        row[at + layout.RETURN] = 30.0 + hall
    return row


def picture(panel: Panel, row: Array) -> Array:
    canvas = pygame.Surface(SIZE)
    panel.draw(row, canvas)
    return pygame.surfarray.array3d(canvas)


def test_history_keeps_24_hours() -> None:
    history = History(1)
    for step in range(400):
        history.show(bare_row(step))
    assert history.past[:, layout.STEP].tolist() == list(range(112, 400))


def test_history_forgets_old_rows_also_where_frames_are_left_out() -> None:
    history = History(1)
    for step in (0, 100, 287, 388):
        history.show(bare_row(step))
    assert history.past[:, layout.STEP].tolist() == [287, 388]
    history.show(bare_row(387 + 288))
    assert history.past[:, layout.STEP].tolist() == [388, 675]


def test_the_same_step_counts_once_and_shows_its_last_row() -> None:
    history = History(1)
    history.show(paid_row(1, 600.0, 720.0))
    history.show(paid_row(1, 480.0, 720.0))
    assert len(history.past) == 1
    assert history.past[-1, layout.TOTAL] == 480.0
    assert history.totals.saved_kwh == pytest.approx(10.0)


@pytest.mark.parametrize("row", [bare_row(4), bare_row(6, seed=6)], ids=["earlier step", "other episode"])
def test_history_starts_afresh(row: Array) -> None:
    history = History(1)
    for step in range(3, 6):
        history.show(paid_row(step, 600.0, 720.0))
    history.show(row)
    assert len(history.past) == 1
    assert history.totals.saved_kwh == 0.0
    assert history.totals.first_step == row[layout.STEP]


def test_history_keeps_its_own_copy() -> None:
    history, row = History(1), bare_row(0)
    history.show(row)
    row[:] = 99.0
    assert history.past[0, layout.STEP] == 0.0


def test_savings_by_hand() -> None:
    """Two steps of five minutes: 120 and -60 kW are 10 and -5 kWh, at 0.2 USD and 0.5 kg each."""
    history = History(1)
    for row in (paid_row(0, 600.0, 9000.0), paid_row(1, 600.0, 720.0), paid_row(2, 660.0, 600.0)):
        history.show(row)
    totals = history.totals
    assert totals.saved_kwh == pytest.approx(5.0), "step 0 is before the episode"
    assert totals.saved_usd == pytest.approx(1.0)
    assert totals.saved_co2_kg == pytest.approx(2.5)
    assert totals.used_kwh == pytest.approx(105.0)
    assert totals.used_usd == pytest.approx(21.0)
    assert totals.used_co2_kg == pytest.approx(52.5)


def test_a_frame_left_out_counts_as_the_next_one() -> None:
    history = History(1)
    for step in (0, 1, 4):
        history.show(paid_row(step, 600.0, 720.0))
    assert history.totals.saved_kwh == pytest.approx(40.0)


def test_without_a_reference_nothing_is_compared() -> None:
    rows = [paid_row(step, 600.0, 0.0) for step in range(3)]
    view = view_of(rows)
    assert not view.has_reference
    assert view.totals.saved_kwh == 0.0
    text = Panel(1, 7, "ashburn").text(rows[-1])
    assert "used" in text
    assert "saved" not in text
    assert "reference" not in text


def test_reference_cooling_is_what_is_left_of_the_baseline() -> None:
    row = bare_row(0)
    row[layout.BASELINE], row[layout.IT], row[layout.SERVER_FAN] = 750.0, 600.0, 20.0
    row[layout.UPS], row[layout.LIGHTS] = 28.0, 10.0
    assert reference_cooling_kilowatts(row[None]).tolist() == [92.0]


def test_ratio_of_the_day_weighs_by_power() -> None:
    past = np.stack([bare_row(0), bare_row(1)])
    past[:, layout.IT], past[:, layout.TOTAL] = (400.0, 600.0), (500.0, 660.0)
    assert day_ratio(past, layout.TOTAL) == pytest.approx(1.16)


@pytest.mark.parametrize(
    ("readings", "limit", "minutes"),
    [
        ([26.0, 26.2, 26.4], 27.0, 15.0),  # 0.04 K a minute, 0.6 K to go
        ([20.0, 26.0, 26.2, 26.4], 27.0, 15.0),  # only the last three count
        ([25.0, 26.5, 26.0], 27.0, 10.0),  # 0.1 K a minute from the first to the last
        ([26.9, 26.95, 27.0], 27.0, 0.0),
        ([24.0, 24.25, 24.5], 27.0, 50.0),
        ([24.0, 24.2, 24.4], 27.0, None),  # 65 minutes
        ([26.4, 26.4, 26.4], 27.0, None),
        ([26.6, 26.5, 26.4], 27.0, None),
        ([26.2, 26.4], 27.0, None),
    ],
)
def test_minutes_to_limit_by_hand(readings: list[float], limit: float, minutes: float | None) -> None:
    found = minutes_to_limit(np.arange(len(readings)), np.array(readings), limit)
    assert found == (None if minutes is None else pytest.approx(minutes))


def test_minutes_to_limit_knows_frames_left_out() -> None:
    assert minutes_to_limit(np.array([0, 2, 4]), np.array([26.0, 26.2, 26.4]), 27.0) == pytest.approx(30.0)


def test_alarms_are_worst_and_soonest_first() -> None:
    rows = [bare_row(step, halls=2) for step in range(3)]
    for step, row in enumerate(rows):
        row[inlet(0, 3)] = 26.0 + 0.2 * step  # 27 in 15 minutes
        row[inlet(1, 0)] = 26.0 + 0.3 * step  # 27 in 7 minutes
        row[inlet(1, 1)] = 29.0
        row[inlet(1, 2)] = 31.0 + 0.2 * step  # 32 in 15 minutes
        row[inlet(1, 3)] = 32.1
    found = alarms(view_of(rows, halls=2))
    assert [alarm.severity for alarm in found] == [CRITICAL, WARNING, WARNING, NOTICE, NOTICE]
    assert [alarm.words for alarm in found] == [
        "Hall 2 group D inlet 32.1 °C: above 32 °C",
        "Hall 2 group C inlet 31.4 °C: 32 °C in 15 min",
        "Hall 2 group B inlet 29.0 °C: above 27 °C",
        "Hall 2 group A inlet 26.6 °C: 27 °C in 7 min",
        "Hall 1 group D inlet 26.4 °C: 27 °C in 15 min",
    ]


def test_a_limit_itself_is_no_alarm() -> None:
    row = bare_row(0)
    row[inlet(0, 0)] = 27.0
    assert alarms(view_of([row])) == []


@pytest.mark.parametrize("name", [name for name in faults.NAMES if name != "none"])
def test_every_fault_is_an_alarm_by_name(name: str) -> None:
    row = bare_row(3)
    row[layout.FAULT_NOW], row[layout.FAULT_SIZE], row[layout.FAULT_HALL] = faults.NUMBERS[name], 0.5, 0
    found = alarms(view_of([row]))
    assert len(found) == 1
    assert found[0].severity == {"chiller": CRITICAL}.get(name, found[0].severity)
    assert f"fault: {name}" in Panel(1, 7, "ashburn").text(row)


def test_colours_step_at_the_edges_of_the_envelope() -> None:
    """A limit itself still belongs to the milder side; within a range colours change little by little."""

    def far(first: Colour, second: Colour) -> int:
        return max(abs(a - b) for a, b in zip(first, second, strict=True))

    for edge, inside, outside in (
        (18.0, 18.01, 17.99),
        (25.0, 24.99, 25.01),
        (27.0, 26.99, 27.01),
        (32.0, 31.99, 32.01),
    ):
        assert far(envelope_colour(edge), envelope_colour(inside)) <= 2
        assert far(envelope_colour(edge), envelope_colour(outside)) > 30
    for low, high in ((10, 18), (18.01, 25), (25.01, 27), (27.01, 32), (32.01, 40)):
        steps = [envelope_colour(celsius) for celsius in np.linspace(low, high - 0.01, 60)]
        assert max(far(a, b) for a, b in pairwise(steps)) <= 5
    blue, green, yellow, orange, red = (envelope_colour(celsius) for celsius in (15.0, 22.0, 26.0, 29.0, 35.0))
    assert blue[2] == max(blue)
    assert green[1] == max(green)
    assert min(yellow[:2]) > 150 > yellow[2]
    assert orange[0] > orange[1] > orange[2]
    assert red[0] > 3 * max(red[1:])
    assert envelope_colour(-20.0) == envelope_colour(10.0)
    assert envelope_colour(90.0) == envelope_colour(40.0)


def test_date_and_time() -> None:
    row = bare_row(7)
    row[layout.FIRST_HOUR] = 24 * 122 + 14
    assert date(row) == "May 3, 14:35"
    row[layout.FIRST_HOUR], row[layout.STEP] = 8759, 12
    assert moment(row) == datetime.datetime(2002, 1, 1)


def test_names_and_numbers() -> None:
    assert place_name("new-york") == "New York"
    assert place_name("USA_VA_Dulles") == "USA_VA_Dulles"
    assert span(np.array([50.2, 50.4]), "%") == "50 %"
    assert span(np.array([21.96, 23.0]), "°C", 1) == "22.0–23.0 °C"
    assert amount(9.876, "kWh") == "9.88 kWh"
    assert amount(-123.4, "kg", "t", signed=True) == "-123 kg"
    assert amount(12345.0, "kWh", "MWh", signed=True) == "+12.3 MWh"
    assert sparks(np.array([0.0, 7.0])) == "▁█"


def test_who_decided() -> None:
    rows = [bare_row(0) for _ in range(3)]
    for mode, row in enumerate(rows):
        row[layout.MODE] = mode
    assert [mode_name(view_of([row])) for row in rows] == ["AGENT", "SHIELD", "FALLBACK"]
    assert [mode_name(view_of([row], controller="b2")) for row in rows] == ["B2", "SHIELD", "FALLBACK"]


def test_text_has_the_numbers() -> None:
    row = start_row(1)
    row[inlet(0, 0) : inlet(0, 0) + 4] = (21.1, 22.2, 27.3, 33.4)
    row[layout.TOTAL], row[layout.DRY_BULB], row[layout.CHILLED_SUPPLY], row[layout.PUE] = 1234.5, 31.7, 12.3, 1.234
    row[layout.MODE] = 1
    text = Panel(1, 7, "san-francisco").text(row)
    wanted = ("San Francisco", "July 2, 00:00", "day 1 of 7", "SHIELD", "31.7 °C dry bulb", "1,234.5 kW", "12.3 (set")
    for words in (*wanted, "PUE 1.234", "21.1", "27.3!", "33.4!!", "critical: Hall 1 group D inlet 33.4 °C"):
        assert words in text


@pytest.mark.parametrize("halls", [1, 8])
def test_text_fits_a_terminal(halls: int) -> None:
    lines = Panel(halls, 7, "san-francisco").text(worst_row(halls)).splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 110


@pytest.mark.parametrize("halls", [1, 3, 8])
def test_different_states_are_different_pictures(halls: int) -> None:
    world = DataCenterCooling(halls=halls, week=26)
    state = world.start(np.random.default_rng(0))[None]
    first = picture(world.panel, state[0])
    assert (first == picture(world.panel, state[0])).all()
    assert len(np.unique(first.reshape(-1, 3), axis=0)) > 100
    metrics = np.empty((1, len(world.metric_names)))
    world.step(state, np.ones((1, 2 * halls + 2)), np.empty(1), np.empty(1, np.bool_), metrics)
    assert (first != picture(world.panel, state[0])).any()


@pytest.mark.parametrize(("group", "colour"), [(0, 15.0), (3, 33.0)])
def test_racks_have_the_colour_of_their_inlet(group: int, colour: float) -> None:
    row = start_row(1)
    row[inlet(0, group)] = colour
    pixels = picture(Panel(1, 7, "ashburn"), row)[12:452, 62:340]
    count = (pixels == envelope_colour(colour)).all(2).sum()
    assert count > 4000


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, pygame.Rect]]:
    """All words that were painted, and where."""
    found: list[tuple[str, pygame.Rect]] = []
    original = Pen.text

    def remember(pen: Pen, words: str, *arguments, **options) -> pygame.Rect:
        area = original(pen, words, *arguments, **options)
        found.append((words if options.get("width") is None else fitted(words, 13, options["width"]), area))
        return area

    monkeypatch.setattr(Pen, "text", remember)
    return found


@pytest.mark.parametrize("fault", range(1, len(faults.NAMES)))
def test_words_of_every_fault_fit(fault: int, drawn: list[tuple[str, pygame.Rect]]) -> None:
    row = start_row(8)
    row[layout.FAULT_NOW], row[layout.FAULT_SIZE], row[layout.FAULT_HALL], row[layout.EXCESS] = fault, 0.7, 7, 8888.8
    picture(Panel(8, 7, "ashburn"), row)
    assert sum(words.startswith("FAULT: ") for words, _ in drawn) == 1
    assert not any("…" in words for words, _ in drawn)


@pytest.mark.parametrize("halls", range(1, 9))
@pytest.mark.parametrize("make", [start_row, worst_row])
def test_words_neither_overlap_nor_leave_the_canvas(
    halls: int, make: Callable[[int], Array], drawn: list[tuple[str, pygame.Rect]]
) -> None:
    picture(Panel(halls, 366, "san-francisco"), make(halls))
    canvas = pygame.Rect(0, 0, *SIZE)
    for words, area in drawn:
        assert canvas.contains(area), words
    for (words, area), (others, other) in combinations([one for one in drawn if one[0]], 2):
        # The empty rows of pixels above and below letters may touch.
        assert not area.inflate(0, -6).colliderect(other.inflate(0, -6)), f"{words!r} on {others!r}"
    assert not any("…" in words for words, _ in drawn)
