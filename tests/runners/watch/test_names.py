"""Names stand beside the right numbers, and numbers are in the units they say."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from keel.envs.cooling import layout
from keel.envs.cooling.actions import AllMoves, OneMove, SetPoints
from keel.envs.cooling.env import DataCenterCooling
from keel.envs.protocol import ACTION_MASK
from keel.envs.vector import make_vec
from keel.runners.watch.names import count_actions, described, names_of, plain_actions, short, vector_in

COOLING = "keel/DataCenterCooling-v0"


def names(env_id: str, **options: Any) -> Any:
    worlds = make_vec(env_id, 1, env_options=options)
    worlds.close()
    return names_of(env_id, options, worlds.observation_space, worlds.action_space)


@pytest.mark.parametrize("halls", [1, 2])
def test_the_sensors_of_the_data_centre_read_what_its_state_holds(halls: int) -> None:
    world = DataCenterCooling(halls=halls, days=1)
    state = world.start(np.random.default_rng(4))[None].copy()
    for _ in range(30):
        world.step(
            state,
            np.full((1, 2 * halls + 2), 0.4),
            np.zeros(1),
            np.zeros(1, bool),
            np.zeros((1, len(world.metric_names))),
        )
    row, vector = state[0], np.asarray(world.observe(state))[0]
    read = {one.name: (one.shift + one.scale * vector[one.at], one.unit) for one in names(COOLING, halls=halls).sensors}
    expected = {
        "dry bulb outside": (row[layout.DRY_BULB], "°C"),
        "wet bulb outside": (row[layout.WET_BULB], "°C"),
        "humidity outside": (100 * row[layout.HUMIDITY], "%"),
        "chilled water, supply": (row[layout.CHILLED_SUPPLY], "°C"),
        "chilled water, return": (row[layout.CHILLED_RETURN], "°C"),
        "condenser water, supply": (row[layout.CONDENSER_SUPPLY], "°C"),
        "condenser water, return": (row[layout.CONDENSER_RETURN], "°C"),
        "economiser's share": (100 * row[layout.ECONOMISER_SHARE], "%"),
        "chiller's part load": (100 * row[layout.PART_LOAD], "%"),
        "power above reference": (row[layout.TOTAL] - row[layout.BASELINE], "kW"),
    }
    for hall in range(halls):
        at, which = layout.hall_offset(hall), f" {hall + 1}" if halls > 1 else ""
        expected[f"supply air{which}"] = (row[at + layout.SUPPLY_REPORTED], "°C")
        expected[f"return air{which}"] = (row[at + layout.RETURN], "°C")
        expected[f"servers{which}"] = (row[at + layout.HALL_IT], "kW")
        expected[f"utilisation{which}"] = (100 * row[at + layout.LOAD], "%")
        expected[f"valve{which}"] = (100 * row[at + layout.VALVE], "%")
        for group in range(4):
            expected[f"inlet{which}, group {group + 1}"] = (row[at + layout.INLET + group], "°C")
    assert read.keys() - expected.keys() == {"wet bulb in 6 hours"}
    for name, (value, unit) in expected.items():
        assert read[name][0] == pytest.approx(value, abs=0.02), name
        assert read[name][1] == unit


def test_the_moves_of_the_data_centre_are_named_as_they_move() -> None:
    parts = ("air", "fans", "water", "tower")
    for name, moves in zip(names(COOLING, actions=81).actions, AllMoves(1).choices, strict=True):
        for part, move in zip(parts, moves, strict=True):
            assert (f"{part}▲" in name, f"{part}▼" in name) == (move > 0, move < 0)
    for name, moves in zip(names(COOLING, actions=9).actions, OneMove(1).choices, strict=True):
        moved = [f"{part} {'▲' if move > 0 else '▼'}" for part, move in zip(parts, moves, strict=True) if move]
        assert name == (moved[0] if moved else "keep all")
    assert len(names(COOLING, halls=3).actions) == SetPoints(3).space.shape[0]
    assert names(COOLING).actions == ("supply air", "air handlers", "chilled water", "tower")


def test_boards_name_their_moves() -> None:
    assert names("keel/ConnectFour-v0").actions == tuple("abcdefg")
    assert names("keel/TicTacToe-v0").actions[4] == "b2"


@pytest.mark.parametrize(
    ("env_id", "sensors", "actions"),
    [
        ("CartPole-v1", 4, ("push left", "push right")),
        ("keel/CartPoleNoVelocity-v0", 2, ("push left", "push right")),
        ("keel/PendulumNoVelocity-v0", 0, ("torque",)),
        ("MountainCarContinuous-v0", 2, ("push",)),
        ("FrozenLake-v1", 0, ("left", "down", "right", "up")),
        ("keel/ProbeMultiDiscrete-v0", 0, None),
    ],
)
def test_worlds_have_their_names_or_numbers(env_id: str, sensors: int, actions: tuple[str, ...] | None) -> None:
    found = names(env_id)
    assert len(found.sensors) == sensors
    assert actions is None or found.actions == actions
    space = make_vec(env_id, 1).action_space
    assert len(found.actions) == count_actions(space) == len(set(found.actions))


def test_cart_poles_names_stand_beside_the_right_numbers() -> None:
    """Set aside from the middle, the pole leaning right: position and angle are known, velocities are zero."""
    world: Any = gymnasium.make("CartPole-v1").unwrapped
    world.reset(seed=0)
    world.state = np.array([1.5, 0.0, 0.1, 0.0])
    vector = np.array(world.state, np.float32)
    texts = {sensor.name: sensor.text(vector) for sensor in names("CartPole-v1").sensors}
    assert texts == {
        "cart position": "1.500", "cart velocity": "0.000", "pole angle": "0.100", "pole angular velocity": "0.000"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (spaces.Discrete(2, start=5), ("action 5", "action 6")),
        (spaces.MultiDiscrete([2, 1]), ("part 0: 0", "part 0: 1", "part 1: 0")),
        (spaces.MultiBinary(2), ("switch 0", "switch 1")),
        (spaces.Box(0, 1, (2, 1)), ("axis 0", "axis 1")),
    ],
)
def test_actions_without_names_are_counted(space: Any, expected: tuple[str, ...]) -> None:
    assert plain_actions(space) == expected


def test_the_vector_of_an_observation_is_found_and_images_are_described() -> None:
    image = np.zeros((4, 84, 84), np.uint8)
    both = {ACTION_MASK: np.ones(3), "image": image, "speed": np.array([1.0, 2.0])}
    vector = vector_in(both)
    assert vector is not None
    assert vector.tolist() == [1.0, 2.0]
    assert described(both) == [("image", "4 × 84 × 84")]
    assert vector_in(image) is None
    newest = vector_in(np.array([[1.0], [2.0]]))
    assert newest is not None
    assert newest.tolist() == [2.0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.000"), (-0.1234, "-0.123"), (12.345, "12.35"), (-123.45, "-123.5"), (12345.6, "12346"),
        (1.25e7, "1.2e7"), (1e-5, "1.0e-5"), (-0.0004, "-4.0e-4"),
    ],
)  # fmt: skip
def test_numbers_are_short(value: float, text: str) -> None:
    assert short(value) == text
    assert len(text) <= 7
